//! The keys of one issuer, fetched and refreshed by a task of their own. Nothing that goes wrong takes good keys away.

use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::rand;
use reqwest::Url;
use tokio::{
    sync::{Notify, watch},
    task::{JoinHandle, spawn_blocking},
    time::{Instant as TokioInstant, sleep_until, timeout},
};

use super::{
    FetchOutcome, Watcher,
    fetch::{Answer, Fetcher},
    schedule::{Schedule, Stranger},
    shelf::Shelf,
};
use crate::{
    upstream::{StartError, Tls},
    verify::{KeyError, PublicKey, PublishedKeys},
};

/// How long a request waits for keys that its token made us fetch. An issuer that is slower than this is asked to its end
/// all the same, and the next request finds its keys.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);
/// So many requests wait at most; the others are refused at once. Good tokens wait for nothing.
const STRANGERS_WAITING: u32 = 64;
/// Log lines for each fetch about keys that cannot be used, because a set of 64 KiB can have 32,000 of them.
const TOLD: usize = 10;

/// The keys of one issuer at one time.
#[derive(Debug)]
pub(crate) struct Edition {
    pub(crate) keys: PublishedKeys,
    /// Another number whenever the keys are others.
    pub(crate) number: u64,
    fetched: Option<Instant>,
}

/// The keys of one issuer. Fetched for as long as this lives.
pub(crate) struct RemoteKeys {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    edition: RwLock<Option<Arc<Edition>>>,
    schedule: Mutex<Schedule>,
    wanted: Notify,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    waiting: AtomicU32,
}

impl RemoteKeys {
    /// Begins to fetch, on the runtime that this is called in. Has keys at once where some were kept on disk.
    pub(crate) fn start(
        issuer: &str,
        url: &Url,
        kept_in: Option<&Path>,
        tls: &Tls,
        watcher: Arc<dyn Watcher>,
    ) -> Result<Self, StartError> {
        let shelf = kept_in.map(|folder| Arc::new(Shelf::of(folder, issuer, url.as_str())));
        let kept = shelf.as_ref().and_then(|shelf| kept(shelf, issuer));
        let shared = Arc::new(Shared {
            edition: RwLock::new(kept.map(|keys| Arc::new(Edition { keys, number: 0, fetched: None }))),
            schedule: Mutex::new(Schedule::starting(Instant::now())),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            waiting: AtomicU32::new(0),
        });
        let fetcher = Fetcher::new(url.clone(), tls)?;
        let refresh = Refresh { issuer: issuer.to_owned(), shared: Arc::clone(&shared), fetcher, shelf, watcher };
        Ok(Self { shared, task: tokio::spawn(refresh.run()) })
    }

    /// The keys of now; `None` before any were found.
    pub(crate) fn edition(&self) -> Option<Arc<Edition>> {
        self.shared.edition()
    }

    /// How long ago the keys were last fetched; `None` before they were.
    pub(crate) fn age(&self, now: Instant) -> Option<Duration> {
        let fetched = self.shared.edition()?.fetched?;
        Some(now.saturating_duration_since(fetched))
    }

    /// A token names a key that is not there. Has the keys fetched if that may be, and waits for the outcome: whether it is
    /// worth looking again.
    pub(crate) async fn look_again(&self) -> bool {
        let mut ended = self.shared.ended.subscribe();
        match self.shared.schedule().stranger(Instant::now()) {
            Stranger::Refuse => return false,
            Stranger::Fetch => self.shared.wanted.notify_one(),
            Stranger::Wait => {}
        }
        let Some(_place) = Waiting::admit(&self.shared.waiting) else { return false };
        matches!(timeout(STRANGERS_PATIENCE, ended.changed()).await, Ok(Ok(())))
    }

    /// Resolves when there are keys.
    pub(crate) async fn found(&self) {
        let mut ended = self.shared.ended.subscribe();
        while self.edition().is_none() && ended.changed().await.is_ok() {}
    }
}

