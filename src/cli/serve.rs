//! `wxmint serve` and `wxmint sidecar`

use std::{env, error::Error, io};

use chrono::TimeDelta;
use clap::Args;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{
    Failure,
    doctor::{self, DoctorArgs},
    keys::short_lead,
    load_env_file,
};
use crate::{
    findings::Finding,
    http::{Listeners, raise_file_limit, run_to_end, stop_signal},
    issuer::{self, Issuer, IssuerStartError},
    settings::{Settings, SidecarSettings, StoreUrl, env_file, unknown_variables},
    sidecar,
    telemetry::{self, Audit, LogFormat, Traces},
};

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

/// Runs the issuer until SIGTERM.
pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let guarded = guard_memory();
    if args.check {
        return doctor::run(&DoctorArgs::default());
    }
    load_env_file()?;
    let settings = Settings::from_vars(variables())?;
    init_log(settings.log_format, &settings.audit)?;
    warn_about(&remarks(&settings));
    if let Err(error) = guarded {
        tracing::warn!(%error, "core dumps or tracing could not be switched off: they would show secrets");
    }
    let _traces = settings.traces.as_ref().map(Traces::start).transpose().map_err(Failure::unfinished)?;
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

/// The environment, with what `.env` has added to it, without variables that are not UTF-8, because those cannot be ours.
pub(super) fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// A setting that is accepted and perhaps not meant.
fn remark(found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding::warning("settings", found, advice)
}

/// What is unusual about `.env`, and variables that wxmint does not know.
fn unusual() -> Vec<Finding> {
    let unknown = unknown_variables(variables().map(|(name, _)| name)).into_iter();
    let unknown =
        unknown.map(|(name, nearest)| remark(format!("{name}: unknown variable"), format!("did you mean {nearest}?")));
    env_file::note().cloned().into_iter().chain(unknown).collect()
}

fn warn_about(remarks: &[Finding]) {
    remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
}

/// What `wxmint serve` warns about at each start.
pub(super) fn remarks(settings: &Settings) -> Vec<Finding> {
    let mut remarks = unusual();
    let mut add = |is_so: bool, found: &str, advice: &str| remarks.extend(is_so.then(|| remark(found, advice)));
    add(
        matches!(settings.store.url, StoreUrl::Memory),
        "WXMINT_REDIS_URL=memory: loses every binding when the process ends",
        "name a Redis unless this is a trial",
    );
    add(
        matches!(&settings.store.url, StoreUrl::Redis(url) if url.is_exposed()),
        "WXMINT_REDIS_URL names another machine without TLS: whoever can read the network between reads the password \
         and which user each person is",
        "with TLS the URL begins with rediss (docs/redis.md)",
    );
    add(
        settings.dangerous_accounts_over_http,
        "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP=true calls the account service over http: whoever can read that network \
         reads passwords, phone numbers and the signed requests, and whoever can change its traffic can log in as \
         any user",
        "use https unless the network encrypts",
    );
    add(
        settings.dangerous_password_in_query,
        "WXMINT_DANGEROUS_PASSWORD_IN_QUERY=true accepts passwords in URLs, which proxies and histories keep",
        "switch it off once the pages send method: 'POST'",
    );
    remarks.extend(unread_proxy(settings).map(|name| {
        remark(
            format!("{name} is set, and wxmint does not read it: WeChat is called without a proxy"),
            format!(
                "set WXMINT_WECHAT_PROXY to its value if WeChat is reached through that proxy alone, or unset {name} for wxmint"
            ),
        )
    }));
    let lead = TimeDelta::from_std(settings.keys_lead).ok().and_then(short_lead);
    remarks.extend(lead.map(|remark| Finding { found: format!("WXMINT_KEYS_LEAD: {}", remark.found), ..remark }));
    remarks
}

/// The variable by which other programs are told of a proxy to WeChat, while wxmint has been told of none.
fn unread_proxy(settings: &Settings) -> Option<&'static str> {
    let is_direct = settings.wechat_proxy.is_none() && settings.wechat_url.scheme() == "https";
    let is_set = |name: &&str| env::var_os(name).is_some_and(|value| !value.is_empty());
    ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].into_iter().find(is_set).filter(|_| is_direct)
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
        issuer::run(issuer, listeners, None, doctor::of_this_process, stop).await
    })
}

/// Runs the sidecar until SIGTERM.
pub(super) fn run_sidecar() -> Result<(), Failure> {
    load_env_file()?;
    let settings = SidecarSettings::from_vars(variables())?;
    init_log(settings.log_format, &Audit::Log)?;
    warn_about(&sidecar_remarks(&settings));
    start_sidecar(settings).map_err(Failure::unfinished)
}

/// What `wxmint sidecar` warns about at each start.
pub(super) fn sidecar_remarks(settings: &SidecarSettings) -> Vec<Finding> {
    let mut remarks = unusual();
    remarks.extend(settings.dangerous_jwks_over_http.then(|| {
        remark(
            "WXMINT_DANGEROUS_JWKS_OVER_HTTP=true fetches keys over http: whoever can change traffic on that network \
             can sign tokens",
            "use https unless you trust the network as much as the issuer",
        )
    }));
    remarks
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
