//! The `jti` of a token: 128 random bits, and a mark of the binding that the token was issued under.
//!
//! A token names its user and app, but not the openid. The mark lets this service find the binding among those of the
//! user, so that a token acts on its own binding alone. Nobody without a vault key can tell whose mark it is.

use aws_lc_rs::{hmac, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{Vault, VaultError};
use crate::{ids::Person, ids::TokenId};

const RANDOM_LEN: usize = 16;
/// With the random bytes a multiple of three, so that base64url has no spare bits.
const MARK_LEN: usize = 5;

/// Derived from the vault key, because AES-GCM uses that one.
pub(super) fn mark_key(vault_key: &[u8]) -> hmac::Key {
    let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, vault_key), b"wxmint mark of a binding");
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

impl Vault {
    /// A new `jti` for a token of this person's binding of this generation.
    pub fn token_id(&self, person: &Person, generation: u64) -> Result<TokenId, VaultError> {
        let mut random = [0; RANDOM_LEN];
        rand::fill(&mut random).map_err(|_| VaultError::Crypto)?;
        let mark = mark(&self.keys[self.sealing].mark_key, &random, person, generation);
        let id = URL_SAFE_NO_PAD.encode([&random[..], &mark].concat());
        Ok(id.parse().expect("base64url is an allowed form"))
    }

    /// Whether a token with this `jti` was issued under this person's binding of this generation.
    pub fn is_marked(&self, id: &TokenId, person: &Person, generation: u64) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(id.as_str()) else { return false };
        let Some((random, given)) = bytes.split_at_checked(RANDOM_LEN) else { return false };
        self.keys.iter().any(|key| mark(&key.mark_key, random, person, generation) == given)
    }
}

fn mark(key: &hmac::Key, random: &[u8], person: &Person, generation: u64) -> [u8; MARK_LEN] {
    let mut context = hmac::Context::with_key(key);
    context.update(random);
    // Neither an AppID nor an openid can hold a colon.
    context.update(format!("{}:{}:{generation}", person.app, person.openid.as_str()).as_bytes());
    let tag = context.sign();
    std::array::from_fn(|index| tag.as_ref()[index])
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn vault(keys: &[u8]) -> Vault {
        let file: Vec<_> = keys.iter().map(|byte| STANDARD.encode([*byte; 32])).collect();
        Vault::parse(file.join("\n").as_bytes()).expect("a vault")
    }

    fn person(openid: &str) -> Person {
        Person { app: "wx1".parse().expect("an app"), openid: openid.parse().expect("an openid") }
    }

    #[test]
    fn a_mark_is_of_one_binding_alone_and_survives_a_new_vault_key() {
        let id = vault(&[1]).token_id(&person("o1"), 3).expect("an id");
        assert_eq!(URL_SAFE_NO_PAD.decode(id.as_str()).expect("base64url").len(), RANDOM_LEN + MARK_LEN);
        for keys in [&[1][..], &[2, 1]] {
            assert!(vault(keys).is_marked(&id, &person("o1"), 3), "{keys:?}");
        }
        assert!(!vault(&[1]).is_marked(&id, &person("o1"), 4), "another generation");
        assert!(!vault(&[1]).is_marked(&id, &person("o2"), 3), "another person");
        assert!(!vault(&[2]).is_marked(&id, &person("o1"), 3), "another vault key");
    }

    #[test]
    fn ids_differ_and_a_foreign_one_is_nobodys() {
        let [one, other] = [(); 2].map(|()| vault(&[1]).token_id(&person("o1"), 1).expect("an id"));
        assert_ne!(one, other);
        for foreign in ["x", "AAAAAAAAAAAAAAAAAAAAAA", "no-base64!"] {
            assert!(!vault(&[1]).is_marked(&foreign.parse().expect("an id"), &person("o1"), 1), "{foreign}");
        }
    }
}
