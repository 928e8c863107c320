//! The published examples, generated ones, and everything that can be wrong with them.

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use chrono::TimeDelta;
use fastrand::Rng;
use serde_json::json;
use wxmint_ids::Platform;

use super::*;
use crate::vectors;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
const APP: &str = "wx0123456789abcdef";
const OPENID: &str = "o6_bmjrPTlm6_2sgVt7hMZOPfL2M";
const MAX_AGE: Duration = Duration::from_mins(10);

/// The time at which the data of these tests was encrypted.
fn sealed_at() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).expect("a date")
}

/// Encrypts `text` as WeChat does.
fn seal(text: &str) -> UserData {
    let key = STANDARD.decode(KEY).expect("a key");
    let key = UnboundCipherKey::new(&AES_128, &key)
        .and_then(PaddedBlockEncryptingKey::cbc_pkcs7)
        .expect("a key");
    let (iv, mut ciphertext) = (*b"0123456789abcdef", text.as_bytes().to_vec());
    key.less_safe_encrypt(&mut ciphertext, EncryptionContext::Iv128((&iv).into()))
        .expect("sealed");
    UserData::Encrypted { ciphertext, iv }
}

/// Encrypts `members` with a valid watermark.
fn sealed_with_watermark(mut members: Value) -> UserData {
    members["watermark"] = watermark();
    seal(&members.to_string())
}

fn watermark() -> Value {
    json!({"timestamp": sealed_at().timestamp(), "appid": APP})
}

fn parts(data: &UserData) -> (Vec<u8>, [u8; BLOCK]) {
    let UserData::Encrypted { ciphertext, iv } = data else {
        panic!("it is encrypted")
    };
    (ciphertext.clone(), *iv)
}

fn open(data: &UserData) -> Option<OpenedData> {
    open_at(data, sealed_at())
}

fn open_at(data: &UserData, now: DateTime<Utc>) -> Option<OpenedData> {
    data.open(
        &SessionKey::new(KEY),
        &DataCheck {
            person: &person(APP, OPENID),
            now,
            max_age: MAX_AGE,
        },
    )
}

fn person(app: &str, openid: &str) -> Person {
    Person {
        platform: Platform::WeChat,
        app: app.parse().expect("an AppID"),
        openid: openid.parse().expect("an openid"),
    }
}

fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().expect("a text")
}

/// Decrypts a published example at the time of its watermark, for `app`.
fn open_vector(vector: &Value, app: &str) -> Option<OpenedData> {
    let data = UserData::encrypted(text(vector, "encryptedData"), text(vector, "iv"))
        .expect("well formed");
    let key = SessionKey::new(text(vector, "session_key"));
    let person = person(app, "oGZUI0egBJY1zhBYw2KhdUfwVJJE");
    let sealed = [1_477_314_187, 1_700_000_000]
        .map(|seconds| DateTime::from_timestamp(seconds, 0).expect("a date"));
    let open = |now| {
        data.open(
            &key,
            &DataCheck {
                person: &person,
                now,
                max_age: MAX_AGE,
            },
        )
    };
    open(sealed[0]).or_else(|| open(sealed[1]))
}

#[test]
fn the_published_data_decrypts_to_the_published_text() {
    for vector in vectors()["aes_128_cbc_pkcs7"].as_array().expect("vectors") {
        let opened = open_vector(vector, text(vector, "appid")).expect("opened");
        let mut expected: Map<String, Value> =
            serde_json::from_str(text(vector, "plaintext")).expect("JSON");
        assert_eq!(
            expected.remove("watermark").expect("a watermark")["appid"],
            vector["appid"]
        );
        expected.remove("openId");
        let unionid = expected.remove("unionId");
        assert_eq!(
            opened.unionid.as_ref().map(UnionId::as_str),
            unionid.as_ref().and_then(Value::as_str)
        );
        assert_eq!(opened.data, expected);
    }
}

#[test]
fn the_published_data_is_refused_with_a_stale_key_and_in_another_app() {
    let vectors = vectors();
    let [stale, foreign] = [0, 1].map(|number| &vectors["aes_negative"][number]);
    assert_eq!(open_vector(stale, "wx4f4bc4dec97d474b"), None);
    assert_eq!(open_vector(foreign, text(foreign, "expected_appid")), None);
    assert!(
        open_vector(foreign, "wx4f4bc4dec97d474b").is_some(),
        "the app is what is wrong"
    );
}

