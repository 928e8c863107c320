//! What may be wrong with Redis.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{REDIS_PASSWORD, Report, command_of, healthy};
use crate::support::{
    Authority, Configuration, PATIENCE, RedisCluster, RedisServer, Sentinel, TestBed, free_port, libfaketime,
    repository, until,
};

/// Runs the command of an advice on a server.
fn follow(advice: &str, redis: &RedisServer) {
    redis.command::<()>(&command_of(advice).split(' ').collect::<Vec<_>>());
}

async fn found(bed: &TestBed, name: &str, status: &str, words: &str) -> String {
    Report::of(&bed.configuration).await.advice(name, status, words)
}

#[tokio::test]
async fn settings_of_the_server_are_mended_by_the_commands_of_the_advice() {
    let bed = healthy().await;
    for (spoil, name, status, words) in [
        (&["maxmemory-policy", "allkeys-lru"][..], "redis.eviction", "fault", "allkeys-lru"),
        (&["save", ""], "redis.persistence", "warning", "writes nothing to disk"),
        (&["min-replicas-to-write", "1"], "redis.reach", "fault", "too few replicas"),
    ] {
        bed.redis.command::<()>(&[&["CONFIG", "SET"], spoil].concat());
        follow(&found(&bed, name, status, words).await, &bed.redis);
        Report::of(&bed.configuration).await.expect_healthy();
    }
}

