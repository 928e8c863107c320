//! The settings, which are environment variables, and what `.env` adds to them. `table.rs` declares
//! each of them; `settings!` and `variables.rs` give it a type and a parser; this file and
//! `sidecar.rs` say which of them each command reads. All faults are reported at once. A fault never
//! repeats a value, because the value may be a secret in the wrong place.

mod declaration;
pub mod env_file;
pub mod example;
mod forms;
#[cfg(test)]
mod pages;
mod reader;
mod redis;
mod sidecar;
mod table;
#[cfg(test)]
mod tests;
mod variable;
pub mod variables;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use reqwest::Url;
use wxmint_ids::IdKind;
use wxmint_store::limits::Rate;
use wxmint_telemetry::{Audit, LogFormat};
use wxmint_upstream::{ProxyUrl, is_secure};
use wxmint_verify::TokenTyp;
use wxmint_wechat::App;

pub use self::declaration::Role;
pub use self::forms::{IssuerUrl, parse_duration};
use self::forms::{list, parsed, unless};
pub use self::reader::{Fault, Faults, Reader};
pub use self::redis::StoreSettings;
pub use self::sidecar::SidecarSettings;
pub use self::variable::{Variable, nearest_to_unknown, value_files};
use self::{table::declared, variables::*};

pub use crate::apps::AppsSource;

/// The party that knows the business users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountsSource {
    /// `auto`: the first login of a person makes a user.
    Auto,
    /// `file:PATH`: the password file.
    File(PathBuf),
    /// `https://…`, or `http://…`: the business's own service.
    Service(Url),
}

impl AccountsSource {
    /// The URL of the account service, if there is one.
    pub fn url(&self) -> Option<&Url> {
        if let Self::Service(url) = self {
            Some(url)
        } else {
            None
        }
    }
}

/// The files by which doors are opened, by the names of their variables.
pub type DoorFiles = BTreeMap<&'static str, PathBuf>;

/// Makes a struct of the settings that a role reads. The first fields are the values of one variable
/// each, and these variables are named too, as `variables!` does it. The other fields depend on
/// several variables. Every field is read, so that no fault hides another.
macro_rules! settings {
    ($name:ident for $role:ident { $($value:ident: $of:ty = $VARIABLE:ident($parse:expr),)+ }
        |$reader:ident| { $($field:ident: $type:ty = $read:expr,)+ }) => {
        $crate::settings::variables::variables! { $($VARIABLE: $of = $parse;)+ }

        #[derive(Debug, Clone)]
        pub struct $name {
            $(pub $value: $of,)+
            $(pub $field: $type,)+
        }

        impl $name {
            pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
                let mut reader = Reader::new($crate::settings::Role::$role, vars);
                let settings = Self::read(&mut reader);
                reader.finish(settings)
            }

            pub(super) fn read($reader: &mut Reader) -> Option<Self> {
                $(let $value = $reader.read(&$VARIABLE);)+
                $(let $field = $read;)+
                Some(Self { $($value: $value?,)+ $($field: $field?,)+ })
            }
        }
    };
}
use settings;

