//! What every store must do, whatever it is made of. Run against both by `cargo test`; the Redis part wants
//! `redis-server` on the PATH.
#![cfg(test)]

use std::{rc::Rc, time::Duration};

use super::*;
use crate::wechat::SessionKey;

fn claim_id(byte: u8) -> ClaimId {
    ClaimId::new([byte; 16])
}

fn app() -> AppId {
    "wx0123456789abcdef".parse().expect("an app")
}

fn code(text: &str) -> LoginCode {
    text.parse().expect("a code")
}

fn person(openid: &str) -> Person {
    Person { app: app(), openid: openid.parse().expect("an openid") }
}

fn user(name: &str) -> Option<UserId> {
    Some(name.parse().expect("a user id"))
}

fn sealed(text: &str) -> Sealed {
    Sealed::from_stored(text.as_bytes().to_vec())
}

fn record(openid: &str, order: &ExchangeOrder, key: &str, candidate: &str) -> LoginRecord {
    LoginRecord {
        person: person(openid),
        unionid: None,
        session_key: sealed(key),
        order: order.clone(),
        user_if_unbound: user(candidate),
    }
}

fn granted(claim: Claim) -> ExchangeOrder {
    let Claim::Granted(order) = claim else { panic!("granted") };
    order
}

/// The places of exchanges that began now, one after another, within one microsecond where `micros` says so.
async fn orders(store: &dyn Store, micros: [u64; 3]) -> [ExchangeOrder; 3] {
    let now = granted(store.claim_code(&app(), &code("for the clock"), &claim_id(0)).await.expect("claimed")).micros();
    let mut claim = 0;
    micros.map(|offset| {
        claim += 1;
        ExchangeOrder::new(now + offset, &claim_id(claim))
    })
}

async fn a_code_is_claimed_once(store: Rc<dyn Store>) {
    let claim = |byte| {
        let store = Rc::clone(&store);
        async move { store.claim_code(&app(), &code("a code"), &claim_id(byte)).await.expect("an answer") }
    };
    granted(claim(1).await);
    assert_eq!(claim(2).await, Claim::Taken);
    granted(claim(1).await);
    let other_app = "wxother".parse().expect("an app");
    granted(store.claim_code(&other_app, &code("a code"), &claim_id(2)).await.expect("another app's code"));
}

async fn a_later_claim_has_a_later_place(store: Rc<dyn Store>) {
    let mut last = None;
    for byte in 0..50 {
        let text = format!("code {byte}");
        let order = granted(store.claim_code(&app(), &code(&text), &claim_id(200 - byte)).await.expect("claimed"));
        assert!(last.as_ref().is_none_or(|last| *last < order), "{last:?} before {order:?}");
        last = Some(order);
    }
}

async fn only_its_claimant_gives_a_code_back(store: Rc<dyn Store>) {
    granted(store.claim_code(&app(), &code("returned"), &claim_id(1)).await.expect("claimed"));
    store.release_code(&app(), &code("returned"), &claim_id(2)).await.expect("ignored");
    assert_eq!(store.claim_code(&app(), &code("returned"), &claim_id(2)).await, Ok(Claim::Taken));
    store.release_code(&app(), &code("returned"), &claim_id(1)).await.expect("released");
    granted(store.claim_code(&app(), &code("returned"), &claim_id(2)).await.expect("claimed"));
}

async fn the_first_login_binds_and_no_later_one_rebinds(store: Rc<dyn Store>) {
    let [first, second, _] = orders(&*store, [0, 1, 2]).await;
    let login = record("o1", &first, "k1", "user-1");
    let bound = Some(Binding { user: user("user-1").expect("a user"), new: true });
    assert_eq!(store.record_login(&login).await, Ok(bound.clone()));
    assert_eq!(store.record_login(&login).await, Ok(bound), "a repetition answers the same");
    let later = store.record_login(&record("o1", &second, "k2", "user-2")).await.expect("recorded");
    assert_eq!(later, Some(Binding { user: user("user-1").expect("a user"), new: false }));
    let stranger = store.record_login(&record("o2", &second, "k2", "user-2")).await.expect("recorded");
    assert!(stranger.is_some_and(|binding| binding.new), "another openid is another person");
}

async fn without_a_candidate_nobody_is_bound(store: Rc<dyn Store>) {
    let [order, ..] = orders(&*store, [0, 1, 2]).await;
    let login = LoginRecord { user_if_unbound: None, ..record("unbound", &order, "k", "user") };
    assert_eq!(store.record_login(&login).await, Ok(None));
    assert_eq!(store.session_keys(&login.person).await.expect("kept").expect("a key").current, sealed("k"));
}

/// Every order of arrival of three exchanges ends with the same two keys, a microsecond apart or none.
async fn a_later_exchange_never_loses(store: Rc<dyn Store>) {
    let arrivals = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for (round, micros) in [[0, 1, 2], [5, 5, 5]].into_iter().enumerate() {
        let orders = orders(&*store, micros).await;
        for arrival in arrivals {
            let openid = format!("o-{round}-{}{}{}", arrival[0], arrival[1], arrival[2]);
            for exchange in arrival {
                let login = record(&openid, &orders[exchange], &format!("key {exchange}"), "user");
                store.record_login(&login).await.expect("recorded");
                store.record_login(&login).await.expect("repeated");
            }
            let kept = store.session_keys(&person(&openid)).await.expect("an answer").expect("keys");
            assert_eq!(kept.current, sealed("key 2"), "arrival {arrival:?}");
            assert_eq!(kept.previous, Some(sealed("key 1")), "arrival {arrival:?}");
        }
    }
}

