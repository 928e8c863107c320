//! Message authentication codes by the vault keys, which all replicas have: by them a replica knows a text that another
//! one gave to a stranger.

use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, hmac};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// In bytes. Enough, because nobody can try a MAC without asking.
pub(super) const LENGTH: usize = 12;

/// A key of its own, derived from a vault key.
pub(super) struct MacKey(hmac::Key);

impl MacKey {
    /// `label` names what the key is for.
    pub(super) fn derived_from(vault_key: &[u8], label: &str) -> Self {
        let derived = digest::digest(&digest::SHA256, &Zeroizing::new([label.as_bytes(), vault_key].concat()));
        Self(hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()))
    }

    pub(super) fn of(&self, text: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.bytes_of(text.as_bytes()))
    }

    pub(super) fn bytes_of(&self, text: &[u8]) -> [u8; LENGTH] {
        let (mut bytes, whole) = ([0; LENGTH], hmac::sign(&self.0, text));
        bytes.copy_from_slice(&whole.as_ref()[..LENGTH]);
        bytes
    }

    pub(super) fn has_made(&self, mac: &str, text: &str) -> bool {
        verify_slices_are_equal(self.of(text).as_bytes(), mac.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::super::Vault;

    fn vault(lines: &[u8]) -> Vault {
        let file: String = lines.iter().map(|&byte| STANDARD.encode([byte; 32]) + "\n").collect();
        Vault::parse(file.as_bytes()).expect("a vault")
    }

    #[test]
    fn a_mac_is_known_to_every_vault_with_its_key_and_to_no_other() {
        let mac = vault(&[1]).mac("a text");
        assert!(vault(&[1]).has_made(&mac, "a text") && vault(&[2, 1]).has_made(&mac, "a text"));
        assert!(!vault(&[2]).has_made(&mac, "a text") && !vault(&[1]).has_made(&mac, "another text"));
        for wrong in ["", &mac[1..], &format!("{mac}A"), &mac.to_lowercase()] {
            assert!(!vault(&[1]).has_made(wrong, "a text"), "{wrong}");
        }
        assert_ne!(vault(&[2, 1]).mac("a text"), mac, "the newest key makes it");
    }
}
