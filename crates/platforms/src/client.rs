//! The HTTP client of one worker thread.

use std::rc::Rc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::json;
use tokio::time::{Instant as Deadline, timeout_at};
use wxmint_ids::{AppId, LoginCode, Platform};
use wxmint_upstream::{Breaker, CallOutcome, HttpClientError, ProxyUrl, Tls, Upstream};
use wxmint_wechat::{
    AlipayKeys, App, AppExchanger, PlatformApp, PlatformCredentials, PlatformSecret, Session,
};

use crate::alipay;
use crate::answer::read;
use crate::error::PlatformError;
use crate::table::{CALLS, CodeCall, Encoding, place_of};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The time for both attempts together, to the last byte of the answer.
const TOTAL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most calls of one row in flight in one process, as for WeChat.
const MAX_IN_FLIGHT: u32 = 512;

/// Observes each call that is sent, for metrics and traces.
pub trait Observer {
    /// An attempt of a call has ended, after the time `took`.
    fn call_ended(
        &self,
        platform: Platform,
        app: &AppId,
        error: Option<&PlatformError>,
        took: Duration,
    );
}

impl Observer for () {
    fn call_ended(&self, _: Platform, _: &AppId, _: Option<&PlatformError>, _: Duration) {}
}

/// A client of all platforms of the table.
pub struct Platforms {
    http: Upstream,
    endpoints: [Endpoint; CALLS.len()],
    alipay: Endpoint,
    now: fn() -> DateTime<Utc>,
    observer: Box<dyn Observer>,
}

/// The endpoint of one row of the table, or Alipay's. Each has its own breaker, so that an outage of one
/// platform never affects another.
struct Endpoint {
    url: Url,
    breaker: Rc<Breaker<AppId>>,
}

impl Platforms {
    /// Makes a client for one of `workers` threads. `stand_in` is asked in place of the platforms, if
    /// it is given: `http://127.0.0.1:8090` is asked for `/_douyin/api/…`. Calls leave through the
    /// proxy, if there is one. `now` is the clock. Calls are reported to `observer`, which may be `()`.
    pub fn new(
        stand_in: Option<&Url>,
        proxy: Option<&ProxyUrl>,
        tls: &Tls,
        workers: u32,
        now: fn() -> DateTime<Utc>,
        observer: impl Observer + 'static,
    ) -> Result<Self, HttpClientError> {
        let endpoint = |url| Endpoint {
            url,
            breaker: Breaker::new(MAX_IN_FLIGHT, workers),
        };
        let endpoints = CALLS.each_ref().map(|call| endpoint(url(call, stand_in)));
        let alipay = url_at(Platform::Alipay, alipay::URL, stand_in);
        Ok(Self {
            http: Upstream::through(proxy, tls, CONNECT_TIMEOUT, TOTAL_TIMEOUT)?,
            endpoints,
            alipay: endpoint(alipay),
            now,
            observer: Box::new(observer),
        })
    }

