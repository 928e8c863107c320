//! What `wxmint sidecar` needs to know: settings of its own, and none of the issuer's secrets.

use std::{net::SocketAddr, path::PathBuf};

use reqwest::Url;

use super::{
    Faults, IssuerUrl, Raw, address,
    fault::Reader,
    forms::{self, Form},
    log_format, path,
};
use crate::{
    sidecar::{PathSource, Prefix, Rules},
    telemetry::LogFormat,
    verify::peer::TrustedIssuer,
    verify::{TokenTyp, VerifierPolicy},
};

/// What the sidecar does.
#[derive(Debug, Clone)]
pub struct SidecarSettings {
    /// `WXMINT_ISSUER` and `WXMINT_JWKS_URL`, in the same order; `WXMINT_AUDIENCE` and `WXMINT_TOKEN_TYP` hold for all;
    /// `WXMINT_JWKS_CACHE`: the folder of the last good keys.
    pub trusted: Vec<TrustedIssuer>,
    /// `WXMINT_SIDECAR_AUDIENCES`, `WXMINT_SIDECAR_ANONYMOUS`, `WXMINT_SIDECAR_PATH_HEADER`
    pub rules: Rules,
    /// `WXMINT_SIDECAR_LISTEN`: where proxies ask.
    pub listen: SocketAddr,
    /// `WXMINT_ADMIN_LISTEN`: probes and metrics.
    pub admin_listen: SocketAddr,
    /// `WXMINT_MAX_CONNECTIONS`: how many connections proxies may have at once. The default takes at most 64 of the 128 MiB in
    /// k8s/, the remembered tokens take 32.
    pub max_connections: usize,
    /// `WXMINT_DANGEROUS_JWKS_OVER_HTTP`: whether keys may come over a network in the clear.
    pub dangerous_jwks_over_http: bool,
    /// `WXMINT_LOG_FORMAT`
    pub log_format: LogFormat,
}

const ISSUERS: Form = Form {
    wanted: "the `iss` of the tokens, as the issuer's WXMINT_ISSUER has it, byte for byte, without a slash at the end; several \
             separated by commas",
    example: "WXMINT_ISSUER=https://login.example.com",
};

impl SidecarSettings {
    /// Reads settings from variables, such as [`std::env::vars`].
    pub fn from_vars(vars: impl IntoIterator<Item = (String, String)>) -> Result<Self, Faults> {
        let raw = Raw::from_vars(vars);
        let mut reader = Reader::default();
        let settings = Self::read(raw, &mut reader);
        reader.finish(settings)
    }

    fn read(raw: Raw, reader: &mut Reader) -> Option<Self> {
        let dangerous = ("WXMINT_DANGEROUS_JWKS_OVER_HTTP", raw.dangerous_jwks_over_http);
        let dangerous_jwks_over_http =
            reader.or(dangerous.0, dangerous.1, &forms::DANGEROUS_JWKS, "false", forms::flag);
        let over_http = dangerous_jwks_over_http.unwrap_or_default();
        let urls = |text: &str| text.split(',').map(|url| jwks_url(url.trim(), over_http)).collect::<Option<Vec<_>>>();
        let urls = reader.required("WXMINT_JWKS_URL", raw.jwks_url, &forms::JWKS_URL, urls);
        let issuers = reader.required("WXMINT_ISSUER", raw.issuer, &ISSUERS, issuers);
        let audience = reader.required("WXMINT_AUDIENCE", raw.audience, &forms::AUDIENCE, forms::audiences);
        let typ = reader.or("WXMINT_TOKEN_TYP", raw.token_typ, &forms::TOKEN_TYP, "at+jwt", |text| text.parse().ok());
        let kept_in = reader.optional("WXMINT_JWKS_CACHE", raw.jwks_cache, &forms::JWKS_CACHE, path);
        let trusted = Trusted { issuers, urls, audience, typ, kept_in }.join(reader);
        let audiences = ("WXMINT_SIDECAR_AUDIENCES", raw.sidecar_audiences);
        let audiences = reader.optional(audiences.0, audiences.1, &forms::SIDECAR_AUDIENCES, audience_rules);
        let anonymous = ("WXMINT_SIDECAR_ANONYMOUS", raw.sidecar_anonymous);
        let anonymous = reader.optional(anonymous.0, anonymous.1, &forms::SIDECAR_ANONYMOUS, prefixes);
        let path_header = ("WXMINT_SIDECAR_PATH_HEADER", raw.sidecar_path_header);
        let source = match audiences.is_some() || anonymous.is_some() {
            true => reader.required(path_header.0, path_header.1, &forms::PATH_HEADER, PathSource::parse),
            false => reader.or(path_header.0, path_header.1, &forms::PATH_HEADER, "path", PathSource::parse),
        };
        let listen =
            reader.or("WXMINT_SIDECAR_LISTEN", raw.sidecar_listen, &forms::SIDECAR_LISTEN, "127.0.0.1:8181", address);
        let admin_listen =
            reader.or("WXMINT_ADMIN_LISTEN", raw.admin_listen, &forms::ADMIN_LISTEN, "127.0.0.1:9090", address);
        let connections = ("WXMINT_MAX_CONNECTIONS", raw.max_connections);
        let max_connections =
            reader.or(connections.0, connections.1, &forms::MAX_CONNECTIONS, "2000", forms::connections);
        let log_format = reader.or("WXMINT_LOG_FORMAT", raw.log_format, &forms::LOG_FORMAT, "json", log_format);
        let rules = Rules {
            source: source?,
            audiences: audiences.unwrap_or_default(),
            anonymous: anonymous.unwrap_or_default(),
        };
        Some(Self {
            trusted: trusted?,
            rules,
            listen: listen?,
            admin_listen: admin_listen?,
            max_connections: max_connections?,
            dangerous_jwks_over_http: dangerous_jwks_over_http?,
            log_format: log_format?,
        })
    }
}

