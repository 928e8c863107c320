//! The JWKS as it is served: bytes and validators prepared once, not per request.

use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};

use super::{KeySet, PublicKeySet};

/// How long a cache may hold the JWKS when no key is about to begin signing. Short beside the lead of a new key
/// (30 min), long enough that a proxy in front takes the load.
const MAX_AGE: TimeDelta = TimeDelta::minutes(5);

/// The published keys at one time.
#[derive(Debug)]
pub struct JwksDocument {
    /// `{"keys":[…]}`
    pub body: Vec<u8>,
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// When the set of visible keys, or the key that signs, changes next.
    expires: Option<DateTime<Utc>>,
    next_first_signature: Option<DateTime<Utc>>,
}

impl JwksDocument {
    /// Prepares the document that holds at `now`.
    pub fn prepare(keys: &KeySet, now: DateTime<Utc>) -> Self {
        let body = serde_json::to_vec(&keys.visible(now).collect::<PublicKeySet<'_>>()).expect("strings serialize");
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, &body).as_ref()[..16]));
        Self { body, etag, expires: keys.next_change(now), next_first_signature: keys.next_first_signature(now) }
    }

    /// Seconds for which a cache may hold this answer: never past the next key's first signature, since a verifier
    /// behind that cache would meet a key it has not seen.
    pub fn max_age(&self, now: DateTime<Utc>) -> i64 {
        let until_next = self.next_first_signature.map(|at| at - now).unwrap_or(MAX_AGE);
        until_next.clamp(TimeDelta::zero(), MAX_AGE).num_seconds()
    }
}

/// Gives out the document that holds now, and prepares it anew only when the clock has passed a key's `nbf` or `exp`.
#[derive(Debug)]
pub struct Publisher {
    keys: Arc<KeySet>,
    current: RwLock<Arc<JwksDocument>>,
}

impl Publisher {
    /// Prepares the first document.
    pub fn new(keys: Arc<KeySet>, now: DateTime<Utc>) -> Self {
        let current = RwLock::new(Arc::new(JwksDocument::prepare(&keys, now)));
        Self { keys, current }
    }

    /// The document at `now`.
    pub fn document(&self, now: DateTime<Utc>) -> Arc<JwksDocument> {
        let held = Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner));
        if held.expires.is_none_or(|at| now < at) {
            return held;
        }
        let fresh = Arc::new(JwksDocument::prepare(&self.keys, now));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Algorithm, PrivateJwk, StoredKeys};

    #[test]
    fn a_cache_never_holds_the_set_past_the_next_keys_first_signature() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = Arc::new(KeySet::parse(&StoredKeys::content_of(&keys)).expect("a set"));
        let publisher = Publisher::new(Arc::clone(&set), at(1));
        for (now, max_age) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            assert_eq!(publisher.document(at(now)).max_age(at(now)), max_age, "at {now}");
        }
        assert!(!String::from_utf8_lossy(&publisher.document(at(2)).body).contains("\"d\""));
    }
}
