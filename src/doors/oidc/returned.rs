//! Back from WeChat.

use std::time::Duration;

use actix_web::HttpRequest;
use wxmint_http::{Answer, origin, to_the_end};
use wxmint_ids::LoginCode;
use wxmint_telemetry::audit::{Activity, Event};

use super::authorize::let_in;
use super::family::{hash, hashed_key, random, read as read_kept};
use super::leave::see_other;
use super::page::{Page, page, refused};
use super::request::{AuthorizeRequest, Query, back, read};
use super::texts::Why;
use super::wechat::{STATE_TTL, Sent, cookie, cookie_name, failed, set_cookie};
use super::{AtDoor, no_sites, root};
use crate::apps::UnknownApp;
use crate::clock::now;
use crate::doors::scan::store::Devices;
use crate::issuer::login_route::LoginAttempt;
use crate::issuer::state::IssuerWorker;
use crate::login::{Identity, LoginError, LoginProof, LoginRequest, new_attempt};
use crate::refusals::Refusal;

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
        let clients = scan.clients();
        no_sites(&clients)?;
        let query = Query::of(request.query_string());
        let state = query.one("state").unwrap_or_default();
        let sent = match sent(&request, worker, state).await {
            Ok(Some((sent, true))) => sent,
            // Also who comes a second time, or has no cookie: the link logs nobody in.
            Ok(Some((Sent { query, .. }, false))) => {
                let again = Some(format!("{}/authorize?{query}", root(worker)));
                return Ok(page(&request, &query, worker, &Page::Failed { why: Why::STATE, again }));
            }
            Ok(None) => return refused(&request, "", worker, Why::STATE),
            Err(error) => return Ok(failed(&request, worker, "", error)),
        };
        let issuer = worker.issuer.settings.issuer.as_str();
        let Ok(asked) = read(&sent.query, &clients, issuer) else {
            return refused(&request, &sent.query, worker, Why::CLIENT);
        };
        let mut answer = match query.one("code").and_then(|code| code.parse::<LoginCode>().ok()) {
            Some(code) => match log_in(&request, worker, &asked, &sent.app, code).await {
                Ok(to) => see_other(&to),
                Err(error) => failed(&request, worker, &sent.query, error),
            },
            None => {
                let denied = [("error", "access_denied"), ("error_description", "The person has said no at WeChat.")];
                see_other(&back(&asked.redirect_uri, asked.state.as_deref(), issuer, &denied))
            }
        };
        set_cookie(&mut answer, state, "", Duration::ZERO);
        Ok(answer)
    })
    .await
}

/// Finds with what a browser was sent, and whether it was this one, and comes for the first time.
async fn sent(request: &HttpRequest, worker: &IssuerWorker, state: &str) -> Result<Option<(Sent, bool)>, LoginError> {
    let store = &worker.login.store;
    let Some(found) = store.kept(&hashed_key("state", state)).await? else { return Ok(None) };
    let sent: Sent = read_kept(&found)?;
    if cookie(request, &cookie_name(state)).is_none_or(|secret| sent.browser != hash(secret)) {
        return Ok(Some((sent, false)));
    }
    let own = random()?;
    let is_first = store.keep_first(&hashed_key("used-state", state), &own, 2 * STATE_TTL).await? == own;
    _ = Devices(store).uncount_open(&sent.address, &hash(state)).await;
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
    let own = asked.client.site.web_apps.iter().find(|own| own.as_str() == app);
    let app = own.ok_or(LoginError::from(UnknownApp::NotConfigured))?.clone();
    let mut attempt = LoginAttempt::begin(worker, [Some(app.clone()), None]);
    attempt.trail.client = Some(asked.client.id.clone());
    let admitted = async {
        attempt.has_room()?;
        let (proof, identity) = (LoginProof::Code(code), Identity::Nothing);
        let login = LoginRequest { app: Some(app.clone()), app_hint: None, proof, identity };
        let address = origin(request).address.unwrap_or_default();
        let admitted = worker.login.admit(login, &new_attempt()?, &address, &mut attempt.trail, now()).await?;
        let grant = worker.login.grant(asked.client, &admitted, now()).await?;
        Ok::<_, Refusal>(let_in(worker, asked, grant, &app).await?)
    };
    let outcome = admitted.await;
    attempt.end(Event::new(Activity::Login, origin(request)), outcome.as_ref().map(|_| false));
    outcome
}
