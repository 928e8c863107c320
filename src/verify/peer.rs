//! Verifies tokens in a Rust service: a verifier for each trusted issuer, with keys that are fetched ahead of time and
//! kept while the issuer cannot be reached.
//!
//! ```no_run
//! # use chrono::{DateTime, Utc};
//! use wxmint::verify::peer::{Peer, TrustedIssuer};
//!
//! # async fn start(authorization: &str, now: DateTime<Utc>) -> Result<(), Box<dyn std::error::Error>> {
//! // Once, in the service's tokio runtime.
//! let peer = Peer::start(vec![TrustedIssuer::new("https://login.example.com", ["https://api.example.com"])?])?;
//! // For each request.
//! let token = wxmint::verify::bearer([authorization.as_bytes()])?;
//! let claims = peer.verify(token, now).await?;
//! println!("{}", claims.user.as_str());
//! # Ok(()) }
//! ```

#[cfg(feature = "actix")]
pub mod actix;
mod fetch;
mod remote;
mod schedule;
mod shelf;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::Url;

use self::remote::RemoteKeys;
pub use crate::upstream::StartError;
use crate::{
    upstream::Tls,
    verify::{Claims, PolicyError, Refused, UnverifiedIssuer, Verified, Verifier, VerifierPolicy},
};

/// The path at which wxmint publishes its keys.
const JWKS_PATH: &str = "/.well-known/jwks.json";

/// An issuer whose tokens are accepted, and the URL of its keys.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Which of the issuer's tokens are accepted.
    pub policy: VerifierPolicy,
    /// The URL of the issuer's JWKS. Use https, unless you trust the network as much as the issuer.
    pub jwks_url: Url,
    /// A folder for the last good keys, which are used if the service starts while the issuer cannot be reached.
    /// Whoever can write to this folder can make the service accept forged tokens.
    pub kept_in: Option<PathBuf>,
}

impl TrustedIssuer {
    /// Trusts an issuer that publishes its keys at wxmint's path. `audiences` are the values of `aud` that mean this
    /// service.
    pub fn new(issuer: &str, audiences: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, PeerError> {
        let jwks_url = format!("{}{JWKS_PATH}", issuer.trim_end_matches('/'));
        let jwks_url = jwks_url.parse().map_err(|_| PeerError::NotAUrl)?;
        Ok(Self { policy: VerifierPolicy::new(issuer, audiences), jwks_url, kept_in: None })
    }
}

/// Why a [`Peer`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The issuer is not a URL, or no JWKS URL can be made from it.
    #[error("the issuer is not a URL such as https://login.example.com")]
    NotAUrl,
    /// The list of issuers is empty.
    #[error("no issuer is given")]
    NoIssuer,
    /// Two issuers have the same name, so it is unclear whose keys count.
    #[error("an issuer is given twice")]
    IssuerTwice,
    /// A policy could accept no token, or its leeway is too long.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why a token could not be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// The token is not valid for this service. Answer with 401.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// The issuer's keys have never been fetched, so the token cannot be judged. Answer with 503.
    #[error("the issuer's keys have not been fetched yet")]
    NoKeys,
}

/// The outcome of fetching an issuer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchOutcome {
    /// A set of keys was received.
    Changed,
    /// The issuer answered 304, so the keys in use are still current.
    Unchanged,
    /// The fetch failed; the previous keys stay in use.
    Failed,
}

/// Is called after each fetch of keys, for metrics.
pub trait Watcher: Send + Sync {
    /// A fetch of this issuer's keys has ended.
    fn fetched(&self, issuer: &str, outcome: FetchOutcome);
}

/// Ignores all fetches.
impl Watcher for () {
    fn fetched(&self, _: &str, _: FetchOutcome) {}
}

/// Verifies the tokens of the trusted issuers. Fetches their keys until it is dropped.
pub struct Peer {
    trusted: Vec<Trusted>,
}

struct Trusted {
    issuer: String,
    verifier: Verifier,
    keys: RemoteKeys,
}

/// The state of one issuer's keys.
#[derive(Debug, Clone, Copy)]
pub struct KeysOf<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The number of usable keys.
    pub count: usize,
    /// The time since the last successful fetch, including one that was answered with 304; `None` before the first.
    pub age: Option<Duration>,
}

