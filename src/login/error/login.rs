//! Why a login is refused.

use std::time::Duration;

use wxmint_ids::{AppId, UserId};
use wxmint_store::Ticket;

use super::RequestError;
use crate::login::{AccountCheckError, BindError, PhoneNumberError};

/// Why a login is refused: either the client must change something, or something is wrong here or
/// at WeChat.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Request(RequestError),
    #[error("the account backend takes no `{0}`")]
    NotAccepted(&'static str),
    #[error("the bind ticket is unknown, expired or spent")]
    TicketInvalid,
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
    #[error("the account backend refuses this phone number")]
    PhoneRefused,
    #[error("name and password are nobody's")]
    InvalidCredentials,
    #[error("this person is bound to nobody")]
    BindingRequired(Ticket),
    #[error("another user holds this WeChat identity, or the user another one")]
    AlreadyBound,
    #[error("an operator has blocked this user")]
    Blocked,
    #[error("the account backend does not let this user log in")]
    AccountDenied,
    /// A token for the user would have to be dated later than verifiers accept. The duration is how
    /// long that lasts.
    #[error(
        "the user's tokens are revoked up to a time that is more than a minute ahead: a clock of Redis was ahead, or has \
         stepped back"
    )]
    RevokedAhead(Duration),
}

impl<E: Into<RequestError>> From<E> for LoginError {
    fn from(error: E) -> Self {
        Self::Request(error.into())
    }
}

impl From<AccountCheckError> for LoginError {
    fn from(error: AccountCheckError) -> Self {
        match error {
            AccountCheckError::Blocked => Self::Blocked,
            AccountCheckError::Denied => Self::AccountDenied,
            AccountCheckError::Accounts(error) => error.into(),
        }
    }
}

impl From<BindError> for LoginError {
    fn from(error: BindError) -> Self {
        match error {
            BindError::AlreadyBound => Self::AlreadyBound,
            BindError::Blocked => Self::Blocked,
            BindError::Unavailable(error) => error.into(),
        }
    }
}

impl From<PhoneNumberError> for LoginError {
    fn from(error: PhoneNumberError) -> Self {
        match error {
            PhoneNumberError::CodeInvalid => Self::PhoneCodeInvalid,
            PhoneNumberError::CodeUsed => Self::PhoneCodeUsed,
            PhoneNumberError::Request(error) => error.into(),
        }
    }
}
