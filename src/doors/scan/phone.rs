//! The phone's side: the person looks at what a page asks for, and says yes or no.

use actix_web::http::{StatusCode, header::AUTHORIZATION};
use actix_web::web::{Path, Payload};
use actix_web::{HttpMessage, HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Answer, Problem, SMALL_BODY, origin, private, read_body, to_the_end};
use wxmint_ids::ClientId;
use wxmint_telemetry::audit::{Activity, Event};

use super::codes::UserCode;
use super::store::FoundDevice;
use super::{
    APPROVED, AtDoor, DENIED, LOOKED, MATCH_WRONG, Scan,
    approval::Approval,
    requests::{gone, of_request},
};
use crate::issuer::login_route::{LoginAttempt, app_hint};
use crate::login::{Asking, LoginRequest};
use crate::{
    clock::now, issuer::LoginBody, issuer::session_key_routes::asking, issuer::state::IssuerWorker, refusals::Refusal,
};

/// The request of a page.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceAnswer {
    #[schema(value_type = String, example = "shop-web")]
    client_id: ClientId,
    #[schema(example = "晨光商城 网页版")]
    client_name: String,
    /// The address of the browser that asks; for IPv6 its network.
    #[schema(example = "203.0.113.7")]
    address: String,
    /// The browser's own words.
    user_agent: String,
    /// Seconds since 1970.
    #[schema(example = 1_700_000_000)]
    requested_at: i64,
    /// Seconds.
    #[schema(example = 150)]
    expires_in: u64,
    /// The page shows one of these numbers; the person chooses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["12", "47", "83"]))]
    choices: Option<[String; 3]>,
}

/// The body of `POST /device/{user_code}/approve`. What binds a person in a login may be sent too, and `bind_ticket` in
/// place of `code`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which becomes an `Approval`")]
pub(super) struct ApprovalBody {
    /// A fresh code of `wx.login`.
    code: String,
    /// The number that the person has chosen. Needed if there are `choices`.
    #[schema(rename = "match")]
    number: Option<String>,
}

/// Show who asks for a login
///
/// For a person whose phone has scanned the code of a page: shows what asks, from where and when. The page is told that
/// a phone has looked.
#[utoipa::path(get, path = "/device/{user_code}", tag = "scan", security(("bearer" = [])),
    params(("user_code" = String, Path, description = "What was scanned; case, blanks and hyphens make no difference")),
    responses((status = 200, description = "The request", body = DeviceAnswer)))]
pub(super) async fn look(request: HttpRequest, code: Path<String>, (worker, scan): AtDoor) -> Answer {
    let (asking, event) = begin(LOOKED, &request, &worker).await?;
    let mut client = None;
    let clients = scan.clients();
    let shown = async {
        let found = worker.login.look_at(&asking, &code, &mut client).await?;
        let name = of_request(&clients, &found.request).ok_or_else(gone)?.name.clone();
        Ok((name, found))
    };
    let shown = shown.await;
    let (client_name, found) = told(&scan, Event { client, ..event }, "scanned", shown)?;
    let FoundDevice { request, requested_at, expires_in, .. } = found;
    Ok(private(DeviceAnswer {
        client_id: request.client,
        client_name,
        address: request.address,
        user_agent: request.user_agent,
        requested_at,
        expires_in: expires_in.as_secs(),
        choices: request.numbers.map(|(choices, _)| choices),
    }))
}

/// Deny a page its login
#[utoipa::path(post, path = "/device/{user_code}/deny", tag = "scan", security(("bearer" = [])),
    params(("user_code" = String, Path, description = "What was scanned")),
    responses((status = 204, description = "Denied")))]
pub(super) async fn deny(request: HttpRequest, code: Path<String>, (worker, scan): AtDoor) -> Answer {
    let (asking, event) = begin(DENIED, &request, &worker).await?;
    let mut client = None;
    let denied = worker.login.deny(&asking, &code, &mut client).await;
    told(&scan, Event { client, ..event }, "denied", denied)?;
    Ok(HttpResponse::NoContent().finish())
}

/// The person of the request's token, and the event that tells of the request.
async fn begin(activity: Activity, request: &HttpRequest, worker: &IssuerWorker) -> Result<(Asking, Event), Problem> {
    let asking = asking(request, worker).await?;
    let person = Some(worker.issuer.vault.load_full().audit_name(&asking.person));
    let (user, app) = (Some(asking.user.clone()), Some(asking.person.app.clone()));
    Ok((asking, Event { user, app, person, ..Event::new(activity, origin(request)) }))
}

/// Counts and audits a look or a denial. Each is counted by a limit of the person's.
fn told<T>(scan: &Scan, event: Event, outcome: &'static str, result: Result<T, Refusal>) -> Result<T, Problem> {
    match result {
        Ok(done) => {
            event.client.iter().for_each(|client| scan.scans.count(client, outcome));
            event.tell();
            Ok(done)
        }
        Err(refusal) => {
            let who = event.person.clone().unwrap_or_default();
            Err(refusal.tell(event, &who))
        }
    }
}

/// Let a page in
///
/// A login, whose token goes to the page: WeChat is asked, and bindings, blocks and limits hold as in `POST /login`.
/// With a token it must be of the same person. May be repeated by the person with another code, because answers are
/// lost.
#[utoipa::path(post, path = "/device/{user_code}/approve", tag = "scan", security((), ("bearer" = [])),
    params(("user_code" = String, Path, description = "What was scanned")),
    request_body(content = ApprovalBody, example = json!({"code": "0e3Xk7000Y8bzS1Qbq100k8Abc2Xk70h", "match": "47"})),
    responses((status = 204, description = "The page may fetch its token")))]
pub(super) async fn approve(request: HttpRequest, code: Path<String>, body: Payload, (worker, scan): AtDoor) -> Answer {
    // A page of another site can send all other types without being asked for a preflight.
    if !request.content_type().eq_ignore_ascii_case("application/json") {
        let detail = "Send the header `Content-Type: application/json`.";
        return Err(Problem::invalid(detail).with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let shown =
        if request.headers().contains_key(AUTHORIZATION) { Some(asking(&request, &worker).await?) } else { None };
    let body = read_body(body, SMALL_BODY).await?;
    let (login, number) = LoginBody::with_field(&body, "match")?;
    let login = LoginRequest { app_hint: app_hint(&request), ..login };
    let code: UserCode = code.parse().map_err(|()| gone().problem)?;
    let event = Event::new(APPROVED, origin(&request));
    let approving = async move {
        let (clients, address) = (scan.clients(), event.address().to_owned());
        let mut attempt = LoginAttempt::begin(&worker, [login.app.clone(), login.app_hint.clone()]);
        let approved = async {
            attempt.has_room()?;
            let approval = Approval { code: &code, login, number, asking: shown.as_ref(), address: &address };
            worker.login.approve(approval, &clients, &mut attempt.trail, now()).await
        };
        let outcome = approved.await;
        let became = match &outcome {
            Ok(()) => Some("approved"),
            Err(refusal) if refusal.problem.code == MATCH_WRONG => Some("denied"),
            Err(_) => None,
        };
        if let (Some(became), Some(client)) = (became, &attempt.trail.client) {
            scan.scans.count(client, became);
        }
        attempt.end(event, outcome.as_ref().map(|()| false));
        outcome.map(|()| HttpResponse::NoContent().finish()).map_err(|refusal| refusal.problem)
    };
    to_the_end(approving).await
}
