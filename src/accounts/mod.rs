//! Who the business user is: one trait and its three implementations.

mod automatic;
mod credentials;
mod file;
mod service;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

pub(crate) use self::automatic::fresh_user;
pub use self::{
    automatic::Auto,
    credentials::{InvalidCredential, Password, Username},
    file::{
        BrokenLine, ClaimsColumn, ClaimsFault, FileAccounts, HashFault, LineFault, NotHashed, StoredHash, User,
        UsersError, UsersFile,
    },
    service::{ServiceAccounts, Unusable, read_admission, read_checked, read_found, read_made},
};
use crate::{
    ids::{Phone, UserId},
    token::ExtraClaims,
};

/// Which credentials the backend accepts besides WeChat's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    pub passwords: bool,
    pub phones: bool,
}

impl Accepts {
    /// Whether a person without a binding can be asked for credentials.
    pub fn anything(self) -> bool {
        self.passwords || self.phones
    }
}

/// A user that the backend found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub user: UserId,
    /// Whether the user may have been made for this login.
    pub made: bool,
}

/// Whether a user may log in, and what the token then says beside its own claims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginCheck {
    Admitted(ExtraClaims),
    Refused,
}

/// The idempotency key of a request for a new user: the same key returns the same user, however often it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUserKey(pub String);

/// Why the backend did not respond. Always answered with 503, because the client has done nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the account backend did not answer: {reason}")]
pub struct AccountsError {
    /// For the log. It contains no user name, password or phone number.
    pub reason: String,
    /// When to try again.
    pub retry_after: Duration,
}

/// An account backend, which knows the business users. Each worker thread has its own value.
#[async_trait(?Send)]
pub trait Accounts {
    fn accepts(&self) -> Accepts;

    /// The user with this name and password; `None` for an unknown name, a wrong password and a disabled user alike,
    /// and after the same time.
    async fn check_password(&self, _: &Username, _: &Password) -> Result<Option<UserId>, AccountsError> {
        Ok(None)
    }

    /// Finds or makes the user with this phone number, which WeChat has verified; `None` if the backend refuses.
    async fn user_of_phone(&self, _: &Phone) -> Result<Option<Named>, AccountsError> {
        Ok(None)
    }

    /// Whether a user with a binding may still log in, and with which claims. Called at each login.
    async fn admits(&self, _: &UserId) -> Result<LoginCheck, AccountsError> {
        Ok(LoginCheck::Admitted(ExtraClaims::default()))
    }

    /// Makes a user without credentials, who can log in only through WeChat.
    async fn new_user(&self, key: &NewUserKey, now: DateTime<Utc>) -> Result<Named, AccountsError>;
}
