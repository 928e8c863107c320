//! The request and the answer of a login.

use wxmint_ids::{AppId, LoginCode, Platform, UserId, is_code_of_wechat};
use wxmint_keys::token::SignedToken;
use wxmint_store::Ticket;
use wxmint_wechat::App;

use super::app_calls::check_is_mini_program_of_wechat;
use super::{Credentials, Result, WeChatRefusal};

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

impl LoginRequest {
    /// Refuses a code that is no code of WeChat's for an app of WeChat, and a phone code for an app that has none.
    pub(super) fn check_fits(&self, app: &App) -> Result<()> {
        if let LoginProof::Code(code) = &self.proof
            && app.platform() == Platform::WeChat
            && !is_code_of_wechat(code.as_str())
        {
            return Err(WeChatRefusal::CodeInvalid.into());
        }
        if matches!(self.credentials, Credentials::Phone(_)) {
            check_is_mini_program_of_wechat(app)?;
        }
        Ok(())
    }
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
