//! Redis fails during load, and nothing that was answered is lost.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    BUSY, Load, PATIENCE, Recorded, RedisServer, Service, TestBed, eventually, repository, said, until, user_ids,
    wxmint,
};

const SERVED: usize = 50;
/// The deadline of 1 s for the store.
const FAST: Duration = BUSY.saturating_add(Duration::from_secs(1));
const BACK_WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));

/// Spoils Redis during load, mends it, and holds the service to what it promises meanwhile and afterwards.
async fn rides_out(mut bed: TestBed, spoil: impl AsyncFnOnce(&mut TestBed), mend: impl AsyncFnOnce(&mut TestBed)) {
    let load = Load::start(&bed).await;
    load.in_full_service(SERVED, Instant::now(), PATIENCE).await;

    spoil(&mut bed).await;
    let spoiled = Instant::now();
    until("answers meanwhile", PATIENCE, async || {
        keys_are_published(bed.service()).await;
        sent_after(&load.answers(), spoiled).count() >= SERVED
    })
    .await;
    let mending = Instant::now();
    mend(&mut bed).await;
    let mended = Instant::now();
    load.in_full_service(SERVED, mended, PATIENCE).await;

    let record = load.stop().await;
    for Recorded { answer, .. } in &record {
        let (answered, answer) = (answer.sent + answer.took, answer.clone());
        if answer.sent > spoiled && answered < mending {
            assert!(answer.took < FAST, "{answer:?}");
            assert!(answer.expect_problem(503, "store_unavailable").header("retry-after") >= "1");
        } else if answered < spoiled || answer.sent > mended + BACK_WITHIN || answer.status == 200 {
            answer.expect_login();
        } else {
            answer.expect_problem(503, "store_unavailable");
        }
    }
    no_binding_is_lost(&bed, &record).await;
}

fn sent_after(record: &[Recorded], when: Instant) -> impl Iterator<Item = &Recorded> {
    record.iter().filter(move |recorded| recorded.answer.sent > when)
}

async fn keys_are_published(service: &Service) {
    let jwks = service.get("/.well-known/jwks.json").await;
    assert_eq!(jwks.status, 200);
    assert!(jwks.took < BUSY, "{jwks:?}");
}

async fn no_binding_is_lost(bed: &TestBed, record: &[Recorded]) {
    let ids = user_ids(record);
    assert!(ids.len() > 1, "the load had people");
    for (person, id) in ids {
        let again = bed.log_in(&person).await.expect_login();
        assert_eq!((again.member("user_id"), &again.json()["new_user"]), (id, &false.into()), "{person}");
    }
}

#[tokio::test]
async fn redis_is_killed_and_restarted_under_load() {
    let bed = TestBed::builder().redis_options(&["--appendonly", "yes", "--appendfsync", "always"]).start().await;
    rides_out(bed, async |bed| bed.redis.kill(), async |bed| bed.redis.start_again().await).await;
}

#[tokio::test]
async fn redis_becomes_a_replica_under_load_and_a_primary_again() {
    let bed = TestBed::start().await;
    let replica_of = async |bed: &mut TestBed, host, port| bed.redis.command::<()>(&["REPLICAOF", host, port]);
    rides_out(bed, async |bed| replica_of(bed, "127.0.0.1", "1").await, async |bed| replica_of(bed, "NO", "ONE").await)
        .await;
}

#[tokio::test]
async fn the_password_of_redis_is_changed_under_load_and_changed_back() {
    let bed = TestBed::builder().redis_password("first").start().await;
    rides_out(bed, async |bed| bed.redis.change_password("second"), async |bed| bed.redis.change_password("first"))
        .await;
}

#[tokio::test]
async fn redis_is_frozen_under_load_and_thawed() {
    let bed = TestBed::start().await;
    rides_out(bed, async |bed| bed.redis.freeze(), async |bed| bed.redis.thaw()).await;
}

