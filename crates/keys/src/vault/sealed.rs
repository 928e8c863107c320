//! A sealed value as it is stored, and how it is opened.

use aws_lc_rs::aead::{LessSafeKey, Nonce};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{BASE64, HEADER_LEN, KeyId, MARK_LEN, Owner, Sealed, TEXT, Vault, VaultError, VaultKey, associated_data};

/// Added to the form of a session key that WeChat no longer accepts. Only what the person's phone encrypted before is
/// decrypted with it.
const STALE: u8 = 0x80;

impl Sealed {
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Stands in for the session key of an app that has none, where logins are counted by their session keys.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }

    pub fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the same secret of the same owner was sealed. The scripts of the store compare the same bytes.
    #[cfg(test)]
    pub fn is_same_secret(&self, other: &Self) -> bool {
        let nonce = self.0.get(1 + MARK_LEN..HEADER_LEN);
        nonce.is_some() && nonce == other.0.get(1 + MARK_LEN..HEADER_LEN)
    }

    /// Whether the vault key of this id may have sealed it.
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
        marked.0.iter_mut().take(1).for_each(|form| *form |= STALE);
        marked
    }
}

impl Vault {
    /// Whether `sealed` is under the key that seals now.
    pub fn is_newest(&self, sealed: &Sealed) -> bool {
        sealed.is_under(self.keys[self.sealing].id)
    }

    /// Opens what any of the keys sealed for this owner.
    pub fn open(&self, sealed: &Sealed, owner: &dyn Owner) -> Result<Zeroizing<String>, VaultError> {
        let mut candidates = self.keys.iter().filter(|key| sealed.is_under(key.id));
        candidates.find_map(|VaultKey { key, .. }| opened(sealed, owner, key)).ok_or(VaultError::DoesNotOpen)
    }
}

fn opened(sealed: &Sealed, owner: &dyn Owner, key: &LessSafeKey) -> Option<Zeroizing<String>> {
    let (header, ciphertext) = sealed.0.split_at_checked(HEADER_LEN)?;
    let nonce = Nonce::try_assume_unique_for_key(&header[1 + MARK_LEN..]).ok()?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let form = header[0] & !STALE;
    let secret = key.open_in_place(nonce, associated_data(owner, form), &mut buffer).ok()?;
    let text = match form {
        TEXT => str::from_utf8(secret).ok()?.to_owned(),
        BASE64 => STANDARD.encode(secret),
        _ => return None,
    };
    Some(Zeroizing::new(text))
}
