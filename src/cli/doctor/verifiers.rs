//! Checks of the documents of an issuer as verifiers fetch them (`--public`), and of everything
//! that `wxmint sidecar` needs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use wxmint_upstream::{Fetched, Tls, Upstream};
use wxmint_verify::PublishedKeys;
use wxmint_verify::peer::{Revocations, TrustedIssuer, WhenStale};
use wxmint_verify::revocations::{MAX_PAGE, PageRefused, RevocationFeed};

use super::{Tell, faulty, remarked, wechat::clock};
use crate::cli::{remarks, variables};
use crate::findings::{Finding, Message, count, usable};
use crate::settings::{IssuerUrl, SidecarSettings};
use crate::{clock::now, issuer::Issuer, issuer::route_constants};

const PUBLIC: &str = "public";

/// A client that fetches documents, or the reason why there is none.
fn web() -> Result<Upstream, Message> {
    let made = Tls::from_system()
        .and_then(|tls| Upstream::new(&tls, Duration::from_secs(2), Duration::from_secs(5)));
    made.map(|client| client.reading(MAX_PAGE))
        .map_err(Message::of)
}

/// A document with status 200. The error says what was wrong.
async fn fetch(web: &Result<Upstream, Message>, url: Url) -> Result<Fetched, Message> {
    let client = web.as_ref().map_err(Message::clone)?;
    let fetched = client
        .fetch(Request::new(Method::GET, url))
        .await
        .map_err(|error| Message::from(&error))?;
    if fetched.status == 200 {
        Ok(fetched)
    } else {
        Err(message!(answer_has_status, fetched.status.as_u16()))
    }
}

/// Checks the documents that the issuer publishes at `url`. With `issuer`, the JWKS must hold its
/// signing key; without it, any keys are right.
pub(super) async fn published(url: &IssuerUrl, issuer: Option<&Issuer>) -> Vec<Finding> {
    let web = &web();
    let kid = issuer.and_then(|issuer| {
        Some(
            issuer
                .keys
                .set()
                .signing(now())
                .ok()?
                .public()
                .kid()
                .to_owned(),
        )
    });
    let kid = kid.as_deref();
    let look = async |path: &str| {
        let document = fetch(web, format!("{url}{path}").parse().map_err(|_| "no URL")?)
            .await?
            .body;
        if path == route_constants::JWKS {
            right_keys(&document, kid)
        } else {
            right_metadata(&document, url.as_str())
        }
    };
    let judge = async |path| match look(path).await {
        Ok(()) => Finding::ok(PUBLIC, format!("{url}{path}")),
        Err(reason) => Finding::warning(
            PUBLIC,
            message!("{}{}: {}", url, path, reason),
            message!(let_machine_reach_proxy),
        ),
    };
    join_all(
        [
            route_constants::JWKS,
            route_constants::METADATA,
            route_constants::OAUTH_SERVER,
        ]
        .map(judge),
    )
    .await
}

fn right_keys(body: &[u8], kid: Option<&str>) -> Result<(), Message> {
    let keys = read_keys(body)?;
    let missing = kid.filter(|kid| keys.keys.iter().all(|key| key.kid() != *kid));
    missing.map_or(Ok(()), |kid| {
        Err(message!(key_that_signs_is_not_there, kid))
    })
}

fn read_keys(body: &[u8]) -> Result<PublishedKeys, Message> {
    usable(PublishedKeys::read(body)).map_err(|reason| message!(no_key_of_set_can_be, reason))
}

fn right_metadata(body: &[u8], issuer: &str) -> Result<(), Message> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let found: Metadata =
        serde_json::from_slice(body).map_err(|_| message!(no_metadata_of_issuer))?;
    match (
        found.issuer == issuer,
        found.jwks_uri == [issuer, route_constants::JWKS].concat(),
    ) {
        (true, true) => Ok(()),
        (false, _) => Err(message!(it_names_another_issuer)),
        (_, false) => Err(message!(it_names_another_place_of_keys)),
    }
}

pub(super) const OF_SIDECAR: [&str; 4] = ["settings", "jwks", "revocations", "clock"];

