//! The parsers of values. `table.rs` has the form of each value in words, and its bounds.

use std::io::{self, IsTerminal};
use std::{net::IpAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use actix_web::http::header::HeaderName;
use derive_more::Display;
use ipnet::IpNet;
use reqwest::Url;
use wxmint_store::limits::Rate;
use wxmint_telemetry::{Audit, LogFormat};
use wxmint_verify::{REGISTERED_CLAIMS, peer::may_carry_claim};

use super::{AccountsSource, is_secure};
use crate::findings::Message;

/// `600/5m`: 600 at once, and 600 in each period of 5 minutes.
pub(super) fn rate(text: &str) -> Option<Rate> {
    let (burst, period) = text.split_once('/')?;
    Some(Rate {
        burst: parsed(burst)?,
        period: parse_duration(period)?,
    })
}

pub(super) fn parsed<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

/// `Some(None)` if the text is `word`, else the parsed text.
#[expect(
    clippy::option_option,
    reason = "the outer `None` means, as of every parser, that the text is wrong"
)]
pub(super) fn unless<T>(
    word: &str,
    text: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<Option<T>> {
    if text == word {
        Some(None)
    } else {
        parse(text).map(Some)
    }
}

/// The value that belongs to the word in `text`.
pub(super) fn word<T, const N: usize>(text: &str, words: [(&str, T); N]) -> Option<T> {
    words
        .into_iter()
        .find_map(|(word, value)| (word == text).then_some(value))
}

/// The parts between commas; no part if the text is empty.
pub(super) fn list<T>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    if text.is_empty() {
        Some(Vec::new())
    } else {
        text.split(',').map(|part| parse(part.trim())).collect()
    }
}

/// As [`list`], but refuses a part that appears twice.
fn different<T: PartialEq>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    list(text, parse).filter(|parts| are_different(parts))
}

fn are_different<T: PartialEq>(parts: &[T]) -> bool {
    parts
        .iter()
        .enumerate()
        .all(|(index, part)| !parts[..index].contains(part))
}

pub(super) fn within<T: FromStr + PartialOrd>(text: &str, range: RangeInclusive<T>) -> Option<T> {
    text.parse().ok().filter(|number| range.contains(number))
}

pub(super) fn time_within(text: &str, shortest: &str, longest: &str) -> Option<Duration> {
    let range = parse_duration(shortest)?..=parse_duration(longest)?;
    parse_duration(text).filter(|span| range.contains(span))
}

/// `90s`, `30m`, `24h`, `30d`: a whole number above 0 and a unit.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let (number, seconds) = units
        .into_iter()
        .find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)))?;
    // At most 136 years, so that the time can be added to a date.
    let total = number.parse::<u32>().ok()?.checked_mul(seconds)?;
    (total > 0).then(|| Duration::from_secs(total.into()))
}

/// The token's `iss`, byte for byte as it was given, because RFC 8414 section 3.3 compares it so.
#[derive(Debug, Display, Clone, PartialEq, Eq)]
pub struct IssuerUrl(String);

impl IssuerUrl {
    /// https, or http on loopback; no query, fragment or user info; no slash at the end, because
    /// verifiers append `/.well-known/…`. The error says which of these is broken.
    pub fn parse(text: &str) -> Result<Self, Message> {
        let url: Url = text.parse().map_err(|_| message!(is_not_url))?;
        // `Url` corrects wrong slashes and backslashes, but clients that compare the text do not.
        let rest = text
            .split_once(':')
            .and_then(|(_, rest)| rest.strip_prefix("//"))
            .unwrap_or_default();
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        Err(match () {
            () if !["https", "http"].contains(&url.scheme()) => message!(is_not_https_url),
            () if !is_secure(&url) => message!(is_http_url_elsewhere),
            () if host.contains('@') => message!(has_user_name_or_password),
            () if text.contains(['?', '#']) => message!(has_query_or_fragment),
            () if text.contains(|it: char| it.is_whitespace() || it.is_control()) => {
                message!(has_invisible_character)
            }
            () if host.is_empty() => message!(is_not_url),
            () if text.contains('\\') || text.contains(",http") => {
                message!(has_backslash_or_second_url)
            }
            () if text.ends_with('/') => message!(has_slash_at_its_end),
            () => return Ok(Self(text.to_owned())),
        })
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The origin as browsers write it.
    pub fn origin(&self) -> String {
        self.0
            .parse()
            .map(|url: Url| url.origin().ascii_serialization())
            .unwrap_or_default()
    }
}

/// Several issuers. All must be different, because an issuer that is named twice would have two
/// sets of keys.
pub(super) fn issuers(text: &str) -> Result<Vec<IssuerUrl>, Message> {
    let issuers: Vec<_> = text
        .split(',')
        .map(|part| IssuerUrl::parse(part.trim()))
        .collect::<Result<_, _>>()?;
    are_different(&issuers)
        .then_some(issuers)
        .ok_or_else(|| message!(has_same_issuer_twice))
}

/// https or http; no query, fragment or user info.
pub(super) fn service_url(text: &str) -> Option<Url> {
    web_url(text).filter(|url| url.query().is_none())
}

/// https or http; no fragment or user info.
pub(super) fn web_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let has_extras =
        !url.username().is_empty() || url.password().is_some() || url.fragment().is_some();
    (["https", "http"].contains(&url.scheme()) && !has_extras).then_some(url)
}

