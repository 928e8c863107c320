//! The issuer gone for an hour, on a moved clock (libfaketime): tokens still verify, and expire when they should.

use std::net::SocketAddr;

use chrono::DateTime;

use super::{INVALID_TOKEN, LONG, Signer, named, refused, signer::now};
use crate::support::prelude::*;

const HOUR: i64 = 3600;

/// The clock of a process that is started with it.
pub(super) struct Clock {
    folder: TempDir,
}

impl Clock {
    pub(super) fn new() -> Self {
        let clock = Self { folder: tempfile::tempdir().expect("a folder") };
        clock.set("+0");
        clock
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("time")
    }

    /// `+3600` runs on from an hour ahead, `2030-01-01 00:00:00` stands still.
    pub(super) fn set(&self, time: &str) {
        replace(&self.file(), time);
    }

    /// It stands still at this time.
    pub(super) fn stop_at(&self, seconds: i64) {
        self.set(&DateTime::from_timestamp(seconds, 0).expect("a date").format("%Y-%m-%d %H:%M:%S").to_string());
    }

    pub(super) fn moves(&self, settings: SidecarSettings) -> SidecarSettings {
        settings
            .with("LD_PRELOAD", &libfaketime().to_string_lossy())
            .with("FAKETIME_TIMESTAMP_FILE", &self.file().to_string_lossy())
            .with("FAKETIME_NO_CACHE", "1")
            .with("TZ", "UTC")
    }
}

/// On a connection of its own: to the sidecar, those of before have been idle for an hour. One that is made within the
/// half second for which a worker remembers the time is an hour old as well, and answered 408.
async fn get(listener: SocketAddr, path: &str, headers: &str) -> Received {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    eventually("each worker sees the time", PATIENCE, async || {
        let received = Received::after(listener, request.as_bytes(), Pace::AtOnce, PATIENCE).await;
        (received.status() != Some(408)).then_some(received)
    })
    .await
}

async fn ask(sidecar: &Sidecar, token: &str) -> Received {
    get(sidecar.address, "/verify", &format!("Authorization: Bearer {token}\r\n")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_without_the_issuer_and_tokens_still_verify_until_they_expire() {
    let (signer, clock) = (Signer::new(), Clock::new());
    let issuer = JwksServer::of(&signer.set(), LONG).await;
    let link = Breakable::before(issuer.address()).await;
    let sidecar = clock.moves(SidecarSettings::new(&format!("{}/jwks", link.url()))).ready().await;
    let began = now();
    let [short, day] = [HOUR / 2, 24 * HOUR].map(|life| signer.token_with(json!({"exp": began + life})));
    for token in [&short, &day] {
        named("before", &ask(&sidecar, token).await);
    }
    link.cut().await;
    clock.set("+3600");
    let unseen = signer.token_with(json!({"exp": began + 24 * HOUR}));
    let of_now = signer.token_with(json!({"iat": began + HOUR, "exp": began + 2 * HOUR}));
    for (what, token) in [("a remembered token", &day), ("one never seen", &unseen), ("one of this hour", &of_now)] {
        named(what, &ask(&sidecar, token).await);
    }
    let expired = signer.token_with(json!({"exp": began + HOUR / 2}));
    for (what, token) in [("a remembered token", &short), ("one never seen", &expired)] {
        refused(what, &ask(&sidecar, token).await, INVALID_TOKEN);
    }
    assert_eq!(get(sidecar.admin, "/readyz", "").await.status(), Some(200));
    // A thread that sleeps does not see that its clock was moved; a stranger wakes the one that fetches.
    refused("a stranger", &ask(&sidecar, &Signer::new().token()).await, INVALID_TOKEN);
    until("a failed fetch", PATIENCE, async || sidecar.log().contains("keys not fetched; keeping the previous keys"))
        .await;
    named("as before", &ask(&sidecar, &day).await);
    let metrics = get(sidecar.admin, "/metrics", "").await.body();
    let age = metrics.lines().find_map(|line| line.strip_prefix("wxmint_jwks_age_seconds{")?.rsplit(' ').next());
    let age: f64 = age.and_then(|seconds| seconds.parse().ok()).expect("an age");
    assert!(age > 3500.0, "by its own clock an hour has passed: {age}");

    link.restore().await;
    until("the issuer is found again", Duration::from_secs(60), async || issuer.fetches("/jwks").len() > 1).await;
    named("after", &ask(&sidecar, &day).await);
}
