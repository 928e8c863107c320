//! `wxmint sidecar`: verifies tokens for a peer that does not verify them itself. nginx
//! (`auth_request`), Traefik and Caddy (forward-auth) or Envoy (`ext_authz` over HTTP) asks the
//! sidecar about each request, and the sidecar names the user, or refuses.
//!
//! The sidecar has only the public keys of the issuers. It starts even if the issuers are not
//! reachable yet.

mod metrics;
mod verify;

use std::{error::Error, num::NonZero, rc::Rc, sync::Arc, thread, time::Duration};

use actix_web::App;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Data, ServiceConfig, resource, scope, to};
use futures_util::FutureExt;
use wxmint_http::{
    Listeners, Readiness, ServerLimits, admin_app, nothing_else, serve, serve_admin,
};
use wxmint_verify::peer::{Gate, Peer};

use self::{metrics::SidecarMetrics, verify::verify};
use crate::settings::SidecarSettings;

const PATH: &str = "/verify";
/// How often `/readyz` is updated with whether the keys and the revocations are known.
const LOOK: Duration = Duration::from_secs(1);

struct Sidecar {
    gate: Gate<HeaderValue>,
    /// The headers of the claims that the gate hands on, in its order.
    claims: Box<[HeaderName]>,
    metrics: SidecarMetrics,
}

impl Sidecar {
    fn new(settings: SidecarSettings, peer: Arc<Peer>, metrics: SidecarMetrics) -> Self {
        let (names, claims): (Vec<_>, Vec<_>) = settings.claims.into_iter().unzip();
        Self {
            gate: Gate::new(peer, names),
            claims: claims.into(),
            metrics,
        }
    }
}

/// Serves until `shutdown` resolves, then finishes the requests in flight and returns.
pub async fn run(
    settings: SidecarSettings,
    listeners: Listeners,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    let metrics = SidecarMetrics::default();
    let peer = Arc::new(Peer::watched(
        settings.trusted.clone(),
        Arc::new(metrics.clone()),
    )?);
    let [verify, admin] = listeners.addresses();
    let issuers: Vec<_> = settings
        .trusted
        .iter()
        .map(|issuer| issuer.policy.issuer.as_str())
        .collect();
    tracing::info!(verify, admin, issuers = issuers.join(" "), "listening");
    let limits = ServerLimits {
        workers: thread::available_parallelism().map_or(1, NonZero::get),
        connections: settings.max_connections,
        // Proxies copy the heads of their clients, with all cookies. Envoy lets 60 KiB pass.
        head: 64 * 1024,
        ..ServerLimits::default()
    };
    let sidecar = Data::new(Sidecar::new(settings, peer, metrics));
    let readiness = Readiness::starting("the issuers' keys have not been fetched yet");
    let of_metrics = sidecar.clone();
    let paths = "This listener has /livez, /readyz and /metrics.";
    let probed = readiness.clone();
    let probes = move || {
        let measured = of_metrics.clone();
        admin_app(
            &probed,
            Rc::new(move || {
                let gate = &measured.gate;
                measured.metrics.exposition(gate.peer(), gate.remembered())
            }),
            &|_| {},
            paths,
        )
    };
    let admin = serve_admin(listeners.admin, probes)?;
    actix_web::rt::spawn(tell_readiness(sidecar.clone(), readiness.clone()));

    let stop = shutdown.map(move |()| readiness.stopping());
    let answers = answering(sidecar);
    let app = move || {
        App::new()
            .configure(answers.clone())
            .default_service(nothing_else("The sidecar answers at /verify."))
    };
    serve(listeners.service, limits, app, stop)?.await?;
    admin.stop(true).await;
    tracing::info!("stopped");
    Ok(())
}

/// `/verify` for another listener, such as the demo's. `peer` trusts the issuers of `settings`.
pub fn routes(
    settings: SidecarSettings,
    peer: Arc<Peer>,
) -> impl FnOnce(&mut ServiceConfig) + Clone {
    let metrics = SidecarMetrics::default();
    answering(Data::new(Sidecar::new(settings, peer, metrics)))
}

fn answering(sidecar: Data<Sidecar>) -> impl FnOnce(&mut ServiceConfig) + Clone {
    move |config| {
        let below = scope(PATH)
            .app_data(sidecar.clone())
            .default_service(to(verify));
        config
            .service(resource(PATH).app_data(sidecar).to(verify))
            .service(below);
    }
}

/// Makes the process ready once there are keys of every issuer, even from disk, and the revocation
/// feeds have been read or may be missing. From then on `/readyz` says why tokens are answered with
/// 503, or why a revoked token may be accepted.
async fn tell_readiness(sidecar: Data<Sidecar>, readiness: Readiness) {
    sidecar.gate.peer().has_keys().await;
    readiness.waits_for("the issuers' revocation feeds have not been read yet");
    sidecar.gate.peer().is_ready().await;
    tracing::info!("ready");
    // The first tick comes at once.
    let mut interval = actix_web::rt::time::interval(LOOK);
    loop {
        interval.tick().await;
        for what in ["keys", "revocations"] {
            let issuers: Vec<_> = sidecar
                .gate
                .peer()
                .known()
                .filter(|known| {
                    if what == "keys" {
                        known.lacks_keys
                    } else {
                        known.lacks_revocations
                    }
                })
                .map(|known| known.issuer)
                .collect();
            let of = issuers.join(" and ");
            let warning =
                || format!("the {what} of {of} are not known, or too old: the log says why");
            readiness.warns(what, (!of.is_empty()).then(warning).as_deref());
        }
        readiness.ready();
    }
}
