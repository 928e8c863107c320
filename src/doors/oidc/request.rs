//! The authorization request of a site (OpenID Connect Core section 3.1.2.1). Each step of the page
//! sends it in its query. wxmint stores nothing of it until the person has logged in.

use std::collections::HashSet;

use reqwest::Url;
use wxmint_http::pairs;
use wxmint_ids::is_base64url;

use super::page::Why;
use crate::oauth::clients::{Client, Clients};

/// The most bytes of `state` or `nonce`. The head of a request has at most 8 KiB.
pub(super) const LONGEST: usize = 2048;
/// The scope that asks for a refresh token.
pub(super) const OFFLINE: &str = "offline_access";
pub(super) const SCOPES: [&str; 3] = ["openid", "profile", OFFLINE];

/// A checked authorization request of a site.
#[derive(Debug, Clone)]
pub(super) struct AuthorizeRequest<'c> {
    pub(super) issuer: &'c str,
    pub(super) client: &'c Client,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) nonce: Option<String>,
    /// The PKCE challenge: the SHA-256 of the verifier, in base64url.
    pub(super) challenge: String,
    /// The requested scopes that wxmint knows and the site may have.
    pub(super) scope: String,
    pub(super) id_token_hint: Option<String>,
}

/// The way in which an invalid request is answered.
#[derive(Debug)]
pub(super) enum Refused {
    /// No redirect address is known to be the site's, so a page shows the error.
    ToPage(Why),
    /// The browser is redirected to this address, which tells the site the error.
    ToSite(String),
}

/// The parameters of a query, which may repeat. A parameter without a value counts as absent (RFC
/// 6749 section 3.1).
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn of(text: &str) -> Self {
        Self(
            pairs(text)
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        )
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(other, _)| other == name)
    }

    /// The value of a parameter. `None` also if the parameter repeats.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let mut values = self
            .0
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str());
        values.next().filter(|_| values.next().is_none())
    }

    fn has_twins(&self) -> bool {
        let mut names = HashSet::new();
        self.0.iter().any(|(name, _)| !names.insert(name))
    }
}

/// Reads and checks the request. `issuer` becomes the `iss` of each answer to the site (RFC 9207).
pub(super) fn read<'c>(
    text: &str,
    clients: &'c Clients,
    issuer: &'c str,
) -> Result<AuthorizeRequest<'c>, Refused> {
    let query = Query::of(text);
    let client = query
        .one("client_id")
        .and_then(|id| clients.get(&id.parse().ok()?))
        .filter(|client| is_site(client));
    let client = client.ok_or(Refused::ToPage(Why::CLIENT))?;
    let redirect_uri = query
        .one("redirect_uri")
        .filter(|wanted| is_registered(&client.redirect_uris, wanted));
    let redirect_uri = redirect_uri
        .ok_or(Refused::ToPage(Why::ADDRESS))?
        .to_owned();
    let [state, nonce, id_token_hint] =
        ["state", "nonce", "id_token_hint"].map(|name| query.one(name).map(str::to_owned));
    let (challenge, scope) = Default::default();
    let mut asked = AuthorizeRequest {
        issuer,
        client,
        redirect_uri,
        state,
        nonce,
        challenge,
        scope,
        id_token_hint,
    };
    (asked.challenge, asked.scope) = check(&query, text.len(), client)
        .map_err(|(error, description)| Refused::ToSite(asked.refused(error, description)))?;
    Ok(asked)
}

impl AuthorizeRequest<'_> {
    /// The site's redirect address with these parameters, the site's `state`, and `iss`. By `iss`,
    /// a site of several issuers knows which of them has answered (RFC 9207).
    pub(super) fn back(&self, members: &[(&str, &str)]) -> String {
        let state = self.state.as_deref().map(|state| ("state", state));
        with(
            &self.redirect_uri,
            members
                .iter()
                .copied()
                .chain(state)
                .chain([("iss", self.issuer)]),
        )
    }

    /// The site's redirect address with an error.
    pub(super) fn refused(&self, error: &str, description: &str) -> String {
        self.back(&[("error", error), ("error_description", description)])
    }
}

