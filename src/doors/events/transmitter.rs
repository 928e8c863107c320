//! A receiver reads this before it polls: where events are, and which stream it has.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use wxmint_http::{Answer, Problem, pairs, private};

use super::{AtDoor, EVENTS, Events, POLL_PATH, STREAM_PATH};
use crate::issuer::state::IssuerWorker;

const POLLING: &str = "urn:ietf:rfc:8936";

/// The transmitter's metadata (SSF 1.0 section 7.1)
#[utoipa::path(get, path = "/.well-known/ssf-configuration", tag = "events", responses(
    (status = 200, description = "Where events are, and how they are signed", body = serde_json::Value)))]
pub(super) async fn transmitter(worker: web::Data<IssuerWorker>) -> HttpResponse {
    let issuer = worker.issuer.settings.issuer.as_str();
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).json(json!({
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "delivery_methods_supported": [POLLING],
        "configuration_endpoint": format!("{issuer}{STREAM_PATH}"),
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
pub(super) async fn stream(request: HttpRequest, (worker, door): AtDoor) -> Answer {
    let (receiver, issuer) = (door.receiver(&request).await?, worker.issuer.settings.issuer.as_str());
    let stream = json!({
        "stream_id": receiver.name,
        "iss": issuer,
        "aud": receiver.name,
        "events_supported": EVENTS,
        "events_requested": EVENTS,
        "events_delivered": EVENTS,
        "delivery": {"method": POLLING, "endpoint_url": format!("{issuer}{POLL_PATH}")},
    });
    let pairs = pairs(request.query_string());
    match pairs.iter().find(|(name, _)| name == "stream_id") {
        None => Ok(private([stream])),
        Some((_, id)) if *id == receiver.name => Ok(private(stream)),
        Some(_) => Err(Problem::invalid("`stream_id` is the name of the receiver's secret; leave it out to be told.")
            .with_status(StatusCode::NOT_FOUND)),
    }
}

/// The answer to a receiver that wants to create a stream (SSF 1.0 section 8.1.1.1)
///
/// Each receiver has its one stream already, so this is always 409. The receiver then reads the stream with GET.
#[utoipa::path(post, path = "/ssf/stream", tag = "events", security(("bearer" = [])), responses())]
pub(super) async fn create(request: HttpRequest, door: web::Data<Events>) -> Answer {
    door.receiver(&request).await?;
    Err(Problem::invalid("This secret has its stream already. Read it with GET.").with_status(StatusCode::CONFLICT))
}
