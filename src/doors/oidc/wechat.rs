//! The way through WeChat's own pages: within WeChat by an official account, on a desktop by a website app. What WeChat
//! brings back counts in the browser alone that was sent there, and once.

use std::time::Duration;

use actix_web::http::header::{COOKIE, HeaderValue, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use actix_web::{HttpRequest, HttpResponse};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use wxmint_http::{Answer, origin, to_the_end};
use wxmint_ids::LoginCode;
use wxmint_store::AttemptId;
use wxmint_telemetry::audit::{Activity, Event};
use wxmint_wechat::{App, AppKind};

use super::family::{hash, hashed_key, key, random};
use super::page::{NOT_POSSIBLE, Page, Why, page, refused};
use super::request::{AuthorizeRequest, LONGEST, Query, Refused, read};
use super::{AtDoor, authorize::let_in, leave::see_other, root, with_sites};
use crate::doors::scan::clients::Client;
use crate::doors::scan::store::{enlist, json, strike};
use crate::issuer::{login_route::LoginAttempt, state::IssuerWorker};
use crate::login::{Attempt, Identity, LoginError, LoginProof, LoginRequest, Result};
use crate::{apps::UnknownApp, refusals::Refusal};

/// How long a person may take on WeChat's page.
const STATE_TTL: Duration = Duration::from_secs(600);
/// Ways to WeChat that were begun, by address.
const SENT: &str = "oidc-web";
/// The open ways of an address, for each client. One more makes the oldest nothing, so that nobody keeps others out.
const MOST_WAYS: usize = 100;
/// In one browser.
const MOST_COOKIES: usize = 10;
const COOKIE_PREFIX: &str = "__Host-wxmint-";
const LOGIN: (&str, &str) = (NOT_POSSIBLE, "/authorize");
/// WeChat's own host, and that of its pages.
const WECHAT: [&str; 2] = ["https://api.weixin.qq.com", "https://open.weixin.qq.com"];

/// A browser that was sent to WeChat.
#[derive(Serialize, Deserialize)]
struct Sent {
    /// The site has asked for this.
    query: String,
    app: String,
    /// It is a way of this client and address.
    address: String,
    /// The hash of the browser's cookie.
    browser: String,
}

/// The client's app by which this browser can go to WeChat. A query above [`LONGEST`] is not kept for strangers.
pub(super) fn app_for(request: &HttpRequest, worker: &IssuerWorker, client: &Client) -> Option<App> {
    let agent = request.headers().get(USER_AGENT).map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let is_wechat = agent.is_some_and(|agent| agent.contains("MicroMessenger") && !agent.contains("WindowsWechat"));
    let kind = if is_wechat { AppKind::OfficialAccount } else { AppKind::Website };
    let apps = worker.issuer.apps.all();
    let mut own = client.web_apps.iter().filter_map(|id| apps.choose(Some(id), None).ok());
    own.find(|app| app.kind == kind && request.query_string().len() <= LONGEST).cloned()
}

/// On to WeChat's page
///
/// With the query of `/authorize`, for a client that has an app of the kind among its `web_apps`.
#[utoipa::path(get, path = "/authorize/web", tag = "sites",
    responses((status = 303, description = "To WeChat, or back to the site with an error"),
        (status = 400, description = "A page: it is no site's", content_type = "text/html"),
        (status = 429, description = "A page: too many at WeChat", content_type = "text/html")))]
pub(super) async fn web(request: HttpRequest, (worker, scan, _): AtDoor) -> Answer {
    let clients = with_sites(&scan)?;
    let query = request.query_string();
    match read(query, &clients, worker.issuer.settings.issuer.as_str()) {
        Ok(asked) => send(&request, &worker, &asked).await,
        Err(Refused::ToPage(why)) => refused(&request, query, &worker, why),
        Err(Refused::ToSite(to)) => Ok(see_other(&to)),
    }
}

