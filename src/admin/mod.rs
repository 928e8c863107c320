//! The admin listener: probes and metrics for everybody who reaches it, and for holders of a secret what operators and
//! peers ask about users, and what they do with WeChat in a user's name.

pub(crate) mod act;
mod console;
pub(crate) mod routes;
pub(crate) mod tokens;
mod users;
pub(crate) mod wechat;

pub use self::console::Panel;
pub(crate) use self::routes::configure;
pub use self::tokens::{AdminTokens, CurrentAdminTokens};

pub(crate) const PATHS: &str = "\
    This listener has /livez, /readyz and /metrics, and if WXMINT_ADMIN_TOKENS_FILE is set, the console at /console and \
    what /docs describes.";
