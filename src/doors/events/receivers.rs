//! The receivers of events, holders of a secret with the right `events`, and their places.

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::HttpRequest;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wxmint_http::{Problem, ProblemCode, bearer_token, no_valid_token, origin};
use wxmint_telemetry::audit::{Activity, Event};

use super::Events;
use crate::admin::tokens::{Holder, Right};

impl Events {
    /// The receiver whose secret the request has shown. Strangers reach this, so the answer does not say whether the
    /// secret is an operator's, and refusals are audited as counts.
    pub(super) fn receiver(&self, request: &HttpRequest) -> Result<Holder, Problem> {
        let shown = bearer_token(request);
        let holder = shown.as_ref().ok().and_then(|token| self.tokens.of(token));
        let by = holder.as_ref().map(|holder| holder.name().to_owned());
        if let Some(receiver) = holder.filter(|holder| holder.has(Right::Events)) {
            return Ok(receiver);
        }
        let problem = shown.err().unwrap_or_else(no_valid_token);
        let refused = Some(problem.code().as_str().into());
        let event = Event { by, refused, ..Event::new(Activity::Request("poll"), origin(request)) };
        let who = format!("poll {}", event.by.as_deref().unwrap_or(event.address()));
        event.tell_bounded(&who);
        Err(problem.with_detail("Send the secret of a receiver of events, as `Authorization: Bearer …`."))
    }
}

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
