//! Remembers verified tokens, so that the next request with the same token costs a hash instead of
//! a signature check.
//!
//! A token is found by a keyed hash of all its bytes. The memory is bounded, and tokens that come
//! once do not push out tokens that come often.

use std::sync::Arc;

use aws_lc_rs::{hmac, rand::SystemRandom};
use chrono::{DateTime, Utc};
use quick_cache::{Weighter, sync::Cache};

use super::Proof;
use crate::{Claims, MAX_LEEWAY};

/// The memory for all entries, in bytes: some 70,000 of our own tokens.
const CAPACITY: u64 = 32 * 1024 * 1024;
/// The size of an entry without its texts: the hash, the entry itself, and its place in the table.
const OVERHEAD: usize = 300;
const ESTIMATED_ENTRIES: usize = CAPACITY as usize / 480;

/// The value of a header, in the type of the server that sends it.
pub trait HeaderText: Clone + AsRef<[u8]> + for<'a> TryFrom<&'a str> {}

impl<Value: Clone + AsRef<[u8]> + for<'a> TryFrom<&'a str>> HeaderText for Value {}

/// The user of a verified token, as the values of headers.
#[derive(Debug)]
pub struct RememberedUser<Value> {
    /// The ids of user, client and token, then the claims that are handed on, in the order in which
    /// the gate was given them.
    pub headers: Box<[Value]>,
    expires_at: DateTime<Utc>,
    proof: Proof,
}

impl<Value: HeaderText> RememberedUser<Value> {
    /// The identity in `claims`, which `proof` stands for. `handed_on` are the values of further
    /// headers. `None` if a value cannot stand in a header; our own ids always can.
    pub(super) fn of(
        claims: &Claims,
        handed_on: impl Iterator<Item = Value>,
        proof: Proof,
    ) -> Option<Self> {
        let own = [
            claims.user.as_str(),
            claims.app.as_str(),
            claims.id.as_str(),
        ]
        .map(|id| Value::try_from(id).ok());
        let headers = own
            .into_iter()
            .chain(handed_on.map(Some))
            .collect::<Option<_>>()?;
        Some(Self {
            headers,
            expires_at: claims.expires_at,
            proof,
        })
    }
}

#[derive(Clone)]
pub(super) struct Bytes;

impl<Value: HeaderText> Weighter<TokenHash, Arc<RememberedUser<Value>>> for Bytes {
    fn weight(&self, _: &TokenHash, identity: &Arc<RememberedUser<Value>>) -> u64 {
        let headers: usize = identity
            .headers
            .iter()
            .map(|value| size_of::<Value>() + value.as_ref().len())
            .sum();
        (OVERHEAD + headers) as u64
    }
}

pub(super) type TokenHash = [u8; 32];

pub(super) struct Remembered<Value: HeaderText> {
    /// Each process has its own key, so that no client can construct tokens whose hashes collide.
    hash_key: hmac::Key,
    pub(super) cache: Cache<TokenHash, Arc<RememberedUser<Value>>, Bytes>,
}

impl<Value: HeaderText> Remembered<Value> {
    pub(super) fn nothing() -> Self {
        let made = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let hash_key = made.expect("aws-lc ends the process where the system has no random bits");
        Self {
            hash_key,
            cache: Cache::with_weighter(ESTIMATED_ENTRIES, CAPACITY, Bytes),
        }
    }

    pub(super) fn hash(&self, token: &str) -> TokenHash {
        hmac::sign(&self.hash_key, token.as_bytes())
            .as_ref()
            .try_into()
            .expect("a SHA-256 has 32 bytes")
    }

    /// The identity of a token that was verified before, unless it has expired at `now` or its
    /// proof no longer `holds`, because the issuer's keys have changed or a revocation covers the
    /// token.
    pub(super) fn recall(
        &self,
        hash: &TokenHash,
        now: DateTime<Utc>,
        holds: impl FnOnce(&Proof) -> bool,
    ) -> Option<Arc<RememberedUser<Value>>> {
        let identity = self.cache.get(hash)?;
        // The same rule of expiry as the verifier's: to the second, and with the leeway.
        let has_expired = (now - identity.expires_at)
            .to_std()
            .is_ok_and(|since| since >= MAX_LEEWAY);
        if has_expired || !holds(&identity.proof) {
            self.cache.remove(hash);
            return None;
        }
        Some(identity)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use chrono::TimeDelta;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a date")
    }

