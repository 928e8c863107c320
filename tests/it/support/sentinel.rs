//! A primary with replicas under Sentinel: real servers, real sentinels, each of which can be killed and frozen.

use std::{collections::HashMap, time::Duration};

use redis::RedisResult;

use super::{PATIENCE, RedisServer, eventually, redis_server::EMPTY_FILE, until};

/// The name under which the sentinels know the primary.
const MASTER: &str = "wxmint";
/// The user that clients are on the servers, and its password.
const CLIENT: &str = "client";
/// How long a server may say nothing before a sentinel takes it for dead. Shorter, and a busy machine loses some.
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// A vote among the sentinels may be lost and be repeated.
const FAILOVER: Duration = PATIENCE.saturating_mul(3);

/// Sentinel's own intervals, some of which are seconds: what is waited for in a test is the failover, not them.
const INTERVALS: &str = "info-period 500 ping-period 200 ask-period 200 publish-period 200 election-timeout 2000 \
                         min-link-reconnect-period 200 tilt-period 1000";

/// Servers and sentinels are numbered; server 0 begins as the primary.
pub(crate) struct Sentinel {
    servers: Vec<RedisServer>,
    sentinels: Vec<RedisServer>,
}

impl Sentinel {
    /// Three sentinels, a primary, two replicas: all of them known to every sentinel, and the replicas complete.
    pub(crate) async fn start() -> Self {
        Self::of(2).await
    }

