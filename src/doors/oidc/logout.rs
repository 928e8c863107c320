//! `/userinfo`, and the ways to revoke a login: `/end_session` (OpenID Connect RP-Initiated Logout
//! 1.0) and `/revoke` (RFC 7009).

use actix_web::{HttpRequest, HttpResponse, http::header, web::Payload};
use serde_json::Map;
use utoipa::ToSchema;
use wxmint_http::{
    Answer, Fields, SMALL_BODY, allow_site, missing, no_valid_token, not_found, origin, private,
    read_body, read_form, run_to_completion,
};
use wxmint_ids::{ClientId, UserId};
use wxmint_keys::token::Issued;
use wxmint_store::{RateLimitKey, TokenState};

use super::family::{Families, RefreshToken, key};
use super::own_jwt::OwnJwt;
use super::page::{Page, Why, page, refused};
use super::request::{Query, is_registered, is_site, with};
use super::token::TRIES;
use super::{AtDoor, LOGGED_OUT, wechat::failed, with_sites};
use crate::clock::now;
use crate::issuer::route_constants::PLACE;
use crate::issuer::state::IssuerWorker;
use crate::login::{LoginParts, OPENID, RequestError, Unavailable, is_of_client, issued};
use crate::oauth::clients::Client;
use crate::oauth::error::{OAuthError, to_oauth};

/// The limit of requests to `/userinfo`, counted by token.
const USERINFO: &str = "oidc-userinfo";

/// The claims of a user
///
/// For the access token of a site. RFC 6750; OpenID Connect Core section 5.3.
#[utoipa::path(get, path = "/userinfo", tag = "sites", security(("bearer" = [])),
    responses((status = 200, description = "`sub`, and the claims of the account backend", body = Object)))]
pub(super) async fn userinfo(request: HttpRequest, (worker, _): AtDoor) -> Answer {
    let clients = with_sites(&worker.issuer)?;
    let token = worker.issuer.verify(&request, now())?;
    let client = clients.get(&ClientId(token.app.clone())).cloned();
    let client =
        client.filter(|client| is_site(client) && is_of_client(&worker.issuer.minter, &token));
    let client = client.ok_or_else(no_valid_token)?;
    worker
        .login
        .limits()
        .count_by_address(USERINFO, token.id.as_str())
        .await?;
    allow_site(&request, |origin| {
        client.origins.iter().any(|own| own == origin)
    });
    let state = worker
        .login
        .store
        .revocations
        .token_state(&issued(&token))
        .await
        .map_err(Unavailable::from)?;
    if !matches!(state, TokenState::People(_)) {
        return Err(no_valid_token());
    }
    let mut members = token.others.clone();
    members.insert("sub".into(), token.user.to_string().into());
    Ok(private(members))
}

/// The same, for clients that post
#[utoipa::path(post, path = "/userinfo", tag = "sites", security(("bearer" = [])),
    responses((status = 200, description = "`sub`, and the claims of the account backend", body = Object)))]
pub(super) async fn userinfo_by_post(request: HttpRequest, at: AtDoor) -> Answer {
    userinfo(request, at).await
}

/// The form of `POST /revoke`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; `revoke` reads it")]
pub(super) struct RevokeForm {
    /// A refresh token, whose login ends, or an access token.
    token: String,
    client_id: String,
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// Revoke a token (RFC 7009)
///
/// A refresh token ends its login with all access tokens. The answer is 200 for whatever is no token of this client,
/// too.
#[utoipa::path(post, path = "/revoke", tag = "sites",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is valid no more"),
        (status = 401, description = "The client is unknown, or its secret is wrong", body = OAuthError)))]
pub(super) async fn revoke(request: HttpRequest, payload: Payload, at: AtDoor) -> Answer {
    with_sites(&at.0.issuer)?;
    let ended = async {
        let fields = read_form(&request, payload, &["token", "token_type_hint"]).await?;
        run_to_completion(async move { ended(&request, &fields, at).await }).await
    };
    to_oauth(ended.await)
}

async fn ended(request: &HttpRequest, fields: &Fields<'_>, (worker, oidc): AtDoor) -> Answer {
    let oauth = worker.issuer.oauth.as_ref();
    let oauth = oauth.ok_or_else(|| not_found(PLACE))?;
    let clients = oauth.clients();
    let client = oauth
        .authenticate(request, fields, &clients, &worker.login)
        .await?;
    let token = fields.text("token")?.ok_or_else(|| missing("token"))?;
    match end(&worker, client, &token).await? {
        Some(user) => oidc.tell(request, LOGGED_OUT, &client.id, Some(&user)),
        None => {
            worker
                .login
                .limits()
                .count_by_address(TRIES, &origin(request).address.unwrap_or_default())
                .await?;
            if let Some(refresh) = RefreshToken::read(&token) {
                Families::of(&worker.login).find_family(refresh.sid).await?;
            }
        }
    }
    Ok(private(Map::new()))
}

