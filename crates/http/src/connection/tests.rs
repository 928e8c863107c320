//! Tests over real sockets, with connections that actix-web itself would keep open for ever.

use std::{future::pending, net::SocketAddr, sync::LazyLock};

use actix_web::{App, rt::spawn, web};
use rustix::net::sockopt::socket_linger;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tracing_actix_web::TracingLogger;

use super::closing::TICK;
use super::*;
use crate::{RequestSpan, ServerLimits, listen, serve};

/// A connection may be idle for this time plus `HEAD_TIMEOUT`.
const KEEP_ALIVE: Duration = Duration::from_secs(1);
/// Longer than any test here takes, so that a broken test fails and does not hang.
const LATEST: Duration = Duration::from_secs(20);
/// More bytes than the sockets of both sides buffer.
const LARGE: usize = 3 * 1024 * 1024;
/// So few bytes at a time that the whole takes twice as long as any test here.
const DROP: usize = 4 * 1024;

const MEBIBYTE: usize = 1024 * 1024;
static SHARED: LazyLock<Vec<web::Bytes>> = LazyLock::new(|| {
    (0..MOST_UNREAD / MEBIBYTE)
        .map(|_| vec![b'x'; MEBIBYTE].into())
        .collect()
});

fn server() -> SocketAddr {
    server_with(ServerLimits {
        keep_alive: KEEP_ALIVE,
        answer: 2 * LATEST,
        ..ServerLimits::default()
    })
}

fn server_with(limits: ServerLimits) -> SocketAddr {
    let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let large = async || vec![b'x'; LARGE];
    let mebibyte = async || vec![b'x'; MEBIBYTE];
    let app = move || {
        let small = App::new().route("/small", web::get().to(async || "small"));
        let small = small.route(
            "/shared/{copy}",
            web::get().to(async |copy: web::Path<usize>| SHARED[*copy].clone()),
        );
        let longer = async |more: web::Path<usize>| vec![b'x'; MEBIBYTE + *more];
        let small = small.route("/longer/{more}", web::get().to(longer));
        let all = small
            .route("/large", web::get().to(large))
            .route("/mebibyte", web::get().to(mebibyte));
        // Wrapped like our listeners' apps. The layer hides that a body is one piece of bytes.
        all.wrap(TracingLogger::<RequestSpan>::new())
    };
    spawn(serve(listener, limits, app, pending()).expect("a server"));
    address
}

