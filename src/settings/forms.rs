//! The forms that variables take: what is wanted, an example, and the parser.

use std::{fmt, time::Duration};

use reqwest::Url;

/// What a fault says.
pub(super) struct Form {
    pub(super) wanted: &'static str,
    pub(super) example: &'static str,
}

macro_rules! forms {
    ($($name:ident: $wanted:expr, $example:expr;)*) => {
        $(pub(super) const $name: Form = Form { wanted: $wanted, example: $example };)*
    };
}

forms! {
    ISSUER: "the https URL at which clients reach this service (http only on loopback), without query or fragment",
        "WXMINT_ISSUER=https://login.example.com";
    AUDIENCE: "the names of the services that accept the tokens, separated by commas",
        "WXMINT_AUDIENCE=https://api.example.com";
    APPID: "the AppID that WeChat's console shows: wx and 16 letters and digits",
        "WXMINT_APPID=wx0123456789abcdef";
    KEYS: "the path of the private JWK Set; make one with: wxmint keys generate --keys keys.json",
        "WXMINT_KEYS=keys.json";
    VAULT: "the path of a file with base64 of 32 bytes a line; make one with: openssl rand -base64 32 > vault.key",
        "WXMINT_VAULT_KEY_FILE=vault.key";
    LISTEN: "an address and a port", "WXMINT_LISTEN=0.0.0.0:8080";
    ADMIN_LISTEN: "an address and a port that the public cannot reach", "WXMINT_ADMIN_LISTEN=127.0.0.1:9090";
    TOKEN_TTL: "a time from 1m to 30d", "WXMINT_TOKEN_TTL=24h";
    TOKEN_TYP: "at+jwt, or JWT for verifiers that know no other", "WXMINT_TOKEN_TYP=at+jwt";
    KEYS_LEAD: "a time such as 30m, longer than any verifier goes without looking", "WXMINT_KEYS_LEAD=30m";
    SESSION_KEY_TTL: "a time such as 30m, 24h or 30d", "WXMINT_SESSION_KEY_TTL=30d";
    ACCOUNTS: "auto; this version knows no other account backend", "WXMINT_ACCOUNTS=auto";
    WECHAT_URL: "an https URL (http only on loopback)", "WXMINT_WECHAT_URL=https://api.weixin.qq.com";
    LOG_FORMAT: "json or text", "WXMINT_LOG_FORMAT=json";
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

/// A token that lives less than a minute is refused while it is fetched; one that lives for months cannot be revoked by
/// waiting.
pub(super) fn token_ttl(text: &str) -> Option<Duration> {
    let (shortest, longest) = (Duration::from_secs(60), Duration::from_secs(30 * 86_400));
    parse_duration(text).filter(|ttl| (shortest..=longest).contains(ttl))
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
