//! A poll for events (RFC 8936): the receiver acknowledges events and gets those that follow. Each
//! event is a security event token: `session-revoked` of CAEP 1.0, with the subject of SSF 1.0
//! section 3.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::web::{Bytes, Payload};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{sync::OwnedSemaphorePermit, task::yield_now, time::sleep};
use utoipa::ToSchema;
use wxmint_http::{Answer, Problem, ProblemCode, private, read_body};
use wxmint_store::limits::{LimitError, Rate};
use wxmint_store::{
    REVOCATIONS_KEPT, RateLimitKey, ReadRevocations, Revocation, StoreError, short_digest,
};

use super::{AtDoor, EVENTS};
use crate::{clock::now, issuer::state::IssuerWorker, login::Unavailable};

/// The most events in an answer, and the most that are read at once. An answer of this size has 0.2
/// MB.
const MOST_EVENTS: usize = 250;
const USUAL_EVENTS: usize = 100;
/// The largest body of a poll in bytes. A thousand acknowledgements take 27 KB.
const LONGEST_POLL: usize = 128 << 10;
/// How often a receiver may poll. With the usual number of events per poll, it reads 100,000 events
/// in 50 s.
const RATE: Rate = Rate {
    burst: 200,
    period: Duration::from_secs(10),
};
/// After this many signatures, which take a millisecond, other requests of this thread get their
/// turn.
const SIGNED_AT_ONCE: usize = 50;
/// How long a poll waits for an event, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOKS: Duration = Duration::from_secs(1);

/// The body of a poll (RFC 8936 section 2.2).
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Poll {
    /// At most 250; 100 if left out. 0 acknowledges, and asks for nothing.
    max_events: Option<usize>,
    /// If false or left out, the answer waits up to 10 s for an event.
    return_immediately: Option<bool>,
    /// The `jti` of events that were received. Those that are not acknowledged are sent again.
    ack: Option<HashSet<String>>,
    /// Events that the receiver refuses for good, by `jti`. They are logged, and not sent again.
    set_errs: Option<HashMap<String, Refused>>,
}

#[derive(Deserialize, ToSchema)]
struct Refused {
    err: String,
    description: Option<String>,
}

/// Events by `jti` (RFC 8936 section 2.3).
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Events {
    sets: BTreeMap<String, String>,
    more_available: bool,
}

/// Revocations as security event tokens (RFC 8936)
///
/// For whoever shows a secret of `WXMINT_ADMIN_TOKENS_FILE` that has the right `events`, instead of a user's token. The
/// events begin with the oldest revocation that is kept. Each is sent until it and all before it are acknowledged.
#[utoipa::path(post, path = "/ssf/poll", tag = "events", security(("bearer" = [])),
    request_body(content = Poll, example = json!({"maxEvents": 100, "returnImmediately": true, "ack": []})),
    responses((status = 200, description = "Events", body = Events)))]
pub(super) async fn poll(request: HttpRequest, payload: Payload, (worker, door): AtDoor) -> Answer {
    let receiver = door.receiver(&request).await?;
    let name = &*receiver.name;
    let place = door.place(name)?;
    let meter = RateLimitKey::new("polls", name, RATE);
    let counted = worker.login.store.limits.count(&meter).await;
    counted.map_err(|error| match error {
        LimitError::TooMany(refused) => Problem::new(
            ProblemCode::RateLimited,
            "Too many polls. Wait, then go on.",
        )
        .retry_after(refused.retry_after),
        LimitError::Store(error) => Unavailable::from(error).into(),
    })?;
    let body = read_body(payload, LONGEST_POLL).await?;
    let poll: Poll = serde_json::from_slice(&body).map_err(|error| {
        Problem::invalid(format!(
            "The body is no poll of RFC 8936: line {}, column {}. The least is `{{}}`.",
            error.line(),
            error.column()
        ))
    })?;
    let most = poll.max_events.unwrap_or(USUAL_EVENTS).min(MOST_EVENTS);
    let mut asked = Asked {
        worker: &worker,
        receiver: name,
        most,
        done: poll.ack.unwrap_or_default(),
    };
    for (id, Refused { err, description }) in poll.set_errs.unwrap_or_default() {
        asked.done.insert(id);
        let reason: String = [err, description.unwrap_or_default()]
            .join(": ")
            .chars()
            .take(300)
            .collect();
        bounded!(
            warn,
            &format!("refused event {name}"),
            receiver = name,
            reason,
            "a receiver has refused an event"
        );
    }
    let begun = Instant::now();
    let is_urgent = most == 0 || poll.return_immediately == Some(true);
    loop {
        // Authenticates again, because the secret may have been removed while the poll waited.
        door.receiver(&request).await?;
        let events = asked.events().await?;
        if !events.sets.is_empty() || is_urgent || begun.elapsed() + LOOKS > PATIENCE {
            return Ok(private(events).map_body(|_, body| {
                let unread = Unread(body.try_into_bytes().unwrap_or_default(), place);
                BoxBody::new(Bytes::from_owner(unread))
            }));
        }
        sleep(LOOKS).await;
    }
}