struct Trusted {
    issuers: Option<Vec<IssuerUrl>>,
    urls: Option<Vec<Url>>,
    audience: Option<Vec<String>>,
    typ: Option<TokenTyp>,
    kept_in: Option<PathBuf>,
}

impl Trusted {
    /// Each issuer with the URL in its place.
    fn join(self, reader: &mut Reader) -> Option<Vec<TrustedIssuer>> {
        let (issuers, urls, audience, typ) = (self.issuers?, self.urls?, self.audience?, self.typ?);
        if issuers.len() != urls.len() {
            let problem = format!("has {} of them, and WXMINT_ISSUER has {}", urls.len(), issuers.len());
            reader.fault("WXMINT_JWKS_URL", problem, &forms::JWKS_URL);
            return None;
        }
        let policy = |issuer: IssuerUrl| {
            let policy = VerifierPolicy::new(issuer.as_str(), audience.iter().map(String::as_str));
            VerifierPolicy { typ, ..policy }
        };
        let join =
            |(issuer, jwks_url)| TrustedIssuer { policy: policy(issuer), jwks_url, kept_in: self.kept_in.clone() };
        Some(issuers.into_iter().zip(urls).map(join).collect())
    }
}

/// All different: two of one name would have two sets of keys.
fn issuers(text: &str) -> Option<Vec<IssuerUrl>> {
    let issuers: Vec<_> = text.split(',').map(|issuer| IssuerUrl::parse(issuer.trim())).collect::<Option<_>>()?;
    forms::all_different(&issuers).then_some(issuers)
}

/// https; http to this machine alone, unless danger was asked for: whoever answers in the issuer's place can sign tokens.
fn jwks_url(text: &str, over_http: bool) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let secure = url.scheme() == "https" || forms::is_loopback(&url) || over_http && url.scheme() == "http";
    (secure && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()).then_some(url)
}

fn prefixes(text: &str) -> Option<Vec<Prefix>> {
    text.split(',').map(|prefix| Prefix::parse(prefix.trim())).collect()
}

