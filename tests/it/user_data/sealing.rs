//! WeChat does this on the phone with a session key: it seals, and it signs.

use crate::support::prelude::*;
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use wxmint::clock::now;

pub(super) const BLOCK: usize = 16;
pub(super) type Block = [u8; BLOCK];

/// The body of a request with `text`, sealed as WeChat seals it.
pub(super) fn seal(key: &str, text: &str) -> Value {
    encrypt(key, &padded(text.as_bytes()))
}

/// The same with whole blocks of whatever.
pub(super) fn encrypt(key: &str, blocks: &[u8]) -> Value {
    let mut iv = Block::default();
    fastrand::fill(&mut iv);
    body(&encrypted(key, blocks, iv), &iv)
}

fn encrypted(key: &str, blocks: &[u8], iv: Block) -> Vec<u8> {
    let mut text = blocks.to_vec();
    let key = EncryptingKey::cbc(cipher_key(key)).expect("a key");
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(iv.into())).expect("whole blocks");
    text
}

fn cipher_key(key: &str) -> UnboundCipherKey {
    UnboundCipherKey::new(&AES_128, &STANDARD.decode(key).expect("base64")).expect("16 bytes")
}

/// PKCS#7 (RFC 5652 section 6.3).
pub(super) fn padded(text: &[u8]) -> Vec<u8> {
    let padding = BLOCK - text.len() % BLOCK;
    [text, &vec![padding as u8; padding]].concat()
}

/// The body of a request with this ciphertext.
pub(super) fn body(ciphertext: &[u8], iv: &[u8]) -> Value {
    json!({"encryptedData": STANDARD.encode(ciphertext), "iv": STANDARD.encode(iv)})
}

/// The ciphertext and the iv of a request's body.
pub(super) fn parts(body: &Value) -> (Vec<u8>, Block) {
    let part = |name: &str| STANDARD.decode(body[name].as_str().expect("text")).expect("base64");
    (part("encryptedData"), part("iv").try_into().expect("16 bytes"))
}

/// The body of a request with `rawData` as WeChat signs it.
pub(super) fn sign(key: &str, raw_data: &str) -> Value {
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{raw_data}{key}").as_bytes());
    json!({"rawData": raw_data, "signature": hex(hash.as_ref())})
}

/// When WeChat has sealed something, and for which app.
pub(super) fn watermark(app: &str, seconds_ago: i64) -> Value {
    json!({"timestamp": now().timestamp() - seconds_ago, "appid": app})
}

pub(super) fn phone(number: &str) -> Value {
    phone_with(number, watermark(APPID, 0))
}

pub(super) fn phone_with(number: &str, watermark: Value) -> Value {
    json!({"phoneNumber": number, "purePhoneNumber": number, "countryCode": "86", "watermark": watermark})
}

pub(super) fn sealed_phone(key: &str, number: &str) -> Value {
    seal(key, &phone(number).to_string())
}
