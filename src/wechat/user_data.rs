//! Data that WeChat gives a mini program sealed or signed with the session key, and that only a server can open or
//! check.
//!
//! The seal is CBC without a MAC: whoever can tell one kind of failure from another can read and forge. So there is one
//! error for whatever is wrong, and what a stranger can spoil without the key costs the same work, wherever it is.
//!
//! - `cbc`: the cipher and its padding; `text`: whether a plaintext can be JSON at all; `members`: what it says, and
//!   whether that is to be believed;
//! - `raw_data`: the form that is signed and not sealed.

mod cbc;
mod members;
mod raw_data;
#[cfg(all(test, target_os = "linux"))]
mod residue;
#[cfg(test)]
mod tests;
mod text;

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

pub use self::raw_data::RawData;
use self::{
    cbc::BLOCK,
    members::{Belief, Members},
};
use super::SessionKey;
use crate::ids::{AppId, OpenId, UnionId};

/// The longest data that is opened, in bytes: a month of steps is 2 KiB, and nothing of WeChat's comes near this.
const LONGEST: usize = 96 * 1024;

/// Read in place of what can be no JSON. It ends the reader within its first 16 bytes, as text does that a stranger has
/// spoiled by the iv: elsewhere he can only spoil 16 bytes at once, which [`text`] finds.
const DECOY: &[u8] = br#"{"phoneNumber";"#;

/// `encryptedData` and `iv`, as a mini program hands them on.
pub struct EncryptedData {
    /// Whole blocks, at least one.
    ciphertext: Vec<u8>,
    iv: [u8; BLOCK],
}

/// Why texts are not what WeChat gives a mini program, whatever the key. They are not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not base64 with `=` at its end.
    #[error("The field `{0}` is not base64. Send it as WeChat gave it.")]
    NotBase64(&'static str),
    /// As when a form is put together without encoding its values.
    #[error(
        "The field `{0}` is not base64: it has spaces in it, as when a form turns each `+` into one. \
         Send JSON, or put the value through encodeURIComponent."
    )]
    Spaces(&'static str),
    /// Base64 of something that the cipher cannot have given.
    #[error("The field `{0}` has a length that WeChat does not give it. Send it as WeChat gave it.")]
    Length(&'static str),
    /// A signature that is none.
    #[error("The field `signature` must be 40 hexadecimal digits. Send it as WeChat gave it.")]
    Signature,
}

/// The data was not sealed or signed with this key, was changed, or is not to be believed. Which of it is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the data does not open with this session key, or is not to be believed")]
pub struct Undecryptable;

/// What was in it.
#[derive(Clone, PartialEq)]
pub struct OpenedData {
    /// Without `openId`, `unionId` and `watermark`.
    pub data: Map<String, Value>,
    /// The person in all apps of the owner, where WeChat named one.
    pub unionid: Option<UnionId>,
}

impl EncryptedData {
    /// Reads both texts, and their lengths before a cipher sees them.
    pub fn parse(encrypted_data: &str, iv: &str) -> Result<Self, Malformed> {
        let ciphertext = from_base64("encryptedData", encrypted_data, LONGEST)?;
        if ciphertext.is_empty() || !ciphertext.len().is_multiple_of(BLOCK) {
            return Err(Malformed::Length("encryptedData"));
        }
        let iv = from_base64("iv", iv, BLOCK)?.try_into().map_err(|_| Malformed::Length("iv"))?;
        Ok(Self { ciphertext, iv })
    }

    /// Opens the data and believes it if it was sealed for this app and, where it says for whom, for this person, not
    /// longer ago than `max_age`.
    pub fn open(
        &self,
        key: &SessionKey,
        app: &AppId,
        openid: &OpenId,
        now: DateTime<Utc>,
        max_age: Duration,
    ) -> Result<OpenedData, Undecryptable> {
        let mut text = cbc::decrypt(key, &self.ciphertext, &self.iv)?;
        let padded_well = cbc::blank_padding(&mut text);
        // Both are asked for in any case, and then something is read as JSON in any case.
        let readable = padded_well & text::may_be_an_object(&text);
        Members::read(if readable { &text } else { DECOY })?.believed(&Belief { app, openid, now, max_age })
    }
}

fn from_base64(field: &'static str, text: &str, longest: usize) -> Result<Vec<u8>, Malformed> {
    if text.len() > longest.div_ceil(3) * 4 {
        return Err(Malformed::Length(field));
    }
    STANDARD.decode(text).map_err(|_| match text.contains(' ') {
        true => Malformed::Spaces(field),
        false => Malformed::NotBase64(field),
    })
}

impl fmt::Debug for EncryptedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EncryptedData({} bytes)", self.ciphertext.len())
    }
}

impl fmt::Debug for OpenedData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenedData(…)")
    }
}