pub(super) async fn send(request: &HttpRequest, worker: &IssuerWorker, asked: &AuthorizeRequest<'_>) -> Answer {
    // A stranger's page could use up what its visitor's address has by pictures, which a browser tells apart.
    let is_part_of_page = request.headers().get("sec-fetch-dest").is_some_and(|kind| kind != "document");
    let query = request.query_string();
    let begun = async {
        let Some(app) = app_for(request, worker, asked.client).filter(|_| !is_part_of_page) else { return Ok(None) };
        let address = origin(request).address.unwrap_or_default();
        worker.login.count_by(SENT, &address).await?;
        let (state, secret, store) = (AttemptId::random().to_string(), random(), &worker.login.store);
        let (address, now) = (format!("{} {address}", asked.client.id), store.now().timestamp_micros() as f64 / 1e6);
        let ways = enlist(store, &key("ways", &address), &hash(&state), now, STATE_TTL).await?;
        for (oldest, _) in &ways[..ways.len().saturating_sub(MOST_WAYS)] {
            store.discard(&key("state", oldest)).await?;
            strike(store, &key("ways", &address), oldest).await?;
        }
        let sent = Sent { query: query.to_owned(), app: app.id.to_string(), address, browser: hash(&secret) };
        store.keep(&hashed_key("state", &state), &json(&sent), STATE_TTL).await?;
        Ok::<_, LoginError>(Some((app, state, secret)))
    };
    let (app, state, secret) = match begun.await {
        Ok(Some(begun)) => begun,
        Ok(None) => return refused(request, query, worker, Why::NO_WAY),
        Err(error) => return Ok(failed(request, worker, LOGIN, query, error)),
    };
    let mut answer = see_other(&on_wechat(worker, &app, &state));
    forget_oldest(request, &mut answer);
    set_cookie(&mut answer, &cookie_name(&state), &secret, STATE_TTL);
    Ok(answer)
}

/// WeChat's page, or the simulator's in its place.
fn on_wechat(worker: &IssuerWorker, app: &App, state: &str) -> String {
    let settings = &worker.issuer.settings;
    let api = settings.wechat_url.as_str().trim_end_matches('/');
    let host = if api == WECHAT[0] { WECHAT[1] } else { api };
    let (path, scope) = match app.kind {
        AppKind::OfficialAccount => ("connect/oauth2/authorize", "snsapi_userinfo"),
        _ => ("connect/qrconnect", "snsapi_login"),
    };
    let callback = format!("{}/authorize/wechat", settings.issuer);
    let members = [("appid", app.id.as_str()), ("redirect_uri", &callback), ("response_type", "code")];
    let of_other = worker.login.exchange_of(app).map(|other| ("component_appid", other.own_app().id.as_str()));
    let members = members.into_iter().chain([("scope", scope), ("state", state)]).chain(of_other);
    let url = Url::parse_with_params(&format!("{host}/{path}"), members).map(String::from);
    url.unwrap_or_default() + "#wechat_redirect"
}

/// Each way has a cookie of its own, because a browser may have several pages open.
fn cookie_name(state: &str) -> String {
    format!("{COOKIE_PREFIX}{}", &hash(state)[..8])
}

fn set_cookie(answer: &mut HttpResponse, name: &str, secret: &str, life: Duration) {
    let seconds = life.as_secs();
    let cookie = format!("{name}={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().append(SET_COOKIE, cookie);
    }
}

/// Otherwise a stranger's page could begin so many ways that no server takes the browser's requests any more.
fn forget_oldest(request: &HttpRequest, answer: &mut HttpResponse) {
    let own: Vec<_> = cookies(request).filter(|(name, _)| name.starts_with(COOKIE_PREFIX)).collect();
    for (oldest, _) in &own[..own.len().saturating_sub(MOST_COOKIES)] {
        set_cookie(answer, oldest, "", Duration::ZERO);
    }
}

/// The oldest first (RFC 6265 section 5.4).
fn cookies(request: &HttpRequest) -> impl Iterator<Item = (&str, &str)> {
    let headers = request.headers().get_all(COOKIE).filter_map(|header| header.to_str().ok());
    headers.flat_map(|header| header.split(';')).filter_map(|cookie| cookie.trim().split_once('='))
}