#[test]
fn only_the_published_signature_verifies() {
    let vectors = vectors();
    let vector = &vectors["sha1_rawData_plus_session_key"][0];
    let (raw, signature) = (text(vector, "rawData"), text(vector, "signature"));
    let key = SessionKey::new(text(vector, "session_key"));
    let person = person(APP, OPENID);
    let check = DataCheck {
        person: &person,
        now: sealed_at(),
        max_age: MAX_AGE,
    };
    let open = |raw: &str, signature: &str, key| {
        UserData::raw(raw, signature)
            .expect("a form")
            .open(key, &check)
    };

    let opened = open(raw, signature, &key).expect("signed");
    assert_eq!(
        Value::from(opened.data),
        serde_json::from_str::<Value>(raw).expect("JSON")
    );
    assert_eq!(opened.unionid, None);
    assert!(open(raw, &signature.to_uppercase(), &key).is_some());
    assert_eq!(open(&raw.replace("Band", "Bond"), signature, &key), None);
    assert_eq!(open(raw, &signature.replace('7', "8"), &key), None);
    assert_eq!(open(raw, signature, &SessionKey::new(KEY)), None);
}

#[test]
fn signed_data_must_be_one_object_and_its_unionid_is_ignored() {
    let sign = |raw: &str| {
        let signature = const_hex::encode(aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            format!("{raw}{KEY}").as_bytes(),
        ));
        open(&UserData::raw(raw, &signature).expect("a form"))
    };
    let opened = sign(
        r#"{"nickName":"😀","openId":"o1","unionId":"o2","watermark":{"appid":"x","timestamp":1}}"#,
    );
    assert_eq!(
        Value::from(opened.clone().expect("signed").data),
        json!({"nickName": "😀"})
    );
    assert_eq!(opened.expect("signed").unionid, None);
    for raw in ["", "[]", "{", "null", r#"{"a":1,"a":2}"#, r#"{"a":1}{}"#] {
        assert_eq!(sign(raw), None, "{raw}");
    }
    for signature in [
        "",
        "7",
        &"7".repeat(39),
        &"7".repeat(41),
        &"g".repeat(40),
        &"字".repeat(40),
    ] {
        assert_eq!(
            UserData::raw("{}", signature).expect_err("refused"),
            Malformed("signature")
        );
    }
    let long = UserData::raw(&" ".repeat(LONGEST + 1), &"7".repeat(40));
    assert_eq!(long.expect_err("refused"), Malformed("rawData"));
}

#[test]
fn all_kinds_of_data_that_wechat_encrypts_are_decrypted() {
    let steps = |days| {
        (0..days)
            .map(|day| json!({"timestamp": 1_700_000_000 + day, "step": day}))
            .collect::<Value>()
    };
    for members in [
        json!({"nickName": "😀🤦🏽‍♀️ 王子轩 𠮷 é\u{301} \u{10ffff}", "gender": 1, "openId": OPENID}),
        json!({"phoneNumber": "13800138000", "purePhoneNumber": "13800138000", "countryCode": "86"}),
        json!({"phoneNumber": "+85261234567", "purePhoneNumber": "61234567", "countryCode": 852}),
        json!({"openGId": "tGabcdefghij"}),
        json!({"opengid": "tGabcdefghij"}),
        json!({"opengid": "tGabcdefghij", "group_openid": "oGabcdefghij", "chat_type": 3}),
        json!({"open_single_roomid": "oSabcdefghij", "group_openid": "oGabcdefghij", "chat_type": 1}),
        json!({"stepInfoList": steps(31)}),
        json!({"stepInfoList": []}),
        json!({"nickName": "微信用户", "gender": 0, "language": "", "city": "", "province": "", "country": "",
            "avatarUrl": "https://thirdwx.qlogo.cn/132", "is_demote": true}),
    ] {
        let opened = open(&sealed_with_watermark(members.clone())).expect("opened");
        let mut expected = members;
        expected
            .as_object_mut()
            .expect("an object")
            .remove("openId");
        assert_eq!(Value::from(opened.data), expected);
    }
}

