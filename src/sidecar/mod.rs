//! `wxmint sidecar`: verifies tokens for a peer that does not verify them itself. nginx (`auth_request`), Traefik and
//! Caddy (forward-auth) or Envoy (ext_authz over HTTP) asks it about each request, and it answers who the user is, or
//! refuses.
//!
//! It knows the issuers by their public keys alone, and starts even if they are not reachable yet.

mod claims;
mod metrics;
mod remembered;
mod run;
mod verify;

pub use self::run::{routes, run};
pub use wxmint_http::path_rules::{Demand, PathSource, Prefix, Rules};

use std::sync::Arc;

use actix_web::http::header::HeaderValue;
use wxmint_verify::peer::Peer;

use self::{claims::ClaimHeaders, metrics::SidecarMetrics, remembered::Remembered};
use crate::settings::SidecarSettings;

/// The value of a header if there is no user, or no such claim.
const EMPTY: HeaderValue = HeaderValue::from_static("");

struct Sidecar {
    settings: SidecarSettings,
    claims: ClaimHeaders,
    peer: Arc<Peer>,
    remembered: Remembered,
    metrics: SidecarMetrics,
}
