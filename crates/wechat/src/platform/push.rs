//! The pushes of WeChat to a third-party platform: an encrypted envelope in XML, and the messages
//! inside
//! (<https://developers.weixin.qq.com/doc/oplatform/Third-party_Platforms/2.0/api/Before_Develop/Message_encryption_and_decryption.html>).

use std::collections::BTreeMap;

use aws_lc_rs::cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::{constant_time::verify_slices_are_equal, digest};
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use base64::{Engine, alphabet};
use quick_xml::{Reader, events::Event};
use serde::Deserialize;
use wxmint_ids::AppId;
use zeroize::Zeroizing;

use super::{AuthorizationCode, ComponentTicket};

/// The text is padded to a multiple of so many bytes, twice the cipher's block.
const PADDED_TO: usize = 32;
/// The number of random bytes at the beginning of the text, before the length of the message.
const RANDOM: usize = 16;
/// Base64 without a check of the bits after the last whole byte, because WeChat's own examples have
/// any bits there.
pub(super) const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    NO_PAD.with_decode_allow_trailing_bits(true),
);

/// The key that encrypts pushes, and the token that signs them: the platform's 消息加解密Key and
/// 消息校验Token.
pub struct PushKey {
    token: Zeroizing<String>,
    key: Zeroizing<[u8; 32]>,
}

wxmint_ids::unprintable!(PushKey);

/// The parameters of a push's URL that its signature covers.
#[derive(Debug, Clone, Deserialize)]
pub struct PushQuery {
    pub msg_signature: String,
    pub timestamp: String,
    pub nonce: String,
}

/// A message that WeChat pushes to the platform.
#[derive(Debug)]
pub struct Push {
    /// When WeChat made the message, in seconds since 1970.
    pub created: i64,
    /// The content.
    pub news: News,
}

/// The content of a push.
#[derive(Debug)]
pub enum News {
    /// `component_verify_ticket`
    Ticket(ComponentTicket),
    /// `authorized` or `updateauthorized`: a merchant has authorized the platform.
    Authorized { app: AppId, code: AuthorizationCode },
    /// `unauthorized`: a merchant has withdrawn the authorization.
    Unauthorized(AppId),
    /// Any other message, for which wxmint has no use.
    Other,
}

/// Why a push is refused. The texts quote no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPush {
    #[error("the body is not the XML of a push, without DOCTYPE and entities")]
    Xml,
    #[error("the signature is wrong: is the Token that of the platform?")]
    Signature,
    #[error("the text does not decrypt: is the EncodingAESKey that of the platform?")]
    Encrypted,
    #[error("the message is for another platform")]
    OtherPlatform,
}

impl PushKey {
    /// Makes the key. `encoding_aes_key` is 43 letters and digits, as WeChat's console shows it.
    ///
    /// # Errors
    /// The name of the wrong argument in a platform's file, and what it must be.
    pub fn new(token: &str, encoding_aes_key: &str) -> Result<Self, (&'static str, &'static str)> {
        let is_token = (3..=32).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let decoded = Zeroizing::new(LENIENT.decode(encoding_aes_key).unwrap_or_default());
        match <[u8; 32]>::try_from(decoded.as_slice()) {
            _ if !is_token => Err(("token", "must be 3 to 32 letters and digits")),
            Ok(key) => Ok(Self {
                token: Zeroizing::new(token.to_owned()),
                key: Zeroizing::new(key),
            }),
            Err(_) => Err(("encoding_aes_key", "must be 43 letters and digits")),
        }
    }

