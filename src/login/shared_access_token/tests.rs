//! Against the simulator, with two replicas on one store in memory. The steps of the store have
//! their own suite.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, LazyLock};
use std::thread::{self, JoinHandle};
use std::{cell::Cell, io, time::Instant};

use actix_web::HttpServer;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use wxmint_ids::{OpenId, Phone};
use wxmint_simulator::Kind;
use wxmint_store::{Store, StoreAccess};
use wxmint_upstream::Tls;
use wxmint_wechat::AppSecret;

use super::*;
use crate::login::Unavailable;
use crate::test_limit;

const APPID: &str = "wx0123456789abcdef";
const SECRET: &str = "00112233445566778899aabbccddeeff";
const STABLE_TOKEN: &str = "/cgi-bin/stable_token";
const PHONE_NUMBER: &str = "/wxa/business/getuserphonenumber";

static STARTED: LazyLock<DateTime<Utc>> = LazyLock::new(crate::clock::now);

thread_local! {
    /// How far the store's clock is ahead.
    static AHEAD: Cell<TimeDelta> = const { Cell::new(TimeDelta::zero()) };
}

/// A clock that stands still, so that no pause ends by itself on a busy machine.
fn clock() -> DateTime<Utc> {
    *STARTED + AHEAD.get()
}

/// A running simulator, and the state that two replicas share.
struct Bed {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
    http: reqwest::Client,
    replicas: [WeChat; 2],
    shelf: Store,
    vault: Arc<Vault>,
    app: App,
}

