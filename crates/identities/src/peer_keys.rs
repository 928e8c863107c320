//! The public keys of this issuer in another region.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use reqwest::{Method, Request, Url};
use wxmint_upstream::Upstream;
use wxmint_verify::{PublicKey, PublishedKeys};

use super::issuers::{fetch, usable};

/// Asks a peer for its own keys alone: a key that it has retired must not come back from whoever it publishes.
pub const OWN: &str = "own";

/// One further set of keys, as it was last read.
pub struct PeerKeys {
    url: Url,
    keys: ArcSwapOption<Vec<PublicKey>>,
}

impl PeerKeys {
    /// Reads nothing yet.
    pub fn at(url: &Url) -> Self {
        let mut url = url.clone();
        url.query_pairs_mut().append_key_only(OWN);
        Self { url, keys: ArcSwapOption::empty() }
    }

    /// The host, for warnings.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// The keys, once they were read.
    pub fn keys(&self) -> Option<Arc<Vec<PublicKey>>> {
        self.keys.load_full()
    }

    /// Reads the keys. Those that cannot be read stay as they were, and the error says why.
    pub async fn fetch(&self, http: &Upstream) -> Result<(), String> {
        let set = fetch(http, Request::new(Method::GET, self.url.clone())).await?;
        let PublishedKeys { keys, refused } = usable(PublishedKeys::read(&set))?;
        self.keys.store(Some(Arc::new(keys)));
        refused.first().map_or(Ok(()), |error| Err(error.to_string()))
    }
}
