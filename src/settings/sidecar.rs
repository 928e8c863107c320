//! The settings of `wxmint sidecar`. It reads none of the issuer's secrets.

use std::net::SocketAddr;

use actix_web::http::header::HeaderName;
use reqwest::Url;
use wxmint_telemetry::LogFormat;
use wxmint_verify::VerifierPolicy;
use wxmint_verify::peer::{Revocations, TrustedIssuer};

use super::forms::{self, parsed};
use super::{Faults, LOG_FORMAT, MAX_CONNECTIONS, Reader, TOKEN_TYP, variables::*};
use super::{is_secure, read_admin_listen, settings};

settings! {
    SidecarSettings for Sidecar {
        claims: Vec<(String, HeaderName)> = SIDECAR_CLAIMS(forms::claim_headers),
        listen: SocketAddr = SIDECAR_LISTEN(parsed),
        dangerous_jwks_over_http: bool = DANGEROUS_JWKS_OVER_HTTP(parsed),
    } |reader| {
        trusted: Vec<TrustedIssuer> = read_trusted(reader, dangerous_jwks_over_http == Some(true)),
        admin_listen: SocketAddr = read_admin_listen(reader, listen.map(|address| (SIDECAR_LISTEN.name, address))),
        max_connections: usize = reader.read(&MAX_CONNECTIONS),
        log_format: LogFormat = reader.read(&LOG_FORMAT),
    }
}

/// Each issuer with the JWKS URL at the same position of the list. Audience and `typ` hold for all
/// issuers.
fn read_trusted(reader: &mut Reader, over_http: bool) -> Option<Vec<TrustedIssuer>> {
    // An attacker who answers in place of the issuer could make keys of their own accepted.
    let urls = reader.read_beside(&JWKS_URL, |urls| {
        let is_exposed = !over_http && !urls.iter().all(is_secure);
        is_exposed.then(|| message!(is_http_url_of_another_machine))
    });
    let issuers = reader.read_checked(&ISSUER.parsed_by(|text| Some(forms::issuers(text))));
    let audience = reader.read(&AUDIENCE);
    let typ = reader.read(&TOKEN_TYP);
    let kept_in = reader.read(&JWKS_CACHE);
    let keys_max_age = reader.read(&JWKS_MAX_AGE);
    let feeds = read_feeds(reader, urls.as_deref());
    let urls = urls?;
    let issuers = issuers?;
    let audience = audience?;
    let typ = typ?;
    let kept_in = kept_in?;
    let keys_max_age = keys_max_age?;
    let feeds = feeds?;
    if issuers.len() != urls.len() {
        return reader.fault(
            &JWKS_URL,
            message!(
                differs_in_number,
                urls.len(),
                "WXMINT_ISSUER",
                issuers.len()
            ),
        );
    }
    let trusted =
        issuers
            .into_iter()
            .zip(urls)
            .zip(feeds)
            .map(|((issuer, jwks_url), revocations)| {
                let policy = VerifierPolicy {
                    typ,
                    ..VerifierPolicy::new(issuer.as_str(), &audience)
                };
                TrustedIssuer {
                    policy,
                    jwks_url,
                    kept_in: kept_in.clone(),
                    keys_max_age,
                    revocations,
                }
            });
    Some(trusted.collect())
}

