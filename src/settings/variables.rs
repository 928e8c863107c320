//! The variables that are no field of the settings by themselves, with the type of the value and
//! the parser. `table.rs` declares everything else.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use reqwest::Url;
use wxmint_ids::{AppId, IdKind};
use wxmint_redis_link::RedisUrl;
use wxmint_upstream::ProxyUrl;
use wxmint_verify::peer::WhenStale;
use wxmint_wechat::AppSecret;

use super::forms::{self, IssuerUrl, list, parse_duration, parsed, unless, within, word};
use super::{AccountsSource, redis, variable::Variable};
use crate::findings::Message;

/// The name of a variable: OpenTelemetry's variables keep their names, and all others begin with
/// `WXMINT_`.
pub(super) const fn full_name(name: &'static str, ours: &'static str) -> &'static str {
    if let [b'O', b'T', b'E', b'L', b'_', ..] = name.as_bytes() {
        name
    } else {
        ours
    }
}

/// `NAME: TYPE = PARSER;` The name comes without `WXMINT_`.
macro_rules! variables {
    ($($name:ident: $type:ty = $parse:expr;)+) => {
        $(
            pub(crate) const $name: $crate::settings::Variable<$type> = $crate::settings::Variable::named(
                $crate::settings::variables::full_name(stringify!($name), concat!("WXMINT_", stringify!($name))),
                $parse,
            );
        )+
        #[cfg(test)]
        pub(super) const NAMES: &[&str] = &[$($name.name),+];
    };
}
pub(super) use variables;

/// The names of the variables that belong to no door.
#[cfg(test)]
pub(super) fn own_names() -> Vec<&'static str> {
    [NAMES, super::NAMES, redis::NAMES, super::sidecar::NAMES].concat()
}

/// The variable with the path of the file by which a door is opened.
pub const fn door_file(name: &'static str) -> Variable<Option<PathBuf>> {
    Variable::named(name, |text| unless("", text, parsed))
}

variables! {
    ISSUER: Result<IssuerUrl, Message> = |text| Some(IssuerUrl::parse(text));
    AUDIENCE: Vec<String> = |text| list(text, |name| (!name.is_empty()).then(|| name.to_owned()));
    // An AppSecret has 32 characters, and AppIDs are logged.
    APPID: AppId = |text| parsed(text).filter(|_| text.len() != 32);
    APP_SECRET: AppSecret = parsed;
    APPS_DIR: Option<PathBuf> = |text| unless("", text, parsed);
    REDIS_URL: Result<Option<RedisUrl>, Message> = |text| Some(redis::parse(text));
    REDIS_CA_FILE: Option<PathBuf> = |text| unless("", text, parsed);
    REDIS_CERT_FILE: Option<PathBuf> = |text| unless("", text, parsed);
    REDIS_KEY_FILE: Option<PathBuf> = |text| unless("", text, parsed);
    ADMIN_LISTEN: SocketAddr = parsed;
    ACCOUNTS: AccountsSource = forms::accounts;
    ACCOUNTS_CHECK: bool = parsed;
    USER_IDS: Option<IdKind> = |text| unless("random", text, parsed);
    WECHAT_PROXY: Option<ProxyUrl> = |text| unless("", text, parsed);
    OTEL_EXPORTER_OTLP_ENDPOINT: Option<Url> = |text| unless("", text, forms::service_url);
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: Option<Url> = |text| unless("", text, forms::service_url);
    OTEL_EXPORTER_OTLP_PROTOCOL: () = |text| (text == "http/protobuf").then_some(());
    OTEL_EXPORTER_OTLP_HEADERS: Vec<()> = |text| list(text, forms::header);
    OTEL_EXPORTER_OTLP_TIMEOUT: Duration = |text| parsed(text).map(Duration::from_millis);
    OTEL_TRACES_SAMPLER: () = forms::sampler;
    OTEL_TRACES_SAMPLER_ARG: f64 = |text| within(text, 0.0..=1.0);

    // For `wxmint sidecar`.
    JWKS_URL: Vec<Url> = |text| list(text, forms::web_url);
    JWKS_CACHE: Option<PathBuf> = |text| unless("", text, parsed);
    JWKS_MAX_AGE: Duration = parse_duration;
    // The pages of a feed are signed, so http is as safe as https.
    REVOCATIONS_URL: Vec<Option<Url>> = |text| list(text, |url| unless("off", url, forms::web_url));
    REVOCATIONS_MAX_AGE: Duration = parse_duration;
    REVOCATIONS_FAIL: WhenStale = |text| word(text, [("open", WhenStale::Open), ("closed", WhenStale::Closed)]);
}
