//! One person in several mini programs of an owner: what a unionid joins, and what it leaves alone, also where it
//! changes because a mini program is moved to another Open Platform account (decision 0020).

use super::{OTHER_APPID, business, is_users};
use crate::support::prelude::*;

const CHANGED: &str = "WeChat names another unionid for this person than before";

impl TestBed {
    async fn moved(&self, app: &str) {
        self.wechat
            .change_app(json!({"appid": app, "platform": "another account"}))
            .await;
    }

    async fn unionid_in(&self, app: &str, person: &str) -> String {
        self.wechat.account_in(app, person).await["unionid"]
            .as_str()
            .expect("given")
            .to_owned()
    }

    /// The user to whom a unionid is linked.
    fn holder(&self, unionid: &str) -> Option<String> {
        let held: Option<Vec<u8>> = self
            .redis
            .command(&["GET", &redis_keys::holder_of(unionid)]);
        held.map(|held| redis_keys::id_in(&held))
    }

    async fn conflicts(&self) -> f64 {
        self.service()
            .metric("wxmint_unionid_conflicts_total")
            .await
    }
}

#[tokio::test]
async fn two_users_who_turn_out_to_be_one_person_are_both_kept_and_reported_once() {
    let bed = business(&[]).await;
    let users = [(APPID, "alice"), (OTHER_APPID, "bob")];
    for (app, name) in users {
        bed.wechat.names_unionids(app, false).await;
        is_users(&bed.log_in_at(app, "lin", password_of(name)).await, name);
    }
    for (app, _) in users {
        bed.wechat.names_unionids(app, true).await;
    }
    is_users(&bed.log_in_at(APPID, "lin", json!({})).await, "alice");
    assert_eq!(bed.conflicts().await, 0.0);
    let found = bed.log_in_at(OTHER_APPID, "lin", json!({})).await;
    for (app, name) in users {
        is_users(&bed.log_in_at(app, "lin", json!({})).await, name);
    }
    is_users(&found, "bob");
    assert_eq!(bed.conflicts().await, 1.0);
    let message = "one unionid, two users: both are kept; see wxmint bindings export";
    let line = bed.logged_of(&found, message).await;
    for (member, value) in [
        ("level", "WARN"),
        ("user", "id-of-bob"),
        ("other", "id-of-alice"),
    ] {
        assert_eq!(line[member], value);
    }
    assert_eq!(bed.service().told(message).len(), 1);
}

#[tokio::test]
async fn a_person_whose_unionid_changes_stays_the_same_user_and_both_unionids_name_that_user() {
    let bed = business(&[]).await;
    is_users(&bed.enter("lin", password_of("alice")).await, "alice");
    let before = bed.unionid_in(APPID, "lin").await;
    bed.moved(APPID).await;
    let after = bed.unionid_in(APPID, "lin").await;
    assert_ne!(before, after);
    let login = bed.silent("lin").await;
    is_users(&login, "alice");
    assert_eq!(bed.logged_of(&login, CHANGED).await["user"], "id-of-alice");
    for unionid in [&before, &after] {
        assert_eq!(bed.holder(unionid).as_deref(), Some("id-of-alice"));
    }
    is_users(&bed.silent("lin").await, "alice");
    assert_eq!(bed.service().told(CHANGED).len(), 1, "said once");

    let lines = bed.run(&["bindings", "export"]).expect_success().stdout;
    assert!(
        lines.contains(&after) && !lines.contains(&before),
        "the unionid of today: {lines}"
    );

    // The other app has not been moved yet, and knows the person by the unionid of before.
    is_users(&bed.log_in_at(OTHER_APPID, "lin", json!({})).await, "alice");
    bed.moved(OTHER_APPID).await;
    is_users(&bed.log_in_at(OTHER_APPID, "lin", json!({})).await, "alice");
    bed.enter("mei", json!({}))
        .await
        .expect_problem(403, "binding_required");
    assert_eq!(bed.conflicts().await, 0.0);
}

#[tokio::test]
async fn a_unionid_that_changes_to_one_of_another_user_merges_nobody_and_is_reported_once() {
    let bed = business(&[]).await;
    is_users(&bed.enter("lin", password_of("alice")).await, "alice");
    bed.moved(OTHER_APPID).await;
    is_users(
        &bed.log_in_at(OTHER_APPID, "lin", password_of("bob")).await,
        "bob",
    );
    bed.moved(APPID).await;
    for _ in 0..2 {
        is_users(&bed.silent("lin").await, "alice");
        is_users(&bed.log_in_at(OTHER_APPID, "lin", json!({})).await, "bob");
    }
    assert_eq!(bed.conflicts().await, 1.0);
    let after = bed.unionid_in(APPID, "lin").await;
    assert_eq!(bed.holder(&after).as_deref(), Some("id-of-bob"));
}

/// A process dies before it has noted that the new unionid is linked.
#[tokio::test]
async fn a_change_that_was_interrupted_is_finished_by_the_next_login() {
    let bed = business(&[("WXMINT_ACCOUNTS", "auto"), ONE_THREAD]).await;
    let link = bed.redis_link();
    let mut moves = 0;
    let first = bed.silent("lin").await.expect_login().member("user_id");
    loop {
        moves += 1;
        let platform = json!({"appid": APPID, "platform": format!("account {moves}")});
        bed.wechat.change_app(platform).await;
        link.lose_answer(moves);
        let interrupted = bed.silent("lin").await;
        assert!([200, 503].contains(&interrupted.status), "{interrupted:?}");
        let finished = link.has_lost_answer();
        let login = bed.for_good(async || bed.silent("lin").await).await;
        assert_eq!(
            (login.member("user_id"), &login.json()["new_user"]),
            (first.clone(), &Value::Bool(false))
        );
        let unionid = bed.unionid_in(APPID, "lin").await;
        assert_eq!(
            bed.holder(&unionid),
            Some(first.clone()),
            "after move {moves}"
        );
        if !finished {
            break;
        }
    }
    assert!(moves > 3, "a change has more steps than {moves}");
    bed.dissolve(&bed.silent("lin").await).await;
    let held: Vec<String> = bed.redis.command(&["KEYS", &redis_keys::holder_of("*")]);
    assert_eq!(held, [""; 0], "of {moves} moves");
}
