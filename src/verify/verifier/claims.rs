//! What a verified token says, in types.

use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::{
    Refused,
    json::{Json, Object},
};
use crate::ids::{AppId, TokenId, UserId};

/// The claims of an access token (RFC 9068 section 2.2), apart from `iss`, which is the policy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `sub`: who is asking.
    pub user: UserId,
    /// `client_id`: through which mini program the user logged in.
    pub app: AppId,
    /// `jti`
    pub id: TokenId,
    /// `aud`: one or several.
    pub audience: Vec<String>,
    /// `iat`
    pub issued_at: DateTime<Utc>,
    /// `exp`
    pub expires_at: DateTime<Utc>,
    /// `nbf`, which wxmint does not set.
    pub not_before: Option<DateTime<Utc>>,
    /// `status.status_list`: where it is said whether the token has been revoked.
    pub status: Option<StatusReference>,
}

/// A token's place in a status list (OAuth Token Status List, section 6.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReference {
    /// `idx`: which bit.
    pub index: u64,
    /// `uri`: of which list.
    pub uri: String,
}

impl Claims {
    /// Each claim there and of its type; what it says is judged later. Claims that are not known here may be there too.
    pub(super) fn read(claims: &Object<'_>) -> Result<Self, Refused> {
        Ok(Self {
            user: claims.id("sub")?,
            app: claims.id("client_id")?,
            id: claims.id("jti")?,
            audience: claims.audience()?,
            issued_at: claims.time("iat")?.ok_or(Refused::Missing("iat"))?,
            expires_at: claims.time("exp")?.ok_or(Refused::Missing("exp"))?,
            not_before: claims.time("nbf")?,
            status: claims.status()?,
        })
    }
}

impl Object<'_> {
    fn id<T: FromStr>(&self, name: &'static str) -> Result<T, Refused> {
        self.text(name)?.parse().map_err(|_| Refused::Malformed(name))
    }

    /// A NumericDate. RFC 7519 section 2 has fractions too; wxmint never writes one, and nothing here could tell a token
    /// by them.
    fn time(&self, name: &'static str) -> Result<Option<DateTime<Utc>>, Refused> {
        let Some(value) = self.member(name) else { return Ok(None) };
        let Json::Whole(seconds) = value else { return Err(Refused::Malformed(name)) };
        DateTime::from_timestamp(*seconds, 0).map(Some).ok_or(Refused::Malformed(name))
    }

    /// RFC 7519 section 4.1.3: a string, or an array of them.
    fn audience(&self) -> Result<Vec<String>, Refused> {
        let text = |value: &Json<'_>| match value {
            Json::Text(text) => Ok(text.to_string()),
            _ => Err(Refused::Malformed("aud")),
        };
        match self.member("aud") {
            None => Err(Refused::Missing("aud")),
            Some(Json::List(list)) => list.iter().map(text).collect(),
            Some(value) => Ok(vec![text(value)?]),
        }
    }

    /// `status` may name other mechanisms; where it names a list, index and URI must be there.
    fn status(&self) -> Result<Option<StatusReference>, Refused> {
        const NAME: &str = "status.status_list";
        let status = match self.member("status") {
            None => return Ok(None),
            Some(Json::Object(status)) => status,
            Some(_) => return Err(Refused::Malformed("status")),
        };
        match status.member("status_list") {
            None => Ok(None),
            Some(Json::Object(list)) => list.status_reference().map(Some).ok_or(Refused::Malformed(NAME)),
            Some(_) => Err(Refused::Malformed(NAME)),
        }
    }

    fn status_reference(&self) -> Option<StatusReference> {
        let Some(Json::Whole(index)) = self.member("idx") else { return None };
        let uri = self.text("uri").ok()?.to_owned();
        Some(StatusReference { index: u64::try_from(*index).ok()?, uri })
    }
}
