//! A poll for events (RFC 8936): what a receiver has acknowledged, and what comes after it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest,
    web::{self, Payload},
};
use serde::{Deserialize, Serialize};
use tokio::{task::yield_now, time::sleep};
use utoipa::ToSchema;
use wxmint_store::{Ended, ReadEnds, StoreError};

use super::{
    receiver,
    set::{EventClaims, event_id},
};
use crate::{
    admin::Holder,
    clock::now,
    http::{Answer, Problem, ProblemCode, private, read_body},
    issuer::build::IssuerWorker,
};

/// The most events in an answer, which then has 0.7 MB.
const MOST_EVENTS: usize = 1_000;
const USUAL_EVENTS: usize = 100;
/// A thousand acknowledgements have 27 KB.
const LONGEST_POLL: usize = 128 << 10;
/// After so many signatures, which take a millisecond, other requests of this thread have their turn.
const SIGNED_AT_ONCE: usize = 50;
/// How long a poll waits for an event, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOKS: Duration = Duration::from_secs(1);

/// The body of a poll (RFC 8936 section 2.2).
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Poll {
    /// At most 1,000; 100 if left out. 0 acknowledges, and asks for nothing.
    max_events: Option<usize>,
    /// If false or left out, the answer waits up to 10 s for an event.
    #[serde(default)]
    return_immediately: bool,
    /// The `jti` of events that were received. Those that are not acknowledged are sent again.
    #[serde(default)]
    ack: HashSet<String>,
    /// Events that the receiver refuses for good, by `jti`. They are logged, and not sent again.
    #[serde(default)]
    set_errs: HashMap<String, Refused>,
}

#[derive(Deserialize, ToSchema)]
struct Refused {
    err: String,
    #[serde(default)]
    description: String,
}

/// Events by `jti` (RFC 8936 section 2.3).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Events {
    sets: BTreeMap<String, String>,
    more_available: bool,
}

/// What has been revoked, as security event tokens (RFC 8936)
///
/// For whoever shows a secret of WXMINT_ADMIN_TOKENS_FILE that has the right `events`, instead of a user's token. The events begin
/// with the oldest revocation that is kept. Each is sent until it is acknowledged.
#[utoipa::path(post, path = "/ssf/poll", tag = "events", security(("bearer" = [])),
    request_body(content = Poll, example = json!({"maxEvents": 100, "returnImmediately": true, "ack": []})),
    responses((status = 200, description = "Events", body = Events)))]
pub(super) async fn poll(request: HttpRequest, payload: Payload, worker: web::Data<IssuerWorker>) -> Answer {
    let receiver = receiver(&request, &worker)?;
    let _one_of_few = receiver.poll()?;
    let body = read_body(payload, LONGEST_POLL).await?;
    let poll: Poll = serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Problem::invalid(format!("The body is no poll of RFC 8936: line {line}, column {column}. The least is `{{}}`."))
    })?;
    for refused in poll.set_errs.values().take(3) {
        let [err, description] =
            [&refused.err, &refused.description].map(|text| text.chars().take(200).collect::<String>());
        tracing::warn!(receiver = receiver.name(), err, description, "a receiver has refused an event");
    }
    let begun = Instant::now();
    loop {
        // A secret that was taken away while its poll waited gets nothing more.
        let receiver = super::receiver(&request, &worker)?;
        let events = events_for(&receiver, &poll, &worker).await.map_err(unreadable)?;
        let is_answer = !events.sets.is_empty() || poll.return_immediately || poll.max_events == Some(0);
        if is_answer || begun.elapsed() + LOOKS > PATIENCE {
            return Ok(private(events));
        }
        sleep(LOOKS).await;
    }
}

fn unreadable(error: String) -> Problem {
    tracing::warn!(error, "events could not be read for a receiver");
    let detail = "The events cannot be read now. Wait, then poll again with the same acknowledgements.";
    Problem::new(ProblemCode::StoreUnavailable, detail).retry_after(LOOKS)
}

/// Takes note of what is acknowledged, and returns the events after it.
async fn events_for(receiver: &Holder, poll: &Poll, worker: &IssuerWorker) -> Result<Events, String> {
    let (store, name) = (&worker.login.store, receiver.name());
    let mut place = store.acknowledged(name).await.map_err(of_store)?;
    loop {
        let read = after(&place, MOST_EVENTS, worker).await.map_err(of_store)?;
        let done = read.ends.iter().take_while(|ended| is_done(ended, name, poll, worker)).count();
        if done == 0 {
            return events_of(&read, name, poll, worker).await;
        }
        let noted = if done == read.ends.len() { read } else { after(&place, done, worker).await.map_err(of_store)? };
        store.acknowledge(name, &noted.cursor, noted.keep).await.map_err(of_store)?;
        place = noted.cursor;
    }
}

fn of_store(error: StoreError) -> String {
    error.to_string()
}

/// From the oldest end if the stream no longer has the cursor.
async fn after(place: &str, most: usize, worker: &IssuerWorker) -> Result<ReadEnds, StoreError> {
    let store = &worker.login.store;
    match store.ends_after(place, most).await? {
        Some(read) => Ok(read),
        None => Ok(store.ends_after("", most).await?.expect("a stream has a beginning")),
    }
}

/// The end of a key is no event: the receiver sees in the JWKS that the key is gone.
fn is_done(ended: &Ended, receiver: &str, poll: &Poll, worker: &IssuerWorker) -> bool {
    let id = event_id(worker.issuer.settings.issuer.as_str(), receiver, ended);
    matches!(ended, Ended::Key { .. }) || poll.ack.contains(&id) || poll.set_errs.contains_key(&id)
}

async fn events_of(read: &ReadEnds, receiver: &str, poll: &Poll, worker: &IssuerWorker) -> Result<Events, String> {
    let (issuer, now) = (worker.issuer.settings.issuer.as_str(), now());
    let most = poll.max_events.unwrap_or(USUAL_EVENTS).min(MOST_EVENTS);
    let events: Vec<_> = read.ends.iter().filter(|ended| !is_done(ended, receiver, poll, worker)).collect();
    let mut sets = BTreeMap::new();
    for (number, ended) in events.iter().take(most).enumerate() {
        if number % SIGNED_AT_ONCE == SIGNED_AT_ONCE - 1 {
            yield_now().await;
        }
        let claims = EventClaims::of(ended, issuer, receiver, now.timestamp());
        let signed = worker.login.minter.sign_event(&claims, now);
        sets.insert(claims.jti, signed.map_err(|error| format!("an event could not be signed: {error}"))?);
    }
    Ok(Events { sets, more_available: read.more || events.len() > most })
}
