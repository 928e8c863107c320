//! Whether Redis may lose bindings, which are stored nowhere else, whether it is too old, and what
//! its primaries lack.

use std::{cmp::Reverse, collections::HashSet, time::Duration};

use futures_util::future::try_join_all;
use tokio::time::Instant;
use wxmint_redis_link::{CLUSTER_SLOTS, DEADLINE, Reason, RedisClient, Server, State, member};
use wxmint_store::{CLOCK_IS_FAR, CLOCKS_APART};

use crate::findings::{Finding, Status, count};

/// If data was written and no snapshot was made for this long, Redis makes none at all. In seconds.
const SNAPSHOT_IS_OVERDUE: i64 = 24 * 3600;
/// By how many seconds the clocks of primaries may differ: more than the way to Redis and back
/// takes.
const PRIMARIES_APART: f64 = 1.0;

/// Whether a primary may lose bindings or is too old. `volatile` is the status of a policy that
/// evicts session keys and limits. `now` is in seconds since 1970.
pub async fn fitness(
    link: &RedisClient,
    now: i64,
    volatile: Status,
) -> Result<Vec<Finding>, Reason> {
    let primaries = link.all_primaries().await?;
    let each = primaries
        .iter()
        .map(|(_, server)| of(link, server, now, volatile));
    Ok(worst(try_join_all(each).await?.concat()))
}

async fn of(
    link: &RedisClient,
    primary: &Server,
    now: i64,
    volatile: Status,
) -> Result<Vec<Finding>, Reason> {
    let mut asked = redis::pipe();
    asked
        .cmd("INFO")
        .arg("memory")
        .cmd("INFO")
        .arg("persistence")
        .cmd("INFO")
        .arg("server");
    let (memory, on_disk, server): (String, String, String) =
        link.query_at("info", primary, &asked).await?;
    // Asked alone, because Redis may refuse it, and the other commands must not fail with it.
    let mut asked = redis::pipe();
    asked.cmd("CONFIG").arg("GET").arg("save");
    let pair = primary
        .query::<Vec<String>>(&asked, Instant::now() + DEADLINE)
        .await
        .unwrap_or_default();
    let save = pair.into_iter().nth(1);
    let name = &primary.name;
    Ok(vec![
        age(name, &server),
        eviction(name, &memory, volatile),
        persistence(name, &on_disk, save.as_deref(), now),
    ])
}

/// All findings that are not ok, and, of the checks that are ok, the first finding of each.
pub(super) fn worst(mut all: Vec<Finding>) -> Vec<Finding> {
    all.sort_by_key(|finding| Reverse(finding.status));
    let mut seen = HashSet::new();
    all.retain(|finding| seen.insert(finding.name) || finding.status != Status::Ok);
    all
}

/// Judges the eviction policy, by `INFO memory`: some policies evict bindings, and others only keys
/// that expire.
fn eviction(server: &str, memory: &str, volatile: Status) -> Finding {
    let policy = member(memory, "maxmemory_policy").unwrap_or("unknown");
    let (status, found) = match policy.split_once('-') {
        Some(("allkeys", _)) => (
            Status::Fault,
            message!(redis_may_evict_bindings, server, policy),
        ),
        Some(("volatile", _)) => (
            volatile,
            message!(redis_may_evict_what_expires, server, policy),
        ),
        _ => {
            return Finding::ok(
                "redis.eviction",
                message!(maxmemory_policy_evicts_nothing, policy),
            );
        }
    };
    Finding {
        status,
        ..Finding::fault(
            "redis.eviction",
            found,
            message!(run_config_set_maxmemory_policy),
        )
    }
}

/// Whether anything reaches the disk, by `INFO persistence` and `CONFIG GET save`. A managed Redis
/// may refuse the latter. Then the time of the last snapshot tells, which is the start of Redis if
/// none was made. `now` is in seconds since 1970.
fn persistence(server: &str, info: &str, save: Option<&str>, now: i64) -> Finding {
    let number = |name| {
        member(info, name)
            .and_then(|value| value.parse::<i64>().ok())
            .unwrap_or_default()
    };
    let is_overdue = number("rdb_changes_since_last_save") > 0
        && now - number("rdb_last_save_time") > SNAPSHOT_IS_OVERDUE;
    let (forgets, found) = match save {
        _ if number("aof_enabled") == 1 => (false, "appendonly yes".into()),
        Some(save) => (save.trim().is_empty(), message!(snapshots_are_made)),
        None => (
            member(info, "rdb_last_save_time").is_some() && is_overdue,
            message!(snapshots_are_unknown),
        ),
    };
    let advice = message!(run_config_set_appendonly_yes);
    match forgets {
        true => Finding::warning(
            "redis.persistence",
            message!(redis_writes_nothing_to_disk, server),
            advice,
        ),
        false => Finding::ok("redis.persistence", found),
    }
}

