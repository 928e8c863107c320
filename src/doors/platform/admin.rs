//! The route of the admin listener that finds a merchant.

use actix_web::HttpRequest;
use actix_web::web::{Data, Payload};
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use wxmint_http::described::{DescribedRoute, POST, Routes, routes};
use wxmint_http::{Answer, Problem, ProblemCode, ProblemDocument, SMALL_BODY, read_body};
use wxmint_ids::AppId;

use super::Platform;
use crate::admin::act::{Act, OperatingData};
use crate::admin::routes::{APP, BODY, SECRET, SECURITY};
use crate::{admin::tokens::Right, admin::wechat::text, apps::UnknownApp, clock::now};

const NO_MERCHANT: &str = "No merchant is known by this `auth_code`: WeChat's push may be under way. Ask again for some seconds. \
     If it is still so after a minute, WeChat's answer was lost: have the merchant authorise again.";

/// The body of `POST …/merchant`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; `merchant` reads it")]
struct MerchantBody {
    /// As it is in the query with which WeChat sends the merchant's browser back.
    auth_code: String,
}

/// The answer of `POST /wechat/{appid}/merchant`.
#[derive(Serialize, ToSchema)]
struct FoundMerchant {
    #[schema(value_type = String, example = "wx0123456789abcdef")]
    appid: AppId,
}

/// Find the merchant of an auth_code
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
    platform: Option<Data<Platform>>,
) -> Answer {
    let act = Act::<AppId>::begin("find_merchant", Right::WeChat, &request, operating).await?;
    let code = act.may_go_on(read_body(payload, SMALL_BODY).await.and_then(|body| text(&body, "auth_code")))?;
    act.show(async move |_, component| {
        let unknown = |why: &str| Problem::new(ProblemCode::UnknownApp, why.to_owned());
        let platform = platform.filter(|platform| platform.component.id == *component);
        let known = platform.ok_or_else(|| unknown(&UnknownApp::NotConfigured.to_string()))?.known();
        let found = known.merchant_of(&code, now()).map(|appid| FoundMerchant { appid: appid.clone() });
        found.ok_or_else(|| unknown(NO_MERCHANT))
    })
    .await
}

routes! {
    #[openapi()]
    POST "/wechat/{appid}/merchant" self::merchant [SECRET, APP], BODY;
}
