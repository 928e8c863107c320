//! What the primaries say of themselves, for metrics and readiness.

use std::rc::Rc;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::{
    super::{Result, StoreError},
    Redis,
    access::Confirm,
    clocks::FAR,
    link::Link,
    replication::Replication,
    server::Server,
    slot::CLUSTER_SLOTS,
};
use crate::{findings::Finding, telemetry::RedisState};

/// In seconds; more than the way to Redis and back takes.
const CLOCKS_APART: f64 = 1.0;

impl Redis {
    /// Looks up the primaries and asks each of them, at the same time and within the deadline of a call.
    pub async fn status(&self) -> Result<RedisState> {
        let known = self.link.primaries();
        known.search().await.map_err(|reason| StoreError { reason })?;
        let (found, asked, now) = (known.all(), Instant::now(), (self.clock)());
        let answers = join_all(found.iter().map(|(_, server)| ask(&self.link, server, asked))).await;
        let (mut primaries, mut slots, mut times) = (Vec::new(), 0, Vec::new());
        for ((primary, _), answer) in found.iter().zip(answers) {
            let Ok((replicas, time)) = answer else { continue };
            slots += primary.slots.iter().map(ExactSizeIterator::len).sum::<usize>();
            times.push(time);
            primaries.push((primary.address.to_string(), replicas));
        }
        let confirm = self.access.confirm();
        Ok(RedisState {
            primaries,
            slots: known.is_cluster().then_some(slots),
            wanted: match confirm {
                Confirm::Auto => u32::from(!known.is_single()),
                Confirm::Replicas(count) => count.into(),
            },
            are_required: confirm != Confirm::Auto,
            clock_difference: spread(&times),
            own_clock_ahead: own_clock_ahead(now.timestamp_micros() as f64 / 1e6, &times),
        })
    }
}

/// How many replicas of a primary are online, and the time by its clock when all were asked, in seconds since 1970.
async fn ask(link: &Link, server: &Rc<Server>, asked: Instant) -> Result<(u32, f64)> {
    let mut commands = redis::pipe();
    commands.cmd("INFO").arg("replication").cmd("TIME");
    let sent = asked.elapsed();
    let (info, (second, micros)): (String, (u64, u64)) = link.query_at("status", server, &commands).await?;
    // Half of the way is taken for the way there.
    let since = (sent + asked.elapsed()).as_secs_f64() / 2.0;
    let replicas = Replication::parse(&info).map_or(0, |said| said.online().count() as u32);
    Ok((replicas, second as f64 + micros as f64 / 1e6 - since))
}

/// Between the slowest clock and the fastest.
fn spread(times: &[f64]) -> Option<f64> {
    Some(times.iter().copied().reduce(f64::max)? - times.iter().copied().reduce(f64::min)?)
}

/// By how much `now` is ahead of the clock that is farthest from it.
fn own_clock_ahead(now: f64, times: &[f64]) -> Option<f64> {
    times.iter().map(|time| now - time).max_by(|one, other| one.abs().total_cmp(&other.abs()))
}

/// Whether this machine's clock is far from those of the primaries.
pub(super) fn own_clock(state: &RedisState) -> Finding {
    let ahead = state.own_clock_ahead.unwrap_or_default();
    Finding::clock("redis.clock", ahead, FAR.as_seconds_f64(), "the clock of Redis, which dates tokens")
}

/// What the primaries lack, and whether they have the replicas that they should have.
pub fn lacks(state: &RedisState) -> Vec<Finding> {
    let (mut found, wanted) = (Vec::new(), state.wanted);
    if let Some(slots) = state.slots.filter(|slots| *slots < CLUSTER_SLOTS) {
        found.push(Finding::fault(
            "redis.reach",
            format!(
                "{} of {CLUSTER_SLOTS} slots of the Cluster have no primary that answers: people whose keys lie there \
                 cannot log in",
                CLUSTER_SLOTS - slots
            ),
            "start the primaries of these slots, or promote their replicas",
        ));
    }
    for (primary, replicas) in state.primaries.iter().filter(|(_, replicas)| *replicas < wanted) {
        let name = "redis.replicas";
        found.push(match state.are_required {
            true => Finding::fault(
                name,
                format!(
                    "Redis at {primary} has {replicas} replicas that are online, and {wanted} must confirm: first logins, \
                     logouts and unbindings get store_unavailable"
                ),
                format!("start its replicas, or set WXMINT_REDIS_CONFIRM={replicas} if that is meant"),
            ),
            false => Finding::warning(
                name,
                format!(
                    "Redis at {primary} has no replica that is online: if it is lost, so is what it takes from now on"
                ),
                "start its replica, or set WXMINT_REDIS_CONFIRM=0 if it has none on purpose",
            ),
        });
    }
    if state.clock_difference.is_some_and(|seconds| seconds > CLOCKS_APART) {
        found.push(Finding::warning(
            "redis.clock",
            "the clocks of the primaries of Redis are more than a second apart, and they date tokens and revocations",
            "set them by NTP",
        ));
    }
    let online: u32 = state.primaries.iter().map(|(_, replicas)| replicas).sum();
    if !found.iter().any(|finding| finding.name == "redis.replicas") {
        found.push(Finding::ok("redis.replicas", format!("{online} online, and {wanted} needed for each primary")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::Status;

    #[test]
    fn what_is_missing_is_warned_about() {
        let state = |replicas: [u32; 2], slots, wanted, apart| RedisState {
            primaries: [("a:1".to_owned(), replicas[0]), ("b:1".to_owned(), replicas[1])].into(),
            slots,
            wanted,
            are_required: true,
            clock_difference: Some(apart),
            own_clock_ahead: None,
        };
        let at_risk = RedisState { are_required: false, ..state([1, 0], None, 1, 0.0) };
        for (state, warned) in [
            (state([1, 2], Some(16384), 1, 0.9), None),
            (state([0, 0], None, 0, 0.0), None),
            (RedisState::default(), None),
            (state([1, 0], Some(16384), 1, 0.0), Some("Redis at b:1 has 0 replicas")),
            (state([1, 1], Some(16384), 2, 0.0), Some("WXMINT_REDIS_CONFIRM=1 if that is meant")),
            (at_risk, Some("Redis at b:1 has no replica that is online")),
            (state([1, 1], Some(16000), 1, 0.0), Some("384 of 16384 slots")),
            (state([1, 1], Some(16384), 1, 1.1), Some("more than a second apart")),
        ] {
            let found: Vec<_> = lacks(&state).into_iter().filter(|finding| finding.status != Status::Ok).collect();
            assert_eq!(found.is_empty(), warned.is_none(), "{state:?} {found:?}");
            let told = found.iter().any(|finding| finding.to_string().contains(warned.unwrap_or_default()));
            assert!(told || warned.is_none(), "{state:?} {found:?}");
        }
    }

    #[test]
    fn the_farthest_clock_counts_in_either_direction() {
        for (now, times, status) in [
            (100.0, &[99.0, 95.1][..], Status::Ok),
            (100.0, &[101.0, 94.9], Status::Warning),
            (100.0, &[99.0, 105.1], Status::Warning),
            (100.0, &[], Status::Ok),
        ] {
            let state = RedisState { own_clock_ahead: own_clock_ahead(now, times), ..RedisState::default() };
            assert_eq!(own_clock(&state).status, status, "{times:?}");
        }
    }
}