async fn a_replaced_key_is_kept_ten_minutes(store: Rc<dyn Store>) {
    let [now, _, _] = orders(&*store, [0, 0, 0]).await;
    let ago = |seconds: u64| ExchangeOrder::new(now.micros() - seconds * 1_000_000, &claim_id(9));
    for (openid, replaced, kept) in [("recent", 595, true), ("long-ago", 605, false)] {
        store.record_login(&record(openid, &ago(900), "old", "user")).await.expect("recorded");
        store.record_login(&record(openid, &ago(replaced), "new", "user")).await.expect("recorded");
        let keys = store.session_keys(&person(openid)).await.expect("an answer").expect("keys");
        assert_eq!((keys.current, keys.previous.is_some()), (sealed("new"), kept), "{openid}");
    }
}

async fn a_stranger_has_no_session_key(store: Rc<dyn Store>) {
    assert_eq!(store.session_keys(&person("stranger")).await, Ok(None));
}

async fn is_fit(store: Rc<dyn Store>) {
    assert_eq!(store.fitness().await, Ok(Fitness::Fit));
}

macro_rules! conformance {
    ($($case:ident)*) => {
        mod memory_store {
            $(#[tokio::test]
            async fn $case() {
                super::$case(Rc::new(Memory::new(crate::http::now, super::DAY))).await;
            })*
            use super::*;
        }

        mod redis_store {
            $(#[tokio::test]
            async fn $case() {
                let server = super::redis_server::RedisServer::start().await;
                super::$case(Rc::new(server.store())).await;
            })*
            use super::*;
        }
    };
}

const DAY: Duration = Duration::from_secs(86_400);

conformance! {
    a_code_is_claimed_once
    a_later_claim_has_a_later_place
    only_its_claimant_gives_a_code_back
    the_first_login_binds_and_no_later_one_rebinds
    without_a_candidate_nobody_is_bound
    a_later_exchange_never_loses
    a_replaced_key_is_kept_ten_minutes
    a_stranger_has_no_session_key
    is_fit
}

mod redis_only {
    use super::*;

    #[tokio::test]
    async fn keys_have_the_names_and_lives_of_the_design() {
        let server = redis_server::RedisServer::start().await;
        let store = server.store();
        let [order, ..] = orders(&store, [0, 1, 2]).await;
        store.record_login(&record("o1", &order, "k1", "user-1")).await.expect("recorded");
        let session = "wxmint:{wx0123456789abcdef:o1}:session";
        let binding = "wxmint:{wx0123456789abcdef:o1}:binding";
        assert_eq!(server.cli(&["TTL", session]), "86400");
        assert_eq!(server.cli(&["TTL", binding]), "-1");
        assert_eq!(server.cli(&["HGET", binding, "user_id"]), "user-1");
        let code = server.cli(&["KEYS", "wxmint:code:*"]);
        assert!((590..=600).contains(&server.cli(&["TTL", &code]).parse().expect("seconds")));
        assert!(!code.contains("clock"), "the code itself is not stored");
    }

    #[tokio::test]
    async fn a_policy_that_evicts_bindings_is_unfit_and_says_what_to_do() {
        let server = redis_server::RedisServer::start().await;
        server.cli(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        let Ok(Fitness::Unfit(why)) = server.store().fitness().await else { panic!("unfit") };
        assert!(why.contains("allkeys-lru") && why.contains("CONFIG SET maxmemory-policy noeviction"), "{why}");
    }

    #[tokio::test]
    async fn scripts_survive_a_flush() {
        let server = redis_server::RedisServer::start().await;
        let store = server.store();
        granted(store.claim_code(&app(), &code("before"), &claim_id(1)).await.expect("claimed"));
        server.cli(&["SCRIPT", "FLUSH"]);
        granted(store.claim_code(&app(), &code("after"), &claim_id(1)).await.expect("claimed"));
    }

    #[tokio::test]
    async fn a_sealed_key_of_any_bytes_comes_back_as_it_was() {
        let server = redis_server::RedisServer::start().await;
        let store = server.store();
        let vault = Vault::parse(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a vault");
        let [order, ..] = orders(&store, [0, 1, 2]).await;
        let sealed = vault.seal(&SessionKey::new("HyVFkGl5F5OQWJZZaNzBBg=="), &person("o1")).expect("sealed");
        let login = LoginRecord { session_key: sealed, ..record("o1", &order, "", "user") };
        store.record_login(&login).await.expect("recorded");
        let kept = store.session_keys(&person("o1")).await.expect("an answer").expect("keys");
        assert_eq!(vault.open(&kept.current, &person("o1")).expect("opens").expose(), "HyVFkGl5F5OQWJZZaNzBBg==");
    }
}

/// A real redis-server of the test's own, ended with it.
mod redis_server {
    use std::{
        net::TcpListener,
        process::{Child, Command, Stdio},
    };

    use super::*;
    use crate::telemetry::Metrics;

    pub(super) struct RedisServer {
        child: Child,
        port: u16,
    }

    impl RedisServer {
        pub(super) async fn start() -> Self {
            let port =
                TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
            let child = Command::new("redis-server")
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server is needed: apt-get install redis-server");
            let server = Self { child, port };
            let up = async {
                while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(10), up).await.expect("redis-server listens within 10 s");
            server
        }

        pub(super) fn store(&self) -> Redis {
            let url = format!("redis://127.0.0.1:{}", self.port).parse().expect("a URL");
            Redis::new(&url, DAY, crate::http::now, Metrics::default()).expect("a store")
        }

        pub(super) fn cli(&self, arguments: &[&str]) -> String {
            let port = self.port.to_string();
            let output = Command::new("redis-cli").args(["-p", &port]).args(arguments).output().expect("redis-cli");
            String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
        }
    }

    impl Drop for RedisServer {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
