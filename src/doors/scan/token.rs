//! `/token`: the page fetches its token (RFC 8628 section 3.4).

use actix_web::{HttpRequest, http::header, web::Payload};
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_http::{Answer, Problem, RefusedBody, cors, origin, private};
use wxmint_ids::UserId;
use wxmint_keys::token::SignedToken;
use wxmint_telemetry::audit::{Activity, Event};

use super::client_auth::{authenticate, read_form};
use super::codes::DeviceCode;
use super::page::{OAuthError, in_own_words};
use super::requests::Fetched;
use super::store::Poll;
use super::{AtDoor, of_oauth, to_oauth};
use crate::clock::now;

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// The form of `POST /token`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; `token` reads it")]
pub(super) struct TokenForm {
    #[schema(example = "urn:ietf:params:oauth:grant-type:device_code")]
    grant_type: String,
    device_code: String,
    client_id: String,
    /// A back end sends it, unless it is in the header Authorization (Basic).
    #[schema(format = Password)]
    client_secret: Option<String>,
}

/// The page's token.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenAnswer {
    /// A JWT (RFC 9068), for `Authorization: Bearer …`.
    #[schema(value_type = String, example = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCIsImtpZCI6Ii4uLiJ9.…")]
    access_token: SignedToken,
    #[schema(value_type = String, example = "Bearer")]
    token_type: &'static str,
    /// Seconds.
    #[schema(example = 86_400)]
    expires_in: i64,
    /// The token's `sub`.
    #[schema(value_type = String, example = "0193f5b2-9c5e-7cc0-8000-000000000000")]
    user_id: UserId,
}

/// Fetch the token of an approved request (RFC 8628 section 3.4)
///
/// Until then the answer is 400: `authorization_pending` (with `"scanned": true` once a phone has looked), `slow_down`
/// (from then on ask 5 seconds later each time), `access_denied`, `expired_token`, `invalid_grant`. A device code gives
/// one token.
#[utoipa::path(post, path = "/token", tag = "scan",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "Logged in", body = TokenAnswer),
        (status = 400, description = "Not yet, not any more, or another form of request", body = OAuthError),
        (status = 401, description = "The client is unknown, or its secret is wrong", body = OAuthError)))]
pub(super) async fn token(request: HttpRequest, payload: Payload, at: AtDoor) -> Answer {
    to_oauth(fetch(&request, payload, &at, now()).await)
}

async fn fetch(request: &HttpRequest, payload: Payload, (worker, scan): &AtDoor, now: DateTime<Utc>) -> Answer {
    const NAMES: &[&str] = &["grant_type", "device_code", "client_id", "client_secret"];
    let (fields, clients) = (read_form(request, payload, NAMES).await?, scan.clients());
    let client = authenticate(request, &fields, &clients)?;
    match fields.text("grant_type")?.as_deref() {
        Some(GRANT) => {}
        Some(_) => {
            return Err(Problem::invalid(format!("`grant_type` must be {GRANT}.")).oauth("unsupported_grant_type"));
        }
        None => return Err(RefusedBody::Missing("grant_type").into()),
    }
    let code = fields.text("device_code")?.ok_or(RefusedBody::Missing("device_code"))?;
    let code: DeviceCode = code.parse().map_err(|_| not_granted(&Poll::Unknown))?;
    let address = origin(request).address.unwrap_or_default();
    let fetched = worker.login.fetch_token(&code, client, &address, now).await;
    match fetched.map_err(|error| of_oauth(in_own_words(error.into())))? {
        Fetched::Token { token, issued } => {
            scan.scans.count(&client.id, "fetched");
            tracing::info!(user = issued.user.as_str(), client = client.id.as_str(), "a page was logged in");
            let expires_in = (issued.expires_at - now.timestamp()).max(0);
            let answer = TokenAnswer { access_token: token, token_type: "Bearer", expires_in, user_id: issued.user };
            let mut answer = private(answer);
            // RFC 6749 section 5.1.
            answer.headers_mut().insert(header::PRAGMA, header::HeaderValue::from_static("no-cache"));
            Ok(cors::readable(request, answer))
        }
        Fetched::Not(poll) => {
            if let Poll::Repeated(token) = &poll {
                scan.scans.count(&client.id, "repeated");
                tracing::warn!(client = client.id.as_str(), "a device code was used twice, so its token was revoked");
                let note = Some("a device code was used twice".into());
                let (client, user) = (Some(client.id.clone()), Some(token.user.clone()));
                let ended = Event { client, user, note, ..Event::new(Activity::End, origin(request)) };
                ended.tell_bounded(token.id.as_str());
            }
            Err(not_granted(&poll))
        }
    }
}

fn not_granted(poll: &Poll) -> Problem {
    let (code, detail) = match poll {
        Poll::Pending { scanned: false } => ("authorization_pending", "Nobody has scanned the code yet."),
        Poll::Pending { scanned: true } => {
            ("authorization_pending", "A phone has scanned the code and has not confirmed yet.")
        }
        Poll::TooSoon => ("slow_down", "Wait for 5 more seconds between two requests from now on."),
        Poll::Denied => (
            "access_denied",
            "The person has said no, has chosen another number, or was logged out meanwhile. Begin anew.",
        ),
        Poll::Expired => ("expired_token", "The code has expired. Begin anew."),
        Poll::Granted(_) | Poll::Unknown | Poll::Repeated(_) => {
            ("invalid_grant", "This client has no such device_code, or its token was fetched before. Begin anew.")
        }
    };
    let problem = Problem::invalid(detail).oauth(code);
    if matches!(poll, Poll::Pending { scanned: true }) { problem.with_true("scanned") } else { problem }
}
