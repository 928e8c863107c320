//! Chooses the key that signs, and signs with jsonwebtoken, by key pairs of aws-lc-rs that are
//! parsed once.
//!
//! jsonwebtoken parses the private key on every `encode`. Here its [`EncodingKey`] is empty, and
//! the signer takes the parsed key pair that [`encode`] has put into a thread-local variable.

use std::{cell::Cell, sync::Arc, sync::LazyLock};

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use chrono::{DateTime, Utc};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, KeyUtils};
use jsonwebtoken::signature::{self, Signer};
use jsonwebtoken::{Algorithm, EncodingKey, Header, errors::ErrorKind};
use serde::Serialize;
use wxmint_verify::{KeyError, PublicKeySet, PublishedKeys};

use super::{KeySet, SigningKey, set::KeyLife};

/// The keys in use, shared by all workers. A set that a reader has loaded stays valid while another
/// set is put in use.
pub struct KeyRing(ArcSwap<KeySet>);

impl KeyRing {
    /// Puts the first set in use. Fails if a key does not pass its test, if no key signs at `now`,
    /// or if peers could not use one of the published keys.
    pub fn new(set: KeySet, now: DateTime<Utc>) -> Result<Self, KeyError> {
        Ok(Self(ArcSwap::from_pointee(tested(set, now)?)))
    }

    /// The set that is in use now.
    pub fn set(&self) -> Arc<KeySet> {
        self.0.load_full()
    }

    /// Adds the ids of keys that the revocation feed names, also of keys that are not in the set.
    /// They are never removed, because a revocation is final.
    pub fn note_revoked(&self, found: &[String]) {
        self.0.rcu(|set| {
            let new = found.iter().filter(|kid| !set.is_revoked(kid));
            KeySet {
                in_feed: set.in_feed.iter().chain(new).cloned().collect(),
                ..KeySet::clone(set)
            }
        });
    }

    /// Puts another set in use if it passes the tests of [`KeyRing::new`]; otherwise the current
    /// set stays in use.
    pub fn swap(&self, set: KeySet, now: DateTime<Utc>) -> Result<(), KeyError> {
        let set = tested(set, now)?;
        self.0.rcu(|before| KeySet {
            in_feed: before.in_feed.clone(),
            ..set.clone()
        });
        Ok(())
    }
}

