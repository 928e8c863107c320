//! Seals (encrypts) session keys and access tokens, so that they cannot be read in Redis, in a dump
//! or in a backup without a vault key.

mod file;

use std::array;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce};
use aws_lc_rs::{constant_time::verify_slices_are_equal, hmac};
use base64::{
    Engine, engine::general_purpose::URL_SAFE_NO_PAD, prelude::BASE64_STANDARD as STANDARD,
};
use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, Person, unprintable};
use zeroize::{Zeroize, Zeroizing, zeroize_stack};

pub use self::file::{VaultError, with_new_key};

/// The first byte of a sealed value, its form: the plaintext is the secret's text. A sealed value
/// consists of the form, the first bytes of the key's id, the nonce, the ciphertext and the tag.
const TEXT: u8 = 1;
/// The form of a secret that is base64, such as a session key: the plaintext is the decoded bytes.
/// This saves memory, because a session key has 16 bytes, its base64 has 24, and each person has
/// two session keys.
const BASE64: u8 = 2;
/// A flag in the form of a session key that WeChat has refused. Such a key only decrypts data that
/// the person's phone encrypted before.
const STALE: u8 = 0x80;
/// The number of bytes of a key's id in a sealed value. They name the key, unless two keys share
/// these bytes, which has a probability of 1 in 65,536.
const MARK_LEN: usize = 2;
const HEADER_LEN: usize = 1 + MARK_LEN + NONCE_LEN;

/// Identifies a vault key without revealing it.
type KeyId = [u8; 4];

struct VaultKey {
    id: KeyId,
    key: LessSafeKey,
    mac: MacKey,
    /// Computes the names of persons in audit events.
    names: MacKey,
    /// Computes the nonces of sealed values.
    nonces: MacKey,
    /// The key's line in the file, counted from 1, blank lines included.
    line: usize,
    /// The time from which the key seals; `None` if it seals as soon as it is read.
    seals_from: Option<DateTime<Utc>>,
}

/// The vault keys. One key seals; all keys open.
pub struct Vault {
    /// The keys in the order of the file, the newest first.
    keys: Vec<VaultKey>,
    /// The index of the key that seals.
    sealing: usize,
}
unprintable!(Vault);

/// A secret that can only be opened with the vault key, and only for one person or app.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);
unprintable!(Sealed);

impl Sealed {
    /// A sealed value as it was read from the store. Its form is checked when it is opened.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// An empty value in place of a session key, for logins of apps that have no session keys: the
    /// store counts logins by their session keys.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    /// Whether this is [`Sealed::nothing`].
    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether both are the same secret of the same owner. The store's scripts compare the same
    /// bytes, the nonces.
    #[cfg(test)]
    pub fn is_same_secret(&self, other: &Self) -> bool {
        let nonce = self.0.get(1 + MARK_LEN..HEADER_LEN);
        nonce.is_some() && nonce == other.0.get(1 + MARK_LEN..HEADER_LEN)
    }

    /// Whether the vault key with this id may have sealed the value: the stored bytes of the id are
    /// equal.
    fn is_under(&self, id: KeyId) -> bool {
        self.0.get(1..=MARK_LEN) == id.get(..MARK_LEN)
    }

    /// Whether WeChat has refused this session key.
    pub fn is_stale(&self) -> bool {
        self.0.first().is_some_and(|form| form & STALE != 0)
    }

    /// The same session key, marked as one that WeChat has refused.
    pub fn stale(&self) -> Self {
        let mut marked = self.clone();
        if let Some(form) = marked.0.first_mut() {
            *form |= STALE;
        }
        marked
    }
}

