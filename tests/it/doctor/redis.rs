//! Faults of Redis.

use super::{REDIS_PASSWORD, Report, command_of, healthy};
use crate::support::prelude::*;
use crate::support::scan::two_pages;

/// Runs the command of an advice on a server.
fn follow(advice: &str, redis: &RedisServer) {
    redis.command::<()>(&command_of(advice).split(' ').collect::<Vec<_>>());
}

async fn found<R>(bed: &TestBed<R>, name: &str, status: &str, words: &str) -> String {
    Report::of(&bed.configuration)
        .await
        .advice(name, status, words)
}

#[tokio::test]
async fn settings_of_the_server_and_a_snapshot_that_cannot_be_written_are_mended_by_the_commands_of_the_advice()
 {
    let bed = healthy().await;
    let (_, folder): (String, String) = bed.redis.command(&["CONFIG", "GET", "dir"]);
    let in_the_way = std::path::Path::new(&folder).join("dump.rdb");
    std::fs::create_dir(&in_the_way).expect("no snapshot so far");
    let is_saved = async |status: &str| {
        until(status, PATIENCE, async || {
            let said: String = bed.redis.command(&["INFO", "persistence"]);
            said.contains(&format!("rdb_last_bgsave_status:{status}"))
        })
        .await;
    };
    bed.redis.command::<()>(&["BGSAVE"]);
    is_saved("err").await;
    let advice = found(&bed, "redis.reach", "fault", "it cannot write to its disk").await;
    assert!(advice.starts_with("free the disk of Redis"), "{advice}");
    std::fs::remove_dir(&in_the_way).expect("ours");
    follow(&advice, &bed.redis);
    is_saved("ok").await;
    for (spoil, name, status, words) in [
        (
            &["maxmemory-policy", "allkeys-lru"][..],
            "redis.eviction",
            "fault",
            "allkeys-lru",
        ),
        (
            &["save", ""],
            "redis.persistence",
            "warning",
            "writes nothing to disk",
        ),
        (
            &["maxmemory-policy", "volatile-lru"],
            "redis.eviction",
            "fault",
            "evicts session keys",
        ),
        (
            &["min-replicas-to-write", "1"],
            "redis.reach",
            "fault",
            "too few replicas",
        ),
    ] {
        bed.redis
            .command::<()>(&[&["CONFIG", "SET"], spoil].concat());
        follow(&found(&bed, name, status, words).await, &bed.redis);
    }
    Report::of(&bed.configuration).await.expect_healthy();
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let advice = found(&bed, "redis.reach", "fault", "its memory is full").await;
    assert!(advice.ends_with("CONFIG SET maxmemory SIZE"), "{advice}");
}

#[tokio::test]
async fn rights_that_a_user_lacks_are_granted_by_the_rule_of_the_advice_and_clocks_that_are_apart_are_warned_about()
 {
    let mut bed = healthy().await;
    bed.configuration.set(
        "WXMINT_REDIS_URL",
        &url_of_documented_user(&bed.redis, REDIS_PASSWORD, ""),
    );
    let before = bed.redis.everything();
    Report::of(&bed.configuration).await.expect_healthy();
    assert_eq!(bed.redis.everything(), before, "it has tried nothing");
    // On a Redis that does not know the scripts.
    bed.services = vec![bed.another().await];
    bed.redis.command::<()>(&["ACL", "LOG", "RESET"]);
    let token = bed
        .log_in("lin")
        .await
        .expect_login()
        .member("access_token");
    assert_eq!(bed.service().unbind(&token).await.status, 204);
    bed.log_out(&bed.log_in("lin").await.expect_login(), false)
        .await;
    // A command of which no log tells, because the service goes on without it, is in Redis' own log of refusals.
    let refused = || {
        bed.redis
            .command::<Vec<BTreeMap<String, String>>>(&["ACL", "LOG"])
    };
    let before = bed.redis.calls();
    let looked =
        async || bed.redis.calls_since(&before).get("get") > Some(&1) || !refused().is_empty();
    until(
        "the service has looked whether the end of the token is there",
        2 * BUSY,
        looked,
    )
    .await;
    assert_eq!(refused(), []);
    for (lacks, status) in [
        (&["-hset", "-evalsha"][..], "fault"),
        (&["-xadd", "-xrange"], "warning"),
        (&["-wait"], "warning"),
        (&["resetkeys", "~other:*"], "fault"),
    ] {
        bed.redis
            .command::<()>(&[&["ACL", "SETUSER", "wxmint"], lacks].concat());
        follow(
            &found(&bed, "redis.rights", status, "the user wxmint lacks rights").await,
            &bed.redis,
        );
    }
    for (lacks, unchecked) in [
        ("-time", &["redis.clock", "redis.replicas"][..]),
        ("-info", &["redis.replicas"]),
    ] {
        bed.redis
            .command::<()>(&["ACL", "SETUSER", "wxmint", lacks]);
        let report = Report::of(&bed.configuration).await;
        for name in unchecked {
            report.advice(name, "warning", "not checked: ");
        }
        follow(
            &report.advice("redis.rights", "fault", lacks.trim_start_matches('-')),
            &bed.redis,
        );
    }
    bed.redis.command::<()>(&["CONFIG", "SET", "save", ""]);
    let report = Report::of(&bed.configuration).await;
    let [status, found, _] = report.worst("redis.persistence");
    assert!(
        status == "ok" && found.contains("does not say whether it makes snapshots"),
        "{found}"
    );
    Report::of(&bed.configuration).await.expect_healthy();

    bed.configuration.set_all(clock_off_by("-100s"));
    // The key was made ten minutes ago, so that it signs by the slow clock too, and nothing of an hour ago may be lost.
    super::files::date_keys(&bed.configuration, -600);
    let report = Report::of(&bed.configuration).await;
    assert_eq!(
        report.advice("redis.clock", "fault", "s behind the clock of Redis"),
        "set both by NTP"
    );
    assert_eq!(
        report.advice("wechat.clock", "warning", "s behind that of WeChat"),
        "set both by NTP"
    );
    bed.configuration.unset("LD_PRELOAD");
    Report::of(&bed.configuration).await.expect_healthy();
}