/// `/orders=https://orders.example.com`, a prefix each; a prefix that stands several times takes any of its audiences.
fn audience_rules(text: &str) -> Option<Vec<(Prefix, String)>> {
    let rule = |rule: &str| {
        let (prefix, audience) = rule.split_once('=')?;
        let audience = audience.trim();
        Some((Prefix::parse(prefix.trim())?, (!audience.is_empty()).then(|| audience.to_owned())?))
    };
    text.split(',').map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: [(&str, &str); 3] = [
        ("WXMINT_ISSUER", "https://login.example.com"),
        ("WXMINT_JWKS_URL", "https://login.example.com/.well-known/jwks.json"),
        ("WXMINT_AUDIENCE", "https://api.example.com"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<SidecarSettings, String> {
        let vars = VALID.iter().chain(changes).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SidecarSettings::from_vars(vars).map_err(|faults| faults.to_string())
    }

    #[test]
    fn three_variables_are_enough_and_each_is_asked_for_by_name() {
        let settings = read(&[]).expect("settings");
        assert_eq!((settings.listen.port(), settings.admin_listen.port()), (8181, 9090));
        assert!(settings.rules.are_none() && settings.trusted[0].kept_in.is_none());
        let faults = SidecarSettings::from_vars([]).expect_err("nothing is set");
        let asked: Vec<_> = faults.0.iter().map(|fault| (fault.variable, fault.problem.as_str())).collect();
        let wanted = ["WXMINT_JWKS_URL", "WXMINT_ISSUER", "WXMINT_AUDIENCE"].map(|name| (name, "is not set"));
        assert_eq!(asked, wanted);
    }

    #[test]
    fn several_issuers_have_their_urls_in_the_same_order() {
        let two = read(&[
            ("WXMINT_ISSUER", "https://a.example,https://b.example"),
            ("WXMINT_JWKS_URL", "https://keys.example/a, https://keys.example/b"),
            ("WXMINT_TOKEN_TYP", "JWT"),
        ])
        .expect("settings");
        let pairs: Vec<_> =
            two.trusted.iter().map(|issuer| (issuer.policy.issuer.as_str(), issuer.jwks_url.as_str())).collect();
        let wanted = [("https://a.example", "https://keys.example/a"), ("https://b.example", "https://keys.example/b")];
        assert_eq!(pairs, wanted);
        assert!(two.trusted.iter().all(|issuer| issuer.policy.typ == TokenTyp::Jwt));
        let odd = read(&[("WXMINT_ISSUER", "https://a.example,https://b.example")]).expect_err("one URL");
        assert!(odd.contains("WXMINT_JWKS_URL has 1 of them, and WXMINT_ISSUER has 2"), "{odd}");
        let twice = read(&[("WXMINT_ISSUER", "https://a.example,https://a.example")]).expect_err("twice");
        assert!(twice.contains("WXMINT_ISSUER is not valid"), "{twice}");
    }

    #[test]
    fn keys_come_over_http_from_this_machine_or_where_danger_was_asked_for() {
        let url = |url, danger| {
            let changes = [("WXMINT_JWKS_URL", url), ("WXMINT_DANGEROUS_JWKS_OVER_HTTP", danger)];
            read(&changes).is_ok()
        };
        for (address, allowed) in [
            ("http://127.0.0.1:8080/jwks", [true, true]),
            ("http://wxmint.wxmint.svc:8080/jwks", [false, true]),
            ("https://login.example.com/jwks", [true, true]),
            ("https://user:secret@login.example.com/jwks", [false, false]),
            ("file:///etc/passwd", [false, false]),
            ("login.example.com", [false, false]),
        ] {
            assert_eq!([url(address, "false"), url(address, "true")], allowed, "{address}");
        }
    }

    #[test]
    fn rules_by_path_want_to_know_who_tells_the_path() {
        let missing = read(&[("WXMINT_SIDECAR_ANONYMOUS", "/public")]).expect_err("who tells?");
        assert!(missing.contains("WXMINT_SIDECAR_PATH_HEADER is not set"), "{missing}");
        let rules = read(&[
            ("WXMINT_SIDECAR_ANONYMOUS", "/public, /health"),
            ("WXMINT_SIDECAR_AUDIENCES", "/orders=https://orders.example.com"),
            ("WXMINT_SIDECAR_PATH_HEADER", "X-Forwarded-Uri"),
        ])
        .expect("settings")
        .rules;
        assert_eq!((rules.anonymous.len(), rules.audiences.len()), (2, 1));
        assert_eq!(rules.source, PathSource::Header("x-forwarded-uri".into()));
        for wrong in ["orders", "/orders", "/orders=", "/a/../b=x", "=x"] {
            let refused = read(&[("WXMINT_SIDECAR_AUDIENCES", wrong), ("WXMINT_SIDECAR_PATH_HEADER", "path")]);
            assert!(refused.expect_err(wrong).contains("WXMINT_SIDECAR_AUDIENCES is not valid"));
        }
    }
}
