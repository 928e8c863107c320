//! The tables of problems: a table for each error, with a problem for each reason, and with what
//! the client is to do.

use std::time::Duration;

use wxmint_http::{Problem, ProblemCode as Code, no_valid_token};
use wxmint_platforms::PlatformError;
use wxmint_store::StoreError;
use wxmint_wechat::CallError;

use super::{ClientError, ProblemRow};
use crate::apps::UnknownApp;
use crate::login::{
    AppCallError, AppRefusal, CountError, LimitReached, LoginError, NotListed, OperatorError,
    PlatformRefusal, RequestError, ServiceError, TokenActionError, Unavailable, WeChatRefusal,
};

/// The wait if another replica, or the next moment, may serve the request.
const SOON: Duration = Duration::from_secs(1);

const NO_SUCH_CODE: &str = "WeChat does not accept this code: it is wrong, expired, or another app's. Get another (wx.login), once.";
const CODE_USED: &str = "This code has been sent before. Get another (wx.login), once.";
const NO_SUCH_PHONE_CODE: &str = "\
    WeChat does not accept this `phone_code`: it is wrong, expired, another person's, or a code of wx.login. Let the \
    user press the button getPhoneNumber again, and send its code with a new one of wx.login.";
const SPENT_PHONE_CODE: &str = "\
    This `phone_code` has been used before. Let the user press the button getPhoneNumber again, and send its code \
    with a new one of wx.login.";
const SPENT_TICKET: &str = "\
    This `bind_ticket` has been used, is older than 5 minutes, or came without credentials, which uses it up. Call \
    wx.login, or your platform's login, and send its code in place of the ticket.";
const WHO_IS_THIS: &str = "\
    This person is bound to no account yet. Ask for user name and password, and send them with this \
    `bind_ticket` in place of `code`: once, within 5 minutes.";
const BOUND_ELSEWHERE: &str = "\
    Another account is bound to this person, or this account to another one. Dissolve that binding first \
    (DELETE /binding).";
const NOT_LISTED: &str = "\
    This service cannot tell who of the user's people is meant, because its operator has set WXMINT_USER_INDEX=false. If \
    this was to dissolve a binding, the user's tokens of the app are revoked, and the session key stays until it expires.";
const NO_SESSION_KEY: &str = "\
    wxmint has no session key of this user in this app, or WeChat no longer accepts it. Have the mini program log in \
    again, then ask again.";
const CLIENT_TOKEN: &str =
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
const NO_PAYMENT_KEY: &str = "\
    The file of this app has no AppKey for this `env`: its operator adds `payment_key` for 0, or `payment_key_sandbox` for 1.";
const SLOW_DOWN: &str = "WeChat limits the calls for one user. Wait, then try again.";
const TOO_MANY: &str = "Too many logins or other requests. Wait, then try again.";
const BUSY: &str = "Too many tries at once. Wait, then try again.";
const CONTENDED: &str =
    "Other requests are changing this binding or ending its tokens. Wait, then try again.";
const NO_UNIONID: &str = "\
    The platform has not said who this person is in your other apps. At WeChat, a page begins again with the scope \
    snsapi_userinfo, and the operator of a mini program binds it to its Open Platform account.";
const CHANGED_UNIONID: &str = "\
    The platform names this person differently than before (another unionid), so that the user would get another user \
    id. The operator of this service decides who the user is. Do not try again before.";
const NOT_PERMITTED: &str = "The merchant has not given the platform the permission for this. It does so on WeChat's authorization page.";
const PHONE_QUOTA_EXHAUSTED: &str = "The app has used up the phone numbers that its operator has paid at WeChat. Let the user log in another way.";
const WECHAT_REFUSES_US: &str =
    "WeChat refuses this service. Its operator finds the reason in the log, by the request id.";
const NO_WECHAT: &str =
    "WeChat does not answer, or its answer cannot be used. Wait, then try again.";
const NO_SUCH_CODE_OF_PLATFORM: &str = "The platform does not accept this code: it is wrong, used, expired, or another app's. Get another from the platform's login, once.";
const CODE_OF_PLATFORM_USED: &str =
    "This code has been sent before. Get another from the platform's login, once.";
