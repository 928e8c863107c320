//! The handlers for a business's calls of WeChat that need a user's session key or the app's access
//! token.

use actix_web::{HttpRequest, HttpResponse, web::Payload};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use wxmint_http::{Answer, Fields, Problem, SMALL_BODY, malformed, missing, private, read_body};
use wxmint_ids::{AppId, UserId};
use wxmint_wechat::{AppAccessToken, EncryptKey};

use super::admin_request::{AdminRequest, OperatingData};
use super::tokens::Right;
use crate::login::{PaymentMode, SignedPayment, Usable, UserSignature};

/// The longest data that is signed, in bytes of UTF-8.
const LONGEST_DATA: usize = 16 * 1024;
/// JSON may write each byte of the data as `\\u00XX`, six bytes.
const SIGNATURE_BODY: usize = 6 * LONGEST_DATA + 1024;

/// The answer of `GET …/encrypt-keys`, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct EncryptKeys {
    keys: Vec<EncryptKey>,
}

/// The answer of `GET` and `POST /wechat/{appid}/access-token`.
#[derive(Serialize, ToSchema)]
pub(super) struct SharedAccessToken<'a> {
    access_token: &'a str,
    /// The rest of its life, in seconds.
    expires_in: u64,
}

/// The body of `POST …/signature`.
#[derive(ToSchema)]
pub(super) struct SignatureBody {
    /// 1 byte to 16 KiB of UTF-8, signed byte for byte.
    data: String,
}

impl SignatureBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let fields = Fields::from_json(body, &["data"])?;
        let data = data_to_sign(&fields)?;
        Ok(Self { data })
    }
}

/// Refuses an empty text, because its signature is the proof by which WeChat hands out a session key
/// (`resetusersessionkey`).
fn data_to_sign(fields: &Fields<'_>) -> Result<String, Problem> {
    let data = required_text(fields, "data")?;
    if data.len() > LONGEST_DATA {
        Err(malformed("data", "must be at most 16 KiB of UTF-8"))
    } else {
        Ok(data)
    }
}

/// The body of `POST …/payment`.
#[derive(ToSchema)]
pub(super) struct PaymentBody {
    /// `signData`: a JSON object of 1 byte to 16 KiB, as a text, whose `env` is 0 or 1. It is signed
    /// byte for byte.
    data: String,
    /// `short_series_goods` if it is missing.
    #[schema(value_type = Option<String>)]
    mode: PaymentMode,
    #[schema(ignore)]
    is_sandbox: bool,
}

impl PaymentBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let fields = Fields::from_json(body, &["data", "mode"])?;
        let data = data_to_sign(&fields)?;
        let order: Option<Map<String, Value>> = serde_json::from_str(&data).ok();
        let order = order.ok_or_else(|| malformed("data", "must be a JSON object, as a text"))?;
        let is_sandbox = match order.get("env").map(Value::as_u64) {
            None | Some(Some(0)) => false,
            Some(Some(1)) => true,
            Some(_) => return Err(malformed("data", "must have the number 0 or 1 as `env`")),
        };
        let mode = match fields.text("mode")?.as_deref() {
            None | Some("short_series_goods") => PaymentMode::ShortSeriesGoods,
            Some("short_series_coin") => PaymentMode::ShortSeriesCoin,
            Some(_) => {
                let form = "must be short_series_goods or short_series_coin";
                return Err(malformed("mode", form));
            }
        };
        Ok(Self {
            data,
            mode,
            is_sandbox,
        })
    }
}

/// The body of `POST …/access-token`.
#[derive(ToSchema)]
pub(super) struct RenewalBody {
    /// The access token that WeChat refused with 40001, 40014 or 42001.
    #[schema(value_type = String)]
    invalid: AppAccessToken,
}

impl RenewalBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let invalid = AppAccessToken::new(text(body, "invalid")?);
        Ok(Self { invalid })
    }
}

/// Sign data as a user, for wx.requestVirtualPayment and the xpay interfaces
///
/// The key is the session key of the user's latest login in this mini program. WeChat is not asked.
#[utoipa::path(post, path = "/users/{user_id}/wechat/{appid}/signature", tag = "wechat", security(("bearer" = ["wechat"])),
    params(("user_id" = String, Path), ("appid" = String, Path)), request_body = SignatureBody,
    responses((status = 200, description = "The signature", body = UserSignature)))]
pub(super) async fn sign(
    request: HttpRequest,
    payload: Payload,
    operating: OperatingData,
) -> Answer {
    let act =
        AdminRequest::<(UserId, AppId)>::begin("sign", Right::WeChat, &request, operating).await?;
    let SignatureBody { data } = act.audit_failure(
        read_body(payload, SIGNATURE_BODY)
            .await
            .and_then(|body| SignatureBody::from_json(&body)),
    )?;
    act.show(async move |operating, (user, app)| {
        operating.login.service_api().sign(user, app, &data).await
    })
    .await
}

