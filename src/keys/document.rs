//! The JWKS document. Body and ETag are computed once per change of the keys, not per request.

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use wxmint_verify::PublicKeySet;

use super::{
    KeySet,
    rotation::{self, KeyLife},
};

/// The JWKS document as it is valid at one time.
#[derive(Debug)]
pub struct JwksDocument {
    pub body: Vec<u8>,
    /// A strong ETag, with its quotes.
    pub etag: String,
    /// When the visible keys or the signing key last changed (`since`) and will change next (`until`).
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    lives: Vec<KeyLife>,
    lead: TimeDelta,
}

impl JwksDocument {
    /// Prepares the document for `now`. `lead` is how long keys are published before they sign.
    pub fn prepare(keys: &KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Self {
        let body = serde_json::to_vec(&keys.visible(now).collect::<PublicKeySet<'_>>()).expect("strings serialize");
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, &body).as_ref()[..16]));
        let (since, until) = keys.changes_around(now);
        Self { body, etag, since, until, lives: keys.lives().to_vec(), lead }
    }

    /// Seconds for which a cache may keep the document: [`rotation::max_age`].
    pub fn max_age(&self, now: DateTime<Utc>) -> i64 {
        rotation::max_age(&self.lives, self.lead, now).num_seconds()
    }

    /// Whether the document is also valid at `now`, which may lie before the time that it was prepared for.
    pub(super) fn holds(&self, now: DateTime<Utc>) -> bool {
        self.since.is_none_or(|at| at <= now) && self.until.is_none_or(|at| now < at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{KeyRing, PrivateJwk, StoredKeys};
    use wxmint_verify::Algorithm;

    #[test]
    fn a_cache_never_keeps_the_set_past_the_next_keys_first_signature() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::content_of(&keys)).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1)).expect("a ring");
        for (now, max_age) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            assert_eq!(ring.at(at(now)).document().max_age(at(now)), max_age, "at {now}");
        }
        assert!(!String::from_utf8_lossy(&ring.at(at(2)).document().body).contains("\"d\""));
    }

    #[test]
    fn a_key_that_a_wrong_clock_hid_is_visible_again_once_the_clock_is_right() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let mut keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        keys[0].set_exp(Some(at(2000)));
        let set = KeySet::parse(&StoredKeys::content_of(&keys)).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1500)).expect("a ring");
        let visible = |now| String::from_utf8_lossy(&ring.at(at(now)).document().body).matches("kid").count();
        assert_eq!([1500, 2500, 1500, 500, 2000].map(visible), [2, 1, 2, 2, 1]);
    }
}
