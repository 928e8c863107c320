//! The reasons for refusing a login, or a request with a token.

use std::time::Duration;

use wxmint_ids::{AppId, UserId};
use wxmint_store::limits::{LimitError, TooMany};
use wxmint_store::{StoreError, Ticket};
use wxmint_verify::KeyError;
use wxmint_wechat::{CallError, Malformed, Verdict};

use crate::{accounts::AccountsError, apps::UnknownApp};

/// The result of a step of a login, or of a request with a token.
pub type Result<T, E = LoginError> = std::result::Result<T, E>;

/// Why a login, or a request with a valid token, was refused: either the client must change
/// something, or something is wrong here or at WeChat. The texts are for the log.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("no such app: {0}")]
    UnknownApp(#[from] UnknownApp),
    #[error("the account backend takes no `{0}`")]
    NotAccepted(&'static str),
    #[error("WeChat does not accept the code")]
    CodeInvalid,
    /// The code was claimed before, here or at WeChat.
    #[error("the code has been used")]
    CodeUsed,
    #[error("WeChat has named a virtual person, because the page is shown as a snapshot")]
    SnapshotUser,
    #[error("WeChat has named no unionid of a person who is no user of the app yet")]
    UnionIdMissing,
    /// A user id never changes by itself, so an operator must decide which user the person is.
    #[error(
        "WeChat names another unionid for a person of the user {} in {app} than before, and the user id was computed of that one",
        user.as_str()
    )]
    UnionIdChanged { user: UserId, app: AppId },
    #[error("WeChat does not accept the phone code")]
    PhoneCodeInvalid,
    #[error("the phone code has been used")]
    PhoneCodeUsed,
    #[error("the bind ticket is unknown, expired or spent")]
    TicketInvalid,
    #[error("WeChat refuses this person: {0}")]
    RejectedByWeChat(CallError),
    #[error("the account backend refuses this phone number")]
    PhoneRefused,
    #[error("an operator has blocked this user")]
    Blocked,
    #[error("the account backend does not let this user log in")]
    AccountDenied,
    #[error("WeChat wants this person to slow down")]
    SlowDown,
    /// One of our own limits, by the name of its variable: `WXMINT_LIMIT_…`.
    #[error("the limit {limit} is reached")]
    TooMany {
        limit: &'static str,
        refused: TooMany,
    },
    #[error("this person is bound to nobody")]
    BindingRequired(Ticket),
    #[error("nobody in this app is bound to this user, or this openid is bound to nobody")]
    UnknownPerson,
    #[error("no list names the people of this user, because WXMINT_USER_INDEX=false")]
    NotListed,
    #[error("no session key of this user is kept that WeChat accepts")]
    SessionKeyMissing,
    #[error("the app has no session keys: it is an official account, a website or a mobile app")]
    NoSessionKeys,
    #[error("the app has no access token: it is a website or a mobile app")]
    NoAccessToken,
    #[error("the token has been revoked")]
    TokenRevoked,
    #[error("a page's token is not good for this")]
    ClientTokenNotAllowed,
    /// There is no session key, or the data does not decrypt, or it names another person. One error
    /// for all, because the difference would help an attacker.
    #[error("the data cannot be decrypted")]
    Undecryptable,
    #[error("no session key is kept that WeChat could replace")]
    NothingToReset,
    /// As many uses of the person's session keys are in progress as may fail.
    #[error("too many tries at once")]
    Busy,
    #[error("name and password are nobody's")]
    InvalidCredentials,
    #[error("another user holds this WeChat identity, or the user another one")]
    AlreadyBound,
    /// The owner of the app must grant the permission.
    #[error("the merchant has not given the platform the permission for this: {0}")]
    NotPermitted(CallError),
    /// The operator must buy more phone numbers at WeChat.
    #[error("the app has no paid phone numbers left at WeChat: {0}")]
    PhoneNumbersSpent(CallError),
    /// The operator must correct something. `app` is set once it is known which app is concerned.
    #[error("WeChat refuses {}: {error}", app.as_ref().map_or("this app", AppId::as_str))]
    Misconfigured {
        error: CallError,
        app: Option<AppId>,
    },
    #[error(transparent)]
    WeChatUnavailable(CallError),
    #[error(transparent)]
    StoreUnavailable(#[from] StoreError),
    /// The client may try again, because another replica may have the keys, or the clock, that this
    /// one lacks.
    #[error("no token can be signed: {0}")]
    KeysUnusable(#[from] KeyError),
    #[error("a binding is changed, or the tokens are ended, by others at the same time")]
    Contended,
    /// A token for the user would have to be dated later than verifiers accept. The duration is how
    /// long that lasts.
    #[error(
        "the user's tokens are ended up to a time that is more than a minute ahead: a clock of Redis was ahead, or has stepped \
         back"
    )]
    EndedAhead(Duration),
    #[error(transparent)]
    AccountsUnavailable(#[from] AccountsError),
}

