//! The `file:PATH` backend: each line has a user name, an Argon2id hash, a user id, and perhaps
//! claims.
//!
//! ```text
//! # staff
//! alice  $argon2id$v=19$m=19456,t=2,p=1$c2FsdA…$aGFzaA…  0193f5b2-9c5e-7cc0-8000-000000000000
//! bob  !$argon2id$v=19$m=19456,t=2,p=1$c2FsdA…$aGFzaA…  u-1002  roles=admin,editor;tenant=north
//! ```
//!
//! Tabs or spaces separate the fields. `!` before the hash disables the user. Unknown names, wrong
//! passwords and disabled users get the same response, after one hash. A user with a binding logs
//! in without a password, if the file has the user enabled.

mod claims_column;
mod hash;
mod hashing;
mod lines;
mod users;

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use wxmint_ids::{AppId, UserId};
use wxmint_keys::token::ExtraClaims;

pub use self::claims_column::ClaimsColumn;
pub use self::hash::StoredHash;
pub use self::lines::{User, UsersFile};
use self::{hashing::Hashing, users::Users};
use super::{Accepts, Accounts, Password, Result, Username};

/// The users of a file. One value serves all workers of a process; clones share it.
#[derive(Clone)]
pub struct FileAccounts {
    users: Arc<ArcSwap<Users>>,
    hashing: Arc<Hashing>,
    /// Whether users who are not in the file may log in, because wxmint creates such users, without
    /// a password (`WXMINT_AUTO_PROVISION`).
    admits_strangers: bool,
}

impl FileAccounts {
    /// The users of `file`. Half as many passwords as there are `cores` are hashed at once, and at
    /// most four.
    pub fn new(file: &UsersFile, cores: usize, admits_strangers: bool) -> Self {
        let users = Arc::new(ArcSwap::from_pointee(Users::of(file)));
        Self {
            users,
            hashing: Arc::new(Hashing::on(cores)),
            admits_strangers,
        }
    }

    /// Replaces the users in use, after the file has changed.
    pub fn swap(&self, file: &UsersFile) {
        self.users.store(Arc::new(Users::of(file)));
    }

    /// The number of user names.
    pub fn count(&self) -> usize {
        self.users.load().by_name.len()
    }
}

#[async_trait(?Send)]
impl Accounts for FileAccounts {
    fn accepts(&self) -> Accepts {
        Accepts::Passwords
    }

    async fn check_password(
        &self,
        _: &AppId,
        name: &Username,
        password: &Password,
        address: &str,
    ) -> Result<Option<UserId>> {
        let (user, counts) = self.users.load().candidate(name);
        let matches = self
            .hashing
            .check(Arc::clone(&user), password, address)
            .await?;
        Ok((matches & counts).then(|| user.id.clone()))
    }

    async fn check_login(&self, _: &AppId, user: &UserId) -> Result<Option<ExtraClaims>> {
        if let Some(admission) = self.users.load().admissions.get(user) {
            return Ok(admission.clone());
        }
        Ok(self.admits_strangers.then(ExtraClaims::default))
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s";

    fn app() -> AppId {
        "wx0123456789abcdef".parse().expect("an AppID")
    }

    fn file(content: &str) -> UsersFile {
        UsersFile::parse(content.as_bytes()).expect("a users file")
    }

    fn accounts() -> FileAccounts {
        FileAccounts::new(
            &file(&format!("alice {HASH} u-1\nbob !{HASH} u-2\n")),
            1,
            false,
        )
    }

    async fn check(accounts: &FileAccounts, name: &str, password: &str) -> Option<String> {
        let (name, password) = (
            name.parse().expect("a name"),
            password.parse().expect("a password"),
        );
        let user = accounts
            .check_password(&app(), &name, &password, "192.0.2.1")
            .await
            .expect("an answer");
        user.map(|user| user.as_str().to_owned())
    }

    #[tokio::test]
    async fn only_the_right_password_returns_the_user() {
        let accounts = accounts();
        assert_eq!(
            check(&accounts, "alice", "hunter2").await.as_deref(),
            Some("u-1")
        );
        for (name, password) in [
            ("alice", "hunter3"),
            ("bob", "hunter2"),
            ("carol", "hunter2"),
        ] {
            assert_eq!(
                check(&accounts, name, password).await,
                None,
                "{name} {password}"
            );
        }
        assert_eq!(
            check(&accounts, &"n".repeat(512), &"p".repeat(1024)).await,
            None
        );
    }

    #[tokio::test]
    async fn a_changed_file_is_in_use() {
        let accounts = accounts();
        accounts.swap(&file(&format!(
            "alice !{HASH} u-1\nbob {HASH} u-2\ncarol {HASH} u-3\n"
        )));
        assert_eq!(accounts.count(), 3);
        assert_eq!(check(&accounts, "alice", "hunter2").await, None, "disabled");
        assert_eq!(
            check(&accounts, "bob", "hunter2").await.as_deref(),
            Some("u-2")
        );
    }

    #[tokio::test]
    async fn a_user_who_is_gone_or_disabled_under_all_names_is_not_admitted() {
        let file = file(&format!(
            "alice !{HASH} u-1\nalice2 {HASH} u-1\nalice3 !{HASH} u-1\nbob !{HASH} u-2\nbob2 !{HASH} u-2\n"
        ));
        let (accounts, provisioning) = (
            FileAccounts::new(&file, 1, false),
            FileAccounts::new(&file, 1, true),
        );
        for (user, admitted, where_users_are_made) in [
            ("u-1", true, true),
            ("u-2", false, false),
            ("u-3", false, true),
        ] {
            let user = user.parse().expect("a user id");
            let expected = |admitted| if admitted { admission("") } else { None };
            assert_eq!(
                accounts.check_login(&app(), &user).await,
                Ok(expected(admitted)),
                "{user}"
            );
            assert_eq!(
                provisioning.check_login(&app(), &user).await,
                Ok(expected(where_users_are_made)),
                "{user}"
            );
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with answers that may be `None`"
    )]
    fn admission(claims: &str) -> Option<ExtraClaims> {
        Some(claims.parse::<ClaimsColumn>().expect("claims").claims)
    }

    #[tokio::test]
    async fn a_user_is_admitted_with_the_claims_of_the_file_as_it_is_now() {
        let (accounts, user) = (accounts(), "u-1".parse().expect("a user id"));
        accounts.swap(&file(&format!(
            "alice !{HASH} u-1 roles=a\nalice2 {HASH} u-1 roles=a\n"
        )));
        assert_eq!(
            accounts.check_login(&app(), &user).await,
            Ok(admission("roles=a"))
        );
        accounts.swap(&file(&format!("alice {HASH} u-1 roles=b;tenant=x\n")));
        assert_eq!(
            accounts.check_login(&app(), &user).await,
            Ok(admission("roles=b;tenant=x"))
        );
    }

    #[tokio::test]
    async fn a_new_user_has_a_new_id() {
        let accounts = accounts();
        let named = accounts
            .new_user(&app(), "k", DateTime::UNIX_EPOCH)
            .await
            .expect("a user");
        assert!(named.made && named.user.as_str().len() == 36);
        assert_eq!(accounts.accepts(), Accepts::Passwords);
    }
}