/// A failover as a name in front of Redis shows it: who is connected stays with the old primary, which takes no writes
/// any more, and a new connection reaches the new one.
#[tokio::test]
#[ignore = "slow; make nightly runs it"]
async fn another_redis_takes_over_under_load_while_connections_to_the_old_one_stay_open() {
    let bed = TestBed::builder().breakable_redis().start().await;
    let successor = RedisServer::start(&[], "").await;
    successor.command::<()>(&["REPLICAOF", "127.0.0.1", &bed.redis.port().to_string()]);
    until("replication", PATIENCE, async || {
        let info: String = successor.command(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    })
    .await;
    let load = Load::start(&bed).await;
    load.in_full_service(SERVED, Instant::now(), PATIENCE).await;

    bed.redis_link().lead_to(([127, 0, 0, 1], successor.port()).into());
    successor.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    bed.redis.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    let taken_over = Instant::now();
    load.in_full_service(SERVED, taken_over, BACK_WITHIN).await;

    let record = load.stop().await;
    for answer in record.iter().map(|recorded| recorded.answer.clone()).filter(|answer| answer.status != 200) {
        answer.expect_problem(503, "store_unavailable");
    }
    no_binding_is_lost(&bed, &record).await;
}

#[tokio::test]
async fn a_service_that_starts_before_redis_publishes_its_keys_and_becomes_ready_by_itself() {
    let bed = TestBed::builder().breakable_redis().start().await;
    bed.redis_link().cut().await;
    let early = Service::start(&bed.configuration, bed.http.clone()).await;
    let check = || {
        let asked = ["ready", &format!("http://{}/readyz", early.admin)];
        let checked = bed.configuration.command_of(&asked).output().expect("wxmint starts");
        (checked.status.code(), String::from_utf8(checked.stderr).expect("text"))
    };
    let (code, said) = check();
    assert!(code == Some(1) && said.starts_with("wxmint: not ready: 503 Service Unavailable, "), "{said}");
    assert_eq!(early.readyz().await.status, 503);
    assert_eq!(early.admin("/livez").await.status, 200);
    keys_are_published(&early).await;
    early.login(&bed.mint_code("lin").await).await.expect_problem(503, "store_unavailable");
    bed.redis_link().restore().await;
    early.ready().await;
    assert_eq!(check(), (Some(0), String::new()));
    early.login(&bed.mint_code("lin").await).await.expect_login();
}

#[test]
fn whoever_answers_a_health_check_cannot_steer_the_terminal_and_http_needs_no_certificates() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let asked = format!("http://{}/readyz", server.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a request");
        _ = stream.read(&mut [0; 1024]);
        let text = format!("\x1b]0;owned\x07\nwxmint: \u{9b}31mfine{}", "A".repeat(60_000));
        _ = write!(stream, "HTTP/1.1 503 No\r\nContent-Length: {}\r\n\r\n{text}", text.len());
    });
    let mut command = wxmint();
    command.args(["ready", &asked]).env("SSL_CERT_FILE", "/nowhere").env("SSL_CERT_DIR", "/nowhere");
    let told = said(&command.output().expect("wxmint starts"));
    assert!(told.starts_with("wxmint: not ready: 503 Service Unavailable,  ]0;owned  wxmint:  31mfineAAA"), "{told}");
    assert!(told.len() < 1200, "{}", told.len());
}

#[tokio::test]
async fn under_a_policy_that_evicts_bindings_the_service_says_what_to_do_and_waits_for_it() {
    let bed = TestBed::builder().redis_options(&["--maxmemory-policy", "allkeys-lru"]).not_ready().start().await;
    let refusal = eventually("a reason", PATIENCE, async || {
        let answer = bed.service().readyz().await;
        assert_eq!(answer.status, 503);
        answer.body.contains("allkeys-lru").then_some(answer)
    })
    .await;
    assert!(refusal.body.contains("CONFIG SET maxmemory-policy noeviction"), "{refusal:?}");
    bed.redis.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    bed.service().ready().await;
}

/// The lines of its log so far that hold `sentence`.
fn told(service: &Service, sentence: &str) -> Vec<Value> {
    service.events().into_iter().filter(|event| event.to_string().contains(sentence)).collect()
}

/// The first of them, once it has been read.
async fn is_told(service: &Service, sentence: &str) -> Value {
    eventually(sentence, PATIENCE, async || told(service, sentence).into_iter().next()).await
}

#[tokio::test]
async fn the_log_says_where_redis_was_away_and_why_without_a_line_for_each_login_and_when_it_is_back() {
    let bed = TestBed::builder().redis_password("hunter2").breakable_redis().start().await;
    bed.redis_link().cut().await;
    for _ in 0..300 {
        bed.log_in("lin").await.expect_problem(503, "store_unavailable");
    }
    assert!(told(bed.service(), "Redis can be used again").is_empty());
    bed.redis_link().restore().await;
    let back = eventually("it says so", PATIENCE, async || {
        bed.log_in("lin").await;
        told(bed.service(), "Redis can be used again").pop()
    })
    .await;

    let address = bed.redis_link().address().to_string();
    let away = told(bed.service(), "Redis cannot be used");
    assert!((1..=3).contains(&away.len()), "said again every 30 s: {away:?}");
    assert_eq!((&away[0]["redis"], &back["redis"]), (&json!(address), &json!(address)));
    assert!(away[0]["reason"].as_str().is_some_and(|why| why.contains("Connection refused")), "{away:?}");
    let failed = told(bed.service(), "a request failed");
    assert!((1..200).contains(&failed.len()), "{} lines for 300 logins", failed.len());
    assert!(failed[0]["cause"].as_str().is_some_and(|cause| cause.contains(&address)), "{failed:?}");
    assert!(!bed.service().log().contains("hunter2"));
}

