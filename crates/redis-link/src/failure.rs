//! Why Redis cannot be reached or did not execute a call, and what the operator can do.

use std::{fmt, rc::Rc};

use redis::{ErrorKind, RedisConnectionInfo, RedisError, ServerErrorKind, Value};

use super::url::Address;

/// Why Redis did not execute a call, as a text for the log, without keys and values, and as a
/// [`Cause`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found}{}", .cure.iter().map(|cure| format!("; {cure}")).collect::<String>())]
pub struct Reason {
    /// The text for the log.
    pub found: String,
    /// The advice, if it depends on this case.
    pub cure: Option<String>,
    /// The cause, by which a program chooses its own advice.
    pub cause: Cause,
}

/// The cause of a failure, as far as the server's answer or the system's error tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The host name has no address.
    NoAddress,
    /// The connection was refused: no process listens on the port.
    NobodyListens,
    /// No answer in time.
    NoAnswer,
    /// No answer in time to a TLS handshake: the port may not have TLS.
    NoAnswerByTls,
    /// The connection was closed during the login without TLS: the port may require TLS.
    Closed,
    /// The server does not speak TLS on this port.
    NoTls,
    /// The server's certificate has expired.
    Expired,
    /// The server requires a password, and none is set.
    WantsPassword,
    /// The server refuses the user name or the password.
    WrongPassword,
    /// The server refuses the number of the database.
    NoDatabase,
    /// The Sentinels do not watch a master with this name.
    NoMaster,
    /// The Sentinels name no server that is a primary.
    NoPrimaryNamed,
    /// The URL names a Cluster, but the server is not part of one.
    NoCluster,
    /// The URL names a single server, but it answered MOVED or ASK, so it is part of a Cluster.
    IsInCluster,
    /// The server is still loading its data from disk.
    Loading,
    /// The server accepts no writes, because too few replicas are connected.
    TooFewReplicas,
    /// The server is a replica, or accepts no writes.
    IsReplica,
    /// The server's memory is full.
    MemoryFull,
    /// The server cannot write to its disk.
    DiskFails,
    /// The server has as many clients as it allows.
    TooManyClients,
    /// The server accepts no clients from other machines without a password (protected-mode).
    Protected,
    /// The server's user may not run a command, or may not use a key.
    NotPermitted,
    /// The server answered another error; the text has its code.
    Refused,
    /// The server's answer is no error, but it is not of the expected type.
    UnexpectedAnswer,
    /// The server has made the write, but too few replicas have confirmed it in time.
    Unconfirmed,
    /// Any other cause; see the text.
    Other,
}

pub(crate) type Result<T, E = Reason> = std::result::Result<T, E>;

/// A failed call: the server, the kind of problem, which decides how to proceed, and the reason.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) server: String,
    pub(crate) problem: Problem,
    pub(crate) reason: Reason,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Problem {
    /// MOVED: another primary has the slot.
    Moved(Address),
    /// ASK: the slot is moving to another primary, which already has the key. Has the answers to
    /// all commands.
    Asked(Address, Rc<Vec<Value>>),
    /// TRYAGAIN: the slot is moving to another primary, and each of the two has some of the keys.
    Split,
    /// The connection broke, or this server cannot serve the call (any longer), or refuses the
    /// login. A new connection may reach another server behind the same name, or the login may
    /// succeed again.
    BadConnection,
    /// There is no connection, or no answer came in time.
    Silent,
    /// Only this call has failed; the server is available.
    Refused,
}

/// The error codes of a server that cannot serve calls (any longer).
const WRONG_SERVER: &[&str] = &[
    "READONLY",
    "NOREPLICAS",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "NOAUTH",
    "WRONGPASS",
    "UNBLOCKED",
];

impl Problem {
    fn of(error: &RedisError, asked: &Address) -> Self {
        match (error.kind(), redirected(error, asked)) {
            (ErrorKind::Server(ServerErrorKind::Moved), Some(to)) => Self::Moved(to),
            (ErrorKind::Server(ServerErrorKind::Ask), Some(to)) => Self::Asked(to, Rc::default()),
            (ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask), None) => {
                Self::BadConnection
            }
            (ErrorKind::Server(ServerErrorKind::TryAgain), _) => Self::Split,
            _ if is_wrong_server(error)
                || error.is_io_error()
                || error.is_unrecoverable_error() =>
            {
                Self::BadConnection
            }
            _ => Self::Refused,
        }
    }
}

impl Cause {
    pub(crate) fn because(self, found: impl Into<String>) -> Reason {
        Reason {
            found: found.into(),
            cure: None,
            cause: self,
        }
    }
}

impl Reason {
    pub(crate) fn with_cure(self, cure: impl Into<String>) -> Self {
        Self {
            cure: Some(cure.into()),
            ..self
        }
    }

    /// The same reason, with `words` before its text.
    pub fn after(self, words: fmt::Arguments<'_>) -> Self {
        Self {
            found: format!("{words}{}", self.found),
            ..self
        }
    }
}

