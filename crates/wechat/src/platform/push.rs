//! The pushes of WeChat to a third-party platform: an encrypted envelope in XML, and the messages inside
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
use crate::session_key::hex;

/// The block to which the text is padded has so many bytes. The cipher's own is half of it.
const PADDED_TO: usize = 32;
/// So many random bytes are in front of the text, before the length of the message.
const RANDOM: usize = 16;
/// The bits behind the last whole byte may be anything, as in WeChat's own examples.
pub(super) const LENIENT: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// The key that encrypts pushes, and the token that signs them: the platform's 消息加解密Key and 消息校验Token.
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

/// A message of the platform's. Those that this program has no use for are not told apart.
#[derive(Debug)]
pub struct Push {
    /// When WeChat made it, in seconds since 1970.
    pub created: i64,
    pub news: News,
}

#[derive(Debug)]
pub enum News {
    /// `component_verify_ticket`
    Ticket(ComponentTicket),
    /// `authorized` or `updateauthorized`: a merchant has let the platform act for it.
    Authorized {
        app: AppId,
        code: AuthorizationCode,
    },
    /// `unauthorized`: a merchant has withdrawn that.
    Unauthorized(AppId),
    Other,
}

/// Why a push is refused. The texts name no value.
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
    /// `encoding_aes_key`: 43 letters and digits, as WeChat's console shows it.
    ///
    /// # Errors
    /// Which of the two is wrong, as a platform's file calls it, and what it must be.
    pub fn new(token: &str, encoding_aes_key: &str) -> Result<Self, (&'static str, &'static str)> {
        let is_token = (3..=32).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let decoded = Zeroizing::new(LENIENT.decode(encoding_aes_key).unwrap_or_default());
        match <[u8; 32]>::try_from(decoded.as_slice()) {
            _ if !is_token => Err(("token", "must be 3 to 32 letters and digits")),
            Ok(key) => Ok(Self { token: Zeroizing::new(token.to_owned()), key: Zeroizing::new(key) }),
            Err(_) => Err(("encoding_aes_key", "must be 43 letters and digits")),
        }
    }

    /// Checks the signature, decrypts, and reads the message, which must be for `component`.
    pub fn open(&self, component: &AppId, query: &PushQuery, body: &[u8]) -> Result<Push, BadPush> {
        let envelope = members(body)?;
        let encrypted = envelope.get("Encrypt").filter(|text| !text.is_empty()).ok_or(BadPush::Xml)?;
        self.check_signature(query, encrypted)?;
        let text = self.decrypt(encrypted).ok_or(BadPush::Encrypted)?;
        let parts = text.get(RANDOM..).and_then(<[u8]>::split_first_chunk);
        let parts = parts.and_then(|(length, rest)| rest.split_at_checked(u32::from_be_bytes(*length) as usize));
        let (message, id) = parts.ok_or(BadPush::Encrypted)?;
        if id != component.as_str().as_bytes() { Err(BadPush::OtherPlatform) } else { read(component, message) }
    }

    fn check_signature(&self, query: &PushQuery, encrypted: &str) -> Result<(), BadPush> {
        let mut parts = [self.token.as_str(), &query.timestamp, &query.nonce, encrypted];
        parts.sort_unstable();
        let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
        verify_slices_are_equal(hex(digest).as_bytes(), query.msg_signature.as_bytes()).map_err(|_| BadPush::Signature)
    }

    /// Only what is signed comes here, so that nobody else learns anything from what fails.
    fn decrypt(&self, encrypted: &str) -> Option<Zeroizing<Vec<u8>>> {
        let mut text = Zeroizing::new(STANDARD.decode(encrypted).ok()?);
        let iv: &[u8; 16] = self.key[..16].try_into().ok()?;
        let key = UnboundCipherKey::new(&AES_256, &*self.key).and_then(DecryptingKey::cbc).ok()?;
        key.decrypt(&mut text, DecryptionContext::Iv128(iv.into())).ok()?;
        let padding = usize::from(*text.last()?);
        let rest = text.len().checked_sub(padding).filter(|_| (1..=PADDED_TO).contains(&padding))?;
        text[rest..].iter().all(|byte| usize::from(*byte) == padding).then(|| text.truncate(rest))?;
        Some(text)
    }
}

fn read(component: &AppId, message: &[u8]) -> Result<Push, BadPush> {
    let message = members(message)?;
    let text = |name: &str| message.get(name).filter(|text| !text.is_empty()).ok_or(BadPush::Xml);
    if text("AppId")?.as_str() != component.as_str() {
        return Err(BadPush::OtherPlatform);
    }
    let app = || text("AuthorizerAppid")?.parse().map_err(|_| BadPush::Xml);
    let news = match text("InfoType")?.as_str() {
        "component_verify_ticket" => News::Ticket(ComponentTicket::new(text("ComponentVerifyTicket")?.as_str())),
        "authorized" | "updateauthorized" => {
            News::Authorized { app: app()?, code: AuthorizationCode::new(text("AuthorizationCode")?.as_str()) }
        }
        "unauthorized" => News::Unauthorized(app()?),
        _ => News::Other,
    };
    Ok(Push { created: text("CreateTime")?.parse().map_err(|_| BadPush::Xml)?, news })
}

/// The texts of the root's elements. Knows no entities: what has a DOCTYPE, a reference or an attribute is refused. An
/// element that is there twice has an empty text, because nothing says which of the two counts.
fn members(xml: &[u8]) -> Result<BTreeMap<String, Zeroizing<String>>, BadPush> {
    let text = str::from_utf8(xml).map_err(|_| BadPush::Xml)?;
    let mut reader = Reader::from_str(text);
    let (mut members, mut open) = (BTreeMap::new(), Vec::<String>::new());
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
            // Deeper ones are of no use here.
            [root, _, _, ..] if root == "xml" => {}
            _ => return Err(BadPush::Xml),
        }
    }
}
