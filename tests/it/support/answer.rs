//! An answer over HTTP, taken apart.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Error, RequestBuilder, header::HeaderMap, redirect};
use serde_json::Value;

use super::{PATIENCE, decoded, secrets::Secrets};

/// A hang is a failure of the test and not of its patience.
const LONGEST: Duration = PATIENCE.saturating_mul(3);

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) sent: Instant,
    pub(crate) took: Duration,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    pub(crate) fn claims(&self) -> Value {
        decoded(&self.clone().expect_login().member("access_token")).1
    }

    /// A header's value, or "" where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("visible ASCII"))
    }

    pub(crate) fn member(&self, name: &str) -> String {
        self.json()[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name}: {self:?}"))
            .to_owned()
    }

    /// All that the answer tells, but for what no two answers have in common: its date, and its request id, named
    /// twice.
    #[track_caller]
    pub(crate) fn told(&self) -> String {
        let headers = self.headers.iter().filter(|(name, _)| *name != "date");
        let mut headers: Vec<_> = headers
            .map(|(name, value)| format!("{name}: {value:?}"))
            .collect();
        // They come in an order of their own each time.
        headers.sort();
        let (told, id) = (
            format!("{}\n{headers:#?}\n{}", self.status, self.body),
            self.member("request_id"),
        );
        assert_eq!(
            told.matches(&id).count(),
            2,
            "in the body and in a header: {told}"
        );
        told.replace(&id, "ID")
    }

    #[track_caller]
    pub(crate) fn expect_login(self) -> Self {
        assert_eq!(self.status, 200, "{self:?}");
        assert!(!self.member("access_token").is_empty());
        self
    }

    /// A problem as RFC 9457 and docs/api.md have it, of this status and code.
    #[track_caller]
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(
            (&problem["code"], &problem["status"]),
            (&code.into(), &status.into()),
            "{self:?}"
        );
        for member in ["type", "title", "detail", "request_id"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{member}: {self:?}"
            );
        }
        assert_eq!(
            problem["request_id"],
            self.header("x-request-id"),
            "{self:?}"
        );
        if status == 503 || status == 429 {
            assert_eq!(
                problem["retry_after"].to_string(),
                self.header("retry-after"),
                "{self:?}"
            );
        }
        self
    }
}

/// A client that follows nothing and asks no proxy, and the secrets that have passed through it. It is one test's.
#[derive(Clone)]
pub(crate) struct Http(pub(crate) Client, pub(crate) Arc<Secrets>);

impl Http {
    pub(crate) fn new() -> Self {
        // The second test of this process finds it installed.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        // Without the system's certificates, which take long to read and of which no test has need.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .tls_certs_only([]);
        let client = client.timeout(LONGEST);
        Self(client.build().expect("a client"), Arc::default())
    }

    pub(crate) async fn try_send(&self, request: RequestBuilder) -> Result<Answer, Error> {
        let sent = Instant::now();
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let path = response.url().path().to_owned();
        let body = response.text().await?;
        let took = sent.elapsed();
        self.1.note_answer(&path, &format!("{headers:?}"), &body);
        Ok(Answer {
            status,
            headers,
            body,
            sent,
            took,
        })
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.expect("an answer")
    }

    pub(crate) async fn get(&self, url: &str) -> Answer {
        self.send(self.0.get(url)).await
    }
}
