//! The checks of Redis by `wxmint doctor` and for readiness. They change nothing there.

mod fitness;

use std::{rc::Rc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::{join_all, join4, try_join_all};
use redis::{RedisError, Value};
use tokio::time::{Instant, sleep};
use wxmint_redis_link::{Cause, DEADLINE, Primary, Reason, RedisClient, Server, describe, slot_of};
use wxmint_store::Store;

use self::fitness::{alone, worst};
pub use self::fitness::{fitness, lacks, own_clock};
use crate::findings::{Finding, Message, Status, with_unchecked};

/// The names of the checks of Redis.
pub const REDIS_CHECKS: [&str; 8] = [
    "redis.reach",
    "redis.version",
    "redis.eviction",
    "redis.persistence",
    "redis.replicas",
    "redis.rights",
    "redis.clock",
    "redis.latency",
];

/// An answer that takes longer is slow, because a login waits for two answers of Redis.
const SLOW_MILLIS: f64 = 50.0;
/// A busy machine may miss a deadline now and then, so the checks are repeated after this pause.
const PAUSE: Duration = Duration::from_millis(200);
/// A server that hangs misses the deadline for all of this time.
const AGAIN_WITHIN: Duration = Duration::from_secs(2);
/// Each command that wxmint needs, in a form that changes nothing: the keys do not exist, and none
/// is created. `SET … XX` and `XADD … NOMKSTREAM` write only to a key that exists; `HSET` and
/// `HINCRBY` have wrong arguments, which Redis finds after it has checked the right.
const NEEDED: &str = "INFO server,TIME,EVAL return(1) 1 KEY,EVALSHA 0 1 KEY,GET KEY,SET KEY 1 XX,DEL KEY,HGET KEY f,HGETALL KEY,\
                      HMGET KEY f,HSET KEY f v g,HDEL KEY f,HLEN KEY,HEXISTS KEY f,HINCRBY KEY f x,EXPIRE KEY 1,PERSIST KEY,\
                      PEXPIRE KEY 1,PEXPIREAT KEY 1";
/// As [`NEEDED`], for revocations; people can log in without these commands.
const NEEDED_FOR_REVOCATIONS: &str = "XADD KEY NOMKSTREAM * f v,XDEL KEY 1-1,XRANGE KEY - + COUNT 1,ZADD KEY XX 1 m,ZCARD KEY,\
                               ZRANGE KEY 0 0,ZREM KEY m,ZREMRANGEBYSCORE KEY 1 0,ZREMRANGEBYRANK KEY 1 0,ZSCORE KEY m,WAIT 0 1";
/// As [`NEEDED_FOR_REVOCATIONS`]; only a Cluster has these commands.
const NEEDED_IN_CLUSTER: &str = "CLUSTER NODES,ASKING";

/// Returns at least one finding for each of [`REDIS_CHECKS`]. `life` is the lifetime of tokens.
pub async fn examine(redis: &Store, clock: fn() -> DateTime<Utc>, life: Duration) -> Vec<Finding> {
    let begun = Instant::now();
    loop {
        let (found, is_late) = examine_once(redis, clock(), life).await;
        if !is_late || begun.elapsed() > AGAIN_WITHIN {
            return found;
        }
        sleep(PAUSE).await;
    }
}

/// Also says whether an answer did not come in time.
async fn examine_once(redis: &Store, now: DateTime<Utc>, life: Duration) -> (Vec<Finding>, bool) {
    let link = &redis.link;
    let is_late = |cause| matches!(cause, Cause::NoAnswer | Cause::NoAnswerByTls);
    if let Err(reason) = link.access.try_out().await {
        let is_late = is_late(reason.cause);
        return (
            with_unchecked(
                vec![unreachable(reason)],
                &REDIS_CHECKS,
                message!(redis_is_not_reached),
            ),
            is_late,
        );
    }
    // Measured alone, so that it does not wait for the other questions.
    let latency = slowest(link).await.map(|latency| vec![latency]);
    let fitness = fitness(link, now.timestamp(), Status::Fault);
    let (fitness, state, ahead, rights) = join4(
        fitness,
        link.state(),
        redis.clock.ahead(),
        rights_at_all(link),
    )
    .await;
    let clock = ahead.ok().map(|ahead| own_clock(-ahead as f64, life));
    let state = state.map(|state| {
        lacks(&state)
            .into_iter()
            .chain(clock)
            .chain(alone(&state))
            .collect()
    });
    let reached = link.all_primaries().await.map(|primaries| {
        let names: Vec<_> = primaries
            .iter()
            .map(|(_, server)| server.name.as_str())
            .collect();
        vec![Finding::ok(
            "redis.reach",
            message!(each_primary_answers, names.join(" ")),
        )]
    });
    let parts = [reached, latency, fitness, state, rights];
    let mut error = None;
    let found = parts.into_iter().flat_map(|part| {
        part.map_err(|reason| error = Some(reason))
            .unwrap_or_default()
    });
    let found = worst(found.collect());
    let because = match &error {
        Some(reason) => Message::of(reason),
        None => message!(redis_takes_no_writes),
    };
    let found = with_unchecked(found, &REDIS_CHECKS, because);
    let hangs = cure(Cause::NoAnswer);
    let was_late = error.is_some_and(|error| is_late(error.cause))
        || found.iter().any(|one| hangs.as_ref() == Some(&one.advice));
    (found, was_late)
}

async fn slowest(link: &RedisClient) -> Result<Finding, Reason> {
    let primaries = link.all_primaries().await?;
    let millis = try_join_all(primaries.iter().map(|(_, server)| millis(link, server))).await?;
    let slowest = millis
        .into_iter()
        .zip(&primaries)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    Ok(match slowest {
        Some((millis, (_, server))) => latency(millis, &server.name),
        None => latency(0.0, ""),
    })
}

/// The median time of some answers, in milliseconds.
async fn millis(link: &RedisClient, server: &Server) -> Result<f64, Reason> {
    let mut millis = [0.0; 5];
    for time in &mut millis {
        let asked = Instant::now();
        link.query_at::<Value>("examine", server, redis::pipe().cmd("TIME"))
            .await?;
        *time = asked.elapsed().as_secs_f64() * 1e3;
    }
    millis.sort_by(f64::total_cmp);
    Ok(millis[2])
}

async fn rights_at_all(link: &RedisClient) -> Result<Vec<Finding>, Reason> {
    let further = link.is_cluster().then_some(NEEDED_IN_CLUSTER);
    let needed: Vec<_> = [NEEDED, NEEDED_FOR_REVOCATIONS]
        .into_iter()
        .chain(further)
        .flat_map(|all| all.split(','))
        .collect();
    let user = link.access.url().user().unwrap_or("default").to_owned();
    let of_primary =
        async |(primary, server): &(Primary, Rc<Server>)| match answers(&needed, primary, server)
            .await
        {
            Ok(answers) => rights(&server.name, &user, &needed, &answers),
            Err(reason) => refuses(&server.name, reason),
        };
    Ok(join_all(link.all_primaries().await?.iter().map(of_primary)).await)
}

async fn answers(
    needed: &[&str],
    primary: &Primary,
    server: &Server,
) -> Result<Vec<Value>, Reason> {
    // Each key is in another slot, so that a server of a Cluster that is taken for a single server
    // answers MOVED.
    let mut keys = (0..)
        .map(|number| format!("wxmint:{{doctor{number}}}"))
        .filter(|key| primary.has(slot_of(key.as_bytes())));
    let mut asked = redis::pipe();
    for words in needed {
        let mut words = words.split(' ');
        let key = keys.next().unwrap_or_default();
        asked.cmd(words.next().unwrap_or_default());
        for word in words {
            asked.arg(if word == "KEY" { &key } else { word });
        }
    }
    server.answers(&asked, Instant::now() + DEADLINE).await
}

/// The finding from the answers to `needed`: the commands that `user` may not run, or a reason why
/// Redis takes no writes.
fn rights(server: &str, user: &str, needed: &[&str], answers: &[Value]) -> Finding {
    let mut missing = Vec::new();
    let mut unknown = Vec::new();
    let mut is_fault = false;
    for (words, answer) in needed.iter().zip(answers) {
        let Value::ServerError(error) = answer else {
            continue;
        };
        let error = RedisError::from(error.clone());
        let says = |text| error.detail().is_some_and(|words| words.contains(text));
        let reason = describe(&error);
        match reason.cause {
            Cause::NotPermitted if says(" key") => missing.push("~wxmint:*".to_owned()),
            Cause::NotPermitted => missing.push(format!("+{}", right(words))),
            Cause::MemoryFull | Cause::DiskFails => return refuses(server, reason),
            // Redis has no code of its own for this.
            _ if says("unknown command") => unknown.push(right(words)),
            _ => continue,
        }
        is_fault |= NEEDED.split(',').any(|needed| needed == *words);
    }
    missing.sort();
    missing.dedup();
    let (found, advice) = match (missing.join(" "), unknown.join(" ")) {
        (missing, _) if !missing.is_empty() => (
            message!(user_lacks_rights, user, missing),
            message!(run_acl_setuser, user, missing),
        ),
        (_, unknown) if !unknown.is_empty() => (
            message!(commands_are_unknown, unknown),
            message!(switch_commands_on),
        ),
        _ => return Finding::ok("redis.rights", message!(user_has_rights, user)),
    };
    let status = if is_fault {
        Status::Fault
    } else {
        Status::Warning
    };
    Finding {
        status,
        ..Finding::fault("redis.rights", message!(redis_at, server, found), advice)
    }
}

/// The name of the right to a command, as ACL SETUSER has it.
fn right(words: &str) -> String {
    let words = words.to_ascii_lowercase().replace("cluster ", "cluster|");
    words.split(' ').next().unwrap_or_default().to_owned()
}

fn latency(millis: f64, server: &str) -> Finding {
    let found = message!(redis_is_this_far, format_args!("{millis:.1}"), server);
    match millis > SLOW_MILLIS {
        true => Finding::warning(
            "redis.latency",
            message!(login_waits_for_two, found),
            message!(run_wxmint_near_redis),
        ),
        false => Finding::ok("redis.latency", found),
    }
}

/// The advice about a Redis that cannot be reached or used, by cause. `None` if it depends on more
/// than the cause.
fn cure(cause: Cause) -> Option<Message> {
    Some(match cause {
        Cause::WantsPassword => message!(put_password_into_redis_url),
        Cause::WrongPassword => message!(put_right_user_name_and_password),
        Cause::NoDatabase => message!(name_another_database_at_end),
        Cause::NoTls => message!(write_redis_without_tls),
        Cause::NoAnswerByTls => message!(look_whether_port_has_no_tls),
        Cause::Closed => message!(look_whether_port_has_tls),
        Cause::NoMaster => message!(write_name_of_master),
        Cause::NoPrimaryNamed => message!(see_that_url_names_sentinels),
        Cause::NoCluster => message!(write_redis_not_cluster),
        Cause::IsInCluster => message!(write_redis_cluster),
        Cause::Loading => message!(wait_until_it_has_read),
        Cause::TooFewReplicas => message!(start_replicas_or_need_none),
        Cause::IsReplica => message!(name_primary_in_redis_url),
        Cause::MemoryFull => message!(give_redis_more_memory),
        Cause::DiskFails => message!(free_disk_of_redis),
        Cause::Expired => message!(renew_certificate_of_redis),
        Cause::NoAddress => message!(correct_host_of_redis),
        Cause::NobodyListens => message!(start_redis_there),
        Cause::NoAnswer => message!(look_whether_redis_hangs),
        Cause::TooManyClients => message!(raise_maxclients),
        Cause::Protected => message!(set_password_of_redis),
        Cause::NotPermitted
        | Cause::Refused
        | Cause::UnexpectedAnswer
        | Cause::Unconfirmed
        | Cause::Other => return None,
    })
}

fn unreachable(reason: Reason) -> Finding {
    let advice = cure(reason.cause)
        .or_else(|| reason.cure.map(Message::from))
        .unwrap_or_else(|| message!(see_that_redis_runs));
    Finding::fault("redis.reach", reason.found, advice)
}

fn refuses(server: &str, reason: Reason) -> Finding {
    let takes_no_writes = is_answer(reason.cause);
    let Finding {
        name,
        found,
        advice,
        ..
    } = unreachable(reason);
    let found = if takes_no_writes {
        message!(redis_at_takes_no_writes, server, found)
    } else {
        message!(redis_at, server, found)
    };
    Finding::fault(name, found, advice)
}

/// Whether the server has answered a command with an error.
fn is_answer(cause: Cause) -> bool {
    use Cause::{
        DiskFails, IsInCluster, IsReplica, Loading, MemoryFull, NotPermitted, Refused,
        TooFewReplicas, WantsPassword,
    };
    matches!(
        cause,
        DiskFails
            | IsInCluster
            | IsReplica
            | Loading
            | MemoryFull
            | NotPermitted
            | Refused
            | TooFewReplicas
            | WantsPassword
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, io, path::Path};

    use super::*;

    fn found(errors: &[(&str, &str)]) -> Finding {
        let needed: Vec<_> = [NEEDED, NEEDED_FOR_REVOCATIONS]
            .iter()
            .flat_map(|all| all.split(','))
            .collect();
        let answer = |words: &&str| {
            let error = errors.iter().find(|(name, _)| words.starts_with(name));
            let line = error.map_or("+OK\r\n".to_owned(), |(_, error)| format!("-{error}\r\n"));
            redis::parse_redis_value(line.as_bytes()).expect("an answer")
        };
        rights(
            "h:1",
            "me",
            &needed,
            &needed.iter().map(answer).collect::<Vec<_>>(),
        )
    }

    #[test]
    fn what_is_needed_is_what_the_page_grants() {
        let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/redis.md"))
            .expect("our page");
        let rule = page
            .lines()
            .find(|line| line.starts_with("ACL SETUSER wxmint on"))
            .expect("a rule");
        let granted: BTreeSet<_> = rule.split(" +").skip(1).map(str::to_owned).collect();
        let needed: BTreeSet<_> = [NEEDED, NEEDED_FOR_REVOCATIONS, NEEDED_IN_CLUSTER]
            .iter()
            .flat_map(|all| all.split(','))
            .map(right)
            .collect();
        let more: Vec<_> = granted.difference(&needed).collect();
        assert!(needed.is_subset(&granted), "{needed:?} {granted:?}");
        assert_eq!(more, ["cluster|slots"], "without which no primary is found");
    }

    #[test]
    fn each_command_that_is_sent_is_needed() {
        let texts = ["crates/store/src/redis", "src/doors"].map(|folder| {
            texts_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("the sources")
        });
        let called = |before: &'static str, end: char| {
            let rest = texts
                .iter()
                .flat_map(move |text| text.split(before).skip(1));
            rest.filter_map(move |rest| rest.split(end).next())
                .map(right)
        };
        let called = called("call('", '\'')
            .chain(called("Call::of(\"", '"'))
            .chain(called(".cmd(\"", '"'));
        let needed: BTreeSet<_> = [NEEDED, NEEDED_FOR_REVOCATIONS]
            .iter()
            .flat_map(|all| all.split(','))
            .map(right)
            .collect();
        let more: BTreeSet<_> = called.filter(|command| !needed.contains(command)).collect();
        assert_eq!(
            more,
            BTreeSet::new(),
            "NEEDED and docs/redis.md lack commands"
        );
    }

    fn texts_below(folder: &Path) -> io::Result<String> {
        let texts = fs::read_dir(folder)?.map(|entry| match entry?.path() {
            below if below.is_dir() => texts_below(&below),
            path => fs::read_to_string(path),
        });
        texts.collect()
    }

    #[test]
    fn missing_rights_are_named_with_the_rule_that_grants_them() {
        let lacks = "NOPERM this user has no permissions to run the command";
        for (errors, status, advice) in [
            (&[][..], Status::Ok, ""),
            (
                &[
                    ("HSET", "ERR wrong number of arguments"),
                    ("EVALSHA", "NOSCRIPT none"),
                ],
                Status::Ok,
                "",
            ),
            (
                &[("HSET", lacks), ("XADD", lacks)],
                Status::Fault,
                "ACL SETUSER me +hset +xadd",
            ),
            (&[("WAIT", lacks)], Status::Warning, "ACL SETUSER me +wait"),
            (
                &[("GET", "NOPERM No permissions to access a key")],
                Status::Fault,
                "ACL SETUSER me ~wxmint:*",
            ),
            (
                &[("WAIT", "ERR unknown command 'WAIT'")],
                Status::Warning,
                "docs/redis.md",
            ),
            (
                &[("SET", "OOM command not allowed")],
                Status::Fault,
                "more memory",
            ),
            (
                &[("SET", "MISCONF Redis is configured to save")],
                Status::Fault,
                "BGSAVE",
            ),
        ] {
            let found = found(errors);
            assert_eq!(found.status, status, "{errors:?} {found:?}");
            assert!(found.advice.contains(advice), "{errors:?} {found:?}");
        }
    }

    #[test]
    fn a_server_that_is_no_redis_does_not_refuse_writes() {
        let found = |reason| refuses("h:1", reason).found.to_string();
        assert_eq!(
            found("broken pipe".to_owned().into()),
            "Redis at h:1: broken pipe"
        );
        let error = RedisError::from((
            redis::ErrorKind::Server(redis::ServerErrorKind::ReadOnly),
            "no",
        ));
        let told = found(describe(&error));
        assert!(
            told.starts_with("Redis at h:1 takes no writes: it answered READONLY"),
            "{told}"
        );
    }

    #[test]
    fn a_slow_answer_is_warned_about() {
        assert_eq!(
            [50.0, 50.1].map(|millis| latency(millis, "h:1").status),
            [Status::Ok, Status::Warning]
        );
    }
}
