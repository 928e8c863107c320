//! What a command decides about a set of keys.

use super::Failure;
use crate::keys::{KeySet, StoredKeys};

pub(super) enum Change<T> {
    /// The set was changed and must be written.
    Write(T),
    /// Nothing was changed.
    Keep(T),
}

/// Only a set that could be used is written.
pub(super) fn checked(keys: &StoredKeys) -> Result<KeySet, Failure> {
    let set = keys.check()?;
    set.self_test()?;
    Ok(set)
}