pub(super) async fn examine_sidecar(tell: Tell) {
    let settings = match SidecarSettings::from_vars(variables()) {
        Ok(settings) => settings,
        Err(faults) => return tell(faulty(&faults, &OF_SIDECAR)),
    };
    tell(remarked(remarks::of_sidecar(&settings)));
    let web = web();
    join_all(
        settings
            .trusted
            .iter()
            .map(async |trusted| tell(of_issuer(&web, trusted).await)),
    )
    .await;
}

async fn of_issuer(web: &Result<Upstream, Message>, trusted: &TrustedIssuer) -> Vec<Finding> {
    let issuer = &trusted.policy.issuer;
    let fetched = fetch(web, trusted.jwks_url.clone()).await;
    let date = fetched
        .as_ref()
        .ok()
        .and_then(wxmint_upstream::Fetched::date);
    let keys = fetched.and_then(|fetched| read_keys(&fetched.body));
    let revocations = match (&trusted.revocations, &keys) {
        (Some(feed), Ok(keys)) => revocations(
            issuer,
            feed,
            keys,
            fetch(web, feed.url.clone())
                .await
                .map(|fetched| fetched.body),
            now(),
        ),
        (Some(_), Err(_)) => {
            Finding::unchecked("revocations", message!(there_are_no_keys_of_issuer, issuer))
        }
        (None, _) => Finding::ok("revocations", message!(revocations_are_off, issuer)),
    };
    vec![
        jwks(issuer, &trusted.jwks_url, keys),
        revocations,
        clock("clock", message!(latin_before_words, issuer), date, now()),
    ]
}

/// A URL without its query, which may hold a secret.
fn place(url: &Url) -> &str {
    url.as_str().split('?').next().unwrap_or_default()
}

fn jwks(issuer: &str, url: &Url, keys: Result<PublishedKeys, Message>) -> Finding {
    match keys {
        Ok(keys) if keys.refused.is_empty() => Finding::ok(
            "jwks",
            message!(
                keys_of_issuer,
                count(keys.keys.len(), ["key", "个公钥"]),
                issuer
            ),
        ),
        Ok(keys) => Finding::warning(
            "jwks",
            message!(
                some_keys_cannot_be_used,
                keys.refused.len(),
                issuer,
                Message::from(&keys.refused[0])
            ),
            message!(publish_other_keys),
        ),
        Err(reason) => Finding::fault(
            "jwks",
            message!(no_keys_at, issuer, place(url), reason),
            message!(correct_jwks_url),
        ),
    }
}

fn revocations(
    issuer: &str,
    feed: &Revocations,
    keys: &PublishedKeys,
    page: Result<Vec<u8>, Message>,
    now: DateTime<Utc>,
) -> Finding {
    let text = page.and_then(|page| String::from_utf8(page).map_err(|_| message!(no_page_of_feed)));
    let refused =
        |error: PageRefused| message!(page_is_refused, error.reason(), Message::from(&error));
    let accepted = text.and_then(|text| {
        RevocationFeed::of(issuer)
            .accept(&text, keys, now)
            .map_err(refused)
    });
    let Err(reason) = accepted else {
        return Finding::ok("revocations", message!(feed_is_signed, issuer));
    };
    let advice = message!(correct_revocations_url);
    let found = message!(feed_cannot_be_read, issuer, place(&feed.url), reason);
    match feed.when_stale {
        WhenStale::Open => Finding::warning(
            "revocations",
            message!(revoked_tokens_are_accepted, found),
            advice,
        ),
        WhenStale::Closed => Finding::fault(
            "revocations",
            message!(all_tokens_are_refused, found),
            advice,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_must_be_of_this_issuer() {
        let issuer = "https://login.example.com";
        let document = |issuer: &str, jwks: &str| {
            format!(r#"{{"issuer":"{issuer}","jwks_uri":"{jwks}","more":1}}"#)
        };
        let jwks = "https://login.example.com/.well-known/jwks.json";
        assert_eq!(
            right_metadata(document(issuer, jwks).as_bytes(), issuer),
            Ok(())
        );
        for body in [
            document("https://other.example.com", jwks),
            document(issuer, issuer),
            "<html>".into(),
        ] {
            assert!(right_metadata(body.as_bytes(), issuer).is_err(), "{body}");
        }
        for body in [r#"{"keys":[]}"#, "<html>", r#"{"keys":[{"kty":"oct"}]}"#] {
            assert!(right_keys(body.as_bytes(), None).is_err(), "{body}");
        }
    }
}
