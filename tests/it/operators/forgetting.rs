//! `wxmint users forget`: a person becomes a stranger. `people` holds what an erasure finds, and the conformance suite
//! of the store that no late command brings it back.

use super::{Office, keys_that_name};
use crate::support::prelude::*;

/// Somebody who has logged in by alice's password, and has typed a wrong one of bob's.
async fn leaver() -> (Office, [String; 2]) {
    // The count of a login is kept for as long as it counts: 12 s.
    let builder = TestBed::builder().users(&["alice", "bob"]).env("WXMINT_LIMIT_OPENID", "300/60m");
    let office = Office::of(builder).await;
    let login = office.bed.log_in_with("lin", password_of("alice")).await.expect_login();
    assert!(office.accepts(&login).await);
    let wrong = json!({"username": "bob", "password": WRONG_PASSWORD});
    office.bed.log_in_with("lin", wrong).await.expect_problem(403, "invalid_credentials");
    let account = office.bed.wechat.account("lin").await;
    let ids = ["openid", "unionid"].map(|name| account[name].as_str().expect("known after a login").to_owned());
    (office, ids)
}

#[tokio::test]
async fn nothing_names_a_forgotten_person_but_a_number_for_ten_minutes() {
    let (office, ids) = leaver().await;
    let [openid, _] = &ids;
    let login = office.bed.log_in("lin").await.expect_login();
    let traces = || keys_that_name(&office, &ids.each_ref().map(String::as_str));
    let before = traces();
    assert!(before.len() >= 5, "session, binding, counts, list and unionid: {before:?}");

    let redis = &office.bed.redis;
    let [binding, list] = [format!("wxmint:{{{APPID}:{openid}}}:binding"), "wxmint:user:{id-of-alice}".to_owned()];
    for erased in [
        "1 records of bindings, 0 session keys, 1 links of unionids, 3 counts",
        "0 records of bindings, 0 session keys",
    ] {
        let told = office.must(&["forget", "id-of-alice", "--yes"]);
        assert!(told.contains(&format!("erased: {erased}")), "{told}");
        assert!(!told.contains(openid) && told.contains("backups"), "{told}");
        let traces = traces();
        assert!(traces.iter().all(|found| *found == binding), "{traces:?}");
        assert_eq!(redis.command::<Vec<String>>(&["HKEYS", &binding]), ["g"]);
        let left: Vec<String> = redis.command(&["HKEYS", &list]);
        assert!(left.iter().all(|name| ["ended", "floor"].contains(&name.as_str())), "{left:?}");
        for key in [&binding, &list] {
            assert!((1..=600).contains(&redis.command::<i64>(&["TTL", key])), "{key}");
        }
    }
    assert!(!office.accepts(&login).await);
    assert_eq!(office.show("id-of-alice").await["wechat"], json!([]));

    office.bed.log_in("lin").await.expect_problem(403, "binding_required");
    let again = office.bed.log_in_with("lin", password_of("alice")).await.expect_login();
    assert_eq!(again.member("user_id"), "id-of-alice");
    office.log_in_for_good("lin").await;
    for key in [&binding, &list] {
        assert_eq!(redis.command::<i64>(&["TTL", key]), -1, "{key} of the new binding stays");
    }
}

#[tokio::test]
async fn who_belongs_to_another_user_by_now_is_not_touched() {
    let (office, _) = leaver().await;
    office.done("DELETE", &format!("/users/id-of-alice/wechat/{APPID}")).await;
    let login = office.bed.log_in_with("lin", password_of("bob")).await.expect_login();
    assert_eq!(login.member("user_id"), "id-of-bob");
    let told = office.must(&["forget", "id-of-alice", "--yes"]);
    assert!(told.contains("stays: 1 people"), "{told}");
    assert!(office.accepts(&login).await);
    assert_eq!(office.bed.log_in("lin").await.expect_login().member("user_id"), "id-of-bob");
}
