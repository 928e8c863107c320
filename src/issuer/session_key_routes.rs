//! `/wechat/…`: what a session key is used for after the login.

use std::borrow::Cow;

use actix_web::HttpRequest;
use actix_web::web::{self, Payload};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wxmint_http::{
    Answer, Done, Fields, Problem, SMALL_BODY, missing, private, read_body, run_to_completion,
};
use wxmint_ids::{Phone, PhoneCode};
use wxmint_wechat::UserData;

use super::state::IssuerWorker;
use crate::login::{TokenActionError, TokenHolder};
use crate::{clock::now, refusals::Refusal};

/// Room for 64 KiB of step counts, encrypted and in base64, and the fields around them.
const USER_DATA_BODY: usize = 128 * 1024;
const NO_DATA: &str =
    "Send `encryptedData` and `iv`, or `rawData` and `signature`, as WeChat gave them to the page.";

/// The body of `POST /wechat/userdata`: `encryptedData` and `iv`, or `rawData` and `signature`, as
/// WeChat gave them.
#[derive(ToSchema)]
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

impl UserDataBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let fields = Fields::from_json(body, &["encryptedData", "iv", "rawData", "signature"])?;
        let text = |name| Ok::<_, Problem>(fields.text(name)?.map(Cow::into_owned));
        Ok(Self {
            encrypted_data: text("encryptedData")?,
            iv: text("iv")?,
            raw_data: text("rawData")?,
            signature: text("signature")?,
        })
    }

    fn user_data(&self) -> Result<UserData, Problem> {
        let read = match (
            self.encrypted_data.as_deref(),
            self.iv.as_deref(),
            self.raw_data.as_deref(),
            self.signature.as_deref(),
        ) {
            (Some(data), Some(iv), None, None) => UserData::encrypted(data, iv),
            (None, None, Some(data), Some(signature)) => UserData::raw(data, signature),
            _ => return Err(Problem::invalid(NO_DATA)),
        };
        Ok(read.map_err(TokenActionError::from)?)
    }
}

/// The data that was decrypted or checked.
#[derive(Serialize, ToSchema)]
pub(super) struct UserDataAnswer {
    /// Without openId, unionId and watermark.
    #[schema(value_type = Object)]
    data: Map<String, Value>,
}

/// The body of `POST /wechat/phone`.
#[derive(ToSchema)]
pub(super) struct PhoneBody {
    /// The code of the button `open-type="getPhoneNumber"`, which is not a code of wx.login.
    #[schema(value_type = String)]
    code: PhoneCode,
}

impl PhoneBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let fields = Fields::from_json(body, &["code"])?;
        let code = fields.parse("code")?.ok_or_else(|| {
            let missing = missing("code").detail;
            Problem::invalid(format!(
                "{missing} Send the code of the button `open-type=\"getPhoneNumber\"`."
            ))
        })?;
        Ok(Self { code })
    }
}

/// A phone number that WeChat has verified.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PhoneAnswer {
    /// With the country code if it is a foreign number.
    phone_number: String,
    /// Without the country code.
    pure_phone_number: String,
    /// For example `86`.
    country_code: String,
}

/// Whether the session key is still valid.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionAnswer {
    /// Whether WeChat still accepts the session key that is kept here.
    valid: bool,
}

/// Decrypt a person's data, or check that it is WeChat's
///
/// Uses the session key of the last login, or for ten minutes the previous one. Decrypted data are
/// believed only if they have exactly the members of one kind: a profile, a phone number, steps, or
/// a group.
#[utoipa::path(post, path = "/wechat/userdata", tag = "wechat", security(("bearer" = [])),
    request_body(content = UserDataBody, examples(
        ("encrypted" = (summary = "encryptedData and iv",
            value = json!({"encryptedData": "AAAAAAAAAAAAAAAAAAAAAA==", "iv": "AAAAAAAAAAAAAAAAAAAAAA=="}))),
        ("raw" = (summary = "rawData and signature",
            value = json!({"rawData": "{\"nickName\":\"lin\"}", "signature": "75e81ceda165f4ffa64f4068af58c64b8f54b88c"}))),
    )),
    responses((status = 200, description = "The data", body = UserDataAnswer)))]
