//! Where Redis is and how wxmint gets in. One for the whole process: the URL may be replaced while it runs.

use std::{
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};

use super::{
    super::{Result, StoreError},
    connector::Connector,
    primaries::Primaries,
    tls::{Tls, TlsFiles},
    url::RedisUrl,
};

/// What all connections of the process share.
#[derive(Clone)]
pub struct RedisAccess {
    current: Arc<ArcSwap<RedisUrl>>,
    generation: Arc<AtomicU64>,
    tls: Arc<Tls>,
    confirm: Confirm,
    noted: Arc<Mutex<Option<NotedLife>>>,
}

/// The life of tokens that was noted last.
#[derive(Clone, Copy, Debug)]
struct NotedLife {
    life: Duration,
    generation: u64,
    at: DateTime<Utc>,
}

/// How many replicas must confirm a binding, a logout or an unbinding before it is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Confirm {
    /// Every one that could take over.
    #[default]
    Auto,
    Replicas(u8),
}

impl RedisAccess {
    /// Fails if the URL has TLS and a file cannot be used.
    pub fn new(url: RedisUrl, files: TlsFiles, confirm: Confirm) -> Result<Self, String> {
        let tls = Tls::new(files);
        if url.has_tls() {
            tls.config()?;
        }
        let current = Arc::new(ArcSwap::from_pointee(url));
        Ok(Self { current, generation: Arc::default(), tls: Arc::new(tls), confirm, noted: Arc::default() })
    }

    /// For tests, in which no replica confirms.
    pub fn fixed(url: RedisUrl) -> Self {
        Self::new(url, TlsFiles::default(), Confirm::Replicas(0)).expect("no files are named")
    }

    /// Connections that are made from now on use `url`, and the others are dropped.
    pub fn replace(&self, url: RedisUrl) {
        self.current.store(Arc::new(url));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Whether `url` is in use.
    pub fn has(&self, url: &RedisUrl) -> bool {
        **self.current.load() == *url
    }

    /// Connects to each primary that `url` leads to, and hangs up.
    pub async fn try_out(&self, url: &RedisUrl) -> Result<()> {
        let current = Arc::new(ArcSwap::from_pointee(url.clone()));
        let primaries = Primaries::new(&Self { current, ..self.clone() });
        for primary in primaries.find(None).await? {
            let address = &primary.address;
            let reason = |error: StoreError| StoreError { reason: format!("Redis at {address}: {}", error.reason) };
            primaries.connector.connect(address).await.map_err(reason)?;
        }
        Ok(())
    }

    /// Whether a life of tokens was noted in this Redis within `every`.
    pub(super) fn has_noted(&self, life: Duration, now: DateTime<Utc>, every: Duration) -> bool {
        let noted = *self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|noted| {
            let is_fresh = (now - noted.at).to_std().is_ok_and(|since| since < every);
            noted.life == life && noted.generation == self.generation() && is_fresh
        })
    }

    pub(super) fn note(&self, life: Duration, generation: u64, at: DateTime<Utc>) {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(NotedLife { life, generation, at });
    }

    /// For connections by the present URL.
    pub(super) fn connector(&self) -> Connector {
        Connector { url: self.current.load_full(), tls: Arc::clone(&self.tls) }
    }

    /// Changes when the URL is replaced.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn confirm(&self) -> Confirm {
        self.confirm
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