/// Judges the version, by `INFO server`: expired revocations are deleted by a command of Redis 6.2.
/// The "6.0" of some clouds has it too.
fn age(server: &str, info: &str) -> Finding {
    let version = member(info, "redis_version").unwrap_or("unknown");
    let mut numbers = version
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < (6, 2) => Finding::warning(
            "redis.version",
            message!(redis_is_old, server, version),
            message!(use_later_version),
        ),
        _ => Finding::ok("redis.version", message!(redis_has_version, version)),
    }
}

/// Judges by how many seconds this machine's clock is `ahead` of those of the primaries. If it is
/// far behind, tokens would be dated later than verifiers accept. If it is ahead by the tokens'
/// `life`, they would have expired already. In either case nobody can log in.
pub fn own_clock(ahead: f64, life: Duration) -> Finding {
    let of_redis = message!(clock_of_redis_which_dates_tokens);
    let found = Finding::clock(
        "redis.clock",
        ahead,
        CLOCK_IS_FAR.as_seconds_f64(),
        of_redis,
    );
    let is_too_far = -ahead > CLOCKS_APART.as_seconds_f64() || ahead >= life.as_secs_f64();
    if is_too_far {
        Finding {
            status: Status::Fault,
            ..found
        }
    } else {
        found
    }
}

/// Finds what the primaries lack, and whether they have the replicas that they should have.
pub fn lacks(state: &State) -> Vec<Finding> {
    let mut found = Vec::new();
    let wanted = state.wanted;
    if let Some(slots) = state.slots.filter(|slots| *slots < CLUSTER_SLOTS) {
        let lost = message!(slots_have_no_primary, CLUSTER_SLOTS - slots, CLUSTER_SLOTS);
        found.push(Finding::fault(
            "redis.reach",
            lost,
            message!(start_primaries),
        ));
    }
    for (primary, replicas) in state
        .primaries
        .iter()
        .filter(|(_, replicas)| *replicas < wanted)
    {
        let few = message!(
            too_few_replicas,
            primary,
            count(*replicas as usize, ["replica", "个从节点"]),
            wanted
        );
        found.push(match state.are_required {
            true => Finding::fault(
                "redis.replicas",
                few,
                message!(start_replicas_or_confirm, replicas),
            ),
            false => without_replica(primary),
        });
    }
    if state
        .clock_difference
        .is_some_and(|seconds| seconds > PRIMARIES_APART)
    {
        found.push(Finding::warning(
            "redis.clock",
            message!(clocks_of_primaries_differ),
            message!(set_them_by_ntp),
        ));
    }
    let online: u32 = state.primaries.iter().map(|(_, replicas)| replicas).sum();
    // A primary that does not answer may have no replica.
    if state.all_answer && !found.iter().any(|finding| finding.name == "redis.replicas") {
        found.push(Finding::ok(
            "redis.replicas",
            message!(replicas_are_online, online, wanted),
        ));
    }
    found
}

/// Warns about a single server without a replica, unless the settings ask for one: bindings are
/// stored nowhere else. Readiness does not warn about it, because a server for tests is alone too.
pub(super) fn alone(state: &State) -> Option<Finding> {
    let is_alone = state.wanted == 0 && !state.are_required;
    let (primary, _) = state
        .primaries
        .iter()
        .find(|(_, replicas)| is_alone && *replicas == 0)?;
    Some(without_replica(primary))
}

