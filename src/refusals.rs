//! Turns every refusal into the problem that the client reads, logs what the operator must know,
//! and gives the reason to the audit.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_http::{Problem, ProblemCode as Code, no_valid_token};
use wxmint_telemetry::audit::Event;
use wxmint_wechat::CallError;

use crate::apps::UnknownApp;
use crate::clock::{date, now};
use crate::login::LoginError as Error;

/// A refusal, in the forms for the client, the log and the audit.
pub(crate) struct Refusal {
    pub(crate) problem: Problem,
    /// The cause for the log, which is more exact than the problem.
    cause: String,
    /// The limit that has refused the request.
    limit: Option<&'static str>,
    /// When the limit will accept a request again.
    until: Option<DateTime<Utc>>,
}

impl Refusal {
    /// Refuses a request with a token.
    pub(crate) fn by_token(error: Error) -> Self {
        let detail = detail_by_token(&error);
        let refusal = Self::from(error);
        if let Some(limit) = refusal.limit {
            let (kind, until) = (format!("by token {limit}"), refusal.until.map(date));
            bounded!(
                info,
                &kind,
                limit,
                until,
                "a request with a token is refused by a limit"
            );
        }
        let Some(detail) = detail else { return refusal };
        Self {
            problem: refusal.problem.with_detail(detail),
            ..refusal
        }
    }

    pub(crate) fn log(&self, took: Duration) {
        let Self { cause, limit, .. } = self;
        let code = self.problem.code.as_str();
        let kind = format!("login {code} {}", limit.unwrap_or_default());
        let (until, took_us) = (self.until.map(date), took.as_micros() as u64);
        bounded!(
            info,
            &kind,
            code,
            cause,
            limit,
            until,
            took_us,
            "login refused"
        );
    }

    /// Audits a refusal that `who` may cause many times, and returns its problem.
    pub(crate) fn tell(self, event: Event, who: &str) -> Problem {
        self.of(event).tell_bounded(who);
        self.problem
    }

    pub(crate) fn of(&self, event: Event) -> Event {
        Event {
            refused: Some(self.problem.code.as_str().into()),
            limit: self.limit,
            until: self.until,
            ..event
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            cause: problem.detail.clone(),
            problem,
            limit: None,
            until: None,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (cause, limit) = (error.to_string(), error.limit());
        let wait = limit.and_then(|_| TimeDelta::from_std(error.retry_after()?).ok());
        Self {
            cause,
            limit,
            until: wait.and_then(|wait| now().checked_add_signed(wait)),
            problem: error.into(),
        }
    }
}

/// Logs the cause, and tells the client only what to do.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (code, detail) = row(&error);
        tell_operator(code, &error);
        let problem = match &error {
            Error::UnknownApp(why) => Self::new(code, why.to_string()),
            Error::NotAccepted(field) => Self::new(
                code,
                format!("The field `{field}` is not accepted here. {detail}"),
            ),
            Error::BindingRequired(ticket) => Self::new(code, detail).bind_ticket(ticket.expose()),
            Error::TokenRevoked => no_valid_token(),
            _ => Self::new(code, detail),
        };
        if let Some(wait) = error.retry_after() {
            problem.retry_after(wait)
        } else {
            problem
        }
    }
}

/// Other details for requests with a token, because these have other fields than a login and other
/// remedies.
fn detail_by_token(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::UnknownApp(_) => "The token's app is not configured here any more.",
        Error::NotListed => {
            "This service cannot tell which person a token is of, because its operator has set WXMINT_USER_INDEX=false."
        }
        Error::PhoneCodeInvalid => {
            "WeChat does not accept this `code`: it is wrong, expired, another person's, or a code of wx.login. Let the \
             user press the button getPhoneNumber again, and send the new code."
        }
        Error::PhoneCodeUsed => {
            "This `code` has been used before. Let the user press the button getPhoneNumber again, and send the new code."
        }
        _ => return None,
    })
}

const NO_SUCH_CODE: &str = "WeChat does not accept this code: it is wrong, expired, or another app's. Get another (wx.login), once.";
const NO_SUCH_PHONE_CODE: &str = "\
    WeChat does not accept this `phone_code`: it is wrong, expired, another person's, or a code of wx.login. Let the \
    user press the button getPhoneNumber again, and send its code with a new one of wx.login.";
const SPENT_PHONE_CODE: &str = "\
    This `phone_code` has been used before. Let the user press the button getPhoneNumber again, and send its code \
    with a new one of wx.login.";
