//! Errors as `application/problem+json` (RFC 9457), from one table.

use std::{future::ready, time::Duration};

use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError, Route, web};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;
use wxmint_ids::unprintable;

use super::trace::{REQUEST_ID, request_id};

/// A code, its status, and its title.
type Row = (&'static str, StatusCode, &'static str);

/// Declares the codes. Only this table knows the status and the title of a code.
macro_rules! problem_codes {
    ($($(#[$doc:meta])* $name:ident, $code:literal, $status:ident, $title:literal;)+) => {
        /// Stable codes for clients.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)+
            OfDoor(&'static Row),
        }

        impl ProblemCode {
            /// All codes except the codes of doors. The tables of the doors' routes hold those.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub(super) fn row(self) -> Row {
                match self {
                    $(Self::$name => ($code, StatusCode::$status, $title),)+
                    Self::OfDoor(row) => *row,
                }
            }

            /// The code as clients see it, such as `invalid_request`.
            pub fn as_str(self) -> &'static str {
                self.row().0
            }
        }
    };
}

problem_codes! {
    /// `detail` names the field.
    InvalidRequest, "invalid_request", BAD_REQUEST, "The request is not valid";
    /// A password in a query string ends up in logs and histories.
    CredentialsInQuery, "credentials_in_query", BAD_REQUEST, "A password does not belong in a URL";
    UnknownApp, "unknown_app", BAD_REQUEST, "This app is not configured here";
    /// Neither the request nor its Referer names an app.
    AppRequired, "app_required", BAD_REQUEST, "Several apps are configured here, and none is named";
    CodeInvalid, "code_invalid", BAD_REQUEST, "The platform does not accept the code";
    CodeUsed, "code_used", BAD_REQUEST, "The code or ticket has been used";
    InvalidToken, "invalid_token", UNAUTHORIZED, "The access token is missing or not valid";
    /// The secret lacks a right that `detail` names.
    Forbidden, "forbidden", FORBIDDEN, "This secret or token has no right to this";
    UnknownPerson, "person_not_found", NOT_FOUND, "This person is bound to no user";
    /// There is no session key, WeChat no longer accepts it, or the app is no mini program.
    SessionKeyMissing, "session_key_missing", CONFLICT, "There is no session key of this user that WeChat accepts";
    BindingRequired, "binding_required", FORBIDDEN, "This person is not bound to a user yet";
    InvalidCredentials, "invalid_credentials", FORBIDDEN, "User name or password is wrong";
    /// WeChat or the business refuses this person.
    UserBlocked, "user_blocked", FORBIDDEN, "This user is refused";
    /// WeChat shows a page of an official account as a snapshot, with a virtual person.
    SnapshotUser, "snapshot_user", FORBIDDEN, "WeChat shows the page as a snapshot";
    /// The platform has never named a unionid of the person, and the app's file requires a unionid.
    UnionidMissing, "unionid_missing", FORBIDDEN, "The platform has named no unionid";
    /// The user id was computed from another unionid than the platform names now. The operator decides
    /// who the person is.
    UnionidChanged, "unionid_changed", CONFLICT, "The platform names another unionid for this person than before";
    /// The app's owner grants permissions at WeChat.
    PermissionMissing, "permission_missing", FORBIDDEN, "The merchant has not given the permission for this";
    /// WeChat bills each verified phone number, and the operator has to buy more.
    PhoneNumbersSpent, "phone_quota_exhausted", BAD_GATEWAY, "WeChat verifies no phone number for this app at the moment";
    /// Another user has this person, or this user has another one.
    AlreadyBound, "already_bound", CONFLICT, "This person or user is bound already";
    DataUndecryptable, "decryption_failed", UNPROCESSABLE_ENTITY, "The data cannot be decrypted";
    RateLimited, "rate_limited", TOO_MANY_REQUESTS, "Too many attempts";
    /// The operator must correct the configuration.
    WechatMisconfigured, "wechat_misconfigured", BAD_GATEWAY, "WeChat refuses this service's configuration";
    WechatUnavailable, "wechat_unavailable", SERVICE_UNAVAILABLE, "WeChat does not answer at the moment";
    /// The operator must correct the configuration of an app of another platform than WeChat.
    PlatformMisconfigured, "platform_misconfigured", BAD_GATEWAY, "The platform refuses this service's configuration";
    PlatformUnavailable, "platform_unavailable", SERVICE_UNAVAILABLE, "The platform does not answer at the moment";
    /// The app is of another platform than WeChat.
    OnlyAtWechat, "only_at_wechat", NOT_FOUND, "Only WeChat has this call";
    StoreUnavailable, "store_unavailable", SERVICE_UNAVAILABLE, "The store does not answer at the moment";
    AccountsUnavailable, "accounts_unavailable", SERVICE_UNAVAILABLE, "The account service does not answer at the moment";
    KeysUnavailable, "keys_unavailable", SERVICE_UNAVAILABLE, "The issuer's keys are not known at the moment";
    /// It is not known which tokens have been revoked.
    RevocationsUnavailable, "revocations_unavailable", SERVICE_UNAVAILABLE, "The revocations are not known at the moment";
    InternalError, "internal_error", INTERNAL_SERVER_ERROR, "This service has made a mistake";
}

