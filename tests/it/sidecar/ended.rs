//! Tokens that the issuer's feed ends, and a feed that is gone, late or not believed.

use std::{
    fs::File,
    time::{Duration, SystemTime},
};

use serde_json::json;

use super::{
    INVALID_TOKEN, Signer,
    feed::{FeedServer, hash},
    outage::Clock,
    refused,
    signer::now,
};
use crate::support::{APPID, BUSY, ISSUER, PATIENCE, Sidecar, eventually, until};

/// A verifier asks every 5 s, so an end is known 10 s later at the latest.
const NEXT_PAGE: Duration = Duration::from_secs(10).saturating_add(BUSY);
/// Under `open` a sidecar waits as long for a feed, and then does without.
const WITHOUT_FEED: Duration = Duration::from_secs(10).saturating_add(BUSY);
const DAY: i64 = 86_400;

fn metric(name: &str) -> String {
    format!("wxmint_revocations_{name}{{issuer=\"{ISSUER}\"}}")
}

async fn refused_pages(sidecar: &Sidecar, reason: &str) -> f64 {
    let name = format!("wxmint_revocations_refused_pages_total{{issuer=\"{ISSUER}\",reason=\"{reason}\"}}");
    sidecar.metric(&name).await
}

async fn bearer(sidecar: &Sidecar, token: &str) -> crate::support::Received {
    sidecar.raw("GET /verify HTTP/1.1", &[&format!("Authorization: Bearer {token}")], "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_token_is_refused_once_the_feed_ends_its_user_its_app_itself_or_its_key() {
    let (signer, other) = (Signer::new(), Signer::new());
    let issuer = FeedServer::of(&signer).await;
    issuer.feed().rotate_to(&other);
    issuer.feed().rotate_to(&signer);
    let sidecar = issuer.settings().ready().await;
    let of = |user: &str, iat: i64| signer.token_with(json!({"sub": user, "iat": iat}));
    let then = now() - 100;
    let ended = [
        of("lin", then),
        of("wang", then),
        signer.token_with(json!({"sub": "zhao", "jti": "jti-of-zhao"})),
        other.token(),
    ];
    let valid = [of("lin", then + 1), of("wang", then + 1), of("zhao", then)];
    for token in ended.iter().chain(&valid) {
        for _ in 0..2 {
            assert_eq!(sidecar.verify(token).await.status, 200);
        }
    }
    let remembered = sidecar.metric("wxmint_sidecar_verifications_total{outcome=\"remembered\"}").await;
    assert_eq!(remembered as usize, ended.len() + valid.len());

    issuer.feed().end([
        json!(["sub", hash("lin"), then]),
        json!(["app", hash(&format!("wang\0{APPID}")), then]),
        json!(["jti", hash("jti-of-zhao"), now() + 3600]),
        json!(["kid", other.key.kid]),
        json!(["device", "of a later version"]),
    ]);
    eventually("the ends are known", NEXT_PAGE, async || (sidecar.metric(&metric("held")).await == 4.0).then_some(()))
        .await;
    for token in &ended {
        refused("ended", &bearer(&sidecar, token).await, INVALID_TOKEN);
        refused("ended, and no longer remembered", &bearer(&sidecar, token).await, INVALID_TOKEN);
    }
    for token in &valid {
        assert_eq!(sidecar.verify(token).await.status, 200, "a second later, or another token");
    }
    assert!(sidecar.metric(&metric("age_seconds")).await < 60.0);
    assert_eq!(sidecar.metric("wxmint_sidecar_verifications_total{outcome=\"refused\"}").await, 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_feed_is_read_page_by_page_and_goes_on_where_it_ended() {
    let signer = Signer::new();
    let issuer = FeedServer::of(&signer).await;
    issuer.feed().pages_of(100);
    issuer.feed().end((0..950).map(|number| json!(["jti", hash(&number.to_string()), now() + 3600])));
    let sidecar = issuer.settings().ready().await;
    assert_eq!(sidecar.metric(&metric("held")).await, 950.0, "all of it, before the sidecar is ready");
    let ten: Vec<_> = ["", "100", "200", "300", "400", "500", "600", "700", "800", "900"].map(str::to_owned).into();
    assert_eq!(issuer.feed().asked[..10], ten[..]);
    issuer.feed().end([json!(["sub", hash("lin"), now() + 60])]);
    eventually("the next end is known", NEXT_PAGE, async || {
        (sidecar.verify(&signer.token()).await.status == 401).then_some(())
    })
    .await;
    assert!(issuer.feed().asked[10..].iter().all(|cursor| ["950", "951"].contains(&cursor.as_str())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_without_a_feed_is_waited_for_and_then_done_without_unless_the_sidecar_is_closed() {
    let signer = Signer::new();
    let issuer = FeedServer::of(&signer).await;
    issuer.feed().instead = Some((404, Vec::new()));
    let open = issuer.settings().start().await;
    let closed = issuer.settings().with("WXMINT_REVOCATIONS_FAIL", "closed").start().await;
    for (sidecar, status) in [(&open, 200), (&closed, 503)] {
        let answered = async || (sidecar.verify(&signer.token()).await.status == status).then_some(());
        eventually("keys", PATIENCE, answered).await;
        let readyz = sidecar.admin("/readyz").await;
        assert_eq!(readyz.status, 503, "{readyz:?}");
        assert!(readyz.body.contains("revocation feeds have not been read"), "{readyz:?}");
    }
    let answer = closed.verify(&signer.token()).await.expect_problem(503, "revocations_unavailable");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| (1..=5).contains(&seconds)));
    assert!(!answer.headers.contains_key("x-user-id"));
    refused("a bad token is bad all the same", &bearer(&closed, &Signer::new().token()).await, INVALID_TOKEN);

    open.ready_within(WITHOUT_FEED).await;
    assert_eq!(open.verify(&signer.token()).await.status, 200);
    assert!(refused_pages(&open, "status").await >= 1.0);
    open.says("not all of the revocation feed is known").await;
    open.says("tokens that were revoked since are accepted").await;
    let lacks = async || open.admin("/readyz").await.body.contains("warning: the revocations of");
    assert!(lacks().await);
    assert_eq!(closed.admin("/readyz").await.status, 503);
    issuer.feed().instead = None;
    closed.ready_within(NEXT_PAGE).await;
    until("nothing is lacking", NEXT_PAGE, async || !lacks().await).await;
    closed.says("all of the revocation feed is known again").await;
    assert_eq!(closed.verify(&signer.token()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_not_followed_is_not_asked_for() {
    let signer = Signer::new();
    let issuer = FeedServer::of(&signer).await;
    let off = issuer.settings().with("WXMINT_REVOCATIONS_URL", "off").with("WXMINT_REVOCATIONS_FAIL", "closed");
    let sidecar = off.ready().await;
    assert_eq!(sidecar.verify(&signer.token()).await.status, 200);
    assert!(issuer.feed().asked.is_empty());
    let metrics = sidecar.admin("/metrics").await.body;
    assert!(!metrics.contains("wxmint_revocations_held{"), "{metrics}");
}

/// Each feed has a sidecar of its own, and is refused for one reason. What it says changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_forged_replayed_foreign_huge_or_no_page_changes_nothing_and_is_counted() {
    let (signer, stranger) = (Signer::new(), Signer::new());
    let token = signer.token();
    let forged = FeedServer::of(&stranger).await;
    forged.feed().end([json!(["sub", hash("lin"), now()])]);
    let (forged, foreign) = (forged.feed().page(""), json!({"iss": "https://another.example.com"}));
    let mut sidecars = Vec::new();
    for (reason, claims, instead) in [
        ("unknown_key", json!({}), Some((200, forged.into_bytes()))),
        ("typ", json!({}), Some((200, token.clone().into_bytes()))),
        ("issuer", foreign, None),
        ("time", json!({"iat": now() - 400, "exp": now() - 100}), None),
        ("other_cursor", json!({"after": "7"}), None),
        ("malformed", json!({"ended": [["sub", hash("lin"), "now"]]}), None),
        ("circle", json!({"cursor": "", "more": true}), None),
        ("ended_key", json!({"ended": [["sub", hash("lin"), now()], ["kid", signer.key.kid]]}), None),
        ("no_answer", json!({}), Some((200, vec![b'a'; 50_000_000]))),
        ("malformed", json!({}), Some((200, b"<html>".to_vec()))),
        ("status", json!({}), Some((302, Vec::new()))),
    ] {
        let issuer = FeedServer::of(&signer).await;
        issuer.feed().end([json!(["sub", hash("lin"), now()])]);
        (issuer.feed().claims, issuer.feed().instead) = (claims, instead);
        let sidecar = issuer.settings().start().await;
        sidecars.push((reason, issuer, sidecar));
    }
    for (reason, issuer, sidecar) in &sidecars {
        eventually(reason, PATIENCE, async || (refused_pages(sidecar, reason).await >= 1.0).then_some(())).await;
        assert_eq!(sidecar.metric(&metric("held")).await, 0.0, "{reason}");
        assert_eq!(sidecar.verify(&token).await.status, 200, "{reason}");
        assert!(sidecar.peak_memory() < 100 * 1024, "{reason}: {} KiB", sidecar.peak_memory());
        let metrics = sidecar.admin("/metrics").await.body;
        assert!(!metrics.contains("wxmint_revocations_age_seconds{"), "{reason}: {metrics}");
        assert!(!issuer.feed().asked.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_signed_by_a_new_key_is_accepted_once_the_keys_were_fetched_again() {
    let (old, new) = (Signer::new(), Signer::new());
    let issuer = FeedServer::of(&old).await;
    let sidecar = issuer.settings().ready().await;
    let token = old.token();
    assert_eq!(sidecar.verify(&token).await.status, 200);
    // As after `wxmint keys retire KID --now`: the new key signs the end of the old one.
    issuer.feed().rotate_to(&new);
    issuer.feed().end([json!(["kid", old.key.kid])]);
    // An unknown key causes a fetch 10 s after the last one at the soonest.
    eventually("the old key is ended", NEXT_PAGE + NEXT_PAGE, async || {
        (sidecar.verify(&token).await.status == 401).then_some(())
    })
    .await;
    assert_eq!(sidecar.verify(&new.token()).await.status, 200);
}

/// The sidecar's clock is moved instead of waiting: to it, a page of now is as old as the clock is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_gone_for_a_minute_is_said_and_closes_a_sidecar_that_is_told_to() {
    let signer = Signer::new();
    let (issuer, clock) = (FeedServer::of(&signer).await, Clock::new());
    let token = signer.token_with(json!({"exp": now() + 10 * DAY}));
    let settings = clock.moves(issuer.settings()).with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let (open, closed) = (settings.ready().await, settings.with("WXMINT_REVOCATIONS_FAIL", "closed").ready().await);
    for sidecar in [&open, &closed] {
        assert_eq!(sidecar.verify(&token).await.status, 200);
    }
    issuer.feed().instead = Some((503, Vec::new()));
    clock.stop_at(now() + 100);
    assert!(open.metric(&metric("age_seconds")).await > 60.0);
    assert_eq!(open.verify(&token).await.status, 200);
    for _ in 0..2 {
        closed.verify(&token).await.expect_problem(503, "revocations_unavailable");
    }
    let stale = closed.metric("wxmint_sidecar_verifications_total{outcome=\"stale_ends\"}").await;
    assert_eq!(stale, 2.0);
    for (sidecar, said) in [(&open, "are accepted"), (&closed, "answered with 503")] {
        eventually("a warning", NEXT_PAGE, async || sidecar.log().contains(said).then_some(())).await;
        let readyz = sidecar.admin("/readyz").await;
        assert!(
            readyz.status == 200 && readyz.body.contains("warning: the revocations"),
            "ready is a latch: {readyz:?}"
        );
    }
    // A day later the keys are no longer believed, by neither: their URL answers, but is not asked yet.
    clock.stop_at(now() + DAY + 100);
    for sidecar in [&open, &closed] {
        sidecar.verify(&token).await.expect_problem(503, "keys_unavailable");
    }
    clock.set("+0");
    issuer.feed().instead = None;
    eventually("back again", NEXT_PAGE, async || (closed.verify(&token).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_from_disk_are_believed_for_a_day_after_the_issuer_last_confirmed_them() {
    let (signer, folder) = (Signer::new(), tempfile::tempdir().expect("a folder"));
    let issuer = FeedServer::of(&signer).await;
    let settings = issuer.settings().with("WXMINT_JWKS_CACHE", &folder.path().to_string_lossy());
    drop(settings.ready().await);
    let file = eventually("keys on disk", PATIENCE, async || {
        let entries = folder.path().read_dir().expect("a folder");
        entries
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.extension().is_some_and(|end| end == "json"))
    })
    .await;
    drop(issuer);
    #[expect(clippy::disallowed_methods, reason = "the sidecar goes by the system's clock")]
    let today = SystemTime::now();
    for (hours, status) in [(23, 200), (25, 503)] {
        let confirmed = today - Duration::from_secs(hours * 3600);
        File::options().append(true).open(&file).and_then(|file| file.set_modified(confirmed)).expect("our own file");
        let sidecar = settings.start().await;
        assert_eq!(sidecar.verify(&signer.token()).await.status, status, "after {hours} hours");
        assert_eq!(sidecar.log().contains("too old to be used"), status == 503, "{}", sidecar.log());
    }
}