/// Revokes a token. Returns its user if it was a valid token of this client.
async fn end(
    worker: &IssuerWorker,
    client: &Client,
    token: &str,
) -> Result<Option<UserId>, RequestError> {
    let families = Families::of(&worker.login);
    if let Some(refresh) = RefreshToken::read(token) {
        let Some(family) = families.family_of(&refresh, client).await? else {
            return Ok(None);
        };
        return families
            .revoke_family(&family)
            .await
            .map(|()| Some(family.first.user));
    }
    let own = OwnJwt::read(&worker.issuer, token).and_then(|own| own.access_token());
    let Some(issued) = own.filter(|issued| issued.app == client.id.0) else {
        return Ok(None);
    };
    revoke_login(&worker.login, issued).await
}

/// Revokes the login that began with this access token, or that gave it in a renewal. If Redis has
/// lost the login, revokes the token only. Returns the user if anything was valid.
pub(super) async fn revoke_login(
    login: &LoginParts,
    token: Issued,
) -> Result<Option<UserId>, RequestError> {
    // Each login has its own limit, so nobody can keep others from logging out. The first request
    // already revokes the login.
    login
        .limits()
        .count(
            &RateLimitKey::new(TRIES, token.id.as_str(), login.policy.limit_openid),
            OPENID,
        )
        .await?;
    let renewed_of = login
        .store
        .texts
        .get(&key("sid", token.id.as_str()))
        .await?;
    let families = Families::of(login);
    let was_alive = match families
        .find_family(renewed_of.as_deref().unwrap_or(token.id.as_str()))
        .await?
    {
        Some(family) => families.revoke_family(&family).await.map(|()| true)?,
        None => {
            login
                .store
                .revocations
                .token_state(&token)
                .await?
                .is_published()
                || families.revoke_if_alive(&token).await?
        }
    };
    Ok(was_alive.then_some(token.user))
}

/// Log out of a site (OpenID Connect RP-Initiated Logout 1.0)
///
/// Ends the login that `id_token_hint` names, then goes to `post_logout_redirect_uri` if the client has it, with
/// `state`, and to a page otherwise.
#[utoipa::path(get, path = "/end_session", tag = "sites",
    params(("id_token_hint" = Option<String>, Query, description = "The site's id token; it may have expired"),
        ("client_id" = Option<String>, Query, description = "The site, if there is no `id_token_hint`"),
        ("post_logout_redirect_uri" = Option<String>, Query, description = "One that the site has registered"),
        ("state" = Option<String>, Query, description = "Comes back")),
    responses((status = 303, description = "To the site"), (status = 200, description = "A page", content_type = "text/html")))]
pub(super) async fn end_session(request: HttpRequest, at: AtDoor) -> Answer {
    let query = request.query_string().to_owned();
    run_to_completion(async move { leave(&request, &query, at).await }).await
}

/// The same, for sites that post a form
#[utoipa::path(post, path = "/end_session", tag = "sites",
    responses((status = 303, description = "To the site"), (status = 200, description = "A page", content_type = "text/html")))]
pub(super) async fn end_session_by_post(
    request: HttpRequest,
    payload: Payload,
    at: AtDoor,
) -> Answer {
    let body = read_body(payload, SMALL_BODY).await?;
    run_to_completion(async move { leave(&request, &String::from_utf8_lossy(&body), at).await })
        .await
}

async fn leave(request: &HttpRequest, form: &str, (worker, oidc): AtDoor) -> Answer {
    let query = Query::of(form);
    let clients = with_sites(&worker.issuer)?;
    let own = query
        .one("id_token_hint")
        .and_then(|hint| OwnJwt::read(&worker.issuer, hint));
    let hint = own.as_ref().and_then(OwnJwt::id_token);
    let named: Option<ClientId> = query.one("client_id").and_then(|id| id.parse().ok());
    // If the hint and `client_id` name different clients, or one of them cannot be read, nobody is
    // logged out, and a page says so.
    let is_torn = query.has("id_token_hint") && hint.is_none()
        || query.has("client_id") && named.is_none()
        || hint
            .as_ref()
            .zip(named.as_ref())
            .is_some_and(|((_, of), named)| of != named);
    let refused = |why| refused(request, form, &worker, why);
    if is_torn {
        return refused(Why::LOGOUT);
    }
    let client = hint
        .as_ref()
        .map(|(_, of)| of)
        .or(named.as_ref())
        .and_then(|id| clients.get(id));
    let first = own
        .as_ref()
        .and_then(|own| own.first_token(&worker.issuer.minter, client));
    if let Some((first, (_, of))) = first.zip(hint.as_ref()) {
        match revoke_login(&worker.login, first).await {
            Ok(user) => {
                if let Some(user) = user {
                    oidc.tell(request, LOGGED_OUT, of, Some(&user));
                }
            }
            Err(error) => {
                return Ok(failed(
                    request,
                    &worker,
                    ("not_left", "/end_session"),
                    form,
                    error,
                ));
            }
        }
    }
    let to = query.one("post_logout_redirect_uri");
    match (client, to) {
        (Some(client), Some(to)) if is_registered(&client.post_logout_redirect_uris, to) => {
            let with_state = query.one("state").map(|state| with(to, [("state", state)]));
            Ok(see_other(with_state.as_deref().unwrap_or(to)))
        }
        _ if hint.is_none() => refused(Why::LOGOUT),
        (_, Some(_)) => refused(Why::LOGOUT_ADDRESS),
        (client, None) => Ok(page(request, form, &worker, &Page::Left(client))),
    }
}

/// Redirects with 303, so that the browser does not send the form again.
pub(super) fn see_other(to: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}