pub(super) async fn user_data(
    request: HttpRequest,
    payload: Payload,
    worker: web::Data<IssuerWorker>,
) -> Answer {
    let holder = holder_with_session_key(&request, &worker).await?;
    let body = read_body(payload, USER_DATA_BODY).await?;
    let asked = UserDataBody::from_json(&body)?.user_data()?;
    let max_age = worker.issuer.settings.user_data_max_age;
    let opening = async move {
        worker
            .login
            .user_data()
            .open(&holder, &asked, now(), max_age)
            .await
    };
    let data = run_to_completion(opening).await.map_err(by_token)?;
    Ok(private(UserDataAnswer { data }))
}

/// Get a person's phone number
#[utoipa::path(post, path = "/wechat/phone", tag = "wechat", security(("bearer" = [])),
    request_body(content = PhoneBody, example = json!({"code": "bf7a7e8e3a1d4c0d9f6b2e5c8a7d4f10"})),
    responses((status = 200, description = "The number", body = PhoneAnswer)))]
pub(super) async fn phone(
    request: HttpRequest,
    payload: Payload,
    worker: web::Data<IssuerWorker>,
) -> Answer {
    let holder = holder_with_session_key(&request, &worker).await?;
    let body = read_body(payload, SMALL_BODY).await?;
    let PhoneBody { code } = PhoneBody::from_json(&body)?;
    let exchange = async move {
        worker
            .login
            .phone_numbers()
            .phone_number(&holder, &code)
            .await
    };
    let Phone {
        number,
        pure_number,
        country_code,
    } = run_to_completion(exchange).await.map_err(by_token)?;
    Ok(private(PhoneAnswer {
        phone_number: number,
        pure_phone_number: pure_number,
        country_code,
    }))
}

/// Ask WeChat whether the session key is still valid
#[utoipa::path(get, path = "/wechat/session", tag = "wechat", security(("bearer" = [])),
    responses((status = 200, description = "Whether it is valid", body = SessionAnswer)))]
pub(super) async fn session(request: HttpRequest, worker: web::Data<IssuerWorker>) -> Answer {
    let holder = holder_with_session_key(&request, &worker).await?;
    let valid = run_to_completion(async move {
        worker
            .login
            .session_key_actions()
            .session_holds(&holder)
            .await
    })
    .await
    .map_err(by_token)?;
    Ok(private(SessionAnswer { valid }))
}

/// Have WeChat replace the session key
#[utoipa::path(post, path = "/wechat/session/reset", tag = "wechat", security(("bearer" = [])),
    responses((status = 204, description = "Replaced")))]
pub(super) async fn reset(request: HttpRequest, worker: web::Data<IssuerWorker>) -> Done {
    let holder = holder_with_session_key(&request, &worker).await?;
    run_to_completion(async move {
        worker
            .login
            .session_key_actions()
            .reset_session(&holder)
            .await
    })
    .await
    .map_err(by_token)
}

fn by_token(error: impl Into<TokenActionError>) -> Problem {
    Refusal::by_token(error).problem
}

async fn holder_with_session_key(
    request: &HttpRequest,
    worker: &IssuerWorker,
) -> Result<TokenHolder, Problem> {
    let holder = token_holder(request, worker).await?;
    worker
        .login
        .app_calls()
        .check_has_session_keys(&holder.person.app)?;
    Ok(holder)
}

pub(crate) async fn token_holder(
    request: &HttpRequest,
    worker: &IssuerWorker,
) -> Result<TokenHolder, Problem> {
    let token = worker.issuer.verify(request, now())?;
    worker
        .login
        .token_actions()
        .token_holder(&token)
        .await
        .map_err(by_token)
}