    fn identity(handed_on: &[String]) -> Arc<RememberedUser<String>> {
        let claims = Claims {
            user: "user-1".parse().expect("a user"),
            app: "wx0123456789abcdef".parse().expect("an app"),
            id: "0123456789abcdefghijkl".parse().expect("an id"),
            audience: vec!["https://api.example.com".to_owned()],
            issued_at: at(NOW),
            expires_at: at(NOW) + TimeDelta::hours(1),
            not_before: None,
            others: serde_json::Map::new(),
        };
        let (handed_on, proof) = (handed_on.iter().cloned(), Proof::of_a_test(0, 1, &claims));
        Arc::new(RememberedUser::of(&claims, handed_on, proof).expect("an identity"))
    }

    #[test]
    fn a_million_tokens_weigh_no_more_than_is_allowed_and_those_asked_for_again_stay() {
        let (remembered, identity) = (Remembered::nothing(), identity(&[]));
        let regular = remembered.hash("regular");
        remembered.cache.insert(regular, Arc::clone(&identity));
        let mut most = 0;
        for number in 0..1_000_000_u32 {
            let hash = remembered.hash(&number.to_string());
            remembered.cache.insert(hash, Arc::clone(&identity));
            if number.is_multiple_of(1000) {
                assert!(
                    remembered.recall(&regular, at(NOW), |_| true).is_some(),
                    "pushed out by {number}"
                );
                most = most.max(remembered.cache.len());
                assert!(remembered.cache.weight() <= CAPACITY, "{number}");
            }
        }
        // The limit was kept, and not by remembering next to nothing.
        assert!((60_000..90_000).contains(&most), "{most}");
        assert!(remembered.cache.len() <= most);
    }

    #[test]
    fn a_token_with_much_to_say_takes_the_place_of_many() {
        let long = "x".repeat(7000);
        let (remembered, identity) = (Remembered::nothing(), identity(&[long]));
        for number in 0..10_000 {
            remembered
                .cache
                .insert(remembered.hash(&number.to_string()), Arc::clone(&identity));
        }
        assert!(
            remembered.cache.weight() <= CAPACITY && remembered.cache.len() < 5000,
            "{}",
            remembered.cache.len()
        );
    }

    #[test]
    fn tokens_that_differ_in_one_byte_never_meet_and_nobody_outside_can_foresee_a_place() {
        let (here, there) = (
            Remembered::<String>::nothing(),
            Remembered::<String>::nothing(),
        );
        let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyLTEifQ.c2lnbmF0dXJl".repeat(8);
        let mut places = HashSet::from([here.hash(&token)]);
        for index in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[index] ^= 1;
            let other = String::from_utf8(bytes).expect("ASCII");
            assert!(places.insert(here.hash(&other)), "byte {index}");
        }
        for end in 0..token.len() {
            assert!(
                places.insert(here.hash(&token[..end])),
                "the first {end} bytes"
            );
        }
        assert_eq!(here.hash(&token), here.hash(&token));
        assert_ne!(
            here.hash(&token),
            there.hash(&token),
            "each process has a key of its own"
        );
    }

    #[test]
    fn a_token_is_recalled_until_its_expiry_and_the_leeway_and_only_while_its_keys_hold() {
        let (remembered, expires) = (Remembered::nothing(), NOW + 3600);
        let recalled = |now, holds| {
            let hash = remembered.hash("token");
            remembered.cache.insert(hash, identity(&[]));
            let recalled = remembered.recall(&hash, at(now), |_| holds).is_some();
            (recalled, remembered.cache.len())
        };
        for now in [NOW, expires, expires + 59] {
            assert_eq!(recalled(now, true), (true, 1), "at {now}");
        }
        for now in [expires + 60, expires + 3600, i64::from(u32::MAX)] {
            assert_eq!(recalled(now, true), (false, 0), "at {now}: and forgotten");
        }
        assert_eq!(
            recalled(NOW, false),
            (false, 0),
            "its keys have changed, or it was revoked"
        );
    }
}
