//! An issuer that a peer trusts: where its keys and its feed of ends are, and how long they are believed.

use std::{path::PathBuf, time::Duration};

use reqwest::Url;

use super::PeerError;
use crate::VerifierPolicy;

/// The path at which wxmint publishes its keys.
const JWKS_PATH: &str = "/.well-known/jwks.json";
/// The path at which wxmint publishes what has been ended.
const REVOCATIONS_PATH: &str = "/revocations";
/// The default of [`TrustedIssuer::keys_max_age`].
pub(super) const KEYS_MAX_AGE: Duration = Duration::from_secs(86_400);

/// An issuer whose tokens are accepted, and the URL of its keys.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Tells which of the issuer's tokens are accepted.
    pub policy: VerifierPolicy,
    /// The URL of the issuer's JWKS. Use https, unless you trust the network as much as the issuer.
    pub jwks_url: Url,
    /// A folder for the last good keys, which are used if the service starts while the issuer cannot be reached.
    /// Whoever can write to this folder can make the service accept forged tokens.
    pub kept_in: Option<PathBuf>,
    /// How long the keys are believed after the issuer last confirmed them, also across restarts with `kept_in`. With
    /// wxmint's default token life, no token is left after a day.
    pub keys_max_age: Duration,
    /// The feed of ends; `None` if tokens are to be accepted until they expire, whatever happens to their users.
    pub revocations: Option<Revocations>,
}

/// How an issuer's feed of ends is followed.
#[derive(Debug, Clone)]
pub struct Revocations {
    /// The URL of the feed. Its pages are signed, so that whoever answers in the issuer's place can only withhold them.
    pub url: Url,
    /// The time between two requests.
    pub every: Duration,
    /// The age of the newest page above which the known ends are stale.
    pub max_age: Duration,
    /// Decides over tokens while the known ends are stale.
    pub when_stale: WhenStale,
}

/// The fate of tokens while it is not known which of them have been ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenStale {
    /// They are accepted unless a known end names them. A warning is logged.
    Open,
    /// None is accepted: [`super::NotVerified::StaleEnds`].
    Closed,
}

impl Revocations {
    /// The feed of the issuer whose JWKS is at this URL: `/revocations` in the place of `/.well-known/jwks.json`, or of
    /// the same origin if the JWKS is elsewhere; every 5 s, stale after a minute, and then open.
    pub fn beside(jwks_url: &Url) -> Self {
        // An issuer may have a path, at which a proxy serves all of wxmint.
        let issuer_path = jwks_url.path().strip_suffix(JWKS_PATH).unwrap_or_default();
        let mut url = jwks_url.clone();
        url.set_path(&format!("{issuer_path}{REVOCATIONS_PATH}"));
        url.set_query(None);
        Self::at(url)
    }

    /// As [`Revocations::beside`], at another URL.
    pub fn at(url: Url) -> Self {
        let (every, max_age) = (Duration::from_secs(5), Duration::from_secs(60));
        Self { url, every, max_age, when_stale: WhenStale::Open }
    }
}

impl TrustedIssuer {
    pub(super) fn needs_tls(&self) -> bool {
        let feed = self.revocations.as_ref().map(|revocations| &revocations.url);
        feed.into_iter().chain([&self.jwks_url]).any(|url| url.scheme() == "https")
    }

    /// Trusts an issuer that publishes its keys and its feed of ends at wxmint's paths. `audiences` are the values of
    /// `aud` that mean this service.
    pub fn new(issuer: &str, audiences: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, PeerError> {
        let jwks_url = format!("{}{JWKS_PATH}", issuer.trim_end_matches('/'));
        let jwks_url = jwks_url.parse().map_err(|_| PeerError::NotAUrl)?;
        Ok(Self::at(jwks_url, VerifierPolicy::new(issuer, audiences)))
    }

    /// Trusts an issuer that publishes its keys at another path. Its feed of ends is [`Revocations::beside`] them.
    pub fn at(jwks_url: Url, policy: VerifierPolicy) -> Self {
        let revocations = Some(Revocations::beside(&jwks_url));
        Self { policy, jwks_url, kept_in: None, keys_max_age: KEYS_MAX_AGE, revocations }
    }
}
