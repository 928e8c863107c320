//! Every environment variable, typed and checked once. All faults are reported at once, and no value is repeated: it
//! may be a secret in the wrong place.

mod fault;
mod forms;
mod sidecar;

use std::{collections::HashMap, fs, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use reqwest::Url;
use serde::Deserialize;

use self::{fault::Reader, forms::Form};
pub use self::{
    fault::{Fault, Faults, unknown_variables},
    forms::{IssuerUrl, parse_duration},
    sidecar::SidecarSettings,
};
use crate::{
    limits::Limits,
    store::RedisUrl,
    telemetry::LogFormat,
    verify::TokenTyp,
    wechat::{App, AppSecret},
};

pub use crate::wechat::AppsSource;

/// Where things are kept.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// `memory:`: forgets with the process.
    Memory,
    /// `redis://…`
    Redis(RedisUrl),
}

/// Who knows the business users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountsSource {
    /// `auto`: a first login makes one.
    Auto,
    /// `file:PATH`: the password file.
    File(PathBuf),
    /// `https://…`: the business's own service.
    Service(Url),
}

/// What `wxmint serve` needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `WXMINT_ISSUER`: the token's `iss`.
    pub issuer: IssuerUrl,
    /// `WXMINT_AUDIENCE`: the token's `aud`.
    pub audience: Vec<String>,
    /// `WXMINT_APPID`, `WXMINT_APP_SECRET`, `WXMINT_APPS_DIR`: the mini programs.
    pub apps: AppsSource,
    /// `WXMINT_REDIS_URL`
    pub store: StoreUrl,
    /// `WXMINT_KEYS`: the private JWK Set.
    pub keys: PathBuf,
    /// `WXMINT_VAULT_KEY_FILE`: base64 of 32 bytes a line, newest first.
    pub vault_key_file: PathBuf,
    /// `WXMINT_LISTEN`: the public listener.
    pub listen: SocketAddr,
    /// `WXMINT_ADMIN_LISTEN`: probes and metrics, never public.
    pub admin_listen: SocketAddr,
    /// `WXMINT_MAX_CONNECTIONS`: how many connections the public listener takes at once. An idle one takes some 12 KiB, one
    /// with a login in progress up to 32 (measured with 2,900), so the default of 2000 takes at most 64 of the 128 MiB in
    /// k8s/base. The process itself takes 25, two passwords that are being hashed take 38.
    pub max_connections: usize,
    /// `WXMINT_TOKEN_TTL`: `exp - iat`.
    pub token_ttl: Duration,
    /// `WXMINT_TOKEN_TYP`: the header's `typ`.
    pub token_typ: TokenTyp,
    /// `WXMINT_KEYS_LEAD`: how long a key is published before it signs.
    pub keys_lead: Duration,
    /// `WXMINT_SESSION_KEY_TTL`: how long a session key is kept.
    pub session_key_ttl: Duration,
    /// `WXMINT_ACCOUNTS`: who the business user is.
    pub accounts: AccountsSource,
    /// `WXMINT_AUTO_PROVISION`: whether an unbound person gets a new user where one could be asked for a password.
    pub auto_provision: bool,
    /// `WXMINT_BINDINGS_PER_USER`: how many WeChat identities one user may have in one app.
    pub bindings_per_user: u32,
    /// `WXMINT_LOGIN_PATHS`: further paths of the login.
    pub login_paths: Vec<String>,
    /// `WXMINT_TOKEN_ALIASES`: further members of a login's answer that hold the token.
    pub token_aliases: Vec<String>,
    /// `WXMINT_DANGEROUS_PASSWORD_IN_QUERY`: whether a password may stand in a URL.
    pub dangerous_password_in_query: bool,
    /// `WXMINT_TRUSTED_PROXIES`: whose word on a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `WXMINT_LIMIT_IP`, `WXMINT_LIMIT_OPENID`, `WXMINT_LIMIT_USERNAME`
    pub limits: Limits,
    /// `WXMINT_WATERMARK_MAX_AGE`: how old decrypted data may be.
    pub watermark_max_age: Duration,
    /// `WXMINT_WECHAT_URL`: WeChat, or a stand-in.
    pub wechat_url: Url,
    /// `WXMINT_LOG_FORMAT`
    pub log_format: LogFormat,
}

