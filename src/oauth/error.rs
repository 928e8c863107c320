//! The errors of OAuth's endpoints.

use actix_web::http::StatusCode;
use utoipa::ToSchema;
use wxmint_http::Answer;
use wxmint_http::ProblemCode::{SessionKeyMissing, UnknownApp};

/// The detail of `slow_down` with 429. It names what these endpoints count.
pub(crate) const TOO_MANY: &str = "Too many requests or open requests of an address, or renewals of a user. Wait, then try again.";
const NO_APP: &str = "The app of this client is no mini program that is configured here.";

/// An error of OAuth 2.0 (RFC 6749 section 5.2, RFC 8628 section 3.5).
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body, which a `Problem` becomes")]
pub(crate) struct OAuthError {
    #[schema(example = "authorization_pending")]
    error: String,
    /// Says what was wrong here, and what to do.
    error_description: String,
    /// With `authorization_pending`: a phone has scanned the code.
    scanned: Option<bool>,
}

/// Gives the answer of an OAuth endpoint the form of OAuth: a problem without an OAuth error code
/// gets the one that fits its status (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5).
pub(crate) fn to_oauth(answer: Answer) -> Answer {
    answer.map_err(|problem| match problem.status.as_u16() {
        _ if problem.oauth.is_some() => problem,
        _ if matches!(problem.code, UnknownApp | SessionKeyMissing) => problem
            .with_status(StatusCode::BAD_REQUEST)
            .with_detail(NO_APP)
            .oauth("unauthorized_client"),
        429 => problem.with_detail(TOO_MANY).oauth("slow_down"),
        503 => problem.oauth("temporarily_unavailable"),
        400..=499 => problem.oauth("invalid_request"),
        _ => problem.oauth("server_error"),
    })
}
