//! Logins with a store in memory and a stand-in for WeChat.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_web::rt::{spawn, time::sleep};
use async_trait::async_trait;
use axum::{Json, Router};
use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::future::join;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use wxmint_ids::{AppId, IdKey, IdKind, Person, PhoneCode, Platform, UnionId, UserId};
use wxmint_keys::{PrivateJwk, token::Issued, vault::Sealed};
use wxmint_store::{AttemptId, ExchangeTimestamp, Store, Ticket, TicketHolder, TokenState};
use wxmint_verify::Algorithm;
use wxmint_wechat::{App, AppKind, AppSecret, CallError};

use super::bind::LinkOutcome;
use super::*;
use crate::accounts::{self, Accepts, Accounts, Named, Password, Username};
use crate::apps::{AppsSource, CurrentApps};
use crate::clock::now;
use crate::issuer::caller::tests::issuer;

const APP: &str = "wx0123456789abcdef";
const ELSEWHERE: &str = "wxfedcba9876543210";
const ADDRESS: &str = "192.0.2.1";

/// Counts its requests, and answers once it is allowed to.
struct WeChatOfTest {
    url: String,
    asked: Arc<AtomicUsize>,
    may_answer: Arc<Semaphore>,
}

impl WeChatOfTest {
    async fn answering(session: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let (asked, may_answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let (counted, let_go) = (Arc::clone(&asked), Arc::clone(&may_answer));
        let answer = async move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let_go.acquire().await.expect("open").forget();
            Json(session.clone())
        };
        spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self {
            url,
            asked,
            may_answer,
        }
    }
}

/// A stand-in for WeChat that answers one request and cannot be reached from then on: its URL, and
/// a socket that keeps others from its port.
fn answering_once(answer: &Value) -> (String, TcpSocket) {
    let [listening, kept] = [(); 2].map(|()| {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseport(true).expect("two sockets at a port");
        socket
    });
    let any = "127.0.0.1:0".parse().expect("an address");
    listening.bind(any).expect("a free port");
    let address = listening.local_addr().expect("its address");
    kept.bind(address).expect("the same port");
    let listener = listening.listen(1).expect("a listener");
    let body = answer.to_string();
    spawn(async move {
        let (mut connection, _) = listener.accept().await.expect("a connection");
        drop(listener);
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let read = connection.read_buf(&mut request).await;
            assert!(read.is_ok_and(|bytes| bytes > 0), "a whole request");
        }
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let written = connection.write_all(answer.as_bytes()).await;
        written.expect("written");
    });
    (format!("http://{address}"), kept)
}

fn session(unionid: Option<&str>) -> Value {
    json!({"openid": "oabcdefghijklmnopqrstuvwxyz0", "session_key": "MDEyMzQ1Njc4OWFiY2RlZg==", "unionid": unionid})
}

fn worker(wechat: &str) -> LoginParts {
    let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
    issuer(&key, ("WXMINT_WECHAT_URL", wechat))
        .login_parts()
        .expect("a worker")
}

/// The parts of a worker whose logins never ask WeChat.
fn offline() -> LoginParts {
    worker("http://127.0.0.1:1")
}

fn user(name: &str) -> UserId {
    name.parse().expect("a user id")
}

fn person(app: &str, openid: &str) -> Person {
    Person {
        platform: Platform::WeChat,
        app: app.parse().expect("an app"),
        openid: openid.parse().expect("an openid"),
    }
}

fn unionid() -> UnionId {
    "u1".parse().expect("a unionid")
}

fn attempt(audit_context: &mut AuditContext) -> Attempt<'_> {
    Attempt {
        id: AttemptId::random(),
        address: ADDRESS,
        audit_context,
        now: now(),
    }
}

fn by_code() -> LoginRequest {
    let code = "0123456789abcdef0123456789abcdef".parse().expect("a code");
    LoginRequest {
        app: None,
        app_hint: None,
        proof: LoginProof::Code(code),
        credentials: Credentials::Nothing,
    }
}

async fn log_in_by_code(login: &LoginParts) -> Result<LoggedIn> {
    let mut audit_context = AuditContext::default();
    login
        .log_in()
        .log_in(by_code(), &mut attempt(&mut audit_context))
        .await
}

