//! Envelopes: one that wechatpy 1.8.18 has made, and others that an attacker has changed.

use aws_lc_rs::cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};

use std::str::FromStr;

use super::*;

const TOKEN: &str = "platformtoken";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const ENCRYPTED: &str = "YFvj7fs877PuxDtPxdD+cRFeTOGWtprf9gbWggrsaKn/W5N1/GjQmnxsT6RzAQLbzx0fHawK9BAHI3LNYI9nZnC09E1589Ab0vkk04/zisOR1O+txdnwls1qnXZhN2AuRiHxAbHBNpvrAp0JxoBQnf3QPkNDmBQdY9j1Nf3BM9IKr9CC8fDOXNmWnixdiT911C42nNhFqVMxKYunK6n63tt7gsqBOj6WT6MBD3ybwgQnVedyfepbxObShuTkB2e67y8Dz+vRbu81oIy4Evt8q7wI/dH669rMjfDIE+z+IUn6ilRPS2U4eu5sxSLAXV8RMFg0HnEX/IKtu2A2HLZhDs8omy81/yDqrggpf9VfxWSrM5r+xDwYFecwVgreiTIL";

fn query() -> PushQuery {
    PushQuery {
        msg_signature: "c93b103f67df63add4a834c3c7f3ea8de41fb010".into(),
        timestamp: "1413192605".into(),
        nonce: "1372623149".into(),
    }
}

fn component() -> AppId {
    "wxc0ffee00000000ff".parse().expect("an AppID")
}

fn key() -> PushKey {
    PushKey::new(TOKEN, KEY).expect("a key")
}

fn envelope(encrypted: &str) -> String {
    format!(
        "<xml>\n<AppId><![CDATA[wxc0ffee00000000ff]]></AppId><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
    )
}

/// Pads the text to 32 bytes, signs it, and opens it.
fn opened(text: &[u8]) -> Result<Push, BadPush> {
    let padding = 32 - text.len() % 32;
    sealed_and_opened([text, &vec![padding as u8; padding]].concat())
}

fn sealed_and_opened(mut text: Vec<u8>) -> Result<Push, BadPush> {
    let decoded = super::push::LENIENT.decode(KEY).expect("a key");
    let iv: [u8; 16] = decoded[..16].try_into().expect("16 bytes");
    let cipher = UnboundCipherKey::new(&AES_256, &decoded)
        .and_then(EncryptingKey::cbc)
        .expect("a cipher");
    cipher
        .less_safe_encrypt(&mut text, EncryptionContext::Iv128(iv.into()))
        .expect("whole blocks");
    let encrypted = STANDARD.encode(text);
    let mut parts = [TOKEN, "1413192605", "1372623149", &encrypted];
    parts.sort_unstable();
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, parts.concat().as_bytes());
    let msg_signature = const_hex::encode(digest);
    key().open(
        &component(),
        &PushQuery {
            msg_signature,
            ..query()
        },
        envelope(&encrypted).as_bytes(),
    )
}

fn message(length: u32, xml: &str, id: &str) -> Vec<u8> {
    [
        &[7; 16][..],
        &length.to_be_bytes(),
        xml.as_bytes(),
        id.as_bytes(),
    ]
    .concat()
}

fn told(members: &str) -> Result<Push, BadPush> {
    let id = "wxc0ffee00000000ff";
    let xml = format!("<xml><AppId>{id}</AppId><CreateTime>1413192605</CreateTime>{members}</xml>");
    opened(&message(xml.len() as u32, &xml, id))
}

#[test]
fn an_envelope_of_another_make_is_opened() {
    let push = key()
        .open(&component(), &query(), envelope(ENCRYPTED).as_bytes())
        .expect("a push");
    assert_eq!(push.created, 1_413_192_605);
    assert!(matches!(push.news, News::Ticket(ticket) if ticket.expose() == "ticket@@@abc"));
}

