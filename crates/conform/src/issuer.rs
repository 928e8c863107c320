//! The issuer: its keys, its feed, and the faults of both.

use std::net::TcpListener;
use std::sync::Arc;
use std::{collections::VecDeque, convert::Infallible, io};

use actix_web::body::SizedStream;
use actix_web::http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER};
use actix_web::web::{self, Bytes, Data, Query};
use actix_web::{App, HttpResponse, HttpServer};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::{Value, json};
use wxmint_verify::PublicKeySet;
use wxmint_verify::ids::{AppId, TokenId, UserId};
use wxmint_verify::revocations::RevocationHash;

use crate::key::TestKey;
use crate::now;

/// Few, so that a few revocations are several pages.
const PAGE: usize = 2;
const DAY: i64 = 86_400;
/// Longer than any page that a verifier may read.
const TOO_LONG: usize = 3 * 1024 * 1024;

/// How the issuer answers requests for the feed.
#[derive(Debug, Clone, Default)]
pub(crate) enum Manner {
    #[default]
    Good,
    /// This status, with `Retry-After`.
    Status(u16),
    /// A redirect to a good page.
    Redirect,
    /// The head and the beginning of the body, and then no more.
    Stalls,
    /// The head, the beginning of the body, and the end of the connection.
    Truncated,
    /// A body of [`TOO_LONG`] bytes.
    TooLong,
    /// Each request gets the next of these bodies, and 503 after the last.
    Each(VecDeque<String>),
}

struct State {
    url: String,
    keys: [TestKey; 2],
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    revocations: Vec<Value>,
    /// Another one after the issuer has lost its cursors.
    epoch: u32,
    manner: Manner,
    /// Whether the keys are published.
    hides_keys: bool,
    asked_for_keys: usize,
    asked_for_pages: usize,
}

/// The issuer that the verifier under test believes.
#[derive(Clone)]
pub struct Issuer(Arc<State>);

impl Issuer {
    /// Serves on this listener for as long as the process runs.
    ///
    /// # Errors
    ///
    /// If the listener cannot be used.
    pub fn start(listener: TcpListener) -> io::Result<Self> {
        let state = Data::new(State {
            url: format!("http://{}", listener.local_addr()?),
            keys: [TestKey::generate(), TestKey::generate()],
            shared: Mutex::default(),
        });
        let served = state.clone();
        let server = HttpServer::new(move || {
            App::new()
                .app_data(served.clone())
                .route("/.well-known/jwks.json", web::get().to(jwks))
                .route("/.well-known/openid-configuration", web::get().to(metadata))
                .route("/revocations", web::get().to(revocations))
                .route("/elsewhere", web::get().to(elsewhere))
        });
        let server = server.workers(1).disable_signals().listen(listener)?.run();
        actix_web::rt::spawn(server);
        Ok(Self(state.into_inner()))
    }

    /// The `iss` of its tokens and pages.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    pub(crate) fn key(&self) -> &TestKey {
        &self.0.keys[0]
    }

    pub(crate) fn second_key(&self) -> &TestKey {
        &self.0.keys[1]
    }

    /// A token of this user that the first key has signed now.
    pub(crate) fn claims(&self, audience: &str, user: &str) -> Value {
        let now = now();
        json!({
            "iss": self.url(), "sub": user, "aud": audience, "client_id": "wx0123456789abcdef",
            "iat": now - 5, "exp": now + DAY, "jti": format!("jti-of-{user}"),
        })
    }

    pub(crate) fn revoke(&self, revocation: Value) {
        self.0.shared.lock().revocations.push(revocation);
    }

    pub(crate) fn of_user(&self, user: &str, before: i64) -> Value {
        let user: UserId = user.parse().expect("a user id");
        json!([
            "sub",
            RevocationHash::of_user(self.url(), &user),
            before,
            before + DAY
        ])
    }

    pub(crate) fn of_user_in_app(&self, user: &str, app: &str, before: i64) -> Value {
        let user: UserId = user.parse().expect("a user id");
        let app: AppId = app.parse().expect("an AppID");
        let hash = RevocationHash::of_user_in_app(self.url(), &user, &app);
        json!(["app", hash, before, before + DAY])
    }

    pub(crate) fn of_token(&self, jti: &str) -> Value {
        let jti: TokenId = jti.parse().expect("a token id");
        let until = now() + DAY;
        json!(["jti", RevocationHash::of_token(self.url(), &jti), until])
    }

    pub(crate) fn of_second_key(&self) -> Value {
        json!(["kid", self.second_key().kid(), now() + DAY])
    }

    pub(crate) fn behaves(&self, manner: Manner) {
        self.0.shared.lock().manner = manner;
    }

    pub(crate) fn hides_keys(&self, hides: bool) {
        self.0.shared.lock().hides_keys = hides;
    }

    /// Knows no cursor any more that it has given.
    pub(crate) fn loses_cursors(&self) {
        self.0.shared.lock().epoch += 1;
    }

    pub(crate) fn asked_for_keys(&self) -> usize {
        self.0.shared.lock().asked_for_keys
    }

    pub(crate) fn asked_for_pages(&self) -> usize {
        self.0.shared.lock().asked_for_pages
    }

    /// How many bodies of [`Manner::Each`] are left.
    pub(crate) fn bodies_left(&self) -> usize {
        match &self.0.shared.lock().manner {
            Manner::Each(bodies) => bodies.len(),
            _ => 0,
        }
    }

    /// The claims of a good page that answers a request with this cursor.
    pub(crate) fn page(&self, after: &str) -> Value {
        self.0.page(after)
    }
}