/// The variables as texts. The fields' order is that of `.env.example`, and each name is the variable's without
/// `WXMINT_`.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(Debug))]
#[serde(default)]
struct Raw {
    issuer: Option<String>,
    audience: Option<String>,
    appid: Option<String>,
    app_secret: Option<String>,
    app_secret_file: Option<String>,
    apps_dir: Option<String>,
    redis_url: Option<String>,
    redis_url_file: Option<String>,
    keys: Option<String>,
    vault_key_file: Option<String>,
    listen: Option<String>,
    admin_listen: Option<String>,
    max_connections: Option<String>,
    token_ttl: Option<String>,
    token_typ: Option<String>,
    keys_lead: Option<String>,
    session_key_ttl: Option<String>,
    accounts: Option<String>,
    auto_provision: Option<String>,
    bindings_per_user: Option<String>,
    login_paths: Option<String>,
    token_aliases: Option<String>,
    dangerous_password_in_query: Option<String>,
    trusted_proxies: Option<String>,
    limit_ip: Option<String>,
    limit_openid: Option<String>,
    limit_username: Option<String>,
    watermark_max_age: Option<String>,
    wechat_url: Option<String>,
    log_format: Option<String>,
    jwks_url: Option<String>,
    jwks_cache: Option<String>,
    sidecar_listen: Option<String>,
    sidecar_audiences: Option<String>,
    sidecar_anonymous: Option<String>,
    sidecar_path_header: Option<String>,
    dangerous_jwks_over_http: Option<String>,
}

impl Raw {
    fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        // An empty variable is one that is not set: shells and manifests cannot always leave it out.
        let vars: HashMap<String, String> = vars.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        envy::prefixed("WXMINT_").from_iter(vars).unwrap_or_default()
    }
}

/// Every variable that is acted on, in the order of `.env.example`.
pub const VARIABLES: &[&str] = &[
    "WXMINT_ISSUER",
    "WXMINT_AUDIENCE",
    "WXMINT_APPID",
    "WXMINT_APP_SECRET",
    "WXMINT_APP_SECRET_FILE",
    "WXMINT_APPS_DIR",
    "WXMINT_REDIS_URL",
    "WXMINT_REDIS_URL_FILE",
    "WXMINT_KEYS",
    "WXMINT_VAULT_KEY_FILE",
    "WXMINT_LISTEN",
    "WXMINT_ADMIN_LISTEN",
    "WXMINT_MAX_CONNECTIONS",
    "WXMINT_TOKEN_TTL",
    "WXMINT_TOKEN_TYP",
    "WXMINT_KEYS_LEAD",
    "WXMINT_SESSION_KEY_TTL",
    "WXMINT_ACCOUNTS",
    "WXMINT_AUTO_PROVISION",
    "WXMINT_BINDINGS_PER_USER",
    "WXMINT_LOGIN_PATHS",
    "WXMINT_TOKEN_ALIASES",
    "WXMINT_DANGEROUS_PASSWORD_IN_QUERY",
    "WXMINT_TRUSTED_PROXIES",
    "WXMINT_LIMIT_IP",
    "WXMINT_LIMIT_OPENID",
    "WXMINT_LIMIT_USERNAME",
    "WXMINT_WATERMARK_MAX_AGE",
    "WXMINT_WECHAT_URL",
    "WXMINT_LOG_FORMAT",
    "WXMINT_JWKS_URL",
    "WXMINT_JWKS_CACHE",
    "WXMINT_SIDECAR_LISTEN",
    "WXMINT_SIDECAR_AUDIENCES",
    "WXMINT_SIDECAR_ANONYMOUS",
    "WXMINT_SIDECAR_PATH_HEADER",
    "WXMINT_DANGEROUS_JWKS_OVER_HTTP",
];

/// Variables that the design has and this version does not act on yet.
const LATER: &[&str] = &["WXMINT_STATUS_FAIL", "WXMINT_STATUS_MAX_AGE"];

const SECRET: Form = Form {
    wanted: "the AppSecret that WeChat's console shows: 32 letters and digits",
    example: "WXMINT_APP_SECRET_FILE=/run/secrets/app-secret",
};
const REDIS: Form = Form {
    wanted: "redis://[user:password@]host:port[/db], or memory: for a store that forgets",
    example: "WXMINT_REDIS_URL=redis://127.0.0.1:6379",
};

