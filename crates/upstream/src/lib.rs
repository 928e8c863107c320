//! The HTTP client for WeChat and for an account service. It limits the size of responses, follows
//! no redirects, ignores proxies from the environment, keeps connections open, and gives errors
//! without the URL. Only WeChat's client may have a proxy.

mod breaker;
mod proxy;
#[cfg(test)]
mod tests;

use std::{error::Error, iter, mem, net::Ipv4Addr, time::Duration};

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap};
use reqwest::{Client, Proxy, Request, StatusCode, Url, redirect};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::ConfigVerifierExt;

pub use self::breaker::{Breaker, CallOutcome, Closed, PAUSE, Permit};
pub use self::proxy::ProxyUrl;

/// A connection that was idle for longer is not reused. Services close idle connections at any time, and a request that
/// is written into a closing connection may have been received, so it could not be repeated.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest response in bytes that is read from WeChat or an account service. Real responses
/// have a few hundred.
const MAX_ANSWER: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made: {0}")]
pub struct HttpClientError(String);

/// The TLS configuration that the clients of all workers share, so that the system's root certificates are read once.
#[derive(Clone)]
pub struct Tls(rustls::ClientConfig);

impl Tls {
    /// Trusts the system's root certificates.
    pub fn from_system() -> Result<Self, HttpClientError> {
        // Fails only if another part of the process has installed the same provider already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let cure = "install ca-certificates, or name a file of root certificates in SSL_CERT_FILE";
        let config = rustls::ClientConfig::with_platform_verifier();
        config
            .map(Self)
            .map_err(|error| HttpClientError(format!("{error}; {cure}")))
    }

    /// Trusts the authorities in a PEM file, and no others.
    pub fn trusting(pem: &[u8]) -> Result<Self, HttpClientError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).filter_map(Result::ok));
        let none = "the file holds no certificate in PEM (-----BEGIN CERTIFICATE-----)";
        if roots.is_empty() {
            Err(HttpClientError(none.into()))
        } else {
            Ok(Self::with(roots))
        }
    }

    /// The configuration to reach these URLs. The system's root certificates are read only if a URL
    /// is https, because a minimal container has none.
    pub fn reaching<'a>(urls: impl IntoIterator<Item = &'a Url>) -> Result<Self, HttpClientError> {
        let needs_roots = urls.into_iter().any(|url| url.scheme() == "https");
        if needs_roots {
            Self::from_system()
        } else {
            Ok(Self::with(RootCertStore::empty()))
        }
    }

    fn with(roots: RootCertStore) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self(
            rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        )
    }
}

/// An HTTP client for one worker thread, with a deadline. A clone has the same connections.
#[derive(Clone)]
pub struct Upstream {
    client: Client,
    /// The largest response that is read, in bytes.
    most: usize,
    /// The prefix of errors that names the proxy. Empty without a proxy.
    way: String,
}

/// A response of any status.
pub struct Fetched {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Fetched {
    /// The time of the answering server's clock, from the header `Date`.
    pub fn date(&self) -> Option<DateTime<Utc>> {
        let date = self.headers.get(DATE)?.to_str().ok()?;
        Some(DateTime::parse_from_rfc2822(date).ok()?.to_utc())
    }
}

/// The reason why there is no response. Its text is for the log and contains no URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// No byte of the request was sent.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The request may have been received.
    #[error("{0}")]
    Unanswered(String),
}

/// Whether a URL is https, or http to a loopback address.
pub fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || url.scheme() == "http" && url.host_str().is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    ["localhost", "[::1]"].contains(&host)
        || host
            .parse()
            .is_ok_and(|address: Ipv4Addr| address.is_loopback())
}

/// Parses a site whose pages may read answers: a secure origin without a path, written as a browser
/// writes it.
pub fn site(text: &str) -> Option<String> {
    let url: Url = text.parse().ok()?;
    (is_secure(&url) && url.origin().ascii_serialization() == text).then(|| text.to_owned())
}

/// Whether a browser may be redirected to an address: it must be https, or http to a loopback IP
/// address (RFC 8252 section 7.3), and be written as a browser writes it.
pub fn is_redirect_uri(text: &str) -> bool {
    let Ok(url) = text.parse::<Url>() else {
        return false;
    };
    let is_loopback = url.scheme() == "http"
        && ["127.0.0.1", "[::1]"].contains(&url.host_str().unwrap_or_default());
    let has_user = !url.username().is_empty() || url.password().is_some();
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['#', '\\', '*']);
    let is_written_so = url.as_str().trim_end_matches('/') == text.trim_end_matches('/');
    (url.scheme() == "https" || is_loopback) && !has_user && is_plain && is_written_so
}

impl Upstream {
    /// A client without a proxy. `connect` limits the time to connect, and `total` the time from
    /// sending a request to the last byte of its response.
    pub fn new(tls: &Tls, connect: Duration, total: Duration) -> Result<Self, HttpClientError> {
        Self::through(None, tls, connect, total)
    }

    /// A client with a proxy. For an https URL the proxy opens a tunnel (`CONNECT`). A request to
    /// an http URL could be read by the proxy.
    pub fn through(
        proxy: Option<&ProxyUrl>,
        tls: &Tls,
        connect: Duration,
        total: Duration,
    ) -> Result<Self, HttpClientError> {
        let failed = |error: reqwest::Error| HttpClientError(error.without_url().to_string());
        let client = Client::builder()
            .tls_backend_preconfigured(tls.0.clone())
            .http1_only()
            .connect_timeout(connect)
            .timeout(total)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true);
        let through = proxy
            .map(|proxy| Proxy::all(proxy.text.as_str()))
            .transpose()
            .map_err(failed)?;
        let client = if let Some(through) = through {
            client.proxy(through)
        } else {
            client
        };
        let way = match proxy {
            Some(proxy) => format!("through the proxy {proxy}: "),
            None => String::new(),
        };
        Ok(Self {
            client: client.build().map_err(failed)?,
            most: MAX_ANSWER,
            way,
        })
    }

    /// The same client with another limit on the size of responses, in bytes.
    pub fn reading(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Sends the request once and reads the body, whatever the status. Only this function sends
    /// requests. Its errors never contain the URL, which may hold a secret.
    pub async fn fetch(&self, request: Request) -> Result<Fetched, FetchError> {
        let mut response = self.client.execute(request).await.map_err(|error| {
            let unsent = error.is_connect();
            let reason = format!("{}{}", self.way, describe(&error.without_url()));
            if unsent {
                FetchError::NotSent(reason)
            } else {
                FetchError::Unanswered(reason)
            }
        })?;
        let status = response.status();
        let headers = mem::take(response.headers_mut());
        let mut body = Vec::with_capacity(256);
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| FetchError::Unanswered(describe(&error.without_url())))?
        {
            if body.len() + chunk.len() > self.most {
                return Err(FetchError::Unanswered(format!(
                    "more than {} KiB",
                    self.most / 1024
                )));
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

/// The text of an error, followed by its causes unless the text already ends with them.
pub fn describe(error: &dyn Error) -> String {
    let causes = iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string);
    causes.fold(error.to_string(), |text, cause| {
        if text.ends_with(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}
