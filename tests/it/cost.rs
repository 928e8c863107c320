//! The cost of a silent login in Redis.

use crate::support::TestBed;

/// Redis is one thread for everybody. Those within scripts count too.
#[tokio::test]
async fn redis_runs_at_most_twelve_commands_for_a_silent_login() {
    const LOGINS: u64 = 50;
    let bed = TestBed::start().await;
    let calls = bed.calls_of_logins(LOGINS).await;
    assert!(calls.values().sum::<u64>() <= 12 * LOGINS, "{calls:?}");
}
