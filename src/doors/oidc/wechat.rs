//! The login through WeChat's own pages: within WeChat by an official account, on a desktop by a
//! website app. WeChat's redirect counts only in the browser that the login began in, and only
//! once.
//!
//! The state of a login on its way lies in a cookie of the browser, with a MAC, and not on the
//! server. So a client that begins many logins uses up nothing that others need, and invalidates
//! nobody's login.

use std::time::Duration;

use actix_web::http::header::{COOKIE, HeaderValue, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Url;
use wxmint_http::{Answer, origin, run_to_completion};
use wxmint_ids::LoginCode;
use wxmint_keys::vault::Vault;
use wxmint_store::AttemptId;
use wxmint_telemetry::audit::{Activity, Event};
use wxmint_wechat::{App, AppExchanger, AppKind};

use super::family::{hash, hashed_key, random};
use super::page::{NOT_POSSIBLE, Page, Why, page, refused};
use super::request::{AuthorizeRequest, LONGEST, Query, Refused, read};
use super::{AtDoor, authorize::let_in, logout::see_other, root, with_sites};
use crate::issuer::{login_route::LoginAttempt, state::IssuerWorker};
use crate::login::{Attempt, Credentials, LoginProof, LoginRequest, RequestError};
use crate::oauth::clients::Client;
use crate::oauth::grant::Grant;
use crate::{apps::UnknownApp, refusals::Refusal};

/// How long a person may take on WeChat's page.
const STATE_TTL: Duration = Duration::from_mins(10);
/// The limit of returns from WeChat, counted by address. Each return is stored as used.
const RETURNED: &str = "oidc-web";
/// How many pending logins a browser keeps at a time, and how many bytes their cookies may have
/// together. The head of a request has at most 8 KiB, and a browser keeps no cookie of more than
/// 4096 bytes.
const MOST_COOKIES: usize = 10;
const MOST_COOKIE_BYTES: usize = 4096;
const COOKIE_PREFIX: &str = "__Host-wxmint-";
const LOGIN: (&str, &str) = (NOT_POSSIBLE, "/authorize");
/// The host of WeChat's API, and the host of WeChat's pages.
const WECHAT: [&str; 2] = ["https://api.weixin.qq.com", "https://open.weixin.qq.com"];

/// A pending login: the browser is on its way to WeChat and back.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    /// When the login expires, in seconds since 1970.
    until: i64,
    app: String,
    /// The query of the site's request.
    query: String,
}

impl Way {
    /// The value of the browser's cookie. It is valid only together with this `state`.
    fn cookie(&self, vault: &Vault, state: &str) -> String {
        let text = URL_SAFE_NO_PAD.encode(format!("{} {} {}", self.until, self.app, self.query));
        let mac = vault.mac(&Self::labelled(state, &text));
        format!("{text}.{mac}")
    }

    /// Reads the value of a cookie. `None` unless a replica has made it for this `state`.
    fn read(cookie: &str, vault: &Vault, state: &str) -> Option<Self> {
        let (text, mac) = cookie.split_once('.')?;
        if !vault.has_made(mac, &Self::labelled(state, text)) {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let mut parts = text.splitn(3, ' ');
        let until = parts.next()?.parse().ok()?;
        let app = parts.next()?.to_owned();
        let query = parts.next()?.to_owned();
        Some(Self { until, app, query })
    }

    /// The text that the MAC covers. The prefix keeps it apart from all other texts with a MAC that
    /// clients send back.
    fn labelled(state: &str, text: &str) -> String {
        format!("way to WeChat {state} {text}")
    }
}

/// Whether a browser is WeChat's own on a phone, which can open an official account's page. WeCom's
/// browser also has WeChat's name, but cannot open that page.
fn is_wechat(agent: &str) -> bool {
    agent.contains("MicroMessenger")
        && !agent.contains("WindowsWechat")
        && !agent.contains("wxwork")
}

/// The client's app by which this browser can log in at WeChat. `None` also if the query exceeds
/// [`LONGEST`], because it would not fit into a cookie.
pub(super) fn app_for(
    request: &HttpRequest,
    worker: &IssuerWorker,
    client: &Client,
) -> Option<App> {
    let agent = request
        .headers()
        .get(USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let kind = match agent.is_some_and(|agent| is_wechat(&agent)) {
        true => AppKind::OfficialAccount,
        false => AppKind::Website,
    };
    let apps = worker.issuer.apps.all();
    let mut own = client
        .web_apps
        .iter()
        .filter_map(|id| apps.choose(Some(id), None).ok());
    own.find(|app| app.kind == kind && request.query_string().len() <= LONGEST)
        .cloned()
}

/// On to WeChat's page
///
/// With the query of `/authorize`, for a client that has an app of the kind among its `web_apps`.
#[utoipa::path(get, path = "/authorize/web", tag = "sites",
    responses((status = 303, description = "To WeChat, or back to the site with an error"),
        (status = 400, description = "A page: it is no site's", content_type = "text/html")))]
