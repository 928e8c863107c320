//! A Redis Cluster of real servers: nodes that can be killed, frozen, promoted and given slots.

use std::{ops::RangeInclusive, time::Duration};

use redis::RedisResult;

use super::{Breakable, PATIENCE, RedisServer, eventually, free_port, until};

const SLOTS: usize = 16_384;
const PRIMARIES: usize = 3;

/// How long a node may say nothing before it counts as failed. Shorter, and a busy machine promotes replicas.
const NODE_TIMEOUT: Duration = Duration::from_secs(1);

/// A vote among the nodes comes after [`NODE_TIMEOUT`] and takes another second.
const FAILOVER: Duration = PATIENCE.saturating_mul(3);

/// The nodes are numbered: first those that begin as primaries, then the replicas of the first, of the second…
pub(crate) struct RedisCluster {
    nodes: Vec<Node>,
}

struct Node {
    server: RedisServer,
    id: String,
}

/// A node says this of itself.
#[derive(Debug)]
struct Claim {
    primary: bool,
    epoch: u64,
    slots: Vec<RangeInclusive<usize>>,
}

impl RedisCluster {
    /// Three primaries with a replica each: all slots served, and every replica with all that its primary has.
    pub(crate) async fn start() -> Self {
        Self::of(1, &[], "").await
    }

    /// Three primaries with so many replicas each, and further options of each node's command line.
    pub(crate) async fn of(replicas: usize, further: &[&str], password: &str) -> Self {
        let nodes = (0..PRIMARIES * (1 + replicas)).map(|_| {
            let server = RedisServer::with(|| options(further, password), password);
            let id = server.command(&["CLUSTER", "MYID"]);
            Node { server, id }
        });
        let cluster = Self {
            nodes: nodes.collect(),
        };
        cluster.form(replicas).await;
        cluster
    }

    /// For `WXMINT_REDIS_URL`, with every node as a seed.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self
            .nodes
            .iter()
            .map(|node| format!("127.0.0.1:{}", node.server.port()))
            .collect();
        let user = self.nodes[0].server.user_part();
        format!("redis+cluster://{user}{}", hosts.join(","))
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn node(&self, node: usize) -> &RedisServer {
        &self.nodes[node].server
    }

    /// The slot of a key.
    pub(crate) fn slot(&self, key: &str) -> usize {
        self.living()
            .next()
            .expect("a node that answers")
            .server
            .command(&["CLUSTER", "KEYSLOT", key])
    }

    /// The node that serves a slot, by the newest claim among the nodes that answer; none while there is none.
    pub(crate) fn primary_of(&self, slot: usize) -> Option<usize> {
        let claims = (0..self.nodes()).filter_map(|node| Some((node, self.claim(node)?)));
        let owners = claims.filter(|(_, claim)| {
            claim.primary && claim.slots.iter().any(|range| range.contains(&slot))
        });
        owners
            .max_by_key(|(_, claim)| claim.epoch)
            .map(|(node, _)| node)
    }

    /// A slot that a primary serves.
    pub(crate) fn slot_at(&self, primary: usize) -> usize {
        *self
            .claim(primary)
            .and_then(|claim| claim.slots.into_iter().next())
            .expect("a slot")
            .start()
    }

    /// All primaries that answer and have slots.
    pub(crate) fn primaries(&self) -> Vec<usize> {
        let serves = |node: &usize| {
            self.claim(*node)
                .is_some_and(|claim| claim.primary && !claim.slots.is_empty())
        };
        (0..self.nodes()).filter(serves).collect()
    }

