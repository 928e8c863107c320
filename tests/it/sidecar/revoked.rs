//! Tokens that the issuer's feed ends, and a feed that is gone, late or not believed.

use chrono::DateTime;

use super::issuer::{By, Issuer, Manner, PERSON_APP};
use super::{INVALID_TOKEN, refused};
use crate::services::now;
use crate::support::prelude::*;

/// A verifier asks every 5 s, so a revocation is known 10 s later at the latest. Under `open` a sidecar waits as long
/// for a feed, and then does without.
const NEXT_PAGE: Duration = Duration::from_secs(10).saturating_add(BUSY);
const DAY: i64 = 86_400;

async fn issuer() -> Issuer {
    let issuer = Issuer::start().await;
    issuer.says(Manner::Good);
    issuer
}

/// A sidecar that follows it.
fn follower(issuer: &Issuer) -> SidecarSettings {
    let url = format!("http://{}", issuer.address);
    SidecarSettings::following(&url)
        .with("WXMINT_ISSUER", &url)
        .with("WXMINT_AUDIENCE", &url)
}

fn token_of(issuer: &Issuer, user: &str) -> String {
    issuer.token(By::First, json!({"sub": user}))
}

/// The name of a number that a sidecar counts of a feed, with further labels.
fn of_feed(issuer: &Issuer, number: &str, labels: &str) -> String {
    format!(
        "wxmint_revocations_{number}{{issuer=\"http://{}\"{labels}}}",
        issuer.address
    )
}

