//! Each event about an app that is no mini program names its kind.

use serde_json::{Value, json};

use super::{SECRET, Watched};
use crate::support::{APP_SECRET, APPID, BUSY, OTHER_SECRET, TestBed, apps_folder, eventually, write_private};

const SITE: &str = "wxbbbbbbbbbbbbbbbb";

#[tokio::test]
async fn whoever_leaves_and_what_operators_do_is_told_with_the_kind_of_the_app() {
    let folder = apps_folder(&[(APPID, APP_SECRET)]);
    write_private(&folder.path().join(SITE), &json!({"kind": "website", "secret": OTHER_SECRET}).to_string());
    let builder = TestBed::builder().apps_folder(folder.path()).app(SITE, &format!("{OTHER_SECRET}:website"));
    let watched = Watched::start(builder).await;
    let (bed, service) = (&watched.bed, watched.bed.service());
    for (appid, kind) in [(APPID, Value::Null), (SITE, json!("website"))] {
        let log_in = async || bed.log_in_at(appid, "lin", json!({})).await.expect_login();
        let [one, two, three] = [log_in().await, log_in().await, log_in().await];
        assert_eq!(service.ask("POST", "/logout", &one.member("access_token"), &Value::Null).await.status, 204);
        assert_eq!(service.unbind(&two.member("access_token")).await.status, 204);
        service.unbind(&three.member("access_token")).await.expect_problem(401, "invalid_token");
        let user = log_in().await.member("user_id");
        let path = format!("/users/{user}/wechat/{appid}");
        assert_eq!(watched.ask("DELETE", &path, SECRET).await.status, 204);
        let path = format!("/wechat/{appid}/people/nobody");
        watched.ask("GET", &path, SECRET).await.expect_problem(404, "unknown_person");
        let told = eventually("each event of the app is written", BUSY, async || {
            let told = watched.events().into_iter().filter(|event| event["unmapped"]["app"] == appid);
            let told: Vec<_> = told
                .map(|event| (event["metadata"]["event_code"].clone(), event["unmapped"]["app_kind"].clone()))
                .collect();
            let codes = ["login", "bind", "logout", "unbind", "dissolve", "look_up_person"];
            codes.iter().all(|code| told.iter().any(|(told, _)| told == code)).then_some(told)
        })
        .await;
        assert!(told.iter().all(|(_, told)| *told == kind), "{appid}: {told:?}");
    }
}
