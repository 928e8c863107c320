//! A request is judged: it goes on with the headers that name its user, or it is answered here.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use wxmint_verify::peer::{Admitted, Denied, USER_HEADERS, token_of};

use crate::abi::{CONTINUE, STOP_ALL_ITERATION_AND_WATERMARK, STOP_ITERATION};
use crate::envoy::{NewConfiguration, Stream};
use crate::metrics::Metrics;
use crate::peers::{EnvoyGate, WaitingRequest, gate, runtime};
use crate::request::{answer, spelling};
use crate::settings::Settings;

/// The namespace of the dynamic metadata that name the user.
const NAMESPACE: &str = "wxmint";
/// The keys of the dynamic metadata, in the order of [`USER_HEADERS`].
const NOTED: [&str; 3] = ["user_id", "client_id", "token_id"];
const AUTHORIZATION: &str = "authorization";

type Judged = Result<Admitted<String>, Denied>;

/// A filter of Envoy's configuration. All requests share it.
pub(crate) struct Configuration {
    settings: Settings,
    gate: Arc<EnvoyGate>,
    metrics: Metrics,
    /// The plain spellings of the headers that name the user.
    own: Vec<Vec<u8>>,
}

impl Configuration {
    /// It waits for nothing, because `envoy --mode validate` creates it too.
    pub(crate) fn new(envoy: &NewConfiguration, configuration: &[u8]) -> Result<Self, String> {
        let settings = Settings::parse(configuration)?;
        let gate = gate(&settings.trust)?;
        let claims = settings.claim_headers.iter().map(String::as_str);
        let own = USER_HEADERS.into_iter().chain(claims);
        let own = own.map(|name| spelling(name.as_bytes()).collect());
        Ok(Self {
            own: own.collect(),
            gate,
            metrics: Metrics::define(envoy),
            settings,
        })
    }

    /// Tells configurations that share a gate.
    #[cfg(test)]
    pub(crate) fn gate_address(&self) -> *const EnvoyGate {
        Arc::as_ptr(&self.gate)
    }

    fn allow(&self, stream: &mut Stream, admitted: &Admitted<String>) {
        let claims = self.settings.claim_headers.iter().map(String::as_str);
        let names = USER_HEADERS.into_iter().chain(claims);
        let claims = self.settings.trust.claims.iter().map(String::as_str);
        let keys = NOTED.into_iter().chain(claims);
        for ((name, key), value) in names.zip(keys).zip(&admitted.user.headers) {
            stream.set_header(name, value);
            stream.note(NAMESPACE, key, value);
        }
        self.forward(stream);
    }

    fn forward(&self, stream: &mut Stream) {
        if !self.settings.forward {
            stream.remove_header(AUTHORIZATION.as_bytes());
        }
    }

    fn refuse(stream: &mut Stream, denied: Denied) {
        let denial = denied.denial();
        let [request_id, _] = stream.header("x-request-id");
        let request_id = String::from_utf8_lossy(request_id.unwrap_or_default()).into_owned();
        let answer = answer(&denial, &request_id);
        let headers: Vec<_> = answer
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let details = format!("wxmint_{}", denial.code);
        stream.respond(denial.status, &headers, &answer.body, &details);
    }
}

/// One request.
pub(crate) struct Filter {
    configuration: Arc<Configuration>,
    waiting: Option<Waiting>,
}

/// A token that names an unknown key, while the issuer is asked for its keys.
struct Waiting {
    /// The judgement, or the panic in its place.
    judged: Arc<Mutex<Option<thread::Result<Judged>>>>,
    task: AbortHandle,
}

impl Drop for Waiting {
    /// The client may have left.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Filter {
    pub(crate) fn new(configuration: Arc<Configuration>) -> Self {
        Self {
            configuration,
            waiting: None,
        }
    }