    /// The replicas of a node, by its own words.
    pub(crate) fn replicas_of(&self, primary: usize) -> Vec<usize> {
        // Refused if it has just become a replica.
        let said: RedisResult<Vec<String>> =
            self.node(primary)
                .try_command(&["CLUSTER", "REPLICAS", &self.nodes[primary].id]);
        let lines = said.unwrap_or_default();
        let is_named = |node: &usize| {
            lines
                .iter()
                .any(|line| line.starts_with(&self.nodes[*node].id))
        };
        (0..self.nodes()).filter(is_named).collect()
    }

    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].server.kill();
    }

    pub(crate) async fn start_again(&mut self, node: usize) {
        self.nodes[node].server.start_again().await;
    }

    /// Every node gets another password, for its clients and for its replicas. All connections are closed.
    pub(crate) fn change_password(&mut self, password: &str) {
        self.nodes
            .iter_mut()
            .for_each(|node| node.server.change_password(password));
    }

    /// The orderly failover: the primary pauses its clients until the replica has everything. Returns when the replica
    /// is primary by its own words; other nodes, and the old primary, may learn of it later.
    pub(crate) async fn fail_over_to(&self, replica: usize) {
        until("a promoted replica", FAILOVER, async || {
            // Refused while the replica has just lost its link to the primary, and lost when the vote is.
            let _: RedisResult<()> = self.node(replica).try_command(&["CLUSTER", "FAILOVER"]);
            self.claim(replica).is_some_and(|claim| claim.primary)
        })
        .await;
    }

    /// The node that serves `slot` once that is another node than `lost`.
    pub(crate) async fn successor(&self, slot: usize, lost: usize) -> usize {
        eventually("a successor", FAILOVER, async || {
            self.primary_of(slot).filter(|node| *node != lost)
        })
        .await
    }

    /// Waits until all slots are served by the word of every node that answers, and every replica that answers is known
    /// to its primary, confirms what that writes, and is held for dead by nobody. (A replica that has just come back
    /// has all the data a tenth of a second before the other nodes have noticed that it lives.)
    pub(crate) async fn whole(&self) {
        until("a whole Cluster", FAILOVER, async || self.is_whole()).await;
    }

    /// From here until [`end_move`](Self::end_move), a key of the slot is answered by MOVED, ASK or TRYAGAIN, depending
    /// on whom one asks and where the key is.
    pub(crate) fn begin_move(&self, slot: usize, from: usize, to: usize) {
        let slot = slot.to_string();
        self.node(to).command::<()>(&[
            "CLUSTER",
            "SETSLOT",
            &slot,
            "IMPORTING",
            &self.nodes[from].id,
        ]);
        self.node(from).command::<()>(&[
            "CLUSTER",
            "SETSLOT",
            &slot,
            "MIGRATING",
            &self.nodes[to].id,
        ]);
    }

    /// Moves the keys of the slot that are still there.
    pub(crate) fn move_keys(&self, slot: usize, from: usize, to: usize) {
        let (slot, port) = (slot.to_string(), self.node(to).port().to_string());
        loop {
            let keys: Vec<String> =
                self.node(from)
                    .command(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
            if keys.is_empty() {
                return;
            }
            let mut words = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
            let password = self.node(to).password();
            if !password.is_empty() {
                words.extend(["AUTH", password]);
            }
            words.push("KEYS");
            words.extend(keys.iter().map(String::as_str));
            self.node(from).command::<()>(&words);
        }
    }

    /// Tells the new owner first, so that no moment passes in which neither believes to have the slot, and then all.
    pub(crate) fn end_move(&self, slot: usize, to: usize) {
        let (slot, id) = (slot.to_string(), &self.nodes[to].id);
        self.node(to)
            .command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", id]);
        for node in self.primaries() {
            self.node(node)
                .command::<()>(&["CLUSTER", "SETSLOT", &slot, "NODE", id]);
        }
    }

    /// A slot with its keys, to another primary.
    pub(crate) fn move_slot(&self, slot: usize, to: usize) {
        let from = self.primary_of(slot).expect("an owner");
        self.begin_move(slot, from, to);
        self.move_keys(slot, from, to);
        self.end_move(slot, to);
    }

    /// A proxy before each node, of which all clients learn that ask for the slots from now on.
    pub(crate) async fn behind_proxies(&self) -> Vec<Breakable> {
        let mut proxies = Vec::new();
        for Node { server, .. } in &self.nodes {
            let proxy = Breakable::before(([127, 0, 0, 1], server.port()).into()).await;
            server.command::<()>(&[
                "CONFIG",
                "SET",
                "cluster-announce-port",
                &proxy.port().to_string(),
            ]);
            proxies.push(proxy);
        }
        until("all nodes name the proxies", PATIENCE, async || {
            self.nodes.iter().all(|node| {
                let said: String = node.server.command(&["CLUSTER", "NODES"]);
                proxies
                    .iter()
                    .all(|proxy| said.contains(&format!(":{}@", proxy.port())))
            })
        })
        .await;
        proxies
    }

    /// Whether all primaries, or some, hold a node for dead by the word of the majority.
    pub(crate) fn hold_failed(&self, node: usize) -> (bool, bool) {
        let holds_failed = |primary: usize| {
            let said: String = self.node(primary).command(&["CLUSTER", "NODES"]);
            let flags = said
                .lines()
                .find(|line| line.starts_with(&self.nodes[node].id))
                .and_then(|line| line.split(' ').nth(2));
            flags.is_some_and(|flags| flags.split(',').any(|flag| flag == "fail"))
        };
        let held: Vec<_> = self.primaries().into_iter().map(holds_failed).collect();
        (held.iter().all(|held| *held), held.contains(&true))
    }

    fn living(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.server.answers())
    }

    fn claim(&self, node: usize) -> Option<Claim> {
        let node = &self.nodes[node];
        let said: String = node
            .server
            .answers()
            .then(|| node.server.try_command(&["CLUSTER", "NODES"]).ok())??;
        let fields: Vec<_> = said
            .lines()
            .find(|line| line.contains("myself"))?
            .split(' ')
            .collect();
        Some(Claim {
            primary: fields[2].contains("master"),
            epoch: fields[6].parse().expect("an epoch"),
            slots: fields[8..]
                .iter()
                .filter(|slots| !slots.starts_with('['))
                .map(|slots| range(slots))
                .collect(),
        })
    }

    fn is_whole(&self) -> bool {
        let ok = |node: &Node| {
            let info: RedisResult<String> = node.server.try_command(&["CLUSTER", "INFO"]);
            let replication: RedisResult<String> =
                node.server.try_command(&["INFO", "replication"]);
            info.is_ok_and(|said| said.contains("cluster_state:ok"))
                && replication.is_ok_and(|said| {
                    said.contains("role:master") || said.contains("master_link_status:up")
                })
        };
        let primaries = self.primaries();
        let living: Vec<_> = (0..self.nodes())
            .filter(|node| self.node(*node).answers())
            .collect();
        let replicas = |primary: &usize| {
            self.replicas_of(*primary)
                .into_iter()
                .filter(|replica| living.contains(replica))
                .count()
        };
        let is_confirmed = |primary: &usize| self.node(*primary).is_confirmed_by(replicas(primary));
        let claims = (0..self.nodes())
            .filter_map(|node| self.claim(node))
            .filter(|claim| claim.primary);
        self.living().all(ok)
            && claims
                .flat_map(|claim| claim.slots)
                .map(Iterator::count)
                .sum::<usize>()
                == SLOTS
            && !living.iter().any(|node| self.hold_failed(*node).1)
            && primaries.len() + primaries.iter().map(replicas).sum::<usize>() == living.len()
            && primaries.iter().all(is_confirmed)
    }

    async fn form(&self, replicas: usize) {
        for (number, node) in self.nodes.iter().enumerate() {
            // Without it, the nodes would settle their epochs by collisions.
            node.server
                .command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            for other in &self.nodes[..number] {
                let port = other.server.port().to_string();
                let [_, bus]: [String; 2] =
                    other.server.command(&["CONFIG", "GET", "cluster-port"]);
                node.server
                    .command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
            }
        }
        for (number, node) in self.nodes[..PRIMARIES].iter().enumerate() {
            let border = |number: usize| number * SLOTS / PRIMARIES;
            let [first, last] =
                [border(number), border(number + 1) - 1].map(|slot| slot.to_string());
            node.server
                .command::<()>(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        until("all nodes know each other", PATIENCE, async || {
            self.nodes.iter().all(|node| self.knows_all(node))
        })
        .await;
        for (number, node) in self.nodes[PRIMARIES..].iter().enumerate() {
            let primary = &self.nodes[number / replicas].id;
            node.server
                .command::<()>(&["CLUSTER", "REPLICATE", primary]);
        }
        until("all replicas are known", FAILOVER, async || {
            self.is_whole() && self.nodes.iter().all(|node| knows_replicas(node, replicas))
        })
        .await;
    }

    fn knows_all(&self, node: &Node) -> bool {
        let said: String = node.server.command(&["CLUSTER", "NODES"]);
        self.nodes.iter().all(|other| said.contains(&other.id)) && !said.contains("handshake")
    }
}

fn options(further: &[&str], password: &str) -> Vec<String> {
    let [bus, timeout] = [
        free_port().to_string(),
        NODE_TIMEOUT.as_millis().to_string(),
    ];
    let mut options = [
        ["--cluster-enabled", "yes"],
        ["--cluster-port", &bus],
        ["--cluster-node-timeout", &timeout],
        // No replica goes over to a primary that has none: tests say who has how many.
        ["--cluster-allow-replica-migration", "no"],
        ["--repl-diskless-sync-delay", "0"],
        // CLUSTER SLOTS leaves out replicas that have received nothing, which a ping ends.
        ["--repl-ping-replica-period", "1"],
    ]
    .concat();
    options.extend(further);
    if !password.is_empty() {
        options.extend(["--masterauth", password]);
    }
    options.into_iter().map(str::to_owned).collect()
}

/// `5461` or `0-5460`.
fn range(slots: &str) -> RangeInclusive<usize> {
    let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
    let number = |text: &str| text.parse().expect("a slot");
    number(first)..=number(last)
}

/// By the word of every node, each range has its replicas: who asks for the slots gets the whole answer.
fn knows_replicas(node: &Node, replicas: usize) -> bool {
    let slots: Vec<Vec<redis::Value>> = node.server.command(&["CLUSTER", "SLOTS"]);
    slots.len() == PRIMARIES && slots.iter().all(|range| range.len() == 3 + replicas)
}
