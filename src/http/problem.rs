//! Errors as `application/problem+json` (RFC 9457), from one table.

use std::{
    fmt,
    future::{Ready, ready},
    time::Duration,
};

use actix_web::{
    Handler, HttpMessage, HttpRequest, HttpResponse,
    http::{Method, StatusCode, header},
};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use tracing_actix_web::RequestId;
use utoipa::ToSchema;
use uuid::Uuid;

/// Stable codes for clients. Which status and title belong to one is known here and nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemCode {
    /// The request is not what the route takes; `detail` names the field.
    InvalidRequest,
    /// A password in a query string ends up in logs and histories.
    CredentialsInQuery,
    UnknownApp,
    /// The code is wrong or has expired.
    CodeInvalid,
    CodeUsed,
    InvalidToken,
    /// This WeChat identity is not bound to a user yet.
    BindingRequired,
    /// No user has this name with this password.
    InvalidCredentials,
    /// WeChat or the business refuses this person.
    UserBlocked,
    /// Another user has this WeChat identity, or this user has another one.
    AlreadyBound,
    DataUndecryptable,
    RateLimited,
    /// WeChat refuses this app, and its operator must correct the configuration.
    WechatMisconfigured,
    WechatUnavailable,
    StoreUnavailable,
    /// The account service is slow or gone.
    AccountsUnavailable,
    KeysUnavailable,
    /// It is not known which tokens have been ended.
    RevocationsUnavailable,
    InternalError,
}

impl ProblemCode {
    /// All of them, for metrics and documentation.
    pub const ALL: [Self; 19] = [
        Self::InvalidRequest,
        Self::CredentialsInQuery,
        Self::UnknownApp,
        Self::CodeInvalid,
        Self::CodeUsed,
        Self::InvalidToken,
        Self::BindingRequired,
        Self::InvalidCredentials,
        Self::UserBlocked,
        Self::AlreadyBound,
        Self::DataUndecryptable,
        Self::RateLimited,
        Self::WechatMisconfigured,
        Self::WechatUnavailable,
        Self::StoreUnavailable,
        Self::AccountsUnavailable,
        Self::KeysUnavailable,
        Self::RevocationsUnavailable,
        Self::InternalError,
    ];

    fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => ("invalid_request", StatusCode::BAD_REQUEST, "The request is not valid"),
            Self::CredentialsInQuery => {
                ("credentials_in_query", StatusCode::BAD_REQUEST, "A password does not belong in a URL")
            }
            Self::UnknownApp => ("unknown_app", StatusCode::BAD_REQUEST, "This mini program is not configured here"),
            Self::CodeInvalid => ("code_invalid", StatusCode::BAD_REQUEST, "WeChat does not accept the code"),
            Self::CodeUsed => ("code_used", StatusCode::BAD_REQUEST, "The code or ticket has been used"),
            Self::InvalidToken => {
                ("invalid_token", StatusCode::UNAUTHORIZED, "The access token is missing or not valid")
            }
            Self::BindingRequired => {
                ("binding_required", StatusCode::FORBIDDEN, "This WeChat identity is not bound to a user yet")
            }
            Self::InvalidCredentials => {
                ("invalid_credentials", StatusCode::FORBIDDEN, "User name or password is wrong")
            }
            Self::UserBlocked => ("user_blocked", StatusCode::FORBIDDEN, "This user is refused"),
            Self::AlreadyBound => ("already_bound", StatusCode::CONFLICT, "WeChat identity or user is bound already"),
            Self::DataUndecryptable => {
                ("data_undecryptable", StatusCode::UNPROCESSABLE_ENTITY, "The data cannot be decrypted")
            }
            Self::RateLimited => ("rate_limited", StatusCode::TOO_MANY_REQUESTS, "Too many attempts"),
            Self::WechatMisconfigured => {
                ("wechat_misconfigured", StatusCode::BAD_GATEWAY, "WeChat refuses this service's configuration")
            }
            Self::WechatUnavailable => {
                ("wechat_unavailable", StatusCode::SERVICE_UNAVAILABLE, "WeChat does not answer at the moment")
            }
            Self::StoreUnavailable => {
                ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The store does not answer at the moment")
            }
            Self::AccountsUnavailable => (
                "accounts_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "The account service does not answer at the moment",
            ),
            Self::KeysUnavailable => {
                ("keys_unavailable", StatusCode::SERVICE_UNAVAILABLE, "The issuer's keys are not known at the moment")
            }
            Self::RevocationsUnavailable => (
                "revocations_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "What has been ended is not known at the moment",
            ),
            Self::InternalError => {
                ("internal_error", StatusCode::INTERNAL_SERVER_ERROR, "This service has made a mistake")
            }
        }
    }

    pub fn as_str(self) -> &'static str {
        self.row().0
    }
}

