//! Every variable, with the type of its value and the parser. All else stands in `.env.example`: what it is for, its
//! form in words, and its default or an example.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use actix_web::http::header::HeaderName;
use ipnet::IpNet;
use reqwest::Url;
use wxmint_findings::Said;
use wxmint_http::path_rules::{PathSource, Prefix};
use wxmint_ids::{AppId, IdKind};
use wxmint_redis_link::{Confirm, RedisUrl};
use wxmint_store::limits::Rate;
use wxmint_telemetry::{Audit, LogFormat};
use wxmint_upstream::ProxyUrl;
use wxmint_verify::{TokenTyp, peer::WhenStale};
use wxmint_wechat::AppSecret;

use super::forms::{self, IssuerUrl, list, optional, parsed, time_within, within};
use super::{AccountsSource, redis, variable::Variable};

/// OpenTelemetry's variables have its names.
const fn full_name(name: &'static str, ours: &'static str) -> &'static str {
    if let [b'O', b'T', b'E', b'L', b'_', ..] = name.as_bytes() { name } else { ours }
}

/// `NAME: TYPE = PARSER;` The name comes without `WXMINT_`.
macro_rules! variables {
    ($($name:ident: $type:ty = $parse:expr;)+) => {
        $(
            pub const $name: Variable<$type> =
                Variable::named(full_name(stringify!($name), concat!("WXMINT_", stringify!($name))), $parse);
        )+
        /// In the order of `.env.example`, which has those of doors beside them.
        pub(super) const NAMES: &[&str] = &[$($name.name),+];
    };
}

/// The file by which a door is opened.
pub const fn door_file(name: &'static str) -> Variable<Option<PathBuf>> {
    Variable::named(name, |text| optional(text, parsed))
}

variables! {
    ISSUER: Result<IssuerUrl, Said> = |text| Some(IssuerUrl::parse(text));
    AUDIENCE: Vec<String> = forms::audiences;
    APPID: AppId = forms::appid;
    APP_SECRET: AppSecret = parsed;
    APPS_DIR: Option<PathBuf> = |text| optional(text, parsed);
    REDIS_URL: Result<Option<RedisUrl>, &'static str> = |text| Some(redis::parse(text));
    REDIS_CA_FILE: Option<PathBuf> = |text| optional(text, parsed);
    REDIS_CERT_FILE: Option<PathBuf> = |text| optional(text, parsed);
    REDIS_KEY_FILE: Option<PathBuf> = |text| optional(text, parsed);
    REDIS_CONFIRM: Confirm = parsed;
    KEYS: PathBuf = parsed;
    VAULT_KEY_FILE: PathBuf = parsed;
    LISTEN: SocketAddr = parsed;
    ADMIN_LISTEN: SocketAddr = parsed;
    ADMIN_TOKENS_FILE: Option<PathBuf> = |text| optional(text, parsed);
    VERIFY_FILES_DIR: Option<PathBuf> = |text| optional(text, parsed);
    // A connection takes 11 KiB while it is idle, and at most 64 with the kernel's buffers (tests/it/connections.rs),
    // though 1500 that read nothing of the feed take less than 64 MiB: 1000 take at most 63 of the chart's 128 MiB.
    // The process of `wxmint serve` takes 25 and two passwords that are being hashed take 38; the tokens that `wxmint
    // sidecar` remembers take 32.
    MAX_CONNECTIONS: usize = |text| within(text, 1..=1_000_000);
    // A token that lives less than a minute can expire before it is used. One that lives for months stays valid long
    // after its user was removed.
    JWKS_PEERS: Vec<Url> = |text| list(text, forms::secure_url);
    TOKEN_TTL: Duration = |text| time_within(text, "1m", "30d");
    TOKEN_TYP: TokenTyp = parsed;
    // Caches may keep the JWKS for a sixth of this time, and with it a key that was retired in an emergency.
    KEYS_LEAD: Duration = |text| time_within(text, "1s", "7d");
    SESSION_KEY_TTL: Duration = |text| time_within(text, "1s", "365d");
    ACCOUNTS: AccountsSource = forms::accounts;
    DANGEROUS_ACCOUNTS_OVER_HTTP: bool = parsed;
    AUTO_PROVISION: bool = parsed;
    ACCOUNTS_CHECK: bool = parsed;
    USER_IDS: Option<IdKind> = forms::user_ids;
    ID_KEY_FILE: Option<PathBuf> = |text| optional(text, parsed);
    USER_INDEX: bool = parsed;
    BINDINGS_PER_USER: u32 = |text| within(text, 1..=1000);
    ONE_LOGIN: bool = parsed;
    LOGIN_PATHS: Vec<String> = forms::login_paths;
    TOKEN_ALIASES: Vec<String> = forms::token_aliases;
    DANGEROUS_PASSWORD_IN_QUERY: bool = parsed;
    TRUSTED_PROXIES: Vec<IpNet> = forms::proxies;
    LIMIT_IP: Rate = forms::rate;
    LIMIT_OPENID: Rate = forms::rate;
    LIMIT_USERNAME: Rate = forms::rate;
    WATERMARK_MAX_AGE: Duration = |text| time_within(text, "1s", "30d");
    WECHAT_URL: Url = forms::secure_url;
    WECHAT_PROXY: Option<ProxyUrl> = |text| optional(text, parsed);
    LOG_FORMAT: LogFormat = forms::log_format;
    LOG_ADDRESSES: bool = parsed;
    AUDIT: Audit = forms::audit;
    OTEL_EXPORTER_OTLP_ENDPOINT: Option<Url> = |text| optional(text, forms::service_url);
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Option<Url> = |text| optional(text, forms::service_url);
    OTEL_EXPORTER_OTLP_PROTOCOL: () = |text| (text == "http/protobuf").then_some(());
    OTEL_EXPORTER_OTLP_HEADERS: Vec<()> = |text| list(text, forms::header);
    OTEL_EXPORTER_OTLP_TIMEOUT: Duration = |text| within(text, 1..=60_000).map(Duration::from_millis);
    OTEL_TRACES_SAMPLER: String = |text| forms::sampler(text, 1.0).map(|_| text.to_owned());
    OTEL_TRACES_SAMPLER_ARG: f64 = |text| within(text, 0.0..=1.0);

    // For `wxmint sidecar`.
    JWKS_URL: Vec<Url> = |text| list(text, forms::web_url);
    JWKS_CACHE: Option<PathBuf> = |text| optional(text, parsed);
    // Keys are fetched again every 10 minutes at the latest. With the default WXMINT_TOKEN_TTL tokens last a day.
    JWKS_MAX_AGE: Duration = |text| time_within(text, "15m", "30d");
    REVOCATIONS_URL: Vec<Option<Url>> = |text| list(text, forms::feed_url);
    REVOCATIONS_MAX_AGE: Duration = |text| time_within(text, "15s", "30d");
    REVOCATIONS_FAIL: WhenStale = forms::when_stale;
    SIDECAR_LISTEN: SocketAddr = parsed;
    SIDECAR_AUDIENCES: Vec<(Prefix, String)> = |text| list(text, forms::audience_rule);
    SIDECAR_ANONYMOUS: Vec<Prefix> = |text| list(text, Prefix::parse);
    SIDECAR_PATH_HEADER: Option<PathSource> = |text| optional(text, PathSource::parse);
    SIDECAR_CLAIMS: Vec<(String, HeaderName)> = forms::claim_headers;
    DANGEROUS_JWKS_OVER_HTTP: bool = parsed;
}
