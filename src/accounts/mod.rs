//! Account backends, which know the business users: one trait and its three implementations.

mod credentials;
mod file;
mod service;

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use uuid::{NoContext, Timestamp, Uuid};
use wxmint_ids::{AppId, Phone, UserId};
use wxmint_keys::token::ExtraClaims;

pub use self::credentials::{Password, Username};
pub use self::file::{ClaimsColumn, FileAccounts, StoredHash, User, UsersFile};
pub use self::service::{
    ServiceAccounts, Unusable, read_admission, read_checked, read_found, read_made,
};
use crate::findings::Message;

/// The credentials that the backend accepts besides WeChat's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// None: a person without a binding cannot be asked for credentials.
    Nothing,
    Passwords,
    PasswordsAndPhones,
}

/// A user that the backend found or made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub user: UserId,
    /// Whether the user may have been created for this login.
    pub made: bool,
}

/// Why the backend did not respond. Always answered with 503, because the client has done nothing
/// wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the account backend did not answer: {reason}; {cure}")]
pub struct AccountsError {
    /// For the log. It contains no user name, password or phone number.
    pub reason: Message,
    /// The advice to the operator.
    pub cure: Message,
    /// How long the client waits before it tries again.
    pub retry_after: Duration,
}

pub type Result<T, E = AccountsError> = std::result::Result<T, E>;

/// An account backend, which knows the business users. Each worker thread has its own value. Each
/// call names the app through which the person logs in.
#[async_trait(?Send)]
pub trait Accounts {
    fn accepts(&self) -> Accepts {
        Accepts::Nothing
    }

    /// The user with this name and password. `None` for an unknown name, a wrong password and a
    /// disabled user alike, and after the same time. The text is the client's address: the
    /// passwords of one address do not keep those of another waiting for long.
    async fn check_password(
        &self,
        _: &AppId,
        _: &Username,
        _: &Password,
        _: &str,
    ) -> Result<Option<UserId>> {
        Ok(None)
    }

    /// Finds or creates the user with this phone number, which WeChat has verified. `None` if the
    /// backend refuses.
    async fn user_of_phone(&self, _: &AppId, _: &Phone) -> Result<Option<Named>> {
        Ok(None)
    }

    /// The claims to add to the token of a user with a binding. `None` for a user who may no longer
    /// log in. Called at each login.
    async fn check_login(&self, _: &AppId, _: &UserId) -> Result<Option<ExtraClaims>> {
        Ok(Some(ExtraClaims::default()))
    }

    /// Creates a user without credentials, who can log in only through WeChat. Only an account
    /// service has to learn of the user: it returns the same user for the same idempotency key,
    /// however often that is sent.
    async fn new_user(&self, _: &AppId, _key: &str, now: DateTime<Utc>) -> Result<Named> {
        Ok(Named {
            user: fresh_user(now),
            made: true,
        })
    }
}

/// The `auto` backend: a first login makes a user, and there are no credentials besides WeChat's.
#[derive(Debug, Clone, Copy)]
pub struct Auto;

/// A new user id: a UUIDv7 of `now` (RFC 9562 section 5.7).
pub(crate) fn fresh_user(now: DateTime<Utc>) -> UserId {
    let seconds = now.timestamp().max(0) as u64;
    let uuid = Uuid::new_v7(Timestamp::from_unix(
        NoContext,
        seconds,
        now.timestamp_subsec_nanos(),
    ));
    uuid.to_string()
        .parse()
        .expect("a UUID is 36 visible ASCII characters")
}

impl Accounts for Auto {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_users_id_tells_when_it_was_made_and_no_two_are_the_same() {
        let now = DateTime::from_timestamp_millis(1_800_000_000_123).expect("a time");
        let [one, other] = [fresh_user(now), fresh_user(now)];
        assert!(
            one != other && one.as_str().starts_with("01a3185c-507b-7"),
            "{one}"
        );
    }
}