impl State {
    fn page(&self, after: &str) -> Value {
        let shared = self.shared.lock();
        let now = now();
        let epoch = shared.epoch;
        let known = after
            .strip_prefix(&format!("{epoch}-"))
            .and_then(|place| place.parse::<usize>().ok())
            .filter(|place| *place <= shared.revocations.len());
        let from = known.unwrap_or(0);
        let until = (from + PAGE).min(shared.revocations.len());
        json!({
            "iss": self.url, "iat": now, "exp": now + 300,
            "after": if known.is_some() { after } else { "" },
            "cursor": format!("{epoch}-{until}"),
            "more": until < shared.revocations.len(),
            "revoked": shared.revocations[from..until],
        })
    }

    fn signed(&self, after: &str) -> String {
        let key = &self.keys[0];
        key.sign(&key.header("revocations+jwt"), &self.page(after))
    }
}

async fn jwks(state: Data<State>) -> HttpResponse {
    {
        let mut shared = state.shared.lock();
        shared.asked_for_keys += 1;
        if shared.hides_keys {
            return HttpResponse::ServiceUnavailable().finish();
        }
    }
    let keys: PublicKeySet<'_> = state.keys.iter().map(TestKey::public).collect();
    HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-cache"))
        .json(keys)
}

async fn metadata(state: Data<State>) -> HttpResponse {
    let url = &state.url;
    HttpResponse::Ok().json(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "revocation_feed_uri": format!("{url}/revocations"),
    }))
}

type Asked = Query<std::collections::HashMap<String, String>>;

fn after(asked: &Asked) -> &str {
    asked.get("after").map_or("", String::as_str)
}

fn page(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/revocations+jwt")
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(body)
}

/// A body that says to be longer than what comes of it.
fn part(
    body: String,
    then: impl futures_util::Stream<Item = io::Result<Bytes>> + 'static,
) -> HttpResponse {
    let length = body.len() as u64 + 1_000;
    let begun = stream::iter([Ok(Bytes::from(body))]);
    HttpResponse::Ok()
        .content_type("application/revocations+jwt")
        .body(SizedStream::new(length, begun.chain(then)))
}

async fn revocations(state: Data<State>, asked: Asked) -> Result<HttpResponse, Infallible> {
    let good = state.signed(after(&asked));
    let mut shared = state.shared.lock();
    shared.asked_for_pages += 1;
    Ok(match &mut shared.manner {
        Manner::Good => page(good),
        Manner::Status(status) => HttpResponse::build((*status).try_into().expect("a status"))
            .insert_header((RETRY_AFTER, "1"))
            .finish(),
        Manner::Redirect => HttpResponse::Found()
            .insert_header((LOCATION, "/elsewhere"))
            .finish(),
        Manner::Stalls => part(good, stream::pending()),
        Manner::Truncated => {
            let broken = io::Error::from(io::ErrorKind::ConnectionReset);
            part(good, stream::iter([Err(broken)]))
        }
        Manner::TooLong => page("a".repeat(TOO_LONG)),
        Manner::Each(bodies) => match bodies.pop_front() {
            Some(body) => page(body),
            None => HttpResponse::ServiceUnavailable().finish(),
        },
    })
}

/// A good page behind a redirect, which revokes the tokens of a user.
async fn elsewhere(state: Data<State>) -> HttpResponse {
    let issuer = Issuer(state.clone().into_inner());
    let mut claims = issuer.page("");
    claims["revoked"] = json!([issuer.of_user("redirected", now())]);
    let key = issuer.key();
    page(key.sign(&key.header("revocations+jwt"), &claims))
}
