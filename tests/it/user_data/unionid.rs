//! A unionid that code2Session did not give, and that is found in a person's data: the way that WeChat's guides
//! describe for apps outside an Open Platform account. It links by the rules of binding.

use super::sealing::{seal, watermark};
use super::{OTHER_APPID, Replicas, Session, data_of, key_of};
use crate::support::prelude::*;

/// WeChat gives this to the page of a person, whose unionid code2Session may keep to itself.
fn user_info(session: &Session, unionid: &str) -> Value {
    let info = json!({
        "openId": session.openid, "nickName": "林", "unionId": unionid, "watermark": watermark(APPID, 0),
    });
    seal(&session.key, info.to_string())
}

/// The data that the phone hands over may be older than what WeChat has answered, and the phone may have changed it: it
/// changes no unionid that is known, be it by earlier data or by WeChat's answer.
#[tokio::test]
async fn a_unionid_found_in_a_persons_data_makes_the_next_app_know_them_and_changes_none_that_is_known()
 {
    let apps = Replicas(TestBed::builder().services(2).two_apps().start().await);
    let (wechat, redis) = (&apps.0.wechat, &apps.0.redis);
    wechat.names_unionids(APPID, false).await;
    let here = apps.log_in_in(APPID, "lin").await;
    let known = wechat.account_in(OTHER_APPID, "lin").await["unionid"]
        .as_str()
        .expect("a unionid")
        .to_owned();
    let data = data_of(&apps.decrypt(1, &here, &user_info(&here, &known)).await);
    assert_eq!(data, json!({"nickName": "林"}));
    let there = apps.log_in_in(OTHER_APPID, "lin").await;
    assert_eq!(
        (&there.user, &apps.log_in_in(APPID, "lin").await.user),
        (&here.user, &here.user)
    );
    for service in &apps.0.services {
        assert_eq!(service.metric("wxmint_unionid_conflicts_total").await, 0.0);
    }

    for given in [false, true] {
        wechat.names_unionids(APPID, given).await;
        let here = apps.log_in_in(APPID, "lin").await;
        for other in ["oAnotherUnionid0123456789abc", &known] {
            data_of(&apps.decrypt(0, &here, &user_info(&here, other)).await);
            let noted: Vec<u8> = redis.command(&["HGET", &key_of(APPID, &here, "binding"), "n"]);
            assert_eq!(redis_keys::id_in(&noted), known, "{given}");
            let linked: Vec<String> = redis.command(&["KEYS", "wxmint:union:*"]);
            assert_eq!(linked, [format!("wxmint:union:{{{known}}}")], "{given}");
        }
    }
}