impl<T: Into<String>> From<T> for Reason {
    fn from(found: T) -> Self {
        Cause::Other.because(found)
    }
}

impl From<Failure> for Reason {
    fn from(Failure { server, reason, .. }: Failure) -> Self {
        reason.after(format_args!("Redis at {server}: "))
    }
}

impl Failure {
    pub(crate) fn from_error(error: &RedisError, asked: &Address) -> Self {
        Self {
            server: asked.to_string(),
            problem: Problem::of(error, asked),
            reason: describe(error),
        }
    }
}

/// Reads the address in `MOVED 3999 host:port`. Without a host, it is the host that was asked.
fn redirected(error: &RedisError, asked: &Address) -> Option<Address> {
    let (text, _) = error.redirect_node()?;
    let (host, port) = text.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" {
        &asked.host
    } else {
        host
    };
    Some(Address {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: port.parse().ok()?,
    })
}

fn says(error: &RedisError, words: &str) -> bool {
    error.detail().is_some_and(|detail| detail.contains(words))
}

fn is_wrong_server(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || code(error).is_some_and(|code| WRONG_SERVER.contains(&code))
        || says(error, "WAIT cannot be used with replica")
}

/// The error as a text for the log. The server's message is not quoted, because it may contain a
/// command's arguments. The system's messages contain none.
pub fn describe(error: &RedisError) -> Reason {
    match code(error) {
        Some(code) => {
            let (cause, meaning) = meaning(code);
            let reason = cause.because(format!("it answered {code}{meaning}"));
            // `… has no permissions to run the 'scan' command`
            let lacks = error
                .detail()
                .and_then(|words| words.split_once(" to run the '")?.1.split_once('\''));
            let Some((command, _)) = lacks else {
                return reason;
            };
            // A walk over all keys needs the rights to both.
            let right = if matches!(command, "scan" | "dbsize") {
                "scan +dbsize"
            } else {
                command
            };
            reason.with_cure(format!("run: ACL SETUSER NAME +{right}"))
        }
        None if error.is_io_error() => error.to_string().into(),
        None => Cause::UnexpectedAnswer.because(error.category()),
    }
}

/// The code of the server's error, which is the first word of its answer. If a command within a
/// script has failed, it is the code of the command's error.
fn code(error: &RedisError) -> Option<&str> {
    let answered = error.code()?;
    // If the user may not run one of a script's commands, or may not use one of its keys, Redis
    // reports an error of the script.
    let lacks_right =
        says(error, "ACL failure in script") || says(error, "user executing the script can't ");
    if lacks_right {
        return Some("NOPERM");
    }
    let within_script = error.detail().and_then(code_within_script);
    Some(within_script.unwrap_or(answered))
}

/// The code of a command's error in the words with which Redis 6 reports a script that the error
/// ends: `Error running script (call to f_SHA1): @user_script:LINE: @user_script: LINE: -CODE …`.
/// Redis 7 answers with the command's error itself.
fn code_within_script(words: &str) -> Option<&str> {
    let words = words.strip_prefix("Error running script (call to f_")?;
    let (_sha1, words) = words.split_once("): @user_script:")?;
    let (_line, words) = words.split_once(": @user_script: ")?;
    let (_line, words) = words.split_once(": -")?;
    let (code, _) = words.split_once(' ')?;
    let is_code = code.bytes().all(|letter| letter.is_ascii_uppercase());
    is_code.then_some(code)
}

/// Why the server refuses the login. If it refuses the database, its message may be quoted, because
/// it can contain only the database's number.
pub(crate) fn not_let_in(login: &RedisConnectionInfo, error: &RedisError) -> Reason {
    match (error.kind(), error.detail()) {
        (ErrorKind::AuthenticationFailed, _) => {
            Cause::WrongPassword.because("it refuses the user name or the password")
        }
        (ErrorKind::Server(ServerErrorKind::ResponseError), Some(words)) if login.db() != 0 => {
            Cause::NoDatabase.because(format!("it refuses database {}: {words}", login.db()))
        }
        _ => describe(error),
    }
}

