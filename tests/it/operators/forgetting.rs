//! `wxmint users erase`: a person becomes a stranger. `people` holds what an erasure finds, and the conformance suite
//! of the store that no late command brings it back.

use super::{keys_that_name, office};
use crate::support::prelude::*;

#[tokio::test]
async fn nothing_names_a_forgotten_person_but_a_number_for_ten_minutes_and_who_is_anothers_by_now_is_not_touched()
 {
    // The count of a login is kept for as long as it counts: 12 s.
    let builder = TestBed::builder()
        .users(&["alice", "bob"])
        .env("WXMINT_LIMIT_OPENID", "300/60m");
    let office = office(builder).await;
    office
        .log_in_with("lin", password_of("alice"))
        .await
        .expect_login();
    office
        .log_in_with("lin", wrong_password_of("bob"))
        .await
        .expect_problem(403, "invalid_credentials");
    let account = office.wechat.account("lin").await;
    let [openid, unionid] =
        ["openid", "unionid"].map(|name| account[name].as_str().expect("known after a login"));
    let login = office.log_in("lin").await.expect_login();
    assert!(office.accepts(&login).await);
    let traces = || keys_that_name(&office, &[openid, unionid]);
    let before = traces();
    assert!(
        before.len() >= 5,
        "session, binding, counts, list and unionid: {before:?}"
    );

    let redis = &office.redis;
    let [binding, list] = [
        format!("wxmint:{{{APPID}:{openid}}}:binding"),
        "wxmint:user:{id-of-alice}".to_owned(),
    ];
    for erased in [
        "1 records of bindings, 0 session keys, 1 links of unionids, 3 counts",
        "0 records of bindings, 0 session keys",
    ] {
        let told = office.must(&["erase", "id-of-alice", "--yes"]);
        assert!(told.contains(&format!("erased: {erased}")), "{told}");
        assert!(!told.contains(openid) && told.contains("backups"), "{told}");
        let traces = traces();
        assert!(traces.iter().all(|found| *found == binding), "{traces:?}");
        assert_eq!(redis.command::<Vec<String>>(&["HKEYS", &binding]), ["g"]);
        let left: Vec<String> = redis.command(&["HKEYS", &list]);
        assert!(
            left.iter()
                .all(|name| ["ended", "floor"].contains(&name.as_str())),
            "{left:?}"
        );
        for key in [&binding, &list] {
            assert!(
                (1..=600).contains(&redis.command::<i64>(&["TTL", key])),
                "{key}"
            );
        }
    }
    assert!(!office.accepts(&login).await);
    assert_eq!(office.show("id-of-alice").await["wechat"], json!([]));

    office
        .log_in("lin")
        .await
        .expect_problem(403, "binding_required");
    let again = office
        .log_in_with("lin", password_of("alice"))
        .await
        .expect_login();
    assert_eq!(again.member("user_id"), "id-of-alice");
    office.log_in_for_good("lin").await;
    for key in [&binding, &list] {
        assert_eq!(
            redis.command::<i64>(&["TTL", key]),
            -1,
            "{key} of the new binding stays"
        );
    }

    office
        .done("DELETE", &format!("/users/id-of-alice/wechat/{APPID}"))
        .await;
    let login = office
        .log_in_with("lin", password_of("bob"))
        .await
        .expect_login();
    assert_eq!(login.member("user_id"), "id-of-bob");
    let told = office.must(&["erase", "id-of-alice", "--yes"]);
    assert!(told.contains("stays: 1 people"), "{told}");
    assert!(office.accepts(&login).await);
    assert_eq!(
        office.log_in("lin").await.expect_login().member("user_id"),
        "id-of-bob"
    );
}
