//! `wxmint serve` and `wxmint sidecar`

use std::io;

use clap::Args;
use rustix::process::{Resource, Rlimit, setrlimit};
use wxmint_http::{Listeners, raise_file_limit, run_to_end, stop_signal};
use wxmint_telemetry::{Audit, LogFormat, Traces};

use super::doctor::{self, DoctorArgs};
use super::{Failure, load_env_file, remarks, variables};
use crate::findings::{Finding, Message};
use crate::issuer::{self, Issuer, IssuerStartError, door::Doors};
use crate::settings::{Settings, SidecarSettings};
use crate::sidecar;

const SETTINGS: &str = "\
Settings, from the environment or from a file .env in the working directory, over which the environment wins:
  WXMINT_ISSUER          the https URL at which mini programs reach wxmint; the token's `iss`
  WXMINT_APPS_DIR        a folder with a file for each mini program, named by its AppID, with the AppSecret in it;
                         or, for one, WXMINT_APPID and WXMINT_APP_SECRET (WXMINT_APP_SECRET_FILE, a file with it)
  WXMINT_REDIS_URL       redis://…, or memory: for a trial
  WXMINT_KEYS            the file of the signing keys
  WXMINT_VAULT_KEY_FILE  the file of the vault keys
`wxmint init` makes these files, and a .env that explains all other variables too; so does docs/settings.md.";

#[derive(Args)]
#[command(after_help = SETTINGS)]
pub(super) struct ServeArgs {
    /// Check the settings and all that they name, as `wxmint doctor` does, and exit
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &ServeArgs, doors: Doors) -> Result<(), Failure> {
    let guarded = guard_memory();
    if args.check {
        return doctor::run(&DoctorArgs::default(), doors);
    }
    load_env_file()?;
    let settings = Settings::serving(variables(), |path| issuer::is_free(path, doors))?;
    let audit = init_log(settings.log_format, &settings.audit);
    for remark in remarks::of_serve(&settings) {
        tracing::warn!("{remark}");
    }
    if let Err(error) = guarded {
        tracing::warn!(%error, "core dumps or tracing could not be switched off: they would show secrets");
    }
    let _traces = settings
        .trace_timeout
        .map(Traces::start)
        .transpose()
        .map_err(Failure::unfinished)?;
    Ok(start(settings, audit, doors)?)
}

/// Starts the log and the audit log. Fails if the file of audit events cannot be opened.
pub(crate) fn init_log(format: LogFormat, audit: &Audit) -> Result<(), IssuerStartError> {
    wxmint_telemetry::init(format, audit).map_err(|error| {
        let fault = Finding::fault("settings", format!("WXMINT_AUDIT: {error}"), "");
        IssuerStartError::of_setting(fault)
    })
}

/// Keeps secrets in memory: switches core dumps off, and forbids other processes of the same user
/// to trace this process or to read its memory and environment. The limit alone is not enough,
/// because it does not hold for core dumps that go to a program (core(5)).
fn guard_memory() -> io::Result<()> {
    let no_dump = setrlimit(
        Resource::Core,
        Rlimit {
            current: Some(0),
            maximum: Some(0),
        },
    );
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(no_dump?)
}

fn start(
    settings: Settings,
    audit: Result<(), IssuerStartError>,
    doors: Doors,
) -> Result<(), IssuerStartError> {
    raise_file_limit();
    let listeners = Listeners::bind("WXMINT_LISTEN", settings.listen, settings.admin_listen);
    let listeners = listeners.map_err(IssuerStartError::of_machine);
    let mut faults = IssuerStartError::default();
    let audit = faults.take(audit);
    let listeners = faults.take(listeners);
    let issuer = faults.take(Issuer::from_settings(settings, doors));
    let (Some(()), Some(listeners), Some(issuer)) = (audit, listeners, issuer) else {
        return Err(faults);
    };
    run_to_end(async {
        issuer::run(
            issuer,
            listeners,
            None,
            doctor::of_this_process(doors),
            stop_signal()?,
        )
        .await
    })
}

pub(super) fn run_sidecar() -> Result<(), Failure> {
    load_env_file()?;
    let settings = SidecarSettings::from_vars(variables())?;
    init_log(settings.log_format, &Audit::Log)?;
    for remark in remarks::of_sidecar(&settings) {
        tracing::warn!("{remark}");
    }
    raise_file_limit();
    let listeners = Listeners::bind(
        "WXMINT_SIDECAR_LISTEN",
        settings.listen,
        settings.admin_listen,
    );
    let listeners = listeners.map_err(|reasons| Failure::unfinished(Message::lines(reasons)))?;
    run_to_end(async { sidecar::run(settings, listeners, stop_signal()?).await })
        .map_err(Failure::unfinished)
}
