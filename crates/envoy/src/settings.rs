//! The settings in the filter's `filter_config`: a JSON object, whose members are named like the
//! sidecar's variables.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::Deserialize;
use wxmint_upstream::is_secure;
use wxmint_verify::peer::{Revocations, TrustedIssuer, WhenStale, may_carry_claim};
use wxmint_verify::{REGISTERED_CLAIMS, TokenTyp, VerifierPolicy};

use crate::request::{PublicPath, spelling};

/// The issuers whose tokens are accepted, and how. Filters with equal members share keys and
/// revocations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustSettings {
    issuers: Vec<String>,
    jwks_urls: Vec<String>,
    audience: Vec<String>,
    token_typ: TokenTyp,
    jwks_cache: Option<PathBuf>,
    jwks_max_age: Duration,
    /// In the order of the issuers; `off` for a feed that is not followed; empty for all defaults.
    feeds: Vec<String>,
    feed_max_age: Duration,
    when_stale: WhenStale,
    /// The claims that are handed on.
    pub(crate) claims: Vec<String>,
}

/// The settings of one filter.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) trust: TrustSettings,
    /// The headers of the claims, in the order of [`TrustSettings::claims`].
    pub(crate) claim_headers: Vec<String>,
    pub(crate) public: Vec<PublicPath>,
    /// Whether the service is given the token.
    pub(crate) forward: bool,
}