/// Tests each key. The JWKS is read back as a peer reads it, so that wxmint never publishes a key
/// that peers cannot use, or a private member.
fn tested(set: KeySet, now: DateTime<Utc>) -> Result<KeySet, KeyError> {
    set.self_test()?;
    set.signing(now)?;
    let jwks = serde_json::to_vec(&set.visible(now).collect::<PublicKeySet<'_>>())
        .expect("strings serialize");
    PublishedKeys::read(&jwks)?
        .refused
        .pop()
        .map_or(Ok(set), Err)
}

impl KeySet {
    /// The key that signs at `now`, even if it is revoked. Fails with [`KeyError::NoneSigning`] if
    /// no key may sign yet.
    pub fn signing(&self, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
        let signing = signing(&self.lives, now).map(|index| &self.keys[index]);
        signing.ok_or_else(|| KeyError::NoneSigning {
            earliest: self.lives[0].nbf.to_rfc3339(),
        })
    }

    /// Whether the revocation feed names this key.
    pub fn is_revoked(&self, kid: &str) -> bool {
        self.in_feed.iter().any(|revoked| revoked == kid)
    }

    /// The key that signs at `now`. Fails with [`KeyError::Revoked`] if that key is revoked,
    /// because verifiers refuse all tokens that it signs.
    pub fn accepted_signing(&self, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
        self.signing(now).and_then(|key| {
            if self.is_revoked(&key.life.kid) {
                Err(KeyError::Revoked)
            } else {
                Ok(key)
            }
        })
    }
}

/// The index of the key that signs at `now`: among the keys whose `nbf` has come and whose `exp`
/// has not, the one with the latest `nbf`. `lives` must be ordered by `nbf`.
pub fn signing(lives: &[KeyLife], now: DateTime<Utc>) -> Option<usize> {
    lives
        .iter()
        .rposition(|life| life.nbf <= now && !is_gone(life, now))
}

/// Whether the key has left the JWKS.
pub(super) fn is_gone(life: &KeyLife, now: DateTime<Utc>) -> bool {
    life.exp.is_some_and(|exp| exp <= now)
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Ok(Box::new(PAIR.take().ok_or(ErrorKind::InvalidKeyFormat)?)),
    // wxmint verifies with `PublicKey::verifies`, which takes the algorithm from the key.
    verifier_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Whether our provider is installed. jsonwebtoken accepts one provider per process, and another
/// provider could not sign with our keys.
static IS_INSTALLED: LazyLock<bool> = LazyLock::new(|| PROVIDER.install_default().is_ok());

thread_local! {
    /// The key pair for the current call of [`encode`] on this thread.
    static PAIR: Cell<Option<KeyPair>> = const { Cell::new(None) };
}

/// Installs our provider. Fails if another provider is installed, because jsonwebtoken cannot sign
/// with our keys then.
pub(super) fn install() -> Result<(), KeyError> {
    let is_other = KeyError::Crypto(
        "sign: another CryptoProvider of jsonwebtoken is installed in this process",
    );
    if *IS_INSTALLED { Ok(()) } else { Err(is_other) }
}

/// Signs a JWT. This cannot fail: our claims serialize to JSON, and a key in use has passed its
/// self-test ([`tested`]).
pub(super) fn encode(key: &SigningKey, typ: &str, claims: &impl Serialize) -> String {
    let algorithm = key.pair.algorithm();
    // An empty key. jsonwebtoken only compares its family with the algorithm's.
    let family = match key.pair {
        KeyPair::P256(_) => EncodingKey::from_ec_der(&[]),
        KeyPair::Ed25519(_) => EncodingKey::from_ed_der(&[]),
        KeyPair::Rsa(_) => EncodingKey::from_rsa_der(&[]),
    };
    let header = Header {
        typ: Some(typ.to_owned()),
        kid: Some(key.life.kid.clone()),
        ..Header::new(algorithm)
    };
    PAIR.set(Some(key.pair.clone()));
    jsonwebtoken::encode(&header, claims, &family).expect("it signs")
}

/// A parsed key pair. It is parsed only once, because parsing takes as long as signing, and longer
/// for RSA.
#[derive(Clone)]
pub(super) enum KeyPair {
    P256(Arc<EcdsaKeyPair>),
    Ed25519(Arc<Ed25519KeyPair>),
    Rsa(Arc<RsaKeyPair>),
}

impl Signer<Vec<u8>> for KeyPair {
    /// The raw signature of a JWS (RFC 7515); for ES256 the concatenation of r and s.
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) => pair
                .sign(&random, message)
                .map(|signed| signed.as_ref().to_vec())
                .map_err(|_| signature::Error::new()),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map(|()| signature)
                    .map_err(|_| signature::Error::new())
            }
        }
    }
}

impl JwtSigner for KeyPair {
    /// `EdDSA` for an Ed25519 key, because jsonwebtoken 11 does not know the name `Ed25519`.
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::ES256,
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use wxmint_verify::{Algorithm, KeySource};

    use super::*;
    use crate::{PrivateJwk, StoredKeys};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_key_that_does_not_verify_what_it_signs_is_never_in_use() {
        let keys =
            [100, 200].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        let good = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let mut spoiled = good.clone();
        spoiled.keys[0].pair = good.keys[1].pair.clone();
        let ring = KeyRing::new(good, at(300)).expect("a ring");
        let refused = ring
            .swap(spoiled, at(300))
            .expect_err("spoiled")
            .to_string();
        assert!(
            refused.contains("it does not verify what it signs"),
            "{refused}"
        );
    }

    #[test]
    fn a_key_that_was_revoked_stays_revoked() {
        let mut keys =
            [0, 1000].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
        keys[0].exp = Some(at(2000).timestamp());
        let (old, new) = (keys[0].kid().to_owned(), keys[1].kid().to_owned());
        let set = KeySet::parse(&StoredKeys::of(&keys).content()).expect("a set");
        let ring = KeyRing::new(set.clone(), at(1500)).expect("a ring");
        let noted = |found: &[&str]| {
            ring.note_revoked(&found.iter().map(|&kid| kid.to_owned()).collect::<Vec<_>>());
            ring.set().in_feed.clone()
        };
        assert_eq!(noted(&[&old, "a peer's"]), [old.as_str(), "a peer's"]);
        assert_eq!(
            noted(&[]),
            [old.as_str(), "a peer's"],
            "a revocation that the store has lost still holds"
        );
        ring.swap(set, at(1999)).expect("the same set");
        assert_eq!(
            noted(&[&old]),
            [old.as_str(), "a peer's"],
            "also in a set that was read again"
        );
        assert!(
            ring.set().key(&old, at(1999)).is_none() && ring.set().key(&new, at(1999)).is_some()
        );
        assert_eq!(noted(&[&new]), [old.as_str(), "a peer's", new.as_str()]);
    }
}
