//! What a service in Rust needs in order to believe tokens by itself: verifiers, each with the keys of its issuer, which
//! are fetched ahead of time and kept through any failure of the issuer's.
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

/// Where an issuer publishes its keys, unless it says otherwise.
const JWKS_PATH: &str = "/.well-known/jwks.json";

/// An issuer whose tokens are believed, and where its keys are.
#[derive(Debug, Clone)]
pub struct TrustedIssuer {
    /// Which of its tokens.
    pub policy: VerifierPolicy,
    /// Its JWKS. https, unless the network in between is trusted as much as the issuer is.
    pub jwks_url: Url,
    /// A folder in which the last good keys are kept, for a start while the issuer is away. Whoever can write there can
    /// have tokens believed.
    pub kept_in: Option<PathBuf>,
}

impl TrustedIssuer {
    /// An issuer that publishes its keys where wxmint does, and what its tokens for us are meant for.
    pub fn new(issuer: &str, audiences: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, PeerError> {
        let jwks_url = format!("{}{JWKS_PATH}", issuer.trim_end_matches('/'));
        let jwks_url = jwks_url.parse().map_err(|_| PeerError::NotAUrl)?;
        Ok(Self { policy: VerifierPolicy::new(issuer, audiences), jwks_url, kept_in: None })
    }
}

/// Why a [`Peer`] cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The issuer is not a URL, or has none from which its keys' could be made.
    #[error("the issuer is not a URL such as https://login.example.com")]
    NotAUrl,
    /// Nobody is trusted.
    #[error("no issuer is given")]
    NoIssuer,
    /// Two of one name: nobody could say whose keys hold.
    #[error("an issuer is given twice")]
    IssuerTwice,
    /// A policy under which no token could be believed.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// The HTTP client cannot be made.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// Why a token is not believed, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It is not valid here: 401.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// Its issuer's keys have not been fetched yet, so that nobody can tell: 503.
    #[error("the issuer's keys have not been fetched yet")]
    NoKeys,
}

/// How a fetch of keys ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchOutcome {
    /// With a set.
    Changed,
    /// With 304: the set that is in use holds.
    Unchanged,
    /// Without keys. Those of before stay in use.
    Failed,
}

/// Told of each fetch, for metrics.
pub trait Watcher: Send + Sync {
    /// A fetch of this issuer's keys has ended.
    fn fetched(&self, issuer: &str, outcome: FetchOutcome);
}

/// Nobody watches.
impl Watcher for () {
    fn fetched(&self, _: &str, _: FetchOutcome) {}
}

/// Believes tokens of the issuers that it trusts. Fetches their keys for as long as it lives.
pub struct Peer {
    trusted: Vec<Trusted>,
}

struct Trusted {
    issuer: String,
    verifier: Verifier,
    keys: RemoteKeys,
}

/// What is known of one issuer's keys.
#[derive(Debug, Clone, Copy)]
pub struct KeysOf<'a> {
    /// Whose keys.
    pub issuer: &'a str,
    /// How many there are.
    pub count: usize,
    /// How long ago they were last fetched, also where nothing had changed; `None` before they were.
    pub age: Option<Duration>,
}

/// By which keys a token was verified. No longer [`Peer::holds`] when its issuer's keys have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    issuer: usize,
    edition: u64,
}

#[cfg(all(test, feature = "service"))]
impl Proof {
    /// As of a token that was verified.
    pub(crate) fn of_a_test(issuer: usize, edition: u64) -> Self {
        Self { issuer, edition }
    }
}

impl Peer {
    /// Begins to fetch the issuers' keys. Call it in a tokio runtime that lives as long as the peer.
    pub fn start(trusted: Vec<TrustedIssuer>) -> Result<Self, PeerError> {
        Self::watched(trusted, Arc::new(()))
    }

    /// As [`Peer::start`], and `watcher` is told of each fetch.
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

    /// Resolves when there are keys of every issuer.
    pub async fn has_keys(&self) {
        for trusted in &self.trusted {
            trusted.keys.found().await;
        }
    }

    /// The claims of `token` (its compact form) if one of the issuers signed it and its policy takes it at `now`. Waits only
    /// where the token names a key that is unknown and may be new, and for 2 s at most.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Verified<Claims>, NotVerified> {
        self.prove(token, now).await.map(|(claims, _)| claims)
    }

    /// As [`Peer::verify`], and by which keys.
    pub async fn prove(&self, token: &str, now: DateTime<Utc>) -> Result<(Verified<Claims>, Proof), NotVerified> {
        let issuer = self.issuer_of(token)?;
        match self.judge(issuer, token, now) {
            Err(NotVerified::Refused(Refused::UnknownKey)) if self.trusted[issuer].keys.look_again().await => {
                self.judge(issuer, token, now)
            }
            judged => judged,
        }
    }

    /// Whether the keys that proved a token are still those of its issuer.
    pub fn holds(&self, proof: Proof) -> bool {
        let edition = self.trusted.get(proof.issuer).and_then(|trusted| trusted.keys.edition());
        edition.is_some_and(|edition| edition.number == proof.edition)
    }

    /// The state of each issuer's keys, in the order in which they were given.
    pub fn keys(&self) -> impl Iterator<Item = KeysOf<'_>> {
        let now = Instant::now();
        self.trusted.iter().map(move |Trusted { issuer, keys, .. }| KeysOf {
            issuer,
            count: keys.edition().map_or(0, |edition| edition.keys.keys.len()),
            age: keys.age(now),
        })
    }

    /// Whose token it says it is; whether that is true is judged with that issuer's keys alone. With one issuer there is
    /// nothing to find out.
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
