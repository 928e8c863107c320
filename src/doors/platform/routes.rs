//! The address for WeChat's pushes, and the route of the admin listener that finds a merchant.

use actix_web::web::{self, Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Answer, Problem, ProblemCode, SMALL_BODY, read_body, routes};
use wxmint_ids::AppId;
use wxmint_store::short_digest;
use wxmint_wechat::{News, PushQuery};

use super::{ThirdPartyPlatform, store::PUSH_BELIEVED};
use crate::admin::admin_request::{AdminRequest, OperatingData};
use crate::admin::{APP, BODY, SECRET, SECURITY, tokens::Right, wechat::text};
use crate::{apps::UnknownApp, clock::now, issuer::state::IssuerWorker, login::Unavailable};

type AtDoor = (Data<IssuerWorker>, Data<ThirdPartyPlatform>);

const LARGEST: usize = 64 * 1024;

/// Take a push
///
/// The address that the platform's console has for 授权事件接收. Answers `success` once what the push says is kept.
#[utoipa::path(post, path = "/wechat/platform/{component_appid}", tag = "platform",
    params(("component_appid" = String, Path, description = "The platform's own AppID"),
        ("msg_signature" = String, Query, description = "SHA-1 over token, timestamp, nonce and the encrypted text"),
        ("timestamp" = i64, Query, description = "In seconds since 1970"),
        ("nonce" = String, Query, description = "Random")),
    responses((status = 200, description = "The word `success`", body = String, content_type = "text/plain")))]
#[expect(
    clippy::cognitive_complexity,
    reason = "each log macro counts as several branches"
)]
pub(super) async fn push(
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
    at: AtDoor,
) -> Answer {
    let (worker, platform) = at;
    if platform.component.id.as_str() != *path {
        bounded!(
            warn,
            "push to another address",
            "a push was refused: its address names another platform; see 授权事件接收URL in the console"
        );
        return Err(Problem::invalid(
            "This is not the platform's address: correct the AppID in it.",
        )
        .with_status(StatusCode::NOT_FOUND));
    }
    let query = web::Query::<PushQuery>::from_query(request.query_string())
        .map_err(|_| Problem::invalid("WeChat sends `msg_signature`, `timestamp` and `nonce`."))?
        .into_inner();
    let body = read_body(payload, LARGEST).await?;
    let push = platform
        .push_key
        .open(&platform.component.id, &query, &body)
        .map_err(|bad| {
            bounded!(warn, "push", reason = %bad, "a push was refused");
            Problem::invalid(format!("The push cannot be taken: {bad}."))
        })?;
    let sent = query.timestamp.parse().unwrap_or(0_i64);
    if [sent, push.created]
        .iter()
        .any(|at| now().timestamp().abs_diff(*at) > PUSH_BELIEVED.as_secs())
    {
        platform.compare_soon.notify_one(); // the push may still say something new
        bounded!(
            warn,
            "old push",
            "a push of WeChat's was refused: it is old, or this machine's clock is wrong"
        );
        return Err(Problem::invalid(
            "The push is more than 10 minutes old, or a clock is wrong.",
        ));
    }
    match &push.news {
        News::Authorized { app, .. } => {
            tracing::info!(app = %app, news = "authorized", "a merchant");
        }
        News::Unauthorized(app) => tracing::info!(app = %app, news = "unauthorized", "a merchant"),
        News::Ticket(_) | News::Other => {}
    }
    platform
        .note_push(
            &worker.login,
            push,
            &short_digest(&query.msg_signature).to_string(),
        )
        .await
        .map_err(Unavailable::from)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("success"))
}

const NO_MERCHANT: &str = "No merchant is known by this `auth_code`: WeChat's push may be under way. Ask again for some seconds. \
     If it is still so after a minute, WeChat's answer was lost: have the merchant authorise again.";

/// The body of `POST …/merchant`.
#[derive(ToSchema)]
struct MerchantBody {
    /// As it is in the query with which WeChat sends the merchant's browser back.
    auth_code: String,
}

impl MerchantBody {
    fn from_json(body: &[u8]) -> Result<Self, Problem> {
        let auth_code = text(body, "auth_code")?;
        Ok(Self { auth_code })
    }
}

/// The answer of `POST /wechat/{appid}/merchant`.
#[derive(Serialize, ToSchema)]
struct FoundMerchant {
    #[schema(value_type = String, example = "wx0123456789abcdef")]
    appid: AppId,
}

/// Find the merchant of an `auth_code`
///
/// For the page to which WeChat sends a merchant back that has authorised the third-party platform. `unknown_app` until
/// WeChat's push has come, and wxmint has asked what it says.
#[utoipa::path(post, path = "/wechat/{appid}/merchant", tag = "wechat", security(("bearer" = ["wechat"])),
    params(("appid" = String, Path, description = "The platform's own AppID")), request_body = MerchantBody,
    responses((status = 200, description = "The merchant's app", body = FoundMerchant)))]
async fn merchant(
    request: HttpRequest,
    payload: Payload,
    operating: OperatingData,
    platform: Option<Data<ThirdPartyPlatform>>,
) -> Answer {
    let act =
        AdminRequest::<AppId>::begin("find_merchant", Right::WeChat, &request, operating).await?;
    let MerchantBody { auth_code } = act.audit_failure(
        read_body(payload, SMALL_BODY)
            .await
            .and_then(|body| MerchantBody::from_json(&body)),
    )?;
    act.show(async move |_, component| {
        let unknown = |why: &str| Problem::new(ProblemCode::UnknownApp, why.to_owned());
        let platform = platform.filter(|platform| platform.component.id == *component);
        let known = platform
            .ok_or_else(|| unknown(&UnknownApp::NotConfigured.to_string()))?
            .known();
        let found = known
            .merchant_of(&auth_code, now())
            .map(|appid| FoundMerchant {
                appid: appid.clone(),
            });
        found.ok_or_else(|| unknown(NO_MERCHANT))
    })
    .await
}

routes! {
    #[openapi()]
    POST "/wechat/{appid}/merchant" self::merchant [SECRET, APP], BODY;
}
