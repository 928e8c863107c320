//! The erasure of what is stored of a user's people. `login::operator` puts the steps together.

use std::time::Duration;

use async_trait::async_trait;
use wxmint_ids::{UnionId, UserId};

use super::{Person, Result};

/// How long the numbers of erased bindings stay, so that a command of a login that was under way changes nothing: much
/// longer than any request takes.
pub const NUMBERS_KEPT: Duration = Duration::from_secs(10 * 60);

/// How long the emptied list of a user stays whom nobody can come to again, so that `users forget` finds the people.
pub const EMPTY_LIST_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The number of things that were erased of one person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ErasedPerson {
    /// The record of bindings. Its number stays for [`NUMBERS_KEPT`].
    pub bindings: u64,
    pub session_keys: u64,
    /// Counts of logins, of calls and of failures.
    pub counters: u64,
}

/// Each step may be repeated, and then finds nothing to erase.
#[async_trait(?Send)]
pub trait Erasure {
    /// Everybody whom the user's list names: also people who have left, or were not admitted.
    async fn ever_of(&self, user: &UserId) -> Result<Vec<Person>>;

    /// The users whom the person has left, or who did not take the person: their lists may name the person still. With
    /// each, the unionids that may have been linked to the user because of the person.
    async fn left_by(&self, person: &Person) -> Result<Vec<(UserId, Vec<UnionId>)>>;

    /// Strikes a person off a user's list who is gone from it. The number of the person's last binding stays for
    /// [`NUMBERS_KEPT`], and so does a list that names nobody any more. A block stays.
    async fn strike_off(&self, user: &UserId, person: &Person) -> Result<()>;

    /// Erases what is stored of a person who is bound to nobody, but for those whom [`Self::left_by`] names and who are
    /// not `struck`; and what is counted of the person by these kinds of `LimitKey`. `None` if the person is bound, or
    /// is being bound or freed.
    async fn erase_person(&self, person: &Person, struck: &[&UserId], limits: &[&str]) -> Result<Option<ErasedPerson>>;

    /// The unionids that are linked to the user. Looks at all keys.
    async fn unionids_of(&self, user: &UserId) -> Result<Vec<UnionId>>;

    /// Erases the link of a unionid, if it is linked to this user, and that it may be this user's. Returns whether it
    /// was linked.
    async fn erase_unionid(&self, unionid: &UnionId, user: &UserId) -> Result<bool>;

    /// Lets the user's list expire after [`EMPTY_LIST_KEPT`], unless somebody is admitted or the user is blocked.
    async fn expire_list(&self, user: &UserId) -> Result<()>;
}
