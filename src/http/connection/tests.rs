//! Over real sockets: connections that actix-web itself would hold for ever.

use std::{future::pending, net::SocketAddr};

use actix_web::{App, web};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::*;
use crate::http::{ServerLimits, listen, serve, server::HEAD_TIMEOUT};

/// A connection may be idle for this and `HEAD_TIMEOUT`.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Longer than anything here takes, so that a broken test fails and does not hang.
const LATEST: Duration = Duration::from_secs(20);
/// More than the sockets of both sides keep.
const LARGE: usize = 3 * 1024 * 1024;
/// So little that the whole takes twice as long as anything here.
const DROP: usize = 4 * 1024;

fn server() -> SocketAddr {
    server_whose_answers_may_take(2 * LATEST)
}

fn server_whose_answers_may_take(answer: Duration) -> SocketAddr {
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let large = async || vec![b'x'; LARGE];
    let mebibyte = async || vec![b'x'; 1024 * 1024];
    let app = move || {
        let small = App::new().route("/small", web::get().to(async || "small"));
        small.route("/large", web::get().to(large)).route("/mebibyte", web::get().to(mebibyte))
    };
    let limits = ServerLimits { keep_alive: KEEP_ALIVE, answer, ..ServerLimits::default() };
    spawn(serve(listener, limits, app, pending()).expect("a server"));
    address
}

async fn asked(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a listener");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// Reads until the server closes, and counts.
async fn rest(stream: &mut TcpStream) -> usize {
    let mut rest = Vec::new();
    // A reset is a way to close, too.
    let _ = timeout(LATEST, stream.read_to_end(&mut rest)).await.expect("closed by the server");
    rest.len()
}

#[actix_web::test]
async fn a_second_head_that_never_ends_does_not_hold_its_connection() {
    let mut stream = asked(server(), "GET /small HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(stream.read(&mut [0; 1024]).await.expect("an answer") > 0);
    stream.write_all(b"G").await.expect("sent");
    assert_eq!(rest(&mut stream).await, 0);
}

#[actix_web::test]
async fn an_answer_that_is_not_read_does_not_hold_its_connection() {
    let (address, mut streams) = (server(), Vec::new());
    for head in ["", "ClientConnection: close\r\n"] {
        streams.push(asked(address, &format!("GET /large HTTP/1.1\r\nHost: a\r\n{head}\r\n")).await);
    }
    tokio::time::sleep(KEEP_ALIVE + HEAD_TIMEOUT + 4 * TICK).await;
    for mut stream in streams {
        assert!(rest(&mut stream).await < LARGE);
    }
}

#[actix_web::test]
async fn an_answer_that_is_read_slowly_arrives_whole() {
    let mut stream = asked(server(), "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let mut slowly = tokio::time::interval(Duration::from_millis(150));
    let (mut buffer, mut count) = (vec![0; LARGE / 100], 0);
    loop {
        slowly.tick().await;
        match stream.read(&mut buffer).await.expect("not broken off") {
            0 => break,
            read => count += read,
        }
    }
    assert!(count > LARGE, "{count}");
}

#[actix_web::test]
async fn an_answer_that_is_read_in_drops_has_a_time_by_which_it_must_have_been_read() {
    let address = server_whose_answers_may_take(2 * TICK);
    let mut stream = asked(address, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut in_drops = tokio::time::interval(TICK / 20);
    let (begun, mut buffer, mut count) = (Instant::now(), vec![0; DROP], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        count += read;
        assert!(count < LARGE && begun.elapsed() < LATEST, "{count}");
        in_drops.tick().await;
    }
}

/// The answers are longer than all that the kernel keeps for a connection. A client that reads one status line is one that
/// does not read.
#[actix_web::test]
async fn what_clients_do_not_read_is_bounded_and_short_answers_are_still_given() {
    let (address, mut streams, mut statuses) = (server(), Vec::new(), Vec::new());
    let request = |path| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..140 {
        let mut stream = asked(address, &request("mebibyte")).await;
        statuses.push(status(&mut stream).await);
        streams.push(stream);
    }
    let count = |wanted: &str| statuses.iter().filter(|status| *status == wanted).count();
    assert_eq!((count("HTTP/1.1 200"), count("HTTP/1.1 503")), (128, 12), "{statuses:?}");
    assert_eq!(status(&mut asked(address, &request("small")).await).await, "HTTP/1.1 200");
    drop(streams);
    let again = timeout(LATEST, async {
        while status(&mut asked(address, &request("mebibyte")).await).await != "HTTP/1.1 200" {
            tokio::time::sleep(TICK / 20).await;
        }
    });
    again.await.expect("there is room again");
}

async fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    timeout(LATEST, stream.read_exact(&mut line)).await.expect("in time").expect("a status line");
    String::from_utf8_lossy(&line).into_owned()
}

/// Also if lines end without a carriage return. (Of requests with bodies, actix-http answers one and closes.)
#[actix_web::test]
async fn requests_that_are_sent_before_the_last_answer_was_read_are_all_answered() {
    const TIMES: usize = 500;
    let requests = ["GET /small HTTP/1.1\r\nHost: a\r\n\r\n", "DELETE /small HTTP/1.1\nHost: a\n\n"];
    let last = "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\n{\r\n\r\n}";
    let mut stream = asked(server(), &(requests.concat().repeat(TIMES) + last)).await;
    let mut answers = String::new();
    timeout(LATEST, stream.read_to_string(&mut answers)).await.expect("in time").expect("text");
    let count = |status: &str| answers.matches(status).count();
    assert_eq!([count("HTTP/1.1 200"), count("HTTP/1.1 404")], [TIMES, TIMES + 1]);
}
