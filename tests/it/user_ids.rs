//! User ids that are computed: the same after a loss of Redis and in another region, and nobody else's.

mod keys;
mod lost_revocations;
mod regions;
mod sites;
mod unionids;

use crate::operators::keys_that_name;
use crate::support::prelude::*;

/// base64 of 32 bytes.
pub(crate) const ID_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
const KINDS: [&str; 2] = ["openid", "unionid"];

/// Goes on with another way of user ids.
async fn change_to(bed: &mut TestBed, kind: &str) {
    bed.services.clear();
    bed.configuration.set("WXMINT_USER_IDS", kind);
    bed.services.push(bed.another().await);
}

/// A service in two mini programs of one owner, which computes user ids.
fn computed(kind: &str) -> Builder {
    TestBed::builder()
        .two_apps()
        .user_ids(kind, ID_KEY)
        .operator()
}

async fn user_of(bed: &TestBed, app: &str, person: &str) -> String {
    bed.log_in_at(app, person, json!({}))
        .await
        .expect_login()
        .member("user_id")
}

async fn users_of(bed: &TestBed) -> Vec<String> {
    let people = [
        (APPID, "lin"),
        (OTHER_APPID, "lin"),
        (APPID, "mei"),
        (OTHER_APPID, "mei"),
    ];
    let mut users = Vec::new();
    for (app, person) in people {
        users.push(user_of(bed, app, person).await);
    }
    users
}

/// Noted without keeping the login waiting.
async fn people(bed: &TestBed, user: &str, many: usize) -> Value {
    eventually("people on a list", BUSY, async || {
        let found = bed
            .operate("GET", &format!("/users/{user}/wechat"))
            .await
            .json();
        (found["wechat"].as_array().expect("people").len() == many)
            .then_some(found["wechat"].clone())
    })
    .await
}

/// As a business computes it, unless the program refuses to.
pub(crate) fn by_example(program: &[&str], key: &str, names: &[&str]) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("id.key");
    write_private(&file, key);
    let mut command = if program[0] == "go" {
        Command::new(go())
    } else {
        Command::new(program[0])
    };
    command.args(&program[1..program.len() - 1]);
    command
        .arg(repository("examples/user-ids").join(program[program.len() - 1]))
        .arg(&file)
        .args(names);
    let run = command
        .env("GOCACHE", repository("target/go-cache"))
        .output()
        .expect("it runs");
    run.status
        .success()
        .then(|| String::from_utf8_lossy(&run.stdout).trim().to_owned())
}

