//! The cost of a silent login in Redis.

use crate::support::TestBed;

/// Redis is one thread for everybody. Those within scripts count too.
#[tokio::test]
async fn redis_runs_at_most_twelve_commands_for_a_silent_login() {
    const LOGINS: u64 = 50;
    let bed = TestBed::start().await;
    for _ in 0..5 {
        bed.log_in("lin").await.expect_login();
    }
    let before = bed.redis.calls();
    for _ in 0..LOGINS {
        bed.log_in("lin").await.expect_login();
    }
    let calls = bed.redis.calls_since(&before);
    assert!(calls.values().sum::<u64>() <= 12 * LOGINS, "{calls:?}");
}