    /// The same with so many replicas.
    pub(crate) async fn of(replicas: usize) -> Self {
        let servers = started(1 + replicas, &["--repl-diskless-sync-delay", "0"]);
        let port = servers[0].port().to_string();
        servers[1..]
            .iter()
            .for_each(|server| server.command(&["REPLICAOF", "127.0.0.1", &port]));
        servers.iter().for_each(admit_clients);
        let sentinels = started(3, &[EMPTY_FILE, "--sentinel"]);
        for server in &sentinels {
            hurry(server);
            let down_after = DOWN_AFTER.as_millis().to_string();
            server.command::<()>(&["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, "2"]);
            for (name, value) in [
                ("down-after-milliseconds", down_after.as_str()),
                ("failover-timeout", "3000"),
            ] {
                server.command::<()>(&["SENTINEL", "SET", MASTER, name, value]);
            }
        }
        let started = Self { servers, sentinels };
        started.whole().await;
        started
    }

    /// For `WXMINT_REDIS_URL`.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self
            .sentinels
            .iter()
            .map(|it| format!("127.0.0.1:{}", it.port()))
            .collect();
        format!(
            "redis+sentinel://{CLIENT}:{CLIENT}@{}/{MASTER}",
            hosts.join(",")
        )
    }

    pub(crate) fn server(&self, number: usize) -> &RedisServer {
        &self.servers[number]
    }

    pub(crate) fn sentinel(&self, number: usize) -> &RedisServer {
        &self.sentinels[number]
    }

    /// The server that most of the sentinels that answer name; none while they disagree.
    pub(crate) fn primary(&self) -> Option<usize> {
        let named: Vec<_> = self
            .sentinels
            .iter()
            .filter(|it| it.answers())
            .filter_map(named_by)
            .collect();
        let agree = |port: u16| named.iter().filter(|other| **other == port).count() >= 2;
        self.servers.iter().position(|server| agree(server.port()))
    }

    /// The servers that take themselves for a primary.
    pub(crate) fn think_they_are_primary(&self) -> Vec<usize> {
        let says = |server: &RedisServer| {
            server
                .try_command::<String>(&["INFO", "replication"])
                .unwrap_or_default()
        };
        let is_one = |number: &usize| {
            self.server(*number).answers() && says(self.server(*number)).contains("role:master")
        };
        (0..self.servers.len()).filter(is_one).collect()
    }

    pub(crate) fn kill(&mut self, server: usize) {
        self.servers[server].kill();
    }

    /// It comes back as what it was; the sentinels make it a replica later.
    pub(crate) async fn start_again(&mut self, server: usize) {
        self.servers[server].start_again().await;
        admit_clients(&self.servers[server]);
    }

    pub(crate) fn kill_sentinel(&mut self, sentinel: usize) {
        self.sentinels[sentinel].kill();
    }

    /// The servers keep theirs.
    pub(crate) fn give_sentinels_the_password(&mut self, password: &str) {
        self.sentinels
            .iter_mut()
            .for_each(|sentinel| sentinel.change_password(password));
    }

    /// From here on the server lets in neither sentinels nor replicas, as if cut off, and clients as before.
    pub(crate) fn cut_off(&mut self, server: usize) {
        let server = &mut self.servers[server];
        server.change_password("known to nobody");
        server.command::<i64>(&["CLIENT", "KILL", "TYPE", "replica"]);
    }

    /// `SENTINEL FAILOVER`, which the old primary learns of last. Returns when the sentinels name another server.
    pub(crate) async fn fail_over(&self) -> usize {
        let old = self.primary().expect("a primary");
        let asked = self
            .sentinels
            .iter()
            .find(|it| it.answers())
            .expect("a sentinel that answers");
        until("a failover", FAILOVER, async || {
            if named_by(asked) == Some(self.server(old).port()) {
                // Refused while one is under way. It may come to nothing.
                let _: RedisResult<()> = asked.try_command(&["SENTINEL", "FAILOVER", MASTER]);
            }
            self.primary().is_some_and(|server| server != old)
        })
        .await;
        self.successor(old).await
    }

    /// The server that the sentinels name once that is another one than `lost`.
    pub(crate) async fn successor(&self, lost: usize) -> usize {
        eventually("a successor", FAILOVER, async || {
            self.primary().filter(|server| *server != lost)
        })
        .await
    }

    /// Waits until the sentinels that answer agree and know each other and all replicas, and the servers that answer
    /// are the primary that they name and replicas of it that confirm what it writes.
    pub(crate) async fn whole(&self) {
        until("all is whole", FAILOVER, async || self.is_whole()).await;
    }

    /// Whether all sentinels, or some, hold a replica for dead.
    pub(crate) fn hold_down(&self, replica: usize) -> (bool, bool) {
        let port = self.server(replica).port().to_string();
        let holds_down = |sentinel: &RedisServer| {
            let said: Vec<HashMap<String, String>> =
                sentinel.command(&["SENTINEL", "REPLICAS", MASTER]);
            said.iter()
                .any(|replica| replica["port"] == port && replica["flags"].contains("s_down"))
        };
        let held: Vec<_> = self.sentinels.iter().map(holds_down).collect();
        (held.iter().all(|held| *held), held.contains(&true))
    }

    fn is_whole(&self) -> bool {
        let Some(primary) = self.primary() else {
            return false;
        };
        let port = format!("master_port:{}\r", self.server(primary).port());
        let in_step = |number: usize| {
            let said: RedisResult<String> =
                self.server(number).try_command(&["INFO", "replication"]);
            said.is_ok_and(|said| match number == primary {
                true => said.contains("role:master"),
                false => said.contains(&port) && said.contains("master_link_status:up"),
            })
        };
        let knows_all = |sentinel: &RedisServer| {
            let said: RedisResult<String> = sentinel.try_command(&["INFO", "sentinel"]);
            let known = format!(
                "slaves={},sentinels={}",
                self.servers.len() - 1,
                self.sentinels.len()
            );
            said.is_ok_and(|said| said.contains(&known) && said.contains("status=ok"))
        };
        (0..self.servers.len())
            .filter(|number| self.server(*number).answers())
            .all(in_step)
            && self.sentinels.iter().any(RedisServer::answers)
            && self
                .sentinels
                .iter()
                .filter(|it| it.answers())
                .all(knows_all)
            && self
                .server(primary)
                .is_confirmed_by(self.servers.iter().filter(|it| it.answers()).count() - 1)
    }
}

fn started(count: usize, options: &[&str]) -> Vec<RedisServer> {
    let options = || options.iter().map(|&option| option.to_owned()).collect();
    (0..count).map(|_| RedisServer::with(options, "")).collect()
}

/// The port of the server that a sentinel names.
fn named_by(sentinel: &RedisServer) -> Option<u16> {
    let named =
        sentinel.try_command::<[String; 2]>(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER]);
    named.ok()?[1].parse().ok()
}

/// Not as the user of sentinels and replicas, so that a test can shut those out alone.
fn admit_clients(server: &RedisServer) {
    server.command::<()>(&[
        "ACL",
        "SETUSER",
        CLIENT,
        "on",
        &format!(">{CLIENT}"),
        "~*",
        "&*",
        "+@all",
    ]);
}

fn hurry(sentinel: &RedisServer) {
    sentinel.command::<()>(
        &["SENTINEL", "DEBUG"]
            .into_iter()
            .chain(INTERVALS.split(' '))
            .collect::<Vec<_>>(),
    );
}
