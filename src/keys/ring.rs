//! The keys in use and the JWKS that publishes them: one immutable value, which is replaced as a whole when the file changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use wxmint_verify::{KeyError, PublicKeySet, PublishedKeys};

use super::{KeySet, SigningKey, rotation};

/// The JWKS document as it is valid at one time. Body and ETag are computed once per change of the keys, not per request.
pub struct JwksDocument {
    pub body: Vec<u8>,
    /// A strong ETag, with its quotes.
    pub etag: String,
    /// When the visible keys or the signing key last changed (`since`) and will change next (`until`).
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
}

impl JwksDocument {
    /// Prepares the document for `now`.
    pub fn prepare(keys: &KeySet, now: DateTime<Utc>) -> Self {
        let body = serde_json::to_vec(&keys.visible(now).collect::<PublicKeySet<'_>>()).expect("strings serialize");
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, &body).as_ref()[..16]));
        let (since, until) = keys.changes_around(now);
        Self { body, etag, since, until }
    }

    /// Whether the document is also valid at `now`, which may lie before the time that it was prepared for.
    fn holds(&self, now: DateTime<Utc>) -> bool {
        self.since.is_none_or(|at| at <= now) && self.until.is_none_or(|at| now < at)
    }
}

/// A key set with all that signing and publishing need.
pub struct Ring {
    set: KeySet,
    document: JwksDocument,
    lead: TimeDelta,
}

impl Ring {
    /// Tests each key and prepares the set for `now`.
    fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        set.self_test()?;
        set.signing(now)?;
        let document = JwksDocument::prepare(&set, now);
        // The document is read back as a peer reads it, so that wxmint never publishes a key that peers cannot use, or
        // a private member.
        if let Some(refused) = PublishedKeys::read(&document.body)?.refused.pop() {
            return Err(refused);
        }
        Ok(Self { set, document, lead })
    }

    /// The same keys, without testing them again, with the document for another time.
    fn again(&self, now: DateTime<Utc>) -> Self {
        Self { set: self.set.clone(), document: JwksDocument::prepare(&self.set, now), lead: self.lead }
    }

    pub fn signing(&self, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
        self.set.signing(now)
    }

    pub fn set(&self) -> &KeySet {
        &self.set
    }

    pub fn document(&self) -> &JwksDocument {
        &self.document
    }

    /// Seconds for which a cache may keep the document: [`rotation::max_age`].
    pub fn max_age(&self, now: DateTime<Utc>) -> i64 {
        rotation::max_age(self.set.lives(), self.lead, now).num_seconds()
    }
}

/// Holds the current [`Ring`] for all workers. A reader keeps its ring even if another one is put in use meanwhile.
pub struct KeyRing {
    current: ArcSwap<Ring>,
    lead: TimeDelta,
}

impl KeyRing {
    /// `lead` is how long keys are published before they sign.
    pub fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        Ok(Self { current: ArcSwap::from_pointee(Ring::new(set, lead, now)?), lead })
    }

    /// The ring for `now`. The document is prepared again when the clock has passed a key's `nbf` or `exp`, in either
    /// direction.
    pub fn at(&self, now: DateTime<Utc>) -> Arc<Ring> {
        loop {
            let current = self.current();
            if current.document.holds(now) {
                return current;
            }
            if let Some(renewed) = self.renew(&current, now) {
                return renewed;
            }
        }
    }

    /// Replaces `current` by the same keys with the document for `now`; `None` if another ring has been put in use meanwhile,
    /// which must stay.
    fn renew(&self, current: &Arc<Ring>, now: DateTime<Utc>) -> Option<Arc<Ring>> {
        let renewed = Arc::new(current.again(now));
        let replaced = self.current.compare_and_swap(current, Arc::clone(&renewed));
        Arc::ptr_eq(&replaced, current).then_some(renewed)
    }

    /// The ring as it was last prepared, for what does not depend on the time.
    pub fn current(&self) -> Arc<Ring> {
        self.current.load_full()
    }

    /// Puts another set in use if all its keys pass their tests; otherwise the current set stays in use.
    pub fn swap(&self, set: KeySet, now: DateTime<Utc>) -> Result<(), KeyError> {
        self.current.store(Arc::new(Ring::new(set, self.lead, now)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{PrivateJwk, StoredKeys};
    use wxmint_verify::Algorithm;

    #[test]
    fn a_set_that_is_put_in_use_while_a_document_is_prepared_stays_in_use() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let key = |nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key");
        let set = |keys: &[PrivateJwk]| KeySet::parse(&StoredKeys::content_of(keys)).expect("a set");
        let (old, next, new) = (key(0), key(100), key(50));
        let keys = KeyRing::new(set(&[old, next]), TimeDelta::seconds(10), at(60)).expect("a ring");

        // A request has found that the document does not hold any more, then the file is read again.
        let found = keys.current();
        keys.swap(set(std::slice::from_ref(&new)), at(100)).expect("a ring");
        assert!(keys.renew(&found, at(100)).is_none(), "another ring is in use");
        assert_eq!(keys.at(at(100)).signing(at(100)).expect("a key").public().kid(), new.kid());
    }

    #[test]
    fn a_cache_never_keeps_the_set_past_the_next_keys_first_signature() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let keys = [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let set = KeySet::parse(&StoredKeys::content_of(&keys)).expect("a set");
        let ring = KeyRing::new(set, TimeDelta::minutes(30), at(1)).expect("a ring");
        for (now, max_age) in [(1, 300), (700, 300), (701, 299), (999, 1), (1000, 300)] {
            assert_eq!(ring.at(at(now)).max_age(at(now)), max_age, "at {now}");
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
