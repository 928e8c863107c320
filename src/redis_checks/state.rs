//! Finds what is missing in Redis, by what its primaries say of themselves.

use wxmint_findings::{Finding, Status, count};
use wxmint_redis_link::{CLUSTER_SLOTS, State};
use wxmint_store::{CLOCK_IS_FAR, CLOCKS_APART};

/// In seconds; more than the way to Redis and back takes.
const PRIMARIES_APART: f64 = 1.0;

/// Whether this machine's clock is far from those of the primaries. `ahead`: by how many seconds. If it is far behind,
/// tokens would be dated later than verifiers accept, so nobody logs in.
pub fn own_clock(ahead: f64) -> Finding {
    let of_redis = said!(clock_of_redis_which_dates_tokens);
    let found = Finding::clock("redis.clock", ahead, CLOCK_IS_FAR.as_seconds_f64(), of_redis);
    if -ahead > CLOCKS_APART.as_seconds_f64() { Finding { status: Status::Fault, ..found } } else { found }
}

/// Finds what the primaries lack, and whether they have the replicas that they should have.
pub fn lacks(state: &State) -> Vec<Finding> {
    let (mut found, wanted) = (Vec::new(), state.wanted);
    if let Some(slots) = state.slots.filter(|slots| *slots < CLUSTER_SLOTS) {
        let lost = CLUSTER_SLOTS - slots;
        found.push(Finding::fault(
            "redis.reach",
            said!(slots_have_no_primary, lost, CLUSTER_SLOTS),
            said!(start_primaries),
        ));
    }
    for (primary, replicas) in state.primaries.iter().filter(|(_, replicas)| *replicas < wanted) {
        found.push(match state.are_required {
            true => Finding::fault(
                "redis.replicas",
                said!(too_few_replicas, primary, count(*replicas as usize, ["replica", "个从节点"]), wanted),
                said!(start_replicas_or_confirm, replicas),
            ),
            false => without_replica(primary),
        });
    }
    if state.clock_difference.is_some_and(|seconds| seconds > PRIMARIES_APART) {
        found.push(Finding::warning("redis.clock", said!(clocks_of_primaries_differ), said!(set_them_by_ntp)));
    }
    let online: u32 = state.primaries.iter().map(|(_, replicas)| replicas).sum();
    // A primary that does not answer may have none.
    if state.all_answer && !found.iter().any(|finding| finding.name == "redis.replicas") {
        found.push(Finding::ok("redis.replicas", said!(replicas_are_online, online, wanted)));
    }
    found
}

/// A single server that nobody has called so on purpose: bindings are nowhere else. Readiness does not speak of it,
/// because a server for tests is one too.
pub(super) fn alone(state: &State) -> Option<Finding> {
    let is_alone = state.wanted == 0 && !state.are_required;
    let (primary, _) = state.primaries.iter().find(|(_, replicas)| is_alone && *replicas == 0)?;
    Some(without_replica(primary))
}

fn without_replica(primary: &str) -> Finding {
    Finding::warning("redis.replicas", said!(redis_has_no_replica, primary), said!(start_its_replica))
}

#[cfg(test)]
mod tests {
    use super::*;
    use wxmint_findings::Status;

    #[test]
    fn what_is_missing_is_warned_about() {
        let state = |replicas: [u32; 2], slots, wanted, apart| State {
            primaries: [("a:1".to_owned(), replicas[0]), ("b:1".to_owned(), replicas[1])].into(),
            slots,
            wanted,
            are_required: true,
            clock_difference: Some(apart),
            ..State::default()
        };
        let at_risk = State { are_required: false, ..state([1, 0], None, 1, 0.0) };
        for (state, warned) in [
            (state([1, 2], Some(16384), 1, 0.9), None),
            (state([0, 0], None, 0, 0.0), None),
            (State::default(), None),
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
    fn replicas_are_ok_only_if_every_primary_has_answered() {
        let primaries = vec![("a:1".to_owned(), 1)];
        for (state, is_ok) in [
            (State { primaries: primaries.clone(), all_answer: true, ..State::default() }, true),
            (State { primaries, ..State::default() }, false),
            (State::default(), false),
        ] {
            assert_eq!(lacks(&state).iter().any(|finding| finding.name == "redis.replicas"), is_ok, "{state:?}");
        }
    }

    #[test]
    fn a_clock_that_is_far_ahead_or_behind_is_warned_about_and_one_that_dates_nobodys_token_is_a_fault() {
        for (ahead, status) in [
            (4.9, Status::Ok),
            (5.1, Status::Warning),
            (300.0, Status::Warning),
            (-5.1, Status::Warning),
            (-60.1, Status::Fault),
        ] {
            assert_eq!(own_clock(ahead).status, status, "{ahead}");
        }
    }
}
