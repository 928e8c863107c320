//! Revocations as security event tokens (RFC 8417), for receivers of the Shared Signals Framework (SSF) 1.0 that poll
//! for them (RFC 8936). They read the same stream as the feed, but events name users, so a receiver shows a secret.
//! These routes are there only where `WXMINT_ADMIN_TOKENS_FILE` is set.

mod poll;
mod receivers;
mod set;
mod transmitter;

use actix_web::HttpRequest;
use utoipa::OpenApi;

use super::{
    declared::{ANY, BODY, HEAD, LIMIT, SECURITY, TOKEN},
    state::IssuerWorker,
};
use crate::{
    admin::Holder,
    http::{
        Problem, ProblemDocument,
        described::{DescribedRoute, GET, POST, READ, Routes, routes},
        no_token,
    },
};

const NO_STREAM: &[u16] = &[404, 431];
const ONE_STREAM: &[u16] = &[409, 431];
const POLL_PATH: &str = "/ssf/poll";
const STREAM_PATH: &str = "/ssf/stream";

routes! {
    #[openapi(tags((name = "events", description = "For receivers of the Shared Signals Framework")))]
    READ "/.well-known/ssf-configuration" transmitter::transmitter [], HEAD;
    GET "/ssf/stream" transmitter::stream [ANY, TOKEN], NO_STREAM;
    POST "/ssf/stream" transmitter::create [ANY, TOKEN], ONE_STREAM;
    POST "/ssf/poll" poll::poll [ANY, TOKEN, LIMIT], BODY;
}

pub(super) fn described() -> utoipa::openapi::OpenApi {
    Described::openapi()
}

fn receiver(request: &HttpRequest, worker: &IssuerWorker) -> Result<Holder, Problem> {
    let Some((_, tokens)) = &worker.issuer.admin_tokens else { return Err(no_token()) };
    receivers::receiver(tokens, request)
}
