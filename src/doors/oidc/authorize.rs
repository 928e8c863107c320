//! `/authorize`: the page of a login at a site, and the requests of its script. For an open page,
//! wxmint stores only its device request.

use actix_web::{HttpRequest, http::header, web::Payload};
use reqwest::Url;
use serde_json::json;
use wxmint_http::{
    Answer, Fields, Problem, SMALL_BODY, missing, not_found, pairs, private, read_body, read_form,
    run_to_completion,
};
use wxmint_ids::AppId;
use wxmint_wechat::AppKind;

use super::family::Families;
use super::grants::CodeGrants;
use super::page::{Page, Why, page, refused};
use super::request::{AuthorizeRequest, Refused, read};
use super::{AtDoor, Oidc, logout::see_other, own_jwt::OwnJwt, root, wechat, with_sites};
use crate::issuer::Issuer;
use crate::issuer::grants::{Give, PhoneLogin, PhoneLoginRequest};
use crate::issuer::{route_constants::PLACE, state::IssuerWorker};
use crate::login::RequestError;
use crate::oauth::clients::Clients;
use crate::oauth::error::to_oauth;
use crate::oauth::grant::{Grant, NotGranted};

/// The name of this door in a device request. Grants for the login page cannot be fetched by the
/// client's own pages, nor the reverse.
const DOOR: &str = " authorize";

/// Log in at a site (OpenID Connect Core section 3.1.2)
///
/// A page with a mini-program code and a number. A `client_id` or `redirect_uri` that is not registered gets a page
/// that says so; every other fault goes back to the site with `error`, `error_description`, `state` and `iss`.
#[utoipa::path(get, path = "/authorize", tag = "sites",
    params(("client_id" = String, Query, description = "By the file of clients"),
        ("redirect_uri" = String, Query, description = "One of the client's, byte for byte"),
        ("response_type" = String, Query, description = "`code`"),
        ("scope" = String, Query, description = "Holds `openid`; `offline_access` asks for a refresh token"),
        ("state" = Option<String>, Query, description = "Comes back"),
        ("nonce" = Option<String>, Query, description = "Comes back in the id token"),
        ("code_challenge" = String, Query, description = "PKCE (RFC 7636)"),
        ("code_challenge_method" = String, Query, description = "`S256`"),
        ("prompt" = Option<String>, Query, description = "`none` is always `login_required`"),
        ("ui_locales" = Option<String>, Query, description = "`en` or `zh-CN`")),
    responses((status = 200, description = "A page", content_type = "text/html"),
        (status = 400, description = "A page: it is no site's", content_type = "text/html"),
        (status = 303, description = "Back to the site with an error, or on to WeChat")))]
pub(super) async fn authorize(request: HttpRequest, (worker, _): AtDoor) -> Answer {
    let clients = with_sites(&worker.issuer)?;
    let query = request.query_string();
    let asked = match read(query, &clients, worker.issuer.settings.issuer.as_str()) {
        Ok(asked) => asked,
        Err(Refused::ToPage(why)) => return refused(&request, query, &worker, why),
        Err(Refused::ToSite(to)) => return Ok(see_other(&to)),
    };
    let app = wechat::app_for(&request, &worker, asked.client);
    let has_scans = worker.issuer.phone_login().is_some();
    let is_within_wechat = app
        .as_ref()
        .is_some_and(|app| app.kind == AppKind::OfficialAccount);
    if app.is_none() && !has_scans {
        return refused(&request, query, &worker, Why::NO_LOGIN);
    }
    if is_within_wechat || !has_scans {
        return wechat::send(&request, &worker, &asked);
    }
    let cancel = asked.refused("access_denied", "The person has gone back.");
    Ok(page(
        &request,
        query,
        &worker,
        &Page::Scan(asked.client, cancel, app.map(|_| query)),
    ))
}

/// The same, for sites that post a form
///
/// Leads on to GET, because the steps of the page have its query.
#[utoipa::path(post, path = "/authorize", tag = "sites",
    responses((status = 303, description = "To the same address by GET")))]
