//! Replicas confirm a write, so that one that takes over has it.

use std::{
    borrow::Cow,
    cell::Cell,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redis::{Cmd, Pipeline, Value};
use tokio::time::Instant;

use super::{
    access::Confirm,
    followers::{Followers, online},
    node::Commands,
    primaries::Kind,
    url::Address,
};

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

/// For calls that no replica confirms.
pub(super) const UNCONFIRMED: Wanted = Wanted::Replicas(0);

/// How many replicas are to confirm a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Replicas(u8),
    /// One, if there is one.
    OneIfThere,
    /// All that follow the primary. See [`super::followers`].
    Followers(u8),
}

/// Under Sentinel and on a Cluster never none because there are none: a primary that was replaced or is cut off has no replica
/// left, and what it takes is lost.
pub(super) fn wanted(confirm: Confirm, kind: Kind, followers: &Followers) -> Wanted {
    match (confirm, kind) {
        (Confirm::Replicas(count), _) => Wanted::Replicas(count),
        (Confirm::Auto, Kind::Single) => Wanted::OneIfThere,
        (Confirm::Auto, Kind::Cluster) => Wanted::Replicas(1),
        (Confirm::Auto, Kind::Sentinel) => Wanted::Followers(followers.wanted(Instant::now())),
    }
}

/// How many replicas must be there, so that a write can be confirmed.
pub(super) fn least(confirm: Confirm, kind: Kind) -> u8 {
    match wanted(confirm, kind, &Followers::default()) {
        Wanted::Replicas(count) | Wanted::Followers(count) => count,
        Wanted::OneIfThere => 0,
    }
}

/// A write with what makes it certain, in one round trip, or in two where it must be asked first whether there is a replica.
pub(super) fn confirmed(write: &Cmd, wanted: Wanted) -> Commands<'_> {
    if wanted == UNCONFIRMED {
        return Commands::One(write);
    }
    let mut commands = redis::pipe();
    commands.add_command(write.clone());
    match wanted {
        Wanted::OneIfThere => {
            commands.cmd("INFO").arg("replication");
            return Commands::Then(commands, wait_for_one);
        }
        Wanted::Replicas(count) => _ = with_wait(&mut commands, count),
        Wanted::Followers(count) => _ = with_wait(&mut commands, count).cmd("INFO").arg("replication"),
    }
    Commands::Several(Cow::Owned(commands))
}

/// Redis counts what the same connection sent before, be it a write or not: then the replica also has what another
/// connection wrote earlier.
fn with_wait(commands: &mut Pipeline, count: u8) -> &mut Pipeline {
    commands.cmd("WAIT").arg(count).arg(CONFIRMED_WITHIN.as_millis() as u64)
}

fn wait_for_one(answers: &[Value]) -> Option<Pipeline> {
    let is_there = answers.get(1).is_some_and(|info| !followers_by(info).is_empty());
    is_there.then(|| with_wait(&mut redis::pipe(), 1).clone())
}

fn followers_by(info: &Value) -> Vec<Address> {
    redis::from_redis_value_ref::<String>(info).map(|info| online(&info)).unwrap_or_default()
}

/// What the answers to [`confirmed`] say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Confirmation {
    Given,
    /// Or Redis refuses to tell.
    NotAsked,
    Missing,
    /// So many replicas have confirmed, and these follow the primary. Others may have followed it before.
    Some(u8, Vec<Address>),
}

pub(super) fn confirmation(answers: &[Value], wanted: Wanted, server: &str) -> Confirmation {
    let (waited, count, info) = match wanted {
        Wanted::Replicas(count) => (answers.get(1), count, None),
        Wanted::OneIfThere => (answers.get(2), 1, answers.get(1)),
        Wanted::Followers(count) => (answers.get(1), count, answers.get(2)),
    };
    for answer in [waited, info].into_iter().flatten() {
        if let Value::ServerError(error) = answer {
            warn_once(error.code(), server);
            return Confirmation::NotAsked;
        }
    }
    match (waited, info) {
        (Some(Value::Int(confirmed)), Some(info)) if *confirmed > 0 && wanted != Wanted::OneIfThere => {
            Confirmation::Some(*confirmed as u8, followers_by(info))
        }
        (Some(Value::Int(confirmed)), _) if *confirmed >= count.into() => Confirmation::Given,
        (Some(_), _) => Confirmation::Missing,
        (None, _) => Confirmation::NotAsked,
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
        let followers = Followers::default();
        followers.add(&["a", "b"].map(|host| Address { host: host.into(), port: 1 }));
        for (confirm, kind, expected, at_least) in [
            (Confirm::Auto, Kind::Single, Wanted::OneIfThere, 0),
            (Confirm::Auto, Kind::Cluster, Wanted::Replicas(1), 1),
            (Confirm::Auto, Kind::Sentinel, Wanted::Followers(2), 1),
            (Confirm::Replicas(0), Kind::Cluster, Wanted::Replicas(0), 0),
            (Confirm::Replicas(2), Kind::Single, Wanted::Replicas(2), 2),
        ] {
            assert_eq!(wanted(confirm, kind, &followers), expected, "{confirm:?} {kind:?}");
            assert_eq!(least(confirm, kind), at_least, "{confirm:?} {kind:?}");
        }
    }

    #[test]
    fn answers_say_whether_a_write_is_confirmed() {
        let done = || Value::SimpleString("OK".into());
        let info = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let one = "slave0:ip=a,port=1,state=online,offset=1,lag=0";
        let refused = || redis::parse_redis_value(b"-ERR unknown command 'WAIT'\r\n").expect("RESP");
        let a = || vec![Address { host: "a".into(), port: 1 }];
        for (answers, wanted, expected) in [
            (vec![], Wanted::Replicas(0), Confirmation::NotAsked),
            (vec![Value::Int(1)], Wanted::Replicas(1), Confirmation::Given),
            (vec![Value::Int(1)], Wanted::Replicas(2), Confirmation::Missing),
            (vec![refused()], Wanted::Replicas(1), Confirmation::NotAsked),
            (vec![info("role:master")], Wanted::OneIfThere, Confirmation::NotAsked),
            (vec![refused()], Wanted::OneIfThere, Confirmation::NotAsked),
            (vec![info(one), Value::Int(1)], Wanted::OneIfThere, Confirmation::Given),
            (vec![info(one), Value::Int(0)], Wanted::OneIfThere, Confirmation::Missing),
            (vec![Value::Int(2), info(one)], Wanted::Followers(2), Confirmation::Some(2, a())),
            (vec![Value::Int(1), info(one)], Wanted::Followers(2), Confirmation::Some(1, a())),
            (vec![Value::Int(0), info(one)], Wanted::Followers(2), Confirmation::Missing),
        ] {
            let answers: Vec<_> = [done()].into_iter().chain(answers).collect();
            assert_eq!(confirmation(&answers, wanted, "a:1"), expected, "{answers:?} {wanted:?}");
        }
    }
}
