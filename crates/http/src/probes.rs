//! The listener for probes and metrics. Liveness is a constant, readiness a latch.

use std::future::{pending, ready};
use std::{collections::BTreeMap, io, net::TcpListener, rc::Rc, sync::Arc};

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::web::{self, ServiceConfig, get, head, resource};
use actix_web::{
    App, Error, FromRequest, Handler, HttpResponse, Resource, Responder, middleware::from_fn,
};
use parking_lot::Mutex;
use tracing_actix_web::TracingLogger;

use super::{RequestSpan, ServerLimits, not_allowed, nothing_else, serve, with_request_id};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the process should receive traffic.
///
/// A process starts as not ready, with a reason, and becomes ready once. When it is told to stop,
/// it becomes not ready for good. An outage of Redis or WeChat does not change readiness: all
/// replicas would stop receiving traffic at once, and clients would get neither the JWKS nor the
/// problems that explain the outage. A process is unfit only if every answer of it is worthless.
/// Then nothing is lost if all replicas stop receiving traffic, and replicas that are fit take it
/// over.
#[derive(Debug, Clone)]
pub struct Readiness(pub(super) Arc<Mutex<ReadinessState>>);

#[derive(Debug, Default)]
pub(super) struct ReadinessState {
    /// `None` once the process has been ready.
    waits_for: Option<String>,
    is_stopping: bool,
    /// Why the process must not receive traffic although it has been ready. The key names the
    /// subject of the reason.
    pub(super) unfit: BTreeMap<&'static str, String>,
    warnings: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Not ready yet, for this reason.
    pub fn starting(reason: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(ReadinessState {
            waits_for: Some(reason.into()),
            ..ReadinessState::default()
        })))
    }

    /// Replaces the reason why the process is not ready yet. Does nothing if it has been ready.
    pub fn waits_for(&self, reason: impl Into<String>) {
        if let Some(before) = &mut self.0.lock().waits_for {
            *before = reason.into();
        }
    }

    /// Makes the process ready, unless it is stopping already.
    pub fn ready(&self) {
        self.0.lock().waits_for = None;
    }

    /// Makes the process not ready for good, because it has been told to stop.
    pub fn stopping(&self) {
        tracing::info!("stopping: requests in flight are answered");
        self.0.lock().is_stopping = true;
    }

    /// Makes the process not ready while there is a `reason` about this subject. Returns whether
    /// the reason has changed.
    pub fn unfit(&self, about: &'static str, reason: Option<&str>) -> bool {
        replace(&mut self.0.lock().unfit, about, reason)
    }

    /// Sets or clears the warning about this subject, which `/readyz` shows. Returns whether the
    /// warning has changed.
    pub fn warns(&self, about: &'static str, warning: Option<&str>) -> bool {
        replace(&mut self.0.lock().warnings, about, warning)
    }

    /// Returns the warnings if the process is ready, or the reason why it is not.
    pub fn check(&self) -> Result<Vec<String>, String> {
        let told = self.0.lock();
        match told.waits_for.as_ref().or(told.unfit.values().next()) {
            _ if told.is_stopping => Err("stopping".into()),
            Some(reason) => Err(reason.clone()),
            None => Ok(told.warnings.values().cloned().collect()),
        }
    }
}

/// Replaces or removes the text about this subject. Returns whether it has changed.
fn replace(
    texts: &mut BTreeMap<&'static str, String>,
    about: &'static str,
    text: Option<&str>,
) -> bool {
    let before = if let Some(text) = text {
        texts.insert(about, text.to_owned())
    } else {
        texts.remove(about)
    };
    before.as_deref() != text
}

/// `GET /readyz`: 200, perhaps with warnings, or 503 and the reason.
async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    match readiness.check() {
        Ok(warnings) => {
            let lines: String = warnings
                .iter()
                .map(|warning| format!("warning: {warning}\n"))
                .collect();
            HttpResponse::Ok().body(format!("ok\n{lines}"))
        }
        Err(reason) => HttpResponse::ServiceUnavailable().body(format!("not ready: {reason}\n")),
    }
}

/// A resource that answers GET and HEAD, and 405 to other methods.
pub fn readable<Args: FromRequest + 'static>(
    path: &str,
    handler: impl Handler<Args, Output: Responder + 'static>,
) -> Resource {
    let resource = resource(path)
        .route(get().to(handler.clone()))
        .route(head().to(handler));
    resource.default_service(not_allowed("GET, HEAD".into()))
}

/// The app of the listener for probes and metrics. `metrics` makes the text of the metrics,
/// `others` adds further routes, and `paths` lists the existing paths in the answer to an unknown
/// path.
pub fn admin_app(
    readiness: &Readiness,
    metrics: Rc<dyn Fn() -> String>,
    others: &dyn Fn(&mut ServiceConfig),
    paths: &'static str,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + 'static + use<>>,
        Error = Error,
        InitError = (),
    > + use<>,
> {
    let metrics = move || {
        ready(
            HttpResponse::Ok()
                .content_type(OPEN_METRICS)
                .body(metrics()),
        )
    };
    App::new()
        .app_data(web::Data::new(readiness.clone()))
        // 200 shows that the process runs its event loop. The answer depends on nothing else, so
        // that no outage of another service gets the process killed.
        .service(readable("/livez", async || HttpResponse::Ok().body("ok\n")))
        .service(readable("/readyz", readyz))
        .service(readable("/metrics", metrics))
        .configure(others)
        .default_service(nothing_else(paths))
        .wrap(from_fn(with_request_id))
        .wrap(TracingLogger::<RequestSpan>::new())
}

/// Starts the listener for probes and metrics, which runs until the handle stops it. It has one
/// worker. `app` makes its [`admin_app`].
pub fn serve_admin<T, B: MessageBody + 'static>(
    listener: TcpListener,
    app: impl Fn() -> App<T> + Send + Clone + 'static,
) -> io::Result<ServerHandle>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
{
    let limits = ServerLimits {
        loopback_names: true,
        ..ServerLimits::default()
    };
    let server = serve(listener, limits, app, pending())?;
    let handle = server.handle();
    actix_web::rt::spawn(server);
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_becomes_ready_once_and_stops_for_good() {
        let readiness = Readiness::starting("Redis has not answered yet");
        assert_eq!(readiness.check(), Err("Redis has not answered yet".into()));
        readiness.waits_for("Redis may evict bindings");
        assert_eq!(readiness.check(), Err("Redis may evict bindings".into()));
        readiness.ready();
        readiness.waits_for("a late doubt");
        assert_eq!(readiness.check(), Ok(Vec::new()));
        assert!(
            readiness.warns("redis", Some("a replica"))
                && !readiness.warns("redis", Some("a replica"))
        );
        readiness.warns("keys", Some("a key"));
        assert_eq!(
            readiness.check(),
            Ok(vec!["a key".into(), "a replica".into()])
        );
        readiness.warns("keys", None);
        assert_eq!(readiness.check(), Ok(vec!["a replica".into()]));
        readiness.unfit("keys", Some("nobody accepts its tokens"));
        assert_eq!(readiness.check(), Err("nobody accepts its tokens".into()));
        readiness.unfit("keys", None);
        readiness.warns("redis", None);
        assert_eq!(readiness.check(), Ok(Vec::new()));
        readiness.stopping();
        readiness.ready();
        assert_eq!(readiness.check(), Err("stopping".into()));
    }
}
