//! `wxmint serve` and `wxmint sidecar`

use std::{env, error::Error, io};

use chrono::TimeDelta;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{Failure, keys::short_lead};
use crate::{
    http::{Listeners, raise_file_limit, run_to_end, stop_signal},
    issuer::{self, Issuer, IssuerStartError},
    settings::{Settings, SidecarSettings, StoreUrl, unknown_variables},
    sidecar,
    telemetry::{self, Audit, LogFormat},
};

/// Runs the issuer until SIGTERM.
pub(super) fn run() -> Result<(), Failure> {
    let guarded = guard_memory();
    let settings = Settings::from_vars(variables())?;
    init_log(settings.log_format, &settings.audit)?;
    warn_about(&settings);
    if let Err(error) = guarded {
        tracing::warn!(%error, "core dumps or tracing could not be switched off: they would show secrets");
    }
    Ok(start(settings)?)
}

/// Begins to log. Fails if the file of audit events cannot be opened.
pub(super) fn init_log(format: LogFormat, audit: &Audit) -> Result<(), Failure> {
    telemetry::init(format, audit).map_err(|error| Failure::unfinished(format_args!("WXMINT_AUDIT: {error}")))
}

impl From<IssuerStartError> for Failure {
    fn from(error: IssuerStartError) -> Self {
        match error.is_in_settings {
            true => Self::usage(error),
            false => Self::unfinished(error),
        }
    }
}

/// Keeps secrets in memory: switches core dumps off, and forbids other processes of the same user to trace this one or
/// to read its memory and environment. The limit alone is not enough, because it does not hold for core dumps that go
/// to a program (core(5)).
fn guard_memory() -> io::Result<()> {
    let no_dump = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(no_dump?)
}

/// The environment, without variables that are not UTF-8, because those cannot be ours.
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Warns about variables that wxmint does not know.
pub(super) fn warn_about_unknown() {
    for (name, remark) in unknown_variables(variables().map(|(name, _)| name)) {
        tracing::warn!(variable = name, "{remark}");
    }
}

fn warn_about(settings: &Settings) {
    warn_about_unknown();
    match &settings.store.url {
        StoreUrl::Memory => tracing::warn!("WXMINT_REDIS_URL=memory: loses every binding when the process ends"),
        StoreUrl::Redis(url) if url.is_exposed() => tracing::warn!(
            "WXMINT_REDIS_URL names another machine without TLS: whoever can read the network between reads the password \
             and which user each person is; with TLS the URL begins with rediss (docs/redis.md)"
        ),
        StoreUrl::Redis(_) => {}
    }
    if let Some(note) = TimeDelta::from_std(settings.keys_lead).ok().and_then(short_lead) {
        tracing::warn!(variable = "WXMINT_KEYS_LEAD", "{note}");
    }
    if settings.dangerous_accounts_over_http {
        tracing::warn!(
            "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP=true calls the account service over http: whoever can read that network \
             reads passwords, phone numbers and the signed requests, and whoever can change its traffic can log in as \
             any user; use https unless the network encrypts"
        );
    }
    if settings.dangerous_password_in_query {
        tracing::warn!(
            "WXMINT_DANGEROUS_PASSWORD_IN_QUERY=true accepts passwords in URLs, which proxies and histories keep; \
             switch it off once the pages send method: 'POST'"
        );
    }
}

fn start(settings: Settings) -> Result<(), IssuerStartError> {
    raise_file_limit();
    let listeners = Listeners::bind("WXMINT_LISTEN", settings.listen, settings.admin_listen);
    let listeners = listeners.map_err(IssuerStartError::of_machine);
    let (listeners, issuer) = match (listeners, Issuer::from_settings(settings)) {
        (Ok(listeners), Ok(issuer)) => (listeners, issuer),
        (listeners, issuer) => return Err(IssuerStartError::all([listeners.err(), issuer.err()])),
    };
    run_to_end(async {
        let stop = stop_signal()?;
        issuer::run(issuer, listeners, None, stop).await
    })
}

/// Runs the sidecar until SIGTERM.
pub(super) fn run_sidecar() -> Result<(), Failure> {
    let settings = SidecarSettings::from_vars(variables())?;
    init_log(settings.log_format, &Audit::Log)?;
    warn_about_sidecar(&settings);
    start_sidecar(settings).map_err(Failure::unfinished)
}

fn warn_about_sidecar(settings: &SidecarSettings) {
    warn_about_unknown();
    if settings.dangerous_jwks_over_http {
        tracing::warn!(
            "WXMINT_DANGEROUS_JWKS_OVER_HTTP=true fetches keys over http: whoever can change traffic on that network \
             can sign tokens; use https unless you trust the network as much as the issuer"
        );
    }
}

fn start_sidecar(settings: SidecarSettings) -> Result<(), Box<dyn Error>> {
    raise_file_limit();
    let listeners = Listeners::bind("WXMINT_SIDECAR_LISTEN", settings.listen, settings.admin_listen);
    let listeners = listeners.map_err(|reasons| reasons.join("\n        "))?;
    run_to_end(async {
        let stop = stop_signal()?;
        sidecar::run(settings, listeners, stop).await
    })
}
