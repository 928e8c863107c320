//! A connection is closed when its client stops sending or reading, and there is a bound on how many there are.

use std::{net::SocketAddr, thread, time::Duration};

use futures_util::future::join_all;

use crate::support::{
    Connection, Demo, Impatient, PATIENCE, Pace, Received, SidecarSettings, TestBed, until, wire_request,
};

/// 10 s for the body, 1 s for the client to read its answer, and what a busy machine adds.
const BODY_DEADLINE: Duration = Duration::from_millis(13_500);
/// Clients that send each request at once.
const CLIENTS: usize = 15;
/// At the bound, a connection that has been idle for 5 s gives its place to a client that waits.
const IDLE: Duration = Duration::from_secs(15);

const STALLED: &str = "Transfer-Encoding: chunked\r\n";
const STALLED_JSON: &str = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
const STALLED_TEXT: &str = "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_ends_does_not_hold_its_connection_on_any_listener() {
    let bed = TestBed::start().await;
    let sidecar = SidecarSettings::new("http://127.0.0.1:1/jwks").start().await;
    let started = Demo::start().await;
    let (public, admin, wechat, demo) =
        (bed.service().public, bed.service().admin, bed.wechat.address, started.address);
    let before = bed.service().open_files();

    let requests = [
        (public, "POST /nothing", STALLED, 404),
        (public, "PUT /login", STALLED, 405),
        (public, "POST /login", STALLED_TEXT, 415),
        (public, "POST /login", STALLED_JSON, 408),
        (public, "POST /logout", STALLED_JSON, 401),
        (public, "GET /.well-known/jwks.json", STALLED, 200),
        (public, "POST /nothing", "Content-Length: 9\r\n", 404),
        (admin, "POST /nothing", STALLED, 404),
        (admin, "POST /livez", STALLED, 405),
        (admin, "GET /metrics", STALLED, 200),
        (sidecar.address, "GET /verify", STALLED, 401),
        (sidecar.address, "POST /nothing", STALLED, 404),
        (sidecar.admin, "POST /livez", STALLED, 405),
        (sidecar.admin, "GET /metrics", STALLED, 200),
        (wechat, "POST /nothing", STALLED, 404),
        (wechat, "PUT /_simulator/codes", STALLED, 405),
        (wechat, "POST /_simulator/codes", STALLED_TEXT, 415),
        (wechat, "POST /_simulator/codes", STALLED_JSON, 400),
        (wechat, "POST /cgi-bin/stable_token", STALLED_JSON, 400),
        (demo, "POST /_simulator/reset", STALLED, 415),
        (demo, "GET /", STALLED, 200),
    ];
    let ask = async |(listener, line, headers, status): (SocketAddr, &str, &str, u16)| {
        let request = wire_request(line, &listener.to_string(), headers, "");
        let received = Received::after(listener, request.as_bytes(), Pace::AtOnce, BODY_DEADLINE).await;
        assert_eq!(received.status(), Some(status), "{listener} {line} {headers}: {}", received.text());
    };
    join_all(requests.into_iter().cycle().take(requests.len() * CLIENTS).map(ask)).await;
    until("no connection is left", PATIENCE, async || bed.service().open_files() <= before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_bodies_whole_keeps_its_connection_whatever_the_answer() {
    let bed = TestBed::start().await;
    let mut connection = Connection::to(bed.service().public).await;
    let code = bed.mint_code("lin").await;
    for (line, headers, body, status) in [
        ("POST /nothing", JSON, "{}".to_owned(), 404),
        ("PUT /login", JSON, "{}".to_owned(), 405),
        ("POST /login", "Content-Type: text/plain\r\n", "hello".to_owned(), 415),
        ("POST /logout", JSON, r#"{"everywhere":true}"#.to_owned(), 401),
        ("GET /.well-known/jwks.json", JSON, "x".repeat(8 * 1024), 200),
        ("POST /login", JSON, format!(r#"{{"code":"{code}"}}"#), 200),
    ] {
        let (found, answer) = connection.send(line, headers, &body).await;
        assert_eq!(found, status, "{line}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_connected_clients_are_served_and_a_newcomer_waits_for_a_free_place() {
    let (bed, bound) = bounded().await;
    let sidecar = SidecarSettings::new("http://127.0.0.1:1/jwks").with("WXMINT_MAX_CONNECTIONS", &bound.to_string());
    let sidecar = sidecar.start().await;
    for (listener, line) in [(bed.service().public, "GET /nothing"), (sidecar.address, "GET /nothing")] {
        let mut connected = connect(listener, bound, line).await;
        let newcomer = Impatient::asks(listener, wire_request(line, "a", "", "").as_bytes()).await;
        for _ in 0..50 {
            for connection in &mut connected {
                assert_eq!(connection.send(line, "", "").await.0, 404);
            }
        }
        assert!(!newcomer.is_answered(), "more than {bound} connections are served");
        drop(connected.pop());
        until("the newcomer is served", PATIENCE, async || newcomer.is_answered()).await;
        for connection in &mut connected {
            assert_eq!(connection.send(line, "", "").await.0, 404);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_idle_connections_give_their_places_to_newcomers() {
    let (bed, bound) = bounded().await;
    let listener = bed.service().public;
    let mut connected = connect(listener, bound, "GET /nothing").await;
    let newcomer = Impatient::asks(listener, wire_request("GET /nothing", "a", "", "").as_bytes()).await;
    let in_use = &mut connected[0];
    until("the newcomer is served", IDLE, async || {
        assert_eq!(in_use.send("GET /nothing", "", "").await.0, 404);
        newcomer.is_answered()
    })
    .await;
}

/// A service that takes two connections for each of its threads, of which there are as many as cores.
async fn bounded() -> (TestBed, usize) {
    let bound = 2 * thread::available_parallelism().expect("Linux").get();
    (TestBed::builder().env("WXMINT_MAX_CONNECTIONS", &bound.to_string()).start().await, bound)
}

/// Connections that have been served once.
async fn connect(listener: SocketAddr, number: usize, line: &str) -> Vec<Connection> {
    let mut connected = Vec::new();
    for _ in 0..number {
        let mut connection = Connection::to(listener).await;
        assert_eq!(connection.send(line, "", "").await.0, 404);
        connected.push(connection);
    }
    connected
}
