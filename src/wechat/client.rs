//! The client: one per worker thread, connections kept alive.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use reqwest::{Method, Request, Url};

use super::{AppSecret, ExchangeError, Session, Verdict, code2session::read_answer, errcode};
use crate::{
    ids::{AppId, LoginCode},
    telemetry::{Metrics, WeChatOutcome},
    upstream::{Breaker, Closed, FetchError, Fetched, StartError, Tls, Upstream},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// From the first attempt to the last byte, a retry included.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
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

/// WeChat, as seen from one worker thread.
pub struct WeChat {
    http: Upstream,
    code2session: Url,
    breaker: Rc<Breaker>,
    metrics: Metrics,
}

impl WeChat {
    /// A client of the API at `base` (`https://api.weixin.qq.com`, or the simulator), one of `workers` in the process.
    pub fn new(base: &Url, tls: &Tls, workers: u32, metrics: Metrics) -> Result<Self, StartError> {
        let http = Upstream::new(tls, CONNECT_TIMEOUT, TOTAL_TIMEOUT)?;
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
        // The status says nothing.
        let answer = match self.http.fetch(Request::new(Method::GET, url)).await {
            Ok(Fetched { body, .. }) => read_answer(&body),
            Err(error) => Err(error.into()),
        };
        self.metrics.wechat_answered("code2session", counted(&answer), started.elapsed());
        answer
    }
}

impl From<FetchError> for ExchangeError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NotSent(reason) => Self::NotSent { reason, retry_after: Closed::RETRY_AFTER },
            FetchError::Unanswered(reason) => Self::Unanswered { reason },
        }
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
