//! The client: one per worker thread, connections kept alive.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use reqwest::{Client, Url, redirect};
use rustls_platform_verifier::ConfigVerifierExt;

use super::{
    AppSecret, ExchangeError, Session, Verdict,
    breaker::{Breaker, Closed},
    code2session::read_answer,
    errcode,
};
use crate::{
    ids::{AppId, LoginCode},
    telemetry::{Metrics, WeChatOutcome},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first attempt to the last byte, a retry included.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// WeChat closes idle connections when it likes. One that was idle for longer is not trusted: a request written into a
/// connection that is being closed may have been received, so it could not be repeated.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// The largest answer that is read. Real ones have 150 bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Calls that may wait for WeChat in one process, each with a connection of some 25 KiB: at 50 ms a call, 10,000 logins
/// a second, and when WeChat stalls, what may pile up. Shared out among the workers, with a floor for many cores.
const MAX_IN_FLIGHT: u32 = 512;
const MIN_IN_FLIGHT_PER_WORKER: u32 = 64;
/// "Retry shortly", says WeChat's page of errcode -1.
const BUSY_PAUSE: Duration = Duration::from_millis(100);

/// One mini program.
#[derive(Debug, Clone)]
pub struct App {
    /// Public.
    pub id: AppId,
    /// Goes to WeChat alone.
    pub secret: AppSecret,
}

/// Why the client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for WeChat cannot be made: {0}")]
pub struct StartError(String);

/// What is shared by the clients of all workers: the system's root certificates are read once.
#[derive(Clone)]
pub struct Tls(rustls::ClientConfig);

impl Tls {
    /// Reads the system's root certificates.
    pub fn from_system() -> Result<Self, StartError> {
        // Another part of the process may have chosen the same provider already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let config = rustls::ClientConfig::with_platform_verifier().map_err(|error| StartError(error.to_string()))?;
        Ok(Self(config))
    }
}

/// WeChat, as seen from one worker thread.
pub struct WeChat {
    http: Client,
    code2session: Url,
    breaker: Rc<Breaker>,
    metrics: Metrics,
}

impl WeChat {
    /// A client of the API at `base` (`https://api.weixin.qq.com`, or the simulator), one of `workers` in the process.
    pub fn new(base: &Url, tls: &Tls, workers: u32, metrics: Metrics) -> Result<Self, StartError> {
        let http = Client::builder()
            .tls_backend_preconfigured(tls.0.clone())
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .map_err(|error| StartError(error.without_url().to_string()))?;
        let mut code2session = base.clone();
        code2session.set_path(&format!("{}/sns/jscode2session", base.path().trim_end_matches('/')));
        let breaker = Breaker::new((MAX_IN_FLIGHT / workers.max(1)).max(MIN_IN_FLIGHT_PER_WORKER));
        Ok(Self { http, code2session, breaker, metrics })
    }

    /// Exchanges a login code (`GET /sns/jscode2session`). The code is sent once; a second time only if no byte of the
    /// first request had left, or if WeChat answered -1.
    pub async fn code2session(&self, app: &App, code: &LoginCode) -> Result<Session, ExchangeError> {
        let started = Instant::now();
        let permit = self.breaker.admit(started).map_err(|closed| ExchangeError::NotSent {
            reason: closed.reason().into(),
            retry_after: Closed::RETRY_AFTER,
        })?;
        let url = self.code2session_url(app, code);
        let exchange = async {
            match self.exchange_once(url.clone()).await {
                Err(ExchangeError::NotSent { .. }) => self.exchange_once(url).await,
                Err(ExchangeError::Refused { verdict: Verdict::Busy, .. }) => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                    self.exchange_once(url).await.map_err(ExchangeError::after_an_answer)
                }
                answer => answer,
            }
        };
        let outcome = tokio::time::timeout(TOTAL_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| Err(ExchangeError::unanswered("no answer within 5 s")));
        match &outcome {
            Err(error) if error.is_outage() => permit.failed(Instant::now()),
            _ => permit.succeeded(),
        }
        outcome
    }

    fn code2session_url(&self, app: &App, code: &LoginCode) -> Url {
        let mut url = self.code2session.clone();
        url.query_pairs_mut()
            .append_pair("appid", app.id.as_str())
            .append_pair("secret", app.secret.expose())
            .append_pair("js_code", code.as_str())
            .append_pair("grant_type", "authorization_code");
        // Written as a form, in which `+` is a space; WeChat documents percent-encoding.
        let percent_encoded = url.query().map(|query| query.replace('+', "%20"));
        url.set_query(percent_encoded.as_deref());
        url
    }

    async fn exchange_once(&self, url: Url) -> Result<Session, ExchangeError> {
        let started = Instant::now();
        let answer = match self.fetch(url).await {
            Ok(body) => read_answer(&body),
            Err(error) => Err(error),
        };
        self.metrics.wechat_answered("code2session", counted(&answer), started.elapsed());
        answer
    }

    /// Sends the request and reads the body, whatever its status. The only place that sends: errors leave it without
    /// the URL, which holds the AppSecret.
    async fn fetch(&self, url: Url) -> Result<Vec<u8>, ExchangeError> {
        let mut response = self.http.get(url).send().await.map_err(|error| {
            let unsent = error.is_connect();
            let reason = describe(error);
            if unsent {
                ExchangeError::NotSent { reason, retry_after: Closed::RETRY_AFTER }
            } else {
                ExchangeError::unanswered(reason)
            }
        })?;
        let mut body = Vec::with_capacity(256);
        while let Some(chunk) = response.chunk().await.map_err(|error| ExchangeError::unanswered(describe(error)))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(ExchangeError::unanswered("more than 64 KiB"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

fn counted(answer: &Result<Session, ExchangeError>) -> WeChatOutcome {
    match answer {
        Ok(_) => WeChatOutcome::Succeeded,
        Err(ExchangeError::Refused { errcode, .. }) => WeChatOutcome::Errcode(errcode::label(*errcode)),
        Err(ExchangeError::NotSent { .. }) => WeChatOutcome::Failed("not_sent"),
        Err(ExchangeError::Unanswered { .. }) => WeChatOutcome::Failed("unanswered"),
    }
}

/// An HTTP error with its causes, and without the URL.
fn describe(error: reqwest::Error) -> String {
    use std::error::Error;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
