//! The public keys of issuers in other regions, which are published beside this one's, so that a verifier accepts the
//! tokens of all of them. Nothing is signed or accepted here because of them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use wxmint_upstream::Upstream;
use wxmint_verify::{PublicKey, PublicKeySet};

use super::Issuer;

/// Less than any lead of keys that is of use, so that a new key is here before it signs there.
const INTERVAL: Duration = Duration::from_secs(30);
const WITHIN: Duration = Duration::from_secs(5);

impl Issuer {
    /// The JWKS with the keys of peers behind `own`. A key id that is taken keeps its key.
    pub(super) fn with_peers<'a>(&self, own: impl Iterator<Item = &'a PublicKey>) -> Vec<u8> {
        let peers: Vec<_> = self.peers.iter().filter_map(|peer| peer.keys()).collect();
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
                faults.extend(fault.map(|reason| format!("{}: {reason}", peer.host())));
            }
            let warning = format!("WXMINT_JWKS_PEERS: keys are not published, or as they were: {}", faults.join("; "));
            let warning = (!faults.is_empty()).then_some(warning);
            if self.readiness.warns("jwks_peers", warning.as_deref()) {
                tracing::warn!(warning, "keys of peers");
            }
        }
    }
}
