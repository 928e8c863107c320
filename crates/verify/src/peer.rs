//! Verifies tokens in a Rust service. Each trusted issuer has a verifier. Its keys are fetched
//! before they expire, and kept while the issuer cannot be reached. The peer follows the issuer's
//! revocation feed, so that a token is refused within seconds after its user has logged out.
//!
//! ```no_run
//! # use chrono::{DateTime, Utc};
//! use wxmint_verify::peer::{Peer, TrustedIssuer};
//!
//! # async fn start(
//! #     authorization: &str,
//! #     now: DateTime<Utc>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // Once, in the service's tokio runtime.
//! let issuer = TrustedIssuer::new("https://login.example.com", ["https://api.example.com"])?;
//! let peer = Peer::start(vec![issuer])?;
//! // For each request.
//! let token = wxmint_verify::bearer([authorization.as_bytes()])?;
//! let claims = peer.verify(token, now).await?;
//! println!("{}", claims.user.as_str());
//! # Ok(()) }
//! ```

#[cfg(feature = "actix")]
pub mod actix;
mod fetch;
mod follower;
#[cfg(feature = "gate")]
mod gate;
mod http;
mod other_issuer;
#[cfg(feature = "gate")]
mod remembered;
mod remote;
mod schedule;
mod shelf;
#[cfg(test)]
mod tests;
mod trusted_issuer;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use self::fetch::Place;
use self::follower::RemoteRevocations;
#[cfg(feature = "gate")]
pub use self::gate::{Admitted, Denial, Denied, Gate, USER_HEADERS, may_carry_claim, token_of};
use self::http::Http;
pub use self::http::StartError;
pub use self::other_issuer::{FetchKeys, OtherIssuer};
#[cfg(feature = "gate")]
pub use self::remembered::{HeaderText, RememberedUser};
use self::remote::RemoteKeys;
use self::shelf::Shelf;
pub use self::trusted_issuer::{Revocations, TrustedIssuer, WhenStale};
use crate::revocations::{RevocableToken, RevocationSet};
use crate::{Claims, PolicyError, Refused, UnverifiedIssuer, Verified, Verifier};

