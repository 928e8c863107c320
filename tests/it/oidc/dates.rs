//! The dates of a site's tokens, which products of others compare with their own clocks.

use super::*;

/// Redis dates logins, and its clock may be ahead. Some products refuse a token that is dated after their clock.
#[tokio::test(flavor = "multi_thread")]
async fn no_date_of_a_sites_tokens_is_after_the_issuers_clock_and_nobody_logs_in_before_the_login()
{
    let (clock, bed) = Clock::around(builder()).await;
    bed.redis.move_clock(30);
    let first = bed.log_in_site("lin").await;
    let renewed = bed.renew(&first).await.expect_login();
    let repeated = bed.renew(&first).await.expect_login();
    let now = wxmint::clock::now().timestamp();
    for tokens in [&first, &renewed, &repeated] {
        let (_, id) = decoded(&tokens.member("id_token"));
        let access = tokens.claims();
        let second = |claims: &Value, name: &str| claims[name].as_i64().expect("seconds");
        assert!(second(&id, "auth_time") <= second(&id, "iat"), "{id}");
        assert!(
            second(&id, "iat") <= now && second(&access, "iat") <= now,
            "{id} {access}"
        );
        assert_eq!(bed.userinfo(tokens).await.status, 200);
    }
    // A page that waits for a phone verifies its token, too.
    let page = bed.let_in("tv", "mei").await;
    assert!(
        page.claims()["iat"].as_i64().expect("seconds") <= wxmint::clock::now().timestamp(),
        "{page:?}"
    );

    // Whoever logs in after a logout has a token that the logout does not name, also while Redis is ahead.
    let phone = bed.log_in("mei").await.expect_login();
    bed.log_out(&phone, true).await;
    bed.redis.move_clock(33);
    let again = bed.log_in_site("mei").await;
    assert_eq!(
        bed.userinfo(&again).await.status,
        200,
        "the logout was before"
    );
    bed.renew(&again).await.expect_login();

    // Redis has lost the login, and the token ends for as long as it lives by the clock of Redis.
    let family = format!(
        "wxmint:oidc:family:{}",
        again.claims()["jti"].as_str().expect("jti")
    );
    assert_eq!(bed.redis.command::<u64>(&["DEL", &family]), 1);
    let out = query(&[("id_token_hint", &again.member("id_token"))]);
    assert_eq!(
        bed.service()
            .get(&format!("/end_session?{out}"))
            .await
            .status,
        200
    );
    assert_eq!(bed.userinfo(&again).await.status, 401);
    clock.is_later(&bed, 0);
}

/// With a single session, a login keeps the date by the clock of Redis, because the login before it
/// may have had a later one.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_single_session_nobody_has_logged_in_at_a_site_in_the_future() {
    let builder = builder().env("WXMINT_SINGLE_SESSION", "true");
    let (_clock, bed) = Clock::around(builder).await;
    bed.redis.move_clock(30);
    let first = bed.log_in_site("lin").await;
    let renewed = bed.renew(&first).await.expect_login();
    let now = wxmint::clock::now().timestamp();
    for tokens in [&first, &renewed] {
        let (_, id) = decoded(&tokens.member("id_token"));
        assert!(
            id["auth_time"].as_i64().is_some_and(|time| time <= now),
            "{now}: {id}"
        );
    }
}