impl Vault {
    /// Encrypts `secret` with the sealing key (AES-256-GCM) for this owner. The nonce is a MAC of
    /// the owner and the secret, so that the store's scripts can recognize the same secret. The
    /// oldest key makes the nonce, so that it stays the same while keys are rotated.
    pub fn seal(&self, secret: &str, owner: &dyn Owner) -> Sealed {
        let VaultKey { id, key, .. } = &self.keys[self.sealing];
        let nonce = self.nonce(secret, owner);
        // Hashing has left the end of the secret on the stack.
        zeroize_stack::<{ 16 << 10 }>();
        // Allocated at its final size, because a buffer that grows would leave copies of the secret
        // in memory.
        let mut sealed = Vec::with_capacity(HEADER_LEN + secret.len() + AES_256_GCM.tag_len());
        for part in [&[BASE64][..], &id[..MARK_LEN], &nonce, secret.as_bytes()] {
            sealed.extend_from_slice(part);
        }
        match STANDARD.decode_slice(secret, &mut sealed[HEADER_LEN..]) {
            Ok(length) => {
                sealed[HEADER_LEN + length..].zeroize();
                sealed.truncate(HEADER_LEN + length);
            }
            Err(_) => {
                sealed[0] = TEXT;
                sealed[HEADER_LEN..].copy_from_slice(secret.as_bytes());
            }
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        let owner = associated_data(owner, sealed[0]);
        let tag = key.seal_in_place_separate_tag(nonce, owner, &mut sealed[HEADER_LEN..]);
        sealed.extend_from_slice(tag.expect("a secret has less than 64 GiB").as_ref());
        Sealed(sealed)
    }

    /// Whether `sealed` was sealed with the key that seals now.
    pub fn is_newest(&self, sealed: &Sealed) -> bool {
        sealed.is_under(self.keys[self.sealing].id)
    }

    /// Decrypts a value that any of the keys has sealed for this owner. Fails with
    /// [`VaultError::DoesNotOpen`].
    pub fn open(
        &self,
        sealed: &Sealed,
        owner: &dyn Owner,
    ) -> Result<Zeroizing<String>, VaultError> {
        let mut candidates = self.keys.iter().filter(|key| sealed.is_under(key.id));
        candidates
            .find_map(|VaultKey { key, .. }| opened(sealed, owner, key))
            .ok_or(VaultError::DoesNotOpen)
    }

    /// The nonce for a secret of an owner. Two secrets have the same nonce with a probability of
    /// 2^-96. The form is not hashed, because it follows from the secret.
    #[inline(never)]
    fn nonce(&self, secret: &str, owner: &dyn Owner) -> [u8; NONCE_LEN] {
        let text = [associated_data(owner, 0).as_ref(), secret.as_bytes()].concat();
        self.oldest().nonces.bytes_of(&Zeroizing::new(text))
    }

    fn oldest(&self) -> &VaultKey {
        self.keys.last().expect("a vault has a key")
    }

    /// A MAC of `text` by the sealing key, for texts that untrusted clients send back to any
    /// replica.
    pub fn mac(&self, text: &str) -> String {
        self.keys[self.sealing].mac.of(text)
    }

    /// Whether `mac` is the MAC of `text` by any of the keys. All keys count, because replicas read
    /// a changed file at different times.
    pub fn has_made(&self, mac: &str, text: &str) -> bool {
        self.keys
            .iter()
            .any(|key| verify_slices_are_equal(key.mac.of(text).as_bytes(), mac.as_bytes()).is_ok())
    }

    /// The pseudonym of a person in audit events. The same person always has the same pseudonym,
    /// and nobody can compute the openid from it without a vault key. The oldest key makes it, so
    /// that it changes only when the oldest key is removed from the file.
    pub fn audit_name(&self, person: &Person) -> String {
        let Person {
            platform,
            app,
            openid,
        } = person;
        self.oldest()
            .names
            .of(&[platform.prefix(), app.as_str(), ":", openid.as_str()].concat())
    }
}

fn opened(sealed: &Sealed, owner: &dyn Owner, key: &LessSafeKey) -> Option<Zeroizing<String>> {
    let (header, ciphertext) = sealed.0.split_at_checked(HEADER_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(&header[1 + MARK_LEN..]).ok()?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let form = header[0] & !STALE;
    let secret = key
        .open_in_place(nonce, associated_data(owner, form), &mut buffer)
        .ok()?;
    let text = match form {
        TEXT => str::from_utf8(secret).ok()?.to_owned(),
        BASE64 => STANDARD.encode(secret),
        _ => return None,
    };
    Some(Zeroizing::new(text))
}

/// The bytes of a MAC. 12 are enough, because each guess costs a request.
const MAC_LEN: usize = 12;

/// A key for message authentication codes (HMAC-SHA-256). It is derived from a vault key, which all
/// replicas have, so that a replica recognizes a text that another replica gave to a client.
struct MacKey(hmac::Key);

impl MacKey {
    fn of(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes_of(text.as_bytes()))
    }

    fn bytes_of(&self, text: &[u8]) -> [u8; MAC_LEN] {
        let whole = hmac::sign(&self.0, text);
        array::from_fn(|index| whole.as_ref()[index])
    }
}

/// The owner of a secret. A sealed value opens only for its owner.
pub trait Owner {
    /// The parts of the owner's name, which are concatenated and authenticated with the secret.
    /// They are unambiguous: no id can contain the separator, and the parts of each kind of owner
    /// begin differently.
    fn parts(&self) -> [&str; 5];
}

/// The owner of a `session_key`.
impl Owner for Person {
    fn parts(&self) -> [&str; 5] {
        [
            "wxmint session_key:",
            self.platform.prefix(),
            self.app.as_str(),
            ":",
            self.openid.as_str(),
        ]
    }
}

/// The owner of an access token of WeChat.
impl Owner for AppId {
    fn parts(&self) -> [&str; 5] {
        ["wxmint access_token:", "", self.as_str(), "", ""]
    }
}

fn associated_data(owner: &dyn Owner, form: u8) -> Aad<Vec<u8>> {
    let [kind, platform, app, separator, openid] = owner.parts().map(str::as_bytes);
    Aad::from([kind, platform, app, separator, openid, &[form]].concat())
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::unix::fs::FileExt, sync::LazyLock};

