//! Each kind of data that WeChat seals or signs for a mini program, and what the page gets of it.

use serde_json::{Value, json};

use super::{
    NUMBER, Replicas, Session, data_of, expect_undecryptable,
    sealing::{seal, sealed_phone, sign, watermark},
};
use crate::support::{APPID, Answer, TestBed};

/// What the person chose in WeChat.
fn profile() -> Value {
    json!({
        "nickName": "林 😀 𠮷", "gender": 1, "language": "zh_CN", "city": "Guangzhou", "province": "Guangdong",
        "country": "CN", "avatarUrl": "https://wx.qlogo.cn/mmopen/vi_32/Q0j4TwGTfTI/132",
    })
}

/// More than 64 KiB of steps, where WeChat gives a month.
fn steps() -> Value {
    let day = |day: i64| json!({"timestamp": 1_763_568_000 + day * 86_400, "step": 10_000 + day});
    json!({"stepInfoList": (0..1800).map(day).collect::<Vec<_>>()})
}

fn with(data: &Value, more: &Value) -> String {
    let mut data = data.clone();
    data.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    data.to_string()
}

fn assert_holds_nothing_of_wechats(answer: &Answer, session: &Session) {
    for private in [session.openid.as_str(), session.key.as_str(), "openId", "unionId", "watermark", APPID] {
        assert!(!answer.body.contains(private), "{private}: {answer:?}");
    }
}

#[tokio::test]
async fn every_kind_is_opened_at_every_replica_without_what_is_wechats_own() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    let of_lin = json!({
        "openId": lin.openid, "unionId": replicas.0.wechat.account("lin").await["unionid"],
        "watermark": watermark(APPID, 0),
    });
    let of_nobody = json!({"watermark": watermark(APPID, 0)});
    assert!(steps().to_string().len() > 64 * 1024);
    for (given, more) in [
        (profile(), &of_lin),
        (json!({"phoneNumber": "+85212345678", "purePhoneNumber": "12345678", "countryCode": "852"}), &of_nobody),
        (json!({"openGId": "tGEoy50AB4kU2vDcbrgdC8hDJ1rM"}), &of_nobody),
        (steps(), &of_nobody),
        (json!({}), &of_nobody),
    ] {
        let sealed = seal(&lin.key, &with(&given, more));
        for replica in 0..2 {
            let answer = replicas.decrypt(replica, &lin, &sealed).await;
            assert_eq!(data_of(&answer), given);
            assert_holds_nothing_of_wechats(&answer, &lin);
        }
    }
}

#[tokio::test]
async fn signed_data_is_given_where_the_signature_is_wechats() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    let private = json!({"openId": lin.openid, "unionId": "oUnion", "watermark": watermark(APPID, 0)});
    for raw_data in [profile().to_string(), with(&profile(), &private), format!(" {:#}\n", profile())] {
        let mut signed = sign(&lin.key, &raw_data);
        let answer = replicas.decrypt(0, &lin, &signed).await;
        assert_eq!(data_of(&answer), profile());
        assert_holds_nothing_of_wechats(&answer, &lin);

        signed["signature"] = signed["signature"].as_str().expect("text").to_uppercase().into();
        data_of(&replicas.decrypt(1, &lin, &signed).await);
        signed["rawData"] = raw_data.replace("林", "森").into();
        expect_undecryptable(replicas.decrypt(1, &lin, &signed).await);
    }
    let mei = replicas.log_in("mei").await;
    expect_undecryptable(replicas.decrypt(0, &lin, &sign(&mei.key, &profile().to_string())).await);
}

/// As above, but sealed by the stand-in, which shares no code with these tests: what it hands over, and how it is refused.
#[tokio::test]
async fn what_a_phone_hands_over_is_opened_under_the_current_key_and_the_one_before() {
    let replicas = Replicas::start().await;
    replicas.log_in("lin").await;
    let lin = replicas.log_in("lin").await;
    let handed = async |kind: &str, more: Value| {
        let wanted = with(&json!({"person": "lin", "kind": kind}), &more);
        replicas.0.wechat.hand_over(serde_json::from_str(&wanted).expect("JSON")).await
    };
    for under in ["current", "previous"] {
        for (kind, member) in
            [("user_info", "nickName"), ("phone", "phoneNumber"), ("steps", "stepInfoList"), ("share", "openGId")]
        {
            let mut sealed = handed(kind, json!({"under": under})).await;
            let (raw_data, signature) = (sealed["rawData"].take(), sealed["signature"].take());
            let answer = replicas.decrypt(0, &lin, &sealed).await;
            assert!(!data_of(&answer)[member].is_null(), "{kind}: {answer:?}");
            assert_holds_nothing_of_wechats(&answer, &lin);
            if kind == "user_info" {
                let signed = json!({"rawData": raw_data, "signature": signature});
                assert_eq!(replicas.decrypt(1, &lin, &signed).await.body, answer.body);
            }
        }
    }
    for wrong in [json!({"age_seconds": 700}), json!({"watermark_appid": "wxfedcba9876543210"})] {
        expect_undecryptable(replicas.decrypt(0, &lin, &handed("phone", wrong).await).await);
    }
    let anothers = handed("user_info", json!({"members": {"openId": "oSomebodyElse"}})).await;
    let anothers = json!({"encryptedData": anothers["encryptedData"], "iv": anothers["iv"]});
    expect_undecryptable(replicas.decrypt(0, &lin, &anothers).await);
}

/// docs/performance.md says so.
#[tokio::test]
async fn data_is_opened_in_three_round_trips_to_redis() {
    let replicas = Replicas(TestBed::builder().breakable_redis().start().await);
    let lin = replicas.log_in("lin").await;
    let sealed = sealed_phone(&lin.key, NUMBER);
    // Scripts are loaded.
    data_of(&replicas.decrypt(0, &lin, &sealed).await);
    let before = replicas.0.redis_link().round_trips();
    for _ in 0..50 {
        data_of(&replicas.decrypt(0, &lin, &sealed).await);
    }
    assert_eq!(replicas.0.redis_link().round_trips() - before, 150);
}
