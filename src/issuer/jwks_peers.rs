//! The public keys of issuers in other regions, which are published beside this one's, so that a verifier accepts the
//! tokens of all of them. Nothing is signed or accepted here because of them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use reqwest::{Method, Request, Url};
use wxmint_upstream::Upstream;
use wxmint_verify::{PublicKey, PublicKeySet, PublishedKeys};

use super::Issuer;

/// Less than any lead of keys that is of use, so that a new key is here before it signs there.
const INTERVAL: Duration = Duration::from_secs(30);
const WITHIN: Duration = Duration::from_secs(5);
/// Asks a peer for its own keys alone: a key that it has retired must not come back from whoever it publishes.
pub(super) const OWN: &str = "own";

/// One further set of keys, as it was last read.
pub(super) struct PeerKeys {
    url: Url,
    keys: ArcSwapOption<Vec<PublicKey>>,
}

impl PeerKeys {
    pub(super) fn at(url: &Url) -> Self {
        let mut url = url.clone();
        url.query_pairs_mut().append_key_only(OWN);
        Self { url, keys: ArcSwapOption::empty() }
    }

    async fn fetch(&self, http: &Upstream) -> Result<(), String> {
        let fetched =
            http.fetch(Request::new(Method::GET, self.url.clone())).await.map_err(|error| error.to_string())?;
        if !fetched.status.is_success() {
            return Err(format!("the answer is {}", fetched.status));
        }
        let PublishedKeys { keys, refused } = PublishedKeys::read(&fetched.body).map_err(|error| error.to_string())?;
        self.keys.store(Some(Arc::new(keys)));
        refused.first().map_or(Ok(()), |error| Err(error.to_string()))
    }
}

impl Issuer {
    /// The JWKS with the keys of peers behind `own`. A key id that is taken keeps its key.
    pub(super) fn with_peers<'a>(&self, own: impl Iterator<Item = &'a PublicKey>) -> Vec<u8> {
        let peers: Vec<_> = self.peers.iter().filter_map(|peer| peer.keys.load_full()).collect();
        let (mut keys, mut kids): (Vec<&PublicKey>, _) = (own.collect(), HashSet::new());
        keys.extend(peers.iter().flat_map(|keys| keys.iter()));
        keys.retain(|key| kids.insert(key.kid()));
        serde_json::to_vec(&keys.into_iter().collect::<PublicKeySet<'_>>()).expect("strings serialize")
    }

    /// Reads the sets again and again. One that cannot be read stays as it was.
    pub(super) async fn follow_peers(self: Arc<Self>) {
        let Ok(http) = Upstream::new(&self.tls, WITHIN, WITHIN) else { return };
        let mut interval = actix_web::rt::time::interval(INTERVAL);
        loop {
            interval.tick().await;
            let mut faults = Vec::new();
            for peer in &self.peers {
                let fault = peer.fetch(&http).await.err();
                faults.extend(fault.map(|reason| format!("{}: {reason}", peer.url.host_str().unwrap_or_default())));
            }
            let warning = format!("WXMINT_JWKS_PEERS: keys are not published, or as they were: {}", faults.join("; "));
            let warning = (!faults.is_empty()).then_some(warning);
            if self.readiness.warns("jwks_peers", warning.as_deref()) {
                tracing::warn!(warning, "keys of peers");
            }
        }
    }
}
