//! The mini programs' side: requests to whichever replica is in rotation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, redirect::Policy};
use serde_json::Value;

use crate::model::Message;
use crate::support::{Http, decoded};

/// docs/operation.md: the time limit of the proxy in front.
const PROXY_LIMIT: Duration = Duration::from_secs(20);
const LONGEST: Duration = Duration::from_secs(30);

/// The replicas of wxmint, as a load balancer sees them.
pub(crate) struct Rotation {
    pub(crate) addresses: Vec<SocketAddr>,
    is_in: Vec<AtomicBool>,
    next: AtomicUsize,
}

impl Rotation {
    pub(crate) fn of(addresses: Vec<SocketAddr>) -> Self {
        let is_in = addresses.iter().map(|_| AtomicBool::new(true)).collect();
        Self {
            addresses,
            is_in,
            next: AtomicUsize::new(0),
        }
    }

    pub(crate) fn put(&self, replica: usize, is_in: bool) {
        self.is_in[replica].store(is_in, Ordering::SeqCst);
    }

    /// All replicas in rotation, the next one first.
    fn in_turn(&self) -> Vec<SocketAddr> {
        let (first, count) = (
            self.next.fetch_add(1, Ordering::Relaxed),
            self.addresses.len(),
        );
        let in_turn = (0..count).map(|step| (first + step) % count);
        in_turn
            .filter(|it| self.is_in[*it].load(Ordering::SeqCst))
            .map(|it| self.addresses[it])
            .collect()
    }
}

/// Shorter than any server waits for the first request of a connection, so that none is sent when it gives up.
const IDLE: Duration = Duration::from_secs(2);

/// A client for all who ask.
pub(crate) fn http() -> Http {
    // Installs the cryptography that reqwest asks for.
    drop(Http::new());
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(Policy::none())
        .pool_idle_timeout(IDLE);
    Http(
        client.timeout(LONGEST).build().expect("a client"),
        Arc::default(),
    )
}

pub(crate) struct Client {
    http: Http,
    rotation: Arc<Rotation>,
}

/// An answer, and what is wrong with it by itself.
pub(crate) struct Received {
    pub(crate) said: Message,
    pub(crate) sent: Instant,
    pub(crate) fault: Option<String>,
}

impl Client {
    pub(crate) fn new(http: Http, rotation: Arc<Rotation>) -> Self {
        Self { http, rotation }
    }

    /// Asks one replica, and another one only if the first did not take the connection.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Received {
        let sent = Instant::now();
        for address in self.rotation.in_turn() {
            let mut request = self
                .http
                .0
                .request(method.clone(), format!("http://{address}{path}"))
                .timeout(PROXY_LIMIT);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            return match self.http.try_send(request).await {
                // The connection waited too long for its first request, and this one was not read.
                Ok(answer) if answer.status == 408 && answer.body.is_empty() => continue,
                Ok(answer) => {
                    let (said, fault) = read(answer.status, &answer.body);
                    Received { said, sent, fault }
                }
                Err(error) if error.is_connect() => continue,
                Err(error) if error.is_timeout() => {
                    let fault = Some(format!("no answer to {method} {path} in {PROXY_LIMIT:?}"));
                    Received {
                        said: Message::Nothing("too late".into()),
                        sent,
                        fault,
                    }
                }
                Err(error) => Received {
                    said: Message::Nothing(format!("{address}: {error:?}")),
                    sent,
                    fault: None,
                },
            };
        }
        Received {
            said: Message::Nothing("no replica takes a connection".into()),
            sent,
            fault: None,
        }
    }
}

fn read(status: u16, body: &str) -> (Message, Option<String>) {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |member: &str| json[member].as_str().map(str::to_owned);
    if let (200, Some(token)) = (status, text("access_token")) {
        let claims = decoded(&token).1;
        let second = |claim: &str| claims[claim].as_i64().unwrap_or_default();
        let user = text("user_id").unwrap_or_default();
        let fault = (claims["sub"] != user).then(|| format!("sub is not user_id: {claims} {user}"));
        let (issued_at, expires_at) = (second("iat"), second("exp"));
        let is_new = json["new_user"].as_bool().unwrap_or_default();
        return (
            Message::Login {
                user,
                is_new,
                token,
                issued_at,
                expires_at,
            },
            fault,
        );
    }
    match (status, text("code")) {
        (200 | 204, _) => (Message::Done, None),
        (500, Some(code)) => (
            Message::Problem { status, code },
            Some(format!("a 500: {body}")),
        ),
        (503, Some(code)) if json["retry_after"].is_null() => (
            Message::Problem { status, code },
            Some(format!("a 503 without retry_after: {body}")),
        ),
        (_, Some(code)) => (Message::Problem { status, code }, None),
        (_, None) => {
            let fault = Some(format!("{status} is no problem of the contract: {body}"));
            (Message::Nothing(format!("status {status}")), fault)
        }
    }
}
