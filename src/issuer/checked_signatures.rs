//! Remembers which signatures are right, because a person opens several pieces of data with one token, and checking its
//! signature costs as much as the rest of such a request.
//!
//! Only the signature is remembered: its key must still be there, and all claims are judged each time.

use chrono::{DateTime, Utc};
use quick_cache::sync::Cache;

use crate::{
    http::{TokenHash, TokenHasher},
    keys::KeySet,
    verify::{KeyError, KeySource, PublicKey},
};

/// Tokens, of some 100 bytes each.
const CAPACITY: usize = 10_000;

pub(super) struct CheckedSignatures {
    hasher: TokenHasher,
    right: Cache<TokenHash, ()>,
}

impl CheckedSignatures {
    pub(super) fn none() -> Result<Self, KeyError> {
        Ok(Self { hasher: TokenHasher::new()?, right: Cache::new(CAPACITY) })
    }

    /// Keys that check each signature once.
    pub(super) fn of<'a>(&'a self, keys: &'a KeySet) -> impl KeySource {
        Remembering { checked: self, keys }
    }
}

struct Remembering<'a> {
    checked: &'a CheckedSignatures,
    keys: &'a KeySet,
}

impl KeySource for Remembering<'_> {
    fn key(&self, kid: &str, now: DateTime<Utc>) -> Option<&PublicKey> {
        self.keys.key(kid, now)
    }

    fn verifies(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let hash = self.checked.hasher.hash(&[key.kid().as_bytes(), message, signature]);
        if self.checked.right.get(&hash).is_some() {
            return true;
        }
        let is_right = key.verifies(message, signature);
        if is_right {
            self.checked.right.insert(hash, ());
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use chrono::TimeDelta;

    use super::*;
    use crate::{
        http::now,
        ids::TokenId,
        keys::{KeyRing, PrivateJwk, StoredKeys},
        token::Minter,
        verify::{Algorithm, TokenTyp},
    };

    /// What is signed of a token, and the signature.
    fn signed(keys: &KeySet) -> (String, Vec<u8>) {
        let ring = Arc::new(KeyRing::new(keys.clone(), TimeDelta::minutes(30), now()).expect("a ring"));
        let minter = Minter::new("https://a".into(), vec!["a".into()], TokenTyp::Jwt, Duration::from_secs(60), ring);
        let (user, app) = ("user-1".parse().expect("a user"), "wx0123456789abcdef".parse().expect("an app"));
        let id = TokenId::random().expect("random");
        let token = minter.mint(&user, &app, &id, &Default::default(), now(), now()).expect("a token");
        let (message, signature) = token.expose().rsplit_once('.').expect("three parts");
        (message.to_owned(), URL_SAFE_NO_PAD.decode(signature).expect("base64url"))
    }

    #[test]
    fn a_right_signature_is_remembered_and_nothing_else() {
        for algorithm in Algorithm::ALL {
            let keys = StoredKeys::of(PrivateJwk::generate(algorithm, now()).expect("a key")).check().expect("a set");
            let (message, signature) = signed(&keys);
            let checked = CheckedSignatures::none().expect("random bits");
            let source = checked.of(&keys);
            let key = source.key(keys.visible(now()).next().expect("a key").kid(), now()).expect("the same key");
            let (shorter, last) = message.split_at(message.len() - 1);
            let wrong = [
                (shorter, signature.clone()),
                (shorter, [last.as_bytes(), &signature].concat()),
                (&*message, vec![0; signature.len()]),
                (&*message, signed(&keys).1),
            ];
            for known in [0, 1] {
                for (number, (message, signature)) in wrong.iter().enumerate() {
                    assert!(!source.verifies(key, message.as_bytes(), signature), "{algorithm} {number}");
                }
                assert_eq!(checked.right.len(), known);
                assert!(source.verifies(key, message.as_bytes(), &signature), "{algorithm}");
            }
            assert_eq!(checked.right.len(), 1, "found, and not checked again");
        }
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let checked = CheckedSignatures::none().expect("random bits");
        for number in 0..3 * CAPACITY {
            checked.right.insert(checked.hasher.hash(&[&number.to_le_bytes()]), ());
        }
        assert!((CAPACITY / 2..=CAPACITY).contains(&checked.right.len()), "{}", checked.right.len());
    }
}
