//! The reasons that several use cases share, and the errors of the steps that they share.

use wxmint_ids::AppId;
use wxmint_platforms::PlatformError;
use wxmint_store::StoreError;
use wxmint_store::limits::{LimitError, TooMany};
use wxmint_verify::KeyError;
use wxmint_wechat::{CallError, Verdict};

use crate::{accounts::AccountsError, apps::UnknownApp};

/// A part of the service, or a service that it asks, cannot be used at the moment. The client may
/// repeat the request.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    #[error(transparent)]
    WeChat(CallError),
    #[error(transparent)]
    Platform(PlatformError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another replica may have the keys, or the clock, that this replica lacks.
    #[error("no token can be signed: {0}")]
    Keys(#[from] KeyError),
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    #[error("other requests change the binding, or revoke the tokens, at the same time")]
    Contended,
}

/// The app of a request is unknown, or does not have what the request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppRefusal {
    #[error("no such app: {0}")]
    Unknown(#[from] UnknownApp),
    #[error("the app is of another platform than WeChat, which has no such call here")]
    OnlyAtWeChat,
    #[error("the app has no session keys: it is an official account, a website or a mobile app")]
    NoSessionKeys,
    #[error("the app has no access token: it is a website or a mobile app")]
    NoAccessToken,
    #[error("the app's file has no AppKey of virtual payment for this `env`")]
    NoPaymentKey,
}

/// WeChat refuses a call, and would refuse the same call again.
#[derive(Debug, thiserror::Error)]
pub enum WeChatRefusal {
    #[error("WeChat does not accept the code")]
    CodeInvalid,
    /// The code was claimed before, here or at WeChat.
    #[error("the code has been used")]
    CodeUsed,
    #[error("WeChat has named a virtual person, because the page is shown as a snapshot")]
    SnapshotUser,
    #[error("WeChat refuses this person: {0}")]
    Person(CallError),
    /// WeChat limits the calls for each person.
    #[error("WeChat wants this person to slow down")]
    SlowDown,
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
}

/// Another platform than WeChat refuses a code, and would refuse the same code again.
#[derive(Debug, thiserror::Error)]
pub enum PlatformRefusal {
    #[error("the platform does not accept the code")]
    CodeInvalid,
    /// The code was claimed here before.
    #[error("the code of the platform has been used")]
    CodeUsed,
    /// The operator must correct something.
    #[error("the platform refuses {app}: {error}")]
    Misconfigured { error: PlatformError, app: AppId },
}

/// One of our own limits is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit {limit} is reached")]
pub struct LimitReached {
    /// The name of the limit's variable, `WXMINT_LIMIT_…`, in lower case and without this prefix.
    pub limit: &'static str,
    pub refused: TooMany,
}

/// The person of a token or a user cannot be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no list names the people of this user, because WXMINT_USER_INDEX=false")]
pub struct NotListed;

/// Why a request is not counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    #[error(transparent)]
    Limited(#[from] LimitReached),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CountError {
    /// The error of an event that `limit` has not admitted.
    pub(crate) fn of_limit(limit: &'static str) -> impl FnOnce(LimitError) -> Self {
        move |error| match error {
            LimitError::TooMany(refused) => LimitReached { limit, refused }.into(),
            LimitError::Store(error) => error.into(),
        }
    }
}

/// Why an app is not chosen, or a call of WeChat's API for an app fails.
#[derive(Debug, thiserror::Error)]
pub enum AppCallError {
    #[error(transparent)]
    App(#[from] AppRefusal),
    #[error(transparent)]
    WeChat(#[from] WeChatRefusal),
    #[error(transparent)]
    Platform(#[from] PlatformRefusal),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl AppCallError {
    /// Names `app` in an error that names no app yet ([`WeChatRefusal::Misconfigured`]).
    pub(crate) fn of(self, app: &AppId) -> Self {
        match self {
            Self::WeChat(WeChatRefusal::Misconfigured { error, app: None }) => {
                Self::WeChat(WeChatRefusal::Misconfigured {
                    error,
                    app: Some(app.clone()),
                })
            }
            error => error,
        }
    }
}

impl From<UnknownApp> for AppCallError {
    fn from(error: UnknownApp) -> Self {
        Self::App(error.into())
    }
}

impl From<StoreError> for AppCallError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<CallError> for AppCallError {
    fn from(error: CallError) -> Self {
        Self::WeChat(match error.verdict() {
            None if error == CallError::SnapshotUser => WeChatRefusal::SnapshotUser,
            Some(Verdict::CodeInvalid) => WeChatRefusal::CodeInvalid,
            Some(Verdict::CodeUsed) => WeChatRefusal::CodeUsed,
            Some(Verdict::PersonRefused) => WeChatRefusal::Person(error),
            Some(Verdict::SlowDown) => WeChatRefusal::SlowDown,
            Some(Verdict::NotAuthorized) => return UnknownApp::NotConfigured.into(),
            Some(Verdict::NotPermitted) => WeChatRefusal::NotPermitted(error),
            Some(Verdict::PhoneNumbersSpent) => WeChatRefusal::PhoneNumbersSpent(error),
            Some(Verdict::Misconfigured | Verdict::Unknown) => {
                WeChatRefusal::Misconfigured { error, app: None }
            }
            // Busy, a token or a session key that is stale, or no answer.
            _ => return Self::Unavailable(Unavailable::WeChat(error)),
        })
    }
}

/// Why a request fails, if it has no reasons of its own.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    App(#[from] AppRefusal),
    #[error(transparent)]
    WeChat(#[from] WeChatRefusal),
    #[error(transparent)]
    Platform(#[from] PlatformRefusal),
    #[error(transparent)]
    Limited(#[from] LimitReached),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<UnknownApp> for RequestError {
    fn from(error: UnknownApp) -> Self {
        Self::App(error.into())
    }
}

impl From<CallError> for RequestError {
    fn from(error: CallError) -> Self {
        AppCallError::from(error).into()
    }
}

impl From<StoreError> for RequestError {
    fn from(error: StoreError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<KeyError> for RequestError {
    fn from(error: KeyError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<AccountsError> for RequestError {
    fn from(error: AccountsError) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<AppCallError> for RequestError {
    fn from(error: AppCallError) -> Self {
        match error {
            AppCallError::App(error) => Self::App(error),
            AppCallError::WeChat(error) => Self::WeChat(error),
            AppCallError::Platform(error) => Self::Platform(error),
            AppCallError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}

impl From<CountError> for RequestError {
    fn from(error: CountError) -> Self {
        match error {
            CountError::Limited(error) => Self::Limited(error),
            CountError::Store(error) => error.into(),
        }
    }
}
