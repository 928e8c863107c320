//! The scripts share this. It also has the answer where Redis holds what this version did not write.

use std::sync::LazyLock;

use wxmint_redis_link::{Call, Script};

use crate::StoreError;

/// A script with the shared functions in front of it.
macro_rules! script {
    ($($name:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $name, ".lua"))),+)))
    };
}
pub(super) use script;

static REPLACE: LazyLock<Script> = script!("replace");

/// Gives a key another value for good, unless it holds one that is not `expected`; no `new` value deletes it. Answers
/// the value before.
pub(super) fn replace(key: &str, expected: &[u8], new: &[u8]) -> Call {
    REPLACE.on(&[key]).arg(expected).arg(new)
}

/// A boolean, as the scripts take it.
pub(super) fn flag(value: bool) -> &'static str {
    if value { "1" } else { "" }
}

/// A value that this version did not write.
pub(super) fn unreadable(what: &'static str) -> StoreError {
    StoreError { reason: format!("{what} in Redis cannot be read: mend or delete it") }
}
