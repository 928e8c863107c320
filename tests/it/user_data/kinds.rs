//! Each kind of data that WeChat seals or signs for a mini program, and what the page gets of it.

use super::{NUMBER, Replicas, data_of, expect_undecryptable, sealing::sealed_phone};
use crate::support::prelude::*;

/// Sealed by the stand-in, which shares no code with these tests: its data, and its refusals. Nothing in the body names
/// another person than the token's.
#[tokio::test]
async fn what_a_phone_hands_over_is_opened_under_the_current_key_and_the_one_before() {
    let builder = TestBed::builder()
        .services(2)
        .env("WXMINT_USER_DATA_MAX_AGE", "20m");
    let replicas = Replicas(builder.start().await);
    replicas.log_in("lin").await;
    let (second, mei) = (replicas.log_in("lin").await, replicas.log_in("mei").await);
    replicas
        .0
        .wechat
        .change_app(json!({"appid": APPID, "repeats_session_keys": true}))
        .await;
    let lin = replicas.log_in("lin").await;
    assert_eq!(second.key, lin.key, "WeChat has given it again");
    let handed = async |kind: &str, mut wanted: Value| {
        (wanted["person"], wanted["kind"]) = ("lin".into(), kind.into());
        replicas.0.wechat.hand_over(wanted).await
    };
    for under in ["current", "previous"] {
        for (kind, member) in [
            ("user_info", "nickName"),
            ("phone", "phoneNumber"),
            ("steps", "stepInfoList"),
            ("share", "openGId"),
        ] {
            let mut sealed = handed(kind, json!({"under": under})).await;
            let (raw_data, signature) = (sealed["rawData"].take(), sealed["signature"].take());
            let answer = replicas.decrypt(0, &lin, &sealed).await;
            assert!(!data_of(&answer)[member].is_null(), "{kind}: {answer:?}");
            for private in [
                &*lin.openid,
                &lin.key,
                "openId",
                "unionId",
                "watermark",
                APPID,
            ] {
                assert!(!answer.body.contains(private), "{private}: {answer:?}");
            }
            if kind == "user_info" {
                let signed = json!({"rawData": raw_data, "signature": signature});
                assert_eq!(replicas.decrypt(1, &lin, &signed).await.body, answer.body);
            }
        }
    }
    data_of(
        &replicas
            .decrypt(0, &lin, &handed("phone", json!({"age_seconds": 700})).await)
            .await,
    );
    for wrong in [
        json!({"age_seconds": 1300}),
        json!({"watermark_appid": OTHER_APPID}),
    ] {
        expect_undecryptable(
            replicas
                .decrypt(0, &lin, &handed("phone", wrong).await)
                .await,
        );
    }
    let anothers = handed("user_info", json!({"members": {"openId": "oSomebodyElse"}})).await;
    let anothers = json!({"encryptedData": anothers["encryptedData"], "iv": anothers["iv"]});
    expect_undecryptable(replicas.decrypt(0, &lin, &anothers).await);

    let mut of_mei = sealed_phone(&mei.key, NUMBER);
    for named in [&lin, &mei] {
        for (name, value) in [
            ("openid", &named.openid),
            ("user_id", &named.user),
            ("session_key", &named.key),
        ] {
            of_mei[name] = value.as_str().into();
        }
        expect_undecryptable(replicas.decrypt(0, &lin, &of_mei).await);
        assert_eq!(
            data_of(&replicas.decrypt(0, &mei, &of_mei).await)["phoneNumber"],
            NUMBER
        );
    }
}

/// benches/README.md says so.
#[tokio::test]
async fn data_is_opened_in_four_round_trips_to_redis() {
    let replicas = Replicas(TestBed::builder().breakable_redis().start().await);
    let lin = replicas.log_in("lin").await;
    let sealed = sealed_phone(&lin.key, NUMBER);
    // Scripts are loaded.
    data_of(&replicas.decrypt(0, &lin, &sealed).await);
    let twenty = async || {
        for _ in 0..20 {
            data_of(&replicas.decrypt(0, &lin, &sealed).await);
        }
    };
    replicas
        .0
        .redis_link()
        .expect_round_trips(4 * 20, twenty)
        .await;
}