const PLATFORM_REFUSES_US: &str = "The platform refuses this service. Its operator finds the reason in the log, by the request id.";
const NO_PLATFORM: &str =
    "The platform does not answer, or its answer cannot be used. Wait, then try again.";
const ONLY_AT_WECHAT: &str =
    "This app is of another platform than WeChat, and only WeChat has this call.";
const NO_STORE: &str = "The session store does not answer, or may not be used as it is: the log says why. Wait, then try again.";
const CLOCK_OF_STORE: &str =
    "The clock of the session store is wrong. Wait, then call wx.login again.";
const NO_ACCOUNTS: &str = "The account service does not answer. Wait, then try again.";

const NOT_CONFIGURED_ANY_MORE: &str = "The token's app is not configured here any more.";
const NOT_LISTED_BY_TOKEN: &str = "This service cannot tell which person a token is of, because its operator has set WXMINT_USER_INDEX=false.";
const NO_SUCH_PHONE_CODE_ALONE: &str = "\
    WeChat does not accept this `code`: it is wrong, expired, another person's, or a code of wx.login. Let the \
    user press the button getPhoneNumber again, and send the new code.";
const SPENT_PHONE_CODE_ALONE: &str = "This `code` has been used before. Let the user press the button getPhoneNumber again, and send the new code.";

impl ClientError for LoginError {
    fn row(&self) -> ProblemRow {
        let (code, detail) = match self {
            Self::Request(error) => return error.row(),
            Self::NotAccepted(field) => {
                let detail = format!(
                    "The field `{field}` is not accepted here. The account backend of this service does not use it."
                );
                return ProblemRow::new(Code::InvalidRequest, detail);
            }
            Self::TicketInvalid => (Code::CodeUsed, SPENT_TICKET),
            Self::UnionIdMissing => (Code::UnionidMissing, NO_UNIONID),
            Self::UnionIdChanged { .. } => (Code::UnionidChanged, CHANGED_UNIONID),
            Self::PhoneCodeInvalid => (Code::CodeInvalid, NO_SUCH_PHONE_CODE),
            Self::PhoneCodeUsed => (Code::CodeUsed, SPENT_PHONE_CODE),
            Self::PhoneRefused => (Code::UserBlocked, PHONE_NOT_LET_IN),
            Self::InvalidCredentials => {
                (Code::InvalidCredentials, "User name or password is wrong.")
            }
            Self::BindingRequired(ticket) => {
                let problem = Problem::new(Code::BindingRequired, WHO_IS_THIS);
                return problem.bind_ticket(ticket.expose()).into();
            }
            Self::AlreadyBound => (Code::AlreadyBound, BOUND_ELSEWHERE),
            Self::Blocked | Self::AccountDenied => (Code::UserBlocked, NOT_LET_IN),
            Self::RevokedAhead(wait) => {
                let row = ProblemRow::new(Code::StoreUnavailable, CLOCK_OF_STORE);
                return row.retry_after(*wait);
            }
        };
        ProblemRow::new(code, detail)
    }
}

/// Requests with a token have other fields than a login, and other remedies.
impl ClientError for TokenActionError {
    fn row(&self) -> ProblemRow {
        let (code, detail) = match self {
            Self::Request(error @ RequestError::App(AppRefusal::Unknown(_))) => {
                return error.row().with_detail(NOT_CONFIGURED_ANY_MORE);
            }
            Self::Request(error) => return error.row(),
            Self::TokenRevoked => return no_valid_token().into(),
            Self::ClientTokenNotAllowed => (Code::Forbidden, CLIENT_TOKEN),
            Self::NotListed => (Code::Forbidden, NOT_LISTED_BY_TOKEN),
            Self::Blocked => (Code::UserBlocked, NOT_LET_IN),
            Self::PhoneCodeInvalid => (Code::CodeInvalid, NO_SUCH_PHONE_CODE_ALONE),
            Self::PhoneCodeUsed => (Code::CodeUsed, SPENT_PHONE_CODE_ALONE),
            Self::Undecryptable => (Code::DataUndecryptable, UNDECRYPTABLE),
            Self::NothingToReset => (Code::DataUndecryptable, NOTHING_TO_RESET),
            Self::Busy => {
                let row = ProblemRow::new(Code::RateLimited, BUSY);
                return row.retry_after(SOON);
            }
        };
        ProblemRow::new(code, detail)
    }
}

