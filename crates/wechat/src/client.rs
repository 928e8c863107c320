//! The HTTP client of WeChat's API, one per worker thread. This file has the parts that all calls
//! share; each call has a file of its own.

use std::time::{Duration, Instant};
use std::{fmt::Display, rc::Rc, str::FromStr};

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::time::{Instant as Deadline, sleep, timeout_at};
use wxmint_ids::AppId;
use wxmint_upstream::{
    Breaker, CallOutcome, Fetched, HttpClientError, Permit, ProxyUrl, Tls, Upstream,
};

use super::{Api, App, AppAccessToken, CallError, Result, Verdict};
use super::{api::Row, api::number_or_quoted, call_error::loggable};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time for both attempts together, to the last byte of the response.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most calls of one API in flight in one process. Each has a connection of about 25 KiB. One
/// app gets at most seven eighths of them: if a call takes 50 ms, that allows 9,000 logins per
/// second.
const MAX_IN_FLIGHT: u32 = 512;
/// The largest picture that is read, in bytes. A picture of 430 pixels has 30 to 100 KiB. Many of
/// them may be in memory at a time.
pub const MAX_PICTURE: usize = 128 * 1024;

/// The deadline of a call that begins now.
pub(super) fn call_ends() -> Deadline {
    Deadline::now() + TOTAL_TIMEOUT
}

/// Observes each call that is sent, for metrics and traces.
pub trait Observer {
    /// An attempt of a call has ended, after the time `took`. `api` is its name in metrics.
    fn call_ended(&self, api: &'static str, app: &AppId, error: Option<&CallError>, took: Duration);
}

impl Observer for () {
    fn call_ended(&self, _: &'static str, _: &AppId, _: Option<&CallError>, _: Duration) {}
}

/// A client of WeChat's API.
pub struct WeChat {
    http: Upstream,
    /// The same client, with the size limit for pictures.
    pictures: Upstream,
    endpoints: [Endpoint; Api::ROWS.len()],
    /// Limits the logins in flight by the address that they come from.
    logins: Rc<Breaker<String>>,
    observer: Box<dyn Observer>,
}

/// One API, made from its row of the table. Each has its own breaker, so that an outage of `/wxa`
/// or `/cgi-bin` never affects logins by code. Only configured apps make calls, so the breaker
/// never stores an AppID that a stranger made up.
pub(super) struct Endpoint {
    url: Url,
    name: &'static str,
    spends_a_code: bool,
    breaker: Rc<Breaker<AppId>>,
}

impl Endpoint {
    fn new((path, name, spends_a_code): Row, base: &Url, workers: u32) -> Self {
        let mut url = base.clone();
        url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
        Self {
            url,
            name,
            spends_a_code,
            breaker: Breaker::new(MAX_IN_FLIGHT, workers),
        }
    }

    pub(super) fn get<'q>(&self, query: impl IntoIterator<Item = (&'q str, &'q str)>) -> Request {
        let mut url = self.url.clone();
        let mut query = query.into_iter().peekable();
        if query.peek().is_some() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Request::new(Method::GET, url)
    }

    pub(super) fn post<const N: usize>(
        &self,
        query: [(&str, &str); N],
        body: &impl Serialize,
    ) -> Request {
        let mut request = self.get(query);
        *request.method_mut() = Method::POST;
        let body =
            serde_json::to_vec(body).expect("texts, numbers and booleans can be written as JSON");
        *request.body_mut() = Some(body.into());
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request
    }
}

impl WeChat {
    /// Makes a client for the API at `base` (`https://api.weixin.qq.com`, or the simulator), for
    /// one of `workers` threads. Its calls leave through the proxy, if there is one. They are
    /// reported to `observer`, which may be `()`.
    pub fn new(
        base: &Url,
        proxy: Option<&ProxyUrl>,
        tls: &Tls,
        workers: u32,
        observer: impl Observer + 'static,
    ) -> Result<Self, HttpClientError> {
        let endpoints = Api::ROWS.map(|row| Endpoint::new(row, base, workers));
        let http = Upstream::through(proxy, tls, CONNECT_TIMEOUT, TOTAL_TIMEOUT)?;
        let logins = Breaker::new(MAX_IN_FLIGHT * 7 / 8, workers);
        Ok(Self {
            pictures: http.clone().reading(MAX_PICTURE),
            http,
            endpoints,
            logins,
            observer: Box::new(observer),
        })
    }

