//! The input and the result of a login.

use std::time::Duration;

use crate::{
    accounts::{Password, Username},
    ids::{AppId, LoginCode, PhoneCode, UserId},
    store::Ticket,
    token::AccessToken,
};

#[derive(Debug)]
pub struct LoginRequest {
    /// May be left out if there is only one app.
    pub app: Option<AppId>,
    /// The app that the Referer names. Anybody can forge it, so it only helps to choose among the configured apps.
    pub app_hint: Option<AppId>,
    pub proof: Proof,
    pub identity: Identity,
}

/// Proves the WeChat identity of the client.
#[derive(Debug)]
pub enum Proof {
    /// The code of `wx.login`.
    Code(LoginCode),
    /// The ticket of an earlier login, which replaces the code.
    Ticket(Ticket),
}

/// Proves the business user.
#[derive(Debug)]
pub enum Identity {
    /// No credentials: only a WeChat identity that is bound gets a token.
    Nothing,
    Password(Username, Password),
    /// The code of the button `getPhoneNumber`.
    Phone(PhoneCode),
}

#[derive(Debug)]
pub struct LoggedIn {
    pub token: AccessToken,
    pub expires_in: Duration,
    /// The token's `sub`.
    pub user: UserId,
    pub app: AppId,
    /// Whether this login made the user. True once per user.
    pub new_user: bool,
}