#[tokio::test]
async fn a_database_or_a_password_that_redis_refuses_is_said_with_its_address() {
    let mut bed = TestBed::builder().redis_password("hunter2").start().await;
    let (url, address) = (bed.redis.url(), format!("Redis at 127.0.0.1:{}: ", bed.redis.port()));
    for (url, reason) in [
        (format!("{url}/99"), "it refuses database 99: DB index is out of range"),
        (url.replace("hunter2", "hunter3"), "it refuses the user name or the password"),
        (url.replace(":hunter2@", ""), "it answered NOAUTH: it wants a password"),
        ("redis://127.0.0.1:1".into(), "Redis at 127.0.0.1:1: Connection refused"),
    ] {
        bed.configuration.set("WXMINT_REDIS_URL", &url);
        let service = Service::start(&bed.configuration, bed.http.clone()).await;
        until(reason, PATIENCE, async || service.readyz().await.body.contains(reason)).await;
        let said = eventually("it is told", PATIENCE, async || {
            told(&service, "not ready").into_iter().find(|event| event.to_string().contains(reason))
        })
        .await["reason"]
            .to_string();
        assert!(said.contains(&address) || url.ends_with(":1"), "{said}");
        assert!(!service.log().contains("hunter"), "{}", service.log());
    }
}

#[tokio::test]
async fn a_redis_that_writes_nothing_to_disk_is_warned_about_and_the_service_is_ready() {
    let mut bed = TestBed::start().await;
    assert_eq!(bed.service().readyz().await.body, "ok\n");
    bed.redis.command::<()>(&["CONFIG", "SET", "save", ""]);
    bed.redis.command::<()>(&["ACL", "SETUSER", "ruled", "on", ">hunter2", "~*", "+@all", "-config"]);
    let address = bed.redis.url().replace("redis://", "");
    let warning = format!("Redis at {address} writes nothing to disk: when it restarts, every binding is lost");
    let warned = Service::start(&bed.configuration, bed.http.clone()).await;
    warned.ready().await;
    assert!(warned.readyz().await.body.starts_with(&format!("ok\nwarning: {warning}")));
    assert_eq!(is_told(&warned, &warning).await["level"], "WARN");

    bed.configuration.set("WXMINT_REDIS_URL", &bed.redis.url().replace("redis://", "redis://ruled:hunter2@"));
    let untold = Service::start(&bed.configuration, bed.http.clone()).await;
    untold.ready().await;
    assert_eq!(untold.readyz().await.body, "ok\n", "a Redis that refuses CONFIG may be a managed one");
}

#[tokio::test]
async fn the_rights_that_the_page_names_are_enough() {
    let mut bed = TestBed::start().await;
    let page = fs::read_to_string(repository("docs/redis.md")).expect("docs/redis.md");
    let rule = page.lines().find(|line| line.starts_with("ACL SETUSER wxmint")).expect("a rule");
    bed.redis.command::<()>(&rule.replace(">PASSWORD", ">hunter2").split(' ').collect::<Vec<_>>());
    bed.redis.command::<()>(&["SCRIPT", "FLUSH"]);
    let url = bed.redis.url().replace("redis://", "redis://wxmint:hunter2@");
    bed.configuration.set("WXMINT_REDIS_URL", &url);
    let service = Service::start(&bed.configuration, bed.http.clone()).await;
    service.ready().await;
    service.login(&bed.mint_code("lin").await).await.expect_login();
    let token = service.login(&bed.mint_code("lin").await).await.expect_login().member("access_token");
    assert_eq!(service.unbind(&token).await.status, 204);
    service.login(&bed.mint_code("lin").await).await.expect_login();
}

#[tokio::test]
async fn a_binding_that_no_replica_confirms_is_answered_to_no_login_and_those_who_are_bound_log_in() {
    let bed = TestBed::start().await;
    let known = bed.log_in("lin").await.expect_login().member("user_id");
    let replica = RedisServer::replica_of(&bed.redis).await;
    replica.freeze();
    bed.log_in("mei").await.expect_problem(503, "store_unavailable");
    bed.log_in("mei").await.expect_problem(503, "store_unavailable");
    assert_eq!(bed.log_in("lin").await.expect_login().member("user_id"), known);
    replica.thaw();
    let bound = eventually("confirmed", PATIENCE, async || {
        let answer = bed.log_in("mei").await;
        (answer.status == 200).then_some(answer.member("user_id"))
    });
    assert_eq!(bed.log_in("mei").await.expect_login().member("user_id"), bound.await);
}
