//! The page's side of a device request: it opens the request, shows a code, and fetches its token
//! (RFC 8628 section 3).

use std::{net::IpAddr, time::Duration};

use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse, http::header};
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use utoipa::ToSchema;
use wxmint_http::{
    Answer, Fields, Problem, ProblemCode, limit_key, malformed, not_found, origin, page, private,
    read_form, run_to_completion,
};
use wxmint_telemetry::audit::{Event, Origin};
use wxmint_wechat::MAX_PICTURE;

use super::browser::BrowserName;
use super::codes::UserCode;
use super::store::{DEVICE_TTL, OWN, POLL_INTERVAL};
use super::{ASKED, AtDoor, Scan, requests::DeviceFlow, requests::gone};
use crate::issuer::grants::PhoneLoginRequest;
use crate::issuer::route_constants::PLACE;
use crate::issuer::state::IssuerWorker;
use crate::login::{RequestError, Unavailable, WeChatRefusal};
use crate::oauth::authentication::refused;
use crate::oauth::clients::Client;
use crate::oauth::error::{OAuthError, TOO_MANY, to_oauth};
use crate::refusals::Refusal;

/// `Retry-After` if WeChat refuses to draw a code. WeChat's quota is per minute, and an unpublished
/// page takes longer to mend.
const REFUSED_PAUSE: Duration = Duration::from_mins(1);
/// The most bytes of pictures that are being drawn at once, in all threads. Each picture is in
/// memory twice for a moment, and a pod of the chart has 128 MiB.
const MOST_DRAWN: usize = 8 * 1024 * 1024;
static PICTURES: Semaphore = Semaphore::const_new(MOST_DRAWN / MAX_PICTURE);

/// The form of `POST /device_authorization`.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "describes the form; `device_authorization` reads it"
)]
pub(super) struct DeviceAuthorizationForm {
    /// The client that asks, by the file of clients.
    client_id: String,
    /// A back end sends it, unless it is in the header Authorization (Basic).
    #[schema(format = Password)]
    client_secret: Option<String>,
    /// With an assertion: urn:ietf:params:oauth:client-assertion-type:jwt-bearer
    client_assertion_type: Option<String>,
    /// A back end with `jwks` or `issuer` sends it in place of a secret (RFC 7523).
    #[schema(format = Password)]
    client_assertion: Option<String>,
    /// From a back end: the address of the browser that asks.
    browser_address: Option<String>,
    /// From a back end: the header User-Agent of the browser that asks. The phone shows a name of wxmint's own list.
    browser_user_agent: Option<String>,
}

/// The page shows one part of it, and asks for its token with the other.
#[derive(Serialize, ToSchema)]
pub(super) struct DeviceAuthorization {
    /// A secret of the page.
    #[schema(example = "nPRUmvTZ3AxIxdJ4V3oUJgKp2cZyTtVqR7bqB6FQy6o")]
    device_code: String,
    #[schema(example = "WDJB-MJHT")]
    user_code: String,
    /// A page that says to scan with WeChat.
    #[schema(example = "https://login.example.com/device")]
    verification_uri: String,
    /// The same, for an ordinary QR code: WeChat opens the mini program by it.
    #[schema(example = "https://login.example.com/device?user_code=WDJB-MJHT")]
    verification_uri_complete: String,
    /// The picture of the mini-program code, a JPEG.
    #[schema(example = "https://login.example.com/device/WDJB-MJHT/code.jpg")]
    mini_program_code_uri: String,
    /// The number to show: the person chooses it of three on the phone.
    #[serde(rename = "match", skip_serializing_if = "Option::is_none")]
    #[schema(example = "47")]
    number: Option<String>,
    /// Seconds.
    #[schema(example = 180)]
    expires_in: u64,
    /// Seconds between two asks at `/token`.
    #[schema(example = 2)]
    interval: u64,
}

/// Ask for a login by a phone (RFC 8628 section 3.1)
///
/// Show the picture of `mini_program_code_uri` and the number `match`, and ask `/token` every `interval` seconds.
/// Errors have the form of OAuth 2.0 (`error`, `error_description`); 429 and 503 have Retry-After.
#[utoipa::path(post, path = "/device_authorization", tag = "scan",
    request_body(content = DeviceAuthorizationForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Show this", body = DeviceAuthorization),
        (status = 400, description = "Another form of request, or a client of a mini program that is not configured", body = OAuthError),
        (status = 401, description = "The client is unknown, or its secret is wrong", body = OAuthError)))]
