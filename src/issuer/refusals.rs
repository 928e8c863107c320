//! What a failed request tells its client, and what it tells the operator.

use std::{sync::LazyLock, time::Duration};

use crate::{
    http::{Problem, ProblemCode, no_valid_token, now},
    limits::{LocalLimit, Rate},
    login::LoginError,
    login::SessionError,
};

/// Lines on logins that fail because something is away, for each code: an outage fails thousands a second, and metrics
/// count them.
const LINES: Rate = Rate { burst: 100, period: Duration::from_secs(60) };
static LINES_WRITTEN: LazyLock<LocalLimit> = LazyLock::new(LocalLimit::default);

/// The cause goes into the log here, and the client hears what to do.
impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        let (code, detail) = words(&error);
        tell_operator(code, &error);
        let problem = match &error {
            LoginError::UnknownApp(why) => Self::new(code, why.to_string()),
            LoginError::NotAccepted(field) => {
                Self::new(code, format!("The field `{field}` is not accepted here. {detail}"))
            }
            LoginError::BindingRequired(ticket) => Self::new(code, detail).bind_ticket(ticket.expose()),
            _ => Self::new(code, detail),
        };
        match pause(&error) {
            Some(wait) => problem.retry_after(wait),
            None => problem,
        }
    }
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::NotYours => no_valid_token(),
            SessionError::Undecryptable => Self::new(
                ProblemCode::DataUndecryptable,
                "The data cannot be decrypted with the session key that is kept. Call wx.login, log in, and ask for the \
                 data again. If a `+` became a space on its way, send JSON.",
            ),
            SessionError::Busy { retry_after } => {
                Self::new(ProblemCode::RateLimited, "Too many tries at once. Wait, then try again.")
                    .retry_after(retry_after)
            }
            SessionError::Failed(error) => match by_token(&error) {
                Some(detail) => Self::from(error).with_detail(detail),
                None => error.into(),
            },
        }
    }
}

/// What differs for a request with a token: it has other fields than a login, and other ways out.
fn by_token(error: &LoginError) -> Option<&'static str> {
    Some(match error {
        LoginError::UnknownApp(_) => "The token's mini program is not configured here any more.",
        LoginError::PhoneCodeInvalid => {
            "WeChat does not accept this `code`: it is wrong, expired, another person's, or a code of wx.login. Let the \
             user press the button getPhoneNumber again, and send the new code."
        }
        LoginError::PhoneCodeUsed => {
            "This `code` has been used before. Let the user press the button getPhoneNumber again, and send the new code."
        }
        LoginError::SlowDown { .. } => "WeChat limits how often it is asked about one user. Wait, then try again.",
        LoginError::TooMany(_) => "Too many requests. Wait, then try again.",
        _ => return None,
    })
}

fn words(error: &LoginError) -> (ProblemCode, &'static str) {
    use ProblemCode as Code;
    match error {
        LoginError::UnknownApp(_) => (Code::UnknownApp, ""),
        LoginError::NotAccepted(_) => (Code::InvalidRequest, "This service's account backend has no use for it."),
        LoginError::CodeInvalid => (
            Code::CodeInvalid,
            "WeChat does not accept this code: it is wrong, expired, or another mini program's. \
             Call wx.login again, once.",
        ),
        LoginError::CodeUsed => (Code::CodeUsed, "This code has been sent before. Call wx.login again, once."),
        LoginError::PhoneCodeInvalid => (
            Code::CodeInvalid,
            "WeChat does not accept this `phone_code`: it is wrong, expired, another person's, or a code of wx.login. \
             Let the user press the button getPhoneNumber again, and send its code with a new one of wx.login.",
        ),
        LoginError::PhoneCodeUsed => (
            Code::CodeUsed,
            "This `phone_code` has been used before. Let the user press the button getPhoneNumber again, and send its \
             code with a new one of wx.login.",
        ),
        LoginError::TicketInvalid => (
            Code::CodeUsed,
            "This `bind_ticket` is spent or older than 5 minutes. Call wx.login and send its code in place of the ticket.",
        ),
        LoginError::UserBlocked(_) => (Code::UserBlocked, "WeChat refuses this user. Do not try again."),
        LoginError::UserShutOut => (Code::UserBlocked, "The business does not let this user log in. Do not try again."),
        LoginError::PhoneRefused => {
            (Code::UserBlocked, "The business does not let the owner of this phone number in. Do not try again.")
        }
        LoginError::SlowDown { .. } => {
            (Code::RateLimited, "WeChat limits how often one user logs in. Wait, then call wx.login again.")
        }
        LoginError::TooMany(_) => (Code::RateLimited, "Too many logins or wrong passwords. Wait, then try again."),
        LoginError::BindingRequired(_) => (
            Code::BindingRequired,
            "This WeChat user is bound to no account yet. Ask for user name and password, and send them with this \
             `bind_ticket` in place of `code`: once, within 5 minutes.",
        ),
        LoginError::InvalidCredentials => (Code::InvalidCredentials, "User name or password is wrong."),
        LoginError::AlreadyBound => (
            Code::AlreadyBound,
            "Another account holds this WeChat identity, or this account holds another one. \
             Dissolve that binding first (DELETE /binding).",
        ),
        LoginError::Misconfigured(_) => (
            Code::WechatMisconfigured,
            "WeChat refuses this service. Its operator finds the reason in the log, by the request id.",
        ),
        LoginError::WeChatUnavailable { .. } => {
            (Code::WechatUnavailable, "WeChat does not answer, or not as it should. Wait, then try again.")
        }
        LoginError::StoreUnavailable { .. } => {
            (Code::StoreUnavailable, "The session store does not answer. Wait, then try again.")
        }
        LoginError::AccountsUnavailable(_) => {
            (Code::AccountsUnavailable, "The account service does not answer. Wait, then try again.")
        }
        LoginError::Vault(_) | LoginError::Mint(_) | LoginError::NoRandomness => {
            (Code::InternalError, "The reason is in the log, by the request id.")
        }
    }
}

/// After how long the client may come again.
fn pause(error: &LoginError) -> Option<Duration> {
    match error {
        LoginError::SlowDown { retry_after }
        | LoginError::WeChatUnavailable { retry_after, .. }
        | LoginError::StoreUnavailable { retry_after, .. } => Some(*retry_after),
        LoginError::TooMany(refused) => Some(refused.retry_after),
        LoginError::AccountsUnavailable(error) => Some(error.retry_after),
        _ => None,
    }
}

fn tell_operator(code: ProblemCode, cause: &LoginError) {
    match code {
        ProblemCode::WechatMisconfigured | ProblemCode::InternalError => {
            tracing::error!(%cause, code = code.as_str(), "a request failed, and others like it fail until this is mended");
        }
        ProblemCode::WechatUnavailable | ProblemCode::StoreUnavailable | ProblemCode::AccountsUnavailable
            if LINES_WRITTEN.admit(code.as_str(), LINES, now()).is_ok() =>
        {
            tracing::warn!(%cause, code = code.as_str(), "a request failed");
        }
        _ => tracing::debug!(%cause, code = code.as_str(), "a request was refused"),
    }
}
