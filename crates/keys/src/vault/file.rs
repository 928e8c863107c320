//! The vault key file: one key on each line, the newest first.
//!
//! A key may be followed by a time, from which it seals. All replicas read the key before that
//! time, so that each can open values that another replica seals with it. At that time all of them
//! change to the key without talking to each other.

use std::array;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use aws_lc_rs::{digest, hmac};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use zeroize::Zeroizing;

use super::{KeyId, MacKey, Vault, VaultKey};

/// Why the vault cannot be used, or a sealed value cannot be opened. Lines are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("line {line} must be base64 of 32 bytes, as `openssl rand -base64 32` prints it")]
    BadLine { line: usize },
    #[error(
        "line {line} must have nothing behind its key, or the time from which it seals, as 2026-10-03T12:00:00Z"
    )]
    BadTime { line: usize },
    #[error("the file holds no key")]
    NoKey,
    /// The file does not end with a line break. It may have been cut off, and a key whose time was
    /// cut off would seal at once.
    #[error(
        "does not end with a line break, as if only half had been written: complete it, and end its last line with a line break"
    )]
    Cut,
    #[error("line {line} repeats an earlier key")]
    Repeated { line: usize },
    /// The value was sealed with a key that the vault does not have, was changed, or belongs to
    /// another owner.
    #[error("the sealed value does not open: its vault key is gone, or it was changed")]
    DoesNotOpen,
}

impl Vault {
    /// Parses a vault key file. Each line is base64 of 32 bytes, perhaps followed by white space
    /// and the time (RFC 3339) from which the key seals. The newest key is first. Blank lines are
    /// ignored. The last line must end with a line break. A key with a time does not seal until
    /// [`Vault::at`] is called with that time or a later one.
    pub fn parse(file: &[u8]) -> Result<Self, VaultError> {
        if !file.is_empty() && !file.ends_with(b"\n") {
            return Err(VaultError::Cut);
        }
        let mut keys: Vec<VaultKey> = Vec::new();
        let lines = file
            .split(|&byte| byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .zip(1..);
        for (text, line) in lines.filter(|(text, _)| !text.is_empty()) {
            let key = read(text, line)?;
            if keys.iter().any(|earlier| earlier.id == key.id) {
                return Err(VaultError::Repeated { line });
            }
            keys.push(key);
        }
        let begin = DateTime::<Utc>::MIN_UTC;
        if keys.is_empty() {
            Err(VaultError::NoKey)
        } else {
            Ok(Self { keys, sealing: 0 }.at(begin))
        }
    }

    /// Chooses the key that seals at `now`: the first key whose time has come, or the last key if
    /// no time has come.
    pub fn at(mut self, now: DateTime<Utc>) -> Self {
        self.sealing = self
            .keys
            .iter()
            .position(|key| key.seals_from.is_none_or(|from| from <= now))
            .unwrap_or(self.keys.len() - 1);
        self
    }

    /// When the next key begins to seal; `None` if no key waits for its time.
    pub fn changes_at(&self) -> Option<DateTime<Utc>> {
        self.keys[..self.sealing]
            .iter()
            .filter_map(|key| key.seals_from)
            .min()
    }

    /// The line of the file whose key seals, counted from 1.
    pub fn sealing_line(&self) -> usize {
        self.keys[self.sealing].line
    }
}

fn read(text: &[u8], line: usize) -> Result<VaultKey, VaultError> {
    let end = text
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(text.len());
    let (key, time) = text.split_at(end);
    let bytes = Zeroizing::new(
        STANDARD
            .decode(key)
            .map_err(|_| VaultError::BadLine { line })?,
    );
    // Refuses a key that does not have the length for AES-256, 32 bytes.
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::BadLine { line })?;
    let seals_from = match time.trim_ascii() {
        b"" => None,
        time => {
            let text = str::from_utf8(time).map_err(|_| VaultError::BadTime { line })?;
            let instant = DateTime::parse_from_rfc3339(text);
            Some(instant.map_err(|_| VaultError::BadTime { line })?.to_utc())
        }
    };
    let [mac, names, nonces] = [
        "wxmint vault MAC key",
        "wxmint audit person key",
        "wxmint vault nonce key",
    ]
    .map(|label| {
        MacKey(hmac::Key::new(
            hmac::HMAC_SHA256,
            derived(label, &bytes).as_ref(),
        ))
    });
    Ok(VaultKey {
        id: key_id(&bytes),
        key: LessSafeKey::new(key),
        mac,
        names,
        nonces,
        line,
        seals_from,
    })
}