    /// Checks the signature, decrypts, and reads the message, which must be for `component`.
    pub fn open(&self, component: &AppId, query: &PushQuery, body: &[u8]) -> Result<Push, BadPush> {
        let envelope = members(body)?;
        let encrypted = envelope
            .get("Encrypt")
            .filter(|text| !text.is_empty())
            .ok_or(BadPush::Xml)?;
        self.check_signature(query, encrypted)?;
        let text = self.decrypt(encrypted).ok_or(BadPush::Encrypted)?;
        let parts = text.get(RANDOM..).and_then(<[u8]>::split_first_chunk);
        let parts = parts
            .and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize));
        let (message, id) = parts.ok_or(BadPush::Encrypted)?;
        if id == component.as_str().as_bytes() {
            read(component, message)
        } else {
            Err(BadPush::OtherPlatform)
        }
    }

    fn check_signature(&self, query: &PushQuery, encrypted: &str) -> Result<(), BadPush> {
        let mut parts = [
            self.token.as_str(),
            &query.timestamp,
            &query.nonce,
            encrypted,
        ];
        parts.sort_unstable();
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
        verify_slices_are_equal(
            const_hex::encode(digest).as_bytes(),
            query.msg_signature.as_bytes(),
        )
        .map_err(|_| BadPush::Signature)
    }

    /// Decrypts the text. Only called after the signature was checked, so that only WeChat can
    /// cause a failure here and an attacker learns nothing from it.
    fn decrypt(&self, encrypted: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(STANDARD.decode(encrypted).ok()?);
        let iv: &[u8; 16] = self.key[..16].try_into().ok()?;
        let key = UnboundCipherKey::new(&AES_256, &*self.key)
            .and_then(DecryptingKey::cbc)
            .ok()?;
        key.decrypt(&mut text, DecryptionContext::Iv128(iv.into()))
            .ok()?;
        let padding = usize::from(*text.last()?);
        let rest = text
            .len()
            .checked_sub(padding)
            .filter(|_| (1..=PADDED_TO).contains(&padding))?;
        text[rest..]
            .iter()
            .all(|byte| usize::from(*byte) == padding)
            .then(|| text.truncate(rest))?;
        Some(text)
    }
}

fn read(component: &AppId, message: &[u8]) -> Result<Push, BadPush> {
    let message = members(message)?;
    let text = |name: &str| {
        message
            .get(name)
            .filter(|text| !text.is_empty())
            .ok_or(BadPush::Xml)
    };
    if text("AppId")?.as_str() != component.as_str() {
        return Err(BadPush::OtherPlatform);
    }
    let app = || text("AuthorizerAppid")?.parse().map_err(|_| BadPush::Xml);
    let news = match text("InfoType")?.as_str() {
        "component_verify_ticket" => News::Ticket(ComponentTicket::new(
            text("ComponentVerifyTicket")?.as_str(),
        )),
        "authorized" | "updateauthorized" => News::Authorized {
            app: app()?,
            code: AuthorizationCode::new(text("AuthorizationCode")?.as_str()),
        },
        "unauthorized" => News::Unauthorized(app()?),
        _ => News::Other,
    };
    Ok(Push {
        created: text("CreateTime")?.parse().map_err(|_| BadPush::Xml)?,
        news,
    })
}

/// The texts of the root's elements. There are no entities: XML with a DOCTYPE, a reference or an
/// attribute is refused. A repeated element gets an empty text, because it is unclear which one
/// counts.
fn members(xml: &[u8]) -> Result<BTreeMap<String, Zeroizing<String>>, BadPush> {
    let text = str::from_utf8(xml).map_err(|_| BadPush::Xml)?;
    let mut reader = Reader::from_str(text);
    let mut members = BTreeMap::new();
    let mut open = Vec::<String>::new();
    loop {
        let event = reader.read_event().map_err(|_| BadPush::Xml)?;
        let said = match &event {
            Event::Start(element) if element.attributes().next().is_none() => {
                open.push(element.name().as_ref().to_owned());
                continue;
            }
            Event::End(_) => {
                open.pop();
                continue;
            }
            Event::Text(said) => said.trim(),
            Event::CData(said) => said,
            Event::Empty(_) | Event::Decl(_) | Event::Comment(_) => continue,
            Event::Eof if open.is_empty() && !members.is_empty() => return Ok(members),
            _ => return Err(BadPush::Xml),
        };
        match open.as_slice() {
            _ if said.is_empty() => {}
            [root, name] if root == "xml" => {
                let of_first = if members.contains_key(name) { "" } else { said };
                members.insert(name.clone(), Zeroizing::new(of_first.to_owned()));
            }
            // Deeper elements are not needed.
            [root, _, _, ..] if root == "xml" => {}
            _ => return Err(BadPush::Xml),
        }
    }
}