#[test]
fn programs_of_a_business_compute_the_vectors() {
    let vectors = fs::read(repository("examples/user-ids/vectors.json")).expect("vectors");
    let vectors: Vec<Value> = serde_json::from_slice(&vectors).expect("JSON");
    // The first of each kind, and each half of the file by each program.
    for (program, some) in [
        (&["python3", "user_id.py"][..], &vectors[..]),
        (
            &["java", "-XX:TieredStopAtLevel=1", "UserId.java"],
            &vectors[1..4],
        ),
        (&["go", "run", "user_id.go"], &vectors[2..4]),
    ] {
        for vector in some {
            let names = ["appid", "openid", "unionid"]
                .iter()
                .filter_map(|name| vector[*name].as_str());
            let computed = by_example(
                program,
                vector["id_key"].as_str().expect("a key"),
                &names.collect::<Vec<_>>(),
            );
            assert_eq!(
                vector["user_id"].as_str(),
                computed.as_deref(),
                "{program:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_lost_redis_a_logout_and_an_erasure_change_nobodys_user_id_and_a_missing_unionid_is_refused_if_it_names_the_user()
 {
    for kind in KINDS {
        let bed = computed(kind).start().await;
        let before = users_of(&bed).await;
        let lin = bed.wechat.account("lin").await;
        let [openid, unionid] =
            ["openid", "unionid"].map(|name| lin[name].as_str().expect("a name"));
        let names = if kind == "openid" {
            &[APPID, openid][..]
        } else {
            &[unionid]
        };
        assert_eq!(
            Some(before[0].clone()),
            by_example(&["python3", "user_id.py"], ID_KEY, names)
        );
        let different: BTreeSet<_> = before.iter().collect();
        assert_eq!(
            different.len(),
            if kind == "openid" { 4 } else { 2 },
            "{kind}: {before:?}"
        );
        for _ in 0..3 {
            bed.redis.command::<()>(&["FLUSHALL"]);
            assert_eq!(users_of(&bed).await, before, "{kind}");
        }
        until("the key is told again", BUSY, async || {
            bed.redis
                .command::<Option<String>>(&["GET", "wxmint:id-key"])
                .is_some()
        })
        .await;
        assert_eq!(bed.service().readyz().await.status, 200);

        whoever_leaves_is_the_same_user_again(&bed, kind).await;
        bed.wechat.names_unionids(APPID, false).await;
        for (person, user) in [("lin", &before[0]), ("mei", &before[2])] {
            let without = bed.log_in_at(APPID, person, json!({})).await;
            match kind {
                "openid" => assert_eq!(without.expect_login().member("user_id"), *user),
                _ => assert_eq!(without.expect_problem(403, "unionid_missing").status, 403),
            }
        }
        bed.wechat.names_unionids(APPID, true).await;
        assert_eq!(user_of(&bed, APPID, "lin").await, before[0]);
    }
}

/// And old tokens are void.
async fn whoever_leaves_is_the_same_user_again(bed: &TestBed, kind: &str) {
    let log_in = async || bed.log_in_at(APPID, "wen", json!({})).await.expect_login();
    let user = log_in().await.member("user_id");
    let openid = people(bed, &user, 1).await[0]["openid"]
        .as_str()
        .expect("an openid")
        .to_owned();
    let person = format!("/wechat/{APPID}/people/{openid}");
    for act in ["logout", "unbind", "everywhere", "erase"] {
        let login = bed.for_good(log_in).await;
        assert_eq!(login.member("user_id"), user, "{kind}, before {act}");
        assert_eq!(bed.operate("GET", &person).await.member("user_id"), user);
        match act {
            "logout" => bed.log_out(&login, false).await,
            "erase" => assert_eq!(bed.operate("DELETE", &person).await.status, 204),
            _ => bed.revokes_user(act, "wen", &login, OPERATOR).await,
        }
        assert!(!bed.accepts(&login).await, "{kind}, {act}");
        if act == "unbind" {
            people(bed, &user, 0).await;
        }
    }
    let keys: Vec<String> = bed.redis.command(&["KEYS", &format!("*{openid}*")]);
    assert!(keys.iter().all(|key| key.contains(":limit:")), "{keys:?}");
    assert_eq!(log_in().await.member("user_id"), user);
}

/// Without the index, or after a loss of Redis, no list names them. Where Redis was lost, no session key is left
/// either.
#[tokio::test]
async fn an_operator_dissolves_for_people_whom_no_list_names_and_the_answer_says_what_stays() {
    for (index, act) in [
        ("false", ""),
        ("true", "dissolve"),
        ("true", "end_person"),
        ("true", "unbind"),
    ] {
        let bed = computed("openid")
            .env("WXMINT_USER_INDEX", index)
            .start()
            .await;
        let sidecar = bed.sidecar().ready().await;
        let login = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
        let [token, user] = ["access_token", "user_id"].map(|name| login.member(name));
        assert_eq!(sidecar.verify(&token).await.status, 200);
        let of_user = format!("/users/{user}/wechat/{APPID}");
        if index == "true" {
            bed.redis.command::<()>(&["FLUSHALL"]);
            bed.revokes_user(act, "lin", &login, OPERATOR).await;
        } else {
            let dissolved = bed.operate("DELETE", &of_user).await;
            assert!(
                dissolved.body.contains("tokens of the app are revoked"),
                "{dissolved:?}"
            );
            dissolved.expect_problem(403, "forbidden");
            bed.operate("GET", &format!("{of_user}/encrypt-keys"))
                .await
                .expect_problem(403, "forbidden");
            bed.operate("GET", &format!("/users/{user}/wechat"))
                .await
                .expect_problem(403, "forbidden");
            let (sign, data) = (format!("{of_user}/signature"), json!({"data": "x"}));
            bed.service()
                .operate("POST", &sign, OPERATOR, &data)
                .await
                .expect_problem(403, "forbidden");
            bed.operate("DELETE", &format!("/users/{user}/wechat/wx00"))
                .await
                .expect_problem(400, "unknown_app");
        }
        until("verifiers refuse it", PATIENCE, async || {
            sidecar.verify(&token).await.status == 401
        })
        .await;
        assert!(!bed.accepts(&login).await);
    }
}

#[tokio::test]
async fn nothing_names_the_people_of_a_forgotten_user_whether_a_list_names_them_or_not() {
    for (kind, index) in KINDS
        .into_iter()
        .flat_map(|kind| [(kind, "true"), (kind, "false")])
    {
        let bed = computed(kind).env("WXMINT_USER_INDEX", index).start().await;
        let login = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
        let users_of_lin = BTreeSet::from([
            login.member("user_id"),
            user_of(&bed, OTHER_APPID, "lin").await,
        ]);
        let mei = user_of(&bed, APPID, "mei").await;
        let traces = async |person| {
            let mut keys = Vec::new();
            for app in [APPID, OTHER_APPID] {
                let account = bed.wechat.account_in(app, person).await;
                keys.extend(
                    account["openid"]
                        .as_str()
                        .into_iter()
                        .flat_map(|openid| keys_that_name(&bed, &[openid])),
                );
            }
            keys
        };
        let mut dissolved = 0;
        for user in &users_of_lin {
            if index == "true" {
                people(&bed, user, if kind == "openid" { 1 } else { 2 }).await;
            }
            let told = bed
                .run(&["users", "erase", user, "--yes"])
                .expect_success()
                .said();
            dissolved +=
                told.matches("dissolved: 1 ").count() + 2 * told.matches("dissolved: 2 ").count();
            assert!(
                index == "false" || !told.contains("nothing was known"),
                "{told}"
            );
        }
        assert_eq!(
            (dissolved, traces("lin").await),
            (2, vec![]),
            "{kind}, index {index}"
        );
        assert!(!bed.accepts(&login).await);
        assert!(!traces("mei").await.is_empty(), "somebody else's stay");
        assert_eq!(user_of(&bed, APPID, "mei").await, mei);
        if index == "true" {
            let person = people(&bed, &mei, 1).await[0]["openid"]
                .as_str()
                .expect("an openid")
                .to_owned();
            bed.redis
                .command::<()>(&["DEL", &format!("wxmint:{{{APPID}:{person}}}:session")]);
            bed.run(&["users", "erase", &mei, "--yes"]).expect_success();
            assert_eq!(
                traces("mei").await,
                [""; 0],
                "{kind}: the session had expired"
            );
        }
    }
}

/// The user's list is kept for longer.
#[tokio::test]
async fn an_erased_person_is_named_nowhere_also_if_the_session_has_expired() {
    let bed = computed("openid").start().await;
    let user = user_of(&bed, APPID, "lin").await;
    let openid = people(&bed, &user, 1).await[0]["openid"]
        .as_str()
        .expect("an openid")
        .to_owned();
    assert_eq!(
        bed.redis
            .command::<u64>(&["DEL", &format!("wxmint:{{{APPID}:{openid}}}:session")]),
        1
    );
    assert_eq!(
        bed.operate("DELETE", &format!("/wechat/{APPID}/people/{openid}"))
            .await
            .status,
        204
    );
    people(&bed, &user, 0).await;
    assert_eq!(keys_that_name(&bed, &[&openid]), [""; 0]);
}

#[tokio::test]
async fn a_block_holds_also_for_who_is_not_known_and_outlives_redis_in_a_file() {
    let bed = computed("openid").start().await;
    let login = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    let user = login.member("user_id");
    bed.run(&["users", "block", &user]).expect_success();
    assert!(!bed.accepts(&login).await);
    let refused = async || {
        bed.log_in_at(APPID, "lin", json!({}))
            .await
            .expect_problem(403, "user_blocked")
    };
    refused().await;

    let exported = bed.run(&["users", "export-blocks"]).expect_success().stdout;
    assert_eq!(
        exported.lines().next(),
        Some(&*format!("{{\"user_id\":\"{user}\"}}"))
    );
    let [file, audit] = ["blocks.ndjson", "audit.jsonl"].map(|name| bed.configuration.path(name));
    fs::write(&file, exported).expect("written");
    bed.redis.command::<()>(&["FLUSHALL"]);
    let file = file.to_string_lossy();
    let import = |audit: &Path| {
        let mut command = command_on(&bed.redis.url(), &["users", "import-blocks", &file]);
        Ended::of(
            command.env("WXMINT_AUDIT", format!("file:{}", audit.display())),
            "",
        )
    };
    import(&bed.configuration.path("nowhere/audit.jsonl")).expect_end(64, &["WXMINT_AUDIT"]);
    import(&audit).expect_success();
    refused().await;
    // Redis is restored by these events, as by those of `block`.
    let event: Value =
        serde_json::from_str(&fs::read_to_string(&audit).expect("readable")).expect("one event");
    let noted = [
        &event["class_uid"],
        &event["metadata"]["event_code"],
        &event["user"]["uid"],
        &event["status_id"],
    ];
    assert_eq!(
        noted,
        [&json!(3001), &json!("block"), &json!(user), &json!(1)],
        "{event}"
    );
    assert_eq!(
        bed.redis
            .command::<i64>(&["TTL", &format!("wxmint:user:{{{user}}}")]),
        -1
    );
    bed.run(&["users", "unblock", &user]).expect_success();
    assert_eq!(user_of(&bed, APPID, "lin").await, user);

    fs::write(&*file, "{\"user_id\":\"a b\"}\n").expect("written");
    bed.run(&["users", "import-blocks", &file])
        .expect_end(64, &["line 1"]);
}

#[tokio::test]
async fn bindings_from_before_win_until_they_are_dissolved() {
    for kind in KINDS {
        let mut bed = TestBed::builder()
            .two_apps()
            .user_ids("random", ID_KEY)
            .start()
            .await;
        let lin = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
        change_to(&mut bed, kind).await;
        assert_eq!(
            bed.redis.command::<String>(&["GET", "wxmint:id-key"]),
            format!("{kind} 7121e63a")
        );

        let again = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
        assert_eq!(again.member("user_id"), lin.member("user_id"));
        assert_eq!(
            user_of(&bed, OTHER_APPID, "lin").await == lin.member("user_id"),
            kind == "unionid",
            "{kind}"
        );
        let is_computed = |user: &str| &user[14..15] == "8";
        assert!(is_computed(&user_of(&bed, APPID, "mei").await));
        bed.dissolve(&again).await;
        let [first, second] = [(); 2].map(|()| bed.log_in_at(APPID, "lin", json!({})));
        let (first, second) = (first.await.expect_login(), second.await.expect_login());
        assert_eq!(
            (&first.json()["user_id"], &json!(false)),
            (&second.json()["user_id"], &second.json()["new_user"])
        );
        assert!(
            is_computed(&first.member("user_id")) && bed.accepts(&first).await,
            "{kind}: {first:?}"
        );
    }
}

#[tokio::test]
async fn whoever_was_erased_or_blocked_is_the_user_of_their_other_app_again() {
    let mut bed = TestBed::builder()
        .two_apps()
        .user_ids("random", ID_KEY)
        .operator()
        .start()
        .await;
    let [lin, mei] = [
        user_of(&bed, APPID, "lin").await,
        user_of(&bed, APPID, "mei").await,
    ];
    assert_eq!(user_of(&bed, OTHER_APPID, "lin").await, lin);
    change_to(&mut bed, "unionid").await;
    let account = bed.wechat.account_in(OTHER_APPID, "lin").await;
    let openid = account["openid"].as_str().expect("an openid");
    assert_eq!(
        bed.operate("DELETE", &format!("/wechat/{OTHER_APPID}/people/{openid}"))
            .await
            .status,
        204
    );
    assert_eq!(user_of(&bed, OTHER_APPID, "lin").await, lin);

    bed.run(&["users", "block", &mei]).expect_success();
    let stream = || bed.redis.command::<u64>(&["XLEN", "wxmint:revoked"]);
    let ends = stream();
    for _ in 0..2 {
        bed.log_in_at(OTHER_APPID, "mei", json!({}))
            .await
            .expect_problem(403, "user_blocked");
    }
    assert_eq!(stream(), ends, "a refused login ends nothing");
    bed.run(&["users", "unblock", &mei]).expect_success();
    assert_eq!(user_of(&bed, OTHER_APPID, "mei").await, mei);
}

#[tokio::test]
async fn who_was_told_a_computed_user_stays_that_user_when_one_from_before_turns_out_to_be_the_same_human()
 {
    let mut bed = TestBed::builder()
        .two_apps()
        .user_ids("random", ID_KEY)
        .operator()
        .start()
        .await;
    bed.wechat.names_unionids(APPID, false).await;
    let [lin, mei] = [
        user_of(&bed, APPID, "lin").await,
        user_of(&bed, APPID, "mei").await,
    ];
    change_to(&mut bed, "unionid").await;
    let told = bed
        .log_in_at(OTHER_APPID, "lin", json!({}))
        .await
        .expect_login();
    let computed = user_of(&bed, OTHER_APPID, "mei").await;
    bed.run(&["users", "block", &computed]).expect_success();
    bed.wechat.names_unionids(APPID, true).await;
    for blocked in [&computed, &mei] {
        for app in [APPID, OTHER_APPID, APPID] {
            bed.log_in_at(app, "mei", json!({}))
                .await
                .expect_problem(403, "user_blocked");
        }
        bed.run(&["users", "unblock", blocked]).expect_success();
        for (app, user) in [(APPID, &mei), (OTHER_APPID, &computed)] {
            assert_eq!(user_of(&bed, app, "mei").await, *user);
        }
        bed.run(&["users", "block", &mei]).expect_success();
    }
    assert_eq!(user_of(&bed, APPID, "lin").await, lin);
    for _ in 0..2 {
        assert_eq!(
            user_of(&bed, OTHER_APPID, "lin").await,
            told.member("user_id")
        );
    }
    assert!(bed.accepts(&told).await);
    assert_eq!(
        bed.service().metric("wxmint_unionid_conflicts_total").await,
        2.0
    );
}

/// Twenty logins. One that crosses a second asks for its date besides, by HGET: then twenty others are made.
async fn calls_of_twenty(bed: &TestBed, person: impl Fn(usize) -> String) -> BTreeMap<String, u64> {
    for round in 0..5 {
        let before = bed.redis.calls();
        for number in 0..20 {
            user_of(bed, APPID, &person(20 * round + number)).await;
        }
        let calls = bed.redis.calls_since(&before);
        if !calls.contains_key("hget") {
            return calls;
        }
    }
    panic!("each time a login asked for its date");
}

#[tokio::test]
async fn a_person_takes_few_bytes_and_a_silent_login_few_commands() {
    for (kind, index, most) in [
        ("openid", "true", 460),
        ("unionid", "true", 460),
        ("openid", "false", 330),
    ] {
        let bed = computed(kind).env("WXMINT_USER_INDEX", index).start().await;
        // The simulator gives another session key each time, and two of them are kept.
        user_of(&bed, APPID, "lin").await;
        let user = user_of(&bed, APPID, "lin").await;
        if index == "true" {
            people(&bed, &user, 1).await;
        }
        let keys: Vec<String> = bed.redis.command(&["KEYS", "wxmint:*"]);
        let of_person = |key: &&String| [APPID, "user"].iter().any(|name| key.contains(name));
        let bytes = keys
            .iter()
            .filter(of_person)
            .map(|key| bed.redis.command::<i64>(&["MEMORY", "USAGE", key]));
        let bytes: i64 = bytes.sum();
        assert!(
            (150..=most).contains(&bytes),
            "{kind} {index}: {bytes} of {keys:?}"
        );
        println!("{kind}, index {index}: {bytes} bytes");

        let calls = calls_of_twenty(&bed, |_| "lin".to_owned()).await;
        for unwanted in ["wait", "hset", "info"] {
            assert!(
                calls.get(unwanted).is_none_or(|calls| *calls <= 5),
                "{unwanted}: {calls:?}"
            );
        }
        // The script reads the binding, because logins come one upon the other; nobody else does.
        assert!(
            calls["hgetall"] < 40 && calls["hmget"] == 20 && calls["evalsha"] < 30,
            "{calls:?}"
        );

        // One more script notes the person on the user's list, and nobody waits for it, nor for a replica.
        let calls = calls_of_twenty(&bed, |number| format!("stranger-{number}")).await;
        assert!(
            !calls.contains_key("wait") && calls["hmget"] == 20 && calls["evalsha"] < 50,
            "{calls:?}"
        );
    }
}