/// An answer that holds its poll's permit until it is sent, because unread answers take memory from
/// the pages of the revocation feed.
struct Unread(
    Bytes,
    #[expect(dead_code, reason = "held, and not read")] OwnedSemaphorePermit,
);

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A receiver's poll, and the `jti` of the events that it has acknowledged or refused.
struct Asked<'a> {
    worker: &'a IssuerWorker,
    receiver: &'a str,
    most: usize,
    done: HashSet<String>,
}

impl Asked<'_> {
    /// Stores how far the receiver has acknowledged the stream, and returns the events that follow.
    async fn events(&self) -> Result<Events, Unavailable> {
        let store = &self.worker.login.store;
        // The key of the cursor up to which the receiver has acknowledged the stream.
        let key = ["wxmint:receiver:", self.receiver].concat();
        let mut place = store.texts.get(&key).await?.unwrap_or_default();
        let mut unseen = self.done.len();
        loop {
            let read = self
                .read(&place, self.most.max(unseen).clamp(1, MOST_EVENTS))
                .await?;
            let first = read
                .revocations
                .iter()
                .take_while(|revocation| self.is_done(revocation))
                .count();
            // A page that holds no revocation that this version can read is skipped.
            if first == 0 && !(read.revocations.is_empty() && read.more) {
                return self.signed(&read).await;
            }
            let noted = if first == read.revocations.len() {
                read
            } else {
                self.read(&place, first).await?
            };
            // Kept longer than the stream keeps any revocation. Without the cursor, revocations
            // would be sent again.
            store
                .texts
                .keep(&key, &noted.cursor, 3 * REVOCATIONS_KEPT)
                .await?;
            place = noted.cursor;
            unseen = unseen.saturating_sub(first);
        }
    }

    /// Reads from the oldest revocation if the stream no longer has the cursor.
    async fn read(&self, place: &str, most: usize) -> Result<ReadRevocations, StoreError> {
        let store = &self.worker.login.store;
        match store.revocation_stream.after(place, most).await? {
            Some(read) => Ok(read),
            None => Ok(store
                .revocation_stream
                .after("", most)
                .await?
                .expect("a stream has a beginning")),
        }
    }

    /// Whether a revocation needs no event. A receiver sees in the JWKS that a key was revoked.
    fn is_done(&self, revocation: &Revocation) -> bool {
        if matches!(revocation, Revocation::Key { .. }) {
            return true;
        }
        let issuer = self.worker.issuer.settings.issuer.as_str();
        let id = event_id(issuer, self.receiver, revocation);
        self.done.contains(&id)
    }

    async fn signed(&self, read: &ReadRevocations) -> Result<Events, Unavailable> {
        let issuer = self.worker.issuer.settings.issuer.as_str();
        let now = now();
        let events: Vec<_> = read
            .revocations
            .iter()
            .filter(|revocation| !self.is_done(revocation))
            .collect();
        let mut sets = BTreeMap::new();
        for (number, revocation) in events.iter().take(self.most).enumerate() {
            if number % SIGNED_AT_ONCE == SIGNED_AT_ONCE - 1 {
                yield_now().await;
            }
            let jti = event_id(issuer, self.receiver, revocation);
            let claims = claims(revocation, issuer, self.receiver, &jti, now.timestamp());
            sets.insert(jti, self.worker.login.minter.sign_event(&claims, now)?);
        }
        Ok(Events {
            sets,
            more_available: read.more || events.len() > self.most,
        })
    }
}

/// The claims of an event (SSF 1.0 section 4.1). It has neither `sub` nor `exp`, which would make
/// it look like an access token. A single revoked token is named by its `jti`. If all tokens of a
/// user up to the second `event_timestamp` are revoked, the event names the user, or the user and
/// the app.
fn claims(revocation: &Revocation, iss: &str, aud: &str, jti: &str, iat: i64) -> Value {
    let user = |user: &str| json!({"format": "iss_sub", "iss": iss, "sub": user});
    let (sub_id, before) = match revocation {
        Revocation::User {
            user: id, before, ..
        } => (user(id.as_str()), Some(before)),
        Revocation::UserInApp {
            user: id,
            app,
            before,
            ..
        } => {
            let app = json!({"format": "opaque", "id": app});
            (
                json!({"format": "complex", "user": user(id.as_str()), "application": app}),
                Some(before),
            )
        }
        Revocation::Token { id, .. } => (
            json!({"format": "jwt_id", "iss": iss, "jti": id.as_str()}),
            None,
        ),
        Revocation::Key { kid, .. } => (json!({"format": "opaque", "id": kid}), None),
    };
    let event = match before {
        Some(before) => json!({"event_timestamp": before}),
        None => json!({}),
    };
    json!({"iss": iss, "aud": aud, "iat": iat, "jti": jti, "sub_id": sub_id, "events": { EVENTS[0]: event }})
}

/// The event's id. It is the same each time that the event is sent, so that a receiver recognises
/// it.
fn event_id(iss: &str, aud: &str, revocation: &Revocation) -> String {
    short_digest(&format!("{iss}\0{aud}\0{revocation}")).to_string()
}