    /// A permit for a login from this address, to be held until WeChat has answered. One address
    /// gets at most seven eighths of an app's permits, so that it cannot block other addresses
    /// while WeChat is slow.
    pub fn place_for(&self, address: &str) -> Result<Permit<String>> {
        Ok(self.logins.admit(&address.to_owned(), Instant::now())?)
    }

    /// The time by WeChat's clock; `None` if the response has no date. Sends neither a secret nor a
    /// code.
    pub async fn date(&self) -> Result<Option<DateTime<Utc>>> {
        let mut url = self.endpoints[Api::StableToken as usize].url.clone();
        url.set_path("/");
        Ok(self
            .http
            .fetch(Request::new(Method::GET, url))
            .await?
            .date())
    }

    /// Makes a call for an app, if the endpoint's breaker allows it. Makes at most two attempts,
    /// before the deadline `until`.
    pub(super) async fn call<T>(
        &self,
        until: Deadline,
        api: Api,
        app: &App,
        request: impl Fn(&Endpoint) -> Request,
        read: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let breaker = &self.endpoints[api as usize].breaker;
        let permit = breaker.admit(&app.id, Instant::now())?;
        let called = self.attempts(until, api, app, &request, &read).await;
        let outcome = match &called {
            Ok(_) => CallOutcome::Succeeded,
            Err(error) => error.outcome(),
        };
        permit.ended(outcome, Instant::now());
        called
    }

    /// Makes one attempt, and another one if the first one's error allows it.
    async fn attempts<T>(
        &self,
        until: Deadline,
        api: Api,
        app: &App,
        request: &impl Fn(&Endpoint) -> Request,
        read: &impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let first = self.attempt(until, api, app, request, read).await;
        let Err(error) = &first else { return first };
        let spends_a_code = self.endpoints[api as usize].spends_a_code;
        let Some(pause) = error.pause_before_another(spends_a_code) else {
            return first;
        };
        sleep(pause).await;
        let second = self.attempt(until, api, app, request, read).await;
        if matches!(error, CallError::NotSent { .. }) {
            second
        } else {
            second.map_err(CallError::after_an_answer)
        }
    }

    async fn attempt<T>(
        &self,
        until: Deadline,
        api: Api,
        app: &App,
        request: &impl Fn(&Endpoint) -> Request,
        read: &impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let endpoint = &self.endpoints[api as usize];
        let started = Instant::now();
        let answer = match self.fetch(until, api, request(endpoint)).await {
            Ok(body) => read(&body).map_err(|error| error.of_reading(&body)),
            Err(error) => Err(error),
        };
        self.observer.call_ended(
            endpoint.name,
            &app.id,
            answer.as_ref().err(),
            started.elapsed(),
        );
        answer
    }

    /// Sends a request, and returns the body of the response. The status is ignored because it says
    /// nothing.
    async fn fetch(&self, until: Deadline, api: Api, request: Request) -> Result<Vec<u8>> {
        let http = if api == Api::MiniProgramCode {
            &self.pictures
        } else {
            &self.http
        };
        let fetched = timeout_at(until, http.fetch(request)).await;
        let in_time = fetched.map_err(|_| CallError::unanswered("no answer within 5 s"))?;
        let Fetched { mut body, .. } = in_time?;
        if api != Api::MiniProgramCode {
            blank_control_characters(&mut body);
        }
        Ok(body)
    }
}

/// The calls of an app or a platform that are authenticated by its access token.
#[derive(Clone, Copy)]
pub struct ByToken<'a> {
    pub wechat: &'a WeChat,
    /// The app or platform that the token belongs to.
    pub app: &'a App,
    pub token: &'a AppAccessToken,
}