impl ClientError for ServiceError {
    fn row(&self) -> ProblemRow {
        match self {
            Self::Request(error) => error.row(),
            Self::PersonNotFound => ProblemRow::new(Code::UnknownPerson, NO_SUCH_PERSON),
            Self::NotListed(error) => error.row(),
            Self::SessionKeyMissing => ProblemRow::new(Code::SessionKeyMissing, NO_SESSION_KEY),
        }
    }
}

impl ClientError for OperatorError {
    fn row(&self) -> ProblemRow {
        match self {
            Self::AppCall(error) => error.row(),
            Self::PersonNotFound => ProblemRow::new(Code::UnknownPerson, NO_SUCH_PERSON),
            Self::NotListed(error) => error.row(),
        }
    }
}

impl ClientError for RequestError {
    fn row(&self) -> ProblemRow {
        match self {
            Self::App(error) => error.row(),
            Self::WeChat(error) => error.row(),
            Self::Platform(error) => error.row(),
            Self::Limited(error) => error.row(),
            Self::Unavailable(error) => error.row(),
        }
    }
}

impl ClientError for AppCallError {
    fn row(&self) -> ProblemRow {
        match self {
            Self::App(error) => error.row(),
            Self::WeChat(error) => error.row(),
            Self::Platform(error) => error.row(),
            Self::Unavailable(error) => error.row(),
        }
    }
}

impl ClientError for CountError {
    fn row(&self) -> ProblemRow {
        match self {
            Self::Limited(error) => error.row(),
            Self::Store(error) => error.row(),
        }
    }
}

impl ClientError for AppRefusal {
    fn row(&self) -> ProblemRow {
        match self {
            Self::Unknown(why @ UnknownApp::Several) => {
                ProblemRow::new(Code::AppRequired, why.to_string())
            }
            Self::Unknown(why) => ProblemRow::new(Code::UnknownApp, why.to_string()),
            Self::OnlyAtWeChat => ProblemRow::new(Code::OnlyAtWechat, ONLY_AT_WECHAT),
            Self::NoSessionKeys => ProblemRow::new(Code::SessionKeyMissing, NO_SESSION_KEYS),
            Self::NoAccessToken => ProblemRow::new(Code::InvalidRequest, NO_ACCESS_TOKEN),
            Self::NoPaymentKey => ProblemRow::new(Code::InvalidRequest, NO_PAYMENT_KEY),
        }
    }
}

impl ClientError for WeChatRefusal {
    fn row(&self) -> ProblemRow {
        let (code, detail) = match self {
            Self::CodeInvalid => (Code::CodeInvalid, NO_SUCH_CODE),
            Self::CodeUsed => (Code::CodeUsed, CODE_USED),
            Self::SnapshotUser => (Code::SnapshotUser, SNAPSHOT),
            Self::Person(_) => (
                Code::UserBlocked,
                "WeChat refuses this user. Do not try again.",
            ),
            Self::SlowDown => {
                // "Retry next minute", says WeChat of errcode 45011.
                return ProblemRow::new(Code::RateLimited, SLOW_DOWN)
                    .retry_after(Duration::from_mins(1))
                    .limit("wechat");
            }
            Self::NotPermitted(_) => (Code::PermissionMissing, NOT_PERMITTED),
            Self::PhoneNumbersSpent(_) => (Code::PhoneNumbersSpent, PHONE_QUOTA_EXHAUSTED),
            Self::Misconfigured { .. } => (Code::WechatMisconfigured, WECHAT_REFUSES_US),
        };
        ProblemRow {
            mended_by: mended_by(self),
            ..ProblemRow::new(code, detail)
        }
    }
}

