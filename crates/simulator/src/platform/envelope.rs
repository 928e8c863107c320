//! The envelope of a push: encrypted with the component's key and signed with its token.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::Platform;
use crate::state::random;

/// WeChat pads to multiples of this length, although the cipher's blocks have 16 bytes.
const PADDED_TO: usize = 32;

/// A push before it is sealed. Tests change its parts to forge a push.
pub struct Envelope<'a> {
    /// The message of the push.
    pub xml: &'a str,
    /// In seconds since 1970.
    pub timestamp: i64,
    /// Letters and digits.
    pub nonce: &'a str,
    /// The AppID that follows the XML.
    pub appid: &'a str,
    /// The XML's length in bytes that the envelope states.
    pub length: u32,
    /// The random bytes before the length.
    pub random: [u8; 16],
}

impl<'a> Envelope<'a> {
    /// A correct envelope.
    pub fn new(platform: &'a Platform, xml: &'a str, timestamp: i64, nonce: &'a str) -> Self {
        let (appid, length) = (platform.component_appid.as_str(), xml.len() as u32);
        Self {
            xml,
            timestamp,
            nonce,
            appid,
            length,
            random: random(),
        }
    }

    /// Encrypts and signs the envelope. Returns the query and the body of the POST.
    pub fn seal(&self, platform: &Platform) -> (String, String) {
        let mut data = [
            &self.random[..],
            &self.length.to_be_bytes(),
            self.xml.as_bytes(),
            self.appid.as_bytes(),
        ]
        .concat();
        let padding = PADDED_TO - data.len() % PADDED_TO;
        data.resize(data.len() + padding, padding as u8);
        let (iv, _) = platform
            .key
            .split_first_chunk::<16>()
            .expect("the key has 32 bytes");
        let key = UnboundCipherKey::new(&AES_256, &platform.key).and_then(EncryptingKey::cbc);
        key.and_then(|key| key.less_safe_encrypt(&mut data, EncryptionContext::Iv128(iv.into())))
            .expect("the key has 32 bytes, and the data are padded");

        let (encrypt, timestamp) = (STANDARD.encode(data), self.timestamp.to_string());
        let msg_signature = signature(&mut [&platform.token, &timestamp, self.nonce, &encrypt]);
        let signature = signature(&mut [&platform.token, &timestamp, self.nonce]);
        let query = format!(
            "signature={signature}&timestamp={timestamp}&nonce={}&encrypt_type=aes&msg_signature={msg_signature}",
            self.nonce
        );
        let appid = &platform.component_appid;
        let body = format!(
            "<xml><AppId><![CDATA[{appid}]]></AppId><Encrypt><![CDATA[{encrypt}]]></Encrypt></xml>"
        );
        (query, body)
    }
}

/// Seals a correct push. Returns the query and the body of the POST.
pub fn seal_push(platform: &Platform, xml: &str, timestamp: i64, nonce: &str) -> (String, String) {
    Envelope::new(platform, xml, timestamp, nonce).seal(platform)
}

/// The XML of a push. `members` follow `InfoType`.
pub fn push_xml(
    component_appid: &str,
    created: i64,
    info_type: &str,
    members: &[(&str, &str)],
) -> String {
    let member =
        |(name, value): &(&str, &str)| match value.bytes().all(|byte| byte.is_ascii_digit()) {
            true => format!("<{name}>{value}</{name}>"),
            false => format!("<{name}><![CDATA[{value}]]></{name}>"),
        };
    let (created, mut xml) = (created.to_string(), "<xml>".to_owned());
    let first = [
        ("AppId", component_appid),
        ("CreateTime", &created),
        ("InfoType", info_type),
    ];
    xml.extend(first.iter().chain(members).map(member));
    xml + "</xml>"
}

/// Lower-case hex of the SHA-1 of the sorted parts.
fn signature(parts: &mut [&str]) -> String {
    parts.sort_unstable();
    const_hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes()))
}