impl LoginError {
    /// The wait after which a repetition may succeed, for `Retry-After`. `None` if a repetition
    /// would fail too.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            // "Retry next minute", says WeChat of errcode 45011.
            Self::SlowDown => Some(Duration::from_mins(1)),
            Self::WeChatUnavailable(CallError::NotSent { retry_after, .. }) => Some(*retry_after),
            Self::WeChatUnavailable(_) => Some(Duration::from_secs(2)),
            Self::StoreUnavailable(_) | Self::KeysUnusable(_) | Self::Contended | Self::Busy => {
                Some(Duration::from_secs(1))
            }
            Self::EndedAhead(wait) => Some(*wait),
            Self::TooMany { refused, .. } => Some(refused.retry_after),
            Self::AccountsUnavailable(error) => Some(error.retry_after),
            _ => None,
        }
    }

    /// The limit that refuses the request: one of our own by its name, or `wechat` for WeChat's.
    pub fn limit(&self) -> Option<&'static str> {
        match self {
            Self::SlowDown => Some("wechat"),
            Self::TooMany { limit, .. } => Some(limit),
            _ => None,
        }
    }

    /// Names `app` in an error that names no app yet ([`Self::Misconfigured`]).
    pub(crate) fn of(self, app: &AppId) -> Self {
        match self {
            Self::Misconfigured { error, app: None } => Self::Misconfigured {
                error,
                app: Some(app.clone()),
            },
            error => error,
        }
    }

    /// The error of an event that `limit` has not admitted.
    pub(crate) fn of_limit(limit: &'static str) -> impl FnOnce(LimitError) -> Self {
        move |error| match error {
            LimitError::TooMany(refused) => Self::TooMany { limit, refused },
            LimitError::Store(error) => error.into(),
        }
    }
}

impl From<CallError> for LoginError {
    fn from(error: CallError) -> Self {
        match error.verdict() {
            None if error == CallError::SnapshotUser => Self::SnapshotUser,
            Some(Verdict::CodeInvalid) => Self::CodeInvalid,
            Some(Verdict::CodeUsed) => Self::CodeUsed,
            Some(Verdict::PersonRefused) => Self::RejectedByWeChat(error),
            Some(Verdict::SlowDown) => Self::SlowDown,
            Some(Verdict::NotAuthorized) => Self::UnknownApp(UnknownApp::NotConfigured),
            Some(Verdict::NotPermitted) => Self::NotPermitted(error),
            Some(Verdict::PhoneNumbersSpent) => Self::PhoneNumbersSpent(error),
            Some(Verdict::Misconfigured | Verdict::Unknown) => {
                Self::Misconfigured { error, app: None }
            }
            // Busy, a token or a session key that is stale, or no answer.
            _ => Self::WeChatUnavailable(error),
        }
    }
}

/// Malformed data gets the same answer as data that does not decrypt.
impl From<Malformed> for LoginError {
    fn from(malformed: Malformed) -> Self {
        tracing::debug!(%malformed, "user data is not what WeChat gives");
        Self::Undecryptable
    }
}

#[cfg(test)]
mod tests {
    use wxmint_wechat::Api;

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
            let error = LoginError::from(CallError::Refused {
                errcode,
                errmsg: String::new(),
                verdict,
            });
            assert_eq!(
                error.retry_after().is_some(),
                is_repeated,
                "{errcode}: {error}"
            );
        }
    }

    #[test]
    fn a_login_without_a_key_that_signs_may_succeed_at_another_replica() {
        let early = KeyError::NoneSigning {
            earliest: "2026-01-01T00:00:00Z".into(),
        };
        for error in [KeyError::Revoked, early] {
            assert!(
                LoginError::from(error.clone()).retry_after().is_some(),
                "{error}"
            );
        }
    }
}