#[test]
fn sixty_four_kibibytes_of_steps_are_decrypted() {
    let steps: Value = (0..1940)
        .map(|day| json!({"timestamp": 1_700_000_000 + day, "step": day}))
        .collect();
    let data = sealed_with_watermark(json!({"stepInfoList": steps}));
    let (ciphertext, _) = parts(&data);
    assert!(ciphertext.len() > 64 * 1024, "{}", ciphertext.len());
    assert_eq!(open(&data).expect("opened").data["stepInfoList"], steps);
}

#[test]
fn data_of_every_length_up_to_the_limit_is_decrypted() {
    let around = json!({"nickName": "", "watermark": watermark()})
        .to_string()
        .len();
    for text_length in (0..48).chain([LONGEST - around - 1]) {
        let members = json!({"nickName": "x".repeat(text_length)});
        let data = sealed_with_watermark(members.clone());
        let (ciphertext, iv) = parts(&data);
        let data = UserData::encrypted(&STANDARD.encode(&ciphertext), &STANDARD.encode(iv));
        let opened = open(&data.expect("well formed")).expect("opened");
        assert_eq!(Value::from(opened.data), members);
    }
}

/// A plaintext that fills its last block is followed by a whole block of padding.
#[test]
fn a_plaintext_of_whole_blocks_has_a_block_of_padding() {
    for length in [112, 111, 113] {
        let without = json!({"nickName": "", "watermark": watermark()})
            .to_string()
            .len();
        let members = json!({"nickName": "x".repeat(length - without)});
        let data = sealed_with_watermark(members.clone());
        assert_eq!(parts(&data).0.len(), length / BLOCK * BLOCK + BLOCK);
        assert_eq!(
            open(&data).map(|opened| Value::from(opened.data)),
            Some(members)
        );
    }
    // One block is too short for a watermark; it must be refused without a panic.
    assert_eq!(parts(&seal(r#"{"a":"twelve"}"#)).0.len(), BLOCK);
    assert_eq!(open(&seal(r#"{"a":"twelve"}"#)), None);
}

#[test]
fn a_unionid_is_removed_from_the_data_and_returned_separately() {
    let opened = |unionid: Value| {
        open(&sealed_with_watermark(
            json!({"openId": OPENID, "unionId": unionid, "nickName": "Band"}),
        ))
    };
    let with = opened(json!("ocMvos6NjeKLIBqg5Mr9QjxrP1FA")).expect("opened");
    assert_eq!(
        with.unionid.expect("a unionid").as_str(),
        "ocMvos6NjeKLIBqg5Mr9QjxrP1FA"
    );
    assert_eq!(Value::from(with.data), json!({"nickName": "Band"}));
    for none in [json!(""), Value::Null] {
        assert_eq!(opened(none).expect("opened").unionid, None);
    }
    for wrong in [json!("o}{"), json!(1), json!(["o1"])] {
        assert_eq!(opened(wrong), None);
    }
}

#[test]
fn data_is_accepted_up_to_its_maximum_age_and_a_minute_from_the_future() {
    let data = sealed_with_watermark(json!({"openGId": "tGabcdefghij"}));
    for (age, believed) in [
        (0, true),
        (600, true),
        (601, false),
        (-60, true),
        (-61, false),
        (86_400 * 9000, false),
    ] {
        let opened = open_at(&data, sealed_at() + TimeDelta::seconds(age));
        assert_eq!(opened.is_some(), believed, "{age} s");
    }
    let almost = sealed_at() + TimeDelta::milliseconds(600_001);
    assert_eq!(open_at(&data, almost), None);
}

#[test]
fn data_of_another_app_person_or_time_is_refused() {
    let (good, at) = (watermark(), sealed_at().timestamp());
    let with = |members: Value| {
        let mut all = json!({"nickName": "Band", "watermark": good});
        all.as_object_mut()
            .expect("an object")
            .extend(members.as_object().expect("an object").clone());
        open(&seal(&all.to_string()))
    };
    assert!(with(json!({})).is_some());
    assert!(with(json!({"openId": OPENID})).is_some());
    assert!(with(json!({"watermark": {"appid": APP, "timestamp": at.to_string()}})).is_some());
    assert_eq!(open(&seal(r#"{"nickName":"Band"}"#)), None);
    for members in [
        json!({"watermark": null}),
        json!({"watermark": []}),
        json!({"watermark": {}}),
        json!({"watermark": {"appid": APP}}),
        json!({"watermark": {"timestamp": at}}),
        json!({"watermark": {"appid": "wxfedcba9876543210", "timestamp": at}}),
        json!({"watermark": {"appid": [APP], "timestamp": at}}),
        json!({"watermark": {"appid": APP, "timestamp": 0}}),
        json!({"watermark": {"appid": APP, "timestamp": i64::MIN}}),
        json!({"watermark": {"appid": APP, "timestamp": i64::MAX}}),
        json!({"watermark": {"appid": APP, "timestamp": u64::MAX}}),
        json!({"watermark": {"appid": APP, "timestamp": at as f64 + 0.5}}),
        json!({"watermark": {"appid": APP, "timestamp": at, "phoneNumber": "13900000000"}}),
        json!({"openId": "oGZUI0egBJY1zhBYw2KhdUfwVJJE"}),
        json!({"openId": ""}),
        json!({"openId": null}),
        json!({"openId": [OPENID]}),
    ] {
        assert_eq!(with(members.clone()), None, "{members}");
    }
}

#[test]
fn a_plaintext_that_is_not_one_object_without_repeated_members_is_refused() {
    let good = format!(
        r#"{{"gender":1,"nickName":"Band","openId":"{OPENID}","unionId":"o1","watermark":{}}}"#,
        watermark()
    );
    assert!(open(&seal(&good)).is_some());
    assert!(open(&seal(&format!("{good}\r\n\t "))).is_some());
    let again = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    for text in [
        again(r#""gender":1"#),
        again(r#""\u0067ender":1"#),
        again(&format!(r#""openId":"{OPENID}""#)),
        again(r#""unionId":"o1""#),
        again(r#""unionId":null"#),
        again(&format!(r#""watermark":{}"#, watermark())),
        good.replace(r#""appid""#, r#""appid":"wx1","appid""#),
        format!("[{good}]"),
        format!("{good}{good}"),
        good[1..].to_owned(),
        good[..good.len() - 1].to_owned(),
        good.replacen("1,", "tru,", 1),
        good.replacen("1,", "1e999,", 1),
        good.replacen("1,", r#""\ud83d","#, 1),
        good.replacen("1,", &format!("{}{},", "[".repeat(200), "]".repeat(200)), 1),
        good.replacen("1,", ",", 1),
        String::new(),
        "null".to_owned(),
    ] {
        assert_eq!(open(&seal(&text)), None, "{text}");
    }
}

/// Data that the phone forges from a text of WeChat without the session key. It leaves out the
/// blocks before `rest`, which must begin a block, and chooses the iv that turns the first
/// remaining block into `first`.
fn spliced(plaintext: &str, first: &str, rest: &str) -> UserData {
    let (ciphertext, iv) = parts(&seal(plaintext));
    let at = plaintext.find(rest).expect("the rest is in the text");
    assert!(
        at.is_multiple_of(BLOCK) && at >= BLOCK,
        "{rest} is not at the beginning of a block, but at {at}"
    );
    let replaced = &plaintext.as_bytes()[at - BLOCK..at];
    let before = at
        .checked_sub(2 * BLOCK)
        .map_or(&iv[..], |before| &ciphertext[before..][..BLOCK]);
    let chosen = std::array::from_fn(|byte| before[byte] ^ replaced[byte] ^ first.as_bytes()[byte]);
    UserData::Encrypted {
        ciphertext: ciphertext[at - BLOCK..].to_vec(),
        iv: chosen,
    }
}

/// A profile as WeChat writes it, with a nickname in which `rest` begins a block.
fn profile(rest: &str, unionid: Option<&str>) -> String {
    let before = format!(r#"{{"openId":"{OPENID}","nickName":""#);
    let fill = "x".repeat(before.len().next_multiple_of(BLOCK) - before.len());
    let unionid = unionid
        .map(|unionid| format!(r#","unionId":"{unionid}""#))
        .unwrap_or_default();
    format!(
        r#"{before}{fill}{rest}","gender":0,"language":"","city":"","province":"","country":"","avatarUrl":""{unionid},"watermark":{}}}"#,
        watermark()
    )
}

#[test]
fn what_a_phone_joins_of_its_own_data_is_refused() {
    let phone = |number: &str, pure: &str| {
        format!(
            r#"{{"phoneNumber":"{number}","purePhoneNumber":"{pure}","countryCode":"86","watermark":{}}}"#,
            watermark()
        )
    };
    assert!(open(&seal(&profile("13900000000", Some("oMine")))).is_some());
    assert!(open(&seal(&phone("13800138000", "13800138000"))).is_some());
    for (plaintext, first, rest) in [
        (
            profile("13900000000", None),
            r#"{"phoneNumber":""#,
            "13900000000",
        ),
        (
            profile("13900000000", None),
            r#"{"purePhone"  :""#,
            "13900000000",
        ),
        (
            profile("13900000000", None),
            r#"{"countryCode":""#,
            "13900000000",
        ),
        (
            profile("abcdefghijklmnopqrstuvwx", None),
            r#"{"openGId":"tGxy"#,
            "abcdefghijklmnopqrstuvwx",
        ),
        (
            profile("abcdefghijklmnopqrstuvwx", None),
            r#"{"opengid":"tGxy"#,
            "abcdefghijklmnopqrstuvwx",
        ),
        (
            profile("NKLIBqg5Mr9QjxrP1FAabcde", None),
            r#"{"unionId":"ocMv"#,
            "NKLIBqg5Mr9QjxrP1FAabcde",
        ),
        (
            profile("NKLIBqg5Mr9QjxrP1FAabcde", Some("oMine")),
            r#"{"unionId":"ocMv"#,
            "NKLIBqg5Mr9QjxrP1FAabcde",
        ),
        (profile("[]", None), r#"{"stepInfoList":"#, "[]"),
        (
            phone("13800138000", "13800138000"),
            r#"{"phoneNumber":""#,
            r#"13800138000","countryCode""#,
        ),
        (
            phone("13800138000", "13800138000"),
            r#"{"countryCode":""#,
            r#"13800138000","countryCode""#,
        ),
        (
            phone("13800138000", "13800138000"),
            r#"{"purePhone"  :""#,
            r#"13800138000","countryCode""#,
        ),
    ] {
        let opened = open(&spliced(&plaintext, first, rest));
        assert_eq!(opened.map(|opened| opened.data), None, "{first}{rest}");
    }
}

/// The vector of an attack on wxmint, under another key, which decrypts to a text with a genuine
/// watermark.
#[test]
fn the_vector_of_spliced_data_is_refused() {
    let key = SessionKey::new(STANDARD.encode("0123456789abcdef"));
    let data = "wYVBlAknua/JScLhYUFgWjSOzeCS2f8VO06YblBMfg4JPefNTwzkdQhG3ufB+HZD6MrLRoD4QQqlc+rEBOURr7rZKYhBz9kHfRjv2CSh\
                CVqK5rF+xB8iJcvR+yihxphzG3AYtDeFxzglJGNIE2VbqQ==";
    let data = UserData::encrypted(data, "m33sUJjRWWthBBqztiTJaA==").expect("well formed");
    let person = person("wxc0ffee0000000001", OPENID);
    let now = DateTime::from_timestamp(1_790_000_000, 0).expect("a date");
    let (ciphertext, iv) = parts(&data);
    let text = cbc::decrypt(&key, &ciphertext, &iv).expect("decrypted");
    assert!(text.starts_with(br#"{"phoneNumber":"13900000000","gender":0,"watermark":{"#));
    assert_eq!(
        data.open(
            &key,
            &DataCheck {
                person: &person,
                now,
                max_age: MAX_AGE
            }
        ),
        None
    );
}

#[test]
fn each_kind_has_exactly_its_members_and_is_written_as_wechat_writes_it() {
    let with = |members: &str| {
        open(&seal(&format!(
            r#"{{{members},"watermark":{}}}"#,
            watermark()
        )))
    };
    let phone =
        r#""phoneNumber":"+8613800138000","purePhoneNumber":"13800138000","countryCode":"86""#;
    let steps = r#""stepInfoList":[{"timestamp":1700000000,"step":7}]"#;
    let group = r#""openGId":"tGabcdefghij""#;
    let user_info = r#""nickName":"Band","gender":1"#;
    for good in [phone, steps, group, user_info] {
        assert!(with(good).is_some(), "{good}");
        for beside in [
            r#""a":1"#,
            phone,
            steps,
            group,
            r#""nickName":"Band""#,
            r#""unionId":"ocMv""#,
            r#""countryCode":"86""#,
        ] {
            assert_eq!(with(&format!("{good},{beside}")), None, "{good},{beside}");
        }
        for openid in [OPENID, "oSomebodyElse"] {
            let expected = good == user_info && openid == OPENID;
            assert_eq!(
                with(&format!(r#"{good},"openId":"{openid}""#)).is_some(),
                expected,
                "{good} {openid}"
            );
        }
    }
    for (good, part, bad) in [
        (phone, "+86", "+86 "),
        (phone, "+86", "++86"),
        (phone, "+86", "x86"),
        (phone, r#""13800138000""#, r#""13900000000""#),
        (phone, r#""13800138000""#, r#""""#),
        (phone, r#""13800138000""#, "13800138000"),
        (phone, r#""+8613800138000""#, "8613800138000"),
        (phone, "+8613800138000", "+86138001380008613800138000"),
        (phone, "+86", r"\u002b86"),
        (phone, r#""phone"#, r#""\u0070hone"#),
        (phone, r#","pure"#, r#", "pure"#),
        (phone, r#","pure"#, "\u{1},\"pure"),
        (phone, r#""86""#, "8.6"),
        (phone, r#""86""#, "-86"),
        (phone, r#""86""#, "[86]"),
        (phone, r#""86""#, "null"),
        (phone, r#""86""#, r#""864321""#),
        (phone, r#","countryCode":"86""#, ""),
        (steps, r#""step":7"#, r#""step":-7"#),
        (steps, r#""step":7"#, r#""step":"7""#),
        (
            steps,
            r#""step":7"#,
            r#""step":7,"phoneNumber":"13900000000""#,
        ),
        (steps, r#""step":7"#, ""),
        (steps, "[{", "[1,{"),
        (steps, "[{", "[ {"),
        (group, r#""tGabcdefghij""#, "1"),
        (group, r#""tGabcdefghij""#, r#"["tG"]"#),
        (group, "tGa", "tG a"),
        (group, "tGa", "tG字"),
        (group, r#""openGId""#, r#""chat_type""#),
        (user_info, "1", "true"),
        (user_info, r#""Band""#, "{}"),
        (user_info, r#""nickName""#, r#""city""#),
    ] {
        let damaged = good
            .replacen(part, bad, 1)
            .replace(",,", ",")
            .replace(",}", "}");
        assert_ne!(damaged, good, "{part}");
        assert_eq!(with(&damaged), None, "{damaged}");
    }
    assert_eq!(with(r#""a":1"#), None);
    assert_eq!(
        open(&seal(&json!({"watermark": watermark()}).to_string())),
        None
    );
}

/// Changing a bit of the iv changes the same bit of the first block, and CBC has no MAC, so the
/// first block may become another text.
#[test]
fn every_changed_byte_is_detected_except_in_the_iv() {
    let members =
        json!({"avatarUrl": "first", "nickName": "13800138000", "openId": OPENID, "unionId": "o1"});
    let whole = sealed_with_watermark(members);
    let opened = open(&whole).expect("opened");
    let whole = parts(&whole);
    for place in 0..BLOCK + whole.0.len() {
        for mask in 1..=255 {
            let (mut ciphertext, mut iv) = whole.clone();
            match place.checked_sub(BLOCK) {
                Some(place) => ciphertext[place] ^= mask,
                None => iv[place] ^= mask,
            }
            if let Some(other) = open(&UserData::Encrypted { ciphertext, iv }) {
                assert!(
                    place < BLOCK,
                    "byte {place} of the ciphertext, by {mask:#x}"
                );
                assert_eq!(other.data["nickName"], opened.data["nickName"]);
            }
        }
    }
}

#[test]
fn no_incomplete_sequence_of_blocks_is_accepted() {
    let (whole, iv) = parts(&sealed_with_watermark(
        json!({"nickName": "Band", "openId": OPENID}),
    ));
    let blocks = whole.len() / BLOCK;
    for (first, last) in
        (0..blocks).flat_map(|first| (first + 1..=blocks).map(move |last| (first, last)))
    {
        let ciphertext = whole[first * BLOCK..last * BLOCK].to_vec();
        let before = first
            .checked_sub(1)
            .map_or(&iv[..], |before| &whole[before * BLOCK..][..BLOCK]);
        let part = UserData::Encrypted {
            ciphertext,
            iv: before.try_into().expect("a block"),
        };
        assert_eq!(
            open(&part).is_some(),
            (first, last) == (0, blocks),
            "blocks {first} to {last}"
        );
    }
}

#[test]
fn every_truncation_of_a_text_is_refused_and_nothing_panics() {
    let vectors = vectors();
    let vector = &vectors["aes_128_cbc_pkcs7"][1];
    let (data, iv) = (text(vector, "encryptedData"), text(vector, "iv"));
    let opens = |data: &str, iv: &str| {
        UserData::encrypted(data, iv).is_ok_and(|data| open(&data).is_some())
    };
    assert!(opens(data, iv));
    for length in 0..data.len() {
        assert!(
            !opens(&data[..length], iv),
            "{length} characters of the data"
        );
    }
    for length in 0..iv.len() {
        assert!(!opens(data, &iv[..length]), "{length} characters of the iv");
    }
}

#[test]
fn ten_thousand_random_texts_are_refused_and_nothing_panics() {
    let mut rng = Rng::with_seed(1);
    let base64 = |rng: &mut Rng, length| {
        STANDARD.encode((0..length).map(|_| rng.u8(..)).collect::<Vec<_>>())
    };
    for _ in 0..10_000 {
        let blocks = rng.usize(1..20);
        let (data, iv) = (base64(&mut rng, blocks * BLOCK), base64(&mut rng, BLOCK));
        assert_eq!(
            open(&UserData::encrypted(&data, &iv).expect("well formed")),
            None
        );

        let mut characters = |length| {
            (0..rng.usize(..length))
                .map(|_| rng.char(..))
                .collect::<String>()
        };
        let (data, iv) = (characters(200), characters(30));
        assert!(UserData::encrypted(&data, &iv).is_err() && UserData::raw(&data, &iv).is_err());
    }
}

#[test]
fn the_error_names_the_malformed_field() {
    let (data, iv) = (STANDARD.encode([0xfb; 32]), STANDARD.encode([0xfb; 16]));
    assert!(data.contains('+'));
    let longest = STANDARD.encode(vec![0; LONGEST]);
    assert!(UserData::encrypted(&longest, &iv).is_ok());
    for (data, iv, field) in [
        (
            data.replace('+', " ").as_str(),
            iv.as_str(),
            "encryptedData",
        ),
        (&data, &iv.replace('+', " "), "iv"),
        (&data.replace('+', "-"), &iv, "encryptedData"),
        (&data, &iv.replace('=', ""), "iv"),
        (&data.replace('+', "%2B"), &iv, "encryptedData"),
        (&data.replace('+', "字"), &iv, "encryptedData"),
        ("", &iv, "encryptedData"),
        (&data, "", "iv"),
        (&STANDARD.encode([0; 15]), &iv, "encryptedData"),
        (&STANDARD.encode([0; 17]), &iv, "encryptedData"),
        (&data, &STANDARD.encode([0; 15]), "iv"),
        (&data, &STANDARD.encode([0; 17]), "iv"),
        (&data, &longest, "iv"),
        (
            &STANDARD.encode(vec![0; LONGEST + BLOCK]),
            &iv,
            "encryptedData",
        ),
        (&" ".repeat(1_000_000), &iv, "encryptedData"),
    ] {
        assert_eq!(
            UserData::encrypted(data, iv).expect_err("refused"),
            Malformed(field)
        );
    }
}

#[test]
fn user_data_is_never_printed() {
    let phone = json!({"phoneNumber": "13800138000", "purePhoneNumber": "13800138000", "countryCode": "86"});
    let data = sealed_with_watermark(phone);
    let raw = UserData::raw(r#"{"nickName":"13800138000"}"#, &"7".repeat(40));
    let printed = format!("{data:?} {:?} {raw:?}", open(&data));
    assert!(
        !printed.contains("13800138000") && !printed.contains("7777"),
        "{printed}"
    );
    assert!(
        printed.starts_with("UserData(…) Some(OpenedData(…)) Ok(UserData(…))"),
        "{printed}"
    );
}