pub(super) async fn authorize_by_post(payload: Payload, (worker, _): AtDoor) -> Answer {
    with_sites(&worker.issuer)?;
    let body = read_body(payload, SMALL_BODY).await?;
    let query = Url::parse_with_params("http://q", pairs(&String::from_utf8_lossy(&body)));
    let query = query
        .ok()
        .and_then(|url| url.query().map(str::to_owned))
        .unwrap_or_default();
    if let Err(Refused::ToSite(to)) = read(
        &query,
        &worker.issuer.clients(),
        worker.issuer.settings.issuer.as_str(),
    ) {
        return Ok(see_other(&to));
    }
    Ok(see_other(&format!("{}/authorize?{query}", root(&worker))))
}

/// The page's script asks for a code
///
/// For the page of `/authorize` alone, with its query.
#[utoipa::path(post, path = "/authorize/scan", tag = "sites",
    responses((status = 200, description = "What to show", body = Object)))]
pub(super) async fn scan(request: HttpRequest, (worker, _): AtDoor) -> Answer {
    let shown = async {
        let clients = worker.issuer.clients();
        let asked = own_page(&request, &worker, &clients)?;
        let page = PhoneLoginRequest {
            request: &request,
            worker: &worker,
            client: asked.client,
            door: DOOR,
        };
        phone_login(&worker.issuer)?.ask_phone(page).await
    };
    to_oauth(shown.await)
}

/// The page's script asks what became of its code
///
/// For the page of `/authorize` alone, with its query. Once the phone has confirmed, the answer is where to go on.
#[utoipa::path(post, path = "/authorize/poll", tag = "sites",
    responses((status = 200, description = "`state`, or `location`", body = Object)))]
pub(super) async fn poll(request: HttpRequest, payload: Payload, (worker, oidc): AtDoor) -> Answer {
    let told = async {
        let fields = read_form(&request, payload, &["device_code"]).await?;
        run_to_completion(async move { polled(&request, &fields, &worker, &oidc).await }).await
    };
    to_oauth(told.await)
}

fn phone_login(issuer: &Issuer) -> Result<&dyn PhoneLogin, Problem> {
    issuer.phone_login().ok_or_else(|| not_found(PLACE))
}

async fn polled(
    request: &HttpRequest,
    fields: &Fields<'_>,
    worker: &IssuerWorker,
    oidc: &Oidc,
) -> Answer {
    let clients = worker.issuer.clients();
    let asked = own_page(request, worker, &clients)?;
    let code = fields
        .text("device_code")?
        .ok_or_else(|| missing("device_code"))?;
    let asked = &asked;
    let give: Give<'_> =
        Box::new(move |grant| Box::pin(let_in(worker, asked, grant, &asked.client.app)));
    let page = PhoneLoginRequest {
        request,
        worker,
        client: asked.client,
        door: DOOR,
    };
    let fetched = phone_login(&worker.issuer)?
        .fetch_grant(page, &code, give)
        .await;
    let state = match fetched {
        Ok(to) => return Ok(private(json!({"location": to}))),
        Err(NotGranted::Failed(error)) => return Err(error.into()),
        Err(NotGranted::Repeated(token)) => {
            oidc.count(&asked.client.id, "repeated");
            let families = Families::of(&worker.login);
            if let Some(family) = families.find_family(token.id.as_str()).await? {
                families.revoke_family(&family).await?;
            }
            "expired"
        }
        Err(NotGranted::Pending { scanned: false }) => "wait",
        Err(NotGranted::Pending { scanned: true }) => "scanned",
        Err(NotGranted::TooSoon) => "slow",
        Err(NotGranted::Denied) => "denied",
        Err(NotGranted::Expired | NotGranted::Unknown) => "expired",
    };
    Ok(private(json!({"state": state})))
}

