//! Liveness is a constant, readiness a latch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::{
    FromRequest, Handler, HttpResponse, Resource, Responder,
    web::{self, get, head, resource},
};

use super::not_allowed;

/// Whether the process should receive traffic. It starts as not ready with a reason, becomes ready once, and is not
/// ready again when the process is told to stop. An outage of Redis or WeChat does not change it, because all replicas
/// would leave at once, and with them the JWKS and the problems that explain the outage.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<Mutex<Told>>);

#[derive(Debug)]
struct Told {
    state: State,
    /// What Redis lacks just now.
    lack: Option<String>,
}

#[derive(Debug)]
enum State {
    Starting(String),
    /// With a warning, if there is one.
    Ready(Option<String>),
    Stopping,
}

impl Readiness {
    pub fn starting(reason: impl Into<String>) -> Self {
        Self(Arc::new(Mutex::new(Told { state: State::Starting(reason.into()), lack: None })))
    }

    pub fn waits_for(&self, reason: impl Into<String>) {
        self.become_while_starting(State::Starting(reason.into()));
    }

    /// Ready from now on, unless the process is stopping already. `/readyz` shows the warning.
    pub fn ready(&self, warning: Option<String>) {
        self.become_while_starting(State::Ready(warning));
    }

    pub fn stopping(&self) {
        self.told().state = State::Stopping;
    }

    /// A warning that comes and goes, ready or not.
    pub fn redis_lacks(&self, lack: Option<String>) {
        self.told().lack = lack;
    }

    fn become_while_starting(&self, next: State) {
        let mut told = self.told();
        if matches!(told.state, State::Starting(_)) {
            told.state = next;
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The warnings if it is ready, or the reason why it is not.
    pub fn check(&self) -> Result<Vec<String>, String> {
        let told = self.told();
        match &told.state {
            State::Ready(warning) => Ok(warning.iter().chain(&told.lack).cloned().collect()),
            State::Starting(reason) => Err(reason.clone()),
            State::Stopping => Err("stopping".into()),
        }
    }
}

/// `GET /livez`: the process runs its event loop. It depends on nothing else, so that no other outage gets the process
/// killed.
pub async fn livez() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// `GET /readyz`: 200, perhaps with warnings, or 503 and the reason.
pub async fn readyz(readiness: web::Data<Readiness>) -> HttpResponse {
    match readiness.check() {
        Ok(warnings) => {
            let lines: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
            HttpResponse::Ok().body(format!("ok\n{lines}"))
        }
        Err(reason) => HttpResponse::ServiceUnavailable().body(format!("not ready: {reason}\n")),
    }
}

pub fn readable<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args> + Copy,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    resource(path).route(get().to(handler)).route(head().to(handler)).default_service(web::to(not_allowed("GET, HEAD")))
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
        readiness.ready(None);
        readiness.waits_for("a late doubt");
        assert_eq!(readiness.check(), Ok(Vec::new()));
        readiness.redis_lacks(Some("a replica".into()));
        assert_eq!(readiness.check(), Ok(vec!["a replica".into()]));
        readiness.redis_lacks(None);
        assert_eq!(readiness.check(), Ok(Vec::new()));
        readiness.stopping();
        readiness.ready(None);
        assert_eq!(readiness.check(), Err("stopping".into()));
    }
}
