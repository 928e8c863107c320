//! Why a request of the business's own services is refused.

use super::{NotListed, RequestError};

/// Why a request of the business's own services is refused.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Request(RequestError),
    #[error("nobody in this app is bound to this user")]
    PersonNotFound,
    #[error(transparent)]
    NotListed(#[from] NotListed),
    #[error("no session key of this user is kept that WeChat accepts")]
    SessionKeyMissing,
}

impl<E: Into<RequestError>> From<E> for ServiceError {
    fn from(error: E) -> Self {
        Self::Request(error.into())
    }
}