/// The members as they stand in the configuration.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    issuer: OneOrMore,
    audience: OneOrMore,
    jwks_url: OneOrMore,
    #[serde(default)]
    revocations_url: Option<OneOrMore>,
    #[serde(default)]
    revocations_max_age: Option<String>,
    #[serde(default)]
    revocations_fail: Option<String>,
    #[serde(default)]
    jwks_max_age: Option<String>,
    #[serde(default)]
    jwks_cache: Option<PathBuf>,
    #[serde(default)]
    token_typ: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, String>,
    #[serde(default)]
    public: Vec<String>,
    #[serde(default)]
    forward: bool,
    #[serde(default)]
    dangerous_jwks_over_http: bool,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a text, or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_list(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

impl Settings {
    /// Reads `filter_config`. The error names the member, and the form that is right.
    pub(crate) fn parse(configuration: &[u8]) -> Result<Self, String> {
        if configuration.is_empty() {
            return Err("filter_config is empty; it needs issuer, audience and jwks_url".into());
        }
        let document: Document =
            serde_json::from_slice(configuration).map_err(|error| error.to_string())?;
        Self::of(document)
    }

    fn of(document: Document) -> Result<Self, String> {
        let issuers = document.issuer.into_list();
        let jwks_urls = document.jwks_url.into_list();
        if issuers.len() != jwks_urls.len() {
            return Err(format!(
                "jwks_url has {} of them, and issuer has {}; each issuer needs one, in the same order",
                jwks_urls.len(),
                issuers.len()
            ));
        }
        for url in &jwks_urls {
            check_keys_url(url, document.dangerous_jwks_over_http)?;
        }
        let feeds = document.revocations_url.map(OneOrMore::into_list);
        let feeds = feeds.unwrap_or_default();
        let is_off_alone = feeds.iter().eq(["off"]);
        if !feeds.is_empty() && !is_off_alone && feeds.len() != issuers.len() {
            return Err(format!(
                "revocations_url has {} of them, and issuer has {}; each issuer needs one or `off`, in the same order",
                feeds.len(),
                issuers.len()
            ));
        }
        let (claims, claim_headers) = claims(document.claims)?;
        let public = document.public.iter().map(|text| {
            PublicPath::parse(text).ok_or_else(|| {
                format!(
                    "public has `{text}`, which is not a plain path such as /healthz or /public/*"
                )
            })
        });
        let age = |name, text: Option<String>, default, least| match text {
            None => Ok(default),
            Some(text) => duration(&text)
                .filter(|age| (least..=Duration::from_hours(30 * 24)).contains(age))
                .ok_or_else(|| {
                    let least = least.as_secs();
                    format!("{name} must be a time such as 60s, 15m or 24h, from {least}s to 30d")
                }),
        };
        let minute = Duration::from_mins(1);
        let day = Duration::from_hours(24);
        let trust = TrustSettings {
            issuers,
            jwks_urls,
            audience: document.audience.into_list(),
            token_typ: match document.token_typ {
                None => TokenTyp::AccessToken,
                Some(text) => text.parse().map_err(|form| format!("token_typ {form}"))?,
            },
            jwks_cache: document.jwks_cache,
            jwks_max_age: age("jwks_max_age", document.jwks_max_age, day, 15 * minute)?,
            feeds,
            feed_max_age: age(
                "revocations_max_age",
                document.revocations_max_age,
                minute,
                Duration::from_secs(15),
            )?,
            when_stale: match document.revocations_fail.as_deref() {
                None | Some("open") => WhenStale::Open,
                Some("closed") => WhenStale::Closed,
                Some(_) => return Err("revocations_fail must be open or closed".into()),
            },
            claims,
        };
        // Says now, and not at the first request, what the verifier does not take.
        trust.issuers()?;
        Ok(Self {
            trust,
            claim_headers,
            public: public.collect::<Result<_, String>>()?,
            forward: document.forward,
        })
    }
}

impl TrustSettings {
    /// The issuers, as the verifier trusts them.
    pub(crate) fn issuers(&self) -> Result<Vec<TrustedIssuer>, String> {
        let pairs = self.issuers.iter().zip(&self.jwks_urls);
        pairs
            .enumerate()
            .map(|(index, (issuer, url))| {
                let mut policy = VerifierPolicy::new(issuer, &self.audience);
                policy.typ = self.token_typ;
                let url = url.parse().map_err(|_| not_a_url("jwks_url", url))?;
                let mut trusted = TrustedIssuer::at(url, policy);
                trusted.kept_in.clone_from(&self.jwks_cache);
                trusted.keys_max_age = self.jwks_max_age;
                let feed = self.feeds.get(index).or_else(|| self.feeds.first());
                match feed.map(String::as_str) {
                    None => {}
                    Some("off") => trusted.revocations = None,
                    Some(url) => {
                        let url = url.parse().map_err(|_| not_a_url("revocations_url", url))?;
                        trusted.revocations = Some(Revocations::at(url));
                    }
                }
                if let Some(feed) = &mut trusted.revocations {
                    feed.max_age = self.feed_max_age;
                    feed.when_stale = self.when_stale;
                }
                Ok(trusted)
            })
            .collect()
    }
}

fn not_a_url(member: &str, text: &str) -> String {
    format!(
        "{member} has `{text}`, which is not a URL such as https://login.example.com/revocations"
    )
}

/// An attacker who answers in place of the issuer could make keys of their own accepted.
fn check_keys_url(text: &str, over_http: bool) -> Result<(), String> {
    let url = text.parse().map_err(|_| not_a_url("jwks_url", text))?;
    if over_http || is_secure(&url) {
        return Ok(());
    }
    Err(format!(
        "jwks_url is `{text}`, an http URL of another machine; use https, or set dangerous_jwks_over_http"
    ))
}

/// The claims that are handed on, and their headers, in lower case.
fn claims(pairs: BTreeMap<String, String>) -> Result<(Vec<String>, Vec<String>), String> {
    let spelled = |name: &str| spelling(name.as_bytes()).collect::<Vec<_>>();
    let mut taken = Vec::new();
    for (claim, header) in &pairs {
        let name = header.to_ascii_lowercase();
        if claim.is_empty() || REGISTERED_CLAIMS.contains(&&**claim) {
            return Err(format!("claims cannot hand on `{claim}`"));
        }
        if !may_carry_claim(&name) || taken.contains(&spelled(&name)) {
            return Err(format!(
                "claims has the header `{header}` for `{claim}`; each needs a header of its own that begins with X-, such as X-User-Roles"
            ));
        }
        taken.push(spelled(&name));
    }
    let lower = |(claim, header): (String, String)| (claim, header.to_ascii_lowercase());
    Ok(pairs.into_iter().map(lower).unzip())
}

/// A number with a unit: `90s`, `15m`, `24h` or `7d`.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let count: u32 = number.parse().ok().filter(|_| is_number)?;
    Some(Duration::from_secs(u64::from(count) * seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(changes: &Value) -> Result<Settings, String> {
        let mut document = json!({
            "issuer": "https://login.example.com",
            "audience": "https://api.example.com",
            "jwks_url": "https://login.example.com/.well-known/jwks.json",
        });
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => drop(document.as_object_mut().expect("an object").remove(name)),
                value => document[name] = value.clone(),
            }
        }
        Settings::parse(document.to_string().as_bytes())
    }

    #[test]
    fn three_members_are_enough_and_the_others_have_the_sidecars_defaults() {
        let settings = with(&json!({})).expect("settings");
        let issuers = settings.trust.issuers().expect("issuers");
        let [issuer] = &issuers[..] else {
            panic!("{issuers:?}")
        };
        assert_eq!(issuer.policy.typ, TokenTyp::AccessToken);
        assert_eq!(issuer.keys_max_age, Duration::from_hours(24));
        let feed = issuer.revocations.as_ref().expect("a feed");
        assert_eq!(feed.url.as_str(), "https://login.example.com/revocations");
        assert_eq!(feed.max_age, Duration::from_mins(1));
        assert_eq!(feed.when_stale, WhenStale::Open);
        assert!(!settings.forward && settings.public.is_empty());
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_name_and_with_the_right_form() {
        for (changes, words) in [
            (json!({"issuer": null}), "missing field `issuer`"),
            (json!({"audience": null}), "missing field `audience`"),
            (json!({"audience": 7}), "must be a text, or a list of texts"),
            (
                json!({"jwks_url": "keys"}),
                "jwks_url has `keys`, which is not a URL",
            ),
            (
                json!({"jwks_url": "http://login.example.com/keys"}),
                "an http URL of another machine",
            ),
            (
                json!({"jwks_url": ["https://a.example", "https://b.example"]}),
                "jwks_url has 2 of them, and issuer has 1",
            ),
            (
                json!({"revocations_url": ["off", "off"]}),
                "revocations_url has 2 of them",
            ),
            (
                json!({"revocations_url": "on"}),
                "revocations_url has `on`, which is not a URL",
            ),
            (
                json!({"revocations_fail": "shut"}),
                "must be open or closed",
            ),
            (
                json!({"revocations_max_age": "14s"}),
                "revocations_max_age must be a time",
            ),
            (json!({"jwks_max_age": "31d"}), "from 900s to 30d"),
            (
                json!({"jwks_max_age": "+900s"}),
                "jwks_max_age must be a time",
            ),
            (json!({"jwks_max_age": "1w"}), "jwks_max_age must be a time"),
            (
                json!({"token_typ": "jwt"}),
                "token_typ must be at+jwt or JWT",
            ),
            (json!({"claims": {"sub": "X-Sub"}}), "cannot hand on `sub`"),
            (json!({"claims": {"roles": "Roles"}}), "begins with X-"),
            (
                json!({"claims": {"roles": "X-UserId"}}),
                "a header of its own",
            ),
            (
                json!({"claims": {"roles": "X-A", "groups": "x-a"}}),
                "a header of its own",
            ),
            (
                json!({"claims": {"roles": "X-Forwarded-For"}}),
                "a header of its own",
            ),
            (json!({"public": ["/a/../b"]}), "not a plain path"),
            (json!({"polic": "x"}), "unknown field `polic`"),
        ] {
            let refused = with(&changes).expect_err("it is wrong");
            assert!(refused.contains(words), "{changes}: {refused}");
        }
        for wrong in ["", "{}", "[]", "issuer"] {
            assert!(Settings::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_issuer_has_its_keys_and_its_feed_and_off_alone_is_for_all() {
        let two = |feeds: Value| {
            let changes = json!({
                "issuer": ["https://a.example", "https://b.example"],
                "jwks_url": ["https://a.example/keys", "https://b.example/.well-known/jwks.json"],
                "revocations_url": feeds,
            });
            let issuers = with(&changes).expect("settings").trust.issuers();
            let feed = |issuer: TrustedIssuer| issuer.revocations.map(|feed| feed.url.to_string());
            issuers
                .expect("issuers")
                .into_iter()
                .map(feed)
                .collect::<Vec<_>>()
        };
        let url = |text: &str| Some(text.to_owned());
        let [a, b] = [
            "https://a.example/revocations",
            "https://b.example/revocations",
        ]
        .map(url);
        assert_eq!(two(Value::Null), [a, b.clone()]);
        assert_eq!(two(json!("off")), [None, None]);
        assert_eq!(
            two(json!(["off", "https://b.example/revocations"])),
            [None, b]
        );
    }

    #[test]
    fn keys_come_over_http_from_this_machine_or_where_danger_was_asked_for() {
        for (url, allowed) in [
            ("http://127.0.0.1:8080/keys", [true, true]),
            ("http://wxmint.wxmint.svc:8080/keys", [false, true]),
            ("https://login.example.com/keys", [true, true]),
        ] {
            let is_taken = [false, true].map(|danger| {
                with(&json!({"jwks_url": url, "dangerous_jwks_over_http": danger})).is_ok()
            });
            assert_eq!(is_taken, allowed, "{url}");
        }
    }
}
