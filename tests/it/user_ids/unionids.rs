//! WeChat names another unionid for a person than before, as after a move to another Open Platform account.

use super::{computed, user_of};
use crate::support::prelude::*;

#[tokio::test]
async fn a_person_whose_unionid_changes_is_refused_with_the_reason_until_an_operator_decides_who_the_person_is()
 {
    let bed = computed("unionid").start().await;
    let [lin, mei] = [
        user_of(&bed, APPID, "lin").await,
        user_of(&bed, APPID, "mei").await,
    ];
    bed.wechat
        .change_app(json!({"appid": APPID, "platform": "another"}))
        .await;
    for person in ["lin", "lin", "mei"] {
        let refused = bed
            .log_in_at(APPID, person, json!({}))
            .await
            .expect_problem(409, "unionid_changed");
        assert!(!refused.headers.contains_key("retry-after"), "{refused:?}");
    }
    bed.service()
        .says(&format!("for a person of the user {lin} in {APPID}"))
        .await;
    let openid_of = async |person| {
        bed.wechat.account(person).await["openid"]
            .as_str()
            .expect("an openid")
            .to_owned()
    };

    let person = |openid: &str| format!("/wechat/{APPID}/people/{openid}");
    let openid = openid_of("lin").await;
    assert_eq!(bed.operate("DELETE", &person(&openid)).await.status, 204);
    let file = bed.configuration.path("kept.ndjson");
    let kept = json!({"appid": APPID, "openid": openid, "user_id": lin});
    fs::write(&file, format!("{kept}\n")).expect("written");
    bed.run(&[
        "bindings",
        "import",
        &file.to_string_lossy(),
        "--no-trailer",
    ])
    .expect_success();
    for _ in 0..2 {
        assert_eq!(user_of(&bed, APPID, "lin").await, lin);
    }

    assert_eq!(
        bed.operate("DELETE", &person(&openid_of("mei").await))
            .await
            .status,
        204
    );
    let changed = user_of(&bed, APPID, "mei").await;
    assert_ne!(changed, mei);
    assert_eq!(user_of(&bed, APPID, "mei").await, changed);
}