impl Drop for RemoteKeys {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn edition(&self) -> Option<Arc<Edition>> {
        self.edition.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts keys in use. The same keys fetched again stay the same edition.
    fn publish(&self, keys: Option<PublishedKeys>, now: Instant) {
        let mut edition = self.edition.write().unwrap_or_else(PoisonError::into_inner);
        let before = edition.as_ref();
        let number = before.map_or(0, |before| before.number);
        let next = match (keys, before) {
            (Some(keys), Some(before)) if keys.keys == before.keys.keys => Some((keys, number)),
            (Some(keys), _) => Some((keys, number + 1)),
            (None, Some(before)) => Some((before.keys.clone(), number)),
            (None, None) => None,
        };
        *edition = next.map(|(keys, number)| Arc::new(Edition { keys, number, fetched: Some(now) }));
    }
}

/// One of the requests that wait.
struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    fn admit(waiting: &'a AtomicU32) -> Option<Self> {
        let place = Self(waiting);
        // Given back when dropped, also where there is no room.
        (waiting.fetch_add(1, Ordering::Relaxed) < STRANGERS_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The task: the only one that fetches, so that there is one fetch at a time.
struct Refresh {
    issuer: String,
    shared: Arc<Shared>,
    fetcher: Fetcher,
    shelf: Option<Arc<Shelf>>,
    watcher: Arc<dyn Watcher>,
}

impl Refresh {
    async fn run(mut self) {
        loop {
            self.shared.schedule().begins(Instant::now());
            let outcome = self.fetcher.fetch().await;
            match outcome {
                Ok(answer) => self.succeeded(answer).await,
                Err(reason) => self.failed(&reason),
            }
            self.shared.ended.send_modify(|ended| *ended += 1);
            self.rest().await;
        }
    }

    async fn succeeded(&self, Answer { changed, max_age }: Answer) {
        let now = Instant::now();
        let (keys, body) = changed.unzip();
        let fetched = if keys.is_some() { FetchOutcome::Changed } else { FetchOutcome::Unchanged };
        let before = self.shared.edition();
        if let Some(keys) = &keys {
            self.tell_refused(&keys.refused);
        }
        self.shared.publish(keys, now);
        self.shared.schedule().succeeded(now, max_age, jitter());
        self.tell_changes(before.as_deref());
        if let Some(body) = body {
            self.keep(body).await;
        }
        self.watcher.fetched(&self.issuer, fetched);
    }

    fn tell_refused(&self, refused: &[KeyError]) {
        for reason in refused.iter().take(TOLD) {
            tracing::warn!(issuer = self.issuer, %reason, refused = refused.len(), "a key of the set cannot be used");
        }
    }

    async fn keep(&self, body: Vec<u8>) {
        let Some(shelf) = self.shelf.clone() else { return };
        let written = spawn_blocking(move || shelf.write(&body)).await.map_err(io::Error::other).flatten();
        if let Err(error) = written {
            tracing::warn!(issuer = self.issuer, %error, "the keys could not be kept on disk");
        }
    }

    fn failed(&self, reason: &str) {
        let wait = self.shared.schedule().failed(Instant::now(), jitter());
        let again_ms = wait.as_millis() as u64;
        match self.shared.edition() {
            Some(_) => tracing::warn!(issuer = self.issuer, reason, again_ms, "keys not fetched; those of before stay"),
            None => tracing::warn!(issuer = self.issuer, reason, again_ms, "keys not fetched; there are none yet"),
        }
        self.watcher.fetched(&self.issuer, FetchOutcome::Failed);
    }

    fn tell_changes(&self, before: Option<&Edition>) {
        let Some(now) = self.shared.edition() else { return };
        if before.is_none_or(|before| before.number != now.number) {
            tracing::info!(issuer = self.issuer, kids = kids(&now.keys), "keys in use");
        }
    }

    /// Until the next fetch is due, or a stranger has asked for one.
    async fn rest(&self) {
        let due = self.shared.schedule().due();
        let asked = async {
            // Asked while the last fetch was about to begin, its wish has been granted.
            while !self.shared.schedule().is_in_flight() {
                self.shared.wanted.notified().await;
            }
        };
        tokio::select! {
            () = sleep_until(TokioInstant::from_std(due)) => {}
            () = asked => {}
        }
    }
}

fn kept(shelf: &Shelf, issuer: &str) -> Option<PublishedKeys> {
    match shelf.read() {
        Ok(kept) => {
            if let Some(keys) = &kept {
                tracing::info!(issuer, kids = kids(keys), "keys from disk, until they have been fetched");
            }
            kept
        }
        Err(reason) => {
            tracing::warn!(issuer, reason, "the keys that were kept on disk cannot be used");
            None
        }
    }
}

/// For the log.
fn kids(keys: &PublishedKeys) -> String {
    keys.keys.iter().map(PublicKey::kid).collect::<Vec<_>>().join(" ")
}

/// A number from 0 to 1.
fn jitter() -> f64 {
    let mut bits = [0; 4];
    // Without random bits everybody comes at the same time, which is bearable.
    let _ = rand::fill(&mut bits);
    f64::from(u32::from_le_bytes(bits)) / f64::from(u32::MAX)
}