/// A ticket that binds a person once. It is sent to that person's client and must not be printed.
#[derive(Clone, PartialEq, Eq)]
struct BindTicket(Box<str>);

unprintable!(BindTicket);

/// An answer that says what was wrong and what to do. A handler returns it as its error, and the server's outermost
/// layer writes it, with the id of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .code.as_str())]
pub struct Problem {
    /// The code, which determines the title.
    pub code: ProblemCode,
    /// The HTTP status: that of the code, or a more exact one.
    pub status: StatusCode,
    /// A text for the developer: what was wrong, and what to do.
    pub detail: String,
    /// Seconds to wait before the next try.
    pub retry_after: Option<u64>,
    bind_ticket: Option<BindTicket>,
    /// An error code of OAuth 2.0 (RFC 6749 section 5.2, RFC 8628 section 3.5).
    pub oauth: Option<&'static str>,
    /// The name of a further member of an OAuth error, whose value is `true`.
    pub oauth_member: Option<&'static str>,
    /// A header that the status demands.
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

/// An error: the members of RFC 9457, and some of wxmint's own.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument<'a> {
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
    /// Says what was wrong here, and what to do.
    #[schema(example = "What was wrong, and what to do.")]
    detail: &'a str,
    /// Stable, for programs.
    #[schema(example = "code_used")]
    code: &'a str,
    /// Also in `X-Request-Id` and in the log.
    #[schema(example = "01a1f879-6d87-7402-9d78-6fc53ed74bfc")]
    request_id: &'a str,
    /// Seconds to wait; also in `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    /// With `binding_required`: in place of `code` in the login that says who it is. One use, 5 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    bind_ticket: Option<&'a str>,
    /// At the endpoints of OAuth, its error code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    error: Option<&'static str>,
}

