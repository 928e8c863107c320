//! What went wrong at a server, and what may help against it.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

use super::{super::StoreError, reason::describe, url::Address};

#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Host and port of the server.
    pub(super) server: String,
    pub(super) trouble: Trouble,
    pub(super) reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// MOVED: another primary has the slot.
    Moved(Address),
    /// ASK: the slot is on its way to another primary, which has the key already.
    Asked(Address),
    /// TRYAGAIN: the slot is on its way to another primary, and each of the two has some of the keys.
    Split,
    /// CLUSTERDOWN: the Cluster is without a primary for some slot.
    ClusterDown,
    /// The server answers, but it is not the one to ask, or it does not let wxmint in.
    WrongServer,
    /// The connection broke.
    Lost,
    /// No answer in time.
    Silent,
    /// No connection.
    Unreachable,
    /// Too few replicas have confirmed a write.
    Unconfirmed,
    /// The right server refused this command.
    Refused,
}

/// What to do after a failure.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    GiveUp,
    /// Repeat on a new connection to the same server.
    Reconnect,
    /// Repeat at this server, which has the slot.
    Follow(Address),
    /// Repeat at this server, this once.
    Ask(Address),
    /// Repeat a little later.
    Wait,
    /// Find out again which servers are primaries, and repeat.
    LookAgain,
}

/// Answers of a server to which this connection should not talk any more. A new connection may reach the right server behind
/// the same name, or may be allowed in again.
const WRONG_SERVER: &[&str] =
    &["READONLY", "NOREPLICAS", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS", "NOPERM", "UNBLOCKED"];

/// How often a call follows a slot that is moving. All is over after the deadline of the call anyway.
const FOLLOWED: u32 = 5;

impl Trouble {
    pub(super) fn of(error: &RedisError, asked: &Address) -> Self {
        let to = || redirected(error, asked);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => to().map_or(Self::ClusterDown, Self::Moved),
            ErrorKind::Server(ServerErrorKind::Ask) => to().map_or(Self::ClusterDown, Self::Asked),
            ErrorKind::Server(ServerErrorKind::TryAgain) => Self::Split,
            ErrorKind::Server(ServerErrorKind::ClusterDown) => Self::ClusterDown,
            _ if is_wrong_server(error) => Self::WrongServer,
            _ if error.is_timeout() => Self::Silent,
            _ if error.is_io_error() || error.is_unrecoverable_error() => Self::Lost,
            _ => Self::Refused,
        }
    }

    /// Whether the connection is to be made anew.
    pub(super) fn spoils_connection(&self) -> bool {
        matches!(self, Self::WrongServer | Self::Lost | Self::Silent)
    }

    /// Whether the server itself is at fault, and not this one command.
    pub(super) fn is_outage(&self) -> bool {
        !matches!(self, Self::Refused | Self::Unconfirmed | Self::Split)
    }

    /// Whether the same server may do better at once. One that does not answer will not.
    pub(super) fn may_be_over(&self) -> bool {
        !matches!(self, Self::Silent | Self::Unreachable)
    }

    pub(super) fn is_about_a_slot(&self) -> bool {
        matches!(self, Self::Moved(_) | Self::Asked(_) | Self::Split)
    }

    /// `repeated`: how often the call has been repeated. `is_single`: there is but one server.
    pub(super) fn next(&self, repeated: u32, is_single: bool) -> Next {
        match self {
            Self::Refused | Self::Unconfirmed => Next::GiveUp,
            Self::Moved(_) | Self::Asked(_) if is_single => Next::GiveUp,
            Self::Moved(to) if repeated < FOLLOWED => Next::Follow(to.clone()),
            Self::Asked(to) if repeated < FOLLOWED => Next::Ask(to.clone()),
            Self::Split if repeated < FOLLOWED => Next::Wait,
            _ if repeated > 0 => Next::GiveUp,
            _ if !is_single => Next::LookAgain,
            Self::WrongServer | Self::Lost | Self::ClusterDown => Next::Reconnect,
            _ => Next::GiveUp,
        }
    }
}

impl Failure {
    /// `None` if the answer is good, or an error that concerns its command alone.
    pub(super) fn of(answer: &Value, asked: &Address) -> Option<Self> {
        let Value::ServerError(error) = answer else { return None };
        let failure = Self::from_error(&error.clone().into(), asked);
        (failure.trouble != Trouble::Refused).then_some(failure)
    }

    pub(super) fn from_error(error: &RedisError, asked: &Address) -> Self {
        Self { server: asked.to_string(), trouble: Trouble::of(error, asked), reason: describe(error).reason }
    }

