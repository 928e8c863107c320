//! User data: as an attacker writes it (the iv on the line before the data), and any text with valid encryption or a
//! valid signature, so that the code after the cipher is reached too.

#![no_main]

use std::{sync::LazyLock, time::Duration};

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use wxmint_ids::{Person, Platform};
use wxmint_wechat::{DataCheck, OpenedData, SessionKey, UserData};

const APP: &str = "wx0123456789abcdef";
const OPENID: &str = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
const IV: [u8; 16] = [0xfb; 16];
/// The time in the watermarks of the seeds.
const NOW: i64 = 1_800_000_000;
const MAX_AGE: u64 = 600;
/// Seeds contain this in place of data that must not reach a log.
const MARKED: &str = "hunter2";

fuzz_target!(|input: &[u8]| {
    as_a_stranger_sends_it(input);
    behind_a_good_seal(input);
    behind_a_good_signature(input);
});

fn open(data: &UserData) -> Option<OpenedData> {
    let person = Person {
        platform: Platform::WeChat,
        app: APP.parse().expect("an AppID"),
        openid: OPENID.parse().expect("an openid"),
    };
    let now = DateTime::from_timestamp(NOW, 0).expect("a date");
    let check = DataCheck {
        person: &person,
        now,
        max_age: Duration::from_secs(MAX_AGE),
    };
    data.open(&SessionKey::new(KEY), &check)
}

fn as_a_stranger_sends_it(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (iv, data) = text.split_once('\n').unwrap_or((&text, &text));
    let parsed = UserData::encrypted(data, iv);
    assert!(!format!("{parsed:?}").contains(MARKED));
    match parsed {
        Ok(parsed) => {
            // Its members are unknown: it may be a seed with a changed first block.
            let _ = open(&parsed);
        }
        Err(error) => assert!(!error.to_string().contains(MARKED), "{error}"),
    }
    let _ = UserData::raw(data, iv).map(|parsed| open(&parsed));
}

fn behind_a_good_seal(input: &[u8]) {
    let opened = open(&sealed(input));
    assert!(!format!("{opened:?}").contains(MARKED));
    let members = serde_json::from_slice::<Map<String, Value>>(&blanked(input));
    match opened {
        Some(opened) => {
            let members_before = members.expect("what opens is an object");
            let mut expected = members_before.clone();
            assert!(is_of_the_app_and_now(expected.remove("watermark").as_ref()));
            assert!(
                expected
                    .remove("openId")
                    .is_none_or(|openid| openid == OPENID)
            );
            let names_the_person = members_before.contains_key("openId");
            assert!(
                names_the_person || opened.unionid.is_none(),
                "a unionid without the person's openid"
            );
            let unionid = expected.remove("unionId");
            assert!(
                opened
                    .unionid
                    .is_none_or(|found| unionid.is_some_and(|unionid| unionid == found.as_str()))
            );
            assert_eq!(opened.data, expected);
        }
        None => {
            if let Ok(members) = members {
                assert!(!must_be_believed(input, &members), "{members:?}");
            }
        }
    }
}

/// Whether the input is a nickname, written as wxmint would write it, with the expected watermark, so that nothing can
/// be wrong with it.
fn must_be_believed(input: &[u8], members: &Map<String, Value>) -> bool {
    let stamped = json!({"appid": APP, "timestamp": NOW});
    let is_a_nickname = members.len() == 2 && members.get("nickName").is_some_and(Value::is_string);
    is_a_nickname
        && members.get("watermark") == Some(&stamped)
        && Value::from(members.clone()).to_string().as_bytes() == input
}

fn is_of_the_app_and_now(watermark: Option<&Value>) -> bool {
    let Some(watermark) = watermark else {
        return false;
    };
    let timestamp = &watermark["timestamp"];
    let timestamp = timestamp
        .as_i64()
        .or_else(|| timestamp.as_str()?.parse().ok());
    watermark["appid"] == APP
        && timestamp.is_some_and(|at| (NOW - MAX_AGE as i64..=NOW + 60).contains(&at))
}

/// Made once, because setting up a key is slower than everything else.
static CIPHER: LazyLock<PaddedBlockEncryptingKey> = LazyLock::new(|| {
    let key = STANDARD.decode(KEY).expect("a key");
    UnboundCipherKey::new(&AES_128, &key)
        .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
        .expect("a key")
});

fn sealed(text: &[u8]) -> UserData {
    let mut ciphertext = text.to_vec();
    CIPHER
        .less_safe_encrypt(&mut ciphertext, EncryptionContext::Iv128((&IV).into()))
        .expect("sealed");
    UserData::encrypted(&STANDARD.encode(ciphertext), &STANDARD.encode(IV))
        .expect("libFuzzer's inputs are short")
}

/// WeChat puts a nickname's control characters into the text as they are.
fn blanked(text: &[u8]) -> Vec<u8> {
    text.iter()
        .map(|byte| if *byte < b' ' { b' ' } else { *byte })
        .collect()
}

fn behind_a_good_signature(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{text}{KEY}").as_bytes());
    let signature = const_hex::encode(hash);
    let opened = open(&UserData::raw(text, &signature).expect("a form"));
    assert!(!format!("{opened:?}").contains(MARKED));
    if let Some(opened) = opened {
        let mut expected: Map<String, Value> =
            serde_json::from_slice(&blanked(input)).expect("what opens is an object");
        expected.retain(|name, _| !["openId", "unionId", "watermark"].contains(&name.as_str()));
        assert_eq!((opened.data, opened.unionid), (expected, None));
    }
}
