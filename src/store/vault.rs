//! Seals session keys and access tokens, so that who reads Redis, a dump of it or a backup reads none.

use std::{
    str,
    sync::{Arc, PoisonError, RwLock},
};

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest, rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::Person;
use crate::{
    ids::AppId,
    wechat::{AppAccessToken, SessionKey},
};

/// Layout of a sealed value: version, key id, nonce, ciphertext and tag.
const VERSION: u8 = 1;
const KEY_ID_LEN: usize = 4;
const HEADER_LEN: usize = 1 + KEY_ID_LEN + NONCE_LEN;

/// A secret that nobody can read without the vault key, and that opens for one person or one app alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// From what was stored.
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// As it is stored.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Sealed {
    /// Of the vault key that sealed it; tells nothing about the key.
    fn key_id(&self) -> Option<[u8; KEY_ID_LEN]> {
        self.0.get(1..1 + KEY_ID_LEN)?.try_into().ok()
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} bytes)", self.0.len())
    }
}

/// Why the vault cannot be used, or a sealed value cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    /// A line of the key file.
    #[error("line {line} must be base64 of 32 bytes, as `openssl rand -base64 32` prints it")]
    BadLine {
        /// Counted from 1.
        line: usize,
    },
    /// Nothing but blank lines.
    #[error("the file holds no key; write one with: openssl rand -base64 32")]
    NoKey,
    /// Two lines are one key.
    #[error("line {line} repeats an earlier key")]
    Repeated {
        /// Counted from 1.
        line: usize,
    },
    /// None of the vault's keys sealed it, or it was changed, or it is another person's.
    #[error("the sealed value does not open: its vault key is gone, or it was changed")]
    DoesNotOpen,
    /// The cryptographic library refused without a reason.
    #[error("the cryptographic library could not seal")]
    Crypto,
}

struct VaultKey {
    id: [u8; KEY_ID_LEN],
    key: LessSafeKey,
}

/// The vault keys: the first seals, all open.
pub struct Vault {
    keys: Vec<VaultKey>,
}

/// Holds the vault keys that are in use. Shared by all workers; who seals or opens keeps what they have got.
pub struct CurrentVault(RwLock<Arc<Vault>>);

impl CurrentVault {
    /// Begins with these.
    pub fn new(vault: Vault) -> Self {
        Self(RwLock::new(Arc::new(vault)))
    }

    /// Those in use.
    pub fn keys(&self) -> Arc<Vault> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts others in use: their first seals from now on.
    pub fn swap(&self, vault: Vault) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(vault);
    }
}

impl Vault {
    /// Whether `sealed` is under the newest key.
    pub fn is_newest(&self, sealed: &Sealed) -> bool {
        self.keys.first().is_some_and(|newest| sealed.key_id() == Some(newest.id))
    }

    /// Reads a vault key file: base64 of 32 bytes a line, newest first; blank lines do not count.
    pub fn parse(file: &[u8]) -> Result<Self, VaultError> {
        let mut keys: Vec<VaultKey> = Vec::new();
        for (index, line) in file.split(|&byte| byte == b'\n').enumerate() {
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let line = index + 1;
            let bytes = Zeroizing::new(STANDARD.decode(text).map_err(|_| VaultError::BadLine { line })?);
            let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::BadLine { line })?;
            let id = key_id(&bytes);
            if keys.iter().any(|earlier| earlier.id == id) {
                return Err(VaultError::Repeated { line });
            }
            keys.push(VaultKey { id, key: LessSafeKey::new(key) });
        }
        if keys.is_empty() { Err(VaultError::NoKey) } else { Ok(Self { keys }) }
    }

    /// Seals with the newest key (AES-256-GCM, random nonce), bound to the person.
    pub fn seal(&self, session_key: &SessionKey, person: &Person) -> Result<Sealed, VaultError> {
        self.seal_text(session_key.expose(), bound_to(person))
    }

    /// Opens what any of the keys sealed for this person.
    pub fn open(&self, sealed: &Sealed, person: &Person) -> Result<SessionKey, VaultError> {
        self.open_text(sealed, bound_to(person), SessionKey::new)
    }

    /// Seals as [`Vault::seal`] does, bound to the app.
    pub fn seal_access_token(&self, token: &AppAccessToken, app: &AppId) -> Result<Sealed, VaultError> {
        self.seal_text(token.expose(), bound_to_app(app))
    }

    /// Opens what any of the keys sealed for this app.
    pub fn open_access_token(&self, sealed: &Sealed, app: &AppId) -> Result<AppAccessToken, VaultError> {
        self.open_text(sealed, bound_to_app(app), AppAccessToken::new)
    }

    fn seal_text(&self, text: &str, bound_to: Vec<u8>) -> Result<Sealed, VaultError> {
        let VaultKey { id, key } = self.keys.first().ok_or(VaultError::NoKey)?;
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).map_err(|_| VaultError::Crypto)?;
        let mut text = Zeroizing::new(text.as_bytes().to_vec());
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce_used, Aad::from(bound_to), &mut text)
            .map_err(|_| VaultError::Crypto)?;
        Ok(Sealed([&[VERSION][..], id, &nonce, &text, tag.as_ref()].concat()))
    }

    fn open_text<T>(&self, sealed: &Sealed, bound_to: Vec<u8>, custody: fn(String) -> T) -> Result<T, VaultError> {
        let (header, ciphertext) = sealed.0.split_at_checked(HEADER_LEN).ok_or(VaultError::DoesNotOpen)?;
        let (id, nonce) = header[1..].split_at(KEY_ID_LEN);
        let known = self.keys.iter().find(|key| key.id == id && header[0] == VERSION);
        let VaultKey { key, .. } = known.ok_or(VaultError::DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::DoesNotOpen)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let text = key.open_in_place(nonce, Aad::from(bound_to), &mut buffer).map_err(|_| VaultError::DoesNotOpen)?;
        str::from_utf8(text).map(|text| custody(text.to_owned())).map_err(|_| VaultError::DoesNotOpen)
    }
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} keys)", self.keys.len())
    }
}

