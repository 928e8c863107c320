//! A wrong id key, tried in each way: nobody gets another id.

use super::{ID_KEY, computed, user_of};
use crate::support::prelude::*;

const OTHER_KEY: &str = "//////////////////////////////////////////8=\n";

/// A further process beside those of the bed, with another value of a variable.
async fn beside(bed: &mut TestBed, variable: &str, value: &str) -> Service {
    let own = bed.configuration.value(variable).to_owned();
    bed.configuration.set(variable, value);
    let service = Service::start(&bed.configuration, bed.http.clone()).await;
    bed.configuration.set(variable, &own);
    service
}

/// It says why it is not ready, and logs nobody in.
async fn expect_shut(bed: &TestBed, service: &Service, says: &str) {
    until("a reason", BUSY, async || {
        service.readyz().await.body.contains(says)
    })
    .await;
    let code = bed.wechat.mint_code_in(APPID, "lin").await;
    service
        .log_in_with(&json!({"appid": APPID, "code": code}))
        .await
        .expect_problem(503, "store_unavailable");
}

#[tokio::test]
async fn a_process_with_another_key_or_kind_logs_nobody_in_also_after_redis_was_emptied() {
    let mut bed = computed("openid").start().await;
    let lin = user_of(&bed, APPID, "lin").await;
    let file = bed.configuration.path("other.key");
    write_private(&file, OTHER_KEY);
    let wrong = beside(&mut bed, "WXMINT_ID_KEY_FILE", &file.to_string_lossy()).await;
    expect_shut(&bed, &wrong, "put the id key that has been used back").await;
    for kind in ["unionid", "random"] {
        let other = beside(&mut bed, "WXMINT_USER_IDS", kind).await;
        expect_shut(&bed, &other, "wxmint doctor").await;
    }
    for _ in 0..5 {
        bed.redis.command::<()>(&["FLUSHALL"]);
        expect_shut(&bed, &wrong, "id key").await;
        assert_eq!(user_of(&bed, APPID, "lin").await, lin);
    }
    // One that comes while Redis is empty lets the others tell theirs first.
    bed.redis.command::<()>(&["FLUSHALL"]);
    let late = beside(&mut bed, "WXMINT_ID_KEY_FILE", &file.to_string_lossy()).await;
    expect_shut(&bed, &late, "put the id key that has been used back").await;
    assert_eq!(bed.service().readyz().await.status, 200);

    // So does one that draws user ids: it would give newcomers others for good.
    bed.redis.command::<()>(&["FLUSHALL"]);
    let drawing = beside(&mut bed, "WXMINT_USER_IDS", "random").await;
    expect_shut(&bed, &drawing, "wxmint doctor").await;
    assert_eq!(
        bed.redis.command::<String>(&["GET", "wxmint:id-key"]),
        "openid 7121e63a"
    );

    // A file that is replaced changes nobody, and stops the next start.
    fs::write(bed.configuration.value("WXMINT_ID_KEY_FILE"), OTHER_KEY).expect("written");
    let next = Service::start(&bed.configuration, bed.http.clone()).await;
    expect_shut(&bed, &next, "put the id key that has been used back").await;
    assert_eq!(user_of(&bed, APPID, "lin").await, lin);
}

/// A new installation, and one whose Redis was emptied.
#[tokio::test]
async fn who_draws_user_ids_tells_so_after_having_waited_for_others_and_goes_on_when_redis_is_emptied()
 {
    let redis = RedisServer::start(&[], "").await;
    let bed = TestBed::builder().start_on(redis).await;
    let word = || {
        bed.redis
            .command::<Option<String>>(&["GET", "wxmint:id-key"])
    };
    assert_eq!(word().as_deref(), Some("random"));
    bed.log_in("lin").await.expect_login();
    bed.redis.command::<()>(&["FLUSHALL"]);
    bed.log_in("lin").await.expect_login();
    drop(bed.another().await);
    assert_eq!(
        (bed.service().readyz().await.status, word().as_deref()),
        (200, Some("random"))
    );
}

/// Bindings win, so that those who were bound meanwhile keep their ids.
#[tokio::test]
async fn who_draws_user_ids_yields_to_a_process_that_computes_them() {
    let mut bed = TestBed::builder().user_ids("random", ID_KEY).start().await;
    let computing = beside(&mut bed, "WXMINT_USER_IDS", "openid").await;
    computing.ready().await;
    // It looks each 10 s.
    until("it has heard of the other", 3 * PATIENCE, async || {
        bed.service().readyz().await.status == 503
    })
    .await;
    expect_shut(&bed, bed.service(), "wxmint doctor").await;
}

/// `crates/ids/src/user_ids.rs` has a row for each file that is no key.
#[tokio::test]
async fn a_file_that_is_no_key_and_settings_that_do_not_fit_are_refused_with_the_reason() {
    let mut configuration = Configuration::new("ES256");
    let file = configuration.path("id.key");
    write_private(&file, &ID_KEY.repeat(2));
    // Each is set beside those before it.
    for (name, value, says) in [
        ("WXMINT_USER_IDS", "openid", "WXMINT_ID_KEY_FILE is not set"),
        (
            "WXMINT_ID_KEY_FILE",
            &file.to_string_lossy(),
            "must be one line",
        ),
        (
            "WXMINT_ACCOUNTS",
            "file:users",
            "one human would get two ids",
        ),
        ("WXMINT_USER_IDS", "unionid", "one human would get two ids"),
        (
            "WXMINT_ACCOUNTS",
            "https://accounts.example.com",
            "one human would get two ids",
        ),
    ] {
        configuration.set(name, value);
        let said = configuration.refused().await;
        assert!(said.contains(says), "{name}={value}: {said}");
    }
}
