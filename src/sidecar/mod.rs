//! `wxmint sidecar`: verifies tokens for a peer that cannot or would rather not. Asked by nginx (`auth_request`), Traefik and
//! Caddy (forward-auth) and Envoy (ext_authz over HTTP), it answers who is asking, or refuses.
//!
//! Knows the issuers by their public keys alone, and starts before they do.

mod metrics;
mod remembered;
mod run;
mod verify;

pub use self::run::{Listeners, StartError, run};
pub use crate::path_rules::{Demand, PathSource, Prefix, Rules};

use self::{metrics::SidecarMetrics, remembered::Remembered};
use crate::{settings::SidecarSettings, verify::peer::Peer};

/// What a request is answered from.
struct Sidecar {
    settings: SidecarSettings,
    peer: Peer,
    remembered: Remembered,
    metrics: SidecarMetrics,
}
