//! Revocations as security event tokens (RFC 8417), for receivers of the Shared Signals Framework (SSF) 1.0 that poll
//! for them (RFC 8936). They read the same stream as the feed, but events name users, so a receiver shows a secret.
//! These routes are there only where `WXMINT_ADMIN_TOKENS_FILE` is set.

mod poll;
mod receivers;
mod set;
mod transmitter;

use std::sync::Arc;

use actix_web::web::{Data, ServiceConfig};
use utoipa::OpenApi;
use wxmint_http::described::{DescribedRoute, GET, POST, READ, Routes, routes};
use wxmint_http::{ProblemCode, ProblemDocument};

use self::receivers::Polls;
use crate::issuer::declared::{ANY, BODY, HEAD, LIMIT, SECURITY, TOKEN};
use crate::issuer::door::{Door, DoorRow};
use crate::{admin::CurrentAdminTokens, issuer::state::IssuerWorker};

/// Those of the issuer of a receiver's token.
const KEYS: &[ProblemCode] = &[ProblemCode::KeysUnavailable];
const NO_STREAM: &[u16] = &[404, 431];
const ONE_STREAM: &[u16] = &[409, 431];
const POLL_PATH: &str = "/ssf/poll";
const STREAM_PATH: &str = "/ssf/stream";

routes! {
    #[openapi(tags((name = "events", description = "For receivers of the Shared Signals Framework")))]
    READ "/.well-known/ssf-configuration" transmitter::transmitter [], HEAD;
    GET "/ssf/stream" transmitter::stream [ANY, TOKEN, KEYS], NO_STREAM;
    POST "/ssf/stream" transmitter::create [ANY, TOKEN, KEYS], ONE_STREAM;
    POST "/ssf/poll" poll::poll [ANY, TOKEN, KEYS, LIMIT], BODY;
}

pub(super) const DOOR: DoorRow = DoorRow {
    public: &ROUTES,
    readable: &[],
    admin: None,
    panel: None,
    open: |_, tokens| Ok(tokens.map(|tokens| Arc::new(Events { tokens: tokens.clone(), polls: Polls::default() }) as _)),
    check: None,
    alone: None,
    metadata: None,
    command: None,
    in_demo: None,
};

/// The handlers need both.
type AtDoor = (Data<IssuerWorker>, Data<Events>);

struct Events {
    /// The secrets of receivers.
    tokens: CurrentAdminTokens,
    polls: Polls,
}

impl Door for Events {
    fn configure(self: Arc<Self>, config: &mut ServiceConfig) {
        config.app_data(Data::from(self));
    }
}
