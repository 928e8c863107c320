//! The Lua scripts, and the error for a value in Redis that this version did not write.

use std::sync::LazyLock;

use wxmint_redis_link::{Call, Script};

/// Declares each script with the files that it is joined from. Files with shared functions come
/// first.
macro_rules! scripts {
    ($($name:ident = $($part:literal)+;)+) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $part, ".lua"))),+)));)+
    };
}

scripts! {
    LEND = "lend_access_token";
    END_LEASE = "end_lease";
    CHANGE_BINDING = "session" "change_binding";
    ADMIT = "admit";
    UNLIST_AND_REVOKE = "revocations" "unlist_and_revoke";
    LINK_UNIONID = "session" "link_unionid";
    NOTE_CLIENT = "note_client";
    FORGET_CLIENT = "forget_client";
    NOTE_LIFE = "note_life";
    KEEP_RECORDS = "keep_records";
    NOTE_NOT_REVOKED = "note_not_revoked";
    CHANGE_REVOCATIONS = "revocations" "change_revocations";
    REVOKE_EARLIER = "revocations" "revoke_earlier";
    ERASE_PERSON = "session" "erase_person";
    CHANGE_LIST = "change_list";
    UNCOUNT = "uncount";
    RECORD_LOGIN = "silent_login" "session" "record_login";
    REPLACE = "replace";
    REPLACE_KEPT = "replace_kept";
    TRY = "session" "try";
    CHANGE_SESSION = "session" "change_session";
    PUBLISH_REVOCATION = "revocations" "publish_revocation";
    TICKET = "ticket";
}

/// Sets a key to `new`, without expiry, unless it has another value than `expected`. An empty `new`
/// deletes the key. Answers the previous value.
pub(super) fn replace(key: &str, expected: &[u8], new: &[u8]) -> Call {
    REPLACE.on(&[key]).arg(expected).arg(new)
}

/// A boolean as an argument of a script.
pub(super) fn flag(value: bool) -> &'static str {
    if value { "1" } else { "" }
}
