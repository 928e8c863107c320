//! Takes what WeChat pushes.

use actix_web::web::{self, Path, Payload};
use actix_web::{HttpRequest, HttpResponse, http::StatusCode};
use wxmint_http::{Answer, Problem, read_body};
use wxmint_store::short_digest;
use wxmint_telemetry::bounded;
use wxmint_wechat::{News, PushQuery};

use super::{Platform, merchants::Merchants, store::PUSH_BELIEVED};
use crate::{clock::now, issuer::state::IssuerWorker, refusals::Refusal};

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
pub(super) async fn push(
    request: HttpRequest,
    path: Path<String>,
    payload: Payload,
    worker: web::Data<IssuerWorker>,
    platform: web::Data<Platform>,
) -> Answer {
    if platform.component.id.as_str() != *path {
        bounded!(
            warn,
            "push to another address",
            "a push was refused: its address names another platform; see 授权事件接收URL in the console"
        );
        return Err(Problem::invalid("This is not the platform's address: correct the AppID in it.")
            .with_status(StatusCode::NOT_FOUND));
    }
    let query = web::Query::<PushQuery>::from_query(request.query_string())
        .map_err(|_| Problem::invalid("WeChat sends `msg_signature`, `timestamp` and `nonce`."))?
        .into_inner();
    let body = read_body(payload, LARGEST).await?;
    let push = platform.push_key.open(&platform.component.id, &query, &body).map_err(|bad| {
        bounded!(warn, "push", reason = %bad, "a push was refused");
        Problem::invalid(format!("The push cannot be taken: {bad}."))
    })?;
    let sent = query.timestamp.parse().unwrap_or(0_i64);
    if [sent, push.created].iter().any(|at| (now().timestamp() - at).unsigned_abs() > PUSH_BELIEVED.as_secs()) {
        platform.compare_soon.notify_one(); // what it says may be news all the same
        bounded!(warn, "old push", "a push of WeChat's was refused: it is old, or this machine's clock is wrong");
        return Err(Problem::invalid("The push is more than 10 minutes old, or a clock is wrong."));
    }
    match &push.news {
        News::Authorized { app, .. } => tracing::info!(app = %app, news = "authorized", "a merchant"),
        News::Unauthorized(app) => tracing::info!(app = %app, news = "unauthorized", "a merchant"),
        News::Ticket(_) | News::Other => {}
    }
    let merchants = Merchants { login: &worker.login, platform: &platform };
    let kept = merchants.note_push(push, &short_digest(&query.msg_signature).to_string()).await;
    kept.map_err(|error| Refusal::from(error).problem)?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("success"))
}
