//! Tests with one server.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use redis::Value;
use wxmint_redis_link::{Call, Confirm, Observer, RedisClient, RedisUrl, Script};

use super::support::{
    Breakable, FAST, PATIENCE, RedisServer, access, eventually, is_there, link_with, set, until,
    write,
};

static TWICE: LazyLock<Script> = LazyLock::new(|| Script::new("return ARGV[1] * 2"));

async fn server() -> (RedisServer, Rc<RedisClient>) {
    let server = RedisServer::start(&[], "").await;
    let link = link_with(&server.url(), Confirm::Replicas(0));
    (server, link)
}

#[tokio::test(flavor = "local")]
async fn what_goes_together_is_answered_in_its_order_and_a_script_that_the_server_does_not_know_is_sent_as_text()
 {
    let (server, link) = server().await;
    assert_eq!(
        link.run::<(u8, u8)>("count", Call::of("INCR", "n").cmd("INCR").arg("n"))
            .await,
        Ok((1, 2))
    );
    let proxy = Breakable::before(([127, 0, 0, 1], server.port()).into()).await;
    let proxied = link_with(&server.url_through(proxy.port()), Confirm::Replicas(0));
    write(&proxied, "connected").await.expect("answered");
    let before = proxy.round_trips();
    let both: Result<(u8, u8), _> = proxied
        .run_both("count", Call::of("INCR", "n"), Call::of("INCR", "n"))
        .await;
    assert_eq!((both, proxy.round_trips() - before), (Ok((3, 4)), 1));

    // A call of `later` is sent together with the next `run_both`.
    link.later(TWICE.on(&["key"]).arg(21));
    link.later(set("later"));
    let both: Result<(Value, u8), _> = link
        .run_both("count", set("a"), Call::of("INCR", "n"))
        .await;
    assert_eq!(
        (both, is_there(&link, "later").await),
        (Ok((Value::Okay, 5)), Ok(true))
    );
    let calls = server.calls();
    assert_eq!(calls.get("eval"), Some(&1), "{calls:?}");
    for _ in 0..2 {
        server.command::<()>(&["SCRIPT", "FLUSH"]);
        assert_eq!(
            link.run("twice", TWICE.on(&["key"]).arg(21).cmd("GET").arg("key"))
                .await,
            Ok((42, None::<String>))
        );
    }
}

/// Checks that calls fail within the deadline while the server is spoiled, and succeed after
/// `mend`.
async fn comes_back(link: &RedisClient, mend: impl AsyncFnOnce()) -> String {
    let began = Instant::now();
    let error = write(link, "a").await.expect_err("the server is spoiled");
    assert!(began.elapsed() < FAST, "{:?}", began.elapsed());
    mend().await;
    until("answered", PATIENCE, async || {
        write(link, "a").await.is_ok()
    })
    .await;
    error.to_string()
}

#[tokio::test(flavor = "local")]
async fn a_server_that_is_killed_frozen_or_cut_off_fails_calls_within_their_deadline_until_it_is_back()
 {
    let (mut server, link) = server().await;
    write(&link, "a").await.expect("answered");
    server.kill();
    let refused = comes_back(&link, async || server.start_again().await).await;
    assert!(
        refused.contains(&format!(
            "Redis at 127.0.0.1:{}: Connection refused",
            server.port()
        )),
        "{refused}"
    );
    server.freeze();
    let late = comes_back(&link, async || server.thaw()).await;
    assert!(late.contains("no answer"), "{late}");
    server.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    comes_back(&link, async || {
        server.command::<()>(&["REPLICAOF", "NO", "ONE"]);
    })
    .await;
    let proxy = Breakable::before(([127, 0, 0, 1], server.port()).into()).await;
    let link = link_with(&server.url_through(proxy.port()), Confirm::Replicas(0));
    write(&link, "a").await.expect("answered");
    proxy.hang_up().await;
    write(&link, "a")
        .await
        .expect("a broken connection costs no call");
    proxy.lose_answer(1);
    write(&link, "a")
        .await
        .expect("a lost answer costs no call");
    proxy.stall().await;
    comes_back(&link, async || proxy.restore().await).await;
}

