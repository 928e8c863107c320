//! A constant load of logins by a known set of people, with a record of every answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::{Answer, Http, TestBed};

const PEOPLE: usize = 20;
const CODES_EACH: usize = 200;
const PERIOD: Duration = Duration::from_millis(20);

/// Logins at the first service until it is stopped.
pub(crate) struct Load {
    record: Arc<Mutex<Vec<Recorded>>>,
    stopped: Arc<AtomicBool>,
    running: JoinHandle<()>,
}

#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) person: String,
    pub(crate) answer: Answer,
}

impl Load {
    pub(crate) async fn start<R>(bed: &TestBed<R>) -> Self {
        let mut codes = Vec::new();
        for number in 0..PEOPLE {
            let person = format!("load-{number}");
            let minted = bed.wechat.mint_codes(json!({"person": person, "count": CODES_EACH})).await;
            codes.push((person, minted));
        }
        let logins = (0..CODES_EACH).flat_map(move |turn| {
            codes.iter().map(|(person, codes)| (person.clone(), codes[turn].clone())).collect::<Vec<_>>()
        });
        Self::of(bed, logins, usize::MAX)
    }

    /// Logs these people in by these codes, at most so many at once.
    pub(crate) fn of<R>(
        bed: &TestBed<R>,
        logins: impl Iterator<Item = (String, String)> + Send + 'static,
        at_once: usize,
    ) -> Self {
        let (record, stopped) = (Arc::default(), Arc::<AtomicBool>::default());
        let to = (bed.http.clone(), bed.service().url("/login"));
        let running = tokio::spawn(send(logins, at_once, to, Arc::clone(&record), Arc::clone(&stopped)));
        Self { record, stopped, running }
    }

    /// The answers so far, in the order in which they came.
    pub(crate) fn answers(&self) -> Vec<Recorded> {
        self.record.lock().expect("no panic").clone()
    }

    /// Sends no more, and waits for what is in flight.
    pub(crate) async fn stop(self) -> Vec<Recorded> {
        self.stopped.store(true, Ordering::Relaxed);
        self.running.await.expect("every login is answered");
        Arc::try_unwrap(self.record).expect("nobody else records").into_inner().expect("no panic")
    }
}

async fn send(
    logins: impl Iterator<Item = (String, String)>,
    at_once: usize,
    (http, url): (Http, String),
    record: Arc<Mutex<Vec<Recorded>>>,
    stopped: Arc<AtomicBool>,
) {
    let mut tick = tokio::time::interval(PERIOD);
    // A machine that is slow is not asked for more afterwards.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut in_flight = JoinSet::new();
    for (person, code) in logins {
        tick.tick().await;
        while in_flight.len() >= at_once {
            in_flight.join_next().await;
        }
        if stopped.load(Ordering::Relaxed) {
            break;
        }
        let (http, record) = (http.clone(), Arc::clone(&record));
        let request = http.0.post(&url).json(&json!({"code": code}));
        in_flight.spawn(async move {
            let answer = http.send(request).await;
            record.lock().expect("no panic").push(Recorded { person, answer });
        });
    }
    assert!(stopped.load(Ordering::Relaxed), "the load has run out of codes");
    in_flight.join_all().await;
}
