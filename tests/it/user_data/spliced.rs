//! A phone forges parts of its own data without the session key: encrypted data has no MAC, so the phone chooses its
//! first 16 bytes, and a nickname is what follows them.

use super::{OTHER_APPID, Replicas, expect_undecryptable};
use crate::support::prelude::*;

/// The phone of mei forges data that begin with `first` and `rest`.
async fn forged(replicas: &Replicas, first: &str, rest: &str) -> Value {
    let spliced = json!({"first": first, "rest": rest});
    replicas
        .0
        .wechat
        .hand_over(json!({"person": "mei", "kind": "user_info", "spliced": spliced}))
        .await
}

#[tokio::test]
async fn a_phone_number_and_a_group_that_the_phone_has_written_itself_are_refused_like_any_other_failure()
 {
    let replicas = Replicas::start().await;
    let mei = replicas.log_in("mei").await;
    for (first, rest) in [
        (r#"{"phoneNumber":""#, "13900000000"),
        (r#"{"openGId":"tGab"#, "cdefghijklmnopqrstuvwxyz"),
        (r#"{"opengid":"tGab"#, "cdefghijklmnopqrstuvwxyz"),
    ] {
        let data = forged(&replicas, first, rest).await;
        expect_undecryptable(replicas.decrypt(0, &mei, &data).await);
    }
    // Each was counted, so the eighth failure drops the session key.
    for _ in 3..8 {
        let data = forged(&replicas, r#"{"phoneNumber":""#, "13900000000").await;
        expect_undecryptable(replicas.decrypt(1, &mei, &data).await);
    }
    assert!(
        replicas.kept(&mei).is_empty(),
        "the session key is still there"
    );
}

/// The victim's first login in another app would otherwise get the attacker's user.
#[tokio::test]
async fn a_unionid_that_the_phone_has_written_itself_links_nobody() {
    let replicas = Replicas(TestBed::builder().two_apps().start().await);
    let wechat = &replicas.0.wechat;
    wechat.names_unionids(APPID, false).await;
    replicas.log_in_in(APPID, "lin").await;
    let unionid = wechat.account_in(OTHER_APPID, "lin").await["unionid"]
        .as_str()
        .expect("a unionid")
        .to_owned();

    let mei = replicas.log_in_in(APPID, "mei").await;
    let (first, rest) = unionid.split_at(4);
    let data = forged(&replicas, &format!(r#"{{"unionId":"{first}"#), rest).await;
    expect_undecryptable(replicas.decrypt(0, &mei, &data).await);

    let linked: Vec<String> = replicas.0.redis.command(&["KEYS", "wxmint:union:*"]);
    assert_eq!(linked, [] as [String; 0]);
    let lin = replicas.log_in_in(OTHER_APPID, "lin").await;
    assert_ne!(lin.user, mei.user, "the victim has the attacker's user");
}
