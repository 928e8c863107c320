//! A unionid that code2Session did not give, and that is found in a person's data: the way that WeChat's guides
//! describe for apps outside an Open Platform account. It links by the rules of binding.

use super::sealing::{seal, watermark};
use super::{OTHER_APPID, Replicas, Session, data_of};
use crate::support::prelude::*;

impl Replicas {
    async fn unionids(&self, app: &str, given: bool) {
        self.0.wechat.change_app(json!({"appid": app, "unionid": given})).await;
    }

    async fn conflicts(&self) -> f64 {
        let of = async |replica: usize| self.0.services[replica].metric("wxmint_unionid_conflicts_total").await;
        of(0).await + of(1).await
    }

    /// WeChat gives this to the page of lin, whose unionid code2Session keeps to itself.
    async fn user_info(&self, session: &Session, unionid: &Value) -> Value {
        let info = json!({
            "openId": session.openid, "nickName": "林", "unionId": unionid, "watermark": watermark(APPID, 0),
        });
        seal(&session.key, &info.to_string())
    }
}

/// The unionid of `person`, who must have been in the other app at a time when that gave unionids.
async fn unionid_of(replicas: &Replicas, person: &str) -> Value {
    let unionid = replicas.0.wechat.account_in(OTHER_APPID, person).await["unionid"].take();
    assert!(unionid.is_string());
    unionid
}

#[tokio::test]
async fn a_unionid_found_in_a_persons_data_makes_the_next_app_know_them() {
    let apps = Replicas::of_two_apps().await;
    apps.unionids(APPID, false).await;
    let here = apps.log_in_in(APPID, "lin").await;
    let unionid = unionid_of(&apps, "lin").await;
    let data = data_of(&apps.decrypt(1, &here, &apps.user_info(&here, &unionid).await).await);
    assert_eq!(data, json!({"nickName": "林"}));
    let there = apps.log_in_in(OTHER_APPID, "lin").await;
    assert_eq!((&there.user, &apps.log_in_in(APPID, "lin").await.user), (&here.user, &here.user));
    assert_eq!(apps.conflicts().await, 0.0);
}

/// The data that the phone hands over may be older than what WeChat has answered, and the phone may have changed it.
#[tokio::test]
async fn a_unionid_in_a_persons_data_changes_none_that_is_known() {
    let apps = Replicas::of_two_apps().await;
    let here = apps.log_in_in(APPID, "lin").await;
    let bed = &apps.0;
    let known = bed.wechat.account("lin").await["unionid"].as_str().expect("given").to_owned();
    let binding = format!("wxmint:{{{APPID}:{}}}:binding", here.openid);
    for other in ["oAnotherUnionid0123456789abc", known.as_str()] {
        data_of(&apps.decrypt(0, &here, &apps.user_info(&here, &json!(other)).await).await);
        assert_eq!(redis_keys::id_in(&bed.redis.command::<Vec<u8>>(&["HGET", &binding, "n"])), known);
        let linked: Vec<String> = bed.redis.command(&["KEYS", "wxmint:union:*"]);
        assert_eq!(linked, [format!("wxmint:union:{{{known}}}")]);
    }
}
