//! Whether Redis may lose bindings, which are nowhere else, and whether it is too old.

use std::{cmp::Reverse, collections::HashSet};

use futures_util::future::try_join_all;
use tokio::time::Instant;
use wxmint_findings::{Finding, Status};
use wxmint_redis_link::{DEADLINE, Link, Reason, Server, member};

/// No snapshot in so long although something was written, and none is made at all.
const SNAPSHOT_IS_OVERDUE: i64 = 24 * 3600;

/// Whether a primary may lose bindings, and whether it is too old. `volatile`: what a policy is that evicts session
/// keys and limits.
pub async fn fitness(link: &Link, now: i64, volatile: Status) -> Result<Vec<Finding>, Reason> {
    let primaries = link.all_primaries().await?;
    let each = primaries.iter().map(|(_, server)| of(link, server, now, volatile));
    Ok(worst(try_join_all(each).await?.concat()))
}

async fn of(link: &Link, primary: &Server, now: i64, volatile: Status) -> Result<Vec<Finding>, Reason> {
    let mut asked = redis::pipe();
    asked.cmd("INFO").arg("memory").cmd("INFO").arg("persistence").cmd("INFO").arg("server");
    let (memory, on_disk, server): (String, String, String) = link.query_at("info", primary, &asked).await?;
    // By itself, because Redis may refuse to tell, and no other command may fail so.
    let mut asked = redis::pipe();
    asked.cmd("CONFIG").arg("GET").arg("save");
    let pair = primary.query::<Vec<String>>(&asked, Instant::now() + DEADLINE).await.unwrap_or_default();
    let save = pair.into_iter().nth(1);
    let name = &primary.name;
    Ok(vec![age(name, &server), eviction(name, &memory, volatile), persistence(name, &on_disk, save.as_deref(), now)])
}

/// The findings that are not ok, and the first one of each check that is ok.
pub(super) fn worst(mut all: Vec<Finding>) -> Vec<Finding> {
    all.sort_by_key(|finding| Reverse(finding.status));
    let mut seen = HashSet::new();
    all.retain(|finding| seen.insert(finding.name) || finding.status != Status::Ok);
    all
}

/// By `INFO memory`: some policies evict bindings, and others what expires.
fn eviction(server: &str, memory: &str, volatile: Status) -> Finding {
    let policy = member(memory, "maxmemory_policy").unwrap_or("unknown");
    let (status, found) = match policy.split_once('-') {
        Some(("allkeys", _)) => (Status::Fault, said!(redis_may_evict_bindings, server, policy)),
        Some(("volatile", _)) => (volatile, said!(redis_may_evict_what_expires, server, policy)),
        _ => return Finding::ok("redis.eviction", said!(maxmemory_policy_evicts_nothing, policy)),
    };
    Finding { status, ..Finding::fault("redis.eviction", found, said!(run_config_set_maxmemory_policy)) }
}

/// By `INFO persistence` and `CONFIG GET save`, which a managed Redis may refuse: whether anything reaches the disk.
/// Then the time tells: without snapshots, the last one is when Redis was started. `now` is in seconds since 1970.
fn persistence(server: &str, info: &str, save: Option<&str>, now: i64) -> Finding {
    let number = |name| member(info, name).and_then(|value| value.parse::<i64>().ok()).unwrap_or_default();
    let overdue =
        || number("rdb_changes_since_last_save") > 0 && now - number("rdb_last_save_time") > SNAPSHOT_IS_OVERDUE;
    let (forgets, found) = match save {
        _ if number("aof_enabled") == 1 => (false, "appendonly yes".into()),
        Some(save) => (save.trim().is_empty(), said!(snapshots_are_made)),
        None => (member(info, "rdb_last_save_time").is_some() && overdue(), said!(snapshots_are_unknown)),
    };
    let advice = said!(run_config_set_appendonly_yes);
    match forgets {
        true => Finding::warning("redis.persistence", said!(redis_writes_nothing_to_disk, server), advice),
        false => Finding::ok("redis.persistence", found),
    }
}

/// By `INFO server`: old ends of tokens are deleted by a command of Redis 6.2. Some clouds' "6.0" knows it.
fn age(server: &str, info: &str) -> Finding {
    let version = member(info, "redis_version").unwrap_or("unknown");
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < (6, 2) => {
            Finding::warning("redis.version", said!(redis_is_old, server, version), said!(use_later_version))
        }
        _ => Finding::ok("redis.version", said!(redis_has_version, version)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redis_before_6_2_is_too_old() {
        let is_old =
            |version: &str| age("h:1", &format!("# Server\r\nredis_version:{version}\r\n")).status != Status::Ok;
        assert!(["2.8.19", "5.0.14", "6.0.16"].into_iter().all(is_old));
        assert!(!["6.2.0", "7.0.15", "10.0.1", "", "unknown"].into_iter().any(is_old));
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
            assert_eq!(found.status == Status::Warning, words == forgets, "{save:?} {info}: {found:?}");
            assert!(found.found.contains(words), "{save:?} {info}: {found:?}");
        }
    }
}
