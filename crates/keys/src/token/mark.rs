//! The `jti` of a token: 128 random bits, and a mark of the binding that the token was issued under.
//!
//! A token names its user and app, but not the openid. The mark lets this service find the binding among those of the
//! user, so that a token acts on its own binding alone. It is made with a secret of the key that signs, which is there
//! for as long as the token is valid; nobody else can tell whose mark it is.

use aws_lc_rs::{hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use wxmint_verify::{KeyError, ids::TokenId};

use super::{MintError, Minter};

const RANDOM_LEN: usize = 16;
/// With the random bytes a multiple of three, so that base64url has no spare bits.
const MARK_LEN: usize = 5;

impl Minter {
    /// A new `jti` for a token of this binding. `binding` is any text that no other binding has.
    pub fn token_id(&self, binding: &str, now: DateTime<Utc>) -> Result<TokenId, MintError> {
        let ring = self.keys.at(now);
        let mut bytes = [0; RANDOM_LEN + MARK_LEN];
        let (random, its_mark) = bytes.split_at_mut(RANDOM_LEN);
        rand::fill(random).map_err(|_| KeyError::Crypto("draw random bits"))?;
        its_mark.copy_from_slice(&mark(ring.set().signing(now)?.marking(), random, binding));
        let mut id = [0; (RANDOM_LEN + MARK_LEN) / 3 * 4];
        URL_SAFE_NO_PAD.encode_slice(bytes, &mut id).expect("three bytes are four characters");
        let id = str::from_utf8(&id).expect("base64url is ASCII");
        Ok(id.parse().expect("base64url is an allowed form"))
    }

    /// Whether a token with this `jti` was issued under this binding.
    pub fn is_marked(&self, id: &TokenId, binding: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(id.as_str()) else { return false };
        let Some((random, given)) = bytes.split_at_checked(RANDOM_LEN) else { return false };
        self.keys.current().set().iter().any(|key| mark(key.marking(), random, binding) == given)
    }
}

/// The `jti` of a new token: 128 random bits, and no mark.
pub fn new_token_id() -> Result<TokenId, KeyError> {
    let mut bits = [0; RANDOM_LEN];
    rand::fill(&mut bits).map_err(|_| KeyError::Crypto("draw random bits"))?;
    Ok(URL_SAFE_NO_PAD.encode(bits).parse().expect("22 characters of base64url"))
}

fn mark(key: &hmac::Key, random: &[u8], binding: &str) -> [u8; MARK_LEN] {
    let mut context = hmac::Context::with_key(key);
    context.update(random);
    context.update(binding.as_bytes());
    let tag = context.sign();
    std::array::from_fn(|index| tag.as_ref()[index])
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::TimeDelta;

    use super::*;
    use crate::{KeyRing, KeySet, PrivateJwk, StoredKeys};
    use wxmint_verify::{Algorithm, TokenTyp};

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a date")
    }

    fn keys(algorithm: Algorithm) -> KeySet {
        let jwk = PrivateJwk::generate(algorithm, now()).expect("a key");
        StoredKeys::of([jwk]).check().expect("a set")
    }

    fn minter(keys: KeySet) -> Minter {
        let ring = Arc::new(KeyRing::new(keys, TimeDelta::minutes(30), now()).expect("a ring"));
        Minter::new("https://a.example".into(), vec!["a".into()], TokenTyp::AccessToken, Duration::from_secs(60), ring)
    }

    #[test]
    fn a_mark_is_of_one_binding_alone_and_every_replica_knows_it() {
        for algorithm in crate::SIGNED_WITH {
            let keys = keys(algorithm);
            let id = minter(keys.clone()).token_id("wx1:o1:3", now()).expect("an id");
            assert_eq!(URL_SAFE_NO_PAD.decode(id.as_str()).expect("base64url").len(), RANDOM_LEN + MARK_LEN);
            let replica = minter(keys);
            assert!(replica.is_marked(&id, "wx1:o1:3"), "{algorithm}");
            for other in ["wx1:o1:4", "wx1:o2:3"] {
                assert!(!replica.is_marked(&id, other), "{other}");
            }
        }
    }

    #[test]
    fn a_mark_of_each_key_of_the_set_is_known_through_a_rotation() {
        let [old, new] = [0, 1000]
            .map(|later| PrivateJwk::generate(Algorithm::Es256, now() + TimeDelta::seconds(later)).expect("a key"));
        let both = minter(KeySet::parse(&StoredKeys::of(&[old, new]).content()).expect("a set"));
        for later in [999, 1000] {
            let id = both.token_id("wx1:o1:1", now() + TimeDelta::seconds(later)).expect("an id");
            assert!(both.is_marked(&id, "wx1:o1:1") && !both.is_marked(&id, "wx1:o1:2"), "{later}");
        }
    }

    #[test]
    fn ids_differ_and_a_foreign_one_is_nobodys() {
        let (ours, theirs) = (minter(keys(Algorithm::Es256)), minter(keys(Algorithm::Es256)));
        let [one, other] = [(); 2].map(|()| ours.token_id("wx1:o1:1", now()).expect("an id"));
        assert_ne!(one, other);
        let its_mark = |id: &TokenId| URL_SAFE_NO_PAD.decode(id.as_str()).expect("base64url").split_off(RANDOM_LEN);
        assert_ne!(its_mark(&one), its_mark(&other), "nobody sees by the marks that two tokens are of one binding");
        assert!(!theirs.is_marked(&one, "wx1:o1:1"), "another issuer's key");
        for foreign in ["x", "AAAAAAAAAAAAAAAAAAAAAA", "no-base64!"] {
            assert!(!ours.is_marked(&foreign.parse().expect("an id"), "wx1:o1:1"), "{foreign}");
        }
    }
}
