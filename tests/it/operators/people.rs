//! People by openid: what the business's receiver of WeChat's pushes asks for. After an erasure nothing in Redis names
//! the person for longer than an hour.

use super::{keys_that_name, office};
use crate::support::prelude::*;

fn path_in(app: &str, openid: &str) -> String {
    format!("/wechat/{app}/people/{openid}")
}

/// The keys that name `traces` and are there for longer than an hour.
fn kept_for_long(office: &TestBed, traces: &[&str]) -> Vec<String> {
    let ttl = |key: &String| office.redis.command::<i64>(&["TTL", key]);
    keys_that_name(office, traces)
        .into_iter()
        .filter(|key| ttl(key) == -1 || ttl(key) > 3600)
        .collect()
}

struct Somebody {
    openid: String,
    unionid: String,
}

impl Somebody {
    async fn named(bed: &TestBed, name: &str) -> Self {
        let account = bed.wechat.account(name).await;
        let text = |member: &str| {
            account[member]
                .as_str()
                .expect("known after a login")
                .to_owned()
        };
        Self {
            openid: text("openid"),
            unionid: text("unionid"),
        }
    }

    fn path(&self) -> String {
        path_in(APPID, &self.openid)
    }

    /// Nothing names the person for longer than an hour.
    #[track_caller]
    fn assert_forgotten(&self, office: &TestBed) {
        assert_eq!(
            kept_for_long(office, &[&self.openid, &self.unionid]),
            [""; 0]
        );
    }
}

#[tokio::test]
async fn a_person_is_looked_up_by_openid_and_can_be_erased_after_a_first_login_that_is_cut_off_at_any_step()
 {
    let office = office(TestBed::builder().envs(&[ONE_THREAD])).await;
    let login = office.log_in("lin").await.expect_login();
    let lin = Somebody::named(&office, "lin").await;
    let user = login.member("user_id");
    let shown = office.show(&user).await;
    let found = office.operate("GET", &lin.path()).await;
    assert_eq!(
        (found.status, found.header("cache-control")),
        (200, "no-store"),
        "{found:?}"
    );
    let expected = json!({
        "user_id": user, "unionid": lin.unionid, "bound_at": shown["wechat"][0]["bound_at"],
        "blocked": false, "last_login": shown["last_login"],
    });
    assert_eq!(found.json(), expected);
    office.done("PUT", &format!("/users/{user}/block")).await;
    assert_eq!(
        office.operate("GET", &lin.path()).await.json()["blocked"],
        true
    );
    office
        .done("DELETE", &format!("/users/{user}/wechat/{APPID}"))
        .await;
    office
        .log_in("lin")
        .await
        .expect_problem(403, "user_blocked");

    for wrong in [path_in(APPID, "a%20b"), path_in("w%20x", &lin.openid)] {
        office
            .operate("GET", &wrong)
            .await
            .expect_problem(400, "invalid_request");
        office
            .operate("DELETE", &wrong)
            .await
            .expect_problem(400, "invalid_request");
    }
    let other_method = office
        .operate("PUT", &lin.path())
        .await
        .expect_problem(405, "invalid_request");
    assert_eq!(other_method.header("allow"), "GET, HEAD, DELETE");
    office.done("DELETE", &lin.path()).await;
    until("the last audit event", BUSY, async || {
        office
            .audited()
            .iter()
            .any(|act| act[0] == "erase_person" && act[3] == "ok")
    })
    .await;

    // A login that dies between any two steps leaves nothing that an erasure does not find, or that does not expire.
    let (link, mut number, mut cut) = (office.redis_link(), 0, true);
    while cut {
        number += 1;
        let name = format!("newcomer-{number}");
        let code = office.mint_code(&name).await;
        link.withhold_from(number);
        let login = office.login(&code).await;
        cut = link.is_withholding();
        link.restore().await;
        let newcomer = Somebody::named(&office, &name).await;
        assert!(cut || login.status == 200, "{number}: {login:?}");
        until("the erasure is answered", BUSY, async || {
            office.operate("DELETE", &newcomer.path()).await.status == 204
        })
        .await;
        until("logins again", BUSY, async || {
            office.log_in("regular").await.status == 200
        })
        .await;
        newcomer.assert_forgotten(&office);
    }
    assert!(number > 4, "a first login has more steps than {number}");
}