/// The current time, for background tasks: they have no caller that could pass it.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock here"
)]
fn now() -> DateTime<Utc> {
    Utc::now()
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
    /// The issuer has not confirmed its keys for [`TrustedIssuer::keys_max_age`]. Answer with 503.
    #[error("the issuer's keys have not been confirmed for too long")]
    StaleKeys,
    /// The token is valid, but it may have been revoked since, because the revocation feed was not
    /// read for too long. Answer with 503.
    #[error("the issuer's revocation feed has not been read for too long")]
    StaleRevocations,
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

/// Observes fetches, for metrics: it is called after each fetch of keys, and for each page of the
/// revocation feed that was not accepted.
pub trait Watcher: Send + Sync {
    /// A fetch of this issuer's keys has ended.
    fn fetched(&self, issuer: &str, outcome: FetchOutcome);

    /// A page of this issuer's revocation feed was not received or not accepted. `reason` is a word
    /// for a metric's label; there are about twenty.
    fn page_refused(&self, issuer: &str, reason: &'static str);
}

/// Ignores all fetches.
impl Watcher for () {
    fn fetched(&self, _: &str, _: FetchOutcome) {}

    fn page_refused(&self, _: &str, _: &'static str) {}
}

/// Verifies the tokens of the trusted issuers. Fetches their keys and follows their revocation
/// feeds until it is dropped.
pub struct Peer {
    trusted: Vec<Trusted>,
}

struct Trusted {
    issuer: String,
    verifier: Verifier,
    keys: Arc<RemoteKeys>,
    revocations: Option<RemoteRevocations>,
}

impl Trusted {
    fn start(
        trusted: &TrustedIssuer,
        http: &Http,
        watcher: &Arc<dyn Watcher>,
    ) -> Result<Self, PeerError> {
        let issuer = trusted.policy.issuer.clone();
        let verifier = Verifier::new(trusted.policy.clone())?;
        let (url, max_age) = (&trusted.jwks_url, trusted.keys_max_age);
        let shelf = trusted
            .kept_in
            .as_ref()
            .map(|folder| Arc::new(Shelf::of(folder, &issuer, url.as_str())));
        let keys = RemoteKeys::start(
            &issuer,
            Place::At(http.clone(), url.clone()),
            max_age,
            shelf,
            Arc::clone(watcher),
        );
        let follow = |feed| {
            RemoteRevocations::start(
                &issuer,
                feed,
                Arc::clone(&keys),
                http.clone(),
                Arc::clone(watcher),
            )
        };
        let revocations = trusted.revocations.as_ref().map(follow);
        Ok(Self {
            issuer,
            verifier,
            keys,
            revocations,
        })
    }

    /// Looks up whether a token with a valid signature has been revoked.
    fn check_revocations(
        &self,
        token: &RevocableToken,
        now: DateTime<Utc>,
    ) -> Result<(), NotVerified> {
        match &self.revocations {
            Some(remote) if remote.revocations().is_revoked(token) => Err(Refused::Revoked.into()),
            Some(remote) if remote.must_refuse(now) => Err(NotVerified::StaleRevocations),
            _ => Ok(()),
        }
    }
}

/// The state of one issuer's keys and revocations in this peer.
#[derive(Debug, Clone, Copy)]
pub struct KnownOf<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// The number of usable keys.
    pub keys: usize,
    /// The time since the last successful fetch of keys, including one that was answered with 304;
    /// `None` before the first.
    pub keys_age: Option<Duration>,
    /// Whether no token can be judged: there are no keys, or they are older than
    /// [`TrustedIssuer::keys_max_age`].
    pub lacks_keys: bool,
    /// The number of revocations that are held; `None` if the feed is not followed.
    pub revocations: Option<usize>,
    /// The age of the newest page that reached the end of the feed; `None` before the first.
    pub revocations_age: Option<Duration>,
    /// Whether revocations may be missing, because the feed was never read to its end, was not read
    /// to its end for [`Revocations::max_age`], or has more revocations than the peer can hold.
    /// Revoked tokens are then accepted if [`WhenStale::Open`].
    pub lacks_revocations: bool,
}

/// Records which edition of an issuer's keys verified a token, and the parts of the token that a
/// revocation can name. [`Peer::holds`] rejects the proof once those keys have changed or the token
/// has been revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    issuer: usize,
    edition: u64,
    token: RevocableToken,
}

impl Proof {
    /// A proof as [`Peer::prove`] would return it, for tests of code that caches proofs.
    #[doc(hidden)]
    pub fn of_a_test(issuer: usize, edition: u64, claims: &Claims) -> Self {
        Self {
            issuer,
            edition,
            token: RevocableToken::of("https://login.example.com", claims, "a-kid"),
        }
    }
}

impl Peer {
    /// Starts to fetch the issuers' keys and to follow their revocation feeds. Call it in a tokio
    /// runtime that lives as long as the peer.
    pub fn start(trusted: Vec<TrustedIssuer>) -> Result<Self, PeerError> {
        Self::watched(trusted, Arc::new(()))
    }

    /// As [`Peer::start`], with a `watcher` that observes the fetches.
    pub fn watched(
        trusted: Vec<TrustedIssuer>,
        watcher: Arc<dyn Watcher>,
    ) -> Result<Self, PeerError> {
        if trusted.is_empty() {
            return Err(PeerError::NoIssuer);
        }
        let names = || trusted.iter().map(|issuer| &issuer.policy.issuer);
        if names()
            .enumerate()
            .any(|(index, name)| names().take(index).any(|other| other == name))
        {
            return Err(PeerError::IssuerTwice);
        }
        let http = Http::new(trusted.iter().any(TrustedIssuer::needs_tls))?;
        let started = trusted
            .iter()
            .map(|issuer| Trusted::start(issuer, &http, &watcher));
        Ok(Self {
            trusted: started.collect::<Result<_, PeerError>>()?,
        })
    }

    /// Waits until the keys of every issuer are available.
    pub async fn has_keys(&self) {
        for trusted in &self.trusted {
            trusted.keys.found().await;
        }
    }

    /// Waits until the peer has the keys of every issuer and has read every revocation feed to its
    /// end. For a feed that is [`WhenStale::Open`], it waits at most 10 s for each page and
    /// [`Revocations::max_age`] for all pages. If it gives up, [`Peer::known`] reports
    /// [`KnownOf::lacks_revocations`].
    pub async fn is_ready(&self) {
        self.has_keys().await;
        for revocations in self
            .trusted
            .iter()
            .filter_map(|trusted| trusted.revocations.as_ref())
        {
            revocations.found().await;
        }
    }

    /// Verifies `token` (its compact form) at the time `now` and returns its claims. If the token
    /// names an unknown key, which may be new, or if the keys are too old, this waits up to 2 s for
    /// the keys to be fetched again. Otherwise it does not wait.
    pub async fn verify(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Verified<Claims>, NotVerified> {
        self.prove(token, now).await.map(|(claims, _)| claims)
    }

    /// As [`Peer::verify`], and also returns which keys verified the token.
    pub async fn prove(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(Verified<Claims>, Proof), NotVerified> {
        let issuer = self.issuer_of(token)?;
        let keys = &self.trusted[issuer].keys;
        match self.judge(issuer, token, now) {
            Err(NotVerified::Refused(Refused::UnknownKey) | NotVerified::StaleKeys)
                if keys.look_again().await =>
            {
                self.judge(issuer, token, now)
            }
            judged => judged,
        }
    }

    /// Whether the keys that verified a token are still in use and fresh enough, and the token has
    /// not been revoked. If not, [`Peer::prove`] returns the reason.
    pub fn holds(&self, proof: &Proof, now: DateTime<Utc>) -> bool {
        self.trusted.get(proof.issuer).is_some_and(|trusted| {
            trusted
                .keys
                .believed(now)
                .is_ok_and(|edition| edition.number == proof.edition)
                && trusted.check_revocations(&proof.token, now).is_ok()
        })
    }

    /// The state of each issuer, in the order in which the issuers were given.
    pub fn known(&self) -> impl Iterator<Item = KnownOf<'_>> {
        let now = now();
        self.trusted.iter().map(
            move |Trusted {
                      issuer,
                      keys,
                      revocations,
                      ..
                  }| {
                let lacks_revocations = revocations
                    .as_ref()
                    .is_some_and(|revocations| revocations.is_stale(now));
                let revocations = revocations.as_ref().map(RemoteRevocations::revocations);
                KnownOf {
                    lacks_revocations,
                    lacks_keys: keys.believed(now).is_err(),
                    issuer,
                    keys: keys.edition().map_or(0, |edition| edition.keys.keys.len()),
                    keys_age: keys.age(now),
                    revocations: revocations.map(RevocationSet::count),
                    revocations_age: revocations
                        .and_then(|revocations| revocations.age(now))
                        .map(|age| age.to_std().unwrap_or_default()),
                }
            },
        )
    }

    /// Picks the issuer by the unverified `iss`; the token is then verified with that issuer's keys
    /// alone. Skipped if there is only one issuer.
    fn issuer_of(&self, token: &str) -> Result<usize, Refused> {
        if self.trusted.len() == 1 {
            return Ok(0);
        }
        let claimed = UnverifiedIssuer::of(token)?;
        self.trusted
            .iter()
            .position(|trusted| trusted.issuer == claimed.as_str())
            .ok_or(Refused::Issuer)
    }

    fn judge(
        &self,
        issuer: usize,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(Verified<Claims>, Proof), NotVerified> {
        let trusted = &self.trusted[issuer];
        let edition = trusted.keys.believed(now)?;
        let (claims, token) = trusted.verifier.prove(token, &edition.keys, now)?;
        trusted.check_revocations(&token, now)?;
        Ok((
            claims,
            Proof {
                issuer,
                edition: edition.number,
                token,
            },
        ))
    }
}
