//! What went wrong, in words. The server's own words may quote a command's arguments, so they are not repeated. The system's
//! words quote none.

use redis::{ErrorKind, RedisConnectionInfo, RedisError, ServerErrorKind};

use super::super::StoreError;

pub(super) fn describe(error: &RedisError) -> StoreError {
    let reason = match error.code() {
        Some(code) => format!("it answered {code}{}", meaning(code)),
        None if error.is_timeout() => "no answer in time".into(),
        None if error.is_io_error() => error.to_string(),
        None => error.category().to_owned(),
    };
    StoreError { reason }
}

/// Why the server did not let wxmint in. Its words may be repeated where it refuses the database: what they could quote is the
/// database's number.
pub(super) fn not_let_in(who: &RedisConnectionInfo, error: &RedisError) -> StoreError {
    let reason = match (error.kind(), error.detail()) {
        (ErrorKind::AuthenticationFailed, _) => "it refuses the user name or the password".into(),
        (ErrorKind::Server(ServerErrorKind::ResponseError), Some(words)) if who.db() != 0 => {
            format!("it refuses database {}: {words}", who.db())
        }
        _ => return describe(error),
    };
    StoreError { reason }
}

fn meaning(code: &str) -> &'static str {
    match code {
        "NOAUTH" => ": it wants a password",
        "WRONGPASS" => ": it refuses the user name or the password",
        "NOPERM" => ": the user may not run a command that wxmint needs",
        "READONLY" => ": it is a replica, or takes no writes",
        "NOREPLICAS" => ": it takes no writes, because too few replicas are connected (min-replicas-to-write)",
        "MASTERDOWN" => ": it is a replica without its primary",
        "CLUSTERDOWN" => ": the Cluster has no primary for some of its slots",
        "MOVED" | "ASK" => ": it is one server of a Cluster: write redis+cluster:// instead of redis://",
        "TRYAGAIN" => ": the slot of these keys is moving to another primary",
        "LOADING" => ": it is still reading its data from disk",
        "OOM" => ": its memory is full",
        "MISCONF" => ": it cannot write to its disk",
        _ => "",
    }
}