/// A login with a password, by the ticket of a person of this app.
async fn by_ticket(login: &LoginParts, app: &str) -> LoginRequest {
    let ticket = Ticket::random();
    let order = ExchangeTimestamp::new(
        now().timestamp_micros().unsigned_abs(),
        &AttemptId::random(),
    );
    let holder = TicketHolder {
        person: person(app, "o1"),
        unionid: None,
        key: (order, Sealed::nothing()),
    };
    login
        .store
        .tickets
        .keep(&ticket, &holder)
        .await
        .expect("kept");
    let [name, password] = ["lin", "password"];
    let name: Username = name.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
    let password: Password = password.parse().unwrap_or_else(|wrong| panic!("{wrong}"));
    let credentials = Credentials::Password(name, password);
    LoginRequest {
        app: None,
        app_hint: None,
        proof: LoginProof::Ticket(ticket),
        credentials,
    }
}

/// An account backend for which each password is right and is Lin's.
struct OfLin;

#[async_trait(?Send)]
impl Accounts for OfLin {
    fn accepts(&self) -> Accepts {
        Accepts::Passwords
    }

    async fn check_password(
        &self,
        _: &AppId,
        _: &Username,
        _: &Password,
        _: &str,
    ) -> accounts::Result<Option<UserId>> {
        Ok(Some(user("lin")))
    }
}

/// Binds the person, whose unionid WeChat names.
async fn bind(store: &Store, person: &Person, name: &str, unionid: Option<&UnionId>) {
    let attempt = AttemptId::random();
    let binder = Binder {
        store,
        person,
        unionid,
        attempt: &attempt,
        per_user: 1,
    };
    let free = SettledState::Free {
        generation: None,
        dissolved: false,
    };
    let bound = binder
        .bind(
            &Named {
                user: user(name),
                made: false,
            },
            free,
        )
        .await
        .expect("bound");
    binder
        .link(&bound, async |_| Ok(false))
        .await
        .expect("linked");
}

/// Whether a token that the user has in the app is revoked.
async fn is_ended(store: &Store, name: &str, app: &str) -> bool {
    let second = now().timestamp();
    let (app, id) = (
        app.parse().expect("an app"),
        "a-token".parse().expect("an id"),
    );
    let token = Issued {
        user: user(name),
        app,
        id,
        issued_at: second,
        expires_at: second + 600,
    };
    !matches!(
        store
            .revocations
            .token_state(&token)
            .await
            .expect("an answer"),
        TokenState::People(_)
    )
}

/// The token of a login as the store is asked about it.
fn issued_of(logged_in: &LoggedIn) -> Issued {
    let payload = logged_in.token.expose().split('.').nth(1);
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.expect("three parts"));
    let claims: Value = serde_json::from_slice(&payload.expect("base64url")).expect("JSON");
    Issued {
        user: logged_in.user.clone(),
        app: logged_in.app.clone(),
        id: claims["jti"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("an id"),
        issued_at: claims["iat"].as_i64().expect("a second"),
        expires_at: claims["exp"].as_i64().expect("a second"),
    }
}

/// Otherwise one address could take up all calls to a slow WeChat, and the others would wait.
#[actix_web::test]
async fn a_login_takes_up_one_of_its_addresss_calls_of_wechat_until_wechat_has_answered() {
    let wechat = WeChatOfTest::answering(session(None)).await;
    let login = worker(&wechat.url);
    let mut taken = Vec::new();
    while let Ok(place) = login.wechat.place_for(ADDRESS) {
        taken.push(place);
    }
    taken.pop();
    let is_free = |address| login.wechat.place_for(address).is_ok();
    assert!(is_free(ADDRESS));
    let mut audit_context = AuditContext::default();
    let mut attempt = attempt(&mut audit_context);
    let meanwhile = async {
        while wechat.asked.load(Ordering::Relaxed) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        let found = [is_free(ADDRESS), is_free("192.0.2.2")];
        wechat.may_answer.add_permits(1);
        found
    };
    let (logged_in, found) = join(login.log_in().log_in(by_code(), &mut attempt), meanwhile).await;
    logged_in.expect("a token");
    assert_eq!(
        found,
        [false, true],
        "while WeChat is asked: the address itself, and another one"
    );
    assert!(is_free(ADDRESS), "WeChat has answered");
}

