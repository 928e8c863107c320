//! Fetches a JWKS. Time and size are limited, redirects are not followed, and a set without a
//! usable key is an error.

use std::{str, time::Duration};

use reqwest::header::{ACCEPT, CACHE_CONTROL, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::{Method, Request, StatusCode, Url};

use super::http::{Fetched, Http};
use super::other_issuer::FetchKeys;
use crate::PublishedKeys;

/// The largest set that is read, in bytes. Real sets have a few hundred bytes.
const MAX_SET: usize = 64 * 1024;

/// Fetches the keys of one issuer.
pub(super) struct Fetcher {
    place: Place,
    /// The ETag of the keys in use, sent as `If-None-Match`, so that the issuer does not send an
    /// unchanged set again.
    etag: Option<HeaderValue>,
}

/// Where the keys are.
pub(super) enum Place {
    At(Http, Url),
    OfOthers(FetchKeys),
}

/// The result of a successful fetch.
pub(super) struct Answer {
    /// The set and its bytes; `None` if the set has not changed.
    pub(super) changed: Option<(PublishedKeys, Vec<u8>)>,
    /// How long the set may be cached.
    pub(super) max_age: Option<Duration>,
}

impl Fetcher {
    pub(super) fn new(place: Place) -> Self {
        Self { place, etag: None }
    }

    /// Fetches once. The error says what was wrong, without the URL and without quoting the
    /// response.
    pub(super) async fn fetch(&mut self) -> Result<Answer, String> {
        let (http, url) = match &self.place {
            Place::At(http, url) => (http, url.clone()),
            Place::OfOthers(fetch) => {
                return Ok(Answer {
                    changed: Some((fetch().await?, Vec::new())),
                    max_age: None,
                });
            }
        };
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().insert(
            ACCEPT,
            HeaderValue::from_static("application/jwk-set+json, application/json"),
        );
        if let Some(etag) = &self.etag {
            request.headers_mut().insert(IF_NONE_MATCH, etag.clone());
        }
        let fetched = http.fetch(MAX_SET, request).await?;
        self.read(fetched)
    }

    fn read(
        &mut self,
        Fetched {
            status,
            headers,
            body,
        }: Fetched,
    ) -> Result<Answer, String> {
        let max_age = max_age(&headers);
        match status {
            StatusCode::NOT_MODIFIED if self.etag.is_some() => {
                return Ok(Answer {
                    changed: None,
                    max_age,
                });
            }
            StatusCode::OK => {}
            status => return Err(format!("the answer is {}", status.as_u16())),
        }
        let keys = PublishedKeys::read(&body).map_err(|error| error.to_string())?;
        if keys.keys.is_empty() {
            return Err(match keys.refused.first() {
                Some(reason) => format!("no key of the set can be used; {reason}"),
                None => "the set has no key".into(),
            });
        }
        self.etag = headers.get(ETAG).cloned();
        Ok(Answer {
            changed: Some((keys, body)),
            max_age,
        })
    }
}

/// The `max-age` of `Cache-Control` (RFC 9111 section 5.2.2.1); `None` if it cannot be parsed.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers
        .get_all(CACHE_CONTROL)
        .into_iter()
        .filter_map(|it| str::from_utf8(it.as_bytes()).ok());
    let seconds = directives
        .flat_map(|value| value.split(','))
        .find_map(|directive| {
            let (name, seconds) = directive.trim().split_once('=')?;
            name.eq_ignore_ascii_case("max-age")
                .then(|| seconds.trim_matches('"').parse().ok())?
        })?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, PublicKeySet, verifier::tests::Forge};

    #[test]
    fn max_age_is_found_among_other_directives_and_garbage_is_ignored() {
        let told = |value: &'static str| {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(value))]);
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(told("public, max-age=300"), Some(300));
        assert_eq!(told("Max-Age=\"60\",must-revalidate"), Some(60));
        assert_eq!(told("s-maxage=10, max-age=0"), Some(0));
        for nonsense in [
            "",
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=x",
            "max-age=99999999999999999999",
            "no-store",
        ] {
            assert_eq!(told(nonsense), None, "{nonsense}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }

    fn answer(status: StatusCode, etag: &'static str, body: &str) -> Fetched {
        let headers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static(etag))]);
        Fetched {
            status,
            headers,
            body: body.as_bytes().to_vec(),
        }
    }

    /// If the ETag of a set without a usable key were sent, each 304 would confirm the old keys
    /// forever.
    #[test]
    fn the_etag_of_a_set_without_a_usable_key_is_not_sent_along() {
        let keys = Forge::of(Algorithm::EdDsa).keys;
        let usable =
            serde_json::to_string(&keys.keys.iter().collect::<PublicKeySet>()).expect("JSON");
        let mut fetcher = Fetcher::new(Place::OfOthers(Box::new(|| {
            Box::pin(async { Err(String::new()) })
        })));
        assert!(
            fetcher
                .read(answer(StatusCode::NOT_MODIFIED, "none", ""))
                .is_err(),
            "nothing can be unchanged yet"
        );
        fetcher
            .read(answer(StatusCode::OK, "usable", &usable))
            .expect("keys");
        for unusable in [
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kty":"oct","kid":"a"}]}"#,
            "no JSON",
            "",
        ] {
            assert!(
                fetcher
                    .read(answer(StatusCode::OK, "unusable", unusable))
                    .is_err(),
                "{unusable}"
            );
            assert!(
                fetcher
                    .read(answer(StatusCode::INTERNAL_SERVER_ERROR, "error", &usable))
                    .is_err()
            );
            assert_eq!(
                fetcher.etag.as_ref().expect("of the usable set"),
                "usable",
                "{unusable}"
            );
        }
        let unchanged = fetcher
            .read(answer(StatusCode::NOT_MODIFIED, "usable", ""))
            .expect("unchanged");
        assert!(unchanged.changed.is_none());
    }
}