const SPENT_TICKET: &str = "\
    This `bind_ticket` has been used, is older than 5 minutes, or came without credentials, which uses it up. Call \
    wx.login and send its code in place of the ticket.";
const WHO_IS_THIS: &str = "\
    This WeChat user is bound to no account yet. Ask for user name and password, and send them with this \
    `bind_ticket` in place of `code`: once, within 5 minutes.";
const BOUND_ELSEWHERE: &str = "\
    Another account holds this WeChat identity, or this account holds another one. Dissolve that binding first \
    (DELETE /binding).";
const NOT_LISTED: &str = "\
    This service cannot tell who of the user's people is meant, because its operator has set WXMINT_USER_INDEX=false. If \
    this was to dissolve a binding, the user's tokens of the app are revoked, and the session key stays until it expires.";
const NO_SESSION_KEY: &str = "\
    wxmint has no session key of this user in this app, or WeChat no longer accepts it. Have the mini program log in \
    again, then ask again.";
const OF_PAGE: &str =
    "This token was issued to a page by a scan. Of wxmint's own paths it opens POST /logout alone.";
const UNDECRYPTABLE: &str = "\
    The data cannot be decrypted with the session key that is kept. Call wx.login, log in, and ask for the data again. \
    If a `+` became a space on its way, send JSON.";
const NOTHING_TO_RESET: &str = "There is no session key here that WeChat still knows. Call wx.login and log in, which brings a new one.";
const NO_SESSION_KEYS: &str = "\
    This app has no session keys and no phone codes, because it is no mini program but an official account, a website or a \
    mobile app.";
const SNAPSHOT: &str = "\
    WeChat shows this page as a snapshot, with a virtual person. Have the user tap for the full page (使用完整服务), then send \
    the user to WeChat's page again.";
const NO_SUCH_PERSON: &str =
    "In this app, this user has no WeChat identity, or this openid belongs to no user.";
const NOT_LET_IN: &str = "The business does not let this user log in. Do not try again.";
const PHONE_NOT_LET_IN: &str =
    "The business does not let the owner of this phone number in. Do not try again.";
const NO_ACCESS_TOKEN: &str =
    "The app is a website or a mobile app, which have no access token at WeChat.";
const CONTENDED: &str =
    "Other requests are changing this binding or ending its tokens. Wait, then try again.";
const NO_UNIONID: &str = "\
    WeChat has not said who this person is in your other apps. A page begins again with the scope snsapi_userinfo; \
    the operator of a mini program binds it to its Open Platform account.";
const CHANGED_UNIONID: &str = "\
    WeChat names this user differently than before (another unionid), so that the user would get another user id. The \
    operator of this service decides who the user is. Do not try again before.";
const NOT_PERMITTED: &str = "The merchant has not given the platform the permission for this. It does so on WeChat's authorization page.";
const PHONE_QUOTA_EXHAUSTED: &str = "The app has used up the phone numbers that its operator has paid at WeChat. Let the user log in another way.";
const WECHAT_REFUSES_US: &str =
    "WeChat refuses this service. Its operator finds the reason in the log, by the request id.";
const NO_WECHAT: &str =
    "WeChat does not answer, or its answer cannot be used. Wait, then try again.";
const NO_STORE: &str = "The session store does not answer, or may not be used as it is: the log says why. Wait, then try again.";
const CLOCK_OF_STORE: &str =
    "The clock of the session store is wrong. Wait, then call wx.login again.";
const NO_ACCOUNTS: &str = "The account service does not answer. Wait, then try again.";

