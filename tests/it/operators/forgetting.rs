//! `wxmint users forget`: a person becomes a stranger. `people` holds erasures that are interrupted or raced by logins.

use super::{Office, keys_that_name};
use crate::support::prelude::*;

struct Leaver {
    office: Office,
    openid: String,
    unionid: String,
}

impl Leaver {
    /// Has logged in, has typed a wrong password, and has asked for what is counted.
    async fn start() -> Self {
        Self::with(&[]).await
    }

    async fn with(environment: &[(&str, &str)]) -> Self {
        let office = Office::of(TestBed::builder().services(2).users(&["alice", "bob"]).envs(environment)).await;
        let login = office.bed.log_in_with("lin", password_of("alice")).await.expect_login();
        assert!(office.accepts(&login).await);
        let wrong = json!({"username": "bob", "password": WRONG_PASSWORD});
        office.bed.log_in_with("lin", wrong).await.expect_problem(403, "invalid_credentials");
        let account = office.bed.wechat.account("lin").await;
        let text = |name: &str| account[name].as_str().expect("known after a login").to_owned();
        Self { openid: text("openid"), unionid: text("unionid"), office }
    }

    /// The keys that name the person, in their names or values.
    fn traces(&self) -> Vec<String> {
        keys_that_name(&self.office, &[&self.openid, &self.unionid])
    }

    /// Nothing names the person but the number of the erased binding, which expires.
    fn assert_forgotten(&self) {
        let key = format!("wxmint:{{{APPID}:{}}}:binding", self.openid);
        let traces = self.traces();
        assert!(traces.iter().all(|found| *found == key), "{traces:?}");
        let redis = &self.office.bed.redis;
        assert_eq!(redis.command::<Vec<String>>(&["HKEYS", &key]), ["g"]);
        assert!((1..=600).contains(&redis.command::<i64>(&["TTL", &key])));
        let list: Vec<String> = redis.command(&["HKEYS", "wxmint:user:{id-of-alice}"]);
        assert!(list.iter().all(|name| ["ended", "floor"].contains(&name.as_str())), "{list:?}");
        assert!((1..=600).contains(&redis.command::<i64>(&["TTL", "wxmint:user:{id-of-alice}"])));
    }
}

#[tokio::test]
async fn nothing_names_a_forgotten_person_but_a_number_for_ten_minutes() {
    // The count of a login is kept for as long as it counts: 12 s.
    let leaver = Leaver::with(&[("WXMINT_LIMIT_OPENID", "300/60m")]).await;
    let office = &leaver.office;
    let login = office.bed.log_in("lin").await.expect_login();
    let before = leaver.traces();
    assert!(before.len() >= 5, "session, binding, counts, list and unionid: {before:?}");

    let told = office.must(&["forget", "id-of-alice", "--yes"]);
    for line in
        ["dissolved: 1 bindings", "erased: 1 records of bindings, 0 session keys, 1 links of unionids, 3 counts"]
    {
        assert!(told.contains(line), "{told}");
    }
    assert!(!told.contains(&leaver.openid) && told.contains("backups"), "{told}");
    leaver.assert_forgotten();
    assert!(!office.accepts(&login).await);
    assert_eq!(office.show("id-of-alice").await["wechat"], json!([]));

    let told = office.must(&["forget", "id-of-alice", "--yes"]);
    assert!(told.contains("erased: 0 records of bindings, 0 session keys, 0 links of unionids, 0 counts"), "{told}");
    leaver.assert_forgotten();

    office.bed.log_in("lin").await.expect_problem(403, "binding_required");
    let again = office.bed.log_in_with("lin", password_of("alice")).await.expect_login();
    assert_eq!(again.member("user_id"), "id-of-alice");
    let again = office.log_in_for_good("lin").await;
    assert!(office.accepts(&again).await);
    for key in [format!("wxmint:{{{APPID}:{}}}:binding", leaver.openid), "wxmint:user:{id-of-alice}".into()] {
        assert_eq!(office.bed.redis.command::<i64>(&["TTL", &key]), -1, "{key} of the new binding stays");
    }
}

#[tokio::test]
async fn who_belongs_to_another_user_by_now_is_not_touched() {
    let leaver = Leaver::start().await;
    let office = &leaver.office;
    office.done("DELETE", &format!("/users/id-of-alice/wechat/{APPID}")).await;
    let login = office.bed.log_in_with("lin", password_of("bob")).await.expect_login();
    assert_eq!(login.member("user_id"), "id-of-bob");
    let told = office.must(&["forget", "id-of-alice", "--yes"]);
    assert!(told.contains("stays: 1 people"), "{told}");
    assert!(office.accepts(&login).await);
    assert_eq!(office.bed.log_in("lin").await.expect_login().member("user_id"), "id-of-bob");
}

/// After an erasure a session key comes with a login that succeeds, and with no other.
#[tokio::test]
async fn no_refused_login_brings_a_session_key_of_a_forgotten_person() {
    let leaver = Leaver::with(&[("WXMINT_LIMIT_OPENID", "5/60m")]).await;
    let (bed, office) = (&leaver.office.bed, &leaver.office);
    let wrong = || json!({"username": "bob", "password": WRONG_PASSWORD});
    let forgotten = |answer: Answer, status, code| {
        let kept: Vec<String> = bed.redis.command(&["KEYS", "wxmint:*:session"]);
        assert!(kept.is_empty(), "after {answer:?}: {kept:?}");
        answer.expect_problem(status, code)
    };
    office.must(&["block", "id-of-bob"]);
    office.must(&["forget", "id-of-alice", "--yes"]);
    forgotten(bed.log_in("lin").await, 403, "binding_required");
    forgotten(bed.log_in_with("lin", wrong()).await, 403, "invalid_credentials");
    forgotten(bed.log_in_with("lin", password_of("bob")).await, 403, "user_blocked");
    let asked = forgotten(bed.log_in("lin").await, 403, "binding_required");
    forgotten(bed.log_in_with("lin", wrong()).await, 403, "invalid_credentials");
    forgotten(bed.log_in_with("lin", password_of("alice")).await, 429, "rate_limited");

    let mut ticket = password_of("alice");
    ticket["bind_ticket"] = asked.member("bind_ticket").into();
    bed.service().log_in_with(&ticket).await.expect_login();
    assert_eq!(bed.redis.command::<Vec<String>>(&["KEYS", "wxmint:*:session"]).len(), 1);
}