    /// A URL that is asked for these apps: the stand-in's, if it is given, or that of the first app of
    /// another platform than WeChat. The client's TLS must be able to reach it.
    pub fn reached<'a>(
        stand_in: Option<&Url>,
        mut apps: impl Iterator<Item = &'a App>,
    ) -> Option<Url> {
        stand_in.cloned().or_else(|| apps.find_map(Self::origin))
    }

    fn origin(app: &App) -> Option<Url> {
        let AppExchanger::Platform(app) = &app.exchanger else {
            return None;
        };
        Some(match Exchange::of(app)? {
            Exchange::ByRow(place, _) => url(&CALLS[place], None),
            Exchange::AtAlipay(_) => url_at(Platform::Alipay, alipay::URL, None),
        })
    }

    /// Exchanges a login code of an app. The code is sent once. It is sent a second time only if no
    /// byte of the first request was sent.
    pub async fn exchange(
        &self,
        id: &AppId,
        app: &PlatformApp,
        code: &LoginCode,
    ) -> Result<Session, PlatformError> {
        let platform = app.platform;
        let exchange = Exchange::of(app).ok_or_else(|| {
            PlatformError::unanswered(platform, "wxmint does not know how to exchange its codes")
        })?;
        let endpoint = match exchange {
            Exchange::ByRow(place, _) => &self.endpoints[place],
            Exchange::AtAlipay(_) => &self.alipay,
        };
        let call = Call {
            exchange,
            endpoint,
            id,
            app,
            code,
        };
        let permit = endpoint
            .breaker
            .admit(id, Instant::now())
            .map_err(|closed| PlatformError::of_breaker(platform, closed))?;
        let until = Deadline::now() + TOTAL_TIMEOUT;
        let mut answered = self.attempt(until, &call).await;
        if matches!(answered, Err(PlatformError::NotSent { .. })) {
            answered = self.attempt(until, &call).await;
        }
        let outcome = match &answered {
            Ok(_) => CallOutcome::Succeeded,
            Err(error) => error.outcome(),
        };
        permit.ended(outcome, Instant::now());
        answered
    }

    async fn attempt(&self, until: Deadline, call: &Call<'_>) -> Result<Session, PlatformError> {
        let started = Instant::now();
        let answered = self.fetch(until, call).await;
        self.observer.call_ended(
            call.app.platform,
            call.id,
            answered.as_ref().err(),
            started.elapsed(),
        );
        answered
    }

    async fn fetch(&self, until: Deadline, call: &Call<'_>) -> Result<Session, PlatformError> {
        let platform = call.app.platform;
        let now = (self.now)();
        let fetched = timeout_at(until, self.http.fetch(call.request(now))).await;
        let fetched = fetched
            .map_err(|_| PlatformError::unanswered(platform, "no answer within 5 s"))?
            .map_err(|error| PlatformError::of_fetch(platform, error))?;
        if fetched.status.is_server_error() {
            let reason = format!("HTTP status {}", fetched.status.as_u16());
            return Err(PlatformError::unanswered(platform, reason));
        }
        match call.exchange {
            Exchange::ByRow(place, _) => read(&CALLS[place], call.id, call.app, &fetched.body, now),
            Exchange::AtAlipay(keys) => alipay::read(call.app, keys, &fetched.body),
        }
    }
}

/// How the codes of an app are exchanged.
enum Exchange<'a> {
    /// By a row of the table.
    ByRow(usize, &'a PlatformSecret),
    AtAlipay(&'a AlipayKeys),
}

impl<'a> Exchange<'a> {
    fn of(app: &'a PlatformApp) -> Option<Self> {
        match &app.credentials {
            PlatformCredentials::Secret(secret) => {
                Some(Self::ByRow(place_of(app.platform, app.is_game)?, secret))
            }
            PlatformCredentials::Alipay(keys) => Some(Self::AtAlipay(keys)),
        }
    }
}

/// The exchange of one code.
struct Call<'a> {
    exchange: Exchange<'a>,
    endpoint: &'a Endpoint,
    id: &'a AppId,
    app: &'a PlatformApp,
    code: &'a LoginCode,
}

impl Call<'_> {
    fn request(&self, now: DateTime<Utc>) -> Request {
        match self.exchange {
            Exchange::ByRow(place, secret) => {
                let values = [self.id.as_str(), secret.expose(), self.code.as_str()];
                self.endpoint.request(&CALLS[place], values)
            }
            Exchange::AtAlipay(keys) => {
                alipay::request(&self.endpoint.url, self.id, keys, self.code, now)
            }
        }
    }
}

impl Endpoint {
    /// The request with the AppID, the secret and the code.
    fn request(&self, call: &CodeCall, values: [&str; 3]) -> Request {
        let grant_type = ("grant_type", "authorization_code");
        let pairs = call.names.into_iter().zip(values);
        let pairs = pairs.chain(call.has_grant_type.then_some(grant_type));
        let mut url = self.url.clone();
        let (body, content_type) = match call.encoding {
            Encoding::Query => {
                url.query_pairs_mut().extend_pairs(pairs);
                return Request::new(Method::GET, url);
            }
            Encoding::Json => {
                let object: serde_json::Map<_, _> = pairs
                    .map(|(name, value)| (name.to_owned(), json!(value)))
                    .collect();
                (json!(object).to_string(), "application/json")
            }
            Encoding::Form => (form(pairs), "application/x-www-form-urlencoded"),
        };
        post(url, body, content_type)
    }
}

