//! Tests of `Upstream` with servers that misbehave.

use std::sync::Arc;

use reqwest::{Method, Request, Url};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Answers the requests of one connection with `answers` and then closes it. Returns what it has read.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin, answers: &[&str]) -> String {
    let mut read = Vec::new();
    for answer in answers {
        while !read.ends_with(b"\r\n\r\n")
            && stream.read_buf(&mut read).await.expect("readable") > 0
        {}
        read.push(b'|');
        stream.write_all(answer.as_bytes()).await.expect("writable");
    }
    String::from_utf8(read).expect("text")
}

fn with_body(length: usize) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{}",
        "x".repeat(length)
    )
}

/// A client, and the request that it sends to `listener`.
struct Caller(Upstream, Url);

impl Caller {
    fn of(listener: &TcpListener, scheme: &str, tls: &Tls) -> Self {
        let port = listener.local_addr().expect("an address").port();
        let url = format!("{scheme}://localhost:{port}/path?secret=1")
            .parse()
            .expect("a URL");
        let upstream =
            Upstream::new(tls, Duration::from_secs(5), Duration::from_mins(1)).expect("a client");
        Self(upstream, url)
    }

    async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        self.0
            .fetch(Request::new(Method::GET, self.1.clone()))
            .await
            .map(|fetched| fetched.body)
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port")
}

/// A server's certificate, and a client that trusts it.
fn trusted() -> (TlsAcceptor, Tls) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = rustls::ServerConfig::builder().with_no_client_auth();
    let server = server
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key of the certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(made.cert.der().clone())
        .expect("a root certificate");
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), Tls(client))
}

#[tokio::test]
async fn two_requests_share_a_tls_connection_and_a_third_is_not_lost_when_it_closes() {
    let system = Tls::from_system().expect("the system's certificates");
    let (acceptor, trusted) = trusted();
    let listener = listener().await;
    let server = async {
        for answers in [[with_body(2), with_body(3)].as_slice(), &[with_body(4)]] {
            let stream = acceptor
                .accept(listener.accept().await.expect("a client").0)
                .await
                .expect("TLS");
            let read = answer(
                stream,
                &answers.iter().map(String::as_str).collect::<Vec<_>>(),
            )
            .await;
            assert_eq!(
                read.matches("GET /path?secret=1 HTTP/1.1\r\n").count(),
                answers.len()
            );
        }
        acceptor
            .accept(listener.accept().await.expect("a client").0)
            .await
            .expect_err("not trusted");
    };
    let client_of = |tls| Caller::of(&listener, "https", tls);
    let calls = async {
        let client = client_of(&trusted);
        for length in [2, 3, 4] {
            assert_eq!(client.fetch().await.expect("an answer").len(), length);
        }
        let error = client_of(&system).fetch().await.expect_err("not trusted");
        assert!(matches!(error, FetchError::NotSent(_)), "{error:?}");
        assert!(
            !format!("{error} {error:?}").contains("secret"),
            "{error:?}"
        );
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn a_body_is_limited_and_a_request_that_was_written_is_not_sent_again() {
    let tls = Tls::from_system().expect("the system's certificates");
    let listener = listener().await;
    let server = async {
        let (largest, too_large) = (with_body(MAX_ANSWER), with_body(MAX_ANSWER + 1));
        // The second request gets no answer.
        for answers in [[largest.as_str(), ""].as_slice(), &[&too_large]] {
            let read = answer(listener.accept().await.expect("a client").0, answers).await;
            assert_eq!(read.matches("GET").count(), answers.len());
        }
    };
    let calls = async {
        let client = Caller::of(&listener, "http", &tls);
        assert_eq!(client.fetch().await.expect("an answer").len(), MAX_ANSWER);
        let unanswered = client.fetch().await.expect_err("no answer");
        assert!(
            matches!(unanswered, FetchError::Unanswered(_)),
            "{unanswered:?}"
        );
        assert_eq!(
            client.fetch().await.expect_err("too large"),
            FetchError::Unanswered("more than 64 KiB".into())
        );
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn a_head_of_16_kib_is_read() {
    let tls = Tls::from_system().expect("the system's certificates");
    let listener = listener().await;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Padding: {}\r\n\r\nok",
        "x".repeat(16 * 1024)
    );
    let server = async { answer(listener.accept().await.expect("a client").0, &[&head]).await };
    let client = Caller::of(&listener, "http", &tls);
    let (_, body) = tokio::join!(server, client.fetch());
    assert_eq!(body.expect("an answer"), b"ok");
}

/// The byte is sent with the answer, or after it.
#[tokio::test]
async fn a_connection_on_which_a_byte_arrives_that_nobody_asked_for_is_not_used_again() {
    let tls = Tls::from_system().expect("the system's certificates");
    for with_the_answer in [true, false] {
        let (listener, told) = (listener().await, listener().await);
        let (surplus, later) = if with_the_answer {
            ("x", "")
        } else {
            ("", "x")
        };
        let server = async {
            let mut first = listener.accept().await.expect("a client").0;
            answer(&mut first, &[&(with_body(2) + surplus)]).await;
            let mut signal = told.accept().await.expect("a client").0;
            first.write_all(later.as_bytes()).await.ok();
            signal.write_all(b".").await.expect("writable");
            answer(
                listener.accept().await.expect("another connection").0,
                &[&with_body(3)],
            )
            .await
        };
        let calls = async {
            let client = Caller::of(&listener, "http", &tls);
            assert_eq!(client.fetch().await.expect("an answer").len(), 2);
            let mut signal = TcpStream::connect(told.local_addr().expect("an address"))
                .await
                .expect("the server");
            signal.read_u8().await.expect("the byte has been sent");
            assert_eq!(client.fetch().await.expect("an answer").len(), 3);
        };
        let both = futures_util::future::join(server, calls);
        tokio::time::timeout(Duration::from_mins(1), both)
            .await
            .expect("a second connection");
    }
}
