//! The request and the answer of a login.

use wxmint_ids::{AppId, LoginCode, UserId};
use wxmint_keys::token::SignedToken;
use wxmint_store::Ticket;

use super::Credentials;

/// A login, as the client asked for it.
#[derive(Debug)]
pub struct LoginRequest {
    /// May be left out if there is only one app.
    pub app: Option<AppId>,
    /// The app that the Referer names. Anybody can forge it, so it only helps to choose among the
    /// configured apps.
    pub app_hint: Option<AppId>,
    pub proof: LoginProof,
    pub credentials: Credentials,
}

/// Proves the WeChat identity of the client.
#[derive(Debug)]
pub enum LoginProof {
    Code(LoginCode),
    /// The ticket of an earlier login, which replaces the code.
    Ticket(Ticket),
}

/// The answer to a login.
#[derive(Debug)]
pub struct LoggedIn {
    /// The signed JWT.
    pub token: SignedToken,
    /// Seconds until the token expires.
    pub expires_in: u64,
    /// The token's `sub`.
    pub user: UserId,
    pub app: AppId,
    /// Whether this login made the user. True once per user.
    pub new_user: bool,
}
