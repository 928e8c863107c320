//! Revocations as security event tokens (RFC 8417), for receivers of the Shared Signals Framework
//! (SSF) 1.0 that poll for them (RFC 8936). They read the same stream as the revocation feed.
//! Events name users, so a receiver must send a secret. These routes exist only if
//! `WXMINT_ADMIN_TOKENS_FILE` is set.

mod poll;

use std::{collections::HashMap, sync::Arc, time::Duration};

use actix_web::http::{StatusCode, header};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wxmint_http::{
    Answer, Problem, ProblemCode, bearer_token, no_valid_token, origin, pairs, private, routes,
};
use wxmint_telemetry::audit::{Activity, Event};

use crate::admin::tokens::{Holder, Right, Shown};
use crate::issuer::door::{Door, DoorRow};
use crate::issuer::route_constants::{ANY, BODY, HEAD, LIMIT, SECURITY, TOKEN};
use crate::{admin::CurrentAdminTokens, issuer::state::IssuerWorker, refusals::Refusal};

/// The problem of a receiver's token whose issuer's keys are not known.
const KEYS: &[ProblemCode] = &[ProblemCode::KeysUnavailable];
const NO_STREAM: &[u16] = &[404, 431];
const ONE_STREAM: &[u16] = &[409, 431];
/// The most polls of a receiver that are being handled, or whose answers have not been read. A
/// receiver is expected to send one poll after another.
const MOST_POLLS: usize = 4;
const BUSY: Duration = Duration::from_secs(1);
const POLLING: &str = "urn:ietf:rfc:8936";
const EVENTS: [&str; 1] = ["https://schemas.openid.net/secevent/caep/event-type/session-revoked"];

routes! {
    #[openapi(tags((name = "events", description = "For receivers of the Shared Signals Framework")))]
    READ "/.well-known/ssf-configuration" self::transmitter [], HEAD;
    GET "/ssf/stream" self::stream [ANY, TOKEN, KEYS], NO_STREAM;
    POST "/ssf/stream" self::create [ANY, TOKEN, KEYS], ONE_STREAM;
    POST "/ssf/poll" poll::poll [ANY, TOKEN, KEYS, LIMIT], BODY;
}

pub(super) const DOOR: DoorRow = DoorRow::new(&ROUTES, |_, tokens| {
    Ok(tokens.map(|it| {
        Arc::new(Events {
            tokens: it.clone(),
            polls: Mutex::default(),
        }) as _
    }))
});

type AtDoor = (Data<IssuerWorker>, Data<Events>);

struct Events {
    tokens: CurrentAdminTokens,
    /// The slots for polls by the receiver's name, shared by all workers.
    polls: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Door for Events {}

impl Events {
    /// Authenticates the receiver by its secret. Strangers reach this, so the answer does not say
    /// whether the secret is an operator's, and refusals are audited as counts.
    async fn receiver(&self, request: &HttpRequest) -> Result<Holder, Problem> {
        let shown = bearer_token(request);
        let holder = match &shown {
            Ok(token) => match self.tokens.of(token).await? {
                Shown::By(holder) => Some(*holder),
                Shown::RefusedToken | Shown::ByNobody => None,
            },
            Err(_) => None,
        };
        let by = holder.as_ref().map(|holder| holder.name.clone());
        if let Some(receiver) = holder.filter(|holder| holder.has(Right::Events)) {
            return Ok(receiver);
        }
        let detail = "Send the secret of a receiver of events, as `Authorization: Bearer …`.";
        let problem = shown
            .err()
            .unwrap_or_else(no_valid_token)
            .with_detail(detail);
        let event = Event {
            by,
            ..Event::new(Activity::request("poll"), origin(request))
        };
        let who = format!("poll {}", event.by.as_deref().unwrap_or(event.address()));
        Err(Refusal::from(problem).tell(event, &who))
    }

    /// Takes a slot for one poll and its answer. Dropping the permit frees the slot.
    fn place(&self, receiver: &str) -> Result<OwnedSemaphorePermit, Problem> {
        let mut places = self.polls.lock();
        let of_one = places
            .entry(receiver.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(MOST_POLLS)));
        Arc::clone(of_one).try_acquire_owned().map_err(|_| {
            let detail = format!(
                "{MOST_POLLS} polls of this receiver wait, or their answers were not read. Send one after another."
            );
            Problem::new(ProblemCode::RateLimited, detail).retry_after(BUSY)
        })
    }
}

/// The transmitter's metadata (SSF 1.0 section 7.1)
#[utoipa::path(get, path = "/.well-known/ssf-configuration", tag = "events", responses(
    (status = 200, description = "Where events are, and how they are signed", body = serde_json::Value)))]
async fn transmitter(worker: Data<IssuerWorker>) -> HttpResponse {
    let issuer = worker.issuer.settings.issuer.as_str();
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .json(json!({
            "spec_version": "1_0",
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
            "delivery_methods_supported": [POLLING],
            "configuration_endpoint": format!("{issuer}/ssf/stream"),
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6750"}],
            "critical_subject_members": [],
            "default_subjects": "ALL",
        }))
}

/// The stream of a receiver (SSF 1.0 section 8.1.1.2)
///
/// A receiver has one stream, by the name of its secret, which is also the `aud` of its events. It need not be created,
/// and cannot be changed.
#[utoipa::path(get, path = "/ssf/stream", tag = "events", security(("bearer" = [])),
    params(("stream_id" = Option<String>, Query, description = "Left out: the answer is a list of one stream")),
    responses((status = 200, description = "The stream, or a list of it", body = serde_json::Value)))]
async fn stream(request: HttpRequest, (worker, door): AtDoor) -> Answer {
    let receiver = door.receiver(&request).await?;
    let issuer = worker.issuer.settings.issuer.as_str();
    let stream = json!({
        "stream_id": receiver.name,
        "iss": issuer,
        "aud": receiver.name,
        "events_supported": EVENTS,
        "events_requested": EVENTS,
        "events_delivered": EVENTS,
        "delivery": {"method": POLLING, "endpoint_url": format!("{issuer}/ssf/poll")},
    });
    match pairs(request.query_string())
        .iter()
        .find(|(name, _)| name == "stream_id")
    {
        None => Ok(private([stream])),
        Some((_, id)) if *id == receiver.name => Ok(private(stream)),
        Some(_) => Err(Problem::invalid(
            "`stream_id` is the name of the receiver's secret; leave it out to be told.",
        )
        .with_status(StatusCode::NOT_FOUND)),
    }
}

/// The answer to a receiver that wants to create a stream (SSF 1.0 section 8.1.1.1)
///
/// Each receiver has its one stream already, so this is always 409. The receiver then reads the stream with GET.
#[utoipa::path(post, path = "/ssf/stream", tag = "events", security(("bearer" = [])), responses())]
async fn create(request: HttpRequest, door: Data<Events>) -> Answer {
    door.receiver(&request).await?;
    Err(
        Problem::invalid("This secret has its stream already. Read it with GET.")
            .with_status(StatusCode::CONFLICT),
    )
}