#[tokio::test]
async fn a_redis_whose_memory_is_full_is_a_fault() {
    let bed = healthy().await;
    bed.redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let advice = found(&bed, "redis.reach", "fault", "its memory is full").await;
    assert!(advice.ends_with("CONFIG SET maxmemory SIZE"), "{advice}");
    bed.redis.command::<()>(&["CONFIG", "SET", "maxmemory", "1gb"]);
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn a_redis_that_cannot_write_its_snapshot_is_a_fault() {
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
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn rights_that_a_user_lacks_are_granted_by_the_rule_of_the_advice() {
    let mut bed = healthy().await;
    let page = std::fs::read_to_string(repository("docs/redis.md")).expect("docs/redis.md");
    let rule = page.lines().find(|line| line.starts_with("ACL SETUSER wxmint")).expect("a rule");
    let rule = rule.replace(">PASSWORD", &format!(">{REDIS_PASSWORD}"));
    bed.redis.command::<()>(&rule.split(' ').collect::<Vec<_>>());
    let url = bed.redis.url().replace("redis://:", "redis://wxmint:");
    bed.configuration.set("WXMINT_REDIS_URL", &url);
    Report::of(&bed.configuration).await.expect_healthy();
    for (lacks, status) in [
        (&["-hset", "-evalsha"][..], "fault"),
        (&["-xadd", "-xrange"], "warning"),
        (&["-wait"], "warning"),
        (&["resetkeys", "~other:*"], "fault"),
    ] {
        bed.redis.command::<()>(&[&["ACL", "SETUSER", "wxmint"], lacks].concat());
        follow(&found(&bed, "redis.rights", status, "the user wxmint lacks rights").await, &bed.redis);
        Report::of(&bed.configuration).await.expect_healthy();
    }
    assert_eq!(bed.redis.everything(), []);
}

#[tokio::test]
async fn a_redis_that_is_stopped_or_hangs_is_not_reached() {
    let mut bed = healthy().await;
    bed.redis.kill();
    let report = Report::of(&bed.configuration).await;
    assert!(report.advice("redis.reach", "fault", "refused").starts_with("start Redis"));
    for name in &super::NAMES[5..12] {
        assert!(report.worst(name)[1].contains("Redis is not reached"), "{name}: {}", report.output);
    }
    assert_eq!((report.code, report.status("wechat.credentials")), (2, "ok"));
    bed.redis.start_again().await;
    Report::of(&bed.configuration).await.expect_healthy();
    bed.redis.freeze();
    assert!(found(&bed, "redis.reach", "fault", "no answer").await.contains("hangs"));
    bed.redis.thaw();
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn a_password_that_is_wrong_or_missing_is_named() {
    let mut bed = healthy().await;
    let right = bed.redis.url();
    for (part, words) in [(":not-the-password@", "refuses the user name or the password"), ("", "wants a password")] {
        bed.configuration.set("WXMINT_REDIS_URL", &right.replace(&bed.redis.user_part(), part));
        let advice = found(&bed, "redis.reach", "fault", words).await;
        assert!(advice.contains("password into WXMINT_REDIS_URL"), "{advice}");
        bed.configuration.set("WXMINT_REDIS_URL", &right);
        Report::of(&bed.configuration).await.expect_healthy();
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_trusted_after_the_advice() {
    let folder = tempfile::tempdir().expect("a folder");
    let [ours, others] = ["ours", "others"].map(|name| Authority::new(&folder.path().join(name)));
    ours.sign("server", &["localhost"]);
    let port = free_port();
    let options = ours.redis_options(port, "server", false);
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let mut bed = TestBed::builder().services(0).redis_options(&options).start().await;
    let in_use = folder.path().join("ca.crt");
    std::fs::copy(others.path("ca.crt"), &in_use).expect("copied");
    bed.configuration.set("WXMINT_REDIS_URL", &format!("rediss://localhost:{port}"));
    bed.configuration.set("WXMINT_REDIS_CA_FILE", &in_use.to_string_lossy());
    let advice = found(&bed, "redis.reach", "fault", "its certificate is not trusted").await;
    assert_eq!(advice, "put the authority that did into that file");
    std::fs::copy(ours.path("ca.crt"), &in_use).expect("copied");
    Report::of(&bed.configuration).await.expect_healthy();
    bed.configuration.set("WXMINT_REDIS_URL", &format!("rediss://localhost:{}", bed.redis.port()));
    let advice = found(&bed, "redis.reach", "fault", "").await;
    assert!(advice.contains("TLS"), "{advice}");
}

#[tokio::test]
async fn a_replica_that_must_confirm_and_is_gone_is_a_fault() {
    let mut bed = TestBed::builder().services(0).env("WXMINT_REDIS_CONFIRM", "1").start().await;
    let mut replica = RedisServer::replica_of(&bed.redis).await;
    Report::of(&bed.configuration).await.expect_healthy();
    replica.kill();
    let advice = found(&bed, "redis.replicas", "fault", "has 0 replicas that are online").await;
    let setting = advice.split(' ').find_map(|word| word.split_once('=')).expect("a setting");
    bed.configuration.set(setting.0, setting.1);
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn clocks_that_are_apart_are_warned_about() {
    let mut bed = healthy().await;
    let library = libfaketime().to_string_lossy().into_owned();
    for (name, value) in
        [("LD_PRELOAD", library.as_str()), ("FAKETIME", "-100s"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]
    {
        bed.configuration.set(name, value);
    }
    // The key was made an hour ago, so that it signs by the slow clock too.
    super::files::date_keys(&bed.configuration, -3600);
    let report = Report::of(&bed.configuration).await;
    assert_eq!(report.advice("redis.clock", "warning", "100 s behind the clock of Redis"), "set both by NTP");
    let advice = report.advice("wechat.clock", "warning", "s behind that of WeChat");
    assert_eq!(advice, "set both by NTP");
    bed.configuration.unset("LD_PRELOAD");
    Report::of(&bed.configuration).await.expect_healthy();
}

/// In front of a Redis: each answer comes so much later and is changed.
async fn meddler(target: SocketAddr, delay: Duration, change: fn(String) -> String) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let (mut asked, mut answers) = near.into_split();
            let (mut answered, mut asks) = TcpStream::connect(target).await.expect("Redis").into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asked, &mut asks).await });
            tokio::spawn(async move {
                let mut bytes = vec![0; 1 << 16];
                while let Ok(read @ 1..) = answered.read(&mut bytes).await {
                    tokio::time::sleep(delay).await;
                    let answer = change(String::from_utf8_lossy(&bytes[..read]).into_owned());
                    if answers.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_redis_that_is_old_or_slow_is_warned_about() {
    let mut bed = healthy().await;
    let server = ([127, 0, 0, 1], bed.redis.port()).into();
    let older = |answer: String| match answer.find("redis_version:") {
        // Of the same length, because the answer says how long it is.
        Some(place) => {
            let start = place + "redis_version:".len();
            let length = answer[start..].find('\r').expect("the end of the line");
            format!("{}{:0<length$}{}", &answer[..start], "5.0.1", &answer[start + length..])
        }
        None => answer,
    };
    for (delay, change, name, words) in [
        (0, older as fn(String) -> String, "redis.version", "logouts, unbindings"),
        (80, |answer| answer, "redis.latency", "ms from Redis"),
    ] {
        let before = meddler(server, Duration::from_millis(delay), change).await;
        bed.configuration.set("WXMINT_REDIS_URL", &bed.redis.url_through(before.port()));
        found(&bed, name, "warning", words).await;
    }
    bed.configuration.set("WXMINT_REDIS_URL", &bed.redis.url());
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test]
async fn a_redis_that_reads_its_data_from_disk_is_waited_for() {
    let slowly = [
        ["--key-load-delay", "20000"],
        ["--loading-process-events-interval-bytes", "1024"],
        ["--rdbcompression", "no"],
    ];
    let mut bed = TestBed::builder().services(0).redis_options(slowly.as_flattened()).start().await;
    let fill = "for number = 1, 500 do redis.call('SET', 'key' .. number, string.rep('x', 2000)) end";
    bed.redis.command::<()>(&["EVAL", fill, "0"]);
    bed.redis.command::<()>(&["SAVE"]);
    bed.redis.kill();
    bed.redis.start_again().await;
    assert_eq!(found(&bed, "redis.reach", "fault", "still reading its data").await, "wait until it has read its data");
    bed.redis.command::<()>(&["CONFIG", "SET", "key-load-delay", "0"]);
    until("loaded", PATIENCE, async || bed.redis.command::<String>(&["INFO", "persistence"]).contains("loading:0"))
        .await;
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_primary_of_a_cluster_is_looked_at() {
    let mut bed = TestBed::builder().services(0).start_on(RedisCluster::start().await).await;
    let found = async |configuration: &Configuration, name: &str, words: &str| {
        Report::of(configuration).await.advice(name, "fault", words)
    };
    let report = Report::of(&bed.configuration).await;
    report.expect_healthy();
    for node in bed.redis.primaries() {
        let (node, address) = (bed.redis.node(node), format!("127.0.0.1:{}", bed.redis.node(node).port()));
        assert!(report.worst("redis.reach")[1].contains(&address), "{address}: {}", report.output);
        node.command::<()>(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
        follow(&found(&bed.configuration, "redis.eviction", &address).await, node);
        node.command::<()>(&["ACL", "SETUSER", "default", "-hset"]);
        follow(&found(&bed.configuration, "redis.rights", &address).await, node);
        Report::of(&bed.configuration).await.expect_healthy();
    }
    let right = bed.redis.url();
    bed.configuration.set("WXMINT_REDIS_URL", &bed.redis.node(0).url());
    let advice = found(&bed.configuration, "redis.reach", "MOVED").await;
    assert!(advice.starts_with("write redis+cluster:// instead of redis://"), "{advice}");
    bed.configuration.set("WXMINT_REDIS_URL", &right);
    Report::of(&bed.configuration).await.expect_healthy();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinels_name_is_looked_at() {
    let mut bed = TestBed::builder().services(0).start_on(Sentinel::start().await).await;
    Report::of(&bed.configuration).await.expect_healthy();
    let right = bed.redis.url();
    bed.configuration.set("WXMINT_REDIS_URL", &format!("{}/another", right.rsplit_once('/').expect("a master").0));
    let advice = Report::of(&bed.configuration).await.advice("redis.reach", "fault", "name no server");
    assert!(advice.contains("`sentinel monitor`"), "{advice}");
    bed.configuration.set("WXMINT_REDIS_URL", &right);
    Report::of(&bed.configuration).await.expect_healthy();
}
