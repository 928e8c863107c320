//! Why the store gave no answer.

use wxmint_ids::packed::Unreadable;
use wxmint_redis_link::{Cause, Reason};

/// Why the store gave no answer. The client did nothing wrong, so answer with 503.
///
/// The texts are for the log. They contain neither the names of keys nor values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Redis cannot be reached, or did not answer in time.
    #[error("the store did not answer: {0}")]
    Unreachable(String),
    /// Redis does not let this process log in: it wants a password (NOAUTH, DENIED), or refuses the
    /// user name or the password (WRONGPASS).
    #[error("the store refused the login: {0}")]
    NotAuthenticated(String),
    /// The user of Redis may not run a command, or may not use a key (NOPERM).
    #[error("the store refused the command: {0}")]
    NotPermitted(String),
    /// The memory of Redis is full, so it refuses writes (OOM).
    #[error("the store refused the write: {0}")]
    OutOfMemory(String),
    /// Redis answered another error, or its answer cannot be read.
    #[error("the store answered an error: {0}")]
    Refused(String),
    /// Redis has made the write, but too few replicas have confirmed it in time. A failover may
    /// lose the write.
    #[error("the store did not confirm the write: {0}")]
    Unconfirmed(String),
    /// A failover has lost an earlier write. The text names what was written.
    #[error("a failover of Redis has lost {0}")]
    LostInFailover(&'static str),
    /// A stored record cannot be read. The text names the kind of record. A retry is useless until
    /// an operator has mended or deleted the record.
    #[error("{0} in Redis cannot be read: mend or delete it")]
    Damaged(&'static str),
    /// The clock of Redis is ahead of the clock of this machine by more than a minute.
    #[error(
        "the clock of Redis is {seconds} s ahead of the clock of this machine, and a minute is allowed: set both by NTP"
    )]
    ClockAhead {
        /// How far it is ahead, in seconds.
        seconds: i64,
    },
    /// The clock of Redis is behind the clock of this machine by the life of a token, so a new
    /// token would have expired already.
    #[error("the clock of Redis is behind by a token's life: set it by NTP")]
    ClockBehind,
    /// The servers changed during a scan of all keys, or slots moved, so the scan may have missed
    /// keys.
    #[error(
        "the servers or slots of Redis changed meanwhile: run the command again when the Cluster is at rest"
    )]
    ChangedDuringScan,
    /// The processes of this store make user ids in another way than this process, or with another
    /// id key.
    #[error(
        "user ids come about in another way or with another id key than the store names: see wxmint doctor"
    )]
    OtherIdKey,
    /// The person has a user id that was computed in another way than this process computes user
    /// ids.
    #[error("the person has a user id that was computed in another way")]
    OtherUserId,
}

impl StoreError {
    /// Whether a retry is useless until an operator has mended or deleted a stored record.
    pub fn is_lasting(&self) -> bool {
        matches!(self, Self::Damaged(_))
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
    fn only_a_store_that_cannot_be_reached_is_said_not_to_answer() {
        let told = |error: StoreError| error.to_string();
        let full = answered("OOM command not allowed when used memory > 'maxmemory'.");
        assert_eq!(
            told(full),
            "the store refused the write: it answered OOM: its memory is full"
        );
        assert_eq!(
            told(StoreError::Unreachable("nobody listens".into())),
            "the store did not answer: nobody listens"
        );
        assert_eq!(
            told(StoreError::Damaged("a person")),
            "a person in Redis cannot be read: mend or delete it"
        );
        let ahead = told(StoreError::ClockAhead { seconds: 61 });
        assert!(
            ahead.starts_with("the clock of Redis is 61 s ahead"),
            "{ahead}"
        );
    }

    #[test]
    fn a_retry_is_useless_only_if_a_record_is_damaged() {
        assert!(StoreError::from(Unreadable("a person")).is_lasting());
        assert!(!answered("NOPERM no permissions").is_lasting());
        assert!(!StoreError::Unreachable("mend or delete it".into()).is_lasting());
    }
}
