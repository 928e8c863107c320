//! Verifies access tokens.
//!
//! The checks are our own, and run in the order of their cost: size and form, the header, the
//! claims, then the key and its signature. Claims are returned only after all checks have passed.
//! jsonwebtoken's `decode` would accept any `typ`, an unknown `crit`, an `iss` that is an array
//! containing our issuer, a repeated member, an `exp` in the year 584 billion, and a token of a
//! megabyte.

mod claims;
mod header;
#[cfg(test)]
pub(super) mod tests;

use std::{ops::Deref, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

pub use claims::{Claims, Identity, REGISTERED_CLAIMS};
pub use header::UnverifiedIssuer;

use self::claims::Dates;
use self::header::{parts, typ};
use super::json::Object;
use super::jws::Header;
use super::revocations::{RevocableToken, RevocationSet};
use super::{KeySource, Part, Refused, TokenTyp};

/// The longest token that is parsed, in bytes. Our tokens have about 500 bytes, and the head of a
/// whole request is seldom larger than this limit.
pub const MAX_TOKEN: usize = 8 * 1024;
/// The largest allowed difference between clocks (RFC 7519 section 4.1.4 speaks of "a few
/// minutes"). An issuer keeps a key published for this long after the last token that the key
/// signed has expired.
pub const MAX_LEEWAY: Duration = Duration::from_mins(1);
/// The longest token life that can be configured for an issuer (`WXMINT_TOKEN_TTL`).
pub const LONGEST_LIFE: Duration = Duration::from_hours(30 * 24);

/// The rules by which a verifier accepts tokens.
#[derive(Debug, Clone)]
pub struct VerifierPolicy {
    /// The issuer, which a token's `iss` must equal byte for byte.
    pub issuer: String,
    /// A token's `aud` must contain one of these.
    pub audiences: Vec<String>,
    /// [`TokenTyp::AccessToken`] accepts `at+jwt` alone. [`TokenTyp::Jwt`] accepts both `at+jwt`
    /// and `JWT`, for an issuer that is configured to sign `JWT`; wxmint signs no other object with
    /// either `typ`. An issuer can change its `typ` without a 401 while its verifiers accept both.
    pub typ: TokenTyp,
    /// The longest allowed time from `iat` to `exp`.
    pub longest_life: Duration,
    /// The allowed difference between clocks, at most [`MAX_LEEWAY`].
    pub leeway: Duration,
}

impl VerifierPolicy {
    /// Accepts `at+jwt` alone, with any life that an issuer can be configured for
    /// ([`LONGEST_LIFE`]) and the full leeway ([`MAX_LEEWAY`]).
    pub fn new(
        issuer: impl Into<String>,
        audiences: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: audiences.into_iter().map(Into::into).collect(),
            typ: TokenTyp::AccessToken,
            longest_life: LONGEST_LIFE,
            leeway: MAX_LEEWAY,
        }
    }
}

/// Why no verifier can be made from a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The issuer is empty.
    #[error("the issuer is empty")]
    NoIssuer,
    /// The list of audiences is empty.
    #[error("no audience is given")]
    NoAudience,
    /// The leeway is longer than [`MAX_LEEWAY`].
    #[error("the leeway must be at most 60 s")]
    Leeway,
}

