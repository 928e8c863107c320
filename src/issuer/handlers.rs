//! `/login`: unpack, call, pack.

use std::time::{Duration, Instant};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{self, Payload},
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    login_fields::{LoginFields, RefusedLogin},
    worker::Worker,
};
use crate::{
    http::{Problem, ProblemCode, SMALL_BODY, now, read_body},
    ids::{AppId, UserId},
    login::{LoggedIn, LoginRequest},
    token::AccessToken,
    wechat::app_of_referer,
};

/// The body of `POST /login`: `code` or `bind_ticket`, and at most one of a password and a `phone_code`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; LoginFields reads it")]
pub(super) struct LoginBody {
    /// The code of `wx.login`: 5 minutes, one use. Needed unless `bind_ticket` is sent.
    code: Option<String>,
    /// Which mini program; needed only where several are configured, and the Referer that WeChat sends does not tell.
    appid: Option<String>,
    /// To bind this WeChat user to an account: its name, at most 512 characters. Goes with `password`.
    username: Option<String>,
    /// The account's password, at most 1024 characters. Goes with `username`; in the body alone, never in the URL.
    #[schema(format = Password)]
    password: Option<String>,
    /// To log in by phone number: the code of the button `open-type="getPhoneNumber"`, which is not wx.login's.
    phone_code: Option<String>,
    /// In place of `code`: what `binding_required` came with. 5 minutes, one attempt.
    bind_ticket: Option<String>,
}

/// The answer to a login.
#[derive(Serialize, ToSchema)]
pub(super) struct LoginAnswer<'a> {
    /// A JWT (RFC 9068), for `Authorization: Bearer …`.
    #[schema(value_type = String, example = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    access_token: &'a AccessToken,
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    #[schema(example = 86_400)]
    expires_in: u64,
    /// The token's `sub`.
    #[schema(value_type = String, example = "0193f5b2-9c5e-7cc0-8000-000000000000")]
    user_id: &'a UserId,
    /// True once, at the login that made the user.
    new_user: bool,
    /// The token again, under the names that older mini programs read.
    #[serde(flatten)]
    #[schema(ignore)]
    aliases: Aliases<'a>,
}

/// `WXMINT_TOKEN_ALIASES`, each with the token.
struct Aliases<'a> {
    names: &'a [String],
    token: &'a AccessToken,
}

impl Serialize for Aliases<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.names.iter().map(|name| (name, self.token)))
    }
}

/// Turn the code of wx.login into a token
///
/// JSON, or a form (`application/x-www-form-urlencoded`) with the same fields. To try it here, choose an example and put
/// in a fresh code: the demo has done so, and `wxmint simulator` gives one at `POST /_simulator/codes`.
#[utoipa::path(post, path = "/login", tag = "login",
    request_body(content = LoginBody),
    responses((status = 200, description = "Logged in", body = LoginAnswer)))]
pub(super) async fn login_by_post(request: HttpRequest, payload: Payload, worker: web::Data<Worker>) -> HttpResponse {
    let asked = read_post(&request, payload).await;
    login(&request, &worker, asked).await
}

/// The same with a code alone
///
/// Because wx.request sends GET unless told otherwise.
#[utoipa::path(get, path = "/login", tag = "older pages",
    params(("code" = String, Query, description = "The code of wx.login"), ("appid" = Option<String>, Query)),
    responses((status = 200, description = "Logged in", body = LoginAnswer)))]
pub(super) async fn login_by_query(request: HttpRequest, worker: web::Data<Worker>) -> HttpResponse {
    let read = match worker.issuer.settings.dangerous_password_in_query {
        true => LoginFields::from_query_with_dangerous_password,
        false => LoginFields::from_query,
    };
    let asked = read(request.query_string()).and_then(LoginFields::into_request);
    login(&request, &worker, asked.map_err(Problem::from)).await
}

async fn read_post(request: &HttpRequest, payload: Payload) -> Result<LoginRequest, Problem> {
    if !request.query_string().is_empty() {
        LoginFields::refuse_password_beside_body(request.query_string())?;
    }
    let read = match content_type(request).as_str() {
        "application/json" => LoginFields::from_json,
        "application/x-www-form-urlencoded" => LoginFields::from_form,
        _ => {
            let detail = "Send the header `Content-Type: application/json` (or application/x-www-form-urlencoded).";
            return Err(Problem::invalid(detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
    };
    let body = read_body(payload, SMALL_BODY).await?;
    Ok(read(&body).and_then(LoginFields::into_request)?)
}

/// The media type in lower case, without parameters.
fn content_type(request: &HttpRequest) -> String {
    let value = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

async fn login(request: &HttpRequest, worker: &Worker, asked: Result<LoginRequest, Problem>) -> HttpResponse {
    let started = Instant::now();
    let _in_flight = worker.issuer.metrics.login_begins();
    let outcome = match asked {
        Ok(asked) => {
            let address = worker.issuer.proxies.client_of(request);
            let asked = LoginRequest { app_hint: app_hint(request), ..asked };
            worker.login.log_in(asked, &address.limit_key(), now()).await.map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    let took = started.elapsed();
    let result = match &outcome {
        Ok(_) => "ok",
        Err(problem) => problem.code().as_str(),
    };
    worker.issuer.metrics.login_ended(result, took);
    match outcome {
        Ok(logged_in) => welcome(worker, logged_in, took),
        Err(problem) => {
            tracing::info!(code = result, took_us = took.as_micros() as u64, "login refused");
            problem.respond(request)
        }
    }
}

/// The mini program that sent the request, as far as its Referer can be believed.
fn app_hint(request: &HttpRequest) -> Option<AppId> {
    app_of_referer(request.headers().get(header::REFERER)?.to_str().ok()?)
}

fn welcome(worker: &Worker, logged_in: LoggedIn, took: Duration) -> HttpResponse {
    tracing::info!(
        user = logged_in.user.as_str(),
        app = logged_in.app.as_str(),
        new_user = logged_in.new_user,
        took_us = took.as_micros() as u64,
        "login"
    );
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(LoginAnswer {
        access_token: &logged_in.token,
        token_type: "Bearer",
        expires_in: logged_in.expires_in.as_secs(),
        user_id: &logged_in.user,
        new_user: logged_in.new_user,
        aliases: Aliases { names: &worker.issuer.settings.token_aliases, token: &logged_in.token },
    })
}

impl From<RefusedLogin> for Problem {
    fn from(refused: RefusedLogin) -> Self {
        let code = match refused {
            RefusedLogin::CredentialsInQuery | RefusedLogin::CredentialsBesideBody => ProblemCode::CredentialsInQuery,
            _ => ProblemCode::InvalidRequest,
        };
        Self::new(code, refused.to_string())
    }
}