/// A body in the encoding of a form.
pub(crate) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    // A query has the same encoding.
    let mut url: Url = "http://form".parse().expect("a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

pub(crate) fn post(url: Url, body: String, content_type: &'static str) -> Request {
    let mut request = Request::new(Method::POST, url);
    *request.body_mut() = Some(body.into());
    let content_type = HeaderValue::from_static(content_type);
    request.headers_mut().insert(CONTENT_TYPE, content_type);
    request
}

fn url(call: &CodeCall, stand_in: Option<&Url>) -> Url {
    url_at(call.platform, &[call.origin, call.path].concat(), stand_in)
}

/// The URL of a platform, or the same path at the stand-in, below the platform's name.
fn url_at(platform: Platform, own: &str, stand_in: Option<&Url>) -> Url {
    let own: Url = own.parse().expect("each platform has a URL");
    let Some(stand_in) = stand_in else {
        return own;
    };
    let mut url = stand_in.clone();
    let before = stand_in.path().trim_end_matches('/');
    url.set_path(&format!("{before}/_{platform}{}", own.path()));
    url
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use wxmint_ids::UnionScope;

    use super::*;

    /// A server that answers one request so. Returns its URL.
    fn answers(answer: &'static str) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            // The request fits into one segment on this machine.
            let _ = stream.read(&mut [0; 4096]).expect("a request");
            stream.write_all(answer.as_bytes()).expect("an answer sent");
        });
        format!("http://{address}").parse().expect("a URL")
    }

    #[tokio::test]
    async fn a_good_answer_with_the_status_of_a_broken_server_names_nobody() {
        for (answer, is_named) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"openid\":\"a\"}",
                true,
            ),
            (
                "HTTP/1.1 400 Bad Request\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"openid\":\"a\"}",
                true,
            ),
            (
                "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"openid\":\"a\"}",
                false,
            ),
        ] {
            let url = answers(answer);
            let tls = Tls::reaching([&url]).expect("roots");
            let platforms = Platforms::new(Some(&url), None, &tls, 1, || DateTime::UNIX_EPOCH, ())
                .expect("a client");
            let app = PlatformApp {
                platform: Platform::Qq,
                is_game: false,
                credentials: PlatformCredentials::Secret("01234567".parse().expect("a secret")),
                unions: UnionScope::new(Platform::Qq, "qq").expect("a scope"),
            };
            let id = "111".parse().expect("an AppID");
            let code = "code".parse().expect("a code");
            let named = platforms.exchange(&id, &app, &code).await;
            assert_eq!(named.is_ok(), is_named, "{answer}: {named:?}");
        }
    }

    fn requests(stand_in: Option<&str>) -> Vec<String> {
        let stand_in = stand_in.map(|url| url.parse().expect("a URL"));
        let shown = |call: &'static CodeCall| {
            let endpoint = Endpoint {
                url: url(call, stand_in.as_ref()),
                breaker: Breaker::new(1, 1),
            };
            let request = endpoint.request(call, ["tt1", "s&+", "c=/"]);
            let body = request.body().and_then(|body| body.as_bytes());
            let body = String::from_utf8_lossy(body.unwrap_or_default()).into_owned();
            format!("{} {} {body}", request.method(), request.url())
        };
        CALLS.iter().map(shown).collect()
    }

    #[test]
    fn each_platform_is_asked_as_its_pages_say() {
        assert_eq!(
            requests(None),
            [
                r#"POST https://developer.toutiao.com/api/apps/v2/jscode2session {"appid":"tt1","code":"c=/","secret":"s&+"}"#,
                "GET https://minigame.zijieapi.com/mgplatform/api/apps/jscode2session?appid=tt1&secret=s%26%2B&code=c%3D%2F ",
                "GET https://api.q.qq.com/sns/jscode2session?appid=tt1&secret=s%26%2B&js_code=c%3D%2F&grant_type=authorization_code ",
                "POST https://open.kuaishou.com/oauth2/mp/code2session app_id=tt1&app_secret=s%26%2B&js_code=c%3D%2F",
                "GET https://miniapp.bilibili.com/api/sns/jscode2session?appid=tt1&secret=s%26%2B&js_code=c%3D%2F&grant_type=authorization_code ",
                "POST https://oauth-login.cloud.huawei.com/oauth2/v3/token client_id=tt1&client_secret=s%26%2B&code=c%3D%2F&grant_type=authorization_code",
            ]
        );
        for request in requests(Some("http://127.0.0.1:8090/")) {
            assert!(request.contains(" http://127.0.0.1:8090/_"), "{request}");
        }
    }
}
