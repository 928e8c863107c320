//! Why a request with a token is refused.

use wxmint_wechat::Malformed;

use super::RequestError;
use crate::login::PhoneNumberError;

/// Why a request with a valid token is refused.
#[derive(Debug, thiserror::Error)]
pub enum TokenActionError {
    #[error(transparent)]
    Request(RequestError),
    #[error("the token has been revoked")]
    TokenRevoked,
    #[error("a page's token is not good for this")]
    ClientTokenNotAllowed,
    /// The person of the token cannot be found.
    #[error("no list names the people of this user, because WXMINT_USER_INDEX=false")]
    NotListed,
    /// Another user of the person's unionid is blocked.
    #[error("an operator has blocked this user")]
    Blocked,
    #[error("WeChat does not accept the phone code")]
    PhoneCodeInvalid,
    #[error("the phone code has been used")]
    PhoneCodeUsed,
    /// There is no session key, or the data does not decrypt, or it names another person. One error
    /// for all, because the difference would help an attacker.
    #[error("the data cannot be decrypted")]
    Undecryptable,
    #[error("no session key is kept that WeChat could replace")]
    NothingToReset,
    /// As many uses of the person's session keys are in progress as may fail.
    #[error("too many tries at once")]
    Busy,
}

impl<E: Into<RequestError>> From<E> for TokenActionError {
    fn from(error: E) -> Self {
        Self::Request(error.into())
    }
}

impl From<PhoneNumberError> for TokenActionError {
    fn from(error: PhoneNumberError) -> Self {
        match error {
            PhoneNumberError::CodeInvalid => Self::PhoneCodeInvalid,
            PhoneNumberError::CodeUsed => Self::PhoneCodeUsed,
            PhoneNumberError::Request(error) => error.into(),
        }
    }
}

/// Malformed data gets the same answer as data that does not decrypt.
impl From<Malformed> for TokenActionError {
    fn from(malformed: Malformed) -> Self {
        tracing::debug!(%malformed, "user data is not what WeChat gives");
        Self::Undecryptable
    }
}
