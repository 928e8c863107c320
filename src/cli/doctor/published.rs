//! The documents that an issuer publishes, as verifiers fetch them.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, Request, Url};
use serde::Deserialize;
use wxmint_findings::{Finding, Said, usable};
use wxmint_upstream::{Fetched, Tls, Upstream};
use wxmint_verify::{PublishedKeys, ends::MAX_PAGE};

use crate::{clock::now, issuer::Issuer, settings::IssuerUrl};

const NAME: &str = "public";
const JWKS: &str = "/.well-known/jwks.json";
const METADATA: [&str; 2] = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];

/// A client that fetches documents, or the reason why there is none.
pub(super) type Web = Result<Upstream, Said>;

pub(super) fn web() -> Web {
    let client = Tls::from_system()
        .and_then(|tls| Upstream::new(&tls, Duration::from_secs(2), Duration::from_secs(5)))
        .map(|client| client.reading(MAX_PAGE));
    client.map_err(Said::of)
}

/// A document with status 200. The error says what was wrong.
pub(super) async fn fetch(web: &Web, url: Url) -> Result<Fetched, Said> {
    let client = web.as_ref().map_err(Said::clone)?;
    let fetched = client.fetch(Request::new(Method::GET, url)).await.map_err(|error| Said::from(&error))?;
    match fetched.status.as_u16() {
        200 => Ok(fetched),
        status => Err(said!(answer_has_status, status)),
    }
}

/// `issuer` is that of the keys; without it, any keys will do.
pub(super) async fn examine(web: &Web, url: &IssuerUrl, issuer: Option<&Issuer>) -> Vec<Finding> {
    let kid = issuer.and_then(|issuer| {
        let now = now();
        issuer.keys.at(now).set.signing(now).ok().map(|key| key.public().kid().to_owned())
    });
    let look = async |path: &str| {
        let document = fetch(web, format!("{url}{path}").parse().map_err(|_| "no URL")?).await?.body;
        match path {
            JWKS => right_keys(&document, kid.as_deref()),
            _ => right_metadata(&document, url.as_str()),
        }
    };
    let judge = async |path| match look(path).await {
        Ok(()) => Finding::ok(NAME, format!("{url}{path}")),
        Err(reason) => Finding::warning(NAME, said!("{}{}: {}", url, path, reason), said!(let_machine_reach_proxy)),
    };
    join_all([JWKS, METADATA[0], METADATA[1]].map(judge)).await
}

fn right_keys(body: &[u8], kid: Option<&str>) -> Result<(), Said> {
    let keys = read_keys(body)?;
    match kid {
        Some(kid) if !keys.keys.iter().any(|key| key.kid() == kid) => Err(said!(key_that_signs_is_not_there, kid)),
        _ => Ok(()),
    }
}

pub(super) fn read_keys(body: &[u8]) -> Result<PublishedKeys, Said> {
    usable(PublishedKeys::read(body)).map_err(|reason| said!(no_key_of_set_can_be, reason))
}

fn right_metadata(body: &[u8], issuer: &str) -> Result<(), Said> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: String,
    }
    let found: Metadata = serde_json::from_slice(body).map_err(|_| said!(no_metadata_of_issuer))?;
    match (found.issuer == issuer, found.jwks_uri == format!("{issuer}{JWKS}")) {
        (true, true) => Ok(()),
        (false, _) => Err(said!(it_names_another_issuer)),
        (_, false) => Err(said!(it_names_another_place_of_keys)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_must_be_of_this_issuer() {
        let issuer = "https://login.example.com";
        let document = |issuer: &str, jwks: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{jwks}","more":1}}"#);
        let jwks = "https://login.example.com/.well-known/jwks.json";
        assert_eq!(right_metadata(document(issuer, jwks).as_bytes(), issuer), Ok(()));
        for body in [document("https://other.example.com", jwks), document(issuer, issuer), "<html>".into()] {
            assert!(right_metadata(body.as_bytes(), issuer).is_err(), "{body}");
        }
        for body in [r#"{"keys":[]}"#, "<html>", r#"{"keys":[{"kty":"oct"}]}"#] {
            assert!(right_keys(body.as_bytes(), None).is_err(), "{body}");
        }
    }
}