/// The address at the site for a person who has logged in, with a code. If `id_token_hint` names
/// another user, an error replaces the code (OpenID Connect Core section 3.1.2.2). A hint that
/// cannot be read any more is ignored.
pub(super) async fn let_in(
    worker: &IssuerWorker,
    asked: &AuthorizeRequest<'_>,
    grant: Grant,
    app: &AppId,
) -> Result<String, RequestError> {
    let hint = asked
        .id_token_hint
        .as_deref()
        .and_then(|hint| OwnJwt::read(&worker.issuer, hint));
    let hinted = hint.as_ref().and_then(OwnJwt::subject);
    if hinted.is_some_and(|user| user != grant.token.user.as_str()) {
        return Ok(asked.refused(
            "login_required",
            "Another user has logged in than the one of id_token_hint.",
        ));
    }
    let code = CodeGrants::of(&worker.login)
        .make_code(asked, grant, app)
        .await?;
    Ok(asked.back(&[("code", &code)]))
}

/// Reads the authorization request from the query of the asking page. The page must be our own: a
/// page of another site could use up the limits of its visitor's address.
fn own_page<'c>(
    request: &HttpRequest,
    worker: &'c IssuerWorker,
    clients: &'c Clients,
) -> Result<AuthorizeRequest<'c>, Problem> {
    let issuer = &worker.issuer.settings.issuer;
    let site = request.headers().get(header::ORIGIN);
    if site.is_some_and(|site| site.to_str().ok() != Some(&issuer.origin())) {
        return Err(Problem::invalid("The page that asks is of another site."));
    }
    read(request.query_string(), clients, issuer.as_str()).map_err(|_| {
        Problem::invalid("The query is none that /authorize takes. Begin anew at the site.")
    })
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use actix_web::test::TestRequest;
    use actix_web::web::Data;
    use wxmint_keys::PrivateJwk;
    use wxmint_verify::Algorithm;
    use wxmint_wechat::{App, AppExchanger};

    use super::*;
    use crate::clock::now;
    use crate::issuer::caller::tests::issuer;
    use crate::oauth::OAuth;

    const SITE: &str = r#"{"clients":[{"client_id":"wiki","name":"Wiki","appid":"wx0123456789abcdef",
        "redirect_uris":["https://wiki.example.com/cb"],"web_apps":["wxwebsite"]}]}"#;
    const QUERY: &str = "client_id=wiki&redirect_uri=https%3A%2F%2Fwiki.example.com%2Fcb&response_type=code&scope=openid\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

    /// A worker without any other door, so without scans.
    fn worker() -> Data<IssuerWorker> {
        let key = PrivateJwk::generate(Algorithm::Es256, now()).expect("a key");
        let mut issuer = issuer(&key, ("WXMINT_TOKEN_TTL", "24h"));
        let clients = Clients::parse(SITE.as_bytes(), Duration::MAX).expect("a site");
        issuer.oauth = Some(Arc::new(OAuth::new(clients, None, "")));
        let login = issuer.login_parts().expect("a worker");
        Data::new(IssuerWorker {
            issuer: Arc::new(issuer),
            login,
        })
    }

    #[actix_web::test]
    async fn without_scans_a_site_has_wechats_page_alone() {
        let worker = worker();
        let open = async || {
            let request = TestRequest::get().uri(&format!("/authorize?{QUERY}"));
            let at = (worker.clone(), Data::new(Oidc::default()));
            authorize(request.to_http_request(), at)
                .await
                .expect("an answer")
        };
        assert_eq!(open().await.status(), 400, "the site has no app yet");
        worker.issuer.apps.from_elsewhere_are([App {
            id: "wxwebsite".parse().expect("an AppID"),
            kind: AppKind::Website,
            exchanger: AppExchanger::Component("wxplatform".parse().expect("an AppID")),
        }]);
        let sent = open().await;
        let location = sent.headers().get(header::LOCATION);
        let to_wechat = location.and_then(|to| to.to_str().ok()).unwrap_or_default();
        assert!(
            sent.status() == 303 && to_wechat.contains("/connect/qrconnect?appid=wxwebsite"),
            "{} {to_wechat}",
            sent.status()
        );
        let at = (worker.clone(), Data::new(Oidc::default()));
        let request = TestRequest::post().uri(&format!("/authorize/scan?{QUERY}"));
        let refused = scan(request.to_http_request(), at).await;
        assert_eq!(refused.expect_err("no scans").status, 404);
    }
}
