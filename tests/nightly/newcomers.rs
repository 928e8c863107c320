//! First logins without end, each by somebody who has never logged in: what a failover loses, if it loses something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::support::{load::Recorded, prelude::*};

/// Minted at once; each is of somebody else.
const PEOPLE: usize = 2000;
/// Few, so that a machine that is slow is not asked for more than it can do.
const AT_ONCE: usize = 4;

/// First logins at the first service, until they are stopped.
pub(crate) struct Newcomers(Load);

impl Newcomers {
    pub(crate) async fn start<R>(bed: &TestBed<R>) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("newcomer-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let wanted = json!({"person": name, "count": PEOPLE, "distinct_people": true});
        let codes = bed.wechat.mint_codes(wanted).await;
        let people = codes.into_iter().enumerate().map(move |(number, code)| (format!("{name}-{number}"), code));
        Self(Load::of(bed, people, AT_ONCE))
    }

    /// Waits until 20 logins that began after `since` have succeeded in a row.
    pub(crate) async fn in_full_service(&self, since: Instant, within: Duration) {
        eventually("full service", within, async || {
            let answers = self.0.answers().into_iter().map(|recorded| recorded.answer);
            let statuses: Vec<u16> = answers.filter(|it| it.sent > since).map(|it| it.status).collect();
            let last = statuses.len().checked_sub(20)?;
            statuses[last..].iter().all(|status| *status == 200).then_some(())
        })
        .await;
    }

    /// Sends no more, and waits for what is in flight. All answers, in the order in which they came: logins, or 503.
    pub(crate) async fn stop(self) -> Vec<Recorded> {
        let record = self.0.stop().await;
        for Recorded { answer, .. } in &record {
            match answer.status {
                200 => _ = answer.clone().expect_login(),
                _ => _ = answer.clone().expect_problem(503, "store_unavailable"),
            }
        }
        record
    }
}

/// The people whose first login was answered and who have become somebody else since.
pub(crate) async fn lost<R>(bed: &TestBed<R>, record: &[Recorded]) -> Vec<String> {
    let mut lost = Vec::new();
    for Recorded { person, answer } in record.iter().filter(|it| it.answer.status == 200) {
        let again = eventually("a login", PATIENCE, async || {
            Some(bed.log_in(person).await).filter(|answer| answer.status == 200)
        })
        .await;
        if (again.member("user_id"), &again.json()["new_user"]) != (answer.member("user_id"), &json!(false)) {
            lost.push(person.clone());
        }
    }
    lost
}
