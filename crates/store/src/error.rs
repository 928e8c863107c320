//! Why the store gave no answer.

use std::fmt;

use wxmint_ids::packed::Unreadable;
use wxmint_redis_link::{Cause, Reason};

/// Why the store gave no answer. The client did nothing wrong, so answer with 503.
///
/// The texts are for the log. They contain neither the names of keys nor values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Redis cannot be reached, or did not answer in time.
    Unreachable(String),
    /// Redis does not let this process log in: it wants a password (NOAUTH, DENIED), or refuses the
    /// user name or the password (WRONGPASS).
    NotAuthenticated(String),
    /// The user of Redis may not run a command, or may not use a key (NOPERM).
    NotPermitted(String),
    /// The memory of Redis is full, so it refuses writes (OOM).
    OutOfMemory(String),
    /// Redis answered another error, or its answer cannot be read.
    Refused(String),
    /// Redis has made the write, but too few replicas have confirmed it in time. A failover may
    /// lose the write.
    Unconfirmed(String),
    /// A failover has lost an earlier write. The text names what was written.
    LostInFailover(&'static str),
    /// A stored record cannot be read. The text names the kind of record. A retry is useless until
    /// an operator has mended or deleted the record.
    Damaged(&'static str),
    /// The clock of Redis is ahead of the clock of this machine by more than a minute.
    ClockAhead {
        /// How far it is ahead, in seconds.
        seconds: i64,
    },
    /// The clock of Redis is behind the clock of this machine by the life of a token, so a new
    /// token would have expired already.
    ClockBehind,
    /// The servers changed during a scan of all keys, or slots moved, so the scan may have missed
    /// keys.
    ChangedDuringScan,
    /// The processes of this store make user ids in another way than this process, or with another
    /// id key.
    OtherIdKey,
    /// The person has a user id that was computed in another way than this process computes user
    /// ids.
    OtherUserId,
}

impl StoreError {
    /// Whether a retry is useless until an operator has mended or deleted a stored record.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// The text without the words that the store did not answer.
    pub fn reason(&self) -> String {
        match self {
            Self::Unreachable(reason)
            | Self::NotAuthenticated(reason)
            | Self::NotPermitted(reason)
            | Self::OutOfMemory(reason)
            | Self::Refused(reason)
            | Self::Unconfirmed(reason) => reason.clone(),
            Self::LostInFailover(what) => format!("a failover has lost {what}"),
            Self::Damaged(what) => format!("{what} in Redis cannot be read: mend or delete it"),
            Self::ClockAhead { seconds } => format!(
                "the clock of Redis is {seconds} s ahead of the clock of this machine, and a minute is allowed: set both by NTP"
            ),
            Self::ClockBehind => {
                "the clock of Redis is behind by a token's life: set it by NTP".into()
            }
            Self::ChangedDuringScan => {
                "its servers or slots changed meanwhile: run the command again when the Cluster is at rest".into()
            }
            Self::OtherIdKey => {
                "user ids come about in another way or with another id key than the store names: see wxmint doctor".into()
            }
            Self::OtherUserId => {
                "the person has a user id that was computed in another way".into()
            }
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(text, "the store did not answer: {}", self.reason())
    }
}

impl From<Reason> for StoreError {
    fn from(reason: Reason) -> Self {
        let text = reason.to_string();
        match reason.cause {
            Cause::NoAddress
            | Cause::NobodyListens
            | Cause::NoAnswer
            | Cause::NoAnswerByTls
            | Cause::Closed
            | Cause::NoTls
            | Cause::Expired
            | Cause::NoMaster
            | Cause::NoPrimaryNamed
            | Cause::TooManyClients
            | Cause::Other => Self::Unreachable(text),
            Cause::WantsPassword | Cause::WrongPassword | Cause::Protected => {
                Self::NotAuthenticated(text)
            }
            Cause::NotPermitted => Self::NotPermitted(text),
            Cause::MemoryFull => Self::OutOfMemory(text),
            Cause::Unconfirmed => Self::Unconfirmed(text),
            Cause::NoDatabase
            | Cause::NoCluster
            | Cause::IsInCluster
            | Cause::Loading
            | Cause::TooFewReplicas
            | Cause::IsReplica
            | Cause::DiskFails
            | Cause::Refused
            | Cause::UnexpectedAnswer => Self::Refused(text),
        }
    }
}

impl From<Unreadable> for StoreError {
    fn from(Unreadable(what): Unreadable) -> Self {
        Self::Damaged(what)
    }
}

#[cfg(test)]
mod tests {
    use redis::{RedisError, Value};
    use wxmint_redis_link::describe;

    use super::*;

    fn answered(answer: &str) -> StoreError {
        match redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => describe(&RedisError::from(error)).into(),
            other => panic!("{answer} is no error: {other:?}"),
        }
    }

    #[test]
    fn an_error_of_redis_becomes_the_variant_of_its_code() {
        type Variant = fn(String) -> StoreError;
        let cases: [(&str, &str, Variant); 9] = [
            (
                "NOPERM User wxmint has no permissions to access the 'wxmint:user:1' key",
                "it answered NOPERM: the user may not run a command that is needed",
                StoreError::NotPermitted,
            ),
            (
                "ERR The user executing the script can't run this command or subcommand script: 9f4, on @user_script:1.",
                "it answered NOPERM: the user may not run a command that is needed",
                StoreError::NotPermitted,
            ),
            (
                "NOAUTH Authentication required.",
                "it answered NOAUTH: it wants a password",
                StoreError::NotAuthenticated,
            ),
            (
                "WRONGPASS invalid username-password pair or user is disabled.",
                "it answered WRONGPASS: it refuses the user name or the password",
                StoreError::NotAuthenticated,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 9f4, on @user_script:1.",
                "it answered OOM: its memory is full",
                StoreError::OutOfMemory,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: @user_script: 1: -OOM command not allowed",
                "it answered OOM: its memory is full",
                StoreError::OutOfMemory,
            ),
            (
                "MISCONF Redis is configured to save RDB snapshots",
                "it answered MISCONF: it cannot write to its disk",
                StoreError::Refused,
            ),
            (
                "CLUSTERDOWN The cluster is down",
                "it answered CLUSTERDOWN: the Cluster has no primary for some of its slots",
                StoreError::Refused,
            ),
            (
                "ERR unknown command 'wxmint:user:1'",
                "it answered ERR",
                StoreError::Refused,
            ),
        ];
        for (answer, text, variant) in cases {
            assert_eq!(answered(answer), variant(text.into()), "{answer}");
        }
    }

    #[test]
    fn a_retry_is_useless_only_if_a_record_is_damaged() {
        assert!(StoreError::from(Unreadable("a person")).is_lasting());
        assert!(!answered("NOPERM no permissions").is_lasting());
        assert!(!StoreError::Unreachable("mend or delete it".into()).is_lasting());
    }
}