/// The problem of a refused login, and what to do about it.
fn row(error: &Error) -> (Code, &'static str) {
    match error {
        Error::UnknownApp(why) => (
            if *why == UnknownApp::Several {
                Code::AppRequired
            } else {
                Code::UnknownApp
            },
            "",
        ),
        Error::NotAccepted(_) => (
            Code::InvalidRequest,
            "The account backend of this service does not use it.",
        ),
        Error::CodeInvalid => (Code::CodeInvalid, NO_SUCH_CODE),
        Error::CodeUsed => (
            Code::CodeUsed,
            "This code has been sent before. Get another (wx.login), once.",
        ),
        Error::SnapshotUser => (Code::SnapshotUser, SNAPSHOT),
        Error::UnionIdMissing => (Code::UnionidMissing, NO_UNIONID),
        Error::UnionIdChanged { .. } => (Code::UnionidChanged, CHANGED_UNIONID),
        Error::PhoneCodeInvalid => (Code::CodeInvalid, NO_SUCH_PHONE_CODE),
        Error::PhoneCodeUsed => (Code::CodeUsed, SPENT_PHONE_CODE),
        Error::TicketInvalid => (Code::CodeUsed, SPENT_TICKET),
        Error::RejectedByWeChat(_) => (
            Code::UserBlocked,
            "WeChat refuses this user. Do not try again.",
        ),
        Error::Blocked | Error::AccountDenied => (Code::UserBlocked, NOT_LET_IN),
        Error::PhoneRefused => (Code::UserBlocked, PHONE_NOT_LET_IN),
        Error::SlowDown => (
            Code::RateLimited,
            "WeChat limits the calls for one user. Wait, then try again.",
        ),
        Error::TooMany { .. } => (
            Code::RateLimited,
            "Too many logins or other requests. Wait, then try again.",
        ),
        Error::BindingRequired(_) => (Code::BindingRequired, WHO_IS_THIS),
        Error::TokenRevoked => (Code::InvalidToken, ""),
        Error::ClientTokenNotAllowed => (Code::Forbidden, OF_PAGE),
        Error::Undecryptable => (Code::DataUndecryptable, UNDECRYPTABLE),
        Error::NothingToReset => (Code::DataUndecryptable, NOTHING_TO_RESET),
        Error::Busy => (
            Code::RateLimited,
            "Too many tries at once. Wait, then try again.",
        ),
        Error::InvalidCredentials => (Code::InvalidCredentials, "User name or password is wrong."),
        Error::AlreadyBound => (Code::AlreadyBound, BOUND_ELSEWHERE),
        Error::UnknownPerson => (Code::UnknownPerson, NO_SUCH_PERSON),
        Error::NotListed => (Code::Forbidden, NOT_LISTED),
        Error::SessionKeyMissing => (Code::SessionKeyMissing, NO_SESSION_KEY),
        Error::NoSessionKeys => (Code::SessionKeyMissing, NO_SESSION_KEYS),
        Error::NoAccessToken => (Code::InvalidRequest, NO_ACCESS_TOKEN),
        Error::NotPermitted(_) => (Code::PermissionMissing, NOT_PERMITTED),
        Error::PhoneNumbersSpent(_) => (Code::PhoneNumbersSpent, PHONE_QUOTA_EXHAUSTED),
        Error::Misconfigured { .. } => (Code::WechatMisconfigured, WECHAT_REFUSES_US),
        Error::WeChatUnavailable(_) => (Code::WechatUnavailable, NO_WECHAT),
        Error::StoreUnavailable(_) | Error::KeysUnusable(_) => (Code::StoreUnavailable, NO_STORE),
        Error::Contended => (Code::StoreUnavailable, CONTENDED),
        Error::EndedAhead(_) => (Code::StoreUnavailable, CLOCK_OF_STORE),
        Error::AccountsUnavailable(_) => (Code::AccountsUnavailable, NO_ACCOUNTS),
    }
}

#[expect(
    clippy::cognitive_complexity,
    reason = "each log macro counts as several branches"
)]
fn tell_operator(code: Code, cause: &Error) {
    let name = code.as_str();
    match code {
        Code::WechatMisconfigured | Code::PhoneNumbersSpent => {
            let kind = match cause {
                // WeChat's message has another `rid` each time.
                Error::Misconfigured {
                    error: CallError::Refused { errcode, .. },
                    app,
                } => {
                    format!("{name} {errcode} {app:?}")
                }
                Error::PhoneNumbersSpent(CallError::Refused { errcode, .. }) => {
                    format!("{name} {errcode}")
                }
                _ => format!("{name} {cause}"),
            };
            let text = "a request failed, and requests like it will fail until the cause is mended";
            bounded!(error, &kind, %cause, code = name, "{text}");
        }
        Code::WechatUnavailable
        | Code::StoreUnavailable
        | Code::AccountsUnavailable
        | Code::PermissionMissing => {
            bounded!(warn, name, %cause, code = name, "a request failed");
        }
        Code::UnionidChanged => {
            bounded!(error, name, %cause, code = name, "a login is refused until an operator decides who the person is");
        }
        _ => tracing::debug!(%cause, code = name, "a request was refused"),
    }
}
