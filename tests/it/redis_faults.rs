//! Redis is away at the start or for a while: what probes, `wxmint ready` and the log say. The tests of
//! crates/redis-link hold each failure, and tests/campaign that nothing is lost in one.

use crate::support::prelude::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

#[tokio::test]
async fn a_service_that_starts_before_redis_publishes_its_keys_and_becomes_ready_by_itself() {
    let bed = TestBed::builder().breakable_redis().start().await;
    bed.redis_link().cut().await;
    let early = Service::start(&bed.configuration, bed.http.clone()).await;
    let check = || {
        let asked = ["ready", &format!("http://{}/readyz", early.admin)];
        let checked = bed
            .configuration
            .command_of(&asked)
            .output()
            .expect("wxmint starts");
        (
            checked.status.code(),
            String::from_utf8(checked.stderr).expect("text"),
        )
    };
    let (code, said) = check();
    assert!(
        code == Some(1) && said.starts_with("wxmint: not ready: 503 Service Unavailable, "),
        "{said}"
    );
    assert_eq!(early.readyz().await.status, 503);
    assert_eq!(early.admin("/livez").await.status, 200);
    let jwks = early.get("/.well-known/jwks.json").await;
    assert!(jwks.status == 200 && jwks.took < BUSY, "{jwks:?}");
    early
        .login(&bed.mint_code("lin").await)
        .await
        .expect_problem(503, "store_unavailable");
    bed.redis_link().restore().await;
    early.ready().await;
    assert_eq!(check(), (Some(0), String::new()));
    // Without a URL it asks where the settings say that the process listens, also those of `.env`.
    let place = tempfile::tempdir().expect("a folder");
    let mut command = wxmint_in(&place, &["ready"]);
    let mut own = command
        .env("WXMINT_ADMIN_LISTEN", early.admin.to_string())
        .output()
        .expect("wxmint starts");
    assert_eq!(own.status.code(), Some(0), "{own:?}");
    write_private(
        &place.path().join(".env"),
        &format!("WXMINT_ADMIN_LISTEN={}\n", early.admin),
    );
    own = command
        .env_remove("WXMINT_ADMIN_LISTEN")
        .output()
        .expect("wxmint starts");
    assert_eq!(own.status.code(), Some(0), "{own:?}");
    early
        .login(&bed.mint_code("lin").await)
        .await
        .expect_login();
}

#[test]
fn whoever_answers_a_health_check_cannot_steer_the_terminal_and_http_needs_no_certificates() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let asked = format!("http://{}/readyz", server.local_addr().expect("an address"));
    thread::spawn(move || {
        let (mut stream, _) = server.accept().expect("a request");
        _ = stream.read(&mut [0; 1024]);
        let text = format!(
            "\x1b]0;owned\x07\nwxmint: \u{9b}31mfine{}",
            "A".repeat(60_000)
        );
        _ = write!(
            stream,
            "HTTP/1.1 503 No\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
    });
    let mut command = wxmint();
    command
        .args(["ready", &asked])
        .env("SSL_CERT_FILE", "/nowhere")
        .env("SSL_CERT_DIR", "/nowhere");
    let told = said(&command.output().expect("wxmint starts"));
    assert!(
        told.starts_with(
            "wxmint: not ready: 503 Service Unavailable,  ]0;owned  wxmint:  31mfineAAA"
        ),
        "{told}"
    );
    assert!(told.len() < 1200, "{}", told.len());
}

#[tokio::test]
async fn the_log_says_where_redis_was_away_and_why_without_a_line_for_each_login_and_when_it_is_back()
 {
    let bed = TestBed::builder()
        .redis_password("hunter2-of-redis")
        .breakable_redis()
        .start()
        .await;
    bed.redis_link().cut().await;
    for _ in 0..300 {
        bed.log_in("lin")
            .await
            .expect_problem(503, "store_unavailable");
    }
    assert!(bed.service().told("Redis can be used again").is_empty());
    assert_eq!(bed.wechat.exchanges().await, 0, "no code is spent");
    bed.redis_link().restore().await;
    let back = eventually("it says so", PATIENCE, async || {
        bed.log_in("lin").await;
        bed.service().told("Redis can be used again").pop()
    })
    .await;

    let address = bed.redis_link().address().to_string();
    let away = bed.service().told("Redis cannot be used");
    assert!(
        (1..=3).contains(&away.len()),
        "said again every 30 s: {away:?}"
    );
    assert_eq!(
        (&away[0]["redis"], &back["redis"]),
        (&json!(address), &json!(address))
    );
    assert!(
        away[0]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("Connection refused")),
        "{away:?}"
    );
    let failed = bed.service().told("a request failed");
    assert!(
        (1..200).contains(&failed.len()),
        "{} lines for 300 logins",
        failed.len()
    );
    assert!(
        failed[0]["cause"]
            .as_str()
            .is_some_and(|cause| cause.contains(&address)),
        "{failed:?}"
    );
}
