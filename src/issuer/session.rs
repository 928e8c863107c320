//! `/wechat/…` and `/logout`: unpack, call, pack.

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    members::{self, Member, RefusedBody, RefusedMember},
    to_the_end::to_the_end,
    worker::Worker,
};
use crate::{
    http::{Problem, ProblemCode, SMALL_BODY, now, read_body},
    ids::{Phone, PhoneCode},
    login::{Asking, SessionError, UserDataRequest},
    verify::{Claims, Verified},
    wechat::{EncryptedData, RawData},
};

/// 64 KiB of steps, encrypted and in base64, and what stands around them.
const USER_DATA_BODY: usize = 128 * 1024;

/// The body of `POST /wechat/userdata`: `encryptedData` and `iv`, or `rawData` and `signature`, as WeChat gave them.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; UserDataFields reads it")]
#[schema(rename_all = "camelCase")]
pub(super) struct UserDataBody {
    /// base64
    encrypted_data: Option<String>,
    /// base64 of 16 bytes
    iv: Option<String>,
    /// JSON, byte for byte
    raw_data: Option<String>,
    /// SHA-1 in hexadecimal
    signature: Option<String>,
}

/// What was in it.
#[derive(Serialize, ToSchema)]
pub(super) struct UserDataAnswer {
    /// Without openId, unionId and watermark.
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

/// The body of `POST /wechat/phone`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; PhoneFields reads it")]
pub(super) struct PhoneBody {
    /// Of the button `open-type="getPhoneNumber"`; not wx.login's.
    code: String,
}

/// A phone number that WeChat has verified.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PhoneAnswer {
    /// With the country code where it is a foreign one.
    phone_number: String,
    /// Without it.
    pure_phone_number: String,
    /// `86`
    country_code: String,
}

/// Whether the session holds.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    /// Whether the session key that is kept here is the one that WeChat has.
    valid: bool,
}

/// The body of `POST /logout`, which may be left out.
#[derive(Deserialize, ToSchema)]
pub(super) struct LogoutBody {
    /// Whether all of the user's tokens end, and not this one alone.
    #[serde(default)]
    everywhere: bool,
}

/// Decrypt a person's data, or check that it is WeChat's
///
/// With the session key that the last login left here, or for ten minutes the one before.
#[utoipa::path(post, path = "/wechat/userdata", tag = "wechat", security(("bearer" = [])),
    request_body(content = UserDataBody, examples(
        ("encrypted" = (summary = "encryptedData and iv",
            value = json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": "AAAAAAAAAAAAAAAAAAAAAA=="}))),
        ("raw" = (summary = "rawData and signature",
            value = json!({"rawData": "{\"nickName\":\"lin\"}", "signature": "75e81ceda165f4ffa64f4068af58c64b8f54b88c"}))),
    )),
    responses((status = 200, description = "What was in it", body = UserDataAnswer)))]
pub(super) async fn user_data(request: HttpRequest, payload: Payload, worker: web::Data<Worker>) -> HttpResponse {
    let answer = async {
        let asking = asking(&request, &worker).await?;
        let body = read_body(payload, USER_DATA_BODY).await?;
        let asked = UserDataFields::read(&body)?;
        let max_age = worker.issuer.settings.watermark_max_age;
        let opening = async move { worker.login.user_data(&asking, &asked, now(), max_age).await };
        let data = to_the_end(opening).await?;
        Ok(private().json(UserDataAnswer { data }))
    };
    answer.await.unwrap_or_else(|problem: Problem| problem.respond(&request))
}

/// Get a person's phone number
#[utoipa::path(post, path = "/wechat/phone", tag = "wechat", security(("bearer" = [])),
    request_body(content = PhoneBody, example = json!({"code": "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10"})),
    responses((status = 200, description = "The number", body = PhoneAnswer)))]
pub(super) async fn phone(request: HttpRequest, payload: Payload, worker: web::Data<Worker>) -> HttpResponse {
    let answer = async {
        let asking = asking(&request, &worker).await?;
        let code = phone_code(&read_body(payload, SMALL_BODY).await?)?;
        let exchange = async move { worker.login.phone_number(&asking, &code).await };
        let Phone { number, pure_number, country_code } = to_the_end(exchange).await?;
        Ok(private().json(PhoneAnswer { phone_number: number, pure_phone_number: pure_number, country_code }))
    };
    answer.await.unwrap_or_else(|problem: Problem| problem.respond(&request))
}

/// Ask WeChat whether the session holds
#[utoipa::path(get, path = "/wechat/session", tag = "wechat", security(("bearer" = [])),
    responses((status = 200, description = "Whether it does", body = SessionAnswer)))]
pub(super) async fn session(request: HttpRequest, worker: web::Data<Worker>) -> HttpResponse {
    let answer = async {
        let asking = asking(&request, &worker).await?;
        let valid = to_the_end(async move { worker.login.session_holds(&asking).await }).await?;
        Ok(private().json(SessionAnswer { valid }))
    };
    answer.await.unwrap_or_else(|problem: Problem| problem.respond(&request))
}