/// What binds a person once: sent to its owner, and not printed.
#[derive(Clone, PartialEq, Eq)]
struct BindTicket(String);

impl fmt::Debug for BindTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// An answer that says what was wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    code: ProblemCode,
    status: StatusCode,
    detail: String,
    retry_after: Option<u64>,
    bind_ticket: Option<BindTicket>,
    allow: Option<&'static str>,
    challenge: Option<&'static str>,
}

/// The document, as RFC 9457 and our own members have it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// `urn:wxmint:problem:` and the code.
    #[serde(rename = "type")]
    #[schema(example = "urn:wxmint:problem:code_used")]
    kind: String,
    /// The code in words, always the same.
    #[schema(example = "The code or ticket has been used")]
    title: &'a str,
    /// The HTTP status.
    #[schema(example = 400)]
    status: u16,
    /// What was wrong here, and what to do.
    #[schema(example = "What was wrong, and what to do.")]
    detail: &'a str,
    /// Stable, for programs.
    #[schema(value_type = String, example = "code_used")]
    code: ProblemCode,
    /// Also in `X-Request-Id` and in the log.
    #[schema(example = "01a1f879-6d87-7402-9d78-6fc53ed74bfc")]
    request_id: &'a str,
    /// Seconds to wait; also in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// With `binding_required`: in place of `code` in the login that says who it is. One use, 5 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_ticket: Option<&'a str>,
}

impl Problem {
    /// With the code's own status.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let (status, detail) = (code.row().1, detail.into());
        Self { code, status, detail, retry_after: None, bind_ticket: None, allow: None, challenge: None }
    }

    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::InvalidRequest, detail)
    }

    /// Replaces the status, if HTTP has a more exact one.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// How long to wait, in whole seconds. Rounded up, because a client that comes a moment too early is refused again.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let begun = u64::from(wait.subsec_nanos() > 0);
        self.retry_after = Some(wait.as_secs().saturating_add(begun).max(1));
        self
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// The ticket that the next login sends in place of `code`.
    pub fn bind_ticket(mut self, ticket: impl Into<String>) -> Self {
        self.bind_ticket = Some(BindTicket(ticket.into()));
        self
    }

    /// `WWW-Authenticate`: how the client can authenticate (RFC 9110 section 11.6.1).
    pub(super) fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    pub fn code(&self) -> ProblemCode {
        self.code
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The body, as the description of the API shows it.
    pub(crate) fn example(&self) -> serde_json::Value {
        serde_json::to_value(self.document("01a1f879-6d87-7402-9d78-6fc53ed74bfc")).expect("a problem is JSON")
    }

    fn document<'a>(&'a self, request_id: &'a str) -> ProblemDocument<'a> {
        let (code, _, title) = self.code.row();
        ProblemDocument {
            kind: format!("urn:wxmint:problem:{code}"),
            title,
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id,
            retry_after: self.retry_after,
            bind_ticket: self.bind_ticket.as_ref().map(|BindTicket(ticket)| ticket.as_str()),
        }
    }

    /// The answer to `request`. If the request has no id (the sidecar saves that time), the answer gets one of its own.
    pub fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let known = request_id(request);
        let request_id = if known.is_empty() { Uuid::new_v4().to_string() } else { known.clone() };
        let document = self.document(&request_id);
        let mut response = HttpResponse::build(self.status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        // The metrics read this code, because they count requests by outcome.
        response.extensions_mut().insert(self.code);
        if known.is_empty() {
            response.insert_header(("x-request-id", request_id.as_str()));
        }
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(methods) = self.allow {
            response.insert_header((header::ALLOW, methods));
        }
        if let Some(challenge) = self.challenge {
            response.insert_header((header::WWW_AUTHENTICATE, challenge));
        }
        response.content_type("application/problem+json");
        response.body(serde_json::to_vec(&document).unwrap_or_default())
    }
}

