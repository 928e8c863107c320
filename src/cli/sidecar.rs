//! `wxmint sidecar`

use super::{
    Failure,
    serve::{init_log, variables, warn_about_unknown},
};
use crate::{
    http::{raise_file_limit, run_to_end, stop_signal},
    settings::SidecarSettings,
    sidecar::{self, SidecarListeners, SidecarStartError},
    telemetry::Audit,
};

/// Runs the sidecar until SIGTERM.
pub(super) fn run() -> Result<(), Failure> {
    let settings = SidecarSettings::from_vars(variables())?;
    init_log(settings.log_format, &Audit::Log)?;
    warn_about(&settings);
    start(settings).map_err(|error| Failure::Unfinished(error.to_string()))
}

fn warn_about(settings: &SidecarSettings) {
    warn_about_unknown();
    if settings.dangerous_jwks_over_http {
        tracing::warn!(
            "WXMINT_DANGEROUS_JWKS_OVER_HTTP=true fetches keys over http: whoever can change traffic on that network \
             can sign tokens; use https unless you trust the network as much as the issuer"
        );
    }
}

fn start(settings: SidecarSettings) -> Result<(), SidecarStartError> {
    raise_file_limit();
    let listeners = SidecarListeners::bind(settings.listen, settings.admin_listen)?;
    run_to_end(async {
        let stop = stop_signal()?;
        sidecar::run(settings, listeners, stop).await
    })
}
