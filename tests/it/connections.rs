//! A connection is closed when its client stops sending or reading, and there is a bound on how many there are.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::thread;

use futures_util::future::join;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::revocations;
use crate::support::prelude::*;

/// 10 s for the body, 1 s for the client to read its answer, and what a busy machine adds.
const BODY_DEADLINE: Duration = Duration::from_millis(13_500);
/// 5 s for the head, and the same.
const HEAD_DEADLINE: Duration = Duration::from_millis(8_500);
/// Clients that send each request at once.
const CLIENTS: usize = 15;

const STALLED: &str = "Transfer-Encoding: chunked\r\n";
const STALLED_JSON: &str = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn a_body_that_never_ends_does_not_hold_its_connection_on_any_listener() {
    let bed = TestBed::start().await;
    let sidecar = SidecarSettings::new("http://127.0.0.1:1/jwks")
        .start()
        .await;
    let started = Demo::start().await;
    let (public, admin, wechat, demo) = (
        bed.service().public,
        bed.service().admin,
        bed.wechat.address,
        started.address,
    );
    let before = bed.service().open_files();

    let requests = [
        (public, "POST /nothing", STALLED, 404),
        (
            public,
            "POST /login",
            "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n",
            415,
        ),
        (public, "POST /login", STALLED_JSON, 408),
        (public, "POST /logout", STALLED_JSON, 401),
        (public, "GET /.well-known/jwks.json", STALLED, 200),
        (public, "POST /nothing", "Content-Length: 9\r\n", 404),
        (admin, "POST /livez", STALLED, 405),
        (admin, "GET /metrics", STALLED, 200),
        (sidecar.public, "GET /verify", STALLED, 401),
        (sidecar.admin, "GET /metrics", STALLED, 200),
        (wechat, "PUT /_simulator/codes", STALLED, 405),
        (wechat, "POST /cgi-bin/stable_token", STALLED_JSON, 400),
        (demo, "GET /", STALLED, 200),
    ];
    let ask = async |(listener, line, headers, status): (SocketAddr, &str, &str, u16)| {
        let request = wire_request(line, &listener.to_string(), headers, "");
        let received =
            Received::after(listener, request.as_bytes(), Pace::AtOnce, BODY_DEADLINE).await;
        assert_eq!(
            received.status(),
            Some(status),
            "{listener} {line} {headers}: {}",
            received.text()
        );
    };
    join_all(
        requests
            .into_iter()
            .cycle()
            .take(requests.len() * CLIENTS)
            .map(ask),
    )
    .await;
    join_all(
        [public, admin, sidecar.public, sidecar.admin, wechat, demo].map(async |listener| {
            let received =
                Received::after(listener, b"GET / HTTP/1.1\r\n", Pace::AtOnce, HEAD_DEADLINE).await;
            assert_eq!(
                received.status(),
                Some(408),
                "{listener}, half a head: {}",
                received.text()
            );
        }),
    )
    .await;
    until("no connection is left", PATIENCE, async || {
        bed.service().open_files() <= before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_bodies_whole_keeps_its_connection_whatever_the_answer() {
    let bed = TestBed::start().await;
    let mut connection = Connection::to(bed.service().public).await;
    let code = bed.mint_code("lin").await;
    for (line, headers, body, status) in [
        ("POST /nothing", JSON, "{}".to_owned(), 404),
        ("PUT /login", JSON, "{}".to_owned(), 405),
        (
            "POST /login",
            "Content-Type: text/plain\r\n",
            "hello".to_owned(),
            415,
        ),
        (
            "POST /logout",
            JSON,
            r#"{"everywhere":true}"#.to_owned(),
            401,
        ),
        (
            "GET /.well-known/jwks.json",
            JSON,
            "x".repeat(4 * 1024),
            200,
        ),
        ("POST /login", JSON, format!(r#"{{"code":"{code}"}}"#), 200),
    ] {
        let (found, answer) = connection.send(line, headers, &body).await;
        assert_eq!(found, status, "{line}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_all_places_are_taken_newcomers_are_served_and_no_request_that_is_being_worked_on_is_given_up_for_one()
 {
    // Two for each thread, of which there are as many as cores.
    let bound = 2 * thread::available_parallelism().expect("Linux").get();
    let bed = TestBed::builder()
        .env("WXMINT_MAX_CONNECTIONS", &bound.to_string())
        .start()
        .await;
    let sidecar = SidecarSettings::new("http://127.0.0.1:1/jwks")
        .with("WXMINT_MAX_CONNECTIONS", &bound.to_string());
    let sidecar = sidecar.start().await;
    raise_open_files();
    // The probes have 500 places of their own.
    for (listener, bound) in [
        (bed.service().public, bound),
        (sidecar.public, bound),
        (sidecar.admin, 500),
    ] {
        let mut connected = Vec::new();
        for number in 1..=2 * bound {
            let mut connection = TcpStream::connect(listener).await.expect("a listener");
            let answer = timeout(PATIENCE, ask(&mut connection, "GET /nothing"))
                .await
                .expect("answered");
            assert!(
                number > bound || answer.contains("connection: close") == (number == bound),
                "{number}: {answer}"
            );
            connected.push(connection);
        }
        let open = || {
            connected
                .iter()
                .filter(|connection| is_open(connection))
                .count()
        };
        until("no more than the bound are open", PATIENCE, async || {
            open() <= bound
        })
        .await;
    }

    let codes = bed
        .wechat
        .mint_codes(json!({"person": "lin", "count": bound}))
        .await;
    bed.faults(json!([{"kind": "latency", "ms": 2000}])).await;
    let listener = bed.service().public;
    let newcomers = async {
        let in_flight = async || bed.service().metric("wxmint_logins_in_flight").await as usize;
        until("every place is at work", PATIENCE, async || {
            in_flight().await == bound
        })
        .await;
        for _ in 0..3 * bound {
            ask(
                &mut TcpStream::connect(listener).await.expect("a listener"),
                "GET /nothing",
            )
            .await;
        }
    };
    let (answers, ()) = join(
        join_all(codes.iter().map(|code| bed.login(code))),
        newcomers,
    )
    .await;
    for answer in answers {
        drop(answer.expect_login());
    }
}

/// So many clients of one kind take no more than so many KiB, of the process and in the kernel's queues.
async fn expect_bounded(clients: usize, at_most: u64, bytes: &str) {
    raise_open_files();
    let bed = TestBed::builder()
        .env("WXMINT_MAX_CONNECTIONS", &clients.to_string())
        .start()
        .await;
    revocations::fill(&bed, revocations::kids(1000));
    let (before, listener) = (bed.service().memory(), bed.service().public);
    let _connections = join_all((0..clients).map(|_| fill(listener, bytes.as_bytes()))).await;
    let (grown, queued) = (
        bed.service().peak_memory() - before,
        queued(listener) / 1024,
    );
    let taken = format!(
        "{:?}: {grown} KiB of the process, {queued} KiB queued",
        &bytes[..30]
    );
    tell(&taken);
    assert!(grown + queued < at_most, "{taken}");
}

fn gets(path: &str) -> String {
    wire_request(&format!("GET {path}"), "a", "", "").repeat(6000)
}

fn half_a_head() -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(16_000))
}

/// How many bytes the connections of a listener have in the kernel's queues.
fn queued(listener: SocketAddr) -> u64 {
    let local = format!("0100007F:{:04X}", listener.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let rows = table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let queues = rows
        .filter(|row| row[1] == local)
        .filter_map(|row| row[4].split_once(':').map(|(sent, read)| [sent, read]));
    queues
        .flatten()
        .map(|bytes| u64::from_str_radix(bytes, 16).expect("a number"))
        .sum()
}

/// Sends as much of it as the server takes. The connection reads nothing.
async fn fill(listener: SocketAddr, bytes: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    // With less of it the server's system would send in small packets, of which it can keep fewer.
    socket.set_recv_buffer_size(64 * 1024).expect("a socket");
    let mut connection = socket.connect(listener).await.expect("a listener");
    // The time is over when the server takes no more.
    let _ = timeout(BUSY, connection.write_all(bytes)).await;
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_takes_a_bounded_amount_of_memory_whatever_its_client_does() {
    for bytes in [gets("/openapi.json"), half_a_head()] {
        expect_bounded(200, 64 * 200, &bytes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn fifteen_hundred_connections_take_a_bounded_amount_of_memory_whatever_their_clients_do() {
    let json = "Content-Type: application/json\r\nContent-Length: 16000\r\n";
    let half_a_body = wire_request("POST /login", "a", json, &"x".repeat(15_900));
    let kinds = [
        half_a_body,
        half_a_head(),
        gets("/openapi.json"),
        gets("/.well-known/jwks.json"),
    ];
    for bytes in &kinds {
        expect_bounded(1500, 64 * 1500, bytes).await;
    }
    expect_bounded(1500, 64 * 1024, &gets("/revocations")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_offers_http_2_is_told_that_its_connection_closes() {
    let bed = TestBed::start().await;
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAA\r\n";
    for (line, status) in [("GET /.well-known/jwks.json", 200), ("GET /nothing", 404)] {
        let request = wire_request(line, "localhost", offer, "");
        let answer = Received::after(
            bed.service().public,
            request.as_bytes(),
            Pace::AtOnce,
            PATIENCE,
        )
        .await;
        assert_eq!(answer.status(), Some(status), "{line}: {}", answer.text());
        assert_eq!(
            answer.header("connection"),
            "close",
            "{line}: {}",
            answer.text()
        );
    }
}

/// The whole answer, which is short enough to come at once.
async fn ask(connection: &mut TcpStream, line: &str) -> String {
    connection
        .write_all(wire_request(line, "localhost", "", "").as_bytes())
        .await
        .expect("an open connection");
    let mut answer = vec![0; 4096];
    let length = connection.read(&mut answer).await.expect("an answer");
    assert!(length > 0, "closed without an answer");
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

fn is_open(connection: &TcpStream) -> bool {
    matches!(connection.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}