async fn bearer(sidecar: &Sidecar, token: &str) -> Received {
    sidecar
        .raw(
            "GET /verify HTTP/1.1",
            &[&format!("Authorization: Bearer {token}")],
            "",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_token_is_refused_once_the_feed_revokes_its_user_its_app_itself_or_its_key() {
    let issuer = issuer().await;
    let sidecar = follower(&issuer).ready().await;
    let of = |user: &str, iat: i64| issuer.token(By::First, json!({"sub": user, "iat": iat}));
    let then = now() - 100;
    let revoked = [
        of("lin", then),
        of("wang", then),
        issuer.token(By::First, json!({"sub": "zhao", "jti": "jti-of-zhao"})),
        issuer.token(By::Second, json!({"sub": "sun"})),
    ];
    let valid = [of("lin", then + 1), of("wang", then + 1), of("zhao", then)];
    for token in revoked.iter().chain(&valid) {
        for _ in 0..2 {
            assert_eq!(sidecar.verify(token).await.status, 200);
        }
    }
    let remembered = sidecar
        .metric("wxmint_sidecar_verifications_total{outcome=\"remembered\"}")
        .await;
    assert_eq!(remembered as usize, revoked.len() + valid.len());

    issuer.revoke_user("lin", then);
    issuer.revoke_in_app("wang", PERSON_APP, then);
    issuer.revoke_token("jti-of-zhao", now() + 3600);
    issuer.revoke_second_key();
    issuer.revoke(json!(["device", "of a later version"]));
    until("the revocations are known", NEXT_PAGE, async || {
        sidecar.metric(&of_feed(&issuer, "held", "")).await == 4.0
    })
    .await;
    for token in &revoked {
        refused("revoked", &bearer(&sidecar, token).await, INVALID_TOKEN);
        refused(
            "revoked, and no longer remembered",
            &bearer(&sidecar, token).await,
            INVALID_TOKEN,
        );
    }
    for token in &valid {
        assert_eq!(
            sidecar.verify(token).await.status,
            200,
            "a second later, or another token"
        );
    }
    assert!(sidecar.metric(&of_feed(&issuer, "age_seconds", "")).await < 60.0);
    assert_eq!(
        sidecar
            .metric("wxmint_sidecar_verifications_total{outcome=\"refused\"}")
            .await,
        8.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_without_a_feed_is_waited_for_and_then_done_without_unless_the_sidecar_is_closed()
{
    let issuer = issuer().await;
    issuer.says(Manner::body("404 Not Found", b""));
    let token = token_of(&issuer, "lin");
    let open = follower(&issuer).start().await;
    let closed = follower(&issuer)
        .with("WXMINT_REVOCATIONS_FAIL", "closed")
        .start()
        .await;
    for sidecar in [&open, &closed] {
        let lacks_feeds = async || {
            sidecar
                .admin("/readyz")
                .await
                .body
                .contains("revocation feeds have not been read")
        };
        until(
            "the keys are there, and the feed is not",
            PATIENCE,
            lacks_feeds,
        )
        .await;
        assert_eq!(sidecar.admin("/readyz").await.status, 503);
        sidecar
            .verify(&token)
            .await
            .expect_problem(503, "revocations_unavailable");
    }
    let answer = closed
        .verify(&token)
        .await
        .expect_problem(503, "revocations_unavailable");
    assert!(
        answer
            .header("retry-after")
            .parse::<u64>()
            .is_ok_and(|seconds| (1..=5).contains(&seconds))
    );
    assert!(!answer.headers.contains_key("x-user-id"));
    let expired = issuer.token(By::First, json!({"sub": "lin", "exp": 1}));
    refused(
        "a bad token is bad all the same",
        &bearer(&closed, &expired).await,
        INVALID_TOKEN,
    );

    open.ready_within(NEXT_PAGE).await;
    assert_eq!(open.verify(&token).await.status, 200);
    assert!(
        open.metric(&of_feed(
            &issuer,
            "refused_pages_total",
            ",reason=\"status\""
        ))
        .await
            >= 1.0
    );
    open.says("not all of the revocation feed is known").await;
    open.says("tokens that were revoked since are accepted")
        .await;
    let lacks = async || {
        open.admin("/readyz")
            .await
            .body
            .contains("warning: the revocations of")
    };
    assert!(lacks().await);
    assert_eq!(closed.admin("/readyz").await.status, 503);
    issuer.says(Manner::Good);
    closed.ready_within(NEXT_PAGE).await;
    until("nothing is lacking", NEXT_PAGE, async || !lacks().await).await;
    closed
        .says("all of the revocation feed is known again")
        .await;
    assert_eq!(closed.verify(&token).await.status, 200);
}

/// Each feed has a sidecar of its own, and one page that revokes mei's tokens. What it says changes nothing.
/// crates/verify holds each reason to refuse a page, and tests/peers asks every follower.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_forged_or_huge_changes_nothing_and_is_counted() {
    let forged = Manner::says(|signers, mut header, claims| {
        header["kid"] = signers.foreign.kid.clone().into();
        signers.foreign.page(&header, &claims)
    });
    for (reason, manner) in [
        ("unknown_key", forged),
        ("no_answer", Manner::body("200 OK", &vec![b'a'; 50_000_000])),
    ] {
        let issuer = issuer().await;
        issuer.says(manner);
        let sidecar = follower(&issuer).start().await;
        let refused = of_feed(
            &issuer,
            "refused_pages_total",
            &format!(",reason=\"{reason}\""),
        );
        until(reason, PATIENCE, async || {
            sidecar.metric(&refused).await >= 1.0
        })
        .await;
        assert_eq!(
            sidecar.metric(&of_feed(&issuer, "held", "")).await,
            0.0,
            "{reason}"
        );
        until("mei is let in", NEXT_PAGE, async || {
            sidecar.verify(&token_of(&issuer, "mei")).await.status == 200
        })
        .await;
        assert!(
            sidecar.peak_memory() < 100 * 1024,
            "{reason}: {} KiB",
            sidecar.peak_memory()
        );
        let metrics = sidecar.admin("/metrics").await.body;
        assert!(
            !metrics.contains("wxmint_revocations_age_seconds{"),
            "{reason}: {metrics}"
        );
    }
}

/// The sidecar's clock is moved instead of waiting: to it, a page of now is as old as the clock is ahead.
#[tokio::test(flavor = "multi_thread")]
async fn a_feed_that_is_gone_for_a_minute_is_said_and_closes_a_sidecar_that_is_told_to() {
    let (issuer, folder) = (issuer().await, tempfile::tempdir().expect("a folder"));
    let clock = folder.path().join("time");
    let stands_still_at = |seconds: i64| {
        let time = DateTime::from_timestamp(seconds, 0)
            .expect("a date")
            .format("%Y-%m-%d %H:%M:%S");
        replace(&clock, &time.to_string());
    };
    replace(&clock, "+0");
    let token = issuer.token(
        By::First,
        json!({"sub": "lin", "iat": now() - 1000, "exp": now() + 10 * DAY}),
    );
    let short = issuer.token(By::First, json!({"sub": "lin", "exp": now() + 30}));
    let settings = clock_of(&clock)
        .into_iter()
        .fold(follower(&issuer), |settings, (name, value)| {
            settings.with(name, &value)
        });
    let settings = settings.with("TZ", "UTC");
    let (open, closed) = (
        settings.ready().await,
        settings
            .with("WXMINT_REVOCATIONS_FAIL", "closed")
            .ready()
            .await,
    );
    for sidecar in [&open, &closed] {
        for token in [&token, &short] {
            assert_eq!(sidecar.verify(token).await.status, 200);
        }
    }
    issuer.says(Manner::body("503 Service Unavailable", b""));
    stands_still_at(now() + 100);
    assert!(open.metric(&of_feed(&issuer, "age_seconds", "")).await > 60.0);
    assert_eq!(open.verify(&token).await.status, 200);
    refused(
        "remembered, and expired",
        &bearer(&open, &short).await,
        INVALID_TOKEN,
    );
    for _ in 0..2 {
        closed
            .verify(&token)
            .await
            .expect_problem(503, "revocations_unavailable");
    }
    assert_eq!(
        closed
            .metric("wxmint_sidecar_verifications_total{outcome=\"stale_ends\"}")
            .await,
        2.0
    );
    for (sidecar, said) in [(&open, "are accepted"), (&closed, "answered with 503")] {
        until("a warning", NEXT_PAGE, async || {
            sidecar.log().contains(said)
        })
        .await;
        let readyz = sidecar.admin("/readyz").await;
        assert!(
            readyz.status == 200 && readyz.body.contains("warning: the revocations"),
            "a latch: {readyz:?}"
        );
    }
    // A clock that has stepped back makes no younger what is known.
    stands_still_at(now() - 600);
    assert!(open.metric(&of_feed(&issuer, "age_seconds", "")).await > 60.0);
    closed
        .verify(&token)
        .await
        .expect_problem(503, "revocations_unavailable");
    // A day later the keys are no longer believed, by neither, until a token asks for them, every 10 s at most.
    issuer.publishes(false);
    stands_still_at(now() + DAY + 100);
    for sidecar in [&open, &closed] {
        sidecar
            .verify(&token)
            .await
            .expect_problem(503, "keys_unavailable");
        until("a warning", NEXT_PAGE, async || {
            sidecar
                .admin("/readyz")
                .await
                .body
                .contains("warning: the keys")
        })
        .await;
    }
    let says =
        async || open.verify(&token).await.status == 503 && open.log().contains("keys are too old");
    until("a fetch has failed", NEXT_PAGE, says).await;
    issuer.publishes(true);
    until("the keys are there again", NEXT_PAGE, async || {
        open.verify(&token).await.status == 200
    })
    .await;
    replace(&clock, "+0");
    issuer.says(Manner::Good);
    until("back again", NEXT_PAGE, async || {
        closed.verify(&token).await.status == 200
    })
    .await;
}
