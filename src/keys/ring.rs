//! The keys in use: one immutable value, which is replaced as a whole when the file changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::EncodingKey;
use wxmint_verify::{Algorithm, KeyError, PublishedKeys};

use super::{JwksDocument, KeySet, provider};

/// A key set with all that signing and publishing need.
pub struct Ring {
    set: KeySet,
    /// One for each key, in the order of the set.
    prepared: Arc<[PreparedKey]>,
    document: JwksDocument,
}

/// A key that is ready to sign.
pub struct PreparedKey {
    pub kid: String,
    pub algorithm: Algorithm,
    pub(crate) encoding: EncodingKey,
}

impl Ring {
    /// Tests each key and prepares the set for `now`.
    fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        set.self_test()?;
        set.signing(now)?;
        let prepare = |key: &super::SigningKey| {
            let (kid, algorithm) = (key.public().kid().to_owned(), key.public().algorithm());
            Ok(PreparedKey { kid, algorithm, encoding: provider::encoding_key(key)? })
        };
        let prepared = set.iter().map(prepare).collect::<Result<_, KeyError>>()?;
        let document = JwksDocument::prepare(&set, lead, now);
        // The document is read back as a peer reads it, so that wxmint never publishes a key that peers cannot use, or
        // a private member.
        if let Some(refused) = PublishedKeys::read(&document.body)?.refused.pop() {
            return Err(refused);
        }
        Ok(Self { set, prepared, document })
    }

    /// The same keys, without testing them again, with the document for another time.
    fn again(&self, lead: TimeDelta, now: DateTime<Utc>) -> Self {
        let document = JwksDocument::prepare(&self.set, lead, now);
        Self { set: self.set.clone(), prepared: Arc::clone(&self.prepared), document }
    }

    pub fn signing(&self, now: DateTime<Utc>) -> Result<&PreparedKey, KeyError> {
        self.set.signing_index(now).map(|index| &self.prepared[index])
    }

    pub fn set(&self) -> &KeySet {
        &self.set
    }

    pub fn document(&self) -> &JwksDocument {
        &self.document
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
        let renewed = Arc::new(current.again(self.lead, now));
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
        assert_eq!(keys.at(at(100)).signing(at(100)).expect("a key").kid, new.kid());
    }
}
