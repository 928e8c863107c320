//! The JWKS as it is served: bytes and validators prepared once, not per request.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    KeySet, PublicKeySet,
    rotation::{self, KeyLife},
};

/// The published keys at one time.
#[derive(Debug)]
pub struct JwksDocument {
    /// `{"keys":[…]}`
    pub body: Vec<u8>,
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// When the set of visible keys, or the key that signs, changes next.
    expires: Option<DateTime<Utc>>,
    lives: Vec<KeyLife>,
    lead: TimeDelta,
}

impl JwksDocument {
    /// Prepares the document that holds at `now`, where keys are published `lead` before they sign.
    pub fn prepare(keys: &KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Self {
        let body = serde_json::to_vec(&keys.visible(now).collect::<PublicKeySet<'_>>()).expect("strings serialize");
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, &body).as_ref()[..16]));
        Self { body, etag, expires: keys.next_change(now), lives: keys.lives().to_vec(), lead }
    }

    /// Seconds for which a cache may hold this answer: [`rotation::max_age`].
    pub fn max_age(&self, now: DateTime<Utc>) -> i64 {
        rotation::max_age(&self.lives, self.lead, now).num_seconds()
    }

    /// Whether the clock has passed the moment until which this document holds.
    pub(super) fn is_stale(&self, now: DateTime<Utc>) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Algorithm, KeyRing, PrivateJwk, StoredKeys};

    #[test]
    fn a_cache_never_holds_the_set_past_the_next_keys_first_signature() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::content_of(&keys)).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1)).expect("a ring");
        for (now, max_age) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            assert_eq!(ring.at(at(now)).document().max_age(at(now)), max_age, "at {now}");
        }
        assert!(!String::from_utf8_lossy(&ring.at(at(2)).document().body).contains("\"d\""));
    }
}
