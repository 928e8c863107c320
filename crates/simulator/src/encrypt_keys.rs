//! The keys with which a phone encrypts its messages (`wx.getUserCryptoManager`): WeChat makes a
//! key when the last key has expired, and gives the last three to the server.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::state::random;
use super::world::World;

const LIFE: TimeDelta = TimeDelta::hours(1);
const GIVEN: usize = 3;

#[derive(Clone)]
struct EncryptKey {
    key: [u8; 16],
    /// The iv is the 16 hexadecimal digits of these bytes.
    iv: [u8; 8],
    version: usize,
    created: DateTime<Utc>,
}

impl EncryptKey {
    fn new(version: usize, created: DateTime<Utc>) -> Self {
        Self {
            key: random(),
            iv: random(),
            version,
            created,
        }
    }

    fn texts(&self) -> (String, String) {
        (STANDARD.encode(self.key), const_hex::encode(self.iv))
    }
}

/// All keys of a person that were ever made, the newest last.
#[derive(Clone, Default)]
pub(super) struct EncryptKeys(Vec<EncryptKey>);

impl EncryptKeys {
    /// The newest key. Makes a new key if there is none, if the newest has expired, or if `renew`
    /// is set.
    fn newest(&mut self, renew: bool, now: DateTime<Utc>) -> &EncryptKey {
        if renew
            || self
                .0
                .last()
                .is_none_or(|newest| now - newest.created >= LIFE)
        {
            self.0.push(EncryptKey::new(self.0.len() + 1, now));
        }
        self.0.last().expect("made if there was none")
    }

    /// `key_info_list` of getuserencryptkey.
    fn for_server(&mut self, now: DateTime<Utc>) -> Vec<Value> {
        self.newest(false, now);
        let shown = |key: &EncryptKey| {
            let ((encrypt_key, iv), left) = (key.texts(), key.created + LIFE - now);
            json!({
                "encrypt_key": encrypt_key, "version": key.version, "expire_in": left.num_seconds().max(0), "iv": iv,
                "create_time": key.created.timestamp(),
            })
        };
        self.0.iter().rev().take(GIVEN).map(shown).collect()
    }

    /// The key that `getLatestUserKey` gives to the mini program.
    fn for_phone(&mut self, renew: bool, now: DateTime<Utc>) -> Value {
        let newest = self.newest(renew, now);
        let (encrypt_key, iv) = newest.texts();
        let expires = (newest.created + LIFE).timestamp();
        json!({"encryptKey": encrypt_key, "iv": iv, "version": newest.version, "expireTime": expires})
    }
}

impl World {
    pub(super) fn user_encrypt_keys(&self, openid: &str, now: DateTime<Utc>) -> Vec<Value> {
        let mut people = self.people.lock();
        people
            .account(openid)
            .map_or_else(Vec::new, |(_, account)| {
                account.encrypt_keys.for_server(now)
            })
    }

    pub(super) fn latest_user_key(
        &self,
        name: &str,
        app: usize,
        renew: bool,
        now: DateTime<Utc>,
    ) -> Value {
        let mut people = self.people.lock();
        let person = people.named(name, &self.apps);
        people.all[person].accounts[app]
            .encrypt_keys
            .for_phone(renew, now)
    }
}