/// No login needs the rights to look for people. Without them the tokens of people whose merchant leaves stay valid.
#[tokio::test]
async fn with_a_platform_clients_of_merchants_are_known_and_the_rights_to_look_for_people_are_granted_by_the_advice()
 {
    let builder = TestBed::builder()
        .redis_password(REDIS_PASSWORD)
        .clients(&two_pages());
    let mut bed = crate::platforms::ticketed(builder).await;
    found(&bed, "clients", "warning", "is no mini program").await;
    bed.wechat
        .control("platform/merchants", "POST", &json!({"appid": APPID}))
        .await;
    let is_ok = async |name| Report::of(&bed.configuration).await.status(name) == "ok";
    until("the doctor knows the merchant", PATIENCE, async || {
        is_ok("clients").await
    })
    .await;
    until("WeChat's list is compared", PATIENCE, async || {
        is_ok("wechat.platform").await
    })
    .await;

    bed.configuration.set(
        "WXMINT_REDIS_URL",
        &url_of_documented_user(&bed.redis, REDIS_PASSWORD, ""),
    );
    follow(
        &found(&bed, "wechat.platform", "warning", "a merchant that leaves").await,
        &bed.redis,
    );
    assert_eq!(
        Report::of(&bed.configuration)
            .await
            .status("wechat.platform"),
        "ok"
    );
}

