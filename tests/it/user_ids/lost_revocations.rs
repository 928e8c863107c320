//! Revocations outlive Redis: running processes publish them again, once over all of them.

use super::computed;
use crate::support::prelude::*;
use crate::support::redis_keys::{self, ENDS};

#[tokio::test]
async fn what_redis_has_lost_is_published_again_once_within_five_seconds() {
    let bed = computed("openid").services(3).start().await;
    let mut revoked = Vec::new();
    for person in ["lin", "mei", "wen"] {
        let login = bed.log_in_at(APPID, person, json!({})).await.expect_login();
        bed.log_out(&login, person == "mei").await;
        revoked.push(login);
    }
    let entries = || bed.redis.command::<usize>(&["XLEN", ENDS]);
    let before = entries();
    assert_eq!(before, 3);
    // Each process looks every 2 s, and nobody else reads the stream.
    let looks = || bed.redis.calls().get("xrange").copied().unwrap_or_default();
    let all_have_looked = async || {
        let before = looks();
        until("all processes have looked twice", PATIENCE, async || {
            looks() >= before + 6
        })
        .await;
    };
    all_have_looked().await;
    bed.redis.command::<()>(&["FLUSHALL"]);
    until(
        "the revocations",
        Duration::from_secs(5).max(BUSY),
        async || entries() >= before,
    )
    .await;
    for login in &revoked {
        assert!(!bed.accepts(login).await);
    }
    all_have_looked().await;
    assert_eq!(entries(), before, "each once");
    assert!(
        bed.services
            .iter()
            .any(|service| service.log().contains("Redis has lost revocations"))
    );
    // The processes cannot tell what else was lost, however young the installation is.
    bed.service().readyz_says(200, "Redis has lost data").await;

    // As if another primary of a Cluster had lost what it had, or had an older value, and the stream were whole.
    let record = redis_keys::revocations_of(&revoked[1].member("user_id"));
    let jti = revoked[0].claims()["jti"]
        .as_str()
        .expect("an id")
        .to_owned();
    let of_token = format!(
        "wxmint:user:{{{}}}:ended:{jti}",
        revoked[0].member("user_id")
    );
    assert_eq!(bed.redis.command::<u64>(&["DEL", &record, &of_token]), 2);
    assert_eq!(
        bed.redis.command::<u64>(&["HSET", &record, "before", "1"]),
        1
    );
    for login in &revoked[..2] {
        until("the record is there again", BUSY, async || {
            !bed.accepts(login).await
        })
        .await;
    }
    assert_eq!(entries(), before, "the stream has it already");

    // Nobody has read this one yet.
    let login = bed.log_in_at(APPID, "bao", json!({})).await.expect_login();
    bed.log_out(&login, false).await;
    bed.redis.command::<()>(&["FLUSHALL"]);
    until("the revocations", BUSY, async || {
        entries() > before && !bed.accepts(&login).await
    })
    .await;
    let before = before + 1;

    // Tokens of a longer life than today's may be left.
    let lives = || {
        bed.redis
            .command::<Vec<u64>>(&["HKEYS", "wxmint:{wxmint:revoked}:lives"])
    };
    bed.redis.command::<()>(&[
        "HSET",
        "wxmint:{wxmint:revoked}:lives",
        "90000",
        "9999999999",
    ]);
    all_have_looked().await;
    bed.redis.command::<()>(&["FLUSHALL"]);
    until("the revocations", BUSY, async || entries() >= before).await;
    // The process that has published them may have been the one that looked last.
    until("the longer life is noted again", BUSY, async || {
        lives().contains(&90_000)
    })
    .await;
}