fn key_id(vault_key: &[u8]) -> KeyId {
    let hash = derived("wxmint vault key id", vault_key);
    array::from_fn(|index| hash.as_ref()[index])
}

/// Derives a value from a vault key: SHA-256(`label`, key). `label` names its purpose.
fn derived(label: &str, vault_key: &[u8]) -> digest::Digest {
    digest::digest(
        &digest::SHA256,
        &Zeroizing::new([label.as_bytes(), vault_key].concat()),
    )
}

/// `file` with a new key as its first line, which seals from `seals_from` on. The other lines stay
/// as they are.
pub fn with_new_key(
    file: &[u8],
    key: &[u8; 32],
    seals_from: DateTime<Utc>,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let key = Zeroizing::new(STANDARD.encode(key));
    let time = seals_from.to_rfc3339_opts(SecondsFormat::Secs, true);
    let whole = Zeroizing::new([key.as_bytes(), b" ", time.as_bytes(), b"\n", file].concat());
    Vault::parse(&whole).map(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let good = STANDARD.encode([1; 32]);
        for (file, error) in [
            (String::new(), VaultError::NoKey),
            (
                format!("{good}\n\nshort\n"),
                VaultError::BadLine { line: 3 },
            ),
            (
                STANDARD.encode([1; 16]) + "\n",
                VaultError::BadLine { line: 1 },
            ),
            (
                format!("{good}\n{good}\n"),
                VaultError::Repeated { line: 2 },
            ),
            (
                format!("{good} tomorrow\n"),
                VaultError::BadTime { line: 1 },
            ),
            (good.clone(), VaultError::Cut),
        ] {
            assert_eq!(Vault::parse(file.as_bytes()).expect_err("refused"), error);
        }
        assert!(Vault::parse(format!("{good}\r\n").as_bytes()).is_ok());
    }

    type Row = (usize, [u8; 4], Option<DateTime<Utc>>);

    fn read_all(file: &str) -> Result<Vec<Row>, VaultError> {
        let vault = Vault::parse(file.as_bytes())?;
        Ok(vault
            .keys
            .iter()
            .map(|key| (key.line, key.id, key.seals_from))
            .collect())
    }

    #[test]
    fn a_line_is_a_key_and_perhaps_a_time() {
        let [one, two] = [1, 2].map(|byte| STANDARD.encode([byte; 32]));
        let read = read_all(&format!(
            "{two}\t 2026-10-03T20:00:00+08:00 \r\n\n  {one}\n"
        ))
        .expect("lines");
        let [one_id, two_id] = [1, 2].map(|byte| key_id(&[byte; 32]));
        assert_eq!(
            read,
            [
                (1, two_id, Some(at("2026-10-03T12:00:00Z"))),
                (3, one_id, None)
            ]
        );
        for time in [
            "tomorrow",
            "2026-10-03",
            "2026-10-03 12:00:00",
            "2026-10-03T12:00:00",
            "\u{ff}",
        ] {
            assert_eq!(
                read_all(&format!("\n{one} {time}\n")),
                Err(VaultError::BadTime { line: 2 }),
                "{time}"
            );
        }
    }

    #[test]
    fn a_new_key_is_put_on_top_and_the_rest_stays_byte_for_byte() {
        let old = format!(
            "{}\r\n\n{}\n",
            STANDARD.encode([1; 32]),
            STANDARD.encode([2; 32])
        );
        let new =
            with_new_key(old.as_bytes(), &[3; 32], at("2026-10-03T12:00:00Z")).expect("a file");
        let expected = format!("{} 2026-10-03T12:00:00Z\n{old}", STANDARD.encode([3; 32]));
        assert_eq!(str::from_utf8(&new), Ok(expected.as_str()));
        let again = with_new_key(&new, &[3; 32], at("2026-10-04T12:00:00Z"));
        assert_eq!(
            again.expect_err("the same key"),
            VaultError::Repeated { line: 2 }
        );
        let spoilt = with_new_key(b"short\n", &[3; 32], at("2026-10-03T12:00:00Z"));
        assert_eq!(
            spoilt.expect_err("a bad file"),
            VaultError::BadLine { line: 2 }
        );
    }
}
