//! The keys of one issuer. A background task fetches and refreshes them. A failed fetch never
//! removes good keys.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant as TokioInstant, sleep_until, timeout};

use super::fetch::{Answer, Fetcher, Place};
use super::schedule::{STRANGER_INTERVAL, Schedule, Stranger};
use super::shelf::{Kept, Shelf};
use super::{FetchOutcome, NotVerified, Watcher, now};
use crate::{KeyError, PublicKey, PublishedKeys};

/// How long a request with an unknown `kid` waits for the fetch that it caused. A slower fetch
/// still completes, and the next request finds its keys.
const STRANGERS_PATIENCE: Duration = Duration::from_secs(2);
/// The most requests that wait for a fetch because of an unknown `kid`; more are refused at once.
/// Tokens with a known key never wait.
const STRANGERS_WAITING: usize = 64;
/// The most log lines about unusable keys for each fetch, because a set of 64 KiB can have 32,000
/// of them.
const TOLD: usize = 10;

/// One version of an issuer's keys.
#[derive(Debug)]
pub(crate) struct Edition {
    pub(crate) keys: PublishedKeys,
    /// Changes whenever the keys change.
    pub(crate) number: u64,
    /// When the issuer last confirmed that these are its keys.
    confirmed: DateTime<Utc>,
    /// When this process got the keys, by the monotonic clock.
    since: Instant,
    /// False for keys from disk.
    is_fetched: bool,
}

impl Edition {
    /// The time since the issuer confirmed the keys. If `confirmed` lies in the future, a clock has
    /// stepped back, and the distance to it counts as the age.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> Duration {
        (now - self.confirmed)
            .abs()
            .to_std()
            .unwrap_or(Duration::MAX)
            .max(self.since.elapsed())
    }
}

/// The keys of one issuer, refreshed until this value is dropped.
pub(crate) struct RemoteKeys {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    edition: ArcSwapOption<Edition>,
    max_age: Duration,
    schedule: Mutex<Schedule>,
    wanted: Notify,
    /// The number of fetches that have ended.
    ended: watch::Sender<u64>,
    waiting: Semaphore,
}

impl RemoteKeys {
    /// Starts to fetch on the current tokio runtime. Keys that were kept on disk are available at
    /// once.
    pub(crate) fn start(
        issuer: &str,
        place: Place,
        max_age: Duration,
        shelf: Option<Arc<Shelf>>,
        watcher: Arc<dyn Watcher>,
    ) -> Arc<Self> {
        let kept = shelf
            .as_ref()
            .and_then(|shelf| kept(shelf, issuer, max_age));
        let shared = Arc::new(Shared {
            edition: ArcSwapOption::from_pointee(kept),
            max_age,
            schedule: Mutex::new(Schedule::starting(Instant::now())),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            waiting: Semaphore::new(STRANGERS_WAITING),
        });
        let refresh = Refresh {
            issuer: issuer.to_owned(),
            shared: Arc::clone(&shared),
            fetcher: Fetcher::new(place),
            shelf,
            body: Arc::default(),
            watcher,
        };
        Arc::new(Self {
            shared,
            task: tokio::spawn(refresh.run()),
        })
    }

    /// The current keys; `None` before any were found.
    pub(crate) fn edition(&self) -> Option<Arc<Edition>> {
        self.shared.edition.load_full()
    }

    /// The current keys, unless they are older than the allowed age.
    pub(crate) fn believed(&self, now: DateTime<Utc>) -> Result<Arc<Edition>, NotVerified> {
        let edition = self.edition().ok_or(NotVerified::NoKeys)?;
        if edition.age(now) > self.shared.max_age {
            Err(NotVerified::StaleKeys)
        } else {
            Ok(edition)
        }
    }

    /// The time since the last successful fetch; `None` before the first.
    pub(crate) fn age(&self, now: DateTime<Utc>) -> Option<Duration> {
        self.edition()
            .filter(|edition| edition.is_fetched)
            .map(|edition| edition.age(now))
    }

