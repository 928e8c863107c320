//! One request and its response, with a limit, and errors without the URL.

use std::mem;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Client, Request, StatusCode};

use super::describe;

/// An HTTP client for one worker thread, with a deadline. A clone has the same connections.
#[derive(Clone)]
pub struct Upstream {
    pub(super) client: Client,
    /// The largest response that is read, in bytes.
    pub(super) most: usize,
    /// Through which proxy, for errors; empty without one.
    pub(super) way: String,
}

/// A response of any status.
pub struct Fetched {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Fetched {
    /// The time by the clock of who answered, if the answer says it.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
    }
}

/// Why there is no response. The reason is for the log and contains no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No byte of the request left.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The request may have been received.
    #[error("{0}")]
    Unanswered(String),
}

impl Upstream {
    /// Sends the request once and reads the body, whatever the status. No other function sends requests, and its errors
    /// never contain the URL, which may hold a secret.
    pub async fn fetch(&self, request: Request) -> Result<Fetched, FetchError> {
        let mut response = self.client.execute(request).await.map_err(|error| {
            let unsent = error.is_connect();
            let reason = format!("{}{}", self.way, describe(&error.without_url()));
            if unsent { FetchError::NotSent(reason) } else { FetchError::Unanswered(reason) }
        })?;
        let (status, headers) = (response.status(), mem::take(response.headers_mut()));
        let mut body = Vec::with_capacity(256);
        let broken = |error: reqwest::Error| FetchError::Unanswered(describe(&error.without_url()));
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > self.most {
                return Err(FetchError::Unanswered(format!("more than {} KiB", self.most / 1024)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched { status, headers, body })
    }
}
