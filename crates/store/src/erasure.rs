//! The erasure of what is stored of a user's people. `login::operator` puts the steps together.

use std::time::Duration;

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