/// Which edition of an issuer's keys verified a token. [`Peer::holds`] no longer accepts it once those keys have
/// changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    issuer: usize,
    edition: u64,
}

#[cfg(all(test, feature = "service"))]
impl Proof {
    /// A proof as [`Peer::prove`] would return it.
    pub(crate) fn of_a_test(issuer: usize, edition: u64) -> Self {
        Self { issuer, edition }
    }
}

impl Peer {
    /// Starts to fetch the issuers' keys. Call it in a tokio runtime that lives as long as the peer.
    pub fn start(trusted: Vec<TrustedIssuer>) -> Result<Self, PeerError> {
        Self::watched(trusted, Arc::new(()))
    }

    /// As [`Peer::start`]; `watcher` is called after each fetch.
    pub fn watched(trusted: Vec<TrustedIssuer>, watcher: Arc<dyn Watcher>) -> Result<Self, PeerError> {
        if trusted.is_empty() {
            return Err(PeerError::NoIssuer);
        }
        let names = || trusted.iter().map(|issuer| &issuer.policy.issuer);
        if names().enumerate().any(|(index, name)| names().take(index).any(|other| other == name)) {
            return Err(PeerError::IssuerTwice);
        }
        let tls = Tls::from_system()?;
        let start = |TrustedIssuer { policy, jwks_url, kept_in }: TrustedIssuer| {
            let issuer = policy.issuer.clone();
            let verifier = Verifier::new(policy)?;
            let keys = RemoteKeys::start(&issuer, &jwks_url, kept_in.as_deref(), &tls, Arc::clone(&watcher))?;
            Ok(Trusted { issuer, verifier, keys })
        };
        Ok(Self { trusted: trusted.into_iter().map(start).collect::<Result<_, PeerError>>()? })
    }

    /// Waits until the keys of every issuer are available.
    pub async fn has_keys(&self) {
        for trusted in &self.trusted {
            trusted.keys.found().await;
        }
    }

    /// Verifies `token` (its compact form) at the time `now` and returns its claims. Waits only if the token names an
    /// unknown key, which may be a new one, and then for at most 2 s.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Verified<Claims>, NotVerified> {
        self.prove(token, now).await.map(|(claims, _)| claims)
    }

    /// As [`Peer::verify`], and also returns which keys verified the token.
    pub async fn prove(&self, token: &str, now: DateTime<Utc>) -> Result<(Verified<Claims>, Proof), NotVerified> {
        let issuer = self.issuer_of(token)?;
        match self.judge(issuer, token, now) {
            Err(NotVerified::Refused(Refused::UnknownKey)) if self.trusted[issuer].keys.look_again().await => {
                self.judge(issuer, token, now)
            }
            judged => judged,
        }
    }

    /// Whether the keys that verified a token are still in use.
    pub fn holds(&self, proof: Proof) -> bool {
        let edition = self.trusted.get(proof.issuer).and_then(|trusted| trusted.keys.edition());
        edition.is_some_and(|edition| edition.number == proof.edition)
    }

    /// The state of each issuer's keys, in the order in which the issuers were given.
    pub fn keys(&self) -> impl Iterator<Item = KeysOf<'_>> {
        let now = Instant::now();
        self.trusted.iter().map(move |Trusted { issuer, keys, .. }| KeysOf {
            issuer,
            count: keys.edition().map_or(0, |edition| edition.keys.keys.len()),
            age: keys.age(now),
        })
    }

    /// Picks the issuer by the unverified `iss`; the token is then verified with that issuer's keys alone. Skipped if
    /// there is only one issuer.
    fn issuer_of(&self, token: &str) -> Result<usize, Refused> {
        if self.trusted.len() == 1 {
            return Ok(0);
        }
        let claimed = UnverifiedIssuer::of(token)?;
        self.trusted.iter().position(|trusted| trusted.issuer == claimed.as_str()).ok_or(Refused::Issuer)
    }

    fn judge(&self, issuer: usize, token: &str, now: DateTime<Utc>) -> Result<(Verified<Claims>, Proof), NotVerified> {
        let trusted = &self.trusted[issuer];
        let edition = trusted.keys.edition().ok_or(NotVerified::NoKeys)?;
        let claims = trusted.verifier.verify(token, &edition.keys, now)?;
        Ok((claims, Proof { issuer, edition: edition.number }))
    }
}