impl Settings {
    /// Reads settings from variables, such as [`std::env::vars`].
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        let raw = Raw::from_vars(vars);
        let mut reader = Reader::default();
        let settings = Self::read(raw, &mut reader);
        reader.finish(settings)
    }

    /// Each field by its own line; `None` if any was at fault.
    fn read(raw: Raw, reader: &mut Reader) -> Option<Self> {
        let issuer = reader.required("WXMINT_ISSUER", raw.issuer, &forms::ISSUER, IssuerUrl::parse);
        let audience = reader.optional("WXMINT_AUDIENCE", raw.audience, &forms::AUDIENCE, forms::audiences);
        let apps = Self::read_apps(raw.appid, (raw.app_secret, raw.app_secret_file), raw.apps_dir, reader);
        let store = read_store(raw.redis_url, raw.redis_url_file, reader);
        let keys = reader.required("WXMINT_KEYS", raw.keys, &forms::KEYS, path);
        let vault_key_file = reader.required("WXMINT_VAULT_KEY_FILE", raw.vault_key_file, &forms::VAULT, path);
        let listen = reader.or("WXMINT_LISTEN", raw.listen, &forms::LISTEN, "127.0.0.1:8080", address);
        let admin_listen =
            reader.or("WXMINT_ADMIN_LISTEN", raw.admin_listen, &forms::ADMIN_LISTEN, "127.0.0.1:9090", address);
        let connections = ("WXMINT_MAX_CONNECTIONS", raw.max_connections);
        let max_connections =
            reader.or(connections.0, connections.1, &forms::MAX_CONNECTIONS, "2000", forms::connections);
        let token_ttl = read_token_ttl(raw.token_ttl, reader);
        let token_typ =
            reader.or("WXMINT_TOKEN_TYP", raw.token_typ, &forms::TOKEN_TYP, "at+jwt", |text| text.parse().ok());
        let keys_lead = read_keys_lead(raw.keys_lead, reader);
        let session_key_ttl =
            reader.span("WXMINT_SESSION_KEY_TTL", raw.session_key_ttl, &forms::SESSION_KEY_TTL, "30d");
        let accounts = reader.or("WXMINT_ACCOUNTS", raw.accounts, &forms::ACCOUNTS, "auto", accounts);
        let auto_provision =
            reader.or("WXMINT_AUTO_PROVISION", raw.auto_provision, &forms::AUTO_PROVISION, "false", forms::flag);
        let bindings_per_user =
            reader.or("WXMINT_BINDINGS_PER_USER", raw.bindings_per_user, &forms::BINDINGS, "1", forms::bindings);
        let login_paths =
            reader.optional("WXMINT_LOGIN_PATHS", raw.login_paths, &forms::LOGIN_PATHS, forms::login_paths);
        let token_aliases =
            reader.optional("WXMINT_TOKEN_ALIASES", raw.token_aliases, &forms::TOKEN_ALIASES, forms::token_aliases);
        let dangerous = ("WXMINT_DANGEROUS_PASSWORD_IN_QUERY", raw.dangerous_password_in_query);
        let dangerous_password_in_query = reader.or(dangerous.0, dangerous.1, &forms::DANGEROUS, "false", forms::flag);
        let trusted_proxies =
            reader.optional("WXMINT_TRUSTED_PROXIES", raw.trusted_proxies, &forms::TRUSTED_PROXIES, forms::networks);
        let ip = reader.or("WXMINT_LIMIT_IP", raw.limit_ip, &forms::LIMIT_IP, "600/5m", forms::rate);
        let openid = reader.or("WXMINT_LIMIT_OPENID", raw.limit_openid, &forms::LIMIT_OPENID, "30/5m", forms::rate);
        let username =
            reader.or("WXMINT_LIMIT_USERNAME", raw.limit_username, &forms::LIMIT_USERNAME, "10/5m", forms::rate);
        let watermark = ("WXMINT_WATERMARK_MAX_AGE", raw.watermark_max_age);
        let watermark_max_age = reader.span(watermark.0, watermark.1, &forms::WATERMARK, "10m");
        let wechat_url =
            reader.or("WXMINT_WECHAT_URL", raw.wechat_url, &forms::WECHAT_URL, "https://api.weixin.qq.com", wechat_url);
        let log_format = reader.or("WXMINT_LOG_FORMAT", raw.log_format, &forms::LOG_FORMAT, "json", log_format);
        let issuer = issuer?;
        Some(Self {
            accounts: accounts?,
            auto_provision: auto_provision?,
            bindings_per_user: bindings_per_user?,
            login_paths: login_paths.unwrap_or_default(),
            token_aliases: token_aliases.unwrap_or_default(),
            dangerous_password_in_query: dangerous_password_in_query?,
            trusted_proxies: trusted_proxies.unwrap_or_default(),
            limits: Limits { ip: ip?, openid: openid?, username: username? },
            audience: audience.unwrap_or_else(|| vec![issuer.as_str().to_owned()]),
            issuer,
            apps: apps?,
            store: store?,
            keys: keys?,
            vault_key_file: vault_key_file?,
            listen: listen?,
            admin_listen: admin_listen?,
            max_connections: max_connections?,
            token_ttl: token_ttl?,
            token_typ: token_typ?,
            keys_lead: keys_lead?,
            session_key_ttl: session_key_ttl?,
            watermark_max_age: watermark_max_age?,
            wechat_url: wechat_url?,
            log_format: log_format?,
        })
    }
}

