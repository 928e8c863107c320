//! Where Redis is and how the program gets in. One for the whole process: the URL may be replaced while it runs.

use std::{fs, path::Path, rc::Rc, str::FromStr, sync::Arc};

use arc_swap::ArcSwap;
use futures_util::future::LocalBoxFuture;
use redis::{Pipeline, Value};
use zeroize::Zeroizing;

use super::primaries::{Primaries, Primary};
use super::tls::{Tls, TlsFiles};
use super::{connector::Connector, failure::Result, url::RedisUrl};

/// All connections of the process share this.
#[derive(Clone)]
pub struct RedisAccess {
    pub(crate) current: Arc<ArcSwap<RedisUrl>>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) confirm: Confirm,
    pub(crate) program: Program,
    /// Then nothing is connected.
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
    /// Every one that could take over.
    #[default]
    Auto,
    /// So many, at most 5. 0: none is asked.
    Replicas(u8),
}

/// The names of the program's settings in errors, and how it reads a file that holds a secret.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    pub ca_file: &'static str,
    pub cert_file: &'static str,
    pub key_file: &'static str,
    pub confirm: &'static str,
    /// Reads the client's key. It may refuse a file that others can read, in words for the log.
    pub read_secret: fn(&Path) -> Result<Zeroizing<Vec<u8>>, String>,
}

impl RedisAccess {
    /// Fails if a file of TLS, or the one with the Sentinels' password, cannot be used.
    pub fn new(url: RedisUrl, files: TlsFiles, confirm: Confirm, program: Program) -> Result<Self, String> {
        let tls = Tls::new(files, program);
        if url.has_tls() {
            tls.config()?;
        }
        url.sentinel_password(program)?;
        let (current, tls) = (Arc::new(ArcSwap::from_pointee(url)), Arc::new(tls));
        Ok(Self { current, tls, confirm, program, stand_in: None })
    }

    /// Leads to no server: this stands in for it.
    pub fn to(stand_in: impl StandIn + 'static, confirm: Confirm) -> Self {
        let nowhere = "redis://stand-in".parse().expect("a URL");
        Self { stand_in: Some(Arc::new(stand_in)), confirm, ..Self::fixed(nowhere) }
    }

    /// For tests, in which no replica confirms.
    pub fn fixed(url: RedisUrl) -> Self {
        Self::new(url, TlsFiles::default(), Confirm::Replicas(0), Program::default()).expect("no files are named")
    }

    /// The present URL. Another one is another `Arc`.
    pub fn url(&self) -> Arc<RedisUrl> {
        self.current.load_full()
    }

    /// Connections that are made from now on use `url`, and the others are dropped.
    pub fn replace(&self, url: RedisUrl) {
        self.current.store(Arc::new(url));
    }

    /// The same, by another URL.
    pub fn by(&self, url: RedisUrl) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(url)), ..self.clone() }
    }

    /// Connects to each primary that the URL leads to, and hangs up.
    pub async fn try_out(&self) -> Result<()> {
        let primaries = Primaries::new(self.connector());
        for Primary { address, .. } in primaries.find().await? {
            let connected = primaries.connector.connect(&address).await;
            connected.map_err(|reason| reason.after(format_args!("Redis at {address}: ")))?;
        }
        Ok(())
    }

    /// For connections by the present URL.
    pub(crate) fn connector(&self) -> Connector {
        Connector { url: self.url(), access: self.clone(), to_sentinels: false, made: Rc::default() }
    }
}

impl FromStr for Confirm {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "auto" => Ok(Self::Auto),
            number => number.parse().ok().filter(|replicas| *replicas <= 5).map(Self::Replicas).ok_or(()),
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
            read_secret: |path| fs::read(path).map(Zeroizing::new).map_err(|why| format!("{}: {why}", path.display())),
        }
    }
}
