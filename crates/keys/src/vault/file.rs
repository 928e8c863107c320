//! The vault key file: a key a line, the newest on top.
//!
//! A key may have a time behind it, and seals from then on. All replicas read it before, so that none meets what it
//! cannot open; from then on they seal with it together, without speaking.

use std::str;

use aws_lc_rs::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, SecondsFormat, Utc};
use zeroize::Zeroizing;

use super::{MacKey, Vault, VaultError, VaultKey, sealed::key_id};

/// The keys of a file; blank lines do not count.
pub(super) fn keys(file: &[u8]) -> impl Iterator<Item = Result<VaultKey, VaultError>> {
    let numbered = file.split(|&byte| byte == b'\n').zip(1..);
    numbered.map(|(text, line)| (text.trim_ascii(), line)).filter(|(text, _)| !text.is_empty()).map(read)
}

fn read((text, line): (&[u8], usize)) -> Result<VaultKey, VaultError> {
    let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
    let (key, time) = text.split_at(end);
    let bytes = Zeroizing::new(STANDARD.decode(key).map_err(|_| VaultError::BadLine { line })?);
    // Refuses all lengths but that of AES-256.
    let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| VaultError::BadLine { line })?;
    let seals_from = match time.trim_ascii() {
        b"" => None,
        time => Some(instant(time).ok_or(VaultError::BadTime { line })?),
    };
    let [mac, names, nonces] = ["wxmint vault MAC key", "wxmint audit person key", "wxmint vault nonce key"]
        .map(|label| MacKey::derived_from(&bytes, label));
    Ok(VaultKey { id: key_id(&bytes), key: LessSafeKey::new(key), mac, names, nonces, line, seals_from })
}

fn instant(text: &[u8]) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(str::from_utf8(text).ok()?).ok()?.to_utc())
}

/// `file` with a new key on top, which seals from an instant on. What is there stays as it is.
pub fn with_new_key(file: &[u8], key: &[u8; 32], seals_from: DateTime<Utc>) -> Result<Zeroizing<Vec<u8>>, VaultError> {
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

    type Row = (usize, [u8; 4], Option<DateTime<Utc>>);

    fn read_all(file: &str) -> Result<Vec<Row>, VaultError> {
        keys(file.as_bytes()).map(|key| key.map(|key| (key.line, key.id, key.seals_from))).collect()
    }

    #[test]
    fn a_line_is_a_key_and_perhaps_a_time() {
        let [one, two] = [1, 2].map(|byte| STANDARD.encode([byte; 32]));
        let read = read_all(&format!("{two}\t 2026-10-03T20:00:00+08:00 \r\n\n  {one}\n")).expect("lines");
        let [one_id, two_id] = [1, 2].map(|byte| key_id(&[byte; 32]));
        assert_eq!(read, [(1, two_id, Some(at("2026-10-03T12:00:00Z"))), (3, one_id, None)]);
        for time in ["tomorrow", "2026-10-03", "2026-10-03 12:00:00", "2026-10-03T12:00:00", "\u{ff}"] {
            assert_eq!(read_all(&format!("\n{one} {time}")), Err(VaultError::BadTime { line: 2 }), "{time}");
        }
    }

    #[test]
    fn a_new_key_is_put_on_top_and_the_rest_stays_byte_for_byte() {
        let old = format!("{}\r\n\n{}\n", STANDARD.encode([1; 32]), STANDARD.encode([2; 32]));
        let new = with_new_key(old.as_bytes(), &[3; 32], at("2026-10-03T12:00:00Z")).expect("a file");
        let expected = format!("{} 2026-10-03T12:00:00Z\n{old}", STANDARD.encode([3; 32]));
        assert_eq!(str::from_utf8(&new), Ok(expected.as_str()));
        let again = with_new_key(&new, &[3; 32], at("2026-10-04T12:00:00Z"));
        assert_eq!(again.expect_err("the same key"), VaultError::Repeated { line: 2 });
        let spoilt = with_new_key(b"short\n", &[3; 32], at("2026-10-03T12:00:00Z"));
        assert_eq!(spoilt.expect_err("a bad file"), VaultError::BadLine { line: 2 });
    }
}
