//! What is asked of a login, and what it gives.

use std::time::Duration;

use crate::{
    accounts::{Password, Username},
    ids::{AppId, LoginCode, PhoneCode, UserId},
    store::Ticket,
    token::AccessToken,
};

/// What a mini program asks for.
#[derive(Debug)]
pub struct LoginRequest {
    /// Which app; may be left out where there is only one.
    pub app: Option<AppId>,
    /// The app that the Referer names, which anybody can forge: a hint for choosing among those that there are.
    pub app_hint: Option<AppId>,
    /// What shows which WeChat identity is asking.
    pub proof: Proof,
    /// What shows which business user is asking.
    pub identity: Identity,
}

/// What shows which WeChat identity is asking.
#[derive(Debug)]
pub enum Proof {
    /// The code of `wx.login`.
    Code(LoginCode),
    /// What an earlier login gave in place of its code.
    Ticket(Ticket),
}

/// What shows which business user is asking.
#[derive(Debug)]
pub enum Identity {
    /// Nothing: the WeChat identity is to be known already.
    Nothing,
    /// Name and password.
    Password(Username, Password),
    /// The code of the button `getPhoneNumber`.
    Phone(PhoneCode),
}

/// What it gets.
#[derive(Debug)]
pub struct LoggedIn {
    /// Proves to every peer who is asking.
    pub token: AccessToken,
    /// How long the token lives.
    pub expires_in: Duration,
    /// The token's `sub`.
    pub user: UserId,
    /// Which app.
    pub app: AppId,
    /// Whether this login made the user. True once.
    pub new_user: bool,
}