/// A page that says what to do, from which the person may begin anew at `path`.
pub(super) fn failed(
    request: &HttpRequest,
    worker: &IssuerWorker,
    (title, path): (&'static str, &str),
    query: &str,
    error: impl Into<Refusal>,
) -> HttpResponse {
    let problem = error.into().problem;
    let again = (!query.is_empty()).then(|| format!("{}{path}?{query}", root(worker)));
    let mut page = page(request, query, worker, &Page::Failed(Why::of(title, problem.code), again));
    problem.retry_after.into_iter().for_each(|wait| _ = page.headers_mut().insert(RETRY_AFTER, wait.into()));
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
    to_the_end(async move {
        let (worker, scan, _) = &at;
        let clients = with_sites(scan)?;
        let query = Query::of(request.query_string());
        let state = query.one("state").unwrap_or_default();
        let sent = match sent(&request, worker, state).await {
            Ok(Some((sent, true))) => sent,
            // Also who comes a second time, or has no cookie: the link logs nobody in.
            Ok(Some((Sent { query, .. }, false))) => {
                let again = Some(format!("{}/authorize?{query}", root(worker)));
                return Ok(page(&request, &query, worker, &Page::Failed(Why::STATE, again)));
            }
            Ok(None) => return refused(&request, "", worker, Why::STATE),
            Err(error) => return Ok(failed(&request, worker, LOGIN, "", error)),
        };
        let asked = read(&sent.query, &clients, worker.issuer.settings.issuer.as_str());
        let Ok(asked) = asked else { return refused(&request, &sent.query, worker, Why::CLIENT) };
        let mut answer = match query.one("code").and_then(|code| code.parse::<LoginCode>().ok()) {
            Some(code) => match log_in(&request, worker, &asked, &sent.app, code).await {
                Ok(to) => see_other(&to),
                Err(error) => failed(&request, worker, LOGIN, &sent.query, error),
            },
            None => see_other(&asked.refused("access_denied", "The person has said no at WeChat.")),
        };
        set_cookie(&mut answer, &cookie_name(state), "", Duration::ZERO);
        Ok(answer)
    })
    .await
}

/// Finds with what a browser was sent, and whether it was this one, and comes for the first time.
async fn sent(request: &HttpRequest, worker: &IssuerWorker, state: &str) -> Result<Option<(Sent, bool)>> {
    let store = &worker.login.store;
    let Some(sent) = worker.login.find::<Sent>(&hashed_key("state", state)).await? else { return Ok(None) };
    let own = cookie_name(state);
    if cookies(request).find(|(name, _)| *name == own).is_none_or(|(_, secret)| sent.browser != hash(secret)) {
        return Ok(Some((sent, false)));
    }
    let own = random();
    let is_first = store.keep_first(&hashed_key("used-state", state), &own, 2 * STATE_TTL).await? == own;
    _ = strike(store, &key("ways", &sent.address), &hash(state)).await;
    Ok(Some((sent, is_first)))
}

/// A login, whose token the site fetches with a code. The way back to the site.
async fn log_in(
    request: &HttpRequest,
    worker: &IssuerWorker,
    asked: &AuthorizeRequest<'_>,
    app: &str,
    code: LoginCode,
) -> Result<String, Refusal> {
    // The client may have lost the app meanwhile.
    let own = asked.client.web_apps.iter().find(|own| own.as_str() == app);
    let app = own.ok_or(LoginError::from(UnknownApp::NotConfigured))?.clone();
    let mut attempt = LoginAttempt::begin(worker, [Some(app.clone()), None]);
    attempt.trail.client = Some(asked.client.id.clone());
    let (event, proof) = (Event::new(Activity::LOGIN, origin(request)), LoginProof::Code(code));
    let login = LoginRequest { app: Some(app.clone()), app_hint: None, proof, identity: Identity::Nothing };
    let log_in = async |attempt: &mut Attempt<'_>| {
        let admitted = worker.login.admit(login, attempt).await?;
        let grant = worker.login.grant(asked.client, &admitted, attempt.now).await?;
        Ok(let_in(worker, asked, grant, &app).await?)
    };
    let outcome = attempt.make(event.address(), log_in).await;
    attempt.end(event, outcome.as_ref().map(|_| false));
    outcome
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_browser_keeps_the_cookies_of_its_latest_ways_and_those_of_others() {
        let ways = (0..MOST_COOKIES + 2).map(|way| format!("{COOKIE_PREFIX}{way}=x"));
        let sent = ["theirs=1".to_owned()].into_iter().chain(ways).collect::<Vec<_>>().join("; ");
        let mut answer = HttpResponse::Ok().finish();
        forget_oldest(&TestRequest::get().insert_header((COOKIE, sent)).to_http_request(), &mut answer);
        let gone = answer.headers().get_all(SET_COOKIE).map(|cookie| cookie.to_str().expect("text").to_owned());
        let gone: Vec<_> = gone.map(|cookie| cookie.split("; ").next().expect("a pair").to_owned()).collect();
        assert_eq!(gone, [0, 1].map(|way| format!("{COOKIE_PREFIX}{way}=")));
    }
}