/// The content of a token whose signature and claims have been verified. Only a [`Verifier`] makes
/// a `Verified` value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Verifies tokens by a policy. The keys are passed to each call, because they change; see
/// [`KeySource`].
///
/// ```
/// use chrono::{DateTime, Utc};
/// use wxmint_verify::{PublishedKeys, Refused, Verifier, VerifierPolicy, ids::UserId};
///
/// fn who_is_asking(
///     token: &str,
///     jwks: &PublishedKeys,
///     now: DateTime<Utc>,
/// ) -> Result<UserId, Refused> {
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
    /// Makes a verifier. Fails if the policy has no issuer or no audience, or if its leeway is
    /// longer than [`MAX_LEEWAY`].
    pub fn new(policy: VerifierPolicy) -> Result<Self, PolicyError> {
        let VerifierPolicy {
            issuer,
            audiences,
            typ,
            longest_life,
            leeway,
        } = policy;
        match () {
            () if issuer.is_empty() => return Err(PolicyError::NoIssuer),
            () if audiences.is_empty() => return Err(PolicyError::NoAudience),
            () if leeway > MAX_LEEWAY => return Err(PolicyError::Leeway),
            () => {}
        }
        let [longest_life, leeway] =
            [longest_life, leeway].map(|time| TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX));
        Ok(Self {
            issuer,
            audiences,
            typ,
            longest_life,
            leeway,
        })
    }

    /// Verifies `token` (its compact form) with the key of `keys` that the token names, at the time
    /// `now`, and returns its claims. A token with a fraction in `iat`, `exp` or `nbf` is refused,
    /// because wxmint writes whole seconds.
    pub fn verify(
        &self,
        token: &str,
        keys: &(impl KeySource + ?Sized),
        now: DateTime<Utc>,
    ) -> Result<Verified<Claims>, Refused> {
        self.prove(token, keys, now).map(|(claims, _)| claims)
    }

    /// As [`Verifier::verify`], and refuses a token that has been revoked ([`Refused::Revoked`]).
    pub fn verify_unless_revoked(
        &self,
        token: &str,
        keys: &(impl KeySource + ?Sized),
        revocations: &RevocationSet,
        now: DateTime<Utc>,
    ) -> Result<Verified<Claims>, Refused> {
        let (claims, revocable) = self.prove(token, keys, now)?;
        if revocations.is_revoked(&revocable) {
            Err(Refused::Revoked)
        } else {
            Ok(claims)
        }
    }

    /// As [`Verifier::verify`], and also returns the parts of the token that a revocation can name.
    pub(super) fn prove(
        &self,
        token: &str,
        keys: &(impl KeySource + ?Sized),
        now: DateTime<Utc>,
    ) -> Result<(Verified<Claims>, RevocableToken), Refused> {
        let takes = |header: &Header| {
            typ(header).map(|typ| typ == TokenTyp::AccessToken || typ == self.typ)
        };
        let (claims, header) = self.open(token, keys, (now, Dates::Whole), takes, Claims::read)?;
        let revocable = RevocableToken::of(&self.issuer, &claims, &header.kid);
        Ok((Verified(claims), revocable))
    }

    /// Verifies a token by which a service proves that it is `subject`: the token of a Kubernetes
    /// ServiceAccount, a SPIFFE JWT-SVID, or a client's assertion (RFC 7523bis). An access token is
    /// refused. The token may lack `typ`, `jti` and `iat`; without `iat` its life counts from
    /// `now`. Because other issuers write these tokens, their dates may have a fraction or an
    /// exponent, such as `1796022793.5` (RFC 7519 section 2). Dates are read to the millisecond.
    pub fn identify(
        &self,
        token: &str,
        subject: &str,
        keys: &(impl KeySource + ?Sized),
        now: DateTime<Utc>,
    ) -> Result<Verified<Identity>, Refused> {
        let known = ["JWT", "JOSE", "client-authentication+jwt"];
        let is_known = |typ: &str| known.iter().any(|known| known.eq_ignore_ascii_case(typ));
        let takes = |header: &Header| Ok(header.typ.as_deref().is_none_or(is_known));
        let read = |claims: &Object| Identity::read(claims, subject);
        let identity = self
            .open(token, keys, (now, Dates::Fractional), takes, read)?
            .0;
        Ok(Verified(identity))
    }

    /// Checks a token, and returns its header and the content that `read` finds in its claims.
    /// `takes` decides by the header whether the token is of the expected kind.
    fn open<T>(
        &self,
        token: &str,
        keys: &(impl KeySource + ?Sized),
        (now, dates): (DateTime<Utc>, Dates),
        takes: impl FnOnce(&Header) -> Result<bool, Refused>,
        read: impl FnOnce(&Object) -> Result<T, Refused>,
    ) -> Result<(T, Header), Refused> {
        let jws = parts(token)?;
        let header = jws.header()?;
        if !takes(&header)? {
            return Err(Refused::Typ);
        }
        let (json, signature) = (jws.claims()?, jws.signature()?);
        let claims = Object::read(&json).map_err(|malformed| malformed.in_the(Part::Claims))?;
        if claims.text("iss")? != self.issuer {
            return Err(Refused::Issuer);
        }
        let content = read(&claims)?;
        self.judge(&claims, now, dates)?;
        jws.check(&header, &signature, keys, now)?;
        Ok((content, header))
    }

    /// Checks audience and dates. Runs before the signature is checked, so that a token that would
    /// be refused anyway costs neither a key lookup nor a signature check.
    ///
    /// Compares differences of dates, because a sum of a date and a duration could overflow.
    fn judge(&self, claims: &Object, now: DateTime<Utc>, dates: Dates) -> Result<(), Refused> {
        if !claims
            .audience()?
            .iter()
            .any(|audience| self.audiences.contains(audience))
        {
            return Err(Refused::Audience);
        }
        let expires_at = claims.time("exp", dates)?.ok_or(Refused::Missing("exp"))?;
        let issued_at = claims.time("iat", dates)?.unwrap_or(now);
        let not_before = claims.time("nbf", dates)?;
        let is_ahead = |time: DateTime<Utc>| time - now > self.leeway;
        let life = expires_at - issued_at;
        match () {
            () if now - expires_at >= self.leeway => Err(Refused::Expired),
            () if is_ahead(issued_at) => Err(Refused::IssuedInFuture),
            () if not_before.is_some_and(is_ahead) => Err(Refused::NotYetValid),
            () if life <= TimeDelta::zero() || life > self.longest_life => Err(Refused::Life),
            () => Ok(()),
        }
    }
}
