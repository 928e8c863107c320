//! The keys as they are in use: one immutable value, swapped as a whole when the file changes.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::EncodingKey;

use super::{JwksDocument, KeySet, provider};
use crate::verify::{Algorithm, KeyError, PublishedKeys};

/// A set with everything prepared that signing and publishing need.
pub struct Ring {
    set: KeySet,
    /// In the order of the set.
    prepared: Arc<[PreparedKey]>,
    document: JwksDocument,
}

/// What signing with a key takes.
pub struct PreparedKey {
    /// The header's `kid`.
    pub kid: String,
    /// The header's `alg`.
    pub algorithm: Algorithm,
    /// For jsonwebtoken.
    pub(crate) encoding: EncodingKey,
}

impl Ring {
    /// Tests each key, and prepares the set for use at `now`.
    fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        set.self_test()?;
        set.signing(now)?;
        let prepare = |key: &super::SigningKey| {
            let (kid, algorithm) = (key.public().kid().to_owned(), key.public().algorithm());
            Ok(PreparedKey { kid, algorithm, encoding: provider::encoding_key(key)? })
        };
        let prepared = set.iter().map(prepare).collect::<Result<_, KeyError>>()?;
        let document = JwksDocument::prepare(&set, lead, now);
        // Whatever is served must be what a peer can use, and nothing that it should not see.
        if let Some(refused) = PublishedKeys::read(&document.body)?.refused.pop() {
            return Err(refused);
        }
        Ok(Self { set, prepared, document })
    }

    /// The same keys, which have been tested, at another time.
    fn again(&self, lead: TimeDelta, now: DateTime<Utc>) -> Self {
        let document = JwksDocument::prepare(&self.set, lead, now);
        Self { set: self.set.clone(), prepared: Arc::clone(&self.prepared), document }
    }

    /// The key that signs at `now`.
    pub fn signing(&self, now: DateTime<Utc>) -> Result<&PreparedKey, KeyError> {
        self.set.signing_index(now).map(|index| &self.prepared[index])
    }

    /// The keys.
    pub fn set(&self) -> &KeySet {
        &self.set
    }

    /// The JWKS as it is served.
    pub fn document(&self) -> &JwksDocument {
        &self.document
    }
}

/// Holds the ring that is in use. Shared by all workers; a reader keeps what it has got.
pub struct KeyRing {
    current: RwLock<Arc<Ring>>,
    lead: TimeDelta,
}

impl KeyRing {
    /// Begins with `set`. `lead` is how long keys are published before they sign.
    pub fn new(set: KeySet, lead: TimeDelta, now: DateTime<Utc>) -> Result<Self, KeyError> {
        Ok(Self { current: RwLock::new(Arc::new(Ring::new(set, lead, now)?)), lead })
    }

    /// What is in use at `now`. The document is prepared anew when the clock has passed a key's `nbf` or `exp`, in either
    /// direction.
    pub fn at(&self, now: DateTime<Utc>) -> Arc<Ring> {
        let current = self.current();
        if current.document.holds(now) { current } else { self.put(current.again(self.lead, now)) }
    }

    /// What is in use, as it was last prepared: for what does not depend on the time.
    pub fn current(&self) -> Arc<Ring> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another set in use, once it has shown that it works; otherwise the one in use stays.
    pub fn swap(&self, set: KeySet, now: DateTime<Utc>) -> Result<(), KeyError> {
        self.put(Ring::new(set, self.lead, now)?);
        Ok(())
    }

    fn put(&self, ring: Ring) -> Arc<Ring> {
        let ring = Arc::new(ring);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&ring);
        ring
    }
}
