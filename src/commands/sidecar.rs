//! `wxmint sidecar`

use std::process::ExitCode;

use super::{
    EXIT_USAGE, fail,
    serve::{variables, warn_about_unknown},
    unusable,
};
use crate::{
    http::{raise_file_limit, run_to_end, stop_signal},
    settings::SidecarSettings,
    sidecar::{self, Listeners, StartError},
    telemetry,
};

/// Runs the sidecar until SIGTERM.
pub(super) fn run() -> ExitCode {
    let settings = match SidecarSettings::from_vars(variables()) {
        Ok(settings) => settings,
        Err(faults) => return fail(EXIT_USAGE, unusable(&faults)),
    };
    telemetry::init(settings.log_format);
    warn_about(&settings);
    match start(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, error),
    }
}

fn warn_about(settings: &SidecarSettings) {
    warn_about_unknown();
    if settings.dangerous_jwks_over_http {
        tracing::warn!(
            "WXMINT_DANGEROUS_JWKS_OVER_HTTP=true takes keys over http: whoever can answer in the issuer's place there can \
             sign tokens; use https where the network is not trusted as the issuer is"
        );
    }
}

fn start(settings: SidecarSettings) -> Result<(), StartError> {
    raise_file_limit();
    let listeners = Listeners::bind(settings.listen, settings.admin_listen)?;
    run_to_end(async {
        let stop = stop_signal()?;
        sidecar::run(settings, listeners, stop).await
    })
}