impl Settings {
    fn read_apps(
        id: Option<String>,
        (secret, secret_file): (Option<String>, Option<String>),
        folder: Option<String>,
        reader: &mut Reader,
    ) -> Option<AppsSource> {
        if let Some(folder) = folder {
            if id.is_some() || secret.is_some() || secret_file.is_some() {
                reader.fault("WXMINT_APPS_DIR", "is set beside WXMINT_APPID or WXMINT_APP_SECRET", &forms::APPS_DIR);
            }
            return reader.required("WXMINT_APPS_DIR", Some(folder), &forms::APPS_DIR, path).map(AppsSource::Folder);
        }
        let id = reader.required("WXMINT_APPID", id, &forms::APPID, forms::appid);
        let file = secret_file.clone().map(PathBuf::from);
        let secret = reader.secret("WXMINT_APP_SECRET", secret, secret_file);
        let secret = reader.required("WXMINT_APP_SECRET", secret, &SECRET, |text| text.parse::<AppSecret>().ok());
        Some(AppsSource::One { app: App { id: id?, secret: secret? }, secret_file: file })
    }
}

/// `WXMINT_REDIS_URL` or its `…_FILE` alone, for commands that need nothing else.
pub fn store_from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<StoreUrl, Faults> {
    let raw = Raw::from_vars(vars);
    let mut reader = Reader::default();
    let store = read_store(raw.redis_url, raw.redis_url_file, &mut reader);
    reader.finish(store)
}

/// `WXMINT_VAULT_KEY_FILE` alone.
pub fn vault_key_file_from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<PathBuf, Faults> {
    let mut reader = Reader::default();
    let file = Raw::from_vars(vars).vault_key_file;
    let path = reader.required("WXMINT_VAULT_KEY_FILE", file, &forms::VAULT, path);
    reader.finish(path)
}

/// `WXMINT_KEYS_LEAD` and `WXMINT_TOKEN_TTL` alone.
pub fn key_times_from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<(Duration, Duration), Faults> {
    let (raw, mut reader) = (Raw::from_vars(vars), Reader::default());
    let times = (read_keys_lead(raw.keys_lead, &mut reader), read_token_ttl(raw.token_ttl, &mut reader));
    reader.finish(times.0.zip(times.1))
}

fn read_keys_lead(text: Option<String>, reader: &mut Reader) -> Option<Duration> {
    reader.span("WXMINT_KEYS_LEAD", text, &forms::KEYS_LEAD, "30m")
}

fn read_token_ttl(text: Option<String>, reader: &mut Reader) -> Option<Duration> {
    reader.span("WXMINT_TOKEN_TTL", text, &forms::TOKEN_TTL, "24h")
}

fn read_store(url: Option<String>, file: Option<String>, reader: &mut Reader) -> Option<StoreUrl> {
    let url = reader.secret("WXMINT_REDIS_URL", url, file);
    reader.required("WXMINT_REDIS_URL", url, &REDIS, store_url)
}

fn store_url(text: &str) -> Option<StoreUrl> {
    if text == "memory:" { Some(StoreUrl::Memory) } else { text.parse().ok().map(StoreUrl::Redis) }
}

/// `auto`, `file:PATH`, or the URL of the business's own service: https, or http to this machine alone, since passwords
/// travel to it.
fn accounts(text: &str) -> Option<AccountsSource> {
    if text == "auto" {
        return Some(AccountsSource::Auto);
    }
    if let Some(path) = text.strip_prefix("file:") {
        return (!path.is_empty()).then(|| AccountsSource::File(path.into()));
    }
    let url: Url = text.parse().ok()?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let secure = url.scheme() == "https" || forms::is_loopback(&url);
    (plain && secure && url.password().is_none()).then_some(AccountsSource::Service(url))
}

fn path(text: &str) -> Option<PathBuf> {
    Some(PathBuf::from(text))
}

fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

/// https, or http to this machine alone: the AppSecret travels in the URL.
fn wechat_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    (url.scheme() == "https" || forms::is_loopback(&url)).then_some(url)
}

fn log_format(text: &str) -> Option<LogFormat> {
    [("json", LogFormat::Json), ("text", LogFormat::Text)].into_iter().find(|(name, _)| *name == text).map(|row| row.1)
}

/// The content of the file that a `…_FILE` variable names, without the line break that editors add.
fn read_secret_file(path: &str) -> Result<String, std::io::Error> {
    fs::read_to_string(path).map(|text| text.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
mod tests;
