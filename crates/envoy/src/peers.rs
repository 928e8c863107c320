//! The verifiers of this process, and the thread that keeps their keys and revocations fresh.

use std::future::pending;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;
use wxmint_verify::peer::{Admitted, Denied, Gate, NotVerified, Peer};

use crate::log::EnvoyLog;
use crate::settings::TrustSettings;

/// How long after its start a gate lets a token wait for the first keys and revocations. After a hot
/// restart or an update they come within milliseconds, and no request need hear of it.
const START: Duration = Duration::from_secs(2);
/// How many requests of the process may wait so. A crowd of strangers must not fill the memory.
/// For an unknown key, the verifier has its own limit.
pub(crate) const MOST_WAITING: usize = 1000;

static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Counts a request among those that wait, for as long as it exists.
pub(crate) struct WaitingRequest(());

impl WaitingRequest {
    pub(crate) fn new() -> Self {
        WAITING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// How many there are in this process.
    pub(crate) fn count() -> usize {
        WAITING.load(Ordering::Relaxed)
    }
}

impl Drop for WaitingRequest {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The gate of a filter. Header values are texts.
pub(crate) struct EnvoyGate {
    gate: Gate<String>,
    started: Instant,
}

impl Deref for EnvoyGate {
    type Target = Gate<String>;

    fn deref(&self) -> &Gate<String> {
        &self.gate
    }
}

impl EnvoyGate {
    /// As [`Gate::admit`]; shortly after the start it waits for what cannot be known yet, unless
    /// very many requests wait already.
    pub(crate) async fn admit_soon(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<Admitted<String>, Denied> {
        let judged = self.gate.admit(token, now).await;
        let is_early = matches!(
            judged,
            Err(Denied::NotVerified(
                NotVerified::NoKeys | NotVerified::StaleRevocations
            ))
        );
        match START.checked_sub(self.started.elapsed()) {
            Some(left) if is_early && WaitingRequest::count() < MOST_WAITING => {
                // If they do not come in time, the second judgement says so.
                let _ = timeout(left, self.gate.peer().is_ready()).await;
                self.gate.admit(token, now).await
            }
            _ => judged,
        }
    }
}

/// The gates that filters use, with their settings. A gate goes with its last filter.
static GATES: Mutex<Vec<(TrustSettings, Weak<EnvoyGate>)>> = Mutex::new(Vec::new());

/// The gate for these settings. Listeners, workers, routes and updates that have equal settings
/// share one, so that an update of something else is no moment without keys.
pub(crate) fn gate(settings: &TrustSettings) -> Result<Arc<EnvoyGate>, String> {
    let mut gates = GATES.lock();
    gates.retain(|(_, gate)| gate.strong_count() > 0);
    let shared = gates.iter().find(|(of, _)| of == settings);
    if let Some(gate) = shared.and_then(|(_, gate)| gate.upgrade()) {
        return Ok(gate);
    }
    let _entered = runtime()?.enter();
    let peer = Peer::start(settings.issuers()?).map_err(|error| error.to_string())?;
    let gate = Arc::new(EnvoyGate {
        gate: Gate::new(Arc::new(peer), settings.claims.iter().cloned()),
        started: Instant::now(),
    });
    gates.push((settings.clone(), Arc::downgrade(&gate)));
    Ok(gate)
}

/// The runtime of the thread `wxmint`, which starts with the first configuration and serves the
/// whole process. No hook waits for it.
pub(crate) fn runtime() -> Result<&'static Handle, String> {
    static RUNTIME: OnceLock<Result<Handle, String>> = OnceLock::new();
    RUNTIME
        .get_or_init(|| {
            // Fails only if another part of the process logs by `tracing` already.
            let _ = tracing::subscriber::set_global_default(EnvoyLog);
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| format!("no runtime can be made: {error}"))?;
            let handle = runtime.handle().clone();
            thread::Builder::new()
                .name("wxmint".into())
                .spawn(move || runtime.block_on(pending::<()>()))
                .map_err(|error| format!("the thread wxmint cannot be started: {error}"))?;
            Ok(handle)
        })
        .as_ref()
        .map_err(Clone::clone)
}
