//! Every environment variable, typed and checked once. All faults are reported at once, and no value is repeated: it
//! may be a secret in the wrong place.

mod fault;
mod forms;

use std::{collections::HashMap, fs, net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::Url;
use serde::Deserialize;

use self::{
    fault::Reader,
    forms::{Form, parse_duration},
};
pub use self::{
    fault::{Fault, Faults, unknown_variables},
    forms::IssuerUrl,
};
use crate::{
    accounts::Auto,
    store::RedisUrl,
    telemetry::LogFormat,
    token::TokenTyp,
    wechat::{App, AppSecret},
};

/// Where things are kept.
#[derive(Debug, Clone)]
pub enum StoreUrl {
    /// `memory:`: forgets with the process.
    Memory,
    /// `redis://…`
    Redis(RedisUrl),
}

/// What `wxmint serve` needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `WXMINT_ISSUER`: the token's `iss`.
    pub issuer: IssuerUrl,
    /// `WXMINT_AUDIENCE`: the token's `aud`.
    pub audience: Vec<String>,
    /// `WXMINT_APPID`, `WXMINT_APP_SECRET`: the mini program.
    pub app: App,
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
    /// `WXMINT_TOKEN_TTL`: `exp - iat`.
    pub token_ttl: Duration,
    /// `WXMINT_TOKEN_TYP`: the header's `typ`.
    pub token_typ: TokenTyp,
    /// `WXMINT_SESSION_KEY_TTL`: how long a session key is kept.
    pub session_key_ttl: Duration,
    /// `WXMINT_ACCOUNTS`: who the business user is.
    pub accounts: Auto,
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
    redis_url: Option<String>,
    redis_url_file: Option<String>,
    keys: Option<String>,
    vault_key_file: Option<String>,
    listen: Option<String>,
    admin_listen: Option<String>,
    token_ttl: Option<String>,
    token_typ: Option<String>,
    session_key_ttl: Option<String>,
    accounts: Option<String>,
    wechat_url: Option<String>,
    log_format: Option<String>,
}

/// Every variable that is acted on, in the order of `.env.example`.
pub const VARIABLES: &[&str] = &[
    "WXMINT_ISSUER",
    "WXMINT_AUDIENCE",
    "WXMINT_APPID",
    "WXMINT_APP_SECRET",
    "WXMINT_APP_SECRET_FILE",
    "WXMINT_REDIS_URL",
    "WXMINT_REDIS_URL_FILE",
    "WXMINT_KEYS",
    "WXMINT_VAULT_KEY_FILE",
    "WXMINT_LISTEN",
    "WXMINT_ADMIN_LISTEN",
    "WXMINT_TOKEN_TTL",
    "WXMINT_TOKEN_TYP",
    "WXMINT_SESSION_KEY_TTL",
    "WXMINT_ACCOUNTS",
    "WXMINT_WECHAT_URL",
    "WXMINT_LOG_FORMAT",
];

/// Variables that the design has and this version does not act on yet.
const LATER: &[&str] = &[
    "WXMINT_APPS_DIR",
    "WXMINT_AUTO_PROVISION",
    "WXMINT_BINDINGS_PER_USER",
    "WXMINT_DANGEROUS_PASSWORD_IN_QUERY",
    "WXMINT_JWKS_URL",
    "WXMINT_KEYS_LEAD",
    "WXMINT_LIMIT_IP",
    "WXMINT_LIMIT_OPENID",
    "WXMINT_LIMIT_USERNAME",
    "WXMINT_LOGIN_PATHS",
    "WXMINT_SIDECAR_LISTEN",
    "WXMINT_STATUS_FAIL",
    "WXMINT_STATUS_MAX_AGE",
    "WXMINT_TOKEN_ALIASES",
    "WXMINT_TRUSTED_PROXIES",
    "WXMINT_WATERMARK_MAX_AGE",
];

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
        // An empty variable is one that is not set: shells and manifests cannot always leave it out.
        let vars: HashMap<String, String> = vars.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let raw: Raw = envy::prefixed("WXMINT_").from_iter(vars).unwrap_or_default();
        let mut reader = Reader::default();
        let settings = Self::read(raw, &mut reader);
        reader.finish(settings)
    }

    /// Each field by its own line; `None` if any was at fault.
    fn read(raw: Raw, reader: &mut Reader) -> Option<Self> {
        let issuer = reader.required("WXMINT_ISSUER", raw.issuer, &forms::ISSUER, IssuerUrl::parse);
        let audience = reader.optional("WXMINT_AUDIENCE", raw.audience, &forms::AUDIENCE, forms::audiences);
        let app_id = reader.required("WXMINT_APPID", raw.appid, &forms::APPID, |text| text.parse().ok());
        let secret = reader.secret("WXMINT_APP_SECRET", raw.app_secret, raw.app_secret_file);
        let secret = reader.required("WXMINT_APP_SECRET", secret, &SECRET, |text| text.parse::<AppSecret>().ok());
        let redis_url = reader.secret("WXMINT_REDIS_URL", raw.redis_url, raw.redis_url_file);
        let store = reader.required("WXMINT_REDIS_URL", redis_url, &REDIS, store_url);
        let keys = reader.required("WXMINT_KEYS", raw.keys, &forms::KEYS, path);
        let vault_key_file = reader.required("WXMINT_VAULT_KEY_FILE", raw.vault_key_file, &forms::VAULT, path);
        let listen = reader.or("WXMINT_LISTEN", raw.listen, &forms::LISTEN, "127.0.0.1:8080", address);
        let admin_listen =
            reader.or("WXMINT_ADMIN_LISTEN", raw.admin_listen, &forms::ADMIN_LISTEN, "127.0.0.1:9090", address);
        let token_ttl = reader.or("WXMINT_TOKEN_TTL", raw.token_ttl, &forms::TOKEN_TTL, "24h", forms::token_ttl);
        let token_typ =
            reader.or("WXMINT_TOKEN_TYP", raw.token_typ, &forms::TOKEN_TYP, "at+jwt", |text| text.parse().ok());
        let session_key_ttl =
            reader.or("WXMINT_SESSION_KEY_TTL", raw.session_key_ttl, &forms::SESSION_KEY_TTL, "30d", parse_duration);
        let accounts = reader.or("WXMINT_ACCOUNTS", raw.accounts, &forms::ACCOUNTS, "auto", accounts);
        let wechat_url =
            reader.or("WXMINT_WECHAT_URL", raw.wechat_url, &forms::WECHAT_URL, "https://api.weixin.qq.com", wechat_url);
        let log_format = reader.or("WXMINT_LOG_FORMAT", raw.log_format, &forms::LOG_FORMAT, "json", log_format);
        let issuer = issuer?;
        Some(Self {
            accounts: accounts?,
            audience: audience.unwrap_or_else(|| vec![issuer.as_str().to_owned()]),
            issuer,
            app: App { id: app_id?, secret: secret? },
            store: store?,
            keys: keys?,
            vault_key_file: vault_key_file?,
            listen: listen?,
            admin_listen: admin_listen?,
            token_ttl: token_ttl?,
            token_typ: token_typ?,
            session_key_ttl: session_key_ttl?,
            wechat_url: wechat_url?,
            log_format: log_format?,
        })
    }
}

fn store_url(text: &str) -> Option<StoreUrl> {
    if text == "memory:" { Some(StoreUrl::Memory) } else { text.parse().ok().map(StoreUrl::Redis) }
}

fn accounts(text: &str) -> Option<Auto> {
    (text == "auto").then_some(Auto)
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