/// Tells keys apart without telling anything about them.
fn key_id(key: &[u8]) -> [u8; KEY_ID_LEN] {
    let hash = digest::digest(&digest::SHA256, &[b"wxmint vault key id", key].concat());
    let mut id = [0; KEY_ID_LEN];
    id.copy_from_slice(&hash.as_ref()[..KEY_ID_LEN]);
    id
}

/// The associated data. No part of it can hold the separator.
fn bound_to(person: &Person) -> Vec<u8> {
    format!("wxmint session_key:{}:{}", person.app, person.openid.as_str()).into_bytes()
}

/// Begins otherwise than a person's, so that neither opens as the other.
fn bound_to_app(app: &AppId) -> Vec<u8> {
    format!("wxmint access_token:{app}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(openid: &str) -> Person {
        Person { app: "wx1".parse().expect("an app"), openid: openid.parse().expect("an openid") }
    }

    fn line(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn vault(lines: &[u8]) -> Vault {
        let file: Vec<_> = lines.iter().map(|&byte| line(byte)).collect();
        Vault::parse(file.join("\n").as_bytes()).expect("a vault")
    }

    fn session_key() -> SessionKey {
        SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg==")
    }

    #[test]
    fn the_newest_key_seals_and_all_open() {
        let old = vault(&[1]).seal(&session_key(), &person("o1")).expect("sealed");
        let rotated = vault(&[2, 1]);
        assert_eq!(rotated.open(&old, &person("o1")).expect("opens").expose(), session_key().expose());
        let new = rotated.seal(&session_key(), &person("o1")).expect("sealed");
        assert_eq!(vault(&[1]).open(&new, &person("o1")).expect_err("newer key"), VaultError::DoesNotOpen);
        assert!(vault(&[2]).open(&new, &person("o1")).is_ok());
    }

    #[test]
    fn it_opens_for_its_person_alone_and_not_when_changed() {
        let vault = vault(&[1]);
        let sealed = vault.seal(&session_key(), &person("o1")).expect("sealed");
        assert!(vault.open(&sealed, &person("o2")).is_err());
        for index in 0..sealed.0.len() {
            let mut changed = sealed.clone();
            changed.0[index] ^= 1;
            assert!(vault.open(&changed, &person("o1")).is_err(), "byte {index}");
            assert!(vault.open(&Sealed(sealed.0[..index].to_vec()), &person("o1")).is_err(), "cut at {index}");
        }
    }

    #[test]
    fn an_access_token_opens_for_its_app_alone_and_never_as_a_session_key() {
        let vault = vault(&[1]);
        let app = |id: &str| id.parse::<AppId>().expect("an app");
        let token = vault.seal_access_token(&AppAccessToken::new("80_abc"), &app("wx1")).expect("sealed");
        assert_eq!(vault.open_access_token(&token, &app("wx1")).expect("opens").expose(), "80_abc");
        assert!(vault.open_access_token(&token, &app("wx2")).is_err());
        assert!(vault.open(&token, &person("o1")).is_err());
        let key = vault.seal(&session_key(), &person("o1")).expect("sealed");
        assert!(vault.open_access_token(&key, &app("wx1")).is_err());
    }

    #[test]
    fn a_sealed_value_does_not_hold_the_key_and_never_looks_the_same_twice() {
        let vault = vault(&[1]);
        let [one, other] = [(); 2].map(|()| vault.seal(&session_key(), &person("o1")).expect("sealed"));
        assert_ne!(one, other);
        let text = session_key().expose().as_bytes().to_vec();
        assert!(!one.0.windows(text.len()).any(|window| window == text));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let good = line(1);
        for (file, error) in [
            (String::new(), VaultError::NoKey),
            (format!("{good}\n\nshort\n"), VaultError::BadLine { line: 3 }),
            (STANDARD.encode([1; 16]), VaultError::BadLine { line: 1 }),
            (format!("{good}\n{good}"), VaultError::Repeated { line: 2 }),
        ] {
            assert_eq!(Vault::parse(file.as_bytes()).expect_err("refused"), error);
        }
        assert!(Vault::parse(format!("{good}\r\n").as_bytes()).is_ok());
    }
}
