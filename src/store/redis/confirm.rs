//! Replicas confirm a write, so that one that takes over has it.

use std::{
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use super::{access::Confirm, node::Commands, primaries::Kind};

/// A healthy replica confirms within a millisecond.
const CONFIRMED_WITHIN: Duration = Duration::from_millis(400);

/// Longer than one write takes that is not confirmed.
const TRIED_EVERY: Duration = Duration::from_millis(500);

/// Whether it has been said that Redis refuses to wait.
static WARNED: AtomicBool = AtomicBool::new(false);

/// Whether replicas confirm at one server. After a write that was not confirmed, one write at a time tries it, and the others
/// fail at once: on a connection that waits for replicas nothing else is answered.
#[derive(Default)]
pub(super) struct Doubt(Cell<Option<Instant>>);

impl Doubt {
    pub(super) fn exists(&self) -> bool {
        self.0.get().is_some()
    }

    /// Whether a write may be tried now.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.0.get() {
            None => true,
            Some(next_try) if now < next_try => false,
            Some(_) => {
                self.0.set(Some(now + TRIED_EVERY));
                true
            }
        }
    }

    /// The outcome of a write at `now`.
    pub(super) fn note(&self, is_confirmed: bool, now: Instant) {
        self.0.set((!is_confirmed).then_some(now));
    }
}

/// How many replicas are to confirm. `None` where that depends on how many there are.
///
/// Under Sentinel and on a Cluster never none because there are none: a primary that was replaced or is cut off has no
/// replica left, and what it takes is lost.
pub(super) fn wanted(confirm: Confirm, kind: Kind) -> Option<u8> {
    match (confirm, kind) {
        (Confirm::Replicas(count), _) => Some(count),
        (Confirm::Auto, Kind::Single) => None,
        (Confirm::Auto, Kind::Cluster | Kind::Sentinel) => Some(1),
    }
}

/// A write with what makes it certain, in one round trip, or in two where it must be asked first whether there is a replica.
pub(super) fn confirmed(write: Cmd, wanted: Option<u8>) -> Commands {
    let mut first = redis::pipe();
    first.add_command(write);
    match wanted {
        Some(0) => {}
        Some(count) => first = with_wait(first, count),
        None => _ = first.cmd("INFO").arg("replication"),
    }
    Commands { first, then: if wanted.is_none() { wait_for_one } else { |_| None } }
}

/// Redis counts what the same connection sent before, be it a write or not: then the replica also has what another
/// connection wrote earlier.
fn with_wait(mut commands: Pipeline, count: u8) -> Pipeline {
    commands.cmd("WAIT").arg(count).arg(CONFIRMED_WITHIN.as_millis() as u64);
    commands
}

fn wait_for_one(answers: &[Value]) -> Option<Pipeline> {
    let info = answers.get(1).and_then(|info| redis::from_redis_value_ref::<String>(info).ok());
    (info.map_or(0, |info| replicas_online(&info)) > 0).then(|| with_wait(redis::pipe(), 1))
}

/// The number of replicas by `INFO replication` that have the data. One that is still copying confirms nothing.
pub(super) fn replicas_online(info: &str) -> u32 {
    let is_online = |line: &&str| {
        let is_replica =
            line.strip_prefix("slave").is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_digit()));
        is_replica && line.contains("state=online")
    };
    info.lines().filter(is_online).count() as u32
}

/// Whether as many replicas as are wanted have confirmed. `answer` is the one to WAIT; there is none where nothing was asked.
pub(super) fn is_confirmed(answer: Option<&Value>, wanted: Option<u8>, server: &str) -> bool {
    match answer {
        Some(Value::Int(count)) => *count >= wanted.unwrap_or(1).into(),
        Some(Value::ServerError(error)) => {
            warn_once(error.code(), server);
            true
        }
        _ => true,
    }
}

fn warn_once(code: &str, server: &str) {
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            redis = server,
            code,
            "Redis refuses the command WAIT (or INFO), so replicas cannot confirm a binding, a logout or an unbinding \
             before it is answered: a failover may lose the last of them; WXMINT_REDIS_CONFIRM=0 says that this is meant"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replicas_that_are_online_confirm() {
        let info = "role:master\r\nconnected_slaves:3\r\n\
                    slave0:ip=10.0.0.1,port=6379,state=online,offset=14,lag=0\r\n\
                    slave1:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0\r\n\
                    slave_read_repl_offset:14\r\n";
        assert_eq!(replicas_online(info), 1);
    }

    #[test]
    fn after_a_write_that_was_not_confirmed_one_at_a_time_tries() {
        let (doubt, now) = (Doubt::default(), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        let admitted = |millis| doubt.admits(at(millis));
        assert!(admitted(0) && admitted(0));
        doubt.note(false, at(400));
        assert_eq!([400, 401, 899, 900, 901].map(admitted), [true, false, false, true, false]);
        doubt.note(true, at(902));
        assert!(admitted(902) && admitted(902) && !doubt.exists());
    }

    #[test]
    fn how_many_confirm_depends_on_the_setting_and_on_the_kind_of_redis() {
        for (confirm, kind, expected) in [
            (Confirm::Auto, Kind::Single, None),
            (Confirm::Auto, Kind::Cluster, Some(1)),
            (Confirm::Auto, Kind::Sentinel, Some(1)),
            (Confirm::Replicas(0), Kind::Cluster, Some(0)),
            (Confirm::Replicas(2), Kind::Single, Some(2)),
        ] {
            assert_eq!(wanted(confirm, kind), expected, "{confirm:?} {kind:?}");
        }
    }
}
