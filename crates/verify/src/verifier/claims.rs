//! The claims of a token, in types.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use serde_json::{Map, Value};

use crate::Refused;
use crate::ids::{AppId, TokenId, UserId};
use crate::json::Object;

/// The numbers that are accepted as dates. RFC 7519 section 2 allows a NumericDate to have a
/// fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dates {
    /// Only whole seconds, as wxmint writes them in its own tokens.
    Whole,
    /// Also numbers with a fraction or an exponent, as other issuers may write them. They are read
    /// to the millisecond.
    Fractional,
}

/// The largest number of seconds that is read with a fraction. Up to this number an `f64`
/// distinguishes milliseconds.
const MOST_SECONDS: f64 = (1_u64 << 43) as f64;

/// The claims that have a field of their own in [`Claims`], and `iss`. They are not in
/// [`Claims::others`].
pub const REGISTERED_CLAIMS: [&str; 8] =
    ["iss", "sub", "aud", "client_id", "iat", "exp", "nbf", "jti"];

/// The claims of an access token (RFC 9068 section 2.2), except `iss`, which equals the policy's
/// issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: the user who sends the request.
    pub user: UserId,
    /// `client_id`: the mini program in which the user logged in, or the page that a mini program
    /// has logged in.
    pub app: AppId,
    /// `jti`: the token's id.
    pub id: TokenId,
    /// `aud`: one audience or several.
    pub audience: Vec<String>,
    /// `iat`: when the token was issued.
    pub issued_at: DateTime<Utc>,
    /// `exp`: when the token expires.
    pub expires_at: DateTime<Utc>,
    /// `nbf`: not valid before this time. wxmint does not set it.
    pub not_before: Option<DateTime<Utc>>,
    /// All other claims: what the account backend adds, such as roles or a tenant.
    pub others: Map<String, Value>,
}

impl Claims {
    /// Reads the claims and checks their types; [`super::Verifier`] judges their values.
    pub(super) fn read(claims: &Object) -> Result<Self, Refused> {
        Ok(Self {
            user: claims.id("sub")?,
            app: claims.id("client_id")?,
            id: claims.id("jti")?,
            audience: claims.audience()?,
            issued_at: claims
                .time("iat", Dates::Whole)?
                .ok_or(Refused::Missing("iat"))?,
            expires_at: claims
                .time("exp", Dates::Whole)?
                .ok_or(Refused::Missing("exp"))?,
            not_before: claims.time("nbf", Dates::Whole)?,
            others: claims.without(&REGISTERED_CLAIMS),
        })
    }
}

/// The claims of a token that identifies a service, except `iss` and `sub`: they equal the issuer
/// and the subject that the caller expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// `jti`: the token's id.
    pub id: Option<TokenId>,
    /// `aud`: one audience or several.
    pub audience: Vec<String>,
}

impl Identity {
    pub(super) fn read(claims: &Object, subject: &str) -> Result<Self, Refused> {
        if claims.text("sub")? != subject {
            return Err(Refused::Subject);
        }
        Ok(Self {
            id: claims.member("jti").map(|_| claims.id("jti")).transpose()?,
            audience: claims.audience()?,
        })
    }
}

impl Object {
    fn id<T: FromStr>(&self, name: &'static str) -> Result<T, Refused> {
        self.text(name)?
            .parse()
            .map_err(|_| Refused::Malformed(name))
    }

    /// Reads a NumericDate (RFC 7519 section 2).
    pub(super) fn time(
        &self,
        name: &'static str,
        dates: Dates,
    ) -> Result<Option<DateTime<Utc>>, Refused> {
        let Some(value) = self.member(name) else {
            return Ok(None);
        };
        let time = match (value.as_i64(), value.as_f64()) {
            (Some(seconds), _) => DateTime::from_timestamp(seconds, 0),
            (None, Some(seconds)) if dates == Dates::Fractional => with_fraction(seconds),
            _ => None,
        };
        time.map(Some).ok_or(Refused::Malformed(name))
    }

    /// Reads `aud`, which is a string or an array of strings (RFC 7519 section 4.1.3).
    pub(super) fn audience(&self) -> Result<Vec<String>, Refused> {
        let text = |value: &Value| {
            value
                .as_str()
                .map(Into::into)
                .ok_or(Refused::Malformed("aud"))
        };
        match self.member("aud") {
            None => Err(Refused::Missing("aud")),
            Some(Value::Array(list)) => list.iter().map(text).collect(),
            Some(value) => Ok(vec![text(value)?]),
        }
    }
}

fn with_fraction(seconds: f64) -> Option<DateTime<Utc>> {
    // False for NaN, too.
    let is_told_apart = seconds.abs() <= MOST_SECONDS;
    is_told_apart
        .then(|| DateTime::from_timestamp_millis((seconds * 1000.0).round() as i64))
        .flatten()
}