/// Have WeChat replace the session key
#[utoipa::path(post, path = "/wechat/session/reset", tag = "wechat", security(("bearer" = [])),
    responses((status = 204, description = "Replaced")))]
pub(super) async fn reset(request: HttpRequest, worker: web::Data<Worker>) -> HttpResponse {
    let answer = async {
        let asking = asking(&request, &worker).await?;
        to_the_end(async move { worker.login.reset_session(&asking).await }).await.map_err(reset_refused)?;
        Ok(HttpResponse::NoContent().finish())
    };
    answer.await.unwrap_or_else(|problem: Problem| problem.respond(&request))
}

/// Log out
///
/// Forgets the session key. This service refuses the token from then on; to peers it is valid until it expires. May be
/// repeated with the same token.
#[utoipa::path(post, path = "/logout", tag = "leave", security(("bearer" = [])),
    request_body(content = Option<LogoutBody>, examples(
        ("alone" = (summary = "This token", value = json!({"everywhere": false}))),
        ("everywhere" = (summary = "All of the user's tokens", value = json!({"everywhere": true}))),
    )),
    responses((status = 204, description = "Logged out")))]
pub(super) async fn logout(request: HttpRequest, payload: Payload, worker: web::Data<Worker>) -> HttpResponse {
    let answer = async {
        let token = worker.issuer.verify(&request, now())?;
        let everywhere = everywhere(&read_body(payload, SMALL_BODY).await?)?;
        to_the_end(log_out(worker, token, everywhere)).await?;
        Ok(HttpResponse::NoContent().finish())
    };
    answer.await.unwrap_or_else(|problem: Problem| problem.respond(&request))
}

async fn log_out(worker: web::Data<Worker>, token: Verified<Claims>, everywhere: bool) -> Result<(), SessionError> {
    worker.login.log_out(&token, everywhere).await?;
    tracing::info!(user = token.user.as_str(), app = token.app.as_str(), everywhere, "logged out");
    Ok(())
}

/// There is no data in a reset.
fn reset_refused(error: SessionError) -> Problem {
    match error {
        SessionError::Undecryptable => Problem::new(
            ProblemCode::DataUndecryptable,
            "There is no session key here that WeChat still knows. Call wx.login and log in, which brings a new one.",
        ),
        error => error.into(),
    }
}

async fn asking(request: &HttpRequest, worker: &Worker) -> Result<Asking, Problem> {
    let token = worker.issuer.verify(request, now())?;
    Ok(worker.login.asking(&token).await?)
}

/// An answer that is one person's alone.
fn private() -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::Ok();
    response.insert_header((actix_web::http::header::CACHE_CONTROL, "no-store"));
    response
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UserDataFields {
    encrypted_data: Member,
    iv: Member,
    raw_data: Member,
    signature: Member,
}

impl UserDataFields {
    fn read(body: &[u8]) -> Result<UserDataRequest, Problem> {
        let fields: Self = members::read_json(body, &["encryptedData", "iv", "rawData", "signature"])?;
        let (data, iv) = (fields.encrypted_data.text("encryptedData")?, fields.iv.text("iv")?);
        let (raw_data, signature) = (fields.raw_data.text("rawData")?, fields.signature.text("signature")?);
        match (data, iv, raw_data, signature) {
            (Some(data), Some(iv), None, None) => {
                let parsed = EncryptedData::parse(&data, &iv);
                Ok(parsed.map(UserDataRequest::Encrypted).map_err(SessionError::from)?)
            }
            (None, None, Some(raw_data), Some(signature)) => {
                let parsed = RawData::parse(&raw_data, &signature);
                Ok(parsed.map(UserDataRequest::Raw).map_err(SessionError::from)?)
            }
            _ => Err(Problem::invalid(
                "Send `encryptedData` and `iv`, or `rawData` and `signature`, as WeChat gave them to the page.",
            )),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PhoneFields {
    code: Member,
}

fn phone_code(body: &[u8]) -> Result<PhoneCode, Problem> {
    let fields: PhoneFields = members::read_json(body, &["code"])?;
    let missing = "The field `code` is missing. Send the code of the button `open-type=\"getPhoneNumber\"`.";
    fields.code.parsed("code")?.ok_or_else(|| Problem::invalid(missing))
}

fn everywhere(body: &[u8]) -> Result<bool, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(false);
    }
    let body: LogoutBody = members::read_json(body, &["everywhere"]).map_err(|_| {
        Problem::invalid("The body must be empty or {\"everywhere\": true} or {\"everywhere\": false}.")
    })?;
    Ok(body.everywhere)
}

impl From<RefusedBody> for Problem {
    fn from(refused: RefusedBody) -> Self {
        Self::invalid(refused.to_string())
    }
}

impl From<RefusedMember> for Problem {
    fn from(refused: RefusedMember) -> Self {
        Self::invalid(refused.to_string())
    }
}