pub type Answer = Result<HttpResponse, Problem>;

/// A handler whose problems become the answers to its requests.
#[derive(Clone, Copy)]
pub struct OrProblem<F>(pub F);

impl<F, Args> Handler<(HttpRequest, Args)> for OrProblem<F>
where
    F: Handler<Args, Output = Answer>,
    Args: 'static,
{
    type Output = HttpResponse;
    type Future = LocalBoxFuture<'static, HttpResponse>;

    fn call(&self, (request, args): (HttpRequest, Args)) -> Self::Future {
        let answer = self.0.call(args);
        Box::pin(async move { answer.await.unwrap_or_else(|problem| problem.respond(&request)) })
    }
}

/// The id of this request in log and answer.
pub fn request_id(request: &HttpRequest) -> String {
    request.extensions().get::<RequestId>().map(ToString::to_string).unwrap_or_default()
}

/// Answers an unknown path with 404. `has` names the paths that exist; the unknown path is not repeated.
pub fn not_found(has: &'static str) -> impl Fn(HttpRequest) -> Ready<HttpResponse> + Clone {
    move |request| {
        let problem = Problem::invalid(format!("There is nothing at this path. {has}"));
        ready(problem.with_status(StatusCode::NOT_FOUND).respond(&request))
    }
}

/// Answers a method that a route does not have with 405. `allow` names the methods that it has (`GET, HEAD`).
pub fn not_allowed(allow: &'static str) -> impl Fn(HttpRequest) -> Ready<HttpResponse> + Clone {
    move |request| {
        let method = if request.method() == Method::OPTIONS { "OPTIONS" } else { "This method" };
        let mut problem = Problem::invalid(format!("{method} is not possible here. Use {allow}."));
        problem.allow = Some(allow);
        ready(problem.with_status(StatusCode::METHOD_NOT_ALLOWED).respond(&request))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, test::TestRequest};

    use super::*;

    #[test]
    fn the_serialized_code_is_the_one_of_the_table() {
        for code in ProblemCode::ALL {
            assert_eq!(serde_json::to_value(code).expect("a code"), code.as_str());
        }
    }

    #[actix_web::test]
    async fn a_bind_ticket_is_in_the_answer_and_in_no_debug_text() {
        let problem = Problem::new(ProblemCode::BindingRequired, "Say who you are.").bind_ticket("ticket-1");
        let answer = problem.respond(&TestRequest::default().to_http_request());
        let body = to_bytes(answer.into_body()).await.expect("a body");
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((&document["bind_ticket"], &document["status"]), (&"ticket-1".into(), &403.into()));
        assert!(!format!("{problem:?}").contains("ticket-1"));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up_and_never_as_none() {
        for (wait, told) in [
            (Duration::ZERO, 1),
            (Duration::from_nanos(1), 1),
            (Duration::from_secs(1), 1),
            (Duration::from_micros(1_000_001), 2),
            (Duration::from_millis(719_999), 720),
            (Duration::from_secs(720), 720),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(Problem::invalid("too soon").retry_after(wait).retry_after, Some(told), "{wait:?}");
        }
    }
}
