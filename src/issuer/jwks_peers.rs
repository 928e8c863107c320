//! The public keys of issuers in other regions, which are published beside this one's, so that a verifier accepts the
//! tokens of all of them. Nothing is signed or accepted here because of them.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use reqwest::{Method, Request, Url};
use wxmint_upstream::{FetchError, Fetched, Upstream};
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
        let fetched = http.fetch(Request::new(Method::GET, self.url.clone())).await;
        let Fetched { status, body, .. } = fetched.map_err(|error: FetchError| error.to_string())?;
        if !status.is_success() {
            return Err(format!("the answer is {status}"));
        }
        let PublishedKeys { keys, refused } = PublishedKeys::read(&body).map_err(|error| error.to_string())?;
        if let Some(error) = refused.first() {
            tracing::warn!(peer = self.url.host_str(), %error, "a key of a peer is not published");
        }
        self.keys.store(Some(Arc::new(keys)));
        Ok(())
    }
}

impl Issuer {
    /// The JWKS with the keys of peers behind `own`. A key id that is taken keeps its key.
    pub(super) fn with_peers<'a>(&self, own: impl Iterator<Item = &'a PublicKey>) -> Vec<u8> {
        let peers: Vec<_> = self.peers.iter().filter_map(|peer| peer.keys.load_full()).collect();
        let mut keys: Vec<&PublicKey> = own.collect();
        for key in peers.iter().flat_map(|keys| keys.iter()) {
            if keys.iter().all(|other| other.kid() != key.kid()) {
                keys.push(key);
            }
        }
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
            let warning = format!("WXMINT_JWKS_PEERS: keys are published as they were: {}", faults.join("; "));
            if self.readiness.warns("jwks_peers", (!faults.is_empty()).then_some(&*warning)) && !faults.is_empty() {
                tracing::warn!("{warning}");
            }
        }
    }
}
