//! The needs of `wxmint sidecar`.

use chrono::{DateTime, Utc};
use reqwest::Url;
use wxmint_verify::{
    PublishedKeys,
    ends::{Feed, PageRefused},
    peer::{Revocations, TrustedIssuer, WhenStale},
};

use super::{
    Tells, faulty,
    published::{Web, read_keys},
    remarked,
    wechat::clock,
};
use crate::{
    cli::{environment::variables, remarks},
    clock::now,
    findings::{Finding, count},
    settings::SidecarSettings,
};

pub(super) const CHECKS: [&str; 4] = ["settings", "jwks", "revocations", "clock"];

pub(super) async fn examine(tells: Tells) {
    let tell = |found| _ = tells.send(found);
    let settings = match SidecarSettings::from_vars(variables()) {
        Ok(settings) => settings,
        Err(faults) => return tell(faulty(&faults, &CHECKS)),
    };
    tell(remarked(remarks::of_sidecar(&settings)));
    let web = Web::new();
    let issuers = settings.trusted.iter().map(async |trusted| tell(of_issuer(&web, trusted).await));
    futures_util::future::join_all(issuers).await;
}

async fn of_issuer(web: &Web, trusted: &TrustedIssuer) -> Vec<Finding> {
    let (issuer, fetched) = (&trusted.policy.issuer, web.fetch(trusted.jwks_url.clone()).await);
    let date = fetched.as_ref().ok().and_then(|fetched| fetched.date());
    let keys = fetched.and_then(|fetched| read_keys(&fetched.body));
    let ends = match (&trusted.revocations, &keys) {
        (Some(feed), Ok(keys)) => {
            let page = web.fetch(feed.url.clone()).await.map(|fetched| fetched.body);
            revocations(issuer, feed, keys, page, now())
        }
        (Some(_), Err(_)) => Finding::unchecked("revocations", format_args!("there are no keys of {issuer}")),
        (None, _) => {
            Finding::ok("revocations", format!("WXMINT_REVOCATIONS_URL=off: that of {issuer} is not followed"))
        }
    };
    vec![jwks(issuer, &trusted.jwks_url, keys), ends, clock("clock", issuer, date, now())]
}

/// A URL without its query, which may hold a secret.
fn place(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

fn jwks(issuer: &str, url: &Url, keys: Result<PublishedKeys, String>) -> Finding {
    match keys {
        Ok(keys) if keys.refused.is_empty() => {
            Finding::ok("jwks", format!("{} of {issuer}", count(keys.keys.len(), "key")))
        }
        Ok(keys) => Finding::warning(
            "jwks",
            format!("{} of the keys of {issuer} cannot be used: {}", keys.refused.len(), keys.refused[0]),
            "tokens that they sign are refused: have the issuer publish keys of ES256, EdDSA, Ed25519 or RS256",
        ),
        Err(reason) => Finding::fault(
            "jwks",
            format!("no keys of {issuer} at {}: {reason}", place(url)),
            "correct WXMINT_JWKS_URL, and let this machine reach it: DNS, network policy, certificate; or start the issuer",
        ),
    }
}

fn revocations(
    issuer: &str,
    feed: &Revocations,
    keys: &PublishedKeys,
    page: Result<Vec<u8>, String>,
    now: DateTime<Utc>,
) -> Finding {
    let text = page.and_then(|page| String::from_utf8(page).map_err(|_| "no page of a feed".into()));
    let accepted = text.and_then(|text| Feed::of(issuer).accept(&text, keys, now).map_err(|error| refused(&error)));
    let Err(reason) = accepted else {
        return Finding::ok("revocations", format!("the feed of {issuer} is signed by its keys"));
    };
    let advice =
        "correct WXMINT_REVOCATIONS_URL, and let the proxy pass /revocations to the issuer; `off` follows none";
    let found = format!("the feed of {issuer} cannot be read at {}: {reason}", place(&feed.url));
    match feed.when_stale {
        WhenStale::Open => {
            Finding::warning("revocations", format!("{found}: revoked tokens are accepted until they expire"), advice)
        }
        WhenStale::Closed => Finding::fault("revocations", format!("{found}: all tokens are refused"), advice),
    }
}

fn refused(error: &PageRefused) -> String {
    format!("the page is refused ({}): {error}", error.reason())
}
