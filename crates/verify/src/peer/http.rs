//! The HTTP client for keys and revocations. Time and size are limited, redirects are not followed,
//! proxies in the environment are ignored, and errors do not contain the URL.

use std::{error::Error, iter, mem, time::Duration};

use reqwest::{Client, Request, StatusCode, header::HeaderMap, redirect};

const CONNECT: Duration = Duration::from_secs(2);
/// The longest time from sending a request to the last byte of its response. Together with the
/// longest pause between two polls of a feed, it is less than the 10 s for which a starting peer
/// waits for a page.
const TOTAL: Duration = Duration::from_secs(4);
/// A connection that was idle for longer is not reused, because the issuer may be closing it.
const IDLE: Duration = Duration::from_secs(20);

/// Why an HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "the HTTP client cannot be made: {0}; https needs root certificates: ca-certificates, or SSL_CERT_FILE"
)]
pub struct StartError(String);

/// Clones share their connections.
#[derive(Clone)]
pub(super) struct Http(Client);

/// A response of any status.
pub(super) struct Fetched {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// Without `tls`, the system's root certificates are not read, because a bare container has
    /// none.
    pub(super) fn new(tls: bool) -> Result<Self, StartError> {
        // This fails only if another part of the process has installed a provider already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = if tls {
            Client::builder()
        } else {
            Client::builder().tls_certs_only([])
        };
        client
            .http1_only()
            .connect_timeout(CONNECT)
            .timeout(TOTAL)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map(Self)
            .map_err(|error| StartError(describe(error)))
    }

    /// Sends the request once and reads a body of at most `most` bytes. The error says what
    /// happened, for the log.
    pub(super) async fn fetch(&self, most: usize, request: Request) -> Result<Fetched, String> {
        let mut response = self.0.execute(request).await.map_err(describe)?;
        let (status, headers) = (response.status(), mem::take(response.headers_mut()));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(describe)? {
            if body.len() + chunk.len() > most {
                return Err(format!("more than {} KiB", most / 1024));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Fetched {
            status,
            headers,
            body,
        })
    }
}

/// The text of an error with its causes, without the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let causes = iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
