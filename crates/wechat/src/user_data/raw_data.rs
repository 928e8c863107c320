//! `rawData` and `signature`: data that is not encrypted and that WeChat has signed.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use wxmint_ids::unprintable;

use super::{LONGEST, Malformed, OpenedData, Undecryptable, members::Members, text::blank_control_characters};
use crate::{SessionKey, session_key::hex};

/// The number of hexadecimal digits of a SHA-1.
const SIGNATURE_LENGTH: usize = 40;

/// `rawData` and its `signature`, as a mini program forwards them.
pub struct RawData {
    text: String,
    /// In lower case.
    signature: String,
}

impl RawData {
    /// Refuses fields whose length or form is wrong.
    pub fn parse(raw_data: &str, signature: &str) -> Result<Self, Malformed> {
        if raw_data.len() > LONGEST {
            return Err(Malformed("rawData"));
        }
        if signature.len() != SIGNATURE_LENGTH || !signature.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Malformed("signature"));
        }
        Ok(Self { text: raw_data.to_owned(), signature: signature.to_ascii_lowercase() })
    }

    /// The data, if it was signed with this key. The data does not say for which person it is or from when, so a
    /// unionid in it is ignored.
    pub fn open(&self, key: &SessionKey) -> Result<OpenedData, Undecryptable> {
        let mut signed = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        signed.update(self.text.as_bytes());
        // The base64 text is signed, not the decoded bytes.
        signed.update(key.expose().as_bytes());
        verify_slices_are_equal(hex(signed.finish()).as_bytes(), self.signature.as_bytes())
            .map_err(|_| Undecryptable)?;
        let mut text = self.text.clone().into_bytes();
        blank_control_characters(&mut text);
        Ok(Members::read(&text)?.anonymous())
    }
}
unprintable!(RawData);
