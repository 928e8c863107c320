//! The client for a host that each login calls. It is hyper's connection with a list of idle connections, because
//! reqwest takes the URL apart for each request and makes three times as many allocations.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, Uri,
    body::{Bytes, Incoming},
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
    header::{CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use reqwest::Url;
use tokio::{net::TcpStream, task::coop::unconstrained};
use tower_service::Service;

use super::{FetchError, IDLE_TIMEOUT, MAX_ANSWER, StartError, Tls, describe};

/// The head of an answer must fit in; WeChat's has about 200 bytes, and proxies add to it. A buffer begins with 8 KiB and grows
/// only for answers that need it.
const LARGEST_BUFFER: usize = 32 * 1024;

/// A request whose URI has only a path and a query.
/// It has no `Debug`, which would print the query, and the AppSecret in it.
pub(crate) struct Outgoing(Request<Full<Bytes>>);
/// The connection that was used last is the last.
type Idle = Mutex<Vec<(Connection, Instant)>>;

/// An HTTP client of one host for one worker thread. The caller limits the time of a call.
pub(crate) struct OneHost {
    origin: Uri,
    host: HeaderValue,
    connector: HttpsConnector<HttpConnector>,
    connect_timeout: Duration,
    idle: Arc<Idle>,
    closes_unused: Cell<bool>,
}

impl Outgoing {
    pub(crate) fn new(method: Method, path_and_query: Uri, body: Vec<u8>) -> Self {
        let mut request = Request::new(body.into());
        *request.method_mut() = method;
        *request.uri_mut() = path_and_query;
        Self(request)
    }

    /// Its body is JSON.
    pub(crate) fn with_json(mut self) -> Self {
        self.0.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self
    }
}

impl OneHost {
    /// A client of the host that `base` names.
    pub(crate) fn new(base: &Url, tls: &Tls, connect_timeout: Duration) -> Result<Self, StartError> {
        let no_host = |_| StartError("its URL has no host".into());
        let origin: Uri = base.origin().ascii_serialization().parse().map_err(|_| no_host(()))?;
        let host = HeaderValue::from_str(origin.authority().ok_or_else(|| no_host(()))?.as_str());
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(connect_timeout));
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.0.clone()).https_or_http().enable_http1();
        Ok(Self {
            host: host.map_err(|_| no_host(()))?,
            connector: connector.wrap_connector(tcp),
            connect_timeout,
            idle: Arc::default(),
            closes_unused: Cell::new(false),
            origin,
        })
    }

    /// Sends the request once and reads the body, whatever the status. It is sent again only if an idle connection was
    /// closed before any byte of the request was written.
    pub(crate) async fn fetch(&self, Outgoing(mut request): Outgoing) -> Result<Vec<u8>, FetchError> {
        request.headers_mut().insert(HOST, self.host.clone());
        loop {
            let (mut connection, was_idle) = match self.take_idle() {
                Some(connection) => (connection, true),
                // Seldom needed, so not kept room for in the future of each call.
                None => (Box::pin(self.connect()).await?, false),
            };
            match connection.send(request).await {
                Ok(response) => {
                    let body = connection.drive(read(response.into_body())).await?;
                    if connection.is_ready() {
                        lock(&self.idle).push((connection, Instant::now()));
                    }
                    return Ok(body);
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if was_idle => request = unsent,
                    _ => return Err(FetchError::Unanswered(describe(failed.error()))),
                },
            }
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        loop {
            let (mut connection, since) = lock(&self.idle).pop()?;
            if since.elapsed() < IDLE_TIMEOUT && connection.is_ready() {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection, FetchError> {
        let connecting = async {
            let stream = self.connector.clone().call(self.origin.clone()).await.map_err(|error| describe(&*error))?;
            let handshake = http1::Builder::new().max_buf_size(LARGEST_BUFFER).handshake(stream);
            let (requests, driver) = handshake.await.map_err(|error| describe(&error))?;
            Ok(Connection { requests, driver: Some(Box::new(driver)) })
        };
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await;
        if !self.closes_unused.replace(true) {
            tokio::spawn(close_unused(Arc::downgrade(&self.idle)));
        }
        connected.unwrap_or_else(|_| Err("no connection in time".into())).map_err(FetchError::NotSent)
    }
}

type Driver = http1::Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Full<Bytes>>;

/// It reads and writes only while somebody waits for an answer. In a task of its own it would be woken for each answer, and
/// then wake whoever waits.
struct Connection {
    requests: SendRequest<Full<Bytes>>,
    /// None once the connection is closed.
    driver: Option<Box<Driver>>,
}

impl Connection {
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let answer = self.requests.try_send_request(request);
        self.drive(answer).await
    }

    /// Reads and writes until `answer` is there.
    async fn drive<T>(&mut self, answer: impl Future<Output = T>) -> T {
        // Only `drive_once` makes progress, so `answer` wakes nobody: else each part of an answer would cause another poll.
        let mut answer = pin!(unconstrained(answer));
        let mut asked = Context::from_waker(Waker::noop());
        poll_fn(|context| {
            if let Poll::Ready(done) = answer.as_mut().poll(&mut asked) {
                return Poll::Ready(done);
            }
            self.drive_once(context);
            answer.as_mut().poll(&mut asked)
        })
        .await
    }

    fn drive_once(&mut self, context: &mut Context<'_>) {
        if self.driver.as_mut().is_some_and(|driver| driver.poll_unpin(context).is_ready()) {
            self.driver = None;
        }
    }

    /// Whether it can take a request: all of the last answer has been read, and the server has not closed it.
    fn is_ready(&mut self) -> bool {
        // Nobody waits for it, so it keeps nobody's waker.
        self.drive_once(&mut Context::from_waker(Waker::noop()));
        self.requests.is_ready()
    }
}

/// Closes connections that were idle for too long, until the client is gone.
async fn close_unused(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE_TIMEOUT).await;
        let Some(idle) = idle.upgrade() else { return };
        lock(&idle).retain(|(_, since)| since.elapsed() < IDLE_TIMEOUT);
    }
}