/// The cause of an error with this code, and what the code means.
fn meaning(code: &str) -> (Cause, &'static str) {
    match code {
        "NOAUTH" => (Cause::WantsPassword, ": it wants a password"),
        "WRONGPASS" => (
            Cause::WrongPassword,
            ": it refuses the user name or the password",
        ),
        "NOPERM" => (
            Cause::NotPermitted,
            ": the user may not run a command that is needed",
        ),
        "READONLY" => (Cause::IsReplica, ": it is a replica, or takes no writes"),
        "NOREPLICAS" => {
            let few = ": it takes no writes, because too few replicas are connected (min-replicas-to-write)";
            (Cause::TooFewReplicas, few)
        }
        "MASTERDOWN" => (Cause::Refused, ": it is a replica without its primary"),
        "CLUSTERDOWN" => (
            Cause::Refused,
            ": the Cluster has no primary for some of its slots",
        ),
        "MOVED" | "ASK" => (
            Cause::IsInCluster,
            ": it is one server of a Cluster: write redis+cluster:// instead of redis://",
        ),
        "TRYAGAIN" => (
            Cause::Refused,
            ": the slot of these keys is moving to another primary",
        ),
        "LOADING" => (Cause::Loading, ": it is still reading its data from disk"),
        "OOM" => (Cause::MemoryFull, ": its memory is full"),
        "MISCONF" => (Cause::DiskFails, ": it cannot write to its disk"),
        _ => (Cause::Refused, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address {
            host: host.into(),
            port,
        }
    }

    fn error(answer: &str) -> RedisError {
        match redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()) {
            Ok(Value::ServerError(error)) => error.into(),
            other => panic!("{answer} is no error: {other:?}"),
        }
    }

    #[test]
    fn a_right_that_the_user_lacks_is_named_and_nothing_else_of_the_servers_words() {
        let told = |answer: &str| describe(&error(answer)).to_string();
        let lacks = told("NOPERM User wxmint has no permissions to run the 'config|get' command");
        assert!(
            lacks.ends_with("; run: ACL SETUSER NAME +config|get"),
            "{lacks}"
        );
        assert_eq!(
            lacks,
            told(
                "NOPERM this user has no permissions to run the 'config|get' command or its subcommand"
            )
        );
        let unnamed = [
            "NOPERM User wxmint has no permissions to access the 'wxmint:user:1' key",
            "ERR The user executing the script can't run this command or subcommand script: 9f4, on @user_script:1.",
            "ERR ACL failure in script: User wxmint has no permissions to access the 'wxmint:user:1' key script: 9f4",
        ];
        for answer in unnamed {
            assert_eq!(
                told(answer),
                "it answered NOPERM: the user may not run a command that is needed",
                "{answer}"
            );
        }
    }

    #[test]
    fn an_error_within_a_script_has_the_cause_of_the_command_that_failed() {
        for (answer, cause) in [
            (
                "ERR Error running script (call to f_9f4): @user_script:1: @user_script: 1: -OOM command not allowed",
                Cause::MemoryFull,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'. script: 9f4, on @user_script:1.",
                Cause::MemoryFull,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:2: @user_script: 2: -READONLY You can't write against a read only replica.",
                Cause::IsReplica,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: @user_script: 1: -MISCONF Redis is configured to save RDB snapshots",
                Cause::DiskFails,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: @user_script: 1: The user executing the script can't access at least one of the keys mentioned in the command arguments",
                Cause::NotPermitted,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: user_script:1: a text with OOM and READONLY",
                Cause::Refused,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: WRONGTYPE Operation against a key named LOADING",
                Cause::Refused,
            ),
            (
                "ERR ACL failure in script: User wxmint has no permissions to run the 'get' command",
                Cause::NotPermitted,
            ),
            ("ERR unknown command 'OOM'", Cause::Refused),
        ] {
            assert_eq!(describe(&error(answer)).cause, cause, "{answer}");
        }
    }

    #[test]
    fn an_answer_says_whether_another_server_is_to_be_asked() {
        for (answer, expected) in [
            (
                "MOVED 3999 10.0.0.1:6381",
                Problem::Moved(address("10.0.0.1", 6381)),
            ),
            (
                "MOVED 3999 :6381",
                Problem::Moved(address("10.0.0.9", 6381)),
            ),
            (
                "MOVED 3999 2001:db8::1:6381",
                Problem::Moved(address("2001:db8::1", 6381)),
            ),
            (
                "ASK 3999 one.example:6381",
                Problem::Asked(address("one.example", 6381), Rc::default()),
            ),
            (
                "TRYAGAIN Multiple keys request during rehashing of slot",
                Problem::Split,
            ),
            ("CLUSTERDOWN The cluster is down", Problem::BadConnection),
            (
                "READONLY You can't write against a read only replica.",
                Problem::BadConnection,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.",
                Problem::BadConnection,
            ),
            (
                "ERR Error running script (call to f_9f4): @user_script:1: WRONGTYPE Operation against a key named LOADING",
                Problem::Refused,
            ),
            (
                "ERR WAIT cannot be used with replica instances.",
                Problem::BadConnection,
            ),
            (
                "UNBLOCKED force unblock from blocking operation",
                Problem::BadConnection,
            ),
            (
                "LOADING Redis is loading the dataset in memory",
                Problem::BadConnection,
            ),
            (
                "NOREPLICAS Not enough good replicas to write.",
                Problem::BadConnection,
            ),
            ("NOAUTH Authentication required.", Problem::BadConnection),
            ("NOSCRIPT No matching script.", Problem::Refused),
            (
                "NOPERM this user has no permissions to run the 'wait' command",
                Problem::Refused,
            ),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                Problem::Refused,
            ),
            ("ERR unknown command 'WAIT'", Problem::Refused),
        ] {
            assert_eq!(
                Problem::of(&error(answer), &address("10.0.0.9", 6379)),
                expected,
                "{answer}"
            );
        }
    }
}