/// Whoever repeats the login, as the answer says, sends the same code.
#[actix_web::test]
async fn a_code_can_be_sent_again_after_a_login_that_was_refused_before_wechat_was_asked() {
    let wechat = WeChatOfTest::answering(session(None)).await;
    wechat.may_answer.add_permits(1);
    let login = worker(&wechat.url);
    let lives = "wxmint:{wxmint:revoked}:lives";
    login
        .store
        .texts
        .keep(lives, "no lives", Duration::from_mins(1))
        .await
        .expect("kept");
    let refused = log_in_by_code(&login).await;
    assert!(
        matches!(
            refused,
            Err(LoginError::Request(RequestError::Unavailable(
                Unavailable::Store(_)
            )))
        ),
        "{refused:?}"
    );
    login.store.texts.delete(lives).await.expect("gone");
    let mut taken = Vec::new();
    while let Ok(place) = login.wechat.place_for(ADDRESS) {
        taken.push(place);
    }
    let refused = log_in_by_code(&login).await;
    assert!(
        matches!(
            refused,
            Err(LoginError::Request(RequestError::Unavailable(
                Unavailable::WeChat(CallError::NotSent { .. })
            )))
        ),
        "{refused:?}"
    );
    taken.pop();
    log_in_by_code(&login).await.expect("a token");
    assert_eq!(wechat.asked.load(Ordering::Relaxed), 1);
}

/// A login of a website has two calls, and the first one uses up the code.
#[actix_web::test]
async fn the_code_of_a_website_is_used_also_if_only_the_call_for_the_unionid_cannot_be_sent() {
    let granted = json!({
        "openid": "oabcdefghijklmnopqrstuvwxyz0",
        "access_token": "80_a",
        "scope": "snsapi_login",
    });
    let (wechat, _port) = answering_once(&granted);
    let website = App {
        kind: AppKind::Website,
        ..App::mini_program(APP.parse().expect("an app"), AppSecret::new("a secret"))
    };
    let mut login = worker(&wechat);
    let apps = CurrentApps::read(AppsSource::Given(vec![website])).expect("an app");
    login.apps = Arc::new(apps);
    let failed = log_in_by_code(&login).await.expect_err("no unionid");
    let text = failed.to_string();
    assert!(
        matches!(
            failed,
            LoginError::Request(RequestError::Unavailable(Unavailable::WeChat(_)))
        ) && text.contains("was not sent"),
        "{text}"
    );
    let again = log_in_by_code(&login).await;
    assert!(
        matches!(
            again,
            Err(LoginError::Request(RequestError::WeChat(
                WeChatRefusal::CodeUsed
            )))
        ),
        "{again:?}"
    );
}

/// WeChat's "system error" may come after the code was used.
#[actix_web::test]
async fn a_code_is_used_also_if_its_repetition_after_a_system_error_cannot_be_sent() {
    let (wechat, _port) = answering_once(&json!({"errcode": -1, "errmsg": "system error"}));
    let login = worker(&wechat);
    let failed = log_in_by_code(&login).await;
    assert!(
        matches!(
            failed,
            Err(LoginError::Request(RequestError::Unavailable(
                Unavailable::WeChat(_)
            )))
        ),
        "{failed:?}"
    );
    let again = log_in_by_code(&login).await;
    assert!(
        matches!(
            again,
            Err(LoginError::Request(RequestError::WeChat(
                WeChatRefusal::CodeUsed
            )))
        ),
        "{again:?}"
    );
}

/// Revocations are kept for the longest lifetime of tokens that is noted. A token with a longer
/// lifetime would outlive its revocation.
#[actix_web::test]
async fn nobody_logs_in_while_the_life_of_tokens_cannot_be_noted() {
    let wechat = WeChatOfTest::answering(session(None)).await;
    wechat.may_answer.add_permits(2);
    let mut login = worker(&wechat.url);
    login.accounts = Box::new(OfLin);
    let lives = "wxmint:{wxmint:revoked}:lives";
    login
        .store
        .texts
        .keep(lives, "no lives", Duration::from_mins(1))
        .await
        .expect("kept");
    for request in [by_code(), by_ticket(&login, APP).await] {
        let mut audit_context = AuditContext::default();
        let refused = login
            .log_in()
            .log_in(request, &mut attempt(&mut audit_context))
            .await;
        assert!(
            matches!(
                refused,
                Err(LoginError::Request(RequestError::Unavailable(
                    Unavailable::Store(_)
                )))
            ),
            "{refused:?}"
        );
    }
    assert_eq!(
        wechat.asked.load(Ordering::Relaxed),
        0,
        "the code is good still"
    );
    login.store.texts.delete(lives).await.expect("gone");
    let request = by_ticket(&login, APP).await;
    let mut audit_context = AuditContext::default();
    login
        .log_in()
        .log_in(request, &mut attempt(&mut audit_context))
        .await
        .expect("a token");
}