    use chrono::TimeDelta;
    use wxmint_ids::Platform;

    use super::*;

    static APP: LazyLock<AppId> = LazyLock::new(|| "wx1".parse().expect("an app"));
    static OTHER_APP: LazyLock<AppId> = LazyLock::new(|| "wx2".parse().expect("an app"));
    const SESSION_KEY: &str = "HyVFkGl5F5OQWJZZaNzBBg==";

    fn person(openid: &str) -> Person {
        Person {
            platform: Platform::WeChat,
            app: APP.clone(),
            openid: openid.parse().expect("an openid"),
        }
    }

    fn line(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn vault(lines: &[u8]) -> Vault {
        let file: String = lines.iter().map(|&byte| line(byte) + "\n").collect();
        Vault::parse(file.as_bytes()).expect("a vault")
    }

    /// Reads the stack below its own frame, before any other call.
    #[cfg(target_os = "linux")]
    #[test]
    fn sealing_leaves_no_secret_on_the_stack() {
        let (vault, mut below) = (vault(&[1]), vec![0; 64 << 10]);
        let app = "wx0123456789abcdef".parse().expect("an app");
        let owner = Person {
            app,
            ..person("o6_bmjrPTlm6_2sgVt7hMZOPfL2M")
        };
        let memory = File::open("/proc/self/mem").expect("Linux");
        let here = (&raw const memory).addr() - below.len();
        let sealed = vault.seal(SESSION_KEY, &owner);
        memory
            .read_exact_at(&mut below, here as u64)
            .expect("a stack of 64 KiB");
        assert!(
            !below
                .windows(SESSION_KEY.len())
                .any(|text| text == SESSION_KEY.as_bytes())
        );
        assert!(vault.open(&sealed, &owner).is_ok());
    }

    #[test]
    fn the_newest_key_seals_and_all_open() {
        let old = vault(&[1]).seal(SESSION_KEY, &person("o1"));
        let rotated = vault(&[2, 1]);
        assert_eq!(
            rotated.open(&old, &person("o1")).expect("opens").as_str(),
            SESSION_KEY
        );
        let new = rotated.seal(SESSION_KEY, &person("o1"));
        assert_eq!(
            vault(&[1])
                .open(&new, &person("o1"))
                .expect_err("newer key"),
            VaultError::DoesNotOpen
        );
        assert!(vault(&[2]).open(&new, &person("o1")).is_ok());
    }

    #[test]
    fn a_key_with_a_time_opens_at_once_and_seals_from_then_on() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let file = format!("{} {}\n\n{}\n", line(2), at(100).to_rfc3339(), line(1));
        let vault_at = |seconds| {
            Vault::parse(file.as_bytes())
                .expect("a vault")
                .at(at(seconds))
        };

        let before = vault_at(99);
        assert_eq!(
            (before.sealing_line(), before.changes_at()),
            (3, Some(at(100)))
        );
        let sealed = before.seal(SESSION_KEY, &person("o1"));
        assert!(vault(&[1]).is_newest(&sealed) && before.is_newest(&sealed));

        let after = vault_at(100);
        assert_eq!(
            (
                after.sealing_line(),
                after.changes_at(),
                after.is_newest(&sealed)
            ),
            (1, None, false)
        );
        let resealed = after.seal(SESSION_KEY, &person("o1"));
        assert!(
            before.open(&resealed, &person("o1")).is_ok(),
            "a replica whose clock is slow"
        );
    }