pub(super) async fn device_authorization(
    request: HttpRequest,
    payload: Payload,
    at: AtDoor,
) -> Answer {
    let opened = async {
        let fields = read_form(
            &request,
            payload,
            &["browser_address", "browser_user_agent"],
        )
        .await?;
        let (worker, scan) = &at;
        let oauth = worker.issuer.oauth.as_ref();
        let oauth = oauth.ok_or_else(|| not_found(PLACE))?;
        let clients = oauth.clients();
        let client = oauth
            .authenticate(&request, &fields, &clients, &worker.login)
            .await?;
        let browser = refuse_strangers(&request, worker, client);
        let browser = browser.and_then(|()| asking_browser(&request, &fields, client));
        let browser = browser.map_err(|problem| refused(ASKED, &request, Some(client), problem))?;
        let page = PhoneLoginRequest {
            request: &request,
            worker,
            client,
            door: OWN,
        };
        Ok(private(open_request(scan, page, browser).await?))
    };
    to_oauth(opened.await)
}

/// The browser that asks for a login.
pub(super) struct Visitor {
    /// The address as the phone shows it: an IPv4 address, or the network of an IPv6 address.
    pub(super) address: String,
    /// The key under which limits count its requests: the address, after a back end's client id if
    /// a back end has named the address.
    pub(super) counted_by: String,
    pub(super) browser: BrowserName,
}

/// Opens a device request for a page of this client, and counts and audits it.
pub(super) async fn open_request(
    scan: &Scan,
    page: PhoneLoginRequest<'_>,
    visitor: Visitor,
) -> Result<DeviceAuthorization, Problem> {
    let PhoneLoginRequest {
        request,
        worker,
        client,
        door,
    } = page;
    let origin = Origin {
        address: Some(visitor.address.clone()),
        ..origin(request)
    };
    let who = format!("{} {}", client.id, visitor.address);
    let event = Event {
        app: Some(client.app.clone()),
        client: Some(client.id.clone()),
        ..Event::new(ASKED, origin)
    };
    let opened = DeviceFlow::of(&worker.login)
        .ask_phone((client, door), visitor)
        .await;
    scan.count(
        &worker.issuer,
        &client.id,
        if opened.is_ok() { "started" } else { "refused" },
    );
    let (code, asked) = opened.map_err(|error| Refusal::from(error).tell(event.clone(), &who))?;
    event.tell_bounded(&who);
    let issuer = worker.issuer.settings.issuer.as_str();
    let user_code = code.user_code().shown();
    Ok(DeviceAuthorization {
        device_code: code.expose().to_owned(),
        verification_uri: format!("{issuer}/device"),
        verification_uri_complete: format!("{issuer}/device?user_code={user_code}"),
        mini_program_code_uri: format!("{issuer}/device/{user_code}/code.jpg"),
        user_code,
        number: asked.numbers.map(|(_, right)| right),
        expires_in: DEVICE_TTL.as_secs(),
        interval: POLL_INTERVAL.as_secs(),
    })
}

/// Refuses pages of other sites. A page could use up the limits of its visitor's address, even if
/// it cannot read the answers.
fn refuse_strangers(
    request: &HttpRequest,
    worker: &IssuerWorker,
    client: &Client,
) -> Result<(), Problem> {
    let Some(site) = request.headers().get(header::ORIGIN) else {
        return Ok(());
    };
    let issuer = worker.issuer.settings.issuer.origin();
    let is_own = |site: &str| site == issuer || client.origins.iter().any(|own| own == site);
    if client.is_back_end() || site.to_str().is_ok_and(is_own) {
        return Ok(());
    }
    Err(
        Problem::invalid("The site that asks is none of the client's `origins`.")
            .oauth("unauthorized_client"),
    )
}

/// The browser that sends a request.
pub(super) fn visitor(request: &HttpRequest) -> Visitor {
    let agent = request
        .headers()
        .get(header::USER_AGENT)
        .map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let browser = BrowserName::of_agent(&agent.unwrap_or_default());
    let address = origin(request).address.unwrap_or_default();
    Visitor {
        counted_by: address.clone(),
        address,
        browser,
    }
}