/// Adds parameters to an address of a site.
pub(super) fn with<'a>(
    address: &str,
    members: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    match Url::parse_with_params(address, members) {
        Ok(url) => url.into(),
        Err(_) => address.to_owned(),
    }
}

pub(super) fn is_site(client: &Client) -> bool {
    !client.redirect_uris.is_empty()
}

/// Returns the PKCE challenge and the scope that the site may have, or the error and its
/// description.
fn check(
    query: &Query,
    length: usize,
    client: &Client,
) -> Result<(String, String), (&'static str, &'static str)> {
    const INVALID: &str = "invalid_request";
    let has = |name: &str, wrong: fn(&str) -> bool| query.one(name).is_some_and(wrong);
    let is_long = |name: &str| has(name, |text| text.len() > LONGEST);
    let scopes: Vec<_> = query.one("scope").unwrap_or_default().split(' ').collect();
    let challenge = query
        .one("code_challenge")
        .filter(|text| text.len() == 43 && text.bytes().all(is_base64url));
    let prompts: Vec<_> = query.one("prompt").unwrap_or_default().split(' ').collect();
    Err(match (query.one("response_type"), challenge) {
        _ if query.has_twins() => (INVALID, "A parameter comes twice."),
        _ if query.has("request") => (
            "request_not_supported",
            "Request objects are not supported.",
        ),
        _ if query.has("request_uri") => (
            "request_uri_not_supported",
            "Request objects are not supported.",
        ),
        _ if query.has("registration") => (
            "registration_not_supported",
            "The file of clients registers sites.",
        ),
        (None, _) => (INVALID, "response_type is missing: it must be code."),
        (Some(kind), _) if kind != "code" => {
            ("unsupported_response_type", "response_type must be code.")
        }
        _ if has("response_mode", |mode| mode != "query") => {
            (INVALID, "response_mode must be query.")
        }
        _ if is_long("state") || is_long("nonce") || length > 3 * LONGEST => (
            INVALID,
            "state and nonce have at most 2048 bytes, and the whole query 6144.",
        ),
        _ if !scopes.contains(&"openid") => ("invalid_scope", "scope must hold openid."),
        _ if query.one("code_challenge_method") != Some("S256") => (
            INVALID,
            "PKCE is required, with code_challenge_method=S256.",
        ),
        (_, None) => (
            INVALID,
            "code_challenge must be 43 characters of base64url.",
        ),
        _ if has("max_age", |age| age.parse::<u32>().is_err()) => {
            (INVALID, "max_age must be a number of seconds.")
        }
        _ if prompts.contains(&"none") && prompts.len() > 1 => {
            (INVALID, "prompt=none goes with no other.")
        }
        _ if prompts == ["none"] => ("login_required", "wxmint keeps no session in browsers."),
        (_, Some(challenge)) => {
            let mut granted = Vec::from(SCOPES);
            granted.retain(|scope| {
                scopes.contains(scope) && (*scope != OFFLINE || client.refresh.is_some())
            });
            return Ok((challenge.to_owned(), granted.join(" ")));
        }
    })
}

/// Whether an address is registered. Addresses are compared byte for byte, except the port of a
/// loopback IP address, which may be any (RFC 8252 section 7.3).
pub(super) fn is_registered(registered: &[String], wanted: &str) -> bool {
    registered.iter().any(|own| {
        own == wanted || without_port(own).is_some_and(|own| without_port(wanted) == Some(own))
    })
}