    pub(super) fn described(&self) -> StoreError {
        StoreError { reason: format!("Redis at {}: {}", self.server, self.reason) }
    }
}

/// `MOVED 3999 host:port`; without a host it is the one that was asked.
fn redirected(error: &RedisError, asked: &Address) -> Option<Address> {
    let (text, _) = error.redirect_node()?;
    let (host, port) = text.rsplit_once(':')?;
    let host = if host.is_empty() || host == "?" { &asked.host } else { host };
    Some(Address { host: host.trim_matches(['[', ']']).to_owned(), port: port.parse().ok()? })
}

fn is_wrong_server(error: &RedisError) -> bool {
    // Redis 6 wraps the error of a command within a script.
    let says = |words: &str| error.detail().is_some_and(|detail| detail.contains(words));
    error.kind() == ErrorKind::AuthenticationFailed
        || WRONG_SERVER.iter().any(|&code| error.code() == Some(code) || says(code))
        || says("WAIT cannot be used with replica")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str, port: u16) -> Address {
        Address { host: host.into(), port }
    }

    fn trouble(answer: &str) -> Trouble {
        let Ok(Value::ServerError(error)) = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()) else {
            panic!("{answer} is no error")
        };
        Trouble::of(&error.into(), &address("10.0.0.9", 6379))
    }

    #[test]
    fn an_answer_says_whether_another_server_is_to_be_asked() {
        for (answer, expected) in [
            ("MOVED 3999 10.0.0.1:6381", Trouble::Moved(address("10.0.0.1", 6381))),
            ("MOVED 3999 :6381", Trouble::Moved(address("10.0.0.9", 6381))),
            ("MOVED 3999 2001:db8::1:6381", Trouble::Moved(address("2001:db8::1", 6381))),
            ("ASK 3999 one.example:6381", Trouble::Asked(address("one.example", 6381))),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Trouble::Split),
            ("CLUSTERDOWN The cluster is down", Trouble::ClusterDown),
            ("READONLY You can't write against a read only replica.", Trouble::WrongServer),
            ("ERR Error running script: @user_script: READONLY You can't write", Trouble::WrongServer),
            ("ERR WAIT cannot be used with replica instances.", Trouble::WrongServer),
            ("UNBLOCKED force unblock from blocking operation", Trouble::WrongServer),
            ("LOADING Redis is loading the dataset in memory", Trouble::WrongServer),
            ("NOREPLICAS Not enough good replicas to write.", Trouble::WrongServer),
            ("NOAUTH Authentication required.", Trouble::WrongServer),
            ("NOSCRIPT No matching script.", Trouble::Refused),
            ("OOM command not allowed when used memory > 'maxmemory'.", Trouble::Refused),
            ("ERR unknown command 'WAIT'", Trouble::Refused),
        ] {
            assert_eq!(trouble(answer), expected, "{answer}");
        }
    }

    #[test]
    fn a_call_is_repeated_once_and_follows_a_slot_a_few_times() {
        let other = address("10.0.0.1", 6381);
        for (trouble, repeated, is_single, expected) in [
            (Trouble::Refused, 0, false, Next::GiveUp),
            (Trouble::Lost, 0, true, Next::Reconnect),
            (Trouble::Lost, 1, true, Next::GiveUp),
            (Trouble::Lost, 0, false, Next::LookAgain),
            (Trouble::Lost, 1, false, Next::GiveUp),
            (Trouble::WrongServer, 0, true, Next::Reconnect),
            (Trouble::Silent, 0, true, Next::GiveUp),
            (Trouble::Silent, 0, false, Next::LookAgain),
            (Trouble::Unreachable, 0, true, Next::GiveUp),
            (Trouble::Unreachable, 0, false, Next::LookAgain),
            (Trouble::ClusterDown, 0, false, Next::LookAgain),
            (Trouble::Moved(other.clone()), 0, true, Next::GiveUp),
            (Trouble::Moved(other.clone()), 1, false, Next::Follow(other.clone())),
            (Trouble::Asked(other.clone()), 1, false, Next::Ask(other.clone())),
            (Trouble::Asked(other), FOLLOWED, false, Next::GiveUp),
            (Trouble::Split, 0, false, Next::Wait),
            (Trouble::Split, FOLLOWED, false, Next::GiveUp),
        ] {
            assert_eq!(trouble.next(repeated, is_single), expected, "{trouble:?} {repeated} {is_single}");
        }
    }
}
