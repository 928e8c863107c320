//! The clock of Redis steps back, as in a failover to a machine whose clock is behind: that costs nobody a login, a
//! token or a session key, and a revocation covers what the clock has dated before.

use crate::support::prelude::*;

/// The clock of its Redis can be moved.
async fn bed_of(builder: Builder) -> (TestBed, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    (
        builder
            .redis_options(&[&movable_clock(folder.path())])
            .start()
            .await,
        folder,
    )
}

const EIGHT_HOURS: i64 = 8 * 3600;

async fn until_refused(follower: &Sidecar, revoked: &Answer) {
    let token = revoked.member("access_token");
    let is_refused = async || follower.verify(&token).await.status == 401;
    until(
        "the follower knows the end",
        BUSY + Duration::from_secs(10),
        is_refused,
    )
    .await;
}

/// `ended` is known to be ended by then.
async fn is_accepted_by_followers(bed: &TestBed, login: &Answer, revoked: &Answer) {
    let follower = bed.sidecar().ready().await;
    until_refused(&follower, revoked).await;
    let answer = follower.verify(&login.member("access_token")).await;
    assert_eq!(answer.status, 200, "{answer:?} {}", login.claims());
}

#[tokio::test]
async fn a_user_who_was_logged_out_everywhere_logs_in_again() {
    let (bed, _folder) = bed_of(TestBed::builder()).await;
    let first = bed.log_in("lin").await.expect_login();
    let mut last = first.clone();
    for behind in [0, -300] {
        bed.redis.move_clock(behind);
        bed.log_in("mei").await.expect_login();
        bed.log_out(&last, true).await;
        // A process that has not seen the clock from before.
        let other = bed.another().await;
        for later in [0, 5, 10] {
            bed.redis.move_clock(behind + later);
            last = other
                .login(&bed.mint_code("lin").await)
                .await
                .expect_login();
            assert!(
                bed.accepts(&last).await,
                "{behind} s, and {later} s later: {}",
                last.claims()
            );
        }
    }
    is_accepted_by_followers(&bed, &last, &first).await;
    bed.log_out(&last, true).await;
    assert!(
        !bed.accepts(&last).await,
        "its end names it, though it is dated ahead"
    );
}

/// The machine of Redis has local time in its hardware clock, and NTP has not come yet. The store's conformance suite
/// holds each step, and the proof of revocations clocks of any kind.
#[tokio::test]
async fn a_clock_hours_ahead_brings_no_revoked_token_back_and_locks_nobody_out_later() {
    let (bed, _folder) = bed_of(TestBed::builder()).await;
    let (revoked, good) = (
        bed.log_in("lin").await.expect_login(),
        bed.log_in("bao").await.expect_login(),
    );
    bed.log_out(&revoked, true).await;
    bed.redis.move_clock(EIGHT_HOURS);
    bed.service()
        .readyz_says(503, "behind the clock of Redis")
        .await;
    bed.log_in("lin")
        .await
        .expect_problem(503, "store_unavailable");
    let refused = bed
        .service()
        .ask(
            "POST",
            "/logout",
            &good.member("access_token"),
            &Value::Null,
        )
        .await;
    refused.expect_problem(503, "store_unavailable");

    bed.redis.move_clock(0);
    bed.service().ready().await;
    for person in ["lin", "bao"] {
        let login = bed.log_in(person).await.expect_login();
        assert!(bed.accepts(&login).await, "{}", login.claims());
    }
    until_refused(&bed.sidecar().ready().await, &revoked).await;
    assert!(!bed.accepts(&revoked).await, "{}", revoked.claims());
}

#[tokio::test]
async fn a_clock_that_is_behind_by_a_tokens_life_is_named() {
    let (bed, _folder) = bed_of(TestBed::builder().env("WXMINT_TOKEN_TTL", "5m")).await;
    bed.redis.move_clock(-600);
    bed.log_in("lin")
        .await
        .expect_problem(503, "store_unavailable");
    bed.run(&["users", "revoke", "user-1"]).expect_end(
        0,
        &["s behind this machine's", "run the same command again"],
    );
    bed.redis.move_clock(-240);
    let login = bed.log_in("lin").await.expect_login();
    assert!(
        (1..=60).contains(&login.json()["expires_in"].as_i64().expect("seconds")),
        "{login:?}"
    );
}

/// No list tells when these people have logged in.
#[tokio::test]
async fn a_revocation_names_the_tokens_of_computed_users_whom_no_list_names() {
    for (before, after, single_session) in [
        (50, 0, "false"),
        (0, -50, "false"),
        (20, 20, "false"),
        (50, 0, "true"),
    ] {
        let builder = TestBed::builder()
            .user_ids("openid", crate::user_ids::ID_KEY)
            .env("WXMINT_USER_INDEX", "false");
        let (bed, _folder) = bed_of(builder.env("WXMINT_SINGLE_SESSION", single_session)).await;
        bed.redis.move_clock(before);
        let revoked = bed.log_in("lin").await.expect_login();
        bed.redis.move_clock(after);
        bed.run(&["users", "revoke", &revoked.member("user_id")])
            .expect_success();
        until_refused(&bed.sidecar().ready().await, &revoked).await;
        bed.redis.move_clock(after + 5);
        let again = bed.log_in("lin").await.expect_login();
        is_accepted_by_followers(&bed, &again, &revoked).await;
        bed.redis.move_clock(EIGHT_HOURS);
        bed.log_in("lin")
            .await
            .expect_problem(503, "store_unavailable");
    }
}

/// A frozen replica keeps nobody out: what a failover would take back leaves an older token alive.
#[tokio::test]
async fn with_one_login_a_login_waits_for_no_replica() {
    let bed = TestBed::builder()
        .envs(&[("WXMINT_SINGLE_SESSION", "true"), ONE_THREAD])
        .start()
        .await;
    bed.log_in("lin").await.expect_login();
    let replica = RedisServer::replica_of(&bed.redis).await;
    replica.freeze();
    let before = bed.log_in("lin").await.expect_login();
    let login = bed.log_in("lin").await.expect_login();
    assert!(bed.accepts(&login).await && !bed.accepts(&before).await);
    // A logout that was answered is certain, although its token was revoked before.
    let token = before.member("access_token");
    let log_out = async || {
        bed.service()
            .ask("POST", "/logout", &token, &Value::Null)
            .await
    };
    log_out().await.expect_problem(503, "store_unavailable");
    replica.thaw();
    until("the logout is confirmed", PATIENCE, async || {
        log_out().await.status == 204
    })
    .await;
    is_accepted_by_followers(&bed, &login, &before).await;
}