pub(super) async fn web(request: HttpRequest, (worker, _): AtDoor) -> Answer {
    let clients = with_sites(&worker.issuer)?;
    let query = request.query_string();
    match read(query, &clients, worker.issuer.settings.issuer.as_str()) {
        Ok(asked) => send(&request, &worker, &asked),
        Err(Refused::ToPage(why)) => refused(&request, query, &worker, why),
        Err(Refused::ToSite(to)) => Ok(see_other(&to)),
    }
}

/// Redirects the browser to WeChat, with a cookie for the pending login.
pub(super) fn send(
    request: &HttpRequest,
    worker: &IssuerWorker,
    asked: &AuthorizeRequest<'_>,
) -> Answer {
    // A page of another site could begin logins by loading pictures, and their cookies would
    // displace the browser's own.
    let is_part_of_page = request
        .headers()
        .get("sec-fetch-dest")
        .is_some_and(|kind| kind != "document");
    let query = request.query_string();
    let app = app_for(request, worker, asked.client).filter(|_| !is_part_of_page);
    let Some(app) = app else {
        return refused(request, query, worker, Why::NO_WAY);
    };
    let state = AttemptId::random().to_string();
    let until = (worker.login.store.clock.now() + STATE_TTL).timestamp();
    let way = Way {
        until,
        app: app.id.to_string(),
        query: query.to_owned(),
    };
    let name = cookie_name(&state);
    let cookie = way.cookie(&worker.issuer.vault.load(), &state);
    let mut answer = see_other(&on_wechat(worker, &app, &state));
    delete_oldest(request, &mut answer, name.len() + cookie.len());
    set_cookie(&mut answer, &name, &cookie, STATE_TTL);
    Ok(answer)
}

/// The address of WeChat's login page, or of the simulator's.
fn on_wechat(worker: &IssuerWorker, app: &App, state: &str) -> String {
    let settings = &worker.issuer.settings;
    let api = settings.wechat_url.as_str().trim_end_matches('/');
    let host = if api == WECHAT[0] { WECHAT[1] } else { api };
    let (path, scope) = match app.kind {
        AppKind::OfficialAccount => ("connect/oauth2/authorize", "snsapi_userinfo"),
        _ => ("connect/qrconnect", "snsapi_login"),
    };
    let callback = format!("{}/authorize/wechat", settings.issuer);
    let members = [
        ("appid", app.id.as_str()),
        ("redirect_uri", &callback),
        ("response_type", "code"),
    ];
    let component = if let AppExchanger::Component(id) = &app.exchanger {
        Some(("component_appid", id.as_str()))
    } else {
        None
    };
    let members = members
        .into_iter()
        .chain([("scope", scope), ("state", state)])
        .chain(component);
    let url = Url::parse_with_params(&format!("{host}/{path}"), members).map(String::from);
    url.unwrap_or_default() + "#wechat_redirect"
}