settings! {
    Settings for Issuer {
        keys: PathBuf = KEYS(parsed),
        vault_key_file: PathBuf = VAULT_KEY_FILE(parsed),
        listen: SocketAddr = LISTEN(parsed),
        admin_tokens_file: Option<PathBuf> = ADMIN_TOKENS_FILE(|text| unless("", text, parsed)),
        verify_files_dir: Option<PathBuf> = VERIFY_FILES_DIR(|text| unless("", text, parsed)),
        max_connections: usize = MAX_CONNECTIONS(parsed),
        jwks_peers: Vec<Url> = JWKS_PEERS(|text| list(text, forms::secure_url)),
        token_ttl: Duration = TOKEN_TTL(parse_duration),
        token_typ: TokenTyp = TOKEN_TYP(parsed),
        key_prepublish: Duration = KEY_PREPUBLISH(parse_duration),
        session_key_ttl: Duration = SESSION_KEY_TTL(parse_duration),
        dangerous_accounts_over_http: bool = DANGEROUS_ACCOUNTS_OVER_HTTP(parsed),
        auto_provision: bool = AUTO_PROVISION(parsed),
        id_key_file: Option<PathBuf> = ID_KEY_FILE(|text| unless("", text, parsed)),
        user_index: bool = USER_INDEX(parsed),
        bindings_per_user: u32 = BINDINGS_PER_USER(parsed),
        single_session: bool = SINGLE_SESSION(parsed),
        login_paths: Vec<String> = LOGIN_PATHS(forms::login_paths),
        token_aliases: Vec<String> = TOKEN_ALIASES(forms::token_aliases),
        dangerous_password_in_query: bool = DANGEROUS_PASSWORD_IN_QUERY(parsed),
        trusted_proxies: Vec<IpNet> = TRUSTED_PROXIES(forms::proxies),
        limit_ip: Rate = LIMIT_IP(forms::rate),
        limit_openid: Rate = LIMIT_OPENID(forms::rate),
        limit_username: Rate = LIMIT_USERNAME(forms::rate),
        limit_open_requests: u32 = LIMIT_OPEN_REQUESTS(parsed),
        phone_numbers_per_person: u32 = PHONE_NUMBERS_PER_PERSON(parsed),
        phone_numbers_per_app: u32 = PHONE_NUMBERS_PER_APP(parsed),
        user_data_max_age: Duration = USER_DATA_MAX_AGE(parse_duration),
        wechat_url: Url = WECHAT_URL(forms::secure_url),
        other_platforms_url: Option<Url> = OTHER_PLATFORMS_URL(|text| unless("", text, forms::secure_url)),
        log_format: LogFormat = LOG_FORMAT(forms::log_format),
        log_addresses: bool = LOG_ADDRESSES(parsed),
        audit: Audit = AUDIT(forms::audit),
    } |reader| {
        issuer: IssuerUrl = reader.read_checked(&ISSUER),
        audience: Vec<String> = reader.read(&AUDIENCE).zip(issuer.as_ref()).map(|(names, issuer)| {
            if names.is_empty() { vec![issuer.to_string()] } else { names }
        }),
        door_files: DoorFiles = Some(read_door_files(reader)),
        apps: AppsSource = read_apps(reader, door_files.as_ref()),
        store: StoreSettings = StoreSettings::read(reader),
        admin_listen: SocketAddr = read_admin_listen(reader, listen.map(|address| (LISTEN.name, address))),
        // Passwords are sent to the account service.
        accounts: AccountsSource = reader.read_beside(&ACCOUNTS, |source| {
            let is_exposed = source.url().is_some_and(|url| !is_secure(url)) && dangerous_accounts_over_http != Some(true);
            is_exposed.then(|| message!(is_http_url_of_another_machine))
        }),
        // Only an account service can be asked. If the variable were ignored, users whom it should
        // keep out could log in.
        accounts_check: bool = reader.read_beside(&ACCOUNTS_CHECK, |check| {
            let is_unasked = *check && accounts.as_ref().is_some_and(|source| source.url().is_none());
            is_unasked.then(|| message!(is_true_but_accounts_is_no_url))
        }),
        // An account backend names users itself, so that a computed id would be a second id of the
        // same person.
        user_ids: Option<IdKind> = reader.read_beside(&USER_IDS, |ids| match (ids, &accounts, &id_key_file) {
            (Some(_), Some(AccountsSource::File(_) | AccountsSource::Service(_)), _) => {
                Some(message!(is_computed_but_accounts_name_users))
            }
            (Some(_), _, Some(None)) => Some(message!(is_computed_but_id_key_is_missing)),
            _ => None,
        }),
        // A proxy cannot reach a stand-in on this machine, and would read the AppSecret that http
        // sends.
        wechat_proxy: Option<ProxyUrl> = reader.read_beside(&WECHAT_PROXY, |proxy| {
            let is_here = proxy.is_some() && wechat_url.as_ref().is_some_and(|url| url.scheme() == "http");
            is_here.then(|| message!(is_set_but_wechat_is_here))
        }),
        // For one request to the collector of traces; `None` without a collector.
        trace_timeout: Option<Duration> = read_traces(reader),
    }
}