#[tokio::test]
async fn a_redis_that_is_stopped_hangs_refuses_or_is_not_there_is_said_by_the_doctor_readiness_and_the_log()
 {
    let mut bed = healthy().await;
    bed.redis.kill();
    let report = Report::of(&bed.configuration).await;
    assert!(
        report
            .advice("redis.reach", "fault", "refused")
            .starts_with("start Redis")
    );
    for name in &super::NAMES[6..13] {
        assert!(
            report.worst(name)[1].contains("Redis is not reached"),
            "{name}: {}",
            report.output
        );
    }
    assert_eq!(
        (report.code, report.status("wechat.credentials")),
        (2, "ok")
    );
    assert_eq!(
        ["keys", "vault", "user_ids"].map(|name| report.status(name)),
        ["warning"; 3],
        "Redis knows more"
    );
    bed.redis.start_again().await;
    Report::of(&bed.configuration).await.expect_healthy();
    bed.redis.freeze();
    assert!(
        found(&bed, "redis.reach", "fault", "no answer")
            .await
            .contains("hangs")
    );
    bed.redis.thaw();
    Report::of(&bed.configuration).await.expect_healthy();

    let (right, address) = (
        bed.redis.url(),
        format!("Redis at 127.0.0.1:{}: ", bed.redis.port()),
    );
    for (url, reason) in [
        (
            format!("{right}/99"),
            "it refuses database 99: DB index is out of range",
        ),
        (
            right.replace(REDIS_PASSWORD, "not-the-password"),
            "it refuses the user name or the password",
        ),
        (
            right.replace(&bed.redis.user_part(), ""),
            "it answered NOAUTH: it wants a password",
        ),
        (
            "redis://127.0.0.1:1".into(),
            "Redis at 127.0.0.1:1: Connection refused",
        ),
    ] {
        bed.configuration.set("WXMINT_REDIS_URL", &url);
        let service = Service::start(&bed.configuration, bed.http.clone()).await;
        until(reason, PATIENCE, async || {
            service.readyz().await.body.contains(reason)
        })
        .await;
        let address = if url.ends_with(":1") {
            "127.0.0.1:1: "
        } else {
            &address
        };
        let is_told = |line: &String| {
            ["not ready", address, reason]
                .iter()
                .all(|words| line.contains(words))
        };
        until("told", PATIENCE, async || {
            service.stderr().iter().any(is_told)
        })
        .await;
        found(
            &bed,
            "redis.reach",
            "fault",
            reason.rsplit(": ").next().expect("words"),
        )
        .await;
    }

    // It evicts no binding, so that wxmint becomes ready all the same.
    bed.configuration.set("WXMINT_REDIS_URL", &right);
    bed.redis
        .command::<()>(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    let service = bed.another().await;
    let readyz = service.readyz().await;
    assert!(
        readyz.status == 200 && readyz.body.contains("maxmemory-policy volatile-lru"),
        "{readyz:?}"
    );
}

/// Bindings are nowhere else.
#[tokio::test]
async fn a_server_without_a_replica_is_warned_about_unless_that_is_meant_and_one_that_must_confirm_and_is_gone_is_a_fault()
 {
    let mut bed = TestBed::builder().services(0).start().await;
    for (confirm, status) in [("auto", "warning"), ("0", "ok")] {
        bed.configuration.set("WXMINT_REDIS_CONFIRM", confirm);
        assert_eq!(
            Report::of(&bed.configuration)
                .await
                .status("redis.replicas"),
            status,
            "{confirm}"
        );
    }
    let mut replica = RedisServer::replica_of(&bed.redis).await;
    for confirm in ["auto", "1"] {
        bed.configuration.set("WXMINT_REDIS_CONFIRM", confirm);
        Report::of(&bed.configuration).await.expect_healthy();
    }
    replica.kill();
    let advice = found(&bed, "redis.replicas", "fault", "has 0 replicas online").await;
    let setting = advice
        .split(' ')
        .find_map(|word| word.split_once('='))
        .expect("a setting");
    bed.configuration.set(setting.0, setting.1);
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn a_redis_that_reads_its_data_from_disk_is_waited_for() {
    let slowly = [
        "--key-load-delay",
        "20000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    let mut bed = TestBed::builder()
        .services(0)
        .redis_options(&slowly)
        .start()
        .await;
    let fill =
        "for number = 1, 500 do redis.call('SET', 'key' .. number, string.rep('x', 2000)) end";
    bed.redis.command::<()>(&["EVAL", fill, "0"]);
    bed.redis.command::<()>(&["SAVE"]);
    bed.redis.kill();
    bed.redis.start_again().await;
    assert_eq!(
        found(&bed, "redis.reach", "fault", "still reading its data").await,
        "wait until it has read its data"
    );
    bed.redis
        .command::<()>(&["CONFIG", "SET", "key-load-delay", "0"]);
    until("loaded", PATIENCE, async || {
        bed.redis
            .command::<String>(&["INFO", "persistence"])
            .contains("loading:0")
    })
    .await;
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_primary_of_a_cluster_is_looked_at() {
    let mut bed = TestBed::builder()
        .services(0)
        .start_on(RedisCluster::start().await)
        .await;
    let report = Report::of(&bed.configuration).await;
    report.expect_healthy();
    let mut last = None;
    for node in bed.redis.primaries() {
        let (node, address) = (
            bed.redis.node(node),
            format!("127.0.0.1:{}", bed.redis.node(node).port()),
        );
        assert!(
            report.worst("redis.reach")[1].contains(&address),
            "{address}: {}",
            report.output
        );
        last = Some((node, address));
    }
    let (node, address) = last.expect("a primary");
    node.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    follow(
        &found(&bed, "redis.eviction", "fault", &address).await,
        node,
    );
    node.command::<()>(&["ACL", "SETUSER", "default", "-hset"]);
    follow(&found(&bed, "redis.rights", "fault", &address).await, node);
    let right = bed.redis.url();
    bed.configuration
        .set("WXMINT_REDIS_URL", &bed.redis.node(0).url());
    let advice = found(&bed, "redis.reach", "fault", "MOVED").await;
    assert!(
        advice.starts_with("write redis+cluster:// instead of redis://"),
        "{advice}"
    );
    bed.configuration.set("WXMINT_REDIS_URL", &right);
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinels_name_is_looked_at() {
    let mut bed = TestBed::builder()
        .services(0)
        .start_on(Sentinel::start().await)
        .await;
    Report::of(&bed.configuration).await.expect_healthy();
    let right = bed.redis.url();
    bed.configuration.set(
        "WXMINT_REDIS_URL",
        &format!("{}/another", right.rsplit_once('/').expect("a master").0),
    );
    let advice = found(&bed, "redis.reach", "fault", "name no server").await;
    assert!(advice.contains("`sentinel monitor`"), "{advice}");
    bed.configuration.set("WXMINT_REDIS_URL", &right);
    Report::of(&bed.configuration).await.expect_healthy();
}