/// The browser that asks: a back end's visitor, or the page itself. Visitors of a back end are
/// counted apart from all others, because a back end can name any address.
fn asking_browser(
    request: &HttpRequest,
    fields: &Fields<'_>,
    client: &Client,
) -> Result<Visitor, Problem> {
    let mut asking = visitor(request);
    if !client.is_back_end() {
        return Ok(asking);
    }
    let address = fields
        .text("browser_address")?
        .map(|text| text.parse::<IpAddr>())
        .transpose();
    if let Some(address) =
        address.map_err(|_| malformed("browser_address", "must be an IP address"))?
    {
        asking.address = limit_key(address);
    }
    if let Some(agent) = fields.text("browser_user_agent")? {
        asking.browser = BrowserName::of_agent(&agent);
    }
    asking.counted_by = format!("{} {}", client.id, asking.address);
    Ok(asking)
}

/// The mini-program code of a request
///
/// WeChat draws it, at most three times for each request.
#[utoipa::path(get, path = "/device/{user_code}/code.jpg", tag = "scan",
    params(("user_code" = String, Path, description = "As in the answer of /device_authorization")),
    responses((status = 200, description = "A JPEG", content_type = "image/jpeg")))]
pub(super) async fn picture(
    request: HttpRequest,
    code: Path<String>,
    (worker, _): AtDoor,
) -> Answer {
    let code: UserCode = code.parse().map_err(|()| gone().problem)?;
    let address = origin(&request).address.unwrap_or_default();
    // Runs to completion even if the client disconnects, because this request may renew WeChat's
    // access token.
    let room = room(&PICTURES)?;
    let drawn = run_to_completion(async move {
        let _permit = room;
        DeviceFlow::of(&worker.login)
            .picture(&code, &worker.issuer.clients(), &address)
            .await
    })
    .await;
    let picture = drawn.map_err(no_picture)?.ok_or_else(|| gone().problem)?;
    Ok(HttpResponse::Ok()
        .content_type("image/jpeg")
        .insert_header((
            header::CACHE_CONTROL,
            format!("private, max-age={}", DEVICE_TTL.as_secs()),
        ))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(picture))
}

/// Reserves memory for one more picture. Without free memory the answer is 503, and the page asks
/// again.
fn room(pictures: &Semaphore) -> Result<SemaphorePermit<'_>, Problem> {
    pictures
        .try_acquire()
        .map_err(|_| undrawn().retry_after(POLL_INTERVAL))
}

/// The answer if WeChat draws no picture. The page can only wait, or show the ordinary QR code. The
/// log has the reason.
fn no_picture(error: RequestError) -> Problem {
    let wait = match &error {
        RequestError::Limited(_) => return Problem::from(error).with_detail(TOO_MANY),
        RequestError::Unavailable(Unavailable::Store(_)) => return error.into(),
        RequestError::WeChat(WeChatRefusal::Misconfigured { .. } | WeChatRefusal::SlowDown) => {
            REFUSED_PAUSE
        }
        _ => POLL_INTERVAL,
    };
    bounded!(warn, "no mini-program code", cause = %error, "WeChat draws no mini-program code for a page");
    undrawn().retry_after(wait)
}

fn undrawn() -> Problem {
    Problem::new(
        ProblemCode::WechatUnavailable,
        "WeChat draws no mini-program code for this page at the moment.",
    )
}

/// A page that says to scan with WeChat
///
/// WeChat opens the mini program in its place, if its console has the rule for this path.
#[utoipa::path(get, path = "/device", tag = "scan",
    responses((status = 200, description = "A page", content_type = "text/html")))]
pub(super) async fn show() -> HttpResponse {
    page::answer(page::HTML, include_str!("page.html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_pictures_are_drawn_at_a_time_as_memory_is_kept_for() {
        assert_eq!(
            PICTURES.available_permits(),
            64,
            "pictures of 128 KiB, in 8 MiB"
        );
        let pictures = Semaphore::new(1);
        let first = room(&pictures).expect("room");
        let refused = room(&pictures).expect_err("as many as there is room for");
        assert_eq!(
            (refused.status.as_u16(), refused.retry_after),
            (503, Some(POLL_INTERVAL.as_secs()))
        );
        drop(first);
        assert!(room(&pictures).is_ok(), "room again");
    }
}
