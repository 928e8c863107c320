//! The forms that variables take: what is wanted, an example, and the parser.

use std::{fmt, net::IpAddr, time::Duration};

use ipnet::IpNet;
use reqwest::Url;

use crate::{ids::AppId, limits::Rate};

/// What a fault says.
pub(super) struct Form {
    pub(super) wanted: &'static str,
    pub(super) example: &'static str,
}

/// A time that a variable takes, and its bounds.
pub(super) struct Span {
    pub(super) form: Form,
    shortest: &'static str,
    longest: &'static str,
}

/// Forms of times: the bounds stand once, for the parser and for the fault.
macro_rules! spans {
    ($($name:ident: $shortest:literal to $longest:literal, $remark:literal, $example:expr;)*) => {
        $(pub(super) const $name: Span = Span {
            form: Form {
                wanted: concat!(
                    "one number and one unit, s, m, h or d (90m, not 1h30m), from ", $shortest, " to ", $longest, $remark
                ),
                example: $example,
            },
            shortest: $shortest,
            longest: $longest,
        };)*
    };
}

// A token that lives less than a minute is refused while it is fetched; one that lives for months cannot be ended by
// waiting. Caches may hold the JWKS for a sixth of the lead, and a key that was retired in an emergency with it.
spans! {
    TOKEN_TTL: "1m" to "30d", "", "WXMINT_TOKEN_TTL=24h";
    KEYS_LEAD: "1s" to "7d", ", and longer than any verifier goes without looking", "WXMINT_KEYS_LEAD=30m";
    SESSION_KEY_TTL: "1s" to "365d", "", "WXMINT_SESSION_KEY_TTL=30d";
    WATERMARK: "1s" to "30d", "", "WXMINT_WATERMARK_MAX_AGE=10m";
}

impl Span {
    pub(super) fn parse(&self, text: &str) -> Option<Duration> {
        let [shortest, longest] = [self.shortest, self.longest].map(parse_duration);
        parse_duration(text).filter(|span| shortest <= Some(*span) && Some(*span) <= longest)
    }
}

const RATE: &str = "a number from 1 to 1000000, a slash and a time from 1s to 30d (600/5m): so many at once, and so many in \
    that time";

macro_rules! forms {
    ($($name:ident: $wanted:expr, $example:expr;)*) => {
        $(pub(super) const $name: Form = Form { wanted: $wanted, example: $example };)*
    };
}

forms! {
    ISSUER: "the https URL at which clients reach this service (http only on loopback), without query, fragment, \
         or a slash at the end, since verifiers compare it byte for byte",
        "WXMINT_ISSUER=https://login.example.com";
    AUDIENCE: "the names of the services that accept the tokens, separated by commas",
        "WXMINT_AUDIENCE=https://api.example.com";
    APPID: "the AppID that WeChat's console shows: wx and 16 hexadecimal digits",
        "WXMINT_APPID=wx0123456789abcdef";
    KEYS: "the path of the private JWK Set; make one with: wxmint keys generate --keys keys.json",
        "WXMINT_KEYS=keys.json";
    VAULT: "the path of a file with base64 of 32 bytes a line; make one with: openssl rand -base64 32 > vault.key",
        "WXMINT_VAULT_KEY_FILE=vault.key";
    LISTEN: "an address and a port", "WXMINT_LISTEN=0.0.0.0:8080";
    ADMIN_LISTEN: "an address and a port that the public cannot reach", "WXMINT_ADMIN_LISTEN=127.0.0.1:9090";
    MAX_CONNECTIONS: "a number from 1 to 1000000; each connection takes up to 32 KiB", "WXMINT_MAX_CONNECTIONS=2000";
    TOKEN_TYP: "at+jwt, or JWT for verifiers that know no other", "WXMINT_TOKEN_TYP=at+jwt";
    ACCOUNTS: "auto, file:PATH, or the https URL of your own account service (http only on loopback)",
        "WXMINT_ACCOUNTS=file:users";
    APPS_DIR: "a folder with a file for each mini program, named by its AppID, with the AppSecret in it",
        "WXMINT_APPS_DIR=/run/secrets/apps";
    AUTO_PROVISION: "true or false", "WXMINT_AUTO_PROVISION=false";
    BINDINGS: "a number from 1 to 1000", "WXMINT_BINDINGS_PER_USER=1";
    LOGIN_PATHS: "paths that nothing else of wxmint has, separated by commas", "WXMINT_LOGIN_PATHS=/user/login,/api/login";
    TOKEN_ALIASES: "names of letters, digits and _ that the answer does not have yet, separated by commas",
        "WXMINT_TOKEN_ALIASES=sessionId,token";
    DANGEROUS: "true or false", "WXMINT_DANGEROUS_PASSWORD_IN_QUERY=false";
    TRUSTED_PROXIES: "addresses or networks of your proxies, separated by commas",
        "WXMINT_TRUSTED_PROXIES=10.0.0.0/8,fd00::/8";
    LIMIT_IP: RATE, "WXMINT_LIMIT_IP=600/5m";
    LIMIT_OPENID: RATE, "WXMINT_LIMIT_OPENID=30/5m";
    LIMIT_USERNAME: RATE, "WXMINT_LIMIT_USERNAME=10/5m";
    WECHAT_URL: "an https URL (http only on loopback)", "WXMINT_WECHAT_URL=https://api.weixin.qq.com";
    LOG_FORMAT: "json or text", "WXMINT_LOG_FORMAT=json";
    JWKS_URL: "the https URL of each issuer's JWKS (http only on loopback), in the order of WXMINT_ISSUER",
        "WXMINT_JWKS_URL=https://login.example.com/.well-known/jwks.json";
    JWKS_CACHE: "a folder that nobody else can write", "WXMINT_JWKS_CACHE=/var/cache/wxmint";
    SIDECAR_LISTEN: "an address and a port that only the proxy can reach", "WXMINT_SIDECAR_LISTEN=127.0.0.1:8181";
    SIDECAR_AUDIENCES: "paths, each with the audience that a token must name below it, separated by commas",
        "WXMINT_SIDECAR_AUDIENCES=/orders=https://orders.example.com,/pay=https://pay.example.com";
    SIDECAR_ANONYMOUS: "paths below which no token is needed, separated by commas",
        "WXMINT_SIDECAR_ANONYMOUS=/public,/health";
    PATH_HEADER: "the header in which your proxy itself says which path was asked for (X-Forwarded-Uri for Traefik and \
         Caddy, X-Original-URI for nginx as in our example), or path: what follows /verify (Envoy)",
        "WXMINT_SIDECAR_PATH_HEADER=X-Forwarded-Uri";
    DANGEROUS_JWKS: "true or false", "WXMINT_DANGEROUS_JWKS_OVER_HTTP=false";
}

