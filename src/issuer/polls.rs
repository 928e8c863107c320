//! The places of receivers of events.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::http::{Problem, ProblemCode};

/// So many polls of a receiver are worked on, or have answers that nobody has read. A receiver sends one after another.
const MOST_POLLS: usize = 4;
const BUSY: Duration = Duration::from_secs(1);

/// The places of each receiver, by its name, for all workers.
#[derive(Default)]
pub(super) struct Polls(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Polls {
    /// A place for one poll and its answer, until it is dropped.
    pub(super) fn place(&self, receiver: &str) -> Result<OwnedSemaphorePermit, Problem> {
        let mut places = self.0.lock();
        let of_one = places.entry(receiver.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(MOST_POLLS)));
        Arc::clone(of_one).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{MOST_POLLS} polls of this receiver wait, or their answers were not read. Send one after another."
            );
            Problem::new(ProblemCode::RateLimited, detail).retry_after(BUSY)
        })
    }
}