/// A failover behind a name: existing connections stay with the old primary, which accepts no more
/// writes, and new connections reach the new primary.
#[tokio::test(flavor = "local")]
async fn a_connection_to_a_server_that_has_become_a_replica_is_left_for_one_to_its_successor() {
    let (old, successor) = (
        RedisServer::start(&[], "").await,
        RedisServer::start(&[], "").await,
    );
    let proxy = Breakable::before(([127, 0, 0, 1], old.port()).into()).await;
    let link = link_with(&old.url_through(proxy.port()), Confirm::Replicas(0));
    write(&link, "a").await.expect("answered");
    proxy.lead_to(([127, 0, 0, 1], successor.port()).into());
    old.command::<()>(&["REPLICAOF", "127.0.0.1", "1"]);
    write(&link, "b").await.expect("answered by the successor");
    assert_eq!(successor.command::<Vec<String>>(&["KEYS", "*"]), ["b"]);
}

#[tokio::test(flavor = "local")]
async fn another_url_is_in_use_at_the_next_call_and_one_that_fails_changes_nothing() {
    let (first, second) = (
        RedisServer::start(&[], "first").await,
        RedisServer::start(&[], "second").await,
    );
    let access = access(&first.url(), Confirm::Replicas(0));
    let link = RedisClient::new(&access, ());
    write(&link, "a").await.expect("answered");
    for (url, reason) in [
        (
            second.url().replace("second", "third"),
            "it refuses the user name or the password",
        ),
        (
            second.url().replace(":second@", ""),
            "it answered NOAUTH: it wants a password",
        ),
        (
            format!("{}/99", second.url()),
            "it refuses database 99: DB index is out of range",
        ),
        ("redis://127.0.0.1:1".to_owned(), "Connection refused"),
    ] {
        let refused = access
            .by(url.parse().expect("a URL"))
            .try_out()
            .await
            .expect_err(&url);
        assert!(
            refused.found.contains(reason) && !refused.found.contains("second"),
            "{refused}"
        );
    }
    write(&link, "b").await.expect("answered by the first");
    let url: RedisUrl = second.url().parse().expect("a URL");
    access
        .by(url.clone())
        .try_out()
        .await
        .expect("a URL that serves");
    access.replace(url);
    write(&link, "c").await.expect("answered by the second");
    let keys = |server: &RedisServer| server.command::<Vec<String>>(&["KEYS", "*"]).len();
    assert_eq!((keys(&first), keys(&second)), (2, 1));
    first.freeze();
    write(&link, "d").await.expect("nobody needs the first");
}

#[tokio::test(flavor = "local")]
async fn a_password_that_is_refused_is_tried_again() {
    let mut server = RedisServer::start(&[], "first").await;
    let link = link_with(&server.url(), Confirm::Replicas(0));
    write(&link, "a").await.expect("answered");
    server.change_password("second");
    let reason = eventually("refused", PATIENCE, async || write(&link, "a").await.err()).await;
    assert!(
        reason
            .found
            .contains("it refuses the user name or the password"),
        "{reason}"
    );
    server.change_password("first");
    until("answered", PATIENCE, async || {
        write(&link, "a").await.is_ok()
    })
    .await;
}

/// Records the calls that the observer was told of: the name, and whether the call was answered.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<(&'static str, bool)>>>);

impl Observer for Told {
    fn call_ended(&self, call: &'static str, answered: bool, took: Duration) {
        assert!(took > Duration::ZERO);
        self.0.borrow_mut().push((call, answered));
    }
}

#[tokio::test(flavor = "local")]
async fn the_observer_is_told_of_each_call_and_whether_it_was_answered() {
    let (mut server, _) = server().await;
    let told = Told::default();
    let link = RedisClient::new(&access(&server.url(), Confirm::Replicas(0)), told.clone());
    link.run::<()>("first", set("a")).await.expect("answered");
    let wrong = link
        .run::<u8>("wrong", Call::of("LLEN", "a"))
        .await
        .expect_err("it is no list");
    assert!(
        wrong
            .found
            .starts_with(&format!("Redis at 127.0.0.1:{}: ", server.port())),
        "{wrong}"
    );
    server.kill();
    link.run::<()>("lost", set("a"))
        .await
        .expect_err("nobody answers");
    let each = ["first", "wrong", "lost"].map(|call| (call, call == "first"));
    assert_eq!(*told.0.borrow(), each);
}