impl ClientError for PlatformRefusal {
    fn row(&self) -> ProblemRow {
        match self {
            Self::CodeInvalid => ProblemRow::new(Code::CodeInvalid, NO_SUCH_CODE_OF_PLATFORM),
            Self::CodeUsed => ProblemRow::new(Code::CodeUsed, CODE_OF_PLATFORM_USED),
            Self::Misconfigured { error, app } => ProblemRow {
                mended_by: Some(format!("{error} {app}")),
                ..ProblemRow::new(Code::PlatformMisconfigured, PLATFORM_REFUSES_US)
            },
        }
    }
}

/// The fault that an operator must mend, as [`ProblemRow::mended_by`] has it. WeChat's own message
/// has another `rid` each time.
fn mended_by(refusal: &WeChatRefusal) -> Option<String> {
    match refusal {
        WeChatRefusal::Misconfigured {
            error: CallError::Refused { errcode, .. },
            app,
        } => Some(format!("{errcode} {app:?}")),
        WeChatRefusal::PhoneNumbersSpent(CallError::Refused { errcode, .. }) => {
            Some(errcode.to_string())
        }
        _ => None,
    }
}

impl ClientError for LimitReached {
    fn row(&self) -> ProblemRow {
        ProblemRow::new(Code::RateLimited, TOO_MANY)
            .retry_after(self.refused.retry_after)
            .limit(self.limit)
    }
}

impl ClientError for NotListed {
    fn row(&self) -> ProblemRow {
        ProblemRow::new(Code::Forbidden, NOT_LISTED)
    }
}

impl ClientError for StoreError {
    fn row(&self) -> ProblemRow {
        ProblemRow::new(Code::StoreUnavailable, NO_STORE).retry_after(SOON)
    }
}

impl ClientError for Unavailable {
    fn row(&self) -> ProblemRow {
        let (code, detail, wait) = match self {
            Self::Store(error) => return error.row(),
            Self::WeChat(CallError::NotSent { retry_after, .. }) => {
                (Code::WechatUnavailable, NO_WECHAT, *retry_after)
            }
            Self::WeChat(_) => (Code::WechatUnavailable, NO_WECHAT, Duration::from_secs(2)),
            Self::Platform(PlatformError::NotSent { retry_after, .. }) => {
                (Code::PlatformUnavailable, NO_PLATFORM, *retry_after)
            }
            Self::Platform(_) => (
                Code::PlatformUnavailable,
                NO_PLATFORM,
                Duration::from_secs(2),
            ),
            Self::Keys(_) => (Code::StoreUnavailable, NO_STORE, SOON),
            Self::Accounts(error) => (Code::AccountsUnavailable, NO_ACCOUNTS, error.retry_after),
            Self::Contended => (Code::StoreUnavailable, CONTENDED, SOON),
        };
        ProblemRow::new(code, detail).retry_after(wait)
    }
}

#[cfg(test)]
mod tests {
    use wxmint_verify::KeyError;
    use wxmint_wechat::{Api, Verdict};

    use super::*;

    /// Each repetition would be refused too, and a phone number that is asked for again is billed
    /// again.
    #[test]
    fn what_wechat_has_answered_is_to_be_repeated_only_where_it_is_busy_or_limits_a_person() {
        for (errcode, is_repeated) in [
            (-1, true),
            (45011, true),
            (45009, false),
            (40234, false),
            (99_999, false),
        ] {
            let verdict = Verdict::of(Api::PhoneNumber, errcode);
            let error = AppCallError::from(CallError::Refused {
                errcode,
                errmsg: String::new(),
                verdict,
            });
            let row = error.row();
            assert_eq!(row.retry_after.is_some(), is_repeated, "{errcode}: {error}");
        }
    }

    #[test]
    fn a_login_without_a_key_that_signs_may_succeed_at_another_replica() {
        let early = KeyError::NoneSigning {
            earliest: "2026-01-01T00:00:00Z".into(),
        };
        for error in [KeyError::Revoked, early] {
            let row = LoginError::from(error.clone()).row();
            assert!(row.retry_after.is_some(), "{error}");
        }
    }
}
