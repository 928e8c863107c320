//! Redis is emptied under load: nobody is refused, and nobody's user id changes. tests/nightly does it for ten minutes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use crate::support::{Load, TestBed};

/// In each round there is load for `period`, and in its middle Redis is emptied.
pub(crate) async fn empty_under_load(bed: &TestBed, rounds: u32, period: Duration) -> usize {
    let (mut users, mut logins) = (BTreeMap::new(), 0);
    for _ in 0..rounds {
        let load = Load::start(bed).await;
        sleep(period / 2).await;
        bed.redis.command::<()>(&["FLUSHALL"]);
        sleep(period / 2).await;
        for recorded in load.stop().await {
            let login = recorded.answer.expect_login();
            let user = login.member("user_id");
            assert_eq!(*users.entry(recorded.person).or_insert_with(|| user.clone()), user);
            logins += 1;
        }
    }
    assert!(users.len() == 20 && logins > 20 * rounds as usize, "{logins} logins of {users:?}");
    logins
}