    /// Judges the request. Returns what Envoy shall do with it.
    pub(crate) fn request_headers(&mut self, stream: &mut Stream, now: DateTime<Utc>) -> u32 {
        let configuration = Arc::clone(&self.configuration);
        let is_own = |name: &[u8]| {
            let mut own = configuration.own.iter();
            own.any(|own| spelling(name).eq(own.iter().copied()))
        };
        for name in stream.names(is_own) {
            stream.remove_header(&name);
        }
        let metrics = &configuration.metrics;
        metrics.measure(stream, &configuration.gate, now);
        if is_public(&configuration.settings, stream) {
            metrics.count(stream, "public");
            configuration.forward(stream);
            return CONTINUE;
        }
        let [first, second] = stream.header(AUTHORIZATION);
        let token = token_of(first.into_iter().chain(second));
        match token.map(|token| (token, configuration.gate.recall(token, now))) {
            Err(denied) => self.settle(stream, Err(denied)),
            Ok((_, Some(admitted))) => self.settle(stream, Ok(admitted)),
            Ok((token, None)) => {
                let token = token.to_owned();
                self.verify(stream, token, now)
            }
        }
    }

    /// Checks the signature on this worker. A token that has to wait for keys waits on the thread
    /// `wxmint`.
    fn verify(&mut self, stream: &mut Stream, token: String, now: DateTime<Utc>) -> u32 {
        let gate = Arc::clone(&self.configuration.gate);
        let mut judging = Box::pin(async move { gate.admit_soon(&token, now).await });
        let runtime = runtime().expect("it runs since the configuration was made");
        let entered = runtime.enter();
        let first = judging
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        drop(entered);
        if let Poll::Ready(judged) = first {
            return self.settle(stream, judged);
        }
        self.wait_for(stream, judging);
        STOP_ALL_ITERATION_AND_WATERMARK
    }

    /// Judges on the thread `wxmint`, which wakes the request afterwards.
    pub(crate) fn wait_for(
        &mut self,
        stream: &Stream,
        judging: impl Future<Output = Judged> + Send + 'static,
    ) {
        let runtime = runtime().expect("it runs since the configuration was made");
        let judged = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&judged);
        let waiting = WaitingRequest::new();
        let waker = stream.waker();
        let task = runtime.spawn(async move {
            // The request is woken after a panic too: nobody waits for ever.
            let judged = AssertUnwindSafe(judging).catch_unwind().await;
            *slot.lock() = Some(judged);
            drop(waiting);
            waker.wake();
        });
        self.waiting = Some(Waiting {
            judged,
            task: task.abort_handle(),
        });
    }

    /// The token that had to wait has been judged.
    pub(crate) fn woken(&mut self, stream: &mut Stream) {
        let waiting = self.waiting.take();
        let judged = waiting.and_then(|waiting| waiting.judged.lock().take());
        let Some(judged) = judged else {
            return;
        };
        let judged = judged.unwrap_or_else(|panic| resume_unwind(panic));
        if self.settle(stream, judged) == CONTINUE {
            stream.go_on();
        }
    }

    fn settle(&self, stream: &mut Stream, judged: Judged) -> u32 {
        let metrics = &self.configuration.metrics;
        match judged {
            Ok(admitted) => {
                let outcome = match admitted.was_remembered {
                    true => "remembered",
                    false => "verified",
                };
                metrics.count(stream, outcome);
                self.configuration.allow(stream, &admitted);
                CONTINUE
            }
            Err(denied) => {
                metrics.count(stream, denied.denial().outcome);
                tracing::debug!(reason = %denied, "token refused");
                Configuration::refuse(stream, denied);
                STOP_ITERATION
            }
        }
    }
}

/// Whether the request's path is open to everybody.
fn is_public(settings: &Settings, stream: &Stream) -> bool {
    if settings.public.is_empty() {
        return false;
    }
    let [path, _] = stream.header(":path");
    let path = path.and_then(|path| str::from_utf8(path).ok());
    path.is_some_and(|path| settings.public.iter().any(|public| public.holds(path)))
}
