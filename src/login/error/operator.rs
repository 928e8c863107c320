//! Why an operator's request is refused.

use super::{AppCallError, NotListed};

/// Why an operator's request about a user or a person is refused.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The app is unknown, or no app can be called unknown, because WeChat refuses to list a
    /// platform's merchants; or the store does not answer.
    #[error(transparent)]
    AppCall(AppCallError),
    #[error("this openid is bound to nobody")]
    PersonNotFound,
    #[error(transparent)]
    NotListed(#[from] NotListed),
}

impl<E: Into<AppCallError>> From<E> for OperatorError {
    fn from(error: E) -> Self {
        Self::AppCall(error.into())
    }
}
