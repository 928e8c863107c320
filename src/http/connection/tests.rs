//! Over real sockets: connections that actix-web itself would hold for ever.

use std::{future::pending, net::SocketAddr};

use actix_web::{App, web};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::*;
use crate::http::{Limits, listen, serve, server::HEAD_TIMEOUT};

/// A connection may be idle for this and `HEAD_TIMEOUT`.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Longer than anything here takes, so that a broken test fails and does not hang.
const LATEST: Duration = Duration::from_secs(20);
/// More than the sockets of both sides keep.
const LARGE: usize = 32 * 1024 * 1024;

fn server() -> SocketAddr {
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let large = async || vec![b'x'; LARGE];
    let app = move || App::new().route("/small", web::get().to(async || "small")).route("/large", web::get().to(large));
    let limits = Limits { keep_alive: KEEP_ALIVE, ..Limits::default() };
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
    for head in ["", "Connection: close\r\n"] {
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
async fn an_answer_is_buffered_in_pieces() {
    let body = BoxBody::new(vec![b'x'; 3 * PIECE + 1]);
    let mut answer = AnswerBody { body, unsent: Bytes::new(), _request_body: None, connection: None };
    let mut pieces = Vec::new();
    while let Some(piece) = std::future::poll_fn(|cx| Pin::new(&mut answer).poll_next(cx)).await {
        pieces.push(piece.expect("a piece").len());
    }
    assert_eq!(pieces, [PIECE, PIECE, PIECE, 1]);
}