/// The user is blocked before anybody has logged in with this id, as after a loss of Redis. In
/// another app the same human is another user.
#[actix_web::test]
async fn a_refused_login_of_who_is_banned_by_a_computed_id_binds_nobody() {
    let wechat = WeChatOfTest::answering(session(Some("u1"))).await;
    wechat.may_answer.add_permits(1);
    let mut login = worker(&wechat.url);
    let key = IdKey::parse(BASE64_STANDARD.encode([1; 32]).as_bytes()).expect("a key");
    let banned = key.of_unionid(&unionid());
    login.ids = Arc::new(UserIds::new(Some((IdKind::UnionId, key)), true, false));
    let elsewhere = person(ELSEWHERE, "o2");
    bind(&login.store, &elsewhere, "before", Some(&unionid())).await;
    login
        .store
        .revocations
        .set_blocked(&banned, true)
        .await
        .expect("blocked");
    let mut audit_context = AuditContext::default();
    let refused = login
        .log_in()
        .log_in(by_code(), &mut attempt(&mut audit_context))
        .await;
    assert!(matches!(refused, Err(LoginError::Blocked)), "{refused:?}");
    assert_eq!(
        login.store.bindings.people_of(&user("before")).await,
        Ok(Some(vec![elsewhere]))
    );
    let banned = person(APP, "oabcdefghijklmnopqrstuvwxyz0");
    assert_eq!(
        login.store.sessions.keys(&banned).await,
        Ok(vec![]),
        "the session key that the login has brought"
    );
}

/// The block could not revoke these tokens, because nobody knew then that both users are one human.
#[actix_web::test]
async fn once_a_banned_user_turns_out_to_be_another_one_too_that_ones_tokens_end() {
    let (login, lin) = (offline(), person(APP, "o1"));
    bind(&login.store, &lin, "banned", None).await;
    bind(
        &login.store,
        &person(ELSEWHERE, "o2"),
        "other",
        Some(&unionid()),
    )
    .await;
    Operator {
        store: &login.store,
    }
    .block(&user("banned"))
    .await
    .expect("blocked");
    assert!(!is_ended(&login.store, "other", ELSEWHERE).await);
    let bound = login
        .store
        .bindings
        .find(&lin)
        .await
        .expect("an answer")
        .expect("bound");
    let (unionid, attempt) = (unionid(), AttemptId::random());
    let outcome = login
        .bind()
        .link(&login.bind().binder(&lin, Some(&unionid), &attempt), &bound)
        .await;
    assert_eq!(outcome, Ok(LinkOutcome::Linked));
    assert!(is_ended(&login.store, "other", ELSEWHERE).await);
}

#[actix_web::test]
async fn a_ticket_makes_no_token_of_an_app_that_has_left() {
    let mut login = offline();
    login.accounts = Box::new(OfLin);
    for (app, is_known) in [(ELSEWHERE, false), (APP, true)] {
        let request = by_ticket(&login, app).await;
        let mut audit_context = AuditContext::default();
        let answer = login
            .log_in()
            .log_in(request, &mut attempt(&mut audit_context))
            .await;
        assert_eq!(answer.is_ok(), is_known, "{app}: {answer:?}");
        assert!(
            is_known
                || matches!(
                    answer,
                    Err(LoginError::Request(RequestError::App(AppRefusal::Unknown(
                        _
                    ))))
                ),
            "{answer:?}"
        );
        assert_eq!(
            audit_context.app,
            Some(app.parse::<AppId>().expect("an app"))
        );
    }
}

