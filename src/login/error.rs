//! Why a use case refuses a request. Each use case has an enum of its own. The reasons that several
//! use cases share are small enums, which their enums hold. The texts are for the log.

mod login;
mod operator;
mod service;
mod shared;
mod token_action;

pub use self::login::LoginError;
pub use self::operator::OperatorError;
pub use self::service::ServiceError;
pub use self::shared::{
    AppCallError, AppRefusal, CountError, LimitReached, NotListed, PlatformRefusal, RequestError,
    Unavailable, WeChatRefusal,
};
pub use self::token_action::TokenActionError;