impl Bed {
    fn start() -> Self {
        test_limit::at_most(Duration::from_mins(2));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (stop, stopped) = oneshot::channel::<()>();
        let app = wxmint_simulator::App {
            id: APPID.parse().expect("an AppID"),
            secret: SECRET.to_owned(),
            unionid: true,
            kind: Kind::default(),
        };
        let serve = move || {
            let world = wxmint_simulator::World::new(vec![app], 0);
            let wechat = wxmint_simulator::routes(world, |_| {});
            let server = HttpServer::new(move || actix_web::App::new().configure(wechat.clone()));
            let server = server.workers(1).disable_signals().listen(listener)?.run();
            let stop = server.handle();
            actix_web::rt::System::new().block_on(async {
                let served = actix_web::rt::spawn(server);
                drop(stopped.await);
                stop.stop(false).await;
                served.await.expect("a server that does not panic")
            })
        };
        let tls = Tls::from_system().expect("the system's certificates");
        let base = format!("http://{address}").parse().expect("a URL");
        let replica = |()| WeChat::new(&base, None, &tls, 1, ()).expect("a client");
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread::spawn(serve)),
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            replicas: [(); 2].map(replica),
            shelf: Store::new(
                &StoreAccess::in_memory(clock),
                Duration::from_mins(1),
                clock,
                (),
            ),
            vault: Arc::new(vault(1)),
            app: App::mini_program(APPID.parse().expect("an AppID"), AppSecret::new(SECRET)),
        }
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let url = format!("http://{}/_simulator{path}", self.address);
        let request = self
            .http
            .request(method.parse().expect("a method"), url)
            .json(&body);
        let answer = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a body");
        serde_json::from_str(&answer).unwrap_or_default()
    }

    async fn fault(&self, fault: Value) {
        let set = self
            .control("PUT", "/faults", json!({"faults": [fault]}))
            .await;
        assert!(set["faults"].is_array(), "{set}");
    }

    async fn heal(&self) {
        self.control("DELETE", "/faults", Value::Null).await;
    }

    /// How often `path` has been asked.
    async fn asked(&self, path: &str) -> u64 {
        self.control("GET", "/stats", Value::Null).await["requests"][path]
            .as_u64()
            .expect("a count")
    }

    /// Has lin's phone number exchanged by a replica, with a fresh code.
    async fn phone(&self, replica: usize) -> Result<Phone, AppCallError> {
        self.phone_by(&self.vault, replica).await
    }

    async fn phone_by(&self, vault: &Arc<Vault>, replica: usize) -> Result<Phone, AppCallError> {
        let person = self
            .control("PUT", "/people/lin", json!({"phone": "13800138000"}))
            .await;
        let openid: OpenId = text(&person["apps"][APPID]["openid"])
            .parse()
            .expect("an openid");
        let minted = self
            .control("POST", "/phone-codes", json!({"person": "lin"}))
            .await;
        let code = text(&minted["code"]).parse().expect("a phone code");
        let tokens = AccessTokens {
            vault: Arc::clone(vault),
            ..self.tokens(replica)
        };
        tokens
            .with(async |by| by.phone_number(&code, &openid).await)
            .await
    }

    fn tokens(&self, replica: usize) -> AccessTokens<'_> {
        AccessTokens {
            wechat: &self.replicas[replica],
            store: &self.shelf,
            vault: Arc::clone(&self.vault),
            component: None,
            app: &self.app,
            attempt: AttemptId::new(*uuid::Uuid::new_v4().as_bytes()),
            may_replace: true,
        }
    }

    /// Asks for twenty phone numbers at once, ten at each replica. None fails.
    async fn twenty_phones(&self) {
        for phone in join_all((0..20).map(|call| self.phone(call % 2))).await {
            assert_eq!(phone.expect("a phone number").number, "13800138000");
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn vault(key: u8) -> Vault {
    use base64::{Engine, engine::general_purpose::STANDARD};
    Vault::parse((STANDARD.encode([key; 32]) + "\n").as_bytes()).expect("a vault")
}

fn verdict(outcome: Result<Phone, AppCallError>) -> Option<Verdict> {
    match outcome {
        Err(AppCallError::WeChat(WeChatRefusal::CodeInvalid)) => Some(Verdict::CodeInvalid),
        Err(AppCallError::WeChat(WeChatRefusal::CodeUsed)) => Some(Verdict::CodeUsed),
        Err(AppCallError::WeChat(WeChatRefusal::SlowDown)) => Some(Verdict::SlowDown),
        Err(
            AppCallError::Unavailable(Unavailable::WeChat(error))
            | AppCallError::WeChat(WeChatRefusal::Misconfigured { error, .. }),
        ) => error.verdict(),
        other => panic!("refused: {other:?}"),
    }
}

fn not_sent(outcome: Result<Phone, AppCallError>) -> String {
    match outcome {
        Err(AppCallError::Unavailable(Unavailable::WeChat(CallError::NotSent {
            reason, ..
        }))) => reason,
        other => panic!("not sent: {other:?}"),
    }
}

#[tokio::test]
async fn a_new_token_is_forced_twenty_times_a_day_and_thirty_seconds_apart_by_all_replicas_together()
 {
    let bed = Bed::start();
    let lent = bed.tokens(0).lend(None).await.expect("a token").token;
    let forced = bed
        .tokens(1)
        .lend(Some(&lent))
        .await
        .expect("another token")
        .token;
    assert_ne!(forced.expose(), lent.expose());
    // Time passes for the store but not for the simulator, which gives the same token again.
    let refused = async |replica: usize, later: TimeDelta| {
        AHEAD.set(AHEAD.get() + later);
        let before = bed.asked(STABLE_TOKEN).await;
        match bed.tokens(replica).lend(Some(&forced)).await {
            Err(AppCallError::Unavailable(Unavailable::WeChat(CallError::NotSent {
                retry_after,
                ..
            }))) => (bed.asked(STABLE_TOKEN).await - before, retry_after),
            other => panic!("refused for now: {:?}", other.map(|usable| usable.token)),
        }
    };
    let (calls, wait) = refused(0, TimeDelta::seconds(2)).await;
    assert!(
        calls == 1 && (20..34).contains(&wait.as_secs()),
        "too soon: {calls}, {wait:?}"
    );
    for time in 2..=20 {
        let (calls, wait) = refused(time % 2, TimeDelta::seconds(40)).await;
        assert_eq!((calls, wait), (2, FORCED_ELSEWHERE), "the {time}th time");
    }
    let (calls, wait) = refused(0, TimeDelta::seconds(40)).await;
    assert!(
        calls == 1 && (20..28).contains(&(wait.as_secs() / 3600)),
        "too often: {calls}, {wait:?}"
    );
    assert_eq!(
        refused(1, TimeDelta::hours(28)).await.0,
        2,
        "on another day"
    );
}

#[tokio::test]
async fn all_replicas_share_one_token() {
    let bed = Bed::start();
    bed.fault(json!({"kind": "latency", "ms": 200, "path": STABLE_TOKEN}))
        .await;
    bed.twenty_phones().await;
    bed.twenty_phones().await;
    assert_eq!(bed.asked(STABLE_TOKEN).await, 1);
}

#[tokio::test]
async fn a_token_that_wechat_refuses_is_replaced_once_for_all() {
    let bed = Bed::start();
    for (ended, how) in ["revoke", "expire"].into_iter().enumerate() {
        bed.twenty_phones().await;
        bed.control("POST", "/access-tokens", json!({how: true}))
            .await;
        bed.twenty_phones().await;
        assert_eq!(
            bed.asked(STABLE_TOKEN).await,
            2 + ended as u64,
            "after {how}"
        );
    }
}

#[tokio::test]
async fn a_refusal_without_reason_costs_a_fetch_and_a_repetition() {
    let bed = Bed::start();
    for errcode in [40001, 40014, 42001] {
        bed.control("POST", "/reset", json!({})).await;
        bed.phone(0).await.expect("a phone number");
        bed.fault(json!({"kind": "errcode", "errcode": errcode, "path": PHONE_NUMBER, "times": 1}))
            .await;
        bed.phone(0).await.expect("a phone number");
        assert_eq!(bed.asked(PHONE_NUMBER).await, 3);
    }
    assert_eq!(bed.asked(STABLE_TOKEN).await, 1, "since the last reset");
}

#[tokio::test]
async fn a_call_is_repeated_once_at_most() {
    let bed = Bed::start();
    bed.fault(json!({"kind": "errcode", "errcode": 40001, "path": PHONE_NUMBER}))
        .await;
    assert_eq!(verdict(bed.phone(0).await), Some(Verdict::BadAccessToken));
    assert_eq!(
        (bed.asked(PHONE_NUMBER).await, bed.asked(STABLE_TOKEN).await),
        (2, 2)
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_code_is_no_reason_to_replace_the_token() {
    let bed = Bed::start();
    for (errcode, meaning) in [
        (40029, Verdict::CodeInvalid),
        (40163, Verdict::CodeUsed),
        (45011, Verdict::SlowDown),
    ] {
        bed.fault(json!({"kind": "errcode", "errcode": errcode, "path": PHONE_NUMBER}))
            .await;
        assert_eq!(verdict(bed.phone(0).await), Some(meaning));
    }
    assert_eq!(
        (bed.asked(PHONE_NUMBER).await, bed.asked(STABLE_TOKEN).await),
        (3, 1)
    );
}

#[tokio::test]
async fn a_fetch_that_failed_is_not_repeated_for_a_second_by_anybody() {
    let bed = Bed::start();
    bed.fault(json!({"kind": "errcode", "errcode": 40125, "path": STABLE_TOKEN}))
        .await;
    assert_eq!(verdict(bed.phone(0).await), Some(Verdict::Misconfigured));
    for replica in [0, 1] {
        assert!(not_sent(bed.phone(replica).await).contains("has just failed"));
    }
    assert_eq!(
        (bed.asked(STABLE_TOKEN).await, bed.asked(PHONE_NUMBER).await),
        (1, 0)
    );
    bed.heal().await;
    AHEAD.set(TimeDelta::seconds(2));
    bed.phone(1).await.expect("a phone number");
}

#[tokio::test]
async fn fetching_may_be_repeated_after_a_broken_connection() {
    let bed = Bed::start();
    bed.fault(json!({"kind": "reset", "path": STABLE_TOKEN, "times": 1, "after": true}))
        .await;
    bed.phone(0).await.expect("a phone number");
    assert_eq!(bed.asked(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn a_phone_code_that_may_have_been_received_is_not_sent_again() {
    let bed = Bed::start();
    bed.fault(json!({"kind": "reset", "path": PHONE_NUMBER, "times": 1}))
        .await;
    let Err(AppCallError::Unavailable(Unavailable::WeChat(CallError::Unanswered { .. }))) =
        bed.phone(0).await
    else {
        panic!("unanswered")
    };
    bed.fault(json!({"kind": "errcode", "errcode": -1, "path": PHONE_NUMBER, "times": 1}))
        .await;
    bed.phone(0).await.expect("busy once");
    assert_eq!(bed.asked(PHONE_NUMBER).await, 3);
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_used_meanwhile() {
    let bed = Bed::start();
    bed.twenty_phones().await;
    AHEAD.set(TimeDelta::seconds(7200 - 260));
    bed.fault(json!({"kind": "latency", "ms": 200, "path": STABLE_TOKEN}))
        .await;
    bed.twenty_phones().await;
    assert_eq!(bed.asked(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let bed = Bed::start();
    bed.phone(0).await.expect("a phone number");
    AHEAD.set(TimeDelta::seconds(7200 - 260));
    let refusal = json!({"kind": "errcode", "errcode": 45009, "path": STABLE_TOKEN});
    for fault in [
        refusal.clone(),
        json!({"kind": "stall", "path": STABLE_TOKEN}),
    ] {
        bed.fault(fault).await;
        let before = bed.asked(STABLE_TOKEN).await;
        // WeChat's own time-out is 5 s. If both deadlines have passed on a busy machine, the inner
        // one is checked first.
        let tokens = bed.tokens(0);
        let lent = tokio::time::timeout(Duration::from_secs(4), tokens.lend(None)).await;
        lent.expect("a renewal that stalls is not waited for")
            .expect("the old token");
        bed.twenty_phones().await;
        AHEAD.set(AHEAD.get() + TimeDelta::seconds(15));
        bed.twenty_phones().await;
        assert_eq!(
            bed.asked(STABLE_TOKEN).await,
            before + 1,
            "and nobody tries for 20 s"
        );
        AHEAD.set(AHEAD.get() + TimeDelta::seconds(10));
    }
    AHEAD.set(TimeDelta::seconds(7201));
    bed.fault(refusal).await;
    assert_eq!(verdict(bed.phone(0).await), Some(Verdict::Misconfigured));
}

/// WeChat may have refused it for no reason, or to one service alone.
#[tokio::test]
async fn a_token_that_is_called_bad_while_wechat_fails_is_still_used_by_all_who_find_it_good() {
    let bed = Bed::start();
    let lent = bed.tokens(0).lend(None).await.expect("a token").token;
    bed.fault(json!({"kind": "errcode", "errcode": 45009, "path": STABLE_TOKEN}))
        .await;
    bed.tokens(0)
        .lend(Some(&lent))
        .await
        .map(|usable| usable.expires_in)
        .expect_err("no other token");
    for later in [0, 2, 6900] {
        AHEAD.set(TimeDelta::seconds(later));
        let usable = bed.tokens(1).lend(None).await.expect("a token");
        assert_eq!(usable.token.expose(), lent.expose(), "{later} s later");
    }
    assert_eq!(bed.asked(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn a_token_that_another_vault_sealed_is_fetched_anew() {
    let bed = Bed::start();
    bed.phone(0).await.expect("a phone number");
    bed.phone_by(&Arc::new(vault(2)), 1)
        .await
        .expect("a phone number");
    bed.phone_by(&Arc::new(vault(2)), 1)
        .await
        .expect("a phone number");
    assert_eq!(bed.asked(STABLE_TOKEN).await, 2);
}

#[tokio::test]
async fn whoever_waits_for_another_gives_up_after_two_seconds() {
    let bed = Bed::start();
    let rival = AttemptId::new([0; 16]);
    let lent = bed
        .shelf
        .access_tokens
        .lend(&bed.app.id, &rival, None, LEASE)
        .await;
    assert_eq!(lent, Ok(Lent::Fetch));
    let began = Instant::now();
    assert!(not_sent(bed.phone(0).await).contains("still being fetched"));
    assert!(
        began.elapsed() >= Duration::from_secs(2) && PAUSES.iter().sum::<u64>() == 2000,
        "{:?}",
        began.elapsed()
    );
    assert_eq!(bed.asked(STABLE_TOKEN).await, 0);
}

#[test]
fn a_token_is_renewed_in_wechats_last_five_minutes_or_in_its_last_tenth() {
    for (expires_in, expected) in [(7200, 6930), (2700, 2430), (300, 270), (270, 243), (10, 9)] {
        assert_eq!(
            renew_in(Duration::from_secs(expires_in), false).as_secs(),
            expected
        );
    }
}