/// Splits an address on a loopback IP into the parts before and after the port.
fn without_port(address: &str) -> Option<(&str, &str)> {
    let start = ["http://127.0.0.1", "http://[::1]"]
        .into_iter()
        .find(|start| address.starts_with(start))?;
    let rest = &address[start.len()..];
    let is_end = |rest: &str| rest.is_empty() || rest.starts_with(['/', '?']);
    let Some(port) = rest.strip_prefix(':') else {
        return is_end(rest).then_some((start, rest));
    };
    let digits = port.bytes().take_while(u8::is_ascii_digit).count();
    let behind = &port[digits..];
    let is_port = port[..digits].parse::<u16>().is_ok_and(|port| port > 0);
    (is_port && is_end(behind)).then_some((start, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.example.com";
    const BACK: &str = "https://grafana.example.com/login/generic_oauth";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn an_address_is_compared_byte_for_byte_but_for_the_port_of_this_machine() {
        let registered = [
            BACK,
            "https://a.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://[::1]:7000/cb",
        ];
        let registered = registered.map(str::to_owned);
        let ours = [
            "http://127.0.0.1:49152/cb",
            "http://[::1]/cb",
            "http://[::1]:1/cb",
            "https://a.example/cb?x=1",
        ];
        for same in registered.iter().map(String::as_str).chain(ours) {
            assert!(is_registered(&registered, same), "{same}");
        }
        for other in [
            "https://GRAFANA.example.com/login/generic_oauth",
            "https://grafana.example.com/login/Generic_oauth",
            "https://grafana.example.com/login/generic_oauth/",
            "https://grafana.example.com/login/generic_oauth?a=b",
            "https://grafana.example.com/login/generic_oauth#a",
            "https://grafana.example.com/login/generic%5foauth",
            "https://grafana.example.com:443/login/generic_oauth",
            "https://grafana.example.com:8443/login/generic_oauth",
            "https://lin@grafana.example.com/login/generic_oauth",
            "https://grafana.example.com@evil.example/login/generic_oauth",
            "https://grafana.example.com.evil.example/login/generic_oauth",
            "https://grafana.example.com/login/../login/generic_oauth",
            "https://grafana.example.com/login/generic_oauth%2f..",
            "http://grafana.example.com/login/generic_oauth",
            "https://a.example/cb",
            "https://a.example/cb?x=2",
            "http://127.0.0.1:x/cb",
            "http://127.0.0.1:0/cb",
            "http://127.0.0.1:99999/cb",
            "http://127.0.0.1:80@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.12/cb",
            "http://127.0.0.1:80/cb/",
            "http://localhost/cb",
            "https://127.0.0.1/cb",
            "http://127.0.0.1",
            "",
        ] {
            assert!(!is_registered(&registered, other), "{other}");
        }
    }

    fn clients() -> Clients {
        let site = format!(r#""client_id":"grafana","redirect_uris":["{BACK}"],"refresh":"30d""#);
        let page = r#""client_id":"shop-web""#;
        let file = [site.as_str(), page]
            .map(|of| format!(r#"{{{of},"name":"a","appid":"wx0123456789abcdef"}}"#));
        Clients::parse(
            format!(r#"{{"clients":[{}]}}"#, file.join(",")).as_bytes(),
            std::time::Duration::MAX,
        )
        .expect("clients")
    }

    fn query(change: &[(&str, &str)]) -> String {
        let mut members = vec![
            ("client_id", "grafana"),
            ("redirect_uri", BACK),
            ("response_type", "code"),
            ("scope", "openid profile"),
            ("state", "a b&c"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (name, value) in change {
            members.retain(|(other, _)| other != name);
            members.push((name, value));
        }
        Url::parse_with_params("http://q", members)
            .expect("a URL")
            .query()
            .expect("a query")
            .to_owned()
    }

    /// Strangers choose the names. The test measures only this thread's CPU time, which a busy
    /// machine does not increase.
    #[test]
    fn many_parameters_cost_no_more_than_each_of_them() {
        let computed = || -> u64 {
            let told = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
            told.split(' ')
                .next()
                .and_then(|nanos| nanos.parse().ok())
                .expect("nanoseconds")
        };
        let before = computed();
        let names: Vec<_> = (0..50_000).map(|name| format!("{name}=1")).collect();
        assert!(!Query::of(&names.join("&")).has_twins());
        assert!(Query::of(&format!("{}&7=2", names.join("&"))).has_twins());
        assert!(
            computed() - before < 5_000_000_000,
            "{} ns",
            computed() - before
        );
    }

    #[test]
    fn what_the_site_may_know_goes_back_to_it_and_the_rest_to_nobody() {
        let clients = clients();
        let read = |query: &str| read(query, &clients, ISSUER).map(|read| (read.state, read.scope));
        for (asked, scope) in [
            ("openid profile", "openid profile"),
            ("email offline_access openid", "openid offline_access"),
        ] {
            assert_eq!(
                read(&query(&[("scope", asked)])).ok(),
                Some((Some("a b&c".into()), scope.to_owned()))
            );
        }
        for (name, value, error) in [
            ("response_type", "", "invalid_request"),
            ("response_type", "token", "unsupported_response_type"),
            (
                "response_type",
                "code id_token",
                "unsupported_response_type",
            ),
            ("response_mode", "fragment", "invalid_request"),
            ("scope", "profile", "invalid_scope"),
            ("scope", "openid2", "invalid_scope"),
            ("code_challenge", "", "invalid_request"),
            ("code_challenge", "short", "invalid_request"),
            ("code_challenge_method", "plain", "invalid_request"),
            ("code_challenge_method", "", "invalid_request"),
            ("prompt", "none", "login_required"),
            ("prompt", "none login", "invalid_request"),
            ("max_age", "soon", "invalid_request"),
            ("request", "eyJ", "request_not_supported"),
            (
                "request_uri",
                "https://a.example/r",
                "request_uri_not_supported",
            ),
            ("registration", "{}", "registration_not_supported"),
        ] {
            let Err(Refused::ToSite(to)) = read(&query(&[(name, value)])) else {
                panic!("{name}={value}")
            };
            let url: Url = to.parse().expect("a URL");
            let told: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
            assert_eq!(
                (
                    told["error"].as_str(),
                    told["state"].as_str(),
                    told["iss"].as_str()
                ),
                (error, "a b&c", ISSUER)
            );
            assert!(
                to.starts_with(BACK) && !told["error_description"].is_empty(),
                "{to}"
            );
        }
        for (letter, is_short) in [("x", true), ("é", false)] {
            let [state, nonce] = [2048, 2046].map(|length| letter.repeat(length / letter.len()));
            let read = read(&query(&[("state", &state), ("nonce", &nonce)]));
            assert_eq!(read.is_ok(), is_short, "{letter}");
            let is_told = |to: &str| to.contains("error=invalid_request");
            assert!(read.map_or_else(
                |refused| matches!(refused, Refused::ToSite(to) if is_told(&to)),
                |_| is_short
            ));
        }
        let twice = format!("{}&nonce=a&nonce=b", query(&[]));
        assert!(
            matches!(read(&twice), Err(Refused::ToSite(to)) if to.contains("error=invalid_request"))
        );
        let states = format!("{}&state=other", query(&[]));
        assert!(
            matches!(read(&states), Err(Refused::ToSite(to)) if !to.contains("state=")),
            "of two states none"
        );
        for (change, said) in [
            (("client_id", "nobody"), Why::CLIENT),
            (("client_id", "shop-web"), Why::CLIENT),
            (("client_id", ""), Why::CLIENT),
            (("redirect_uri", "https://evil.example/"), Why::ADDRESS),
            (("redirect_uri", ""), Why::ADDRESS),
        ] {
            assert!(
                matches!(read(&query(&[change])), Err(Refused::ToPage(why)) if why == said),
                "{change:?}"
            );
        }
        for twin in [format!("&redirect_uri={BACK}"), "&client_id=grafana".into()] {
            assert!(
                matches!(read(&(query(&[]) + &twin)), Err(Refused::ToPage(_))),
                "{twin}"
            );
        }
    }
}
