//! Whether to believe a token.
//!
//! The checks are our own, and so is the order, by what they cost: size and form, the header, what the claims say, and then
//! whether it was said by who should have: the key and its signature. Nothing leaves before the last of them.
//! jsonwebtoken's `decode` would let pass a `typ` of any kind, an unknown `crit`, an `iss` that is an array with ours in it,
//! a member that stands twice, an `exp` in the year 584 billion, and tokens of a megabyte.

mod claims;
mod header;
mod json;
mod refused;
#[cfg(all(test, feature = "service"))]
mod tests;

use std::{ops::Deref, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

pub use claims::{Claims, StatusReference};
pub use header::{UnverifiedHeader, UnverifiedIssuer};
pub use refused::{Part, Refused};

use self::{
    header::{Parts, decode},
    json::Object,
};
use super::{KeySource, TokenTyp};

/// The longest token that is looked at, in bytes. Ours have some 500, and a request's whole head is seldom larger.
pub const MAX_TOKEN: usize = 8 * 1024;
/// The most that clocks may be allowed to differ by (RFC 7519 section 4.1.4 speaks of "a few minutes"). A key stays published
/// for so long after its last token has expired.
pub const MAX_LEEWAY: Duration = Duration::from_secs(60);
/// The longest life that an issuer can be set to give its tokens (`WXMINT_TOKEN_TTL`).
pub const LONGEST_LIFE: Duration = Duration::from_secs(30 * 86_400);

/// Which tokens are believed.
#[derive(Debug, Clone)]
pub struct VerifierPolicy {
    /// `iss`, byte for byte.
    pub issuer: String,
    /// A token must name one of these in its `aud`.
    pub audiences: Vec<String>,
    /// [`TokenTyp::AccessToken`] takes `at+jwt` alone. [`TokenTyp::Jwt`] takes `JWT` too, for an issuer that is set so: no
    /// other object that wxmint signs is called either. An issuer can go from one to the other without a 401 while its
    /// verifiers take both.
    pub typ: TokenTyp,
    /// The most that may lie between `iat` and `exp`.
    pub longest_life: Duration,
    /// By how much clocks may differ, up to [`MAX_LEEWAY`].
    pub leeway: Duration,
}

impl VerifierPolicy {
    /// `at+jwt` of any life that an issuer can give, with the full leeway.
    pub fn new(issuer: impl Into<String>, audiences: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: audiences.into_iter().map(Into::into).collect(),
            typ: TokenTyp::AccessToken,
            longest_life: LONGEST_LIFE,
            leeway: MAX_LEEWAY,
        }
    }
}

/// Why a policy is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Nothing to compare `iss` with.
    #[error("the issuer is empty")]
    NoIssuer,
    /// No token could be meant for anybody.
    #[error("no audience is given")]
    NoAudience,
    /// More than [`MAX_LEEWAY`].
    #[error("the leeway must be at most 60 s")]
    Leeway,
}

/// What a token says, once it is known to be true. Comes out of [`Verifier::verify`] and from nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Decides whether a token is to be believed. Holds no keys, which change; see [`KeySource`].
///
/// ```
/// use chrono::{DateTime, Utc};
/// use wxmint::{
///     ids::UserId,
///     verify::PublishedKeys,
///     verify::{Refused, Verifier, VerifierPolicy},
/// };
///
/// fn who_is_asking(token: &str, jwks: &PublishedKeys, now: DateTime<Utc>) -> Result<UserId, Refused> {
///     let policy = VerifierPolicy::new("https://login.example.com", ["https://api.example.com"]);
///     // Once, not for each token.
///     let verifier = Verifier::new(policy).expect("an issuer and an audience");
///     Ok(verifier.verify(token, jwks, now)?.user.clone())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    issuer: String,
    audiences: Vec<String>,
    typ: TokenTyp,
    longest_life: TimeDelta,
    leeway: TimeDelta,
}

impl Verifier {
    /// Of a policy under which there are tokens to believe.
    pub fn new(policy: VerifierPolicy) -> Result<Self, PolicyError> {
        let VerifierPolicy { issuer, audiences, typ, longest_life, leeway } = policy;
        if issuer.is_empty() {
            return Err(PolicyError::NoIssuer);
        }
        if audiences.is_empty() {
            return Err(PolicyError::NoAudience);
        }
        if leeway > MAX_LEEWAY {
            return Err(PolicyError::Leeway);
        }
        let [longest_life, leeway] =
            [longest_life, leeway].map(|time| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX));
        Ok(Self { issuer, audiences, typ, longest_life, leeway })
    }

    /// The claims of `token` (its compact form), if it was signed by the key of `keys` that it names, and is what this
    /// verifier's policy wants, at `now`.
    pub fn verify(
        &self,
        token: &str,
        keys: &(impl KeySource + ?Sized),
        now: DateTime<Utc>,
    ) -> Result<Verified<Claims>, Refused> {
        let parts = Parts::of(token)?;
        let header = UnverifiedHeader::read(parts.header)?;
        if !self.takes(header.typ) {
            return Err(Refused::Typ);
        }
        let (json, signature) = (decode(parts.claims, Part::Claims)?, decode(parts.signature, Part::Signature)?);
        let claims = Object::read(&json).map_err(|malformed| malformed.in_the(Part::Claims))?;
        let claims = self.judge(&claims, now)?;

        let key = keys.key(header.kid(), now).ok_or(Refused::UnknownKey)?;
        if key.algorithm() != header.algorithm {
            return Err(Refused::Algorithm);
        }
        if !key.verifies(parts.signed.as_bytes(), &signature) {
            return Err(Refused::Signature);
        }
        Ok(Verified(claims))
    }

    fn takes(&self, typ: TokenTyp) -> bool {
        typ == TokenTyp::AccessToken || typ == self.typ
    }

    /// What the claims say, as if it were true: a token that would be refused anyway costs neither a signature check nor a
    /// search for its key.
    fn judge(&self, claims: &Object<'_>, now: DateTime<Utc>) -> Result<Claims, Refused> {
        if claims.text("iss")? != self.issuer {
            return Err(Refused::Issuer);
        }
        let claims = Claims::read(claims)?;
        if !claims.audience.iter().any(|audience| self.audiences.contains(audience)) {
            return Err(Refused::Audience);
        }
        self.judge_times(&claims, now)?;
        Ok(claims)
    }

    /// In differences alone: no date that can be written is far enough away to overflow one.
    fn judge_times(&self, claims: &Claims, now: DateTime<Utc>) -> Result<(), Refused> {
        let is_ahead = |time: DateTime<Utc>| time - now > self.leeway;
        let life = claims.expires_at - claims.issued_at;
        match () {
            () if now - claims.expires_at >= self.leeway => Err(Refused::Expired),
            () if is_ahead(claims.issued_at) => Err(Refused::IssuedInFuture),
            () if claims.not_before.is_some_and(is_ahead) => Err(Refused::NotYetValid),
            () if life <= TimeDelta::zero() || life > self.longest_life => Err(Refused::Life),
            () => Ok(()),
        }
    }
}
