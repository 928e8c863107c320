//! A constant load of logins by a known set of people, with a record of every answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::{Answer, TestBed, locked};

const PEOPLE: usize = 20;
const CODES_EACH: usize = 200;
const PERIOD: Duration = Duration::from_millis(20);
/// Few, so that a machine that is slow is not asked for more than it can do.
const AT_ONCE: usize = 4;

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
            let minted = bed
                .wechat
                .mint_codes(json!({"person": person, "count": CODES_EACH}))
                .await;
            codes.push((person, minted));
        }
        let logins = (0..CODES_EACH).flat_map(move |turn| {
            codes
                .iter()
                .map(|(person, codes)| (person.clone(), codes[turn].clone()))
                .collect::<Vec<_>>()
        });
        Self::of(bed, logins)
    }

    /// Logs these people in by these codes.
    pub(crate) fn of<R>(
        bed: &TestBed<R>,
        logins: impl Iterator<Item = (String, String)> + Send + 'static,
    ) -> Self {
        let (record, stopped) = (
            Arc::<Mutex<Vec<Recorded>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let (http, url) = (bed.http.clone(), bed.service().url("/login"));
        let (records, is_over) = (Arc::clone(&record), Arc::clone(&stopped));
        let running = tokio::spawn(async move {
            let mut tick = tokio::time::interval(PERIOD);
            // A machine that is slow is not asked for more afterwards.
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut in_flight = JoinSet::new();
            for (person, code) in logins {
                tick.tick().await;
                while in_flight.len() >= AT_ONCE {
                    in_flight.join_next().await;
                }
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let (http, records) = (http.clone(), Arc::clone(&records));
                let request = http.0.post(&url).json(&json!({"code": code}));
                in_flight.spawn(async move {
                    let answer = http.send(request).await;
                    locked(&records).push(Recorded { person, answer });
                });
            }
            assert!(
                is_over.load(Ordering::Relaxed),
                "the load has run out of codes"
            );
            in_flight.join_all().await;
        });
        Self {
            record,
            stopped,
            running,
        }
    }

    /// The answers so far, in the order in which they came.
    pub(crate) fn answers(&self) -> Vec<Recorded> {
        locked(&self.record).clone()
    }

    /// Sends no more, and waits for what is in flight.
    pub(crate) async fn stop(self) -> Vec<Recorded> {
        self.stopped.store(true, Ordering::Relaxed);
        self.running.await.expect("every login is answered");
        std::mem::take(&mut locked(&self.record))
    }
}
