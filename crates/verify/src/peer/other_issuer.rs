//! An issuer that is not wxmint, such as a Kubernetes API server, whose tokens identify services.

use std::{pin::Pin, sync::Arc};

use chrono::{DateTime, Utc};

use super::NotVerified::{self, StaleKeys};
use super::fetch::Place;
use super::remote::RemoteKeys;
use super::trusted_issuer::KEYS_MAX_AGE;
use crate::{Identity, PolicyError, PublishedKeys, Refused, Verified, Verifier, VerifierPolicy};

/// Fetches an issuer's keys from any place and parses them by [`PublishedKeys::read_of_others`].
/// The function must limit time and size. Its error is a text for the log; it must return one if
/// there are no keys.
pub type FetchKeys = Box<
    dyn Fn() -> Pin<Box<dyn Future<Output = Result<PublishedKeys, String>> + Send>> + Send + Sync,
>;

/// Identifies services by the tokens of one issuer. Refreshes the issuer's keys until it is
/// dropped. While the issuer cannot be reached, the keys are used for a day after they were last
/// fetched.
pub struct OtherIssuer {
    verifier: Verifier,
    keys: Arc<RemoteKeys>,
}

impl OtherIssuer {
    /// Starts to fetch keys on the current tokio runtime. Fails as [`Verifier::new`] does.
    pub fn start(policy: VerifierPolicy, fetch: FetchKeys) -> Result<Self, PolicyError> {
        let keys = RemoteKeys::start(
            &policy.issuer,
            Place::OfOthers(fetch),
            KEYS_MAX_AGE,
            None,
            Arc::new(()),
        );
        Ok(Self {
            verifier: Verifier::new(policy)?,
            keys,
        })
    }

    /// As [`Verifier::identify`]. Waits at most 2 s, and only if the token's key is unknown or the
    /// keys are too old.
    pub async fn identify(
        &self,
        token: &str,
        subject: &str,
        now: DateTime<Utc>,
    ) -> Result<Verified<Identity>, NotVerified> {
        let judge = || {
            Ok(self
                .verifier
                .identify(token, subject, &self.keys.believed(now)?.keys, now)?)
        };
        match judge() {
            Err(NotVerified::Refused(Refused::UnknownKey) | StaleKeys)
                if self.keys.look_again().await =>
            {
                judge()
            }
            judged => judged,
        }
    }
}
