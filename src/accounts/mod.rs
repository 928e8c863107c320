//! Who the business user is: one trait, and what may stand behind it.

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
    file::{BrokenLine, FileAccounts, HashFault, LineFault, NotHashed, StoredHash, User, UsersError, UsersFile},
    service::{ServiceAccounts, Unusable, read_checked, read_found, read_made},
};
use crate::ids::{Phone, UserId};

/// What people can log in with beside WeChat's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepts {
    /// `username` and `password`.
    pub passwords: bool,
    /// `phone_code`.
    pub phones: bool,
}

impl Accepts {
    /// Whether somebody who is bound to nobody can be asked who they are.
    pub fn anything(self) -> bool {
        self.passwords || self.phones
    }
}

/// A user that the backend named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The business user.
    pub user: UserId,
    /// Whether the backend made the user for this login.
    pub made: bool,
}

/// Tells a repeated wish for a new user from another one: the same key gives the same user, however often it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUserKey(pub String);

/// Why the backend gave no answer. Always a case for 503: the client has done nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the account backend did not answer: {reason}")]
pub struct AccountsError {
    /// For the log; holds no name, password or phone number.
    pub reason: String,
    /// When it is worth asking again.
    pub retry_after: Duration,
}

/// Whatever knows business users. One value belongs to one worker thread.
#[async_trait(?Send)]
pub trait Accounts {
    /// What people can log in with here.
    fn accepts(&self) -> Accepts;

    /// The user whom name and password belong to; `None` for an unknown name, a wrong password and a disabled user
    /// alike, and after the same time.
    async fn check_password(&self, name: &Username, password: &Password) -> Result<Option<UserId>, AccountsError>;

    /// Finds or makes the user of a phone number that WeChat has verified; `None` if the backend refuses it.
    async fn user_of_phone(&self, phone: &Phone) -> Result<Option<Named>, AccountsError>;

    /// Whether a user who is bound may still log in. Asked at each login.
    async fn admits(&self, _: &UserId) -> Result<bool, AccountsError> {
        Ok(true)
    }

    /// Makes a user who is known by WeChat alone.
    async fn new_user(&self, key: &NewUserKey, now: DateTime<Utc>) -> Result<Named, AccountsError>;
}