impl ByToken<'_> {
    pub(super) async fn post<T>(
        self,
        api: Api,
        body: &impl Serialize,
        read: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let (path, ..) = Api::ROWS[api as usize];
        let is_of_platform = path.starts_with("/cgi-bin/component/");
        let query = [(
            if is_of_platform {
                "component_access_token"
            } else {
                "access_token"
            },
            self.token.expose(),
        )];
        self.wechat
            .call(
                call_ends(),
                api,
                self.app,
                |endpoint| endpoint.post(query, body),
                read,
            )
            .await
    }
}

/// The outcome of a call. WeChat sends it in the same object as the result, with the same status
/// and content type.
#[derive(Deserialize)]
struct Outcome {
    #[serde(default, deserialize_with = "number_or_quoted")]
    errcode: i64,
    errmsg: Option<String>,
}

/// Parses the value of a member. The error does not quote the value.
pub(super) fn parsed<T: FromStr<Err: Display>>(name: &str, member: &str) -> Result<T> {
    member
        .parse()
        .map_err(|error| CallError::unanswered(format!("a value of {name} that {error}")))
}

/// Replaces control characters by spaces, in constant time. WeChat writes them unescaped into
/// people's nicknames and the names of shops, which JSON does not allow (RFC 8259 section 7). No
/// member that we read contains any.
pub(super) fn blank_control_characters(text: &mut [u8]) {
    for byte in text {
        *byte = (*byte).max(b' ');
    }
}

/// Reads the body of a response: the result, or WeChat's refusal. Status and content type are
/// ignored.
pub(super) fn read<T: DeserializeOwned>(api: Api, body: &[u8]) -> Result<T> {
    let Outcome { errcode, errmsg } = from_json(body)?;
    if errcode == 0 {
        return from_json(body);
    }
    let errmsg = loggable(&errmsg.unwrap_or_default());
    Err(CallError::Refused {
        errcode,
        errmsg,
        verdict: Verdict::of(api, errcode),
    })
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    // serde_json's message is dropped because it may quote the body, which may contain a
    // session_key.
    serde_json::from_slice(body).map_err(|_| {
        CallError::unanswered(format!(
            "{} bytes that are not JSON of its form",
            body.len()
        ))
    })
}

/// Treats a member as missing if it is empty, or longer than anything that WeChat sends.
pub(super) fn believed(member: Option<String>) -> Option<String> {
    member.filter(|text| (1..=1024).contains(&text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_another_one_a_place_at_the_same_app() {
        let base = "https://api.example".parse().expect("a URL");
        let wechat = WeChat::new(&base, None, &Tls::reaching([&base]).expect("roots"), 2, ())
            .expect("a client");
        let breaker = &wechat.endpoints[Api::Code2Session as usize].breaker;
        let app: AppId = "wx0123456789abcdef".parse().expect("an AppID");
        let call = |address: &str| {
            Ok::<_, CallError>((
                wechat.place_for(address)?,
                breaker.admit(&app, Instant::now())?,
            ))
        };
        let in_flight: Vec<_> = (0..MAX_IN_FLIGHT)
            .map_while(|_| call("192.0.2.1").ok())
            .collect();
        assert_eq!(in_flight.len(), 196, "of the app's 224");
        assert!(
            (0..20)
                .map(|_| call("192.0.2.2"))
                .collect::<Result<Vec<_>, _>>()
                .is_ok()
        );
    }

    #[test]
    fn each_control_character_of_a_persons_text_becomes_a_space() {
        for control in 0..b' ' {
            let mut body = format!(
                "{{\"openid\":\"o1\",\"nickname\":\"a{}b\"}}",
                char::from(control)
            )
            .into_bytes();
            blank_control_characters(&mut body);
            let read = serde_json::from_slice::<serde_json::Value>(&body);
            assert_eq!(
                read.expect("JSON"),
                serde_json::json!({"openid": "o1", "nickname": "a b"}),
                "{control}"
            );
        }
    }
}
