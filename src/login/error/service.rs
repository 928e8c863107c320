//! Why a request of the business's own services is refused.

use super::{AppRefusal, LimitReached, NotListed, RequestError, Unavailable, WeChatRefusal};

/// Why a request of the business's own services is refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    App(AppRefusal),
    #[error(transparent)]
    WeChat(WeChatRefusal),
    #[error(transparent)]
    Limited(LimitReached),
    #[error(transparent)]
    Unavailable(Unavailable),
    #[error("nobody in this app is bound to this user")]
    PersonNotFound,
    #[error(transparent)]
    NotListed(#[from] NotListed),
    #[error("no session key of this user is kept that WeChat accepts")]
    SessionKeyMissing,
}

impl<E: Into<RequestError>> From<E> for ServiceError {
    fn from(error: E) -> Self {
        match error.into() {
            RequestError::App(error) => Self::App(error),
            RequestError::WeChat(error) => Self::WeChat(error),
            RequestError::Limited(error) => Self::Limited(error),
            RequestError::Unavailable(error) => Self::Unavailable(error),
        }
    }
}