    #[test]
    fn a_file_of_keys_that_all_wait_seals_with_the_last_one() {
        let file = format!(
            "{} 2026-10-03T12:00:00Z\n{} 2026-10-02T12:00:00Z\n",
            line(2),
            line(1)
        );
        let parsed = Vault::parse(file.as_bytes()).expect("a vault");
        let sealed = parsed.seal(SESSION_KEY, &person("o1"));
        assert!(vault(&[1]).open(&sealed, &person("o1")).is_ok());
    }

    #[test]
    fn a_key_that_is_marked_as_stale_opens_and_no_other_mark_does() {
        let vault = vault(&[1]);
        let sealed = vault.seal(SESSION_KEY, &person("o1"));
        let stale = sealed.stale();
        assert_eq!(
            [&sealed, &stale, &stale.stale()].map(Sealed::is_stale),
            [false, true, true]
        );
        assert_eq!(
            vault.open(&stale, &person("o1")).expect("opens").as_str(),
            SESSION_KEY
        );
        assert!(vault.is_newest(&stale));
        let mut unknown = sealed;
        unknown.0[0] = 3;
        assert!(vault.open(&unknown, &person("o1")).is_err());
        assert!(!Sealed::from_stored(Vec::new()).stale().is_stale());
    }

    #[test]
    fn it_opens_for_its_person_alone_and_not_when_changed() {
        let vault = vault(&[1]);
        let sealed = vault.seal(SESSION_KEY, &person("o1"));
        assert!(vault.open(&sealed, &person("o2")).is_err());
        for index in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[index] ^= 1;
            assert!(vault.open(&changed, &person("o1")).is_err(), "byte {index}");
            assert!(
                vault
                    .open(&Sealed(sealed.0[..index].to_vec()), &person("o1"))
                    .is_err(),
                "cut at {index}"
            );
        }
    }

    #[test]
    fn an_access_token_opens_for_its_app_alone_and_never_as_a_session_key() {
        let vault = vault(&[1]);
        let token = vault.seal("80_abc", &*APP);
        assert_eq!(vault.open(&token, &*APP).expect("opens").as_str(), "80_abc");
        assert!(vault.open(&token, &*OTHER_APP).is_err());
        assert!(vault.open(&token, &person("o1")).is_err());
        let key = vault.seal(SESSION_KEY, &person("o1"));
        assert!(vault.open(&key, &*APP).is_err());
        for text in [
            "",
            "=",
            "HyVFkGl5F5OQWJZZaNzBBh==",
            "HyVFkGl5F5OQWJZZaNzBBg",
            "HyVF",
        ] {
            let sealed = vault.seal(text, &*APP);
            assert_eq!(vault.open(&sealed, &*APP).expect("opens").as_str(), text);
        }
    }

    #[test]
    fn a_sealed_value_does_not_hold_the_key_and_looks_alike_for_one_owner_and_secret_alone() {
        let vault = vault(&[1]);
        let [one, again] = [(); 2].map(|()| vault.seal(SESSION_KEY, &person("o1")));
        assert!(one == again && one.is_same_secret(&again) && one.is_same_secret(&one.stale()));
        let by_newer = self::vault(&[2, 1]).seal(SESSION_KEY, &person("o1"));
        assert!(
            one.is_same_secret(&by_newer) && one != by_newer,
            "also while the vault key is replaced"
        );
        let other_secret = vault.seal("HyVFkGl5F5OQWJZZaNzBBw==", &person("o1"));
        let other_key = self::vault(&[2]).seal(SESSION_KEY, &person("o1"));
        for other in [
            other_secret,
            vault.seal(SESSION_KEY, &person("o2")),
            vault.seal(SESSION_KEY, &*APP),
            other_key,
        ] {
            assert!(!one.is_same_secret(&other));
        }
        assert!(
            !Sealed::nothing().is_same_secret(&Sealed::nothing()),
            "there is no secret"
        );
        let bytes = STANDARD.decode(SESSION_KEY).expect("base64");
        assert!(
            ![SESSION_KEY.as_bytes(), &bytes]
                .iter()
                .any(|key| one.0.windows(key.len()).any(|some| some == *key))
        );
        assert_eq!(one.0.len(), 47, "each person has two");
    }

    #[test]
    fn audit_events_call_a_person_the_same_after_a_new_key_and_no_two_persons_alike() {
        let name = |lines: &[u8], openid| vault(lines).audit_name(&person(openid));
        assert_eq!(name(&[2, 1], "o1"), name(&[1], "o1"));
        assert_ne!(
            name(&[2, 1], "o1"),
            name(&[2], "o1"),
            "the oldest key is gone"
        );
        assert_ne!(
            name(&[1], "o1"),
            vault(&[1]).mac("wx1:o1"),
            "a name is no MAC that wxmint takes from strangers"
        );
        assert!(name(&[1], "o1") != name(&[1], "o2"));
        assert_ne!(
            vault(&[1]).audit_name(&Person {
                platform: Platform::Douyin,
                ..person("o1")
            }),
            name(&[1], "o1")
        );
        assert_ne!(
            vault(&[1]).audit_name(&Person {
                app: OTHER_APP.clone(),
                ..person("o1")
            }),
            name(&[1], "o1")
        );
    }

    #[test]
    fn a_mac_is_known_to_every_vault_with_its_key_and_to_no_other() {
        let mac = vault(&[1]).mac("a text");
        assert!(vault(&[1]).has_made(&mac, "a text") && vault(&[2, 1]).has_made(&mac, "a text"));
        assert!(
            !vault(&[2]).has_made(&mac, "a text") && !vault(&[1]).has_made(&mac, "another text")
        );
        for wrong in ["", &mac[1..], &format!("{mac}A"), &mac.to_lowercase()] {
            assert!(!vault(&[1]).has_made(wrong, "a text"), "{wrong}");
        }
        assert_ne!(vault(&[2, 1]).mac("a text"), mac, "the newest key makes it");
    }
}