async fn asked(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a listener");
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// Reads until the server closes the connection. Returns the number of bytes.
async fn rest(stream: &mut TcpStream) -> usize {
    let mut rest = Vec::new();
    // A reset also closes the connection.
    let _ = timeout(LATEST, stream.read_to_end(&mut rest))
        .await
        .expect("closed by the server");
    rest.len()
}

#[actix_web::test]
async fn a_second_head_that_never_ends_does_not_hold_its_connection() {
    let address = server_with(ServerLimits {
        keep_alive: 2 * LATEST,
        ..ServerLimits::default()
    });
    let mut stream = asked(address, "GET /small HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(stream.read(&mut [0; 1024]).await.expect("an answer") > 0);
    stream.write_all(b"\r\n").await.expect("sent");
    timeout(2 * TICK + HEAD_TIMEOUT, stream.read(&mut [0]))
        .await
        .expect_err("it may be idle");
    stream.write_all(b"G").await.expect("sent");
    assert_eq!(rest(&mut stream).await, 0);
}

#[actix_web::test]
async fn an_answer_that_is_read_slowly_arrives_whole() {
    let mut stream = asked(
        server(),
        "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
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
    let address = server_with(ServerLimits {
        answer: 2 * TICK,
        ..ServerLimits::default()
    });
    let mut stream = asked(address, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut in_drops = tokio::time::interval(TICK / 20);
    let (mut buffer, mut count) = (vec![0; DROP], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        count += read;
        in_drops.tick().await;
    }
    assert!(count < LARGE, "{count}");
}

async fn connected(client: [u8; 4], address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind((client, 0).into())
        .expect("an address of this machine");
    socket.connect(address).await.expect("a listener")
}

async fn asked_from(client: [u8; 4], address: SocketAddr, path: &str) -> TcpStream {
    let mut stream = connected(client, address).await;
    stream
        .write_all(
            format!("GET /{path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await
        .expect("sent");
    assert_eq!(status(&mut stream).await, "HTTP/1.1 200", "{path}");
    stream
}

async fn status(stream: &mut TcpStream) -> String {
    let mut line = [0; 12];
    timeout(LATEST, stream.read_exact(&mut line))
        .await
        .expect("in time")
        .expect("a status line");
    String::from_utf8_lossy(&line).into_owned()
}

const HONEST: [u8; 4] = [127, 0, 0, 2];
const GREEDY: [u8; 4] = [127, 0, 0, 1];

/// The answers are longer than the system's buffers for a connection. A client that reads only one
/// status line counts as a client that does not read.
#[actix_web::test]
async fn when_unread_answers_fill_their_room_who_holds_most_loses_the_oldest_and_newcomers_are_served()
 {
    let (address, room) = (server(), MOST_UNREAD / MEBIBYTE);
    let mut shared = Vec::new();
    for _ in 0..3 * room {
        shared.push(asked_from(HONEST, address, "shared/0").await);
    }
    let mut honest = asked_from(HONEST, address, "mebibyte").await;
    let mut greedy = Vec::new();
    for _ in 0..2 * room {
        greedy.push(asked_from(GREEDY, address, "mebibyte").await);
    }
    // One mebibyte holds the shared bytes, and one the honest client's answer.
    let kept = greedy.split_off(2 * room - (room - 2));
    for mut lost in greedy {
        assert!(rest(&mut lost).await < MEBIBYTE);
    }
    assert!(rest(&mut honest).await > MEBIBYTE);
    for mut stream in kept.into_iter().chain(shared) {
        assert!(rest(&mut stream).await > MEBIBYTE);
    }
}

#[actix_web::test]
async fn clients_that_share_what_they_do_not_read_hold_no_less_than_one_that_reads() {
    let (address, mut greedy) = (server(), Vec::new());
    for client in 0..2 * SHARED.len() {
        let path = format!("shared/{}", client / 2);
        greedy.push(asked_from([127, 0, 1, client as u8], address, &path).await);
    }
    let mut honest = asked_from(HONEST, address, "mebibyte").await;
    assert!(rest(&mut honest).await > MEBIBYTE);
    for mut longest in greedy.drain(..2) {
        assert!(rest(&mut longest).await < MEBIBYTE);
    }
}

#[actix_web::test]
async fn an_answer_that_was_read_takes_no_room() {
    let address = server_with(ServerLimits::default());
    let mut streams = Vec::new();
    for number in 0..=MOST_UNREAD / MEBIBYTE + 1 {
        streams.push(connected(HONEST, address).await);
        for (stream, more) in [(number, 2 * number), (0, 2 * number + 1)] {
            let stream = &mut streams[stream];
            // All lengths differ, so that no answer is mistaken for another that had its memory
            // before.
            let request = format!("GET /longer/{more} HTTP/1.1\r\nHost: a\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("sent");
            let read = timeout(LATEST, stream.read_exact(&mut vec![0; MEBIBYTE]))
                .await
                .expect("in time");
            read.expect("not broken off");
        }
    }
}

/// The bytes in the system's buffers that a server's connections have sent and their clients have
/// not read.
fn unread_in_the_system(server: SocketAddr) -> u64 {
    let local = format!("0100007F:{:04X}", server.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let row = table
        .lines()
        .map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let sent = row
        .filter(|row| row[1] == local)
        .filter_map(|row| row[4].split(':').next());
    sent.map(|bytes| u64::from_str_radix(bytes, 16).expect("a number"))
        .sum()
}

/// Without `MSG_EOR`, the system would gather up to 64 KiB in one packet.
#[actix_web::test]
async fn the_system_keeps_no_more_of_an_unread_answer_than_the_send_buffer_has_room_for() {
    let address = server();
    let _stream = asked(address, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut samples = Vec::new();
    while samples.len() < 20
        || samples[samples.len() - 20..]
            .iter()
            .any(|sample| *sample != samples[samples.len() - 1])
    {
        tokio::time::sleep(TICK / 50).await;
        samples.push(unread_in_the_system(address));
    }
    let kept = samples[samples.len() - 1];
    assert!((1..32 * 1024).contains(&kept), "{samples:?}");
}

#[actix_web::test]
async fn the_system_keeps_nothing_of_an_answer_whose_time_is_over() {
    let address = server_with(ServerLimits {
        answer: TICK,
        ..ServerLimits::default()
    });
    let _stream = asked(address, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for is_kept in [true, false] {
        let changed = async {
            while (unread_in_the_system(address) > 0) != is_kept {
                tokio::time::sleep(TICK / 50).await;
            }
        };
        timeout(LATEST, changed)
            .await
            .unwrap_or_else(|_| panic!("kept is not {is_kept}"));
    }
}

#[actix_web::test]
async fn a_connection_is_reset_while_its_client_does_not_read_an_answer() {
    let (address, now) = (server(), Instant::now());
    let connections = Connections::watched(ServerLimits::default());
    let [idle, body, answers, flushes] =
        [Phase::Idle, Phase::Body, Phase::Answers, Phase::Flushes].map(|of| of(now));
    for (phase, is_reset) in [
        (Phase::Works, false),
        (idle, false),
        (body, false),
        (answers, true),
        (flushes, true),
    ] {
        let stream = connected(HONEST, address).await;
        let connection = connections.accept(&stream).expect("a connection");
        connection.is_in(phase);
        connection.close();
        let linger = socket_linger(&connection.socket).expect("an option");
        assert_eq!(linger.is_some(), is_reset, "{phase:?}");
    }
}

#[actix_web::test]
async fn when_all_places_are_taken_a_newcomer_takes_the_oldest_of_who_holds_most() {
    let address = server_with(ServerLimits {
        connections: 4,
        ..ServerLimits::default()
    });
    let (mut honest, mut greedy) = (connected(HONEST, address).await, Vec::new());
    for _ in 0..6 {
        greedy.push(connected(GREEDY, address).await);
    }
    for lost in &mut greedy[..3] {
        assert_eq!(rest(lost).await, 0);
    }
    for kept in greedy[3..].iter_mut().chain([&mut honest]) {
        kept.write_all(b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("sent");
        assert_eq!(status(kept).await, "HTTP/1.1 200");
    }
}

#[actix_web::test]
async fn a_head_that_does_not_end_is_refused_when_it_is_longer_than_any_that_is_read() {
    const MOST: usize = 40 * 1024;
    // Each piece is a packet of its own. In the other cases, no packet or every packet begins with
    // what may be an empty line.
    let pieces = [
        "x".repeat(MOST),
        "X: x\r\n".repeat(50),
        format!("\r\nX: {}", "x".repeat(4000)),
        "\r\n".repeat(100),
    ];
    for (begin, piece) in [
        "GET /small HTTP/1.1\r\nHost: a\r\nX: ",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1",
        "",
    ]
    .iter()
    .zip(pieces)
    {
        let mut stream = TcpStream::connect(server()).await.expect("a listener");
        stream.set_nodelay(true).expect("a socket");
        stream.write_all(begin.as_bytes()).await.expect("sent");
        let sent = async {
            for _ in 0..MOST / piece.len() {
                // The server may close before it has all of it.
                stream.write_all(piece.as_bytes()).await.ok()?;
            }
            Some(())
        };
        let _ = sent.await;
        let mut answer = Vec::new();
        let _ = timeout(LATEST, stream.read_to_end(&mut answer))
            .await
            .expect("closed by the server");
        assert!(
            answer.starts_with(b"HTTP/1.1 431 "),
            "{piece:.9?}: {}",
            String::from_utf8_lossy(&answer)
        );
    }
}

/// The same holds if lines end without a carriage return. (If requests with bodies are sent ahead,
/// actix-http answers one and closes.)
#[actix_web::test]
async fn requests_that_are_sent_before_the_last_answer_was_read_are_all_answered() {
    const TIMES: usize = 500;
    let requests = [
        "GET /small HTTP/1.1\r\nHost: a\r\n\r\n",
        "DELETE /small HTTP/1.1\nHost: a\n\n",
    ];
    let last = "POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nConnection: close\r\n\r\n{\r\n\r\n}";
    let mut stream = asked(server(), &(requests.concat().repeat(TIMES) + last)).await;
    let mut answers = String::new();
    timeout(LATEST, stream.read_to_string(&mut answers))
        .await
        .expect("in time")
        .expect("text");
    let count = |status: &str| answers.matches(status).count();
    assert_eq!(
        [count("HTTP/1.1 200"), count("HTTP/1.1 404")],
        [TIMES, TIMES + 1]
    );
}