    /// Waits for a new fetch. Call this if a token names an unknown key, or if the keys are too
    /// old. Returns whether a fetch has ended, so that the caller should look up the key again.
    pub(crate) async fn look_again(&self) -> bool {
        let Ok(_place) = self.shared.waiting.try_acquire() else {
            return false;
        };
        self.look_again_after(STRANGER_INTERVAL).await
    }

    /// As [`Self::look_again`], but without the limit of waiting requests. Requests a fetch if none
    /// has begun within `interval`. If a fetch is in flight, waits for that fetch.
    pub(crate) async fn look_again_after(&self, interval: Duration) -> bool {
        let mut ended = self.shared.ended.subscribe();
        match self.shared.schedule().stranger(Instant::now(), interval) {
            Stranger::Refuse => return false,
            Stranger::Fetch => self.shared.wanted.notify_one(),
            Stranger::Wait => {}
        }
        let in_time = timeout(STRANGERS_PATIENCE, ended.changed()).await;
        in_time.is_ok_and(|has_ended| has_ended.is_ok())
    }

    /// Waits until keys are available.
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
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts keys in use. If they are the same as before, the edition keeps its number.
    fn publish(&self, keys: Option<PublishedKeys>, confirmed: DateTime<Utc>) {
        let before = self.edition.load_full();
        let number = before.as_ref().map_or(0, |before| before.number);
        let Some(keys) = keys.or_else(|| before.as_ref().map(|before| before.keys.clone())) else {
            return;
        };
        let is_new = before.is_none_or(|before| before.keys.keys != keys.keys);
        self.edition.store(Some(Arc::new(Edition {
            keys,
            number: number + u64::from(is_new),
            confirmed,
            since: Instant::now(),
            is_fetched: true,
        })));
    }
}

/// The task that fetches. There is only one, so that there is only one fetch at a time.
struct Refresh {
    issuer: String,
    shared: Arc<Shared>,
    fetcher: Fetcher,
    shelf: Option<Arc<Shelf>>,
    /// The JSON of the last set, as it was received.
    body: Arc<[u8]>,
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

    async fn succeeded(&mut self, Answer { changed, max_age }: Answer) {
        let (keys, body) = changed.unzip();
        let fetched = if keys.is_some() {
            FetchOutcome::Changed
        } else {
            FetchOutcome::Unchanged
        };
        let before = self.shared.edition.load_full();
        if let Some(keys) = &keys {
            self.tell_refused(&keys.refused);
        }
        self.shared.publish(keys, now());
        self.shared
            .schedule()
            .succeeded(Instant::now(), max_age, jitter());
        self.tell_changes(before.as_deref());
        if let Some(body) = body {
            self.body = body.into();
        }
        self.keep().await;
        self.watcher.fetched(&self.issuer, fetched);
    }

    fn tell_refused(&self, refused: &[KeyError]) {
        for reason in refused.iter().take(TOLD) {
            tracing::warn!(issuer = self.issuer, %reason, refused = refused.len(), "a key of the set cannot be used");
        }
    }

    /// Writes the keys to disk, even if they have not changed, because the file's modification time
    /// says when they were last confirmed.
    async fn keep(&self) {
        let Some(shelf) = self.shelf.clone() else {
            return;
        };
        let body = Arc::clone(&self.body);
        let written = spawn_blocking(move || shelf.write(&body))
            .await
            .map_err(io::Error::other)
            .flatten();
        if let Err(error) = written {
            tracing::warn!(issuer = self.issuer, %error, "the keys could not be written to disk");
        }
    }

    fn failed(&self, reason: &str) {
        let wait = self.shared.schedule().failed(Instant::now(), jitter());
        let again_ms = wait.as_millis() as u64;
        let known = match &*self.shared.edition.load() {
            Some(edition) if edition.age(now()) > self.shared.max_age => {
                "the previous keys are too old to be believed"
            }
            Some(_) => "keeping the previous keys",
            None => "there are no previous keys",
        };
        tracing::warn!(
            issuer = self.issuer,
            reason,
            again_ms,
            "keys not fetched; {known}"
        );
        self.watcher.fetched(&self.issuer, FetchOutcome::Failed);
    }

