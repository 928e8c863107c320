//! `WXMINT_REDIS_URL_FILE` changes while `wxmint serve` runs.

use crate::support::prelude::*;

/// The service looks at the file every 2 s (docs/redis.md), and needs a moment to try the URL.
const WITHIN: Duration = BUSY.saturating_add(Duration::from_secs(5));

#[tokio::test]
async fn a_password_that_the_file_has_before_redis_costs_no_login_and_another_password_or_address_is_in_use_within_5_s()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("url");
    fs::write(&file, "redis://127.0.0.1:1\n").expect("nobody listens there");
    let builder = TestBed::builder().env("WXMINT_REDIS_URL", "").not_ready();
    let bed = builder
        .env("WXMINT_REDIS_URL_FILE", &file.to_string_lossy())
        .start()
        .await;
    let user_is = |rules: &[&str]| {
        bed.redis
            .command::<()>(&[&["ACL", "SETUSER", "wxmint"], rules].concat());
    };
    let url = |password: &str| format!("redis://wxmint:{password}@127.0.0.1:{}", bed.redis.port());
    let is_refused = async || {
        bed.service()
            .metric("wxmint_reload_refused{what=\"redis_url\"}")
            .await
            == 1.0
    };
    user_is(&["reset", "on", "~*", "&*", "+@all", ">first"]);
    replace(&file, &url("first"));
    bed.service().ready().await;

    replace(&file, &url("second"));
    until("refused", WITHIN, &is_refused).await;
    bed.log_in("lin").await.expect_login();
    let told = bed.service().reasons("ERROR");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("it refuses the user name or the password") && !told[0].contains("second"),
        "{told:?}"
    );

    user_is(&[">second"]);
    until("mended", WITHIN, async || !is_refused().await).await;
    // Neither for those who come, nor for those who are in.
    user_is(&["<first"]);
    bed.redis
        .command::<i64>(&["CLIENT", "KILL", "USER", "wxmint"]);
    until("served", PATIENCE, async || {
        bed.log_in("lin").await.status == 200
    })
    .await;

    // Reached with the right password, and nobody could log in there, or bindings would be evicted.
    let replica = format!("--replicaof 127.0.0.1 {}", bed.redis.port());
    for (options, says) in [
        (&*replica, "READONLY"),
        ("--maxmemory-policy allkeys-lru", "allkeys-lru"),
    ] {
        let unfit = RedisServer::start(
            &options.split(' ').map(str::to_owned).collect::<Vec<_>>(),
            "",
        )
        .await;
        replace(&file, &unfit.url());
        until(says, WITHIN, async || {
            bed.service()
                .reasons("ERROR")
                .last()
                .is_some_and(|it| it.contains(says))
        })
        .await;
        bed.log_in("lin").await.expect_login();
    }

    let other = RedisServer::start(&[], "hunter3").await;
    replace(&file, &other.url());
    until("moved", WITHIN, async || {
        bed.log_in("mei").await.expect_login();
        other.command::<i64>(&["DBSIZE"]) > 0
    })
    .await;
}