/// The ticket says nothing of a revocation, so the token's date has to be asked for.
#[actix_web::test]
async fn a_ticket_gives_a_good_token_also_within_the_second_of_a_revocation() {
    let mut login = offline();
    login.accounts = Box::new(OfLin);
    let operator = Operator {
        store: &login.store,
    };
    // Now and then a second ends between the two.
    for _ in 0..3 {
        operator.end(&user("lin")).await.expect("revoked");
        let request = by_ticket(&login, APP).await;
        let mut audit_context = AuditContext::default();
        let logged_in = login
            .log_in()
            .log_in(request, &mut attempt(&mut audit_context))
            .await
            .expect("a token");
        let issued = issued_of(&logged_in);
        let state = login.store.revocations.token_state(&issued).await;
        assert!(matches!(state, Ok(TokenState::People(_))), "{state:?}");
    }
}

/// The audit names the user whose credentials were sent.
#[actix_web::test]
async fn the_trail_of_a_login_with_a_password_names_the_user_also_if_it_is_refused() {
    let mut login = offline();
    login.accounts = Box::new(OfLin);
    login
        .store
        .revocations
        .set_blocked(&user("lin"), true)
        .await
        .expect("blocked");
    let request = by_ticket(&login, APP).await;
    let mut audit_context = AuditContext::default();
    let refused = login
        .log_in()
        .log_in(request, &mut attempt(&mut audit_context))
        .await;
    assert!(matches!(refused, Err(LoginError::Blocked)), "{refused:?}");
    assert_eq!(audit_context.user, Some(user("lin")));
}

/// The limit that has refused a phone number.
fn limit_of(refused: &PhoneNumberError) -> Option<&'static str> {
    if let PhoneNumberError::Request(RequestError::Limited(reached)) = refused {
        Some(reached.limit)
    } else {
        None
    }
}

/// No WeChat answers here. It may have billed a number all the same, so the number stays counted.
#[actix_web::test]
async fn a_phone_number_that_the_apps_limit_refuses_is_not_charged_to_the_person() {
    const PER_PERSON: u32 = 2;
    let mut login = offline();
    login.policy.phone_numbers_per_person = PER_PERSON;
    login.policy.phone_numbers_per_app = 1;
    let (lin, mei) = (person(APP, "o1"), person(APP, "o2"));
    let mut codes = (0..).map(|number: u32| format!("code-{number}"));
    let mut next_code = || -> PhoneCode {
        let code = codes.next().expect("another one");
        code.parse().expect("a code")
    };
    let refused = login.phone_numbers().phone_of(&mei, &next_code()).await;
    let refused = refused.expect_err("WeChat does not answer");
    assert_eq!(limit_of(&refused), None, "{refused:?}");
    for _ in 0..=PER_PERSON {
        let refused = login.phone_numbers().phone_of(&lin, &next_code()).await;
        let refused = refused.expect_err("the app has had its number");
        assert_eq!(limit_of(&refused), Some("phone_numbers_per_app"));
    }
    // As on the next day, when the app may have numbers again.
    login.policy.phone_numbers_per_app = 10;
    for limit in [None, None, Some("phone_numbers_per_person")] {
        let refused = login.phone_numbers().phone_of(&lin, &next_code()).await;
        let refused = refused.expect_err("WeChat does not answer");
        assert_eq!(limit_of(&refused), limit, "{refused:?}");
    }
}

/// The first try of the code was given back, so that its repetition has to be counted.
#[actix_web::test]
async fn a_phone_code_whose_number_was_given_back_counts_when_it_is_sent_again() {
    let refusal = json!({"errcode": 40013, "errmsg": "invalid appid"});
    let (wechat, _port) = answering_once(&refusal);
    let mut login = worker(&wechat);
    login.policy.phone_numbers_per_person = 1;
    let lin = person(APP, "o1");
    let [first, second]: [PhoneCode; 2] =
        ["code-1", "code-2"].map(|code| code.parse().expect("a code"));
    let refused = login.phone_numbers().phone_of(&lin, &first).await;
    assert!(
        matches!(
            refused,
            Err(PhoneNumberError::Request(RequestError::WeChat(
                WeChatRefusal::Misconfigured { .. }
            )))
        ),
        "{refused:?}"
    );
    // WeChat cannot be reached any more, and may have billed the number.
    for (code, limit) in [(&second, None), (&first, Some("phone_numbers_per_person"))] {
        let refused = login.phone_numbers().phone_of(&lin, code).await;
        let refused = refused.expect_err("no WeChat");
        assert_eq!(limit_of(&refused), limit, "{refused:?}");
    }
}