impl Settings {
    /// As `from_vars`, and also checks that the further paths of the login are `free`, which only
    /// the routes know.
    pub fn serving(
        vars: impl Iterator<Item = (String, String)>,
        free: impl Fn(&str) -> bool,
    ) -> Result<Self, Faults> {
        let mut reader = Reader::new(Role::Issuer, vars);
        let settings = Self::read(&mut reader);
        reader.read_beside(&LOGIN_PATHS, |paths| {
            let is_taken = paths.iter().any(|path| !free(path));
            is_taken.then(|| message!(is_not_valid))
        });
        reader.finish(settings)
    }
}

/// The files of the doors, by the names of their variables.
fn read_door_files(reader: &mut Reader) -> DoorFiles {
    declared()
        .filter(|setting| setting.opens_door)
        .map(|setting| setting.name)
        .filter_map(|name| Some((name, reader.read(&door_file(name))??)))
        .collect()
}

fn read_apps(reader: &mut Reader, door_files: Option<&DoorFiles>) -> Option<AppsSource> {
    let is_one = reader.is_set(&APPID) || reader.is_set(&APP_SECRET);
    let beside =
        |folder: &Option<_>| (folder.is_some() && is_one).then(|| message!(is_set_beside_one_app));
    if let Some(folder) = reader.read_beside(&APPS_DIR, beside)? {
        return Some(AppsSource::Folder(folder));
    }
    if !is_one && door_files.is_some_and(bring_apps) {
        return Some(AppsSource::Given(Vec::new()));
    }
    let id = reader.read(&APPID);
    let secret = reader.read(&APP_SECRET);
    let secret_file = reader.secret_file(&APP_SECRET).map(PathBuf::from);
    Some(AppsSource::One {
        app: App::mini_program(id?, secret?),
        secret_file,
    })
}

/// Whether one of the doors brings apps, so that people can log in although no app is configured.
fn bring_apps(files: &DoorFiles) -> bool {
    let unless = APPID.declaration().required_unless;
    files.keys().any(|name| unless.contains(name))
}

/// Reads only the apps, for a command that needs nothing else. `None` if a door brings further
/// apps, or if the settings of the apps are missing or not valid.
pub fn read_all_apps(vars: impl IntoIterator<Item = (String, String)>) -> Option<AppsSource> {
    let mut reader = Reader::new(Role::Issuer, vars);
    let door_files = read_door_files(&mut reader);
    read_apps(&mut reader, Some(&door_files)).filter(|_| !bring_apps(&door_files))
}

/// The address of the admin listener, which must differ from that of the other listener.
fn read_admin_listen(reader: &mut Reader, other: Option<(&str, SocketAddr)>) -> Option<SocketAddr> {
    reader.read_beside(&ADMIN_LISTEN, |admin| {
        let (name, other) =
            other.filter(|(_, other)| other.port() == admin.port() && other.port() != 0)?;
        let is_all = |address: &SocketAddr| {
            address.ip().is_unspecified() && other.is_ipv4() == admin.is_ipv4()
        };
        (other == *admin || is_all(&other) || is_all(admin))
            .then(|| message!(takes_address_of, name))
    })
}

/// Checks OpenTelemetry's variables. Its SDK reads them itself, but treats a wrong value as if it
/// were not set.
#[expect(
    clippy::option_option,
    reason = "the outer `None` means, as of every reader, that there is a fault"
)]
fn read_traces(reader: &mut Reader) -> Option<Option<Duration>> {
    let endpoints = [
        &OTEL_EXPORTER_OTLP_ENDPOINT,
        &OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    ]
    .map(|url| reader.read(url));
    let [protocol, sampler] =
        [&OTEL_EXPORTER_OTLP_PROTOCOL, &OTEL_TRACES_SAMPLER].map(|word| reader.read(word));
    let headers = reader.read(&OTEL_EXPORTER_OTLP_HEADERS);
    let part = reader.read(&OTEL_TRACES_SAMPLER_ARG);
    let timeout = reader.read(&OTEL_EXPORTER_OTLP_TIMEOUT)?;
    protocol.and(sampler).and(headers).and(part)?;
    Some(endpoints.iter().flatten().flatten().next().map(|_| timeout))
}

/// Reads only one variable, for a command that needs nothing else.
pub fn read_one<T>(
    variable: &Variable<T>,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<T, Faults> {
    let mut reader = Reader::new(Role::Issuer, vars);
    let value = reader.read(variable);
    reader.finish(value)
}
