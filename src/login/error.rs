//! The reasons for refusing a login.

use std::time::Duration;

use super::AccessTokenError;
use crate::{
    accounts::AccountsError,
    limits::TooMany,
    store::{StoreError, Ticket},
    token::MintError,
    vault::VaultError,
    wechat::{CallError, UnknownApp, Verdict},
};

/// `Retry-After` while the store is away.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// `Retry-After` while WeChat does not answer.
const WECHAT_PAUSE: Duration = Duration::from_secs(2);
/// "Retry next minute", says WeChat of errcode 45011.
const WECHAT_MINUTE: Duration = Duration::from_secs(60);

/// Why a login was refused: either the client can mend it, or something is wrong here or at WeChat.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("no such app: {0}")]
    UnknownApp(#[from] UnknownApp),
    /// The account backend does not take this field.
    #[error("the account backend takes no `{0}`")]
    NotAccepted(&'static str),
    /// WeChat does not accept the code.
    #[error("WeChat does not accept the code")]
    CodeInvalid,
    /// The code was claimed before, here or at WeChat.
    #[error("the code has been used")]
    CodeUsed,
    /// WeChat does not accept the phone code.
    #[error("WeChat does not accept the phone code")]
    PhoneCodeInvalid,
    /// The phone code was used before.
    #[error("the phone code has been used")]
    PhoneCodeUsed,
    /// The ticket is unknown, expired or spent.
    #[error("the bind ticket is unknown, expired or spent")]
    TicketInvalid,
    /// WeChat refuses this person.
    #[error("WeChat refuses this person: {0}")]
    UserBlocked(CallError),
    /// The account backend refuses this phone number.
    #[error("the account backend refuses this phone number")]
    PhoneRefused,
    /// The account backend does not let this user log in any more.
    #[error("the account backend does not let this user log in")]
    UserShutOut,
    /// WeChat's limit for this person.
    #[error("WeChat wants this person to slow down")]
    SlowDown {
        /// When the limit is over.
        retry_after: Duration,
    },
    /// One of our own limits.
    #[error("too many logins from an address, of a person, or with wrong passwords")]
    TooMany(TooMany),
    /// Nobody is bound to this person yet.
    #[error("this person is bound to nobody")]
    BindingRequired(Ticket),
    /// Name and password are nobody's.
    #[error("name and password are nobody's")]
    InvalidCredentials,
    /// Another user holds this WeChat identity, or the user another one.
    #[error("another user holds this WeChat identity, or the user another one")]
    AlreadyBound,
    /// The operator has something to mend.
    #[error("WeChat refuses this app: {0}")]
    Misconfigured(CallError),
    /// WeChat is slow or gone.
    #[error("{cause}")]
    WeChatUnavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log.
        cause: CallError,
    },
    /// The store is slow or gone.
    #[error("{cause}")]
    StoreUnavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log.
        cause: StoreError,
    },
    /// The account backend is slow or gone.
    #[error(transparent)]
    AccountsUnavailable(#[from] AccountsError),
    /// The session key could not be sealed.
    #[error("the session key could not be sealed: {0}")]
    Vault(#[from] VaultError),
    /// No token could be signed.
    #[error("no token could be signed: {0}")]
    Mint(#[from] MintError),
    /// The system gave no random bits.
    #[error("the system gave no random bits")]
    NoRandomness,
}

impl From<StoreError> for LoginError {
    fn from(cause: StoreError) -> Self {
        Self::StoreUnavailable { retry_after: STORE_PAUSE, cause }
    }
}

impl From<TooMany> for LoginError {
    fn from(refused: TooMany) -> Self {
        Self::TooMany(refused)
    }
}

impl From<CallError> for LoginError {
    fn from(error: CallError) -> Self {
        match &error {
            CallError::Refused { verdict, .. } => match verdict {
                Verdict::CodeInvalid => Self::CodeInvalid,
                Verdict::CodeUsed => Self::CodeUsed,
                Verdict::PersonRefused => Self::UserBlocked(error),
                Verdict::SlowDown => Self::SlowDown { retry_after: WECHAT_MINUTE },
                Verdict::Misconfigured | Verdict::OurBug => Self::Misconfigured(error),
                Verdict::Busy | Verdict::BadAccessToken | Verdict::StaleSession | Verdict::Unknown => {
                    Self::WeChatUnavailable { retry_after: WECHAT_PAUSE, cause: error }
                }
            },
            CallError::NotSent { retry_after, .. } => {
                Self::WeChatUnavailable { retry_after: *retry_after, cause: error }
            }
            CallError::Unanswered { .. } | CallError::Unusable { .. } => {
                Self::WeChatUnavailable { retry_after: WECHAT_PAUSE, cause: error }
            }
        }
    }
}

impl From<AccessTokenError> for LoginError {
    fn from(error: AccessTokenError) -> Self {
        match error {
            AccessTokenError::Store(error) => error.into(),
            AccessTokenError::WeChat(error) => match error.verdict() {
                Some(Verdict::CodeInvalid) => Self::PhoneCodeInvalid,
                Some(Verdict::CodeUsed) => Self::PhoneCodeUsed,
                _ => error.into(),
            },
        }
    }
}
