//! An issuer that a peer trusts: the URLs of its keys and its revocation feed, and how long both
//! may be used without being confirmed.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::PeerError;
use crate::VerifierPolicy;

/// The path at which wxmint publishes its keys.
const JWKS_PATH: &str = "/.well-known/jwks.json";
/// The path at which wxmint publishes its revocation feed.
const REVOCATIONS_PATH: &str = "/revocations";
/// The default of [`TrustedIssuer::keys_max_age`].
pub(super) const KEYS_MAX_AGE: Duration = Duration::from_hours(24);

/// An issuer whose tokens are accepted, and the URL of its keys.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// The rules by which the issuer's tokens are accepted.
    pub policy: VerifierPolicy,
    /// The URL of the issuer's JWKS. Use https, unless you trust the network as much as the issuer.
    pub jwks_url: Url,
    /// A folder for the last good keys, which are used if the service starts while the issuer
    /// cannot be reached. Whoever can write to this folder can make the service accept forged
    /// tokens.
    pub kept_in: Option<PathBuf>,
    /// How long the keys are used after the issuer last confirmed them; with `kept_in`, also across
    /// restarts. The default is a day: with wxmint's default token life, all tokens have expired by
    /// then.
    pub keys_max_age: Duration,
    /// The revocation feed. `None` accepts every token until it expires, even if it has been
    /// revoked.
    pub revocations: Option<Revocations>,
}

/// How an issuer's revocation feed is followed.
#[derive(Debug, Clone)]
pub struct Revocations {
    /// The URL of the feed. Its pages are signed, so a server that impersonates the issuer can
    /// withhold pages but cannot forge them.
    pub url: Url,
    /// The time between two requests.
    pub every: Duration,
    /// The known revocations are stale if the newest page is older than this.
    pub max_age: Duration,
    /// Decides whether tokens are accepted while the known revocations are stale.
    pub when_stale: WhenStale,
}

/// Whether tokens are accepted while the known revocations are stale, so that revoked tokens may
/// not be recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStale {
    /// Tokens are accepted unless a known revocation names them. A warning is logged.
    Open,
    /// No token is accepted: [`super::NotVerified::StaleRevocations`].
    Closed,
}

impl Revocations {
    /// The feed of the issuer whose JWKS is at this URL. Its URL has `/revocations` in place of
    /// `/.well-known/jwks.json`; if the JWKS has another path, it is `/revocations` at the root of
    /// the same origin. The feed is polled every 5 s and is stale after a minute, and then
    /// [`WhenStale::Open`].
    pub fn beside(jwks_url: &Url) -> Self {
        // The issuer's URL may have a path, under which a proxy serves wxmint.
        let issuer_path = jwks_url.path().strip_suffix(JWKS_PATH).unwrap_or_default();
        let mut url = jwks_url.clone();
        url.set_path(&format!("{issuer_path}{REVOCATIONS_PATH}"));
        url.set_query(None);
        Self::at(url)
    }

    /// The feed at `url`, with the intervals of [`Revocations::beside`].
    pub fn at(url: Url) -> Self {
        let (every, max_age) = (Duration::from_secs(5), Duration::from_mins(1));
        Self {
            url,
            every,
            max_age,
            when_stale: WhenStale::Open,
        }
    }
}

impl TrustedIssuer {
    pub(super) fn needs_tls(&self) -> bool {
        let feed = self
            .revocations
            .as_ref()
            .map(|revocations| &revocations.url);
        feed.into_iter()
            .chain([&self.jwks_url])
            .any(|url| url.scheme() == "https")
    }

    /// Trusts an issuer that publishes its keys and its revocation feed at wxmint's paths.
    /// `audiences` are the values of `aud` that mean this service. Fails if `issuer` is not a URL.
    pub fn new(
        issuer: &str,
        audiences: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self, PeerError> {
        let jwks_url = format!("{}{JWKS_PATH}", issuer.trim_end_matches('/'));
        let jwks_url = jwks_url.parse().map_err(|_| PeerError::NotAUrl)?;
        Ok(Self::at(jwks_url, VerifierPolicy::new(issuer, audiences)))
    }

    /// Trusts an issuer that publishes its keys at another URL. Its revocation feed is at the URL
    /// of [`Revocations::beside`].
    pub fn at(jwks_url: Url, policy: VerifierPolicy) -> Self {
        let revocations = Some(Revocations::beside(&jwks_url));
        Self {
            policy,
            jwks_url,
            kept_in: None,
            keys_max_age: KEYS_MAX_AGE,
            revocations,
        }
    }
}