fn lock(idle: &Idle) -> MutexGuard<'_, Vec<(Connection, Instant)>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(mut incoming: Incoming) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::with_capacity(256);
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| FetchError::Unanswered(describe(&error)))?;
        let chunk = frame.into_data().unwrap_or_default();
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(FetchError::too_large(MAX_ANSWER));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::{
        io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
        net::TcpListener,
    };
    use tokio_rustls::{TlsAcceptor, rustls};

    use super::*;

    /// Answers the requests of one connection with `answers` and then closes it. Returns what it has read.
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &[&str]) -> String {
        let mut read = Vec::new();
        for answer in answers {
            while !read.ends_with(b"\r\n\r\n") && stream.read_buf(&mut read).await.expect("readable") > 0 {}
            read.push(b'|');
            stream.write_all(answer.as_bytes()).await.expect("writable");
        }
        String::from_utf8(read).expect("text")
    }

    fn with_body(length: usize) -> String {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}", "x".repeat(length))
    }

    fn get(path: &str) -> Outgoing {
        Outgoing::new(Method::GET, path.parse().expect("a path"), Vec::new())
    }

    fn client(listener: &TcpListener, scheme: &str, tls: &Tls) -> OneHost {
        let port = listener.local_addr().expect("an address").port();
        let base = format!("{scheme}://localhost:{port}").parse().expect("a URL");
        OneHost::new(&base, tls, Duration::from_secs(5)).expect("a client")
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("a port")
    }

    /// A server's certificate, and a client that trusts it.
    fn trusted() -> (TlsAcceptor, Tls) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let server = rustls::ServerConfig::builder().with_no_client_auth();
        let server = server.with_single_cert(vec![made.cert.der().clone()], key).expect("a key of the certificate");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("a root certificate");
        let client = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        (TlsAcceptor::from(Arc::new(server)), Tls(client))
    }

    #[tokio::test]
    async fn two_requests_share_a_tls_connection_and_a_third_is_not_lost_when_it_closes() {
        let system = Tls::from_system().expect("the system's certificates");
        let (acceptor, trusted) = trusted();
        let listener = listener().await;
        let server = async {
            for answers in [[with_body(2), with_body(3)].as_slice(), &[with_body(4)]] {
                let stream = acceptor.accept(listener.accept().await.expect("a client").0).await.expect("TLS");
                let read = answer(stream, &answers.iter().map(String::as_str).collect::<Vec<_>>()).await;
                assert_eq!(read.matches("GET /path?secret=1 HTTP/1.1\r\nhost: localhost:").count(), answers.len());
            }
            acceptor.accept(listener.accept().await.expect("a client").0).await.expect_err("not trusted");
        };
        let client_of = |tls| client(&listener, "https", tls);
        let calls = async {
            let client = client_of(&trusted);
            for length in [2, 3, 4] {
                assert_eq!(client.fetch(get("/path?secret=1")).await.expect("an answer").len(), length);
            }
            let error = client_of(&system).fetch(get("/path?secret=1")).await.expect_err("not trusted");
            assert!(matches!(error, FetchError::NotSent(_)), "{error:?}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        };
        tokio::join!(server, calls);
    }

    #[tokio::test]
    async fn a_body_is_limited_and_a_request_that_was_written_is_not_sent_again() {
        let tls = Tls::from_system().expect("the system's certificates");
        let listener = listener().await;
        let server = async {
            let (largest, too_large) = (with_body(MAX_ANSWER), with_body(MAX_ANSWER + 1));
            // The second request has no answer.
            for answers in [[largest.as_str(), ""].as_slice(), &[&too_large]] {
                let read = answer(listener.accept().await.expect("a client").0, answers).await;
                assert_eq!(read.matches("GET").count(), answers.len());
            }
        };
        let calls = async {
            let client = client(&listener, "http", &tls);
            assert_eq!(client.fetch(get("/")).await.expect("an answer").len(), MAX_ANSWER);
            let unanswered = client.fetch(get("/")).await.expect_err("no answer");
            assert!(matches!(unanswered, FetchError::Unanswered(_)), "{unanswered:?}");
            assert_eq!(client.fetch(get("/")).await.expect_err("too large"), FetchError::too_large(MAX_ANSWER));
        };
        tokio::join!(server, calls);
    }

    #[tokio::test]
    async fn a_head_of_16_kib_is_read() {
        let tls = Tls::from_system().expect("the system's certificates");
        let listener = listener().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Padding: {}\r\n\r\nok", "x".repeat(16 * 1024));
        let server = async { answer(listener.accept().await.expect("a client").0, &[&head]).await };
        let client = client(&listener, "http", &tls);
        let (_, body) = tokio::join!(server, client.fetch(get("/")));
        assert_eq!(body.expect("an answer"), b"ok");
    }

    /// The byte is sent with the answer, or after it.
    #[tokio::test]
    async fn a_connection_on_which_a_byte_arrives_that_nobody_asked_for_is_not_used_again() {
        let tls = Tls::from_system().expect("the system's certificates");
        for with_the_answer in [true, false] {
            let (listener, told) = (listener().await, listener().await);
            let (surplus, later) = if with_the_answer { ("x", "") } else { ("", "x") };
            let server = async {
                let mut first = listener.accept().await.expect("a client").0;
                answer(&mut first, &[&(with_body(2) + surplus)]).await;
                let mut signal = told.accept().await.expect("a client").0;
                first.write_all(later.as_bytes()).await.ok();
                signal.write_all(b".").await.expect("writable");
                answer(listener.accept().await.expect("another connection").0, &[&with_body(3)]).await
            };
            let calls = async {
                let client = client(&listener, "http", &tls);
                assert_eq!(client.fetch(get("/")).await.expect("an answer").len(), 2);
                let mut signal = TcpStream::connect(told.local_addr().expect("an address")).await.expect("the server");
                signal.read_u8().await.expect("the byte has been sent");
                assert_eq!(client.fetch(get("/")).await.expect("an answer").len(), 3);
            };
            let both = futures_util::future::join(server, calls);
            tokio::time::timeout(Duration::from_secs(60), both).await.expect("a second connection");
        }
    }
}