/// The feed of each issuer; `None` for an issuer whose feed is not followed.
fn read_feeds(reader: &mut Reader, jwks_urls: Option<&[Url]>) -> Option<Vec<Option<Revocations>>> {
    let urls = reader.read(&REVOCATIONS_URL);
    let max_age = reader.read(&REVOCATIONS_MAX_AGE);
    let (when_stale, urls, max_age, jwks_urls) =
        (reader.read(&REVOCATIONS_FAIL)?, urls?, max_age?, jwks_urls?);
    let wanted = jwks_urls.len();
    let feeds: Vec<_> = match &urls[..] {
        [] => jwks_urls
            .iter()
            .map(|url| Some(Revocations::beside(url)))
            .collect(),
        [None] => jwks_urls.iter().map(|_| None).collect(),
        urls if urls.len() == wanted => urls
            .iter()
            .map(|url| url.clone().map(Revocations::at))
            .collect(),
        urls => {
            return reader.fault(
                &REVOCATIONS_URL,
                message!(differs_in_number, urls.len(), "WXMINT_JWKS_URL", wanted),
            );
        }
    };
    Some(
        feeds
            .into_iter()
            .map(|feed| {
                feed.map(|feed| Revocations {
                    max_age,
                    when_stale,
                    ..feed
                })
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxmint_verify::{TokenTyp, peer::WhenStale};

    const VALID: [(&str, &str); 3] = [
        ("WXMINT_ISSUER", "https://login.example.com"),
        (
            "WXMINT_JWKS_URL",
            "https://login.example.com/.well-known/jwks.json",
        ),
        ("WXMINT_AUDIENCE", "https://api.example.com"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<SidecarSettings, String> {
        let vars = VALID
            .iter()
            .chain(changes)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        SidecarSettings::from_vars(vars).map_err(|faults| faults.to_string())
    }

    #[test]
    fn three_variables_are_enough_and_each_is_asked_for_by_name() {
        let settings = read(&[]).expect("settings");
        assert_eq!(
            (settings.listen.port(), settings.admin_listen.port()),
            (8181, 9090)
        );
        assert!(settings.trusted[0].kept_in.is_none());
        let faults = SidecarSettings::from_vars([]).expect_err("nothing is set");
        let asked: Vec<_> = faults
            .0
            .iter()
            .map(|fault| (fault.variable, &*fault.problem))
            .collect();
        let wanted = ["WXMINT_ISSUER", "WXMINT_AUDIENCE", "WXMINT_JWKS_URL"]
            .map(|name| (name, "is not set"));
        assert_eq!(asked, wanted);
    }

    #[test]
    fn an_issuer_is_asked_for_in_the_form_that_the_sidecar_takes() {
        let fault = SidecarSettings::from_vars([])
            .expect_err("nothing is set")
            .0
            .remove(0);
        let form = "the `iss` of the tokens, byte for byte as in the issuer's WXMINT_ISSUER, without a slash at the end; \
                    several separated by commas";
        assert!(fault.to_string().contains(form), "{fault}");
        assert!(format!("{fault:#}").contains("多个用逗号分隔"), "{fault:#}");
    }

    #[test]
    fn several_issuers_have_their_urls_in_the_same_order() {
        let two = read(&[
            ("WXMINT_ISSUER", "https://a.example,https://b.example"),
            (
                "WXMINT_JWKS_URL",
                "https://keys.example/a, https://keys.example/b",
            ),
            ("WXMINT_TOKEN_TYP", "JWT"),
        ])
        .expect("settings");
        let pairs: Vec<_> = two
            .trusted
            .iter()
            .map(|issuer| (issuer.policy.issuer.as_str(), issuer.jwks_url.as_str()))
            .collect();
        let wanted = [
            ("https://a.example", "https://keys.example/a"),
            ("https://b.example", "https://keys.example/b"),
        ];
        assert_eq!(pairs, wanted);
        assert!(
            two.trusted
                .iter()
                .all(|issuer| issuer.policy.typ == TokenTyp::Jwt)
        );
        let odd =
            read(&[("WXMINT_ISSUER", "https://a.example,https://b.example")]).expect_err("one URL");
        assert!(
            odd.contains("WXMINT_JWKS_URL has 1 of them, and WXMINT_ISSUER has 2"),
            "{odd}"
        );
        let twice =
            read(&[("WXMINT_ISSUER", "https://a.example,https://a.example")]).expect_err("twice");
        assert!(
            twice.contains("WXMINT_ISSUER has the same issuer twice"),
            "{twice}"
        );
    }

    #[test]
    fn keys_come_over_http_from_this_machine_or_where_danger_was_asked_for() {
        let url = |url, danger| {
            let changes = [
                ("WXMINT_JWKS_URL", url),
                ("WXMINT_DANGEROUS_JWKS_OVER_HTTP", danger),
            ];
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
            assert_eq!(
                [url(address, "false"), url(address, "true")],
                allowed,
                "{address}"
            );
        }
    }

    /// Whoever sits on the way to that one could be any user of its issuer.
    #[test]
    fn of_several_issuers_none_may_have_its_keys_come_over_http_from_another_machine() {
        let [https, local, elsewhere] = [
            "https://a.example/jwks",
            "http://127.0.0.1:8080/jwks",
            "http://wxmint.wxmint.svc:8080/jwks",
        ];
        let with = |urls: [&str; 2], danger| {
            let urls = urls.join(",");
            read(&[
                ("WXMINT_ISSUER", "https://a.example,https://b.example"),
                ("WXMINT_JWKS_URL", &urls),
                ("WXMINT_DANGEROUS_JWKS_OVER_HTTP", danger),
            ])
            .map(drop)
        };
        for safe in [https, local] {
            assert_eq!(with([safe, https], "false"), Ok(()));
            for urls in [[safe, elsewhere], [elsewhere, safe]] {
                let refused = with(urls, "false").expect_err("one of them is exposed");
                assert!(
                    refused.contains("WXMINT_JWKS_URL is an http URL of another machine"),
                    "{urls:?}: {refused}"
                );
                assert_eq!(with(urls, "true"), Ok(()));
            }
        }
    }

    #[test]
    fn each_issuer_has_a_feed_of_its_own_unless_it_is_off() {
        let two = [
            ("WXMINT_ISSUER", "https://a.example,https://b.example/auth"),
            (
                "WXMINT_JWKS_URL",
                "https://a.example/keys?x=1,http://127.0.0.1:1/auth/.well-known/jwks.json",
            ),
        ];
        let feeds = |urls| {
            let settings = read(&[&two[..], &[("WXMINT_REVOCATIONS_URL", urls)]].concat())?;
            let feed = |issuer: &TrustedIssuer| {
                issuer
                    .revocations
                    .as_ref()
                    .map_or("-".into(), |feed| feed.url.to_string())
            };
            Ok::<_, String>(
                settings
                    .trusted
                    .iter()
                    .map(feed)
                    .collect::<Vec<_>>()
                    .join(" "),
            )
        };
        assert_eq!(
            feeds("").expect("settings"),
            "https://a.example/revocations http://127.0.0.1:1/auth/revocations"
        );
        assert_eq!(feeds("off").expect("settings"), "- -");
        assert_eq!(
            feeds("off,http://ends.example/b").expect("settings"),
            "- http://ends.example/b"
        );
        let one = feeds("https://a.example/revocations").expect_err("one of two");
        assert!(
            one.contains("WXMINT_REVOCATIONS_URL has 1 of them, and WXMINT_JWKS_URL has 2"),
            "{one}"
        );
        for wrong in [
            "on,off",
            "file:///a,off",
            "https://user:secret@a.example/,off",
        ] {
            assert!(feeds(wrong).is_err(), "{wrong}");
        }
        let closed = [
            ("WXMINT_REVOCATIONS_FAIL", "closed"),
            ("WXMINT_REVOCATIONS_MAX_AGE", "15s"),
        ];
        let feed = read(&closed)
            .expect("settings")
            .trusted
            .remove(0)
            .revocations
            .expect("a feed");
        assert_eq!(
            (
                feed.when_stale,
                feed.max_age.as_secs(),
                feed.every.as_secs()
            ),
            (WhenStale::Closed, 15, 5)
        );
    }

    #[test]
    fn claims_are_handed_on_in_headers_that_are_free() {
        let claims =
            |value| read(&[("WXMINT_SIDECAR_CLAIMS", value)]).map(|settings| settings.claims);
        let pair = |claim: &str, header| (claim.to_owned(), HeaderName::from_static(header));
        let two = vec![pair("roles", "x-user-roles"), pair("tenant", "x-tenant")];
        assert_eq!(claims("roles=X-User-Roles, tenant = X-Tenant"), Ok(two));
        assert_eq!(claims(""), Ok(Vec::new()));
        for wrong in [
            "roles",
            "roles=",
            "=X-Roles",
            "roles=Roles",
            "roles=X-",
            "roles=X-User_Roles",
            "roles=X-Rôles",
            "roles=X-User-Id",
            "roles=x-token-id",
            "roles=X-Forwarded-For",
            "sub=X-Sub",
            "roles=X-Roles,roles=X-More",
            "roles=X-Roles,tenant=x-roles",
        ] {
            assert!(
                claims(wrong)
                    .is_err_and(|faults| faults.contains("WXMINT_SIDECAR_CLAIMS is not valid")),
                "{wrong}"
            );
        }
    }
}
