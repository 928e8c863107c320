//! Why an operator's request is refused.

use super::{AppCallError, AppRefusal, NotListed, Unavailable, WeChatRefusal};

/// Why an operator's request about a user or a person is refused.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(transparent)]
    App(AppRefusal),
    /// No app can be called unknown, because WeChat refuses to list a platform's merchants.
    #[error(transparent)]
    WeChat(WeChatRefusal),
    #[error(transparent)]
    Unavailable(Unavailable),
    #[error("this openid is bound to nobody")]
    PersonNotFound,
    #[error(transparent)]
    NotListed(#[from] NotListed),
}

impl<E: Into<AppCallError>> From<E> for OperatorError {
    fn from(error: E) -> Self {
        match error.into() {
            AppCallError::App(error) => Self::App(error),
            AppCallError::WeChat(error) => Self::WeChat(error),
            AppCallError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}
