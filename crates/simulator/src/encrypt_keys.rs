//! The keys with which a phone encrypts its messages (`wx.getUserCryptoManager`): WeChat makes one when the last has expired, and
//! gives the last three to the server.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{
    people::Account,
    state::{lock, random},
    world::World,
};

const LIFE: TimeDelta = TimeDelta::hours(1);
const GIVEN: usize = 3;

#[derive(Clone)]
pub(super) struct EncryptKey {
    key: [u8; 16],
    /// Hexadecimal digits: its 16 characters are the iv.
    iv: [u8; 8],
    version: usize,
    created: DateTime<Utc>,
}

impl EncryptKey {
    fn new(version: usize, created: DateTime<Utc>) -> Self {
        Self { key: random(), iv: random(), version, created }
    }

    fn texts(&self) -> (String, String) {
        (STANDARD.encode(self.key), self.iv.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Account {
    /// All keys that were ever made, the newest last; that one has not expired.
    fn encrypt_keys(&mut self, renew: bool, now: DateTime<Utc>) -> &[EncryptKey] {
        if renew || self.encrypt_keys.last().is_none_or(|newest| now - newest.created >= LIFE) {
            self.encrypt_keys.push(EncryptKey::new(self.encrypt_keys.len() + 1, now));
        }
        &self.encrypt_keys
    }
}

impl World {
    /// `key_info_list` of getuserencryptkey.
    pub(super) fn user_encrypt_keys(&self, openid: &str, now: DateTime<Utc>) -> Vec<Value> {
        let mut people = lock(&self.people);
        let Some((_, account)) = people.account(openid) else { return Vec::new() };
        let shown = |key: &EncryptKey| {
            let ((encrypt_key, iv), left) = (key.texts(), key.created + LIFE - now);
            json!({
                "encrypt_key": encrypt_key, "version": key.version, "expire_in": left.num_seconds().max(0), "iv": iv,
                "create_time": key.created.timestamp(),
            })
        };
        account.encrypt_keys(false, now).iter().rev().take(GIVEN).map(shown).collect()
    }

    /// What `getLatestUserKey` gives the mini program.
    pub(super) fn latest_user_key(&self, name: &str, app: usize, renew: bool, now: DateTime<Utc>) -> Value {
        let mut people = lock(&self.people);
        let person = people.named(name, &self.apps);
        let newest = people.all[person].accounts[app].encrypt_keys(renew, now).last().expect("made if there was none");
        let (encrypt_key, iv) = newest.texts();
        let expires = (newest.created + LIFE).timestamp();
        json!({"encryptKey": encrypt_key, "iv": iv, "version": newest.version, "expireTime": expires})
    }
}
