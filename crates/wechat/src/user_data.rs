//! User data that WeChat encrypts or signs with the session key for a mini program. Only a server
//! can open or check it.
//!
//! The encryption is CBC without a MAC, so an attacker who can distinguish failures could decrypt
//! and forge data. Therefore all failures have the same answer, and all failures that an attacker
//! can cause without the key take the same work. The phone has both plaintext and ciphertext, so it
//! can join parts of them to another text; [`kinds`] prevents that.
//!
//! - `cbc`: the cipher and its padding; `text`: whether a plaintext can be JSON at all; `kinds`:
//!   whether it is one of the kinds of data that WeChat encrypts, with exactly its members.

mod cbc;
mod kinds;
#[cfg(test)]
mod residue;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Map, Value, from_value};
use wxmint_ids::{Person, UnionId, unprintable};
use wxmint_verify::json::read_object;

use self::cbc::BLOCK;
use super::client::{believed, blank_control_characters};
use super::{SessionKey, api::number_or_quoted};

/// The longest data that is decrypted, in bytes. A month of steps has 2 KiB, and WeChat sends
/// nothing near this limit.
const LONGEST: usize = 96 * 1024;
/// The number of hexadecimal digits of a SHA-1.
const SIGNATURE_LENGTH: usize = 40;
/// Parsed in place of a plaintext that cannot be JSON, so that this failure takes as long as any
/// other. The parser stops within the first 16 bytes, as it does if an attacker has changed the iv.
/// Elsewhere an attacker can only change a whole block of 16 bytes, which [`text`] detects.
const DECOY: &[u8] = br#"{"phoneNumber";"#;
/// How far WeChat's clock may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// User data, as a mini program forwards it.
pub enum UserData {
    /// `encryptedData`, which is one or more whole blocks, and `iv`.
    Encrypted {
        ciphertext: Vec<u8>,
        iv: [u8; BLOCK],
    },
    /// `rawData`, which is signed and not encrypted, and its `signature` in lower case.
    Raw { text: String, signature: String },
}

/// The field does not have WeChat's form, so it is wrong whatever the key is. The error does not
/// quote its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the field `{0}` does not have the form that WeChat gives it")]
pub struct Malformed(&'static str);

/// The conditions that decrypted data must satisfy.
pub struct DataCheck<'a> {
    pub person: &'a Person,
    pub now: DateTime<Utc>,
    pub max_age: Duration,
}

/// Data that was decrypted, or whose signature was checked.
#[derive(Clone, PartialEq)]
pub struct OpenedData {
    /// All members except `openId`, `unionId` and `watermark`.
    pub data: Map<String, Value>,
    /// The person's unionid, if the data has one.
    pub unionid: Option<UnionId>,
}

impl UserData {
    /// Decodes both fields and checks their lengths, which the cipher requires.
    pub fn encrypted(encrypted_data: &str, iv: &str) -> Result<Self, Malformed> {
        let ciphertext = from_base64("encryptedData", encrypted_data, LONGEST)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK) {
            return Err(Malformed("encryptedData"));
        }
        let iv = from_base64("iv", iv, BLOCK)?
            .try_into()
            .map_err(|_| Malformed("iv"))?;
        Ok(Self::Encrypted { ciphertext, iv })
    }

    /// Takes both fields, and refuses them if their length or form is wrong.
    pub fn raw(raw_data: &str, signature: &str) -> Result<Self, Malformed> {
        if raw_data.len() > LONGEST {
            return Err(Malformed("rawData"));
        }
        if signature.len() != SIGNATURE_LENGTH
            || !signature.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Err(Malformed("signature"));
        }
        Ok(Self::Raw {
            text: raw_data.to_owned(),
            signature: signature.to_ascii_lowercase(),
        })
    }

    /// Decrypts the data or checks its signature. Encrypted data must be for the person's app, must
    /// be for the person if it names one, must not be older than `max_age`, and must have exactly
    /// the members of one kind. Signed data names neither a person nor a time, so a unionid in it
    /// is ignored. `None` does not say what is wrong: the data was not encrypted or signed with
    /// this key, was changed, or is for another app, person or time.
    pub fn open(&self, key: &SessionKey, check: &DataCheck<'_>) -> Option<OpenedData> {
        match self {
            Self::Encrypted { ciphertext, iv } => {
                let mut text = cbc::decrypt(key, ciphertext, iv)?;
                let padded_well = cbc::blank_padding(&mut text);
                // All these steps always run, and then some text is always parsed as JSON.
                let readable = padded_well & text::may_be_an_object(&text);
                blank_control_characters(&mut text);
                read(if readable { &text } else { DECOY }, Some(check))
            }
            Self::Raw { text, signature } => {
                let mut signed = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
                signed.update(text.as_bytes());
                // The base64 text is signed, not the decoded bytes.
                signed.update(key.expose().as_bytes());
                verify_slices_are_equal(
                    const_hex::encode(signed.finish()).as_bytes(),
                    signature.as_bytes(),
                )
                .ok()?;
                let mut text = text.clone().into_bytes();
                blank_control_characters(&mut text);
                read(&text, None)
            }
        }
    }
}

fn from_base64(field: &'static str, text: &str, longest: usize) -> Result<Vec<u8>, Malformed> {
    let is_too_long = text.len() > longest.div_ceil(3) * 4;
    if is_too_long {
        Err(Malformed(field))
    } else {
        STANDARD.decode(text).map_err(|_| Malformed(field))
    }
}

/// The members of a plaintext. A repeated member is refused: WeChat never repeats one, and two
/// readers could take different values. With a `check`, the plaintext must be for that app, that
/// time, and the person if it names one, and must be one of the [`kinds`]. A unionid is accepted
/// only if it is beside the person's openid.
fn read(text: &[u8], check: Option<&DataCheck<'_>>) -> Option<OpenedData> {
    let mut data = read_object(text).ok()?;
    let watermark = data.remove("watermark").unwrap_or_default();
    if let Some(check) = check
        && !(kinds::is_one(&data, text) && check.believes(&watermark))
    {
        return None;
    }
    let openid = data.remove("openId");
    // WeChat writes an empty text or `null` if there is no unionid.
    let unionid = from_value(data.remove("unionId").unwrap_or_default()).ok()?;
    let Some(check) = check else {
        return Some(OpenedData {
            data,
            unionid: None,
        });
    };
    if openid.is_some_and(|openid| openid != check.person.openid.as_str()) {
        return None;
    }
    let unionid = believed(unionid)
        .map(|unionid| unionid.parse())
        .transpose()
        .ok()?;
    Some(OpenedData { data, unionid })
}

impl DataCheck<'_> {
    /// Whether WeChat has encrypted the data for this app, and when: the watermark has seconds
    /// since 1970.
    fn believes(&self, watermark: &Value) -> bool {
        let sealed = number_or_quoted(&watermark["timestamp"])
            .ok()
            .and_then(|at| DateTime::from_timestamp(at, 0));
        let oldest = TimeDelta::from_std(self.max_age).unwrap_or(TimeDelta::MAX);
        let is_of_its_time =
            sealed.is_some_and(|sealed| (-CLOCK_SKEW..=oldest).contains(&(self.now - sealed)));
        let has_no_other_member = watermark
            .as_object()
            .is_some_and(|members| members.len() == 2);
        watermark["appid"] == self.person.app.as_str() && is_of_its_time && has_no_other_member
    }
}

unprintable!(UserData);
unprintable!(OpenedData);