impl Problem {
    /// A problem with the status that belongs to the code.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let (retry_after, bind_ticket, oauth, oauth_member, header) = Default::default();
        let status = code.row().1;
        let detail = detail.into();
        Self {
            code,
            status,
            detail,
            retry_after,
            bind_ticket,
            oauth,
            oauth_member,
            header,
        }
    }

    /// A problem with the code `invalid_request`, 400.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::InvalidRequest, detail)
    }

    /// Answers in the form of an OAuth error (RFC 6749 section 5.2) if the status is 400 or 401.
    /// Other statuses keep the form of a problem, with the member `error`.
    pub fn oauth(self, code: &'static str) -> Self {
        Self {
            oauth: Some(code),
            ..self
        }
    }

    /// Replaces the status, if HTTP has a more exact one.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Sets how long to wait, in whole seconds. Rounds up, because a client that comes a moment too
    /// early is refused again.
    pub fn retry_after(self, wait: Duration) -> Self {
        let begun = u64::from(wait.subsec_nanos() > 0);
        Self {
            retry_after: Some(wait.as_secs().saturating_add(begun).max(1)),
            ..self
        }
    }

    /// Replaces the detail.
    pub fn with_detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            ..self
        }
    }

    /// The ticket that the next login sends in place of `code`.
    pub fn bind_ticket(self, ticket: impl Into<Box<str>>) -> Self {
        Self {
            bind_ticket: Some(BindTicket(ticket.into())),
            ..self
        }
    }

    /// Sets `WWW-Authenticate`, which says how the client can authenticate (RFC 9110 section
    /// 11.6.1).
    pub fn challenge(self, challenge: &'static str) -> Self {
        let header = Some(Box::new((
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge),
        )));
        Self { header, ..self }
    }

    /// The body, as the description of the API shows it.
    pub fn example(&self) -> serde_json::Value {
        serde_json::to_value(self.document("01a1f879-6d87-7402-9d78-6fc53ed74bfc"))
            .expect("a problem is JSON")
    }

    fn document<'a>(&'a self, request_id: &'a str) -> ProblemDocument<'a> {
        let (code, _, title) = self.code.row();
        let kind = format!("urn:wxmint:problem:{code}");
        let status = self.status.as_u16();
        let detail = &self.detail;
        let bind_ticket = self
            .bind_ticket
            .as_ref()
            .map(|BindTicket(ticket)| &**ticket);
        let retry_after = self.retry_after;
        let error = self.oauth;
        ProblemDocument {
            kind,
            title,
            status,
            detail,
            code,
            request_id,
            retry_after,
            bind_ticket,
            error,
        }
    }

    /// The code of the problem that an answer stands for, or the code that a page for people has
    /// among its extensions.
    pub fn code_of<B>(answer: &HttpResponse<B>) -> Option<ProblemCode> {
        Self::of(answer)
            .map(|problem| problem.code)
            .or_else(|| answer.extensions().get().copied())
    }

    /// Makes the answer to `request`. If the request has no id (the sidecar gives none, to save
    /// time), the answer gets a new one.
    pub(super) fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let known = request_id(request);
        let request_id = if known.is_empty() {
            Uuid::new_v4().to_string()
        } else {
            known
        };
        let mut response = HttpResponse::build(self.status);
        response
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .insert_header((REQUEST_ID, request_id.as_str()));
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(header) = self.header.as_deref() {
            response.insert_header(header.clone());
        }
        let (kind, body) = match self.oauth {
            Some(code)
                if [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED].contains(&self.status) =>
            {
                let mut document = json!({"error": code, "error_description": self.detail});
                if let Some(name) = self.oauth_member {
                    document[name] = true.into();
                }
                ("application/json", serde_json::to_vec(&document))
            }
            _ => (
                "application/problem+json",
                serde_json::to_vec(&self.document(&request_id)),
            ),
        };
        response.content_type(kind).body(body.unwrap_or_default())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.status)
    }
}

/// A handler's result: an answer or a problem.
pub type Answer = Result<HttpResponse, Problem>;
/// A handler's result without content: 204 or a problem.
pub type Done = Result<(), Problem>;

/// 404 for an unknown path. `has` names the paths that exist; the unknown path is not repeated.
pub fn not_found(has: &str) -> Problem {
    Problem::invalid(format!("There is nothing at this path. {has}"))
        .with_status(StatusCode::NOT_FOUND)
}

/// Answers 404 to every path that no other route has. `has` names the paths that exist.
pub fn nothing_else(has: &'static str) -> Route {
    web::to(move || ready(Answer::Err(not_found(has))))
}

/// Answers 405 to the methods that a resource does not have. `allow` names those that it has (`GET, HEAD`).
pub fn not_allowed(allow: String) -> Route {
    let header = HeaderValue::from_str(&allow).expect("names of methods");
    web::to(move |request: HttpRequest| {
        let method = if request.method() == Method::OPTIONS {
            "OPTIONS"
        } else {
            "This method"
        };
        let problem = Problem::invalid(format!("{method} is not possible here. Use {allow}."));
        let header = Some(Box::new((header::ALLOW, header.clone())));
        ready(Answer::Err(Problem {
            header,
            ..problem.with_status(StatusCode::METHOD_NOT_ALLOWED)
        }))
    })
}

#[cfg(test)]
mod tests {
    use actix_web::{body::to_bytes, test::TestRequest};

    use super::*;

    #[actix_web::test]
    async fn a_bind_ticket_is_in_the_answer_and_in_no_debug_text() {
        let problem =
            Problem::new(ProblemCode::BindingRequired, "Say who you are.").bind_ticket("ticket-1");
        let answer = problem.respond(&TestRequest::default().to_http_request());
        let body = to_bytes(answer.into_body()).await.expect("a body");
        let document: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            (&document["bind_ticket"], &document["status"]),
            (&"ticket-1".into(), &403.into())
        );
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
            (Duration::from_mins(12), 720),
            (Duration::MAX, u64::MAX),
        ] {
            assert_eq!(
                Problem::invalid("too soon").retry_after(wait).retry_after,
                Some(told),
                "{wait:?}"
            );
        }
    }
}
