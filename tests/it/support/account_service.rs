//! A business's account service, in the test's own process. The users are those of the simulator's stand-in; here they
//! get a server that keeps each call and misbehaves in what it answers.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::time::Duration;
use std::{io, thread};

use actix_web::body::SizedStream;
use actix_web::dev::ServerHandle;
use actix_web::http::{StatusCode, header};
use actix_web::rt::{System, time::sleep};
use actix_web::web::{self, Bytes};
use actix_web::{App, FromRequest, Handler, HttpRequest, HttpResponse, HttpServer};
use futures_util::stream;
use serde_json::Value;
use tokio::sync::Notify;
use wxmint_simulator::AccountBook;

use super::locked;

const HUGE: usize = 10 << 20;

/// A reply in place of the answer. The call has been carried out all the same.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This status, with the answer's own body.
    Status(u16),
    /// 200 and this text.
    Text(&'static str),
    /// 307 to the same path below `/elsewhere`.
    Redirect,
    Huge,
    Lost,
    /// 503 of whatever stands before it: the call is not carried out.
    #[allow(dead_code, reason = "of the campaign")]
    Away,
    /// The right answer, so much later.
    Late(Duration),
    /// The right answer, once the test lets it go.
    #[allow(dead_code, reason = "not of the campaign")]
    Held(Arc<Notify>),
}

impl Reply {
    /// No answer for longer than anybody waits.
    pub(crate) const STALLED: Self = Self::Late(Duration::from_secs(60));
}

#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
    /// The client's end of the connection.
    pub(crate) from: Option<SocketAddr>,
    /// The answer, sent or not.
    pub(crate) answer: Value,
}

impl Call {
    pub(crate) fn token(&self) -> &str {
        self.headers["authorization"].strip_prefix("Bearer ").expect("a bearer token")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

pub(crate) struct AccountService {
    state: Arc<Mutex<State>>,
    pub(crate) address: SocketAddr,
    _server: Serving,
}

struct State {
    book: Arc<AccountBook>,
    calls: Vec<Call>,
    once: Option<Reply>,
    always: Option<Reply>,
}

impl AccountService {
    /// With a user `alice`, whose password is `wonderland` and whose user id is `user-alice`.
    pub(crate) fn start() -> Self {
        let book = AccountBook::with([("alice", "wonderland", "13800138001")]);
        let state = Arc::new(Mutex::new(State { book, calls: Vec::new(), once: None, always: None }));
        let (address, server) = serve(Arc::clone(&state), take);
        Self { state, address, _server: server }
    }

    /// As `WXMINT_ACCOUNTS` has it: with a path.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/wxmint", self.address)
    }

    pub(crate) fn misbehave(&self, reply: Reply) {
        self.state().always = Some(reply);
    }

    pub(crate) fn misbehave_once(&self, reply: Reply) {
        self.state().once = Some(reply);
    }

    pub(crate) fn heal(&self) {
        let mut state = self.state();
        (state.once, state.always) = (None, None);
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Takes the calls that have arrived since this was last called.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    pub(crate) fn users_made(&self) -> usize {
        self.state().book.users().iter().filter(|user| user.credentials.is_none()).count()
    }

    pub(crate) fn book(&self) -> Arc<AccountBook> {
        Arc::clone(&self.state().book)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

/// A server that ends when this is dropped.
pub(super) struct Serving(ServerHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        // The server's own thread carries it out.
        drop(self.0.stop(false));
    }
}

/// Has `answer` answer every request, on a thread of its own; the server's address.
pub(super) fn serve<S, H, A>(state: Arc<S>, answer: H) -> (SocketAddr, Serving)
where
    S: Send + Sync + 'static,
    H: Handler<A, Output = HttpResponse> + Send,
    A: FromRequest + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let (tells, told) = mpsc::channel();
    thread::spawn(move || {
        let app =
            move || App::new().app_data(web::Data::from(Arc::clone(&state))).default_service(web::to(answer.clone()));
        System::new().block_on(async move {
            let server = HttpServer::new(app).workers(1).disable_signals().h1_allow_half_closed(false);
            let server = server.listen(listener).expect("it listens").run();
            tells.send(server.handle()).expect("a test that waits");
            server.await
        })
    });
    (address, Serving(told.recv().expect("a server")))
}

async fn take(request: HttpRequest, body: Bytes, state: web::Data<Mutex<State>>) -> HttpResponse {
    let (answer, reply) = locked(&state).take(&request, &body);
    let sent = match &answer {
        Some(Value::Null) => HttpResponse::Forbidden().finish(),
        Some(answer) => HttpResponse::Ok().json(answer),
        None => HttpResponse::NotFound().body("no such path"),
    };
    match reply {
        None => sent,
        Some(reply) => misbehaved(reply, &request, answer.unwrap_or_default(), sent).await,
    }
}

async fn misbehaved(reply: Reply, request: &HttpRequest, answer: Value, sent: HttpResponse) -> HttpResponse {
    match reply {
        Reply::Status(status) => HttpResponse::build(StatusCode::from_u16(status).expect("a status")).json(answer),
        Reply::Text(text) => HttpResponse::Ok().body(text),
        Reply::Redirect => {
            let place = format!("/elsewhere{}", request.path());
            HttpResponse::TemporaryRedirect().insert_header((header::LOCATION, place)).finish()
        }
        Reply::Huge => HttpResponse::Ok().body(format!(r#"{{"user_id":"{}"}}"#, "a".repeat(HUGE))),
        Reply::Lost => {
            let broken = async { Err(io::Error::from(io::ErrorKind::ConnectionReset)) };
            HttpResponse::Ok().body(SizedStream::new(600, stream::once(broken)))
        }
        Reply::Away => HttpResponse::ServiceUnavailable().finish(),
        Reply::Held(go) => {
            go.notified().await;
            sent
        }
        Reply::Late(delay) => {
            sleep(delay).await;
            sent
        }
    }
}

impl State {
    fn take(&mut self, request: &HttpRequest, body: &Bytes) -> (Option<Value>, Option<Reply>) {
        let reply = self.once.take().or_else(|| self.always.clone());
        if matches!(reply, Some(Reply::Away)) {
            return (None, reply);
        }
        let path = request.path().strip_prefix("/wxmint");
        // `null` stands for the refusal of a login, 403.
        let answer =
            path.map(|path| self.book.answer(path, body).expect("a call as it is documented").unwrap_or_default());
        let header = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().expect("visible ASCII").to_owned())
        };
        self.calls.push(Call {
            path: request.path().to_owned(),
            headers: request.headers().iter().map(header).collect(),
            body: String::from_utf8_lossy(body).into_owned(),
            from: request.peer_addr(),
            answer: answer.clone().unwrap_or_default(),
        });
        (answer, reply)
    }
}
