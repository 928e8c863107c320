//! The keys in use: one immutable value, which is replaced as a whole when the file changes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::EncodingKey;

use super::{JwksDocument, KeySet, provider};
use crate::verify::{Algorithm, KeyError, PublishedKeys};

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
        let current = self.current();
        if current.document.holds(now) { current } else { self.put(current.again(self.lead, now)) }
    }

    /// The ring as it was last prepared, for what does not depend on the time.
    pub fn current(&self) -> Arc<Ring> {
        self.current.load_full()
    }

    /// Puts another set in use if all its keys pass their tests; otherwise the current set stays in use.
    pub fn swap(&self, set: KeySet, now: DateTime<Utc>) -> Result<(), KeyError> {
        self.put(Ring::new(set, self.lead, now)?);
        Ok(())
    }

    fn put(&self, ring: Ring) -> Arc<Ring> {
        let ring = Arc::new(ring);
        self.current.store(Arc::clone(&ring));
        ring
    }
}
