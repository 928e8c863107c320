//! First logins without end, each by somebody who has never logged in: what a failover loses, if it loses something.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::task::JoinHandle;

use super::{Answer, Http, Recorded, TestBed, eventually};

/// Minted at once; each is of somebody else.
const PEOPLE: usize = 2000;
const AT_ONCE: usize = 4;
const PERIOD: Duration = Duration::from_millis(40);

/// First logins at the first service, [`AT_ONCE`] at a time, until they are stopped.
pub(crate) struct Newcomers {
    record: Arc<Mutex<Vec<Recorded>>>,
    stopped: Arc<AtomicBool>,
    running: Vec<JoinHandle<()>>,
}

impl Newcomers {
    pub(crate) async fn start<R>(bed: &TestBed<R>) -> Self {
        static STARTED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let name = format!("newcomer-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let wanted = json!({"person": name, "count": PEOPLE, "distinct_people": true});
        let codes = bed.wechat.mint_codes(wanted).await;
        let people = codes.into_iter().enumerate().map(|(number, code)| (format!("{name}-{number}"), code));
        let people = Arc::new(Mutex::new(people.collect::<Vec<_>>().into_iter()));
        let (record, stopped) = (Arc::<Mutex<_>>::default(), Arc::<AtomicBool>::default());
        let url = bed.service().url("/login");
        let log_in = || {
            let next = Arc::clone(&people);
            let next = move || next.lock().expect("no panic").next().expect("more people");
            tokio::spawn(send(next, bed.http.clone(), url.clone(), Arc::clone(&record), Arc::clone(&stopped)))
        };
        let running = (0..AT_ONCE).map(|_| log_in()).collect();
        Self { record, stopped, running }
    }

    /// Waits until so many logins that began after `since` have succeeded in a row.
    pub(crate) async fn in_full_service(&self, since: Instant, within: Duration) {
        const SERVED: usize = 20;
        eventually("full service", within, async || {
            let record = self.record.lock().expect("no panic");
            let statuses: Vec<u16> =
                record.iter().filter(|it| it.answer.sent > since).map(|it| it.answer.status).collect();
            let last = statuses.len().checked_sub(SERVED)?;
            statuses[last..].iter().all(|status| *status == 200).then_some(())
        })
        .await;
    }

    /// Sends no more, and waits for what is in flight. All answers, in the order in which they came: logins, or 503.
    pub(crate) async fn stop(self) -> Vec<Recorded> {
        self.stopped.store(true, Ordering::Relaxed);
        for running in self.running {
            running.await.expect("every login is answered");
        }
        let record = Arc::try_unwrap(self.record).expect("nobody else records").into_inner().expect("no panic");
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
        let again = bed.log_in(person).await.expect_login();
        if (again.member("user_id"), &again.json()["new_user"]) != (answer.member("user_id"), &json!(false)) {
            lost.push(person.clone());
        }
    }
    lost
}

async fn send(
    next: impl Fn() -> (String, String),
    http: Http,
    url: String,
    record: Arc<Mutex<Vec<Recorded>>>,
    stopped: Arc<AtomicBool>,
) {
    let mut tick = tokio::time::interval(PERIOD);
    while !stopped.load(Ordering::Relaxed) {
        tick.tick().await;
        let (person, code) = next();
        let answer: Answer = http.send(http.0.post(&url).json(&json!({"code": code}))).await;
        record.lock().expect("no panic").push(Recorded { person, answer });
    }
}
