//! Runs the two listeners until told to stop.

use std::time::{Duration, Instant};
use std::{rc::Rc, sync::Arc};

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, Error, middleware::from_fn};
use futures_util::{FutureExt, future::join};
use prometheus_client::registry::Registry;
use tracing_actix_web::TracingLogger;
use wxmint_http::viewer::Description;
use wxmint_http::{
    Listeners, LogAddresses, RequestSpan, ServerLimits, nothing_else, serve, serve_admin,
    with_request_id,
};
use wxmint_store::{Store, StoreError};
use wxmint_telemetry::audit;

use super::routes::{self, public_routes};
use super::{
    Issuer, IssuerStartError, health, reload::watch_files, route_constants::PLACE,
    state::IssuerWorker,
};
use crate::admin::{self, admin_request::Operating};
use crate::clock::now;
use crate::findings::{Doctor, Finding, Status};
use crate::observers::show_keys;
use crate::revocation::follow;

/// How long requests in flight may take after a stop: twice the longest login, and less than
/// Kubernetes' grace period.
const DRAIN: Duration = Duration::from_secs(15);
/// How often the store is checked until it can be used.
const FITNESS_INTERVAL: Duration = Duration::from_millis(500);
/// How often the log repeats why the process is not ready.
const UNFIT_AGAIN: Duration = Duration::from_secs(30);

const MADE_ONCE: &str = "made once already by `Issuer::of`, from the same settings";

/// Routes that are added to a listener's own.
pub type Routes = Arc<dyn Fn(&mut ServiceConfig) + Send + Sync>;

/// Serves until `shutdown` resolves, then finishes the requests in flight and returns. `demo` adds
/// the demo's routes to the public listener, which then serves only this machine, and no proxy.
/// `doctor` answers operators.
pub async fn run(
    issuer: Issuer,
    listeners: Listeners,
    demo: Option<Routes>,
    doctor: Doctor,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), IssuerStartError> {
    let issuer = Arc::new(issuer);
    let [public, admin] = listeners.addresses();
    let apps = issuer.apps.all().names();
    let url = issuer.settings.issuer.as_str();
    tracing::info!(public, admin, issuer = url, apps, "listening");

    let operated = Arc::clone(&issuer);
    let examined = admin_description(&issuer);
    let admin = serve_admin(listeners.admin, move || {
        admin_app(&operated, &doctor, &examined)
    })?;
    actix_web::rt::spawn(await_fitness(Arc::clone(&issuer)));
    actix_web::rt::spawn(health::follow_store(Arc::clone(&issuer)));
    actix_web::rt::spawn(follow::follow_revocations(
        issuer.store(),
        issuer.minter.ttl(),
        issuer.loss_monitor(),
    ));
    issuer
        .metrics
        .phone_numbers_per_app
        .set(issuer.settings.phone_numbers_per_app.into());
    actix_web::rt::spawn(join(
        health::follow_user_ids(Arc::clone(&issuer)),
        Arc::clone(&issuer).follow_peers(),
    ));
    actix_web::rt::spawn(audit::run());
    watch_files(&issuer);
    for open in &issuer.doors {
        Arc::clone(&open.door).follow(&issuer);
    }

    let readiness = issuer.readiness.clone();
    let stop = shutdown.map(move |()| readiness.stopping());
    let in_demo = demo.is_some();
    let served = Arc::clone(&issuer);
    let description = public_description(&issuer, in_demo);
    let app = move || public_app(&served, &description, demo.as_ref());
    serve(listeners.service, limits(&issuer, in_demo), app, stop)?.await?;
    // The probes answer until the last login has been answered.
    admin.stop(true).await;
    audit::close();
    tracing::info!("stopped");
    Ok(())
}

fn limits(issuer: &Issuer, loopback_names: bool) -> ServerLimits {
    ServerLimits {
        workers: issuer.workers as usize,
        connections: issuer.settings.max_connections,
        drain: DRAIN,
        loopback_names,
        ..ServerLimits::default()
    }
}

/// The description of the public listener, for [`public_app`].
pub fn public_description(issuer: &Issuer, in_demo: bool) -> Data<Description> {
    Data::new(routes::description(issuer, in_demo))
}

/// The app that a worker of the public listener serves.
pub fn public_app(
    issuer: &Arc<Issuer>,
    description: &Data<Description>,
    demo: Option<&Routes>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + 'static + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let worker = IssuerWorker {
        issuer: Arc::clone(issuer),
        login: issuer.login_parts().expect(MADE_ONCE),
    };
    let feed = issuer.feed(worker.login.store.revocation_stream.clone());
    App::new()
        .app_data(Data::new(feed))
        .app_data(Data::new(worker))
        .app_data(description.clone())
        .app_data(issuer.proxies.clone())
        .app_data(issuer.readiness.clone())
        .app_data(LogAddresses(issuer.settings.log_addresses))
        // First, because the demo has another page at `/`.
        .configure(|config| {
            if let Some(routes) = &demo {
                routes(config);
            }
        })
        .configure(public_routes(issuer))
        .default_service(nothing_else(PLACE))
        .wrap(from_fn(with_request_id))
        .wrap(TracingLogger::<RequestSpan>::new())
}

/// The description of the admin listener, for [`admin_app`].
pub fn admin_description(issuer: &Issuer) -> Data<Description> {
    Data::new(admin::description(
        issuer.rows.iter().filter_map(|row| row.admin).collect(),
    ))
}