#[test]
fn whom_a_message_is_about_is_read_and_what_is_unknown_is_no_fault() {
    let merchant = "<AuthorizerAppid>wx0123456789abcdef</AuthorizerAppid>";
    for info in ["authorized", "updateauthorized"] {
        let code = "<AuthorizationCode>queryauthcode@@@1</AuthorizationCode>";
        let push = told(&format!("<InfoType>{info}</InfoType>{merchant}{code}")).expect("a push");
        let News::Authorized { app, code } = push.news else {
            panic!("{push:?}")
        };
        assert_eq!(
            (app.as_str(), code.expose()),
            ("wx0123456789abcdef", "queryauthcode@@@1")
        );
    }
    let left = told(&format!("<InfoType>unauthorized</InfoType>{merchant}")).expect("a push");
    assert!(matches!(left.news, News::Unauthorized(app) if app.as_str() == "wx0123456789abcdef"));
    let deep = "<info><name>a</name><more><most><id>1</id></most></more></info><item>a</item><item>b</item>";
    let other = format!(
        "<InfoType>notify_third_fasteregister</InfoType>{deep}{}",
        (0..40)
            .map(|n| format!("<a{n}>1</a{n}>"))
            .collect::<String>()
    );
    assert!(matches!(told(&other).expect("a push").news, News::Other));
    let of_two = format!("<InfoType>unauthorized</InfoType>{merchant}{merchant}");
    assert_eq!(told(&of_two).expect_err("of whom?"), BadPush::Xml);
    assert_eq!(
        told("<InfoType>unauthorized</InfoType>").expect_err("nobody"),
        BadPush::Xml
    );
}

#[test]
fn what_is_forged_is_refused() {
    let open = |query: &PushQuery, body: &str| {
        key()
            .open(&component(), query, body.as_bytes())
            .expect_err(body)
    };
    let changed = ENCRYPTED.replacen('Y', "Z", 1);
    assert_eq!(open(&query(), &envelope(&changed)), BadPush::Signature);
    for query in [
        PushQuery {
            timestamp: "1413192606".into(),
            ..query()
        },
        PushQuery {
            nonce: "1".into(),
            ..query()
        },
        PushQuery {
            msg_signature: String::new(),
            ..query()
        },
        PushQuery {
            msg_signature: "C93B103F67DF63ADD4A834C3C7F3EA8DE41FB010".into(),
            ..query()
        },
    ] {
        assert_eq!(
            open(&query, &envelope(ENCRYPTED)),
            BadPush::Signature,
            "{query:?}"
        );
    }
    for body in [
        "",
        "<xml></xml>",
        "{}",
        "<xml><Encrypt>a",
        "<other><Encrypt>a</Encrypt></other>",
        "<xml><Encrypt>&lt;</Encrypt></xml>",
        "<xml><Encrypt a=\"b\">a</Encrypt></xml>",
        "<xml><Encrypt>a</Encrypt><Encrypt>b</Encrypt></xml>",
        "<!DOCTYPE xml [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><xml><Encrypt>&a;</Encrypt></xml>",
        "<xml><a><b><c><Encrypt>deep</Encrypt></c></b></a></xml>",
    ] {
        assert_eq!(open(&query(), body), BadPush::Xml, "{body}");
    }
    let other = AppId::from_str("wxc0ffee00000000fe").expect("an AppID");
    assert_eq!(
        key()
            .open(&other, &query(), envelope(ENCRYPTED).as_bytes())
            .expect_err("another's"),
        BadPush::OtherPlatform
    );
}

#[test]
fn a_length_or_a_padding_that_lies_is_refused() {
    let (id, xml) = (
        "wxc0ffee00000000ff",
        "<xml><AppId>wxc0ffee00000000ff</AppId></xml>",
    );
    let length = xml.len() as u32;
    assert_eq!(
        opened(&message(length, xml, id)).expect_err("no InfoType"),
        BadPush::Xml
    );
    for lie in [u32::MAX, length + 100, 1 << 31] {
        assert_eq!(
            opened(&message(lie, xml, id)).expect_err("too long"),
            BadPush::Encrypted,
            "{lie}"
        );
    }
    for lie in [0, length - 1, length + 1] {
        assert_eq!(
            opened(&message(lie, xml, id)).expect_err("another id"),
            BadPush::OtherPlatform,
            "{lie}"
        );
    }
    for text in [
        vec![0; 32],
        vec![33; 64],
        [vec![1; 31], vec![2]].concat(),
        vec![32; 32],
        vec![16; 16],
    ] {
        assert_eq!(
            sealed_and_opened(text).expect_err("padding"),
            BadPush::Encrypted
        );
    }
}

#[test]
fn what_is_no_token_and_no_key_is_told_without_its_value() {
    for (token, key) in [
        ("", KEY),
        ("to ken", KEY),
        (TOKEN, ""),
        (TOKEN, &KEY[1..]),
        (TOKEN, "a b"),
    ] {
        let (_, wrong) = PushKey::new(token, key).expect_err("wrong");
        assert!(
            !wrong.contains("ken1") && wrong.contains("must be"),
            "{wrong}"
        );
    }
}