#[tokio::test]
async fn a_revocation_by_openid_is_of_this_app_and_who_is_erased_there_stays_who_they_are_in_the_other()
 {
    let office = office(TestBed::builder().two_apps()).await;
    let [here, there] = [APPID, OTHER_APPID];
    let log_in = async |app: &str| office.log_in_at(app, "lin", json!({})).await.expect_login();
    let other = log_in(there).await;
    let keys = || {
        office
            .redis
            .command::<Vec<String>>(&["KEYS", "wxmint:*:session"])
    };
    let of_other = keys();
    let ended = log_in(here).await;
    let lin = Somebody::named(&office, "lin").await;
    office.done("POST", &format!("{}/revoke", lin.path())).await;
    assert!(
        !office.accepts(&ended).await && office.accepts(&other).await,
        "of this very second too"
    );
    assert_eq!(keys(), of_other, "the session key of the other app alone");
    office
        .service()
        .unbind(&ended.member("access_token"))
        .await
        .expect_problem(401, "invalid_token");
    assert_eq!(
        office.operate("GET", &lin.path()).await.member("user_id"),
        ended.member("user_id"),
        "still bound"
    );

    // Another app of the owner knows the human still, by the unionid.
    let before = office.for_good(async || log_in(here).await).await;
    office.done("DELETE", &lin.path()).await;
    assert_eq!(kept_for_long(&office, &[&lin.openid]), [""; 0]);
    assert!(!office.accepts(&before).await && office.accepts(&other).await);
    let again = log_in(here).await;
    assert_eq!(
        (again.member("user_id"), &again.json()["new_user"]),
        (other.member("user_id"), &json!(false))
    );

    let elsewhere = office.wechat.account_in(there, "lin").await["openid"]
        .as_str()
        .expect("known")
        .to_owned();
    for path in [lin.path(), path_in(there, &elsewhere)] {
        office.done("DELETE", &path).await;
    }
    lin.assert_forgotten(&office);
    assert_eq!(kept_for_long(&office, &[&elsewhere]), [""; 0]);
    let anew = log_in(there).await;
    assert_eq!(anew.json()["new_user"], true);
    assert_ne!(anew.member("user_id"), other.member("user_id"));
}

/// Soon the person may be another user's.
#[tokio::test]
async fn the_audit_names_the_user_whom_a_person_had() {
    let office = office(TestBed::builder()).await;
    let user = office.log_in("lin").await.expect_login().member("user_id");
    let path = Somebody::named(&office, "lin").await.path();
    office.done("POST", &format!("{path}/revoke")).await;
    office.done("DELETE", &path).await;
    for code in ["end", "forget", "end_person", "erase_person"] {
        let has_code = |event: &Value| event["metadata"]["event_code"] == code;
        let event = eventually(code, BUSY, async || {
            office.service().events().into_iter().find(has_code)
        })
        .await;
        let uid = if event["user"].is_null() {
            &event["resources"][0]["uid"]
        } else {
            &event["user"]["uid"]
        };
        assert_eq!(uid, &user, "{event}");
    }
}

/// Somebody with a past: two users left, one who did not take them, wrong passwords, limits of days, a ticket, and a
/// unionid from before the app was moved to another Open Platform account, and the one of now.
async fn with_a_past(bed: &TestBed) -> ([Somebody; 2], String) {
    bed.log_in_with("mei", password_of("carol"))
        .await
        .expect_login();
    let first = bed
        .log_in_with("lin", password_of("alice"))
        .await
        .expect_login();
    bed.dissolve(&first).await;
    let second = bed
        .for_good(async || bed.log_in_with("lin", password_of("bob")).await)
        .await;
    for name in ["alice", "nobody"] {
        bed.log_in_with("lin", wrong_password_of(name))
            .await
            .expect_problem(403, "invalid_credentials");
    }
    bed.dissolve(&second).await;
    bed.log_in_with("lin", password_of("carol"))
        .await
        .expect_problem(409, "already_bound");
    let ticket = bed
        .log_in("lin")
        .await
        .expect_problem(403, "binding_required")
        .member("bind_ticket");
    bed.for_good(async || bed.log_in_with("lin", password_of("alice")).await)
        .await;
    let before = Somebody::named(bed, "lin").await;
    bed.wechat
        .change_app(json!({"appid": APPID, "platform": "another"}))
        .await;
    bed.log_in("lin").await.expect_login();
    ([before, Somebody::named(bed, "lin").await], ticket)
}

#[tokio::test]
async fn nothing_names_an_erased_person_however_much_they_have_left_behind() {
    let limits = [
        ("WXMINT_LIMIT_OPENID", "100/2d"),
        ("WXMINT_LIMIT_USERNAME", "100/2d"),
    ];
    let office = office(
        TestBed::builder()
            .users(&["alice", "bob", "carol"])
            .envs(&limits),
    )
    .await;
    let (before_and_now, ticket) = with_a_past(&office).await;
    let [before, lin] = &before_and_now;
    let long = kept_for_long(&office, &[&lin.openid, &before.unionid, &lin.unionid]);
    assert!(
        before.unionid != lin.unionid && long.len() >= 9,
        "a past: {long:?}"
    );
    office.done("DELETE", &lin.path()).await;
    for lin in &before_and_now {
        lin.assert_forgotten(&office);
    }
    assert_eq!(
        office.show("id-of-carol").await["wechat"]
            .as_array()
            .map(Vec::len),
        Some(1),
        "mei stays"
    );
    let mei = Somebody::named(&office, "mei").await;
    assert!(
        !kept_for_long(&office, &[&mei.openid]).is_empty(),
        "mei stays"
    );

    // The ticket was given to a login that was in progress: it binds by its password, as a new code would.
    let mut redeemed = password_of("bob");
    redeemed["bind_ticket"] = ticket.into();
    assert_eq!(
        office
            .service()
            .log_in_with(&redeemed)
            .await
            .expect_login()
            .member("user_id"),
        "id-of-bob"
    );
    office.done("DELETE", &lin.path()).await;
    for lin in &before_and_now {
        lin.assert_forgotten(&office);
    }
    office
        .log_in("lin")
        .await
        .expect_problem(403, "binding_required");
    let back = office
        .log_in_with("lin", password_of("alice"))
        .await
        .expect_login();
    assert_eq!(
        (back.member("user_id"), &back.json()["new_user"]),
        ("id-of-alice".into(), &json!(false))
    );
}
