//! WeChat does this on the phone with a session key: it seals, and it signs.

use crate::support::prelude::*;
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint::clock::now;

pub(super) const BLOCK: usize = 16;

/// The body of a request with `text`, sealed as WeChat seals it: with the padding of PKCS#7 (RFC 5652 section 6.3).
pub(super) fn seal(key: &str, text: impl AsRef<[u8]>) -> Value {
    let padding = BLOCK - text.as_ref().len() % BLOCK;
    encrypt(
        key,
        &[text.as_ref(), &vec![padding as u8; padding]].concat(),
    )
}

/// The same with whole blocks of whatever.
pub(super) fn encrypt(key: &str, blocks: &[u8]) -> Value {
    let (mut iv, mut text) = ([0; BLOCK], blocks.to_vec());
    fastrand::fill(&mut iv);
    let key =
        UnboundCipherKey::new(&AES_128, &STANDARD.decode(key).expect("base64")).expect("16 bytes");
    let key = EncryptingKey::cbc(key).expect("a key");
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(iv.into()))
        .expect("whole blocks");
    body(&text, &iv)
}

/// The body of a request with this ciphertext.
pub(super) fn body(ciphertext: &[u8], iv: &[u8]) -> Value {
    json!({"encryptedData": STANDARD.encode(ciphertext), "iv": STANDARD.encode(iv)})
}

/// The body of a request with `rawData` as WeChat signs it.
pub(super) fn sign(key: &str, raw_data: &str) -> Value {
    let hash = digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        format!("{raw_data}{key}").as_bytes(),
    );
    json!({"rawData": raw_data, "signature": const_hex::encode(hash)})
}

/// When WeChat has sealed something, and for which app.
pub(super) fn watermark(app: &str, seconds_ago: i64) -> Value {
    json!({"timestamp": now().timestamp() - seconds_ago, "appid": app})
}

pub(super) fn sealed_phone(key: &str, number: &str) -> Value {
    let phone = json!({
        "phoneNumber": number, "purePhoneNumber": number, "countryCode": "86", "watermark": watermark(APPID, 0),
    });
    seal(key, phone.to_string())
}