fn without_replica(primary: &str) -> Finding {
    Finding::warning(
        "redis.replicas",
        message!(redis_has_no_replica, primary),
        message!(start_its_replica),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_before_6_2_is_too_old() {
        let is_old = |version: &str| {
            age("h:1", &format!("# Server\r\nredis_version:{version}\r\n")).status != Status::Ok
        };
        assert!(["2.8.19", "5.0.14", "6.0.16"].into_iter().all(is_old));
        assert!(
            !["6.2.0", "7.0.15", "10.0.1", "", "unknown"]
                .into_iter()
                .any(is_old)
        );
    }

    #[test]
    fn a_redis_is_forgetful_only_where_that_is_known() {
        let now = 1_700_000_000;
        let info = |aof: u8, changes: u32, saved_ago: i64| {
            format!(
                "# Persistence\r\nloading:0\r\nrdb_changes_since_last_save:{changes}\r\nrdb_last_save_time:{}\r\n\
                 aof_enabled:{aof}\r\n",
                now - saved_ago
            )
        };
        let (aof, snapshots, forgets) = ("appendonly yes", "snapshots; ", "writes nothing to disk");
        let unknown = "this Redis does not say whether it makes snapshots";
        for (info, save, words) in [
            (info(0, 0, 5), Some(""), forgets),
            (info(0, 9, 5), Some("3600 1 300 100"), snapshots),
            (info(1, 9, 5), Some(""), aof),
            (info(1, 9, 90_000), None, aof),
            (info(0, 9, 5), None, unknown),
            (info(0, 0, 90_000), None, unknown),
            (info(0, 9, 90_000), None, forgets),
            ("# Another server".into(), None, unknown),
        ] {
            let found = persistence("10.0.0.1:6379", &info, save, now);
            assert_eq!(
                found.status == Status::Warning,
                words == forgets,
                "{save:?} {info}: {found:?}"
            );
            assert!(found.found.contains(words), "{save:?} {info}: {found:?}");
        }
    }

    #[test]
    fn what_is_missing_is_warned_about() {
        let state = |replicas: [u32; 2], slots, wanted, apart| State {
            primaries: [
                ("a:1".to_owned(), replicas[0]),
                ("b:1".to_owned(), replicas[1]),
            ]
            .into(),
            slots,
            wanted,
            are_required: true,
            clock_difference: Some(apart),
            ..State::default()
        };
        let at_risk = State {
            are_required: false,
            ..state([1, 0], None, 1, 0.0)
        };
        for (state, warned) in [
            (state([1, 2], Some(16384), 1, 0.9), None),
            (state([0, 0], None, 0, 0.0), None),
            (State::default(), None),
            (
                state([1, 0], Some(16384), 1, 0.0),
                Some("Redis at b:1 has 0 replicas"),
            ),
            (
                state([1, 1], Some(16384), 2, 0.0),
                Some("WXMINT_REDIS_CONFIRM=1 if that is meant"),
            ),
            (at_risk, Some("Redis at b:1 has no replica that is online")),
            (
                state([1, 1], Some(16000), 1, 0.0),
                Some("384 of 16384 slots"),
            ),
            (
                state([1, 1], Some(16384), 1, 1.1),
                Some("more than a second apart"),
            ),
        ] {
            let found: Vec<_> = lacks(&state)
                .into_iter()
                .filter(|finding| finding.status != Status::Ok)
                .collect();
            assert_eq!(found.is_empty(), warned.is_none(), "{state:?} {found:?}");
            let told = found
                .iter()
                .any(|finding| finding.to_string().contains(warned.unwrap_or_default()));
            assert!(told || warned.is_none(), "{state:?} {found:?}");
        }
    }

    #[test]
    fn replicas_are_ok_only_if_every_primary_has_answered() {
        let primaries = vec![("a:1".to_owned(), 1)];
        for (state, is_ok) in [
            (
                State {
                    primaries: primaries.clone(),
                    all_answer: true,
                    ..State::default()
                },
                true,
            ),
            (
                State {
                    primaries,
                    ..State::default()
                },
                false,
            ),
            (State::default(), false),
        ] {
            assert_eq!(
                lacks(&state)
                    .iter()
                    .any(|finding| finding.name == "redis.replicas"),
                is_ok,
                "{state:?}"
            );
        }
    }

    #[test]
    fn a_clock_that_is_far_ahead_or_behind_is_warned_about_and_one_that_dates_nobodys_token_is_a_fault()
     {
        for (ahead, status) in [
            (4.9, Status::Ok),
            (5.1, Status::Warning),
            (300.0, Status::Warning),
            (-5.1, Status::Warning),
            (-60.1, Status::Fault),
            (600.0, Status::Fault),
        ] {
            assert_eq!(
                own_clock(ahead, Duration::from_mins(10)).status,
                status,
                "{ahead}"
            );
        }
    }
}