/// Each pending login has its own cookie, because a browser may have several pages open.
fn cookie_name(state: &str) -> String {
    format!("{COOKIE_PREFIX}{}", &hash(state)[..8])
}

fn set_cookie(answer: &mut HttpResponse, name: &str, secret: &str, life: Duration) {
    let seconds = life.as_secs();
    let cookie =
        format!("{name}={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Deletes the oldest cookies of pending logins. Otherwise a page of another site could begin so
/// many logins that the browser's requests become too large for any server. `new` is the size of
/// the added cookie in bytes.
fn delete_oldest(request: &HttpRequest, answer: &mut HttpResponse, new: usize) {
    let own: Vec<_> = cookies(request)
        .filter(|(name, _)| name.starts_with(COOKIE_PREFIX))
        .collect();
    let mut bytes = new;
    // The latest first.
    for (kept, (name, value)) in own.iter().rev().enumerate() {
        bytes += name.len() + value.len();
        if kept >= MOST_COOKIES || bytes > MOST_COOKIE_BYTES {
            set_cookie(answer, name, "", Duration::ZERO);
        }
    }
}

/// The browser's cookies, the oldest first (RFC 6265 section 5.4). A cookie that is not UTF-8 is
/// skipped alone.
fn cookies(request: &HttpRequest) -> impl Iterator<Item = (&str, &str)> {
    let fields = request.headers().get_all(COOKIE).map(HeaderValue::as_bytes);
    let cookies = fields.flat_map(|field| field.split(|byte| *byte == b';'));
    cookies.filter_map(|cookie| str::from_utf8(cookie).ok()?.trim().split_once('='))
}

/// A page that says what to do. From it the person may begin anew at `path`.
pub(super) fn failed(
    request: &HttpRequest,
    worker: &IssuerWorker,
    (title, path): (&'static str, &str),
    query: &str,
    error: impl Into<Refusal>,
) -> HttpResponse {
    let problem = error.into().problem;
    let again = (!query.is_empty()).then(|| format!("{}{path}?{query}", root(worker)));
    let mut page = page(
        request,
        query,
        worker,
        &Page::Failed(Why::of(title, problem.code), again),
    );
    if let Some(wait) = problem.retry_after {
        page.headers_mut().insert(RETRY_AFTER, wait.into());
    }
    page
}

/// Back from WeChat
///
/// WeChat sends the browser here, with `code` and `state`.
#[utoipa::path(get, path = "/authorize/wechat", tag = "sites",
    params(("code" = Option<String>, Query, description = "WeChat's"), ("state" = String, Query, description = "Ours")),
    responses((status = 303, description = "To the site"), (status = 400, description = "A page", content_type = "text/html"),
        (status = 429, description = "A page: too many logins", content_type = "text/html")))]
pub(super) async fn callback(request: HttpRequest, at: AtDoor) -> Answer {
    run_to_completion(async move {
        let (worker, _) = &at;
        let clients = with_sites(&worker.issuer)?;
        let query = Query::of(request.query_string());
        let state = query.one("state").unwrap_or_default();
        // Without the cookie of this login, the person is not logged in: a link alone logs nobody
        // in.
        let Some(way) = way_of(&request, worker, state) else {
            return refused(&request, "", worker, Why::STATE);
        };
        match is_first(&request, worker, state).await {
            Ok(true) => {}
            Ok(false) => {
                let again = Some(format!("{}/authorize?{}", root(worker), way.query));
                return Ok(page(
                    &request,
                    &way.query,
                    worker,
                    &Page::Failed(Why::STATE, again),
                ));
            }
            Err(error) => return Ok(failed(&request, worker, LOGIN, &way.query, error)),
        }
        let asked = read(&way.query, &clients, worker.issuer.settings.issuer.as_str());
        let Ok(asked) = asked else {
            return refused(&request, &way.query, worker, Why::CLIENT);
        };
        let mut answer = match query
            .one("code")
            .and_then(|code| code.parse::<LoginCode>().ok())
        {
            Some(code) => match log_in(&request, worker, &asked, &way.app, code).await {
                Ok(to) => see_other(&to),
                Err(error) => failed(&request, worker, LOGIN, &way.query, error),
            },
            None => see_other(&asked.refused("access_denied", "The person has said no at WeChat.")),
        };
        set_cookie(&mut answer, &cookie_name(state), "", Duration::ZERO);
        Ok(answer)
    })
    .await
}

/// The pending login of this browser, unless it has expired.
fn way_of(request: &HttpRequest, worker: &IssuerWorker, state: &str) -> Option<Way> {
    let own = cookie_name(state);
    let (_, cookie) = cookies(request).find(|(name, _)| *name == own)?;
    let way = Way::read(cookie, &worker.issuer.vault.load(), state)?;
    (worker.login.store.clock.now().timestamp() < way.until).then_some(way)
}

/// Marks a pending login as used. `false` if it was used before. Counted against the address first,
/// because the mark takes memory of Redis.
async fn is_first(
    request: &HttpRequest,
    worker: &IssuerWorker,
    state: &str,
) -> Result<bool, RequestError> {
    worker
        .login
        .limits()
        .count_by_address(RETURNED, &origin(request).address.unwrap_or_default())
        .await?;
    let own = random();
    let kept = worker
        .login
        .store
        .texts
        .keep_first(&hashed_key("used-state", state), &own, 2 * STATE_TTL)
        .await?;
    Ok(kept == own)
}

/// Logs the person in. Returns the address at the site, with a code for the tokens.
async fn log_in(
    request: &HttpRequest,
    worker: &IssuerWorker,
    asked: &AuthorizeRequest<'_>,
    app: &str,
    code: LoginCode,
) -> Result<String, Refusal> {
    // The app may have been removed from the client meanwhile.
    let own = asked.client.web_apps.iter().find(|own| own.as_str() == app);
    let app = own
        .ok_or(RequestError::from(UnknownApp::NotConfigured))?
        .clone();
    let mut attempt = LoginAttempt::begin(worker, [Some(app.clone()), None]);
    attempt.audit_context.client = Some(asked.client.id.clone());
    let event = Event::new(Activity::LOGIN, origin(request));
    let login = LoginRequest {
        app: Some(app.clone()),
        app_hint: None,
        proof: LoginProof::Code(code),
        credentials: Credentials::Nothing,
    };
    let log_in = async |attempt: &mut Attempt<'_>| {
        let admission = worker.login.log_in().admit(login, attempt).await?;
        let grant = Grant::issue(&worker.login, asked.client, &admission, attempt.now).await?;
        Ok(let_in(worker, asked, grant, &app).await?)
    };
    let outcome = attempt.make(event.address(), log_in).await;
    attempt.end(event, outcome.as_ref().map(|_| false));
    outcome
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use base64::prelude::BASE64_STANDARD;

    use super::*;

    /// The names of the cookies that an answer deletes.
    fn gone(cookies: &[u8], new: usize) -> Vec<String> {
        let mut answer = HttpResponse::Ok().finish();
        let cookies = HeaderValue::from_bytes(cookies).expect("a header");
        delete_oldest(
            &TestRequest::get()
                .insert_header((COOKIE, cookies))
                .to_http_request(),
            &mut answer,
            new,
        );
        let gone = answer
            .headers()
            .get_all(SET_COOKIE)
            .map(|cookie| cookie.to_str().expect("text"));
        gone.map(|cookie| cookie.split_once('=').expect("a pair").0.to_owned())
            .collect()
    }

    #[test]
    fn a_browser_keeps_the_cookies_of_its_latest_ways_and_those_of_others() {
        let ways = (0..MOST_COOKIES + 2).map(|way| format!("{COOKIE_PREFIX}{way}=x"));
        let sent = ["theirs=1".to_owned()]
            .into_iter()
            .chain(ways)
            .collect::<Vec<_>>()
            .join("; ");
        assert_eq!(
            gone(sent.as_bytes(), 100),
            [1, 0].map(|way| format!("{COOKIE_PREFIX}{way}"))
        );
        let long = "x".repeat(1500);
        let ways: Vec<_> = (0..3)
            .map(|way| format!("{COOKIE_PREFIX}{way}={long}"))
            .collect();
        assert_eq!(
            gone(ways.join("; ").as_bytes(), 100),
            [format!("{COOKIE_PREFIX}0")]
        );
        assert_eq!(
            gone(ways.join("; ").as_bytes(), 2500),
            [1, 0].map(|way| format!("{COOKIE_PREFIX}{way}"))
        );
    }

    #[test]
    fn a_cookie_that_is_no_text_spoils_itself_alone() {
        for beside in [
            "nick=张三".as_bytes(),
            b"nick=\xe9",
            b"no pair",
            b"=",
            b"\xff\xfe=1",
        ] {
            let sent = [beside, b"; own=1;", beside, b";other=2"].concat();
            let sent = HeaderValue::from_bytes(&sent).expect("a header");
            let request = TestRequest::get()
                .insert_header((COOKIE, sent))
                .to_http_request();
            let read: Vec<_> = cookies(&request)
                .filter(|(name, _)| ["own", "other"].contains(name))
                .collect();
            assert_eq!(read, [("own", "1"), ("other", "2")], "{beside:?}");
        }
    }

    #[test]
    fn a_way_counts_with_its_own_state_and_unchanged() {
        let key = |byte: u8| {
            Vault::parse((BASE64_STANDARD.encode([byte; 32]) + "\n").as_bytes()).expect("a vault")
        };
        let query = "client_id=grafana&state=s%20t&x=\"\\";
        let way = Way {
            until: 1_700_000_000,
            app: "wx0123456789abcdef".into(),
            query: query.into(),
        };
        let cookie = way.cookie(&key(1), "a-state");
        assert_eq!(Way::read(&cookie, &key(1), "a-state"), Some(way));
        assert_eq!(Way::read(&cookie, &key(1), "another-state"), None);
        assert_eq!(Way::read(&cookie, &key(2), "a-state"), None);
        let (text, mac) = cookie.split_once('.').expect("a MAC");
        let later = URL_SAFE_NO_PAD.encode(format!("1800000000 wx0123456789abcdef {query}"));
        for changed in [
            format!("{later}.{mac}"),
            format!("{text}."),
            text.to_owned(),
            String::new(),
            ".".into(),
        ] {
            assert_eq!(Way::read(&changed, &key(1), "a-state"), None, "{changed}");
        }
        let longest = Way {
            until: i64::from(u32::MAX),
            app: "w".repeat(32),
            query: "x".repeat(LONGEST),
        };
        assert!(
            longest.cookie(&key(1), "a-state").len() < MOST_COOKIE_BYTES - 1000,
            "a browser keeps it"
        );
    }

    #[test]
    fn wecom_is_not_wechat_and_neither_is_a_desktop() {
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";
        assert!(is_wechat(&format!(
            "{phone} MicroMessenger/8.0.50(0x18003237) NetType/WIFI Language/zh_CN"
        )));
        assert!(!is_wechat(&format!(
            "{phone} wxwork/4.1.36 MicroMessenger/7.0.1 Language/zh"
        )));
        assert!(!is_wechat(
            "Mozilla/5.0 (Windows NT 6.1) wxwork/4.1.36 (MicroMessenger/6.2) WindowsWechat QBCore/3"
        ));
        assert!(!is_wechat(
            "Mozilla/5.0 (Windows NT 10.0) MicroMessenger/7.0.20 WindowsWechat(0x63090a13)"
        ));
        assert!(!is_wechat(phone));
    }
}