/// The token's `iss`, byte for byte as it was given (RFC 8414 section 3.3 compares it so).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// https, or http on loopback; no query, fragment or user info; without a slash at the end, since verifiers append
    /// `/.well-known/…`.
    pub fn parse(text: &str) -> Option<Self> {
        let url: Url = text.parse().ok()?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let secure = url.scheme() == "https" || is_loopback(&url);
        (plain && secure && url.password().is_none() && !text.ends_with('/')).then(|| Self(text.to_owned()))
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host_str() {
            Some("localhost" | "[::1]") => true,
            Some(host) => host.parse().is_ok_and(|address: std::net::Ipv4Addr| address.is_loopback()),
            None => false,
        }
}

pub(super) fn audiences(text: &str) -> Option<Vec<String>> {
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

/// An AppID, and no AppSecret in its place (32 characters): AppIDs stand in the log.
pub(super) fn appid(text: &str) -> Option<AppId> {
    text.parse().ok().filter(|_| text.len() != 32)
}

pub(super) fn connections(text: &str) -> Option<usize> {
    text.parse().ok().filter(|number| (1..=1_000_000).contains(number))
}

pub(super) fn flag(text: &str) -> Option<bool> {
    text.parse().ok()
}

pub(super) fn bindings(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| (1..=1000).contains(number))
}

/// `600/5m`
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (burst, period) = text.split_once('/')?;
    let burst = burst.parse().ok().filter(|burst| (1..=1_000_000).contains(burst))?;
    let period = parse_duration(period).filter(|period| *period <= Duration::from_secs(30 * 86_400))?;
    Some(Rate { burst, period })
}

/// Paths as they stand in a request, apart from those that wxmint has itself.
pub(super) fn login_paths(text: &str) -> Option<Vec<String>> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let free = |path: &str| {
        let taken = ["/login", "/logout", "/binding", "/openapi.json", "/docs"].contains(&path);
        !taken
            && !["/.well-known/", "/wechat/", "/docs/", "/status-lists/"].iter().any(|prefix| path.starts_with(prefix))
    };
    let paths: Vec<_> = text.split(',').map(|path| path.trim().to_owned()).collect();
    let good = |path: &String| path.starts_with('/') && path.len() > 1 && path.bytes().all(plain) && free(path);
    (paths.iter().all(good) && all_different(&paths)).then_some(paths)
}

/// Names that a script reads as `res.data.NAME`.
pub(super) fn token_aliases(text: &str) -> Option<Vec<String>> {
    const TAKEN: [&str; 5] = ["access_token", "token_type", "expires_in", "user_id", "new_user"];
    let names: Vec<_> = text.split(',').map(|name| name.trim().to_owned()).collect();
    let good = |name: &String| {
        let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        !name.is_empty() && word && !TAKEN.contains(&name.as_str())
    };
    (names.iter().all(good) && all_different(&names)).then_some(names)
}

pub(super) fn all_different<T: PartialEq>(things: &[T]) -> bool {
    things.iter().enumerate().all(|(index, thing)| !things[..index].contains(thing))
}

/// `10.0.0.0/8`, or one address.
pub(super) fn networks(text: &str) -> Option<Vec<IpNet>> {
    let network = |text: &str| text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| address.into()));
    text.split(',').map(|text| network(text.trim())).collect()
}

/// `90s`, `30m`, `24h`, `30d`: a whole number above 0 and a unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    // A century bounds what is added to a date.
    let total = number.parse::<u32>().ok()?.checked_mul(seconds)?;
    (total > 0).then(|| Duration::from_secs(total.into()))
}