/// For URLs to which secrets are sent, and for keys that are trusted: https, or http on loopback.
pub(super) fn secure_url(text: &str) -> Option<Url> {
    service_url(text).filter(is_secure)
}

/// `roles=X-User-Roles`, each claim and each header once. The header's name is in lower case
/// afterwards.
pub(super) fn claim_headers(text: &str) -> Option<Vec<(String, HeaderName)>> {
    let pairs = list(text, |part| {
        let (claim, header) = part
            .split_once('=')
            .map(|(claim, name)| (claim.trim(), name.trim().to_lowercase()))?;
        let is_good =
            !claim.is_empty() && !REGISTERED_CLAIMS.contains(&claim) && may_carry_claim(&header);
        Some((
            claim.to_owned(),
            HeaderName::try_from(header).ok().filter(|_| is_good)?,
        ))
    })?;
    let (claims, headers): (Vec<_>, Vec<_>) =
        pairs.iter().map(|(claim, header)| (claim, header)).unzip();
    (are_different(&claims) && are_different(&headers)).then_some(pairs)
}

pub(super) fn accounts(text: &str) -> Option<AccountsSource> {
    match text.strip_prefix("file:") {
        Some(path) => (!path.is_empty()).then(|| AccountsSource::File(path.into())),
        None if text == "auto" => Some(AccountsSource::Auto),
        None => service_url(text).map(AccountsSource::Service),
    }
}

/// Further paths of the login, as they stand in a request. The issuer refuses paths that it has
/// itself.
pub(super) fn login_paths(text: &str) -> Option<Vec<String>> {
    different(text, |path| is_login_path(path).then(|| path.to_owned()))
}

fn is_login_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    // Proxies resolve such parts, and then ask for another path.
    let has_odd_part = rest
        .strip_suffix('/')
        .unwrap_or(rest)
        .split('/')
        .any(|part| ["", ".", ".."].contains(&part));
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
    !has_odd_part && is_plain
}

/// Names that a script can read as `res.data.NAME`.
pub(super) fn token_aliases(text: &str) -> Option<Vec<String>> {
    const TAKEN: [&str; 5] = [
        "access_token",
        "token_type",
        "expires_in",
        "user_id",
        "new_user",
    ];
    different(text, |name| {
        let is_word = name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let is_good = !name.is_empty() && is_word && !TAKEN.contains(&name);
        is_good.then(|| name.to_owned())
    })
}

/// The networks whose addresses are not routed on the internet.
const PRIVATE: &str = "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,169.254.0.0/16,fe80::/10,fc00::/7";

/// `none`, or a list in which `private` stands for [`PRIVATE`].
pub(super) fn proxies(text: &str) -> Option<Vec<IpNet>> {
    if text == "none" {
        return Some(Vec::new());
    }
    let lists = list(text, |part| {
        list(if part == "private" { PRIVATE } else { part }, network)
    })?;
    Some(lists.concat())
}

fn network(text: &str) -> Option<IpNet> {
    // `10.0.0.0/8`, or one address.
    if let Ok(network) = text.parse() {
        return Some(network);
    }
    let address: IpAddr = text.parse().ok()?;
    Some(address.into())
}

pub(super) fn audit(text: &str) -> Option<Audit> {
    if let Some(path) = text.strip_prefix("file:") {
        return (!path.is_empty()).then(|| Audit::File(path.into()));
    }
    word(text, [("log", Audit::Log), ("off", Audit::Off)])
}

/// A header `name=value`, with `%` and two digits for characters that must be encoded.
pub(super) fn header(text: &str) -> Option<()> {
    let (name, value) = text
        .split_once('=')
        .map(|(name, value)| (name.trim(), value.trim()))?;
    let is_value = !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    (HeaderName::try_from(name).is_ok() && is_value).then_some(())
}

/// The name of one of OpenTelemetry's samplers.
pub(super) fn sampler(text: &str) -> Option<()> {
    let root = text.strip_prefix("parentbased_").unwrap_or(text);
    ["always_on", "always_off", "traceidratio"]
        .contains(&root)
        .then_some(())
}

pub(super) fn log_format(text: &str) -> Option<LogFormat> {
    let auto = if io::stderr().is_terminal() {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    word(
        text,
        [
            ("auto", auto),
            ("json", LogFormat::Json),
            ("text", LogFormat::Text),
        ],
    )
}
