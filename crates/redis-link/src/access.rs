//! How to reach Redis and log in. One value serves the whole process, so that the URL can be
//! replaced while it runs.

use std::{fs, path::Path, rc::Rc, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;
use futures_util::future::LocalBoxFuture;
use redis::{Pipeline, Value};
use zeroize::Zeroizing;

use super::primaries::{Primaries, Primary};
use super::tls::{Tls, TlsFiles};
use super::{connector::Connector, failure::Result, url::RedisUrl};

/// The URL and the settings of all connections. Clones share them.
#[derive(Clone)]
pub struct RedisAccess {
    pub(crate) current: Arc<ArcSwap<RedisUrl>>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) confirm: Confirm,
    pub(crate) program: Program,
    /// Answers in place of servers; then there are no connections.
    pub(crate) stand_in: Option<Arc<dyn StandIn>>,
}

/// Answers commands in place of a server, in this process.
pub trait StandIn: Send + Sync {
    /// The answers to commands that are sent together. `None` if it does not answer.
    fn answer<'a>(&'a self, commands: &'a Pipeline) -> LocalBoxFuture<'a, Option<Vec<Value>>>;
}

/// How many replicas must confirm a write before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    /// Every replica that could take over.
    #[default]
    Auto,
    /// So many replicas, at most 5. With 0, replicas are not asked.
    Replicas(u8),
}

/// The names of the program's settings, for errors, and how the program reads a file with a secret.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The setting with the file of CA certificates.
    pub ca_file: &'static str,
    /// The setting with the file of the client's certificate.
    pub cert_file: &'static str,
    /// The setting with the file of the client's key.
    pub key_file: &'static str,
    /// The setting that says how many replicas confirm.
    pub confirm: &'static str,
    /// Reads a file with a secret, such as the client's key. It may refuse a file that others can
    /// read, with a text for the log.
    pub read_secret: fn(&Path) -> Result<Zeroizing<Vec<u8>>, String>,
}

impl RedisAccess {
    /// Access by a URL. Fails if a TLS file, or the file with the Sentinels' password, cannot be
    /// used.
    pub fn new(
        url: RedisUrl,
        files: TlsFiles,
        confirm: Confirm,
        program: Program,
    ) -> Result<Self, String> {
        let tls = Tls::new(files, program);
        if url.has_tls() {
            tls.config()?;
        }
        url.sentinel_password(program)?;
        let current = Arc::new(ArcSwap::from_pointee(url));
        let tls = Arc::new(tls);
        Ok(Self {
            current,
            tls,
            confirm,
            program,
            stand_in: None,
        })
    }

    /// Access to no server: `stand_in` answers all commands.
    pub fn to(stand_in: impl StandIn + 'static, confirm: Confirm) -> Self {
        let nowhere = "redis://stand-in".parse().expect("a URL");
        Self {
            stand_in: Some(Arc::new(stand_in)),
            confirm,
            ..Self::fixed(nowhere)
        }
    }

    /// Access without TLS files and without confirmation by replicas, for tests.
    pub fn fixed(url: RedisUrl) -> Self {
        Self::new(
            url,
            TlsFiles::default(),
            Confirm::Replicas(0),
            Program::default(),
        )
        .expect("no files are named")
    }

    /// The present URL. If it is replaced, the `Arc` is another one.
    pub fn url(&self) -> Arc<RedisUrl> {
        self.current.load_full()
    }

    /// Replaces the URL. New connections use `url`, and the old ones are dropped.
    pub fn replace(&self, url: RedisUrl) {
        self.current.store(Arc::new(url));
    }

    /// A copy with another URL; replacing the URL of one does not affect the other.
    pub fn by(&self, url: RedisUrl) -> Self {
        Self {
            current: Arc::new(ArcSwap::from_pointee(url)),
            ..self.clone()
        }
    }

    /// Connects to each primary that the URL leads to, and closes the connections. For a check of
    /// the URL.
    pub async fn try_out(&self) -> Result<()> {
        let primaries = Primaries::new(self.connector());
        for Primary { address, .. } in primaries.find().await? {
            let connected = primaries.connector.connect(&address).await;
            connected.map_err(|reason| reason.after(format_args!("Redis at {address}: ")))?;
        }
        Ok(())
    }

    /// A connector for the present URL.
    pub(crate) fn connector(&self) -> Connector {
        Connector {
            url: self.url(),
            access: self.clone(),
            to_sentinels: false,
            made: Rc::default(),
        }
    }
}

impl FromStr for Confirm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            number => number
                .parse()
                .ok()
                .filter(|replicas| *replicas <= 5)
                .map(Self::Replicas)
                .ok_or(()),
        }
    }
}

impl Default for Program {
    fn default() -> Self {
        Self {
            ca_file: "the file of authorities",
            cert_file: "the file of the client certificate",
            key_file: "the file of the client key",
            confirm: "the setting of replicas that confirm",
            read_secret: |path| {
                fs::read(path)
                    .map(Zeroizing::new)
                    .map_err(|why| format!("{}: {why}", path.display()))
            },
        }
    }
}