    fn tell_changes(&self, before: Option<&Edition>) {
        let Some(now) = self.shared.edition.load_full() else {
            return;
        };
        if before.is_none_or(|before| before.number != now.number) {
            tracing::info!(issuer = self.issuer, kids = kids(&now.keys), "keys in use");
        }
    }

    /// Waits until the next fetch is due or a request has asked for one.
    async fn rest(&self) {
        let due = self.shared.schedule().due();
        let asked = async {
            // A request that came just before the last fetch began has been served by that fetch.
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

fn kept(shelf: &Shelf, issuer: &str, max_age: Duration) -> Option<Edition> {
    let Kept { keys, confirmed } = shelf.read().unwrap_or_else(|reason| {
        tracing::warn!(issuer, reason, "the keys on disk cannot be used");
        None
    })?;
    let kept = Edition {
        keys,
        number: 0,
        confirmed,
        since: Instant::now(),
        is_fetched: false,
    };
    if kept.age(now()) > max_age {
        tracing::warn!(issuer, %confirmed, "the keys on disk are too old to be used");
        return None;
    }
    tracing::info!(issuer, kids = kids(&kept.keys), %confirmed, "using the keys from disk until the keys are fetched");
    Some(kept)
}

/// The `kid`s, for the log.
fn kids(keys: &PublishedKeys) -> String {
    keys.keys
        .iter()
        .map(PublicKey::kid)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A number from 0 to 1.
pub(super) fn jitter() -> f64 {
    let mut bits = [0; 4];
    // Without random bits all replicas fetch at the same time, which is acceptable.
    let _ = rand::fill(&mut bits);
    f64::from(u32::from_le_bytes(bits)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::future::{pending, poll_fn};
    use std::pin::Pin;
    use std::task::Poll;

    use chrono::TimeDelta;

    use super::*;
    use crate::{Algorithm, PublicKeySet, verifier::tests::Forge};

    #[test]
    fn an_edition_has_its_number_until_the_keys_change() {
        let shared = Shared {
            edition: ArcSwapOption::empty(),
            max_age: Duration::MAX,
            schedule: Mutex::new(Schedule::starting(Instant::now())),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
            waiting: Semaphore::new(STRANGERS_WAITING),
        };
        let [one, other] = [(); 2].map(|()| Forge::of(Algorithm::EdDsa).keys);
        let mut confirmed = DateTime::UNIX_EPOCH;
        for (keys, number) in [
            (None, None),
            (Some(&one), Some(1)),
            (Some(&one), Some(1)),
            (None, Some(1)),
            (Some(&other), Some(2)),
            (Some(&one), Some(3)),
        ] {
            confirmed += Duration::from_secs(1);
            shared.publish(keys.cloned(), confirmed);
            let published = shared
                .edition
                .load()
                .as_ref()
                .map(|edition| (edition.number, edition.confirmed));
            assert_eq!(
                published,
                number.map(|number| (number, confirmed)),
                "{keys:?}"
            );
        }
    }

    /// Asks once. A poll that is pending waits.
    async fn asked(waits: &mut Pin<Box<impl Future<Output = bool>>>) -> Poll<bool> {
        poll_fn(|context| Poll::Ready(waits.as_mut().poll(context))).await
    }

    /// Each of them holds a connection of a stranger's.
    #[tokio::test]
    async fn of_requests_with_an_unknown_kid_so_many_wait_at_a_time_and_the_next_is_refused_at_once()
     {
        let never = Place::OfOthers(Box::new(|| Box::pin(pending())));
        let keys = RemoteKeys::start(
            "https://a.example",
            never,
            Duration::MAX,
            None,
            Arc::new(()),
        );
        let request = || Box::pin(keys.look_again());
        let mut waiting: Vec<_> = (0..STRANGERS_WAITING).map(|_| request()).collect();
        for waits in &mut waiting {
            assert_eq!(asked(waits).await, Poll::Pending);
        }
        assert_eq!(asked(&mut request()).await, Poll::Ready(false));
        drop(waiting.pop());
        assert_eq!(
            asked(&mut request()).await,
            Poll::Pending,
            "the place of one who has left"
        );
    }

    #[test]
    fn keys_that_were_confirmed_in_the_future_are_as_old_as_they_are_ahead_and_never_younger_than_they_are_here()
     {
        let confirmed = now();
        let keys = Forge::of(Algorithm::EdDsa).keys;
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let since = Instant::now()
            .checked_sub(Duration::from_secs(1))
            .expect("the machine runs for a second");
        let edition = Edition {
            keys,
            number: 0,
            confirmed,
            since,
            is_fetched: true,
        };
        assert_eq!(
            [
                edition.age(confirmed - days(5)),
                edition.age(confirmed + days(2))
            ],
            [days(5), days(2)]
        );
        assert!(edition.age(confirmed) >= Duration::from_secs(1));
    }

    #[test]
    fn keys_on_disk_are_not_used_if_their_files_time_is_too_far_from_now_on_either_side() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        let keys = Forge::of(Algorithm::EdDsa).keys;
        let set = keys.keys.iter().collect::<PublicKeySet>();
        shelf
            .write(serde_json::to_string(&set).expect("JSON").as_bytes())
            .expect("written");
        let file = fs::read_dir(folder.path())
            .expect("a folder")
            .next()
            .expect("a file")
            .expect("readable")
            .path();
        for (ahead, is_used) in [
            (0, true),
            (500, true),
            (-500, true),
            (700, false),
            (-700, false),
        ] {
            let time: DateTime<Utc> = now() + TimeDelta::seconds(ahead);
            File::options()
                .write(true)
                .open(&file)
                .and_then(|file| file.set_modified(time.into()))
                .expect("a time");
            let kept = kept(&shelf, "https://a.example", Duration::from_mins(10));
            assert_eq!(kept.is_some(), is_used, "{ahead} s ahead");
        }
    }

    /// Otherwise a service that restarts offline would refuse all tokens, although its keys were
    /// confirmed a minute ago.
    #[tokio::test]
    async fn keys_that_an_issuer_calls_unchanged_are_confirmed_on_disk_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let issuer = "https://a.example";
        let day = Duration::from_hours(24);
        let shelf = || Shelf::of(folder.path(), issuer, "https://a.example/jwks");
        let keys = Forge::of(Algorithm::EdDsa).keys;
        let body = serde_json::to_vec(&keys.keys.iter().collect::<PublicKeySet>()).expect("JSON");
        let mut refresh = Refresh {
            issuer: issuer.to_owned(),
            shared: Arc::new(Shared {
                edition: ArcSwapOption::empty(),
                max_age: day,
                schedule: Mutex::new(Schedule::starting(Instant::now())),
                wanted: Notify::new(),
                ended: watch::Sender::new(0),
                waiting: Semaphore::new(STRANGERS_WAITING),
            }),
            fetcher: Fetcher::new(Place::OfOthers(Box::new(|| {
                Box::pin(async { Err(String::new()) })
            }))),
            shelf: Some(Arc::new(shelf())),
            body: Arc::default(),
            watcher: Arc::new(()),
        };
        refresh
            .succeeded(Answer {
                changed: Some((keys, body)),
                max_age: None,
            })
            .await;

        let file = fs::read_dir(folder.path())
            .expect("a folder")
            .next()
            .expect("a file")
            .expect("readable")
            .path();
        let two_days_ago: DateTime<Utc> = now() - TimeDelta::days(2);
        File::options()
            .write(true)
            .open(&file)
            .and_then(|file| file.set_modified(two_days_ago.into()))
            .expect("a time");
        assert!(
            kept(&shelf(), issuer, day).is_none(),
            "they were not confirmed for two days"
        );
        refresh
            .succeeded(Answer {
                changed: None,
                max_age: None,
            })
            .await;
        assert!(
            kept(&shelf(), issuer, day).is_some(),
            "they have just been confirmed"
        );
    }
}
