//! An issuer of another make, such as a Kubernetes API server, whose tokens say which service asks.

use std::{pin::Pin, sync::Arc};

use chrono::{DateTime, Utc};

use super::NotVerified::{self, StaleKeys};
use super::fetch::Place;
use super::remote::RemoteKeys;
use super::trusted_issuer::KEYS_MAX_AGE;
use crate::{Identity, PolicyError, PublishedKeys, Refused, Verified, Verifier, VerifierPolicy};

/// Fetches an issuer's keys ([`PublishedKeys::read_of_others`]), wherever they are, within limits of time and size, and
/// returns an error for the log if there are none.
pub type FetchKeys = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<PublishedKeys, String>> + Send>> + Send + Sync>;

/// Identifies services by the tokens of one issuer. Keeps its keys fresh until dropped, for a day while it is away.
pub struct OtherIssuer {
    verifier: Verifier,
    keys: Arc<RemoteKeys>,
}

impl OtherIssuer {
    /// Starts to fetch on the current tokio runtime.
    pub fn start(policy: VerifierPolicy, fetch: FetchKeys) -> Result<Self, PolicyError> {
        let keys = RemoteKeys::start(&policy.issuer, Place::OfOthers(fetch), KEYS_MAX_AGE, None, Arc::new(()));
        Ok(Self { verifier: Verifier::new(policy)?, keys })
    }

    /// As [`Verifier::identify`]. Waits only if its key is unknown or the keys are too old, at most 2 s.
    pub async fn identify(
        &self,
        token: &str,
        subject: &str,
        now: DateTime<Utc>,
    ) -> Result<Verified<Identity>, NotVerified> {
        let judge = || Ok(self.verifier.identify(token, subject, &self.keys.believed(now)?.keys, now)?);
        match judge() {
            Err(NotVerified::Refused(Refused::UnknownKey) | StaleKeys) if self.keys.look_again().await => judge(),
            judged => judged,
        }
    }
}