/// The app that a worker of the admin listener serves. Without secrets of operators it has no paths
/// about users.
pub fn admin_app(
    issuer: &Arc<Issuer>,
    doctor: &Doctor,
    description: &Data<Description>,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + 'static + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let measured = Arc::clone(issuer);
    let metrics = Rc::new(move || exposition(&measured));
    let of_operators = |config: &mut ServiceConfig| {
        let Some((_, tokens)) = &issuer.admin_tokens else {
            return;
        };
        let operating = Operating {
            tokens: tokens.clone(),
            login: issuer.login_parts().expect(MADE_ONCE),
        };
        for open in &issuer.doors {
            Arc::clone(&open.door).configure(config);
        }
        let routes: Vec<_> = issuer.rows.iter().filter_map(|row| row.admin).collect();
        let panels: Vec<_> = issuer.rows.iter().filter_map(|row| row.panel).collect();
        admin::configure(
            config,
            operating,
            Arc::clone(doctor),
            description.clone(),
            &routes,
            &panels,
        );
    };
    wxmint_http::admin_app(&issuer.readiness, metrics, &of_operators, admin::PATHS)
}

fn exposition(issuer: &Issuer) -> String {
    let keys = issuer.keys.set();
    issuer
        .metrics
        .ready
        .set(issuer.readiness.check().is_ok().into());
    show_keys(&issuer.metrics, &keys.lives, &keys.in_feed, now());
    let mut of_doors = Registry::with_prefix("wxmint");
    for open in &issuer.doors {
        open.door.metrics(&mut of_doors);
    }
    issuer.metrics.exposition([&of_doors])
}

/// Waits until the store answers and can be trusted with bindings, and no key in use is revoked.
/// Then the process is ready.
async fn await_fitness(issuer: Arc<Issuer>) {
    let store = issuer.store();
    // The keys of peers must be in the JWKS before anybody may fetch it.
    issuer.read_peers().await;
    let mut interval = actix_web::rt::time::interval(FITNESS_INTERVAL);
    let mut told: Option<(String, Instant)> = None;
    loop {
        interval.tick().await;
        let reason = match check_all(&issuer, &store).await {
            Ok(found) => match found.iter().find(|finding| finding.status == Status::Fault) {
                Some(fault) => fault.to_string(),
                None => return is_ready(&issuer, &found),
            },
            Err(error) => error.to_string(),
        };
        if told
            .as_ref()
            .is_none_or(|(before, at)| *before != reason || at.elapsed() >= UNFIT_AGAIN)
        {
            tracing::warn!(reason, "not ready");
            issuer.readiness.waits_for(reason.clone());
            told = Some((reason, Instant::now()));
        }
    }
}

async fn check_all(issuer: &Issuer, store: &Store) -> Result<Vec<Finding>, StoreError> {
    let has_redis = issuer.settings.store.url.is_some();
    let mut found = if has_redis {
        health::check_redis(store).await?
    } else {
        Vec::new()
    };
    found.extend(issuer.learn_revoked_keys(store, now()).await?);
    found.extend(issuer.ids.agreement.compare(&store.bindings, false).await?);
    found.extend(issuer.doors.iter().filter_map(|open| open.door.waits_for()));
    Ok(found)
}

fn is_ready(issuer: &Issuer, found: &[Finding]) {
    let warnings = found
        .iter()
        .filter(|finding| finding.status == Status::Warning)
        .map(Finding::to_string);
    let warnings = warnings
        .inspect(|warning| tracing::warn!("{warning}"))
        .reduce(|all, next| all + "; " + &next);
    issuer.readiness.warns("start", warnings.as_deref());
    issuer.readiness.ready();
    tracing::info!("ready");
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use actix_web::rt::task::spawn_blocking;
    use wxmint_keys::PrivateJwk;
    use wxmint_verify::Algorithm;

    use super::*;

    async fn metrics(address: SocketAddr) -> String {
        let asked = spawn_blocking(move || {
            let (mut stream, mut text) = (
                TcpStream::connect(address).expect("a listener"),
                String::new(),
            );
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                .expect("sent");
            stream
                .read_to_string(&mut text)
                .map(|_| text)
                .expect("text")
        });
        asked.await.expect("an answer")
    }

    /// A process that is not ready gets no logins, so nothing else shows it.
    #[actix_web::test]
    async fn metrics_say_whether_the_process_is_ready() {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let issuer = Arc::new(super::super::caller::tests::issuer(
            &key,
            ("WXMINT_TOKEN_TTL", "2h"),
        ));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let doctor: Doctor = Arc::new(|| Box::pin(async { Vec::new() }));
        let (operated, description) = (Arc::clone(&issuer), admin_description(&issuer));
        let admin = serve_admin(listener, move || {
            admin_app(&operated, &doctor, &description)
        })
        .expect("started");
        let said = async || {
            metrics(address)
                .await
                .lines()
                .find_map(|line| line.strip_prefix("wxmint_ready ")?.parse().ok())
        };
        assert_eq!(said().await, Some(0));
        issuer.readiness.ready();
        assert_eq!(said().await, Some(1));
        issuer.readiness.unfit("redis", Some("it is full"));
        assert_eq!(said().await, Some(0));
        issuer.readiness.unfit("redis", None);
        assert_eq!(said().await, Some(1));
        admin.stop(false).await;
    }
}
