//! Stand-ins for the proxies of managed Redis products: RESP2 in front of a real Redis server, with the rules that a
//! product documents. What a product does beyond its pages is unknown here, and so are its shards.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::resp::{ask, command, text};
use crate::support::prelude::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    /// No product: takes what Redis takes.
    Redis,
    /// Tair (Redis OSS-compatible), cluster, proxy mode.
    Alibaba,
    /// Distributed Cache, cluster architecture.
    Tencent,
    /// DCS Redis 5.0, Proxy Cluster.
    Huawei,
}

impl Product {
    /// The commands that its page names, by their first words.
    fn refused(self) -> &'static [&'static str] {
        match self {
            Self::Redis => &[],
            // https://help.aliyun.com/en/redis/developer-reference/limits-on-commands-supported-by-cluster-and-read-write-splitting-instances
            Self::Alibaba => &["CLIENT ID", "CLIENT INFO", "SWAPDB"],
            // https://www.tencentcloud.com/document/product/239/50393: HELLO knows RESP2 alone.
            Self::Tencent => &[
                "CLIENT CACHING",
                "CLIENT INFO",
                "CLIENT LIST",
                "CLIENT TRACKING",
                "RESET",
                "HELLO 3",
            ],
            // https://support.huaweicloud.com/productdesc-dcs/dcs-pd-200813002.html, table 8; HELLO came with Redis 6.
            Self::Huawei => &[
                "CLIENT", "HELLO", "LATENCY", "MODULE", "MOVE", "SWAPDB", "WAIT",
            ],
        }
    }

    /// The error with which the proxy refuses `words`, if it does.
    fn refusal(self, words: &[Vec<u8>]) -> Option<String> {
        let said = words
            .iter()
            .take(2)
            .map(|word| text(word).to_ascii_uppercase() + " ")
            .collect::<String>();
        if self
            .refused()
            .iter()
            .any(|refused| said.starts_with(&format!("{refused} ")))
        {
            return Some(format!("ERR unknown command `{}`", text(&words[0])));
        }
        // Alibaba: https://help.aliyun.com/zh/redis/support/usage-of-lua-scripts. Huawei:
        // https://support.huaweicloud.com/productdesc-dcs/dcs-pd-200813004.html. Tencent has no cross-slot scripts.
        let tags: BTreeSet<&[u8]> = keys_of_script(words)
            .iter()
            .map(|key| hash_tag(key))
            .collect();
        let is_refused = self != Self::Redis && said.starts_with("EVAL") && tags.len() != 1;
        is_refused.then(|| "ERR eval/evalsha command keys must be in same slot".into())
    }
}

/// Listens in front of a server until it is dropped.
pub(crate) struct Proxy {
    pub(crate) server: RedisServer,
    rules: Arc<Rules>,
    accepting: Accepting,
}

struct Rules {
    product: Product,
    server: u16,
    refused: Mutex<BTreeSet<String>>,
    planted: Mutex<Planted>,
}

/// One command has this fate, for no reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Refused,
    /// It is done, its answer does not arrive, and its connection is closed.
    Unanswered,
}

/// A command that has a fate of its own.
#[derive(Default)]
enum Planted {
    #[default]
    None,
    /// The one after so many others; 1 is the next.
    In(u64, Fate),
    /// It was this one.
    Was(String),
}

impl Planted {
    fn fate_of(&mut self, words: &[Vec<u8>]) -> Option<Fate> {
        let Self::In(left, fate) = self else {
            return None;
        };
        *left -= 1;
        let fate = (*left == 0).then_some(*fate);
        if fate.is_some() {
            *self = Self::Was(name_of(words));
        }
        fate
    }
}

impl Proxy {
    pub(crate) async fn before(product: Product) -> Self {
        let server = RedisServer::start(&[], "").await;
        let (refused, planted) = Default::default();
        let rules = Arc::new(Rules {
            product,
            server: server.port(),
            refused,
            planted,
        });
        let known = Arc::clone(&rules);
        let accepting = Accepting::start(move |near| serve(near, Arc::clone(&known)));
        Self {
            server,
            rules,
            accepting,
        }
    }

    /// Gives one command this fate, after so many others; 1 is the next.
    pub(crate) fn plant(&self, number: u64, fate: Fate) {
        *locked(&self.rules.planted) = Planted::In(number, fate);
    }

    /// The command that it was, if there were so many. None has a fate from now on.
    pub(crate) fn has_met(&self) -> Option<String> {
        match std::mem::take(&mut *locked(&self.rules.planted)) {
            Planted::Was(command) => Some(command),
            Planted::None | Planted::In(..) => None,
        }
    }

    /// The errors with which it has refused commands so far.
    pub(super) fn refused(&self) -> BTreeSet<String> {
        locked(&self.rules.refused).clone()
    }
}

impl Reachable for Proxy {
    fn url(&self) -> String {
        format!("redis://{}", self.accepting.address)
    }

    fn held(&self) -> Vec<u8> {
        self.server.held()
    }
}

/// Answers one command after another until either side has ended.
async fn serve(near: TcpStream, rules: Arc<Rules>) -> io::Result<()> {
    let server = TcpStream::connect(("127.0.0.1", rules.server)).await?;
    // Otherwise a command that follows another waits for 40 ms.
    [&near, &server]
        .into_iter()
        .try_for_each(|socket| socket.set_nodelay(true))?;
    let (mut near, mut server) = (BufReader::new(near), BufReader::new(server));
    loop {
        let words = command(&mut near).await?;
        let fate = locked(&rules.planted).fate_of(&words);
        if fate == Some(Fate::Unanswered) {
            return ask(&words, &mut server).await.map(drop);
        }
        let answer = match rules.product.refusal(&words) {
            _ if fate.is_some() => b"-ERR of the test\r\n".to_vec(),
            Some(error) => {
                locked(&rules.refused).insert(error.clone());
                format!("-{error}\r\n").into_bytes()
            }
            None => ask(&words, &mut server).await?,
        };
        near.write_all(&answer).await?;
    }
}

/// The command's first word; of a script, also how many keys it has, and the last part of the first one's name.
fn name_of(words: &[Vec<u8>]) -> String {
    let name = text(&words[0]);
    let keys = if name == "EVAL" {
        keys_of_script(words)
    } else {
        &[]
    };
    let Some(first) = keys.first().map(|key| text(key)) else {
        return name.into_owned();
    };
    format!(
        "{name} {} {}",
        keys.len(),
        first.rsplit(':').next().unwrap_or_default()
    )
}

fn keys_of_script(words: &[Vec<u8>]) -> &[Vec<u8>] {
    let count = words
        .get(2)
        .and_then(|count| text(count).parse::<usize>().ok())
        .unwrap_or_default();
    words.get(3..3 + count).unwrap_or_default()
}

/// Keys of one tag are in one slot. Those of different tags mostly are not.
fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let rest = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
        Some(&rest[..rest.iter().position(|byte| *byte == b'}')?]).filter(|tag| !tag.is_empty())
    };
    tag().unwrap_or(key)
}
