//! Redis fails in the middle of a renewal.

use super::*;
use crate::clouds::proxy::{Fate, Product, Proxy};

/// More than a renewal asks Redis.
const MOST: u64 = 60;

/// A site that was answered 503 waits, and renews again when its Redis is back. Nobody has stolen anything. The answer
/// to each command of a renewal fails in turn, and the next try comes after the time in which a renewal is repeated.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_was_answered_by_a_fault_is_made_when_it_is_repeated_minutes_later() {
    let (clock, builder) = Clock::of(builder().envs(&[("WXMINT_REDIS_CONFIRM", "0"), ONE_THREAD]));
    let bed = builder
        .env("WXMINT_LIMIT_OPENID", "1000/5m")
        .start_on(Proxy::before(Product::Redis).await)
        .await;
    let mut failed = BTreeSet::new();
    for fate in [Fate::Refused, Fate::Unanswered] {
        let mut number = 0;
        loop {
            number += 1;
            assert!(number < MOST, "a renewal takes more than {MOST} commands");
            let before = bed
                .renew(&bed.log_in_site("lin").await)
                .await
                .expect_login();
            let tokens = bed.renew(&before).await.expect_login();
            bed.redis.plant(number, fate);
            let answer = bed.renew(&tokens).await;
            let Some(met) = bed.redis.has_met() else {
                break;
            };
            if answer.status == 200 {
                continue;
            }
            assert_eq!(answer.status, 503, "{met}: {answer:?}");
            clock.is_off_but_for_redis(100);
            let renewed = bed.renew(&tokens).await;
            assert_eq!(renewed.status, 200, "{fate:?} {met}: {renewed:?}");
            bed.renew(&renewed).await.expect_login();
            clock.is_off_but_for_redis(0);
            failed.insert(met);
        }
    }
    assert!(failed.len() >= 4, "{failed:?}");

    // A refresh token that was answered is used up, and a thief is found as before.
    let tokens = bed.log_in_site("lin").await;
    let renewed = bed.renew(&tokens).await.expect_login();
    clock.is_off_but_for_redis(100);
    assert_eq!(bed.renew(&tokens).await.member("error"), "invalid_grant");
    bed.expect_ended(&renewed, "a refresh token was used twice")
        .await;
}