/// Sign an order as the app and as a user, for wx.requestVirtualPayment
///
/// The app's file needs the AppKey of virtual payment, `payment_key` or `payment_key_sandbox`. WeChat is not asked.
#[utoipa::path(post, path = "/users/{user_id}/wechat/{appid}/payment", tag = "wechat", security(("bearer" = ["wechat"])),
    params(("user_id" = String, Path), ("appid" = String, Path)), request_body = PaymentBody,
    responses((status = 200, description = "The arguments of wx.requestVirtualPayment", body = SignedPayment)))]
pub(super) async fn sign_payment(
    request: HttpRequest,
    payload: Payload,
    operating: OperatingData,
) -> Answer {
    let act =
        AdminRequest::<(UserId, AppId)>::begin("sign_payment", Right::WeChat, &request, operating)
            .await?;
    let body = read_body(payload, SIGNATURE_BODY).await;
    let PaymentBody {
        data,
        mode,
        is_sandbox,
    } = act.audit_failure(body.and_then(|body| PaymentBody::from_json(&body)))?;
    act.show(async move |operating, (user, app)| {
        let service_api = operating.login.service_api();
        service_api
            .sign_payment(user, app, mode, data, is_sandbox)
            .await
    })
    .await
}

/// Get the keys of wx.getUserCryptoManager
#[utoipa::path(get, path = "/users/{user_id}/wechat/{appid}/encrypt-keys", tag = "wechat", security(("bearer" = ["wechat"])),
    params(("user_id" = String, Path), ("appid" = String, Path)),
    responses((status = 200, description = "At most three, newest first", body = EncryptKeys)))]
pub(super) async fn encrypt_keys(request: HttpRequest, operating: OperatingData) -> Answer {
    let act =
        AdminRequest::<(UserId, AppId)>::begin("encrypt_keys", Right::WeChat, &request, operating)
            .await?;
    let keys = act
        .run(async |operating, (user, app)| {
            operating.login.service_api().encrypt_keys(user, app).await
        })
        .await?;
    Ok(private(EncryptKeys { keys }))
}

/// Get the access token that all services share
///
/// Ask again for each use, or keep it for at most a minute.
#[utoipa::path(get, path = "/wechat/{appid}/access-token", tag = "wechat", security(("bearer" = ["wechat"])),
    params(("appid" = String, Path)), responses((status = 200, description = "The token in use", body = SharedAccessToken)))]
pub(super) async fn access_token(request: HttpRequest, operating: OperatingData) -> Answer {
    let act =
        AdminRequest::<AppId>::begin("access_token", Right::WeChat, &request, operating).await?;
    Ok(shared(
        &act.run(async |operating, app| {
            operating.login.service_api().access_token(app, None).await
        })
        .await?,
    ))
}

/// Report that WeChat refused the access token
///
/// It is renewed if it still is the token in use.
#[utoipa::path(post, path = "/wechat/{appid}/access-token", tag = "wechat", security(("bearer" = ["wechat"])),
    params(("appid" = String, Path)), request_body = RenewalBody,
    responses((status = 200, description = "The token in use now", body = SharedAccessToken)))]
pub(super) async fn replace_access_token(
    request: HttpRequest,
    payload: Payload,
    operating: OperatingData,
) -> Answer {
    let act =
        AdminRequest::<AppId>::begin("replace_access_token", Right::WeChat, &request, operating)
            .await?;
    let RenewalBody { invalid } = act.audit_failure(
        read_body(payload, SMALL_BODY)
            .await
            .and_then(|body| RenewalBody::from_json(&body)),
    )?;
    Ok(shared(
        &act.run(async move |operating, app| {
            operating
                .login
                .service_api()
                .access_token(app, Some(&invalid))
                .await
        })
        .await?,
    ))
}

fn shared(usable: &Usable) -> HttpResponse {
    private(SharedAccessToken {
        access_token: usable.token.expose(),
        expires_in: usable.expires_in.as_secs(),
    })
}

/// The text of the one member that a body must have.
pub(crate) fn text(body: &[u8], name: &'static str) -> Result<String, Problem> {
    required_text(&Fields::from_json(body, &[name])?, name)
}

fn required_text(fields: &Fields<'_>, name: &'static str) -> Result<String, Problem> {
    let text = fields.text(name)?.ok_or_else(|| missing(name))?;
    if text.is_empty() {
        Err(malformed(name, "must not be empty"))
    } else {
        Ok(text.into_owned())
    }
}
