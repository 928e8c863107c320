//! The revocations of one issuer. A background task keeps them up to date by polling the revocation
//! feed.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Request, StatusCode, Url};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::http::Http;
use super::remote::{RemoteKeys, jitter};
use super::{Revocations, Watcher, WhenStale, now};
use crate::Refused;
use crate::revocations::{
    MAX_HELD, MAX_PAGE, PAGE_MEDIA_TYPE, PageRefused, RevocationFeed, RevocationSet,
};

/// The most pages that are requested without a pause. With 1,000 revocations each, they have twice
/// as many revocations as are held.
const PAGES_AT_ONCE: usize = 20_000;

/// How long a peer that is [`WhenStale::Open`] waits at its start for the first page, and for each
/// further page.
const NEXT_PAGE: Duration = Duration::from_secs(10);

/// How far the feed has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The feed has not been requested yet, because there are no keys.
    Unasked,
    /// Not read to its end. A peer that is [`WhenStale::Open`] waits for the next page until
    /// `next`; each page moves `next`, at most to `last`.
    Partly { next: Instant, last: Instant },
    /// Read to its end at least once.
    Whole,
}

impl Reading {
    fn begun(max_age: TimeDelta) -> Self {
        let last = Instant::now() + max_age.to_std().unwrap_or_default();
        Self::Partly { next: last, last }.after_a_page()
    }

    /// The state after another page. A page that comes after `next` does not start a new wait.
    fn after_a_page(self) -> Self {
        match (self, Instant::now()) {
            (Self::Partly { next, last }, now) if now < next => Self::Partly {
                next: last.min(now + NEXT_PAGE),
                last,
            },
            _ => self,
        }
    }
}

/// The revocations of one issuer, kept up to date until this value is dropped.
pub(super) struct RemoteRevocations {
    revocations: Arc<RevocationSet>,
    reading: watch::Receiver<Reading>,
    max_age: TimeDelta,
    when_stale: WhenStale,
    task: JoinHandle<()>,
}

impl RemoteRevocations {
    /// Starts a task on the current tokio runtime that follows the feed. The task waits until there
    /// are keys to verify pages with.
    pub(super) fn start(
        issuer: &str,
        settings: &Revocations,
        keys: Arc<RemoteKeys>,
        http: Http,
        watcher: Arc<dyn Watcher>,
    ) -> Self {
        let feed = RevocationFeed::of(issuer);
        let (read, reading) = watch::channel(Reading::Unasked);
        let revocations = feed.revocations();
        let when_stale = settings.when_stale;
        let max_age = TimeDelta::from_std(settings.max_age).unwrap_or(TimeDelta::MAX);
        let follower = Follower {
            issuer: issuer.to_owned(),
            http,
            url: settings.url.clone(),
            every: settings.every,
            max_age,
            when_stale,
            feed,
            keys,
            watcher,
            read,
            reported: None,
            is_stale: false,
        };
        Self {
            revocations,
            reading,
            max_age,
            when_stale,
            task: tokio::spawn(follower.run()),
        }
    }

    pub(super) fn revocations(&self) -> &RevocationSet {
        &self.revocations
    }

    /// Whether all tokens must be refused because revocations may be missing. A peer that is
    /// [`WhenStale::Open`] refuses all tokens while it waits for the feed at its start.
    pub(super) fn must_refuse(&self, now: DateTime<Utc>) -> bool {
        match (self.when_stale, *self.reading.borrow()) {
            (WhenStale::Closed, _) => self.is_stale(now),
            (WhenStale::Open, Reading::Partly { next, .. }) => Instant::now() < next,
            (WhenStale::Open, reading) => reading == Reading::Unasked,
        }
    }

    /// Whether revocations may be missing.
    pub(super) fn is_stale(&self, now: DateTime<Utc>) -> bool {
        is_stale(&self.revocations, self.max_age, now)
    }

    /// Waits until the feed has been read to its end. A peer that is [`WhenStale::Open`] gives up
    /// if no page comes for [`NEXT_PAGE`], and after `max_age` in any case.
    pub(super) async fn found(&self) {
        let mut reading = self.reading.clone();
        loop {
            let known = *reading.borrow_and_update();
            let has_changed = match (known, self.when_stale) {
                (Reading::Whole, _) => return,
                (Reading::Partly { next, .. }, WhenStale::Open) => {
                    let in_time = timeout_at(next, reading.changed()).await;
                    in_time.is_ok_and(|changed| changed.is_ok())
                }
                _ => reading.changed().await.is_ok(),
            };
            // Either the wait timed out, or the follower is gone because the peer was dropped.
            if !has_changed {
                return;
            }
        }
    }
}

impl Drop for RemoteRevocations {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn is_stale(revocations: &RevocationSet, max_age: TimeDelta, now: DateTime<Utc>) -> bool {
    revocations.age(now).is_none_or(|age| age > max_age) || revocations.lacks(now)
}

/// Why the feed could not be read to its end, or is not held as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    NoAnswer(String),
    #[error("the answer is {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the page is refused: {0}")]
    Page(#[from] PageRefused),
    #[error("after {PAGES_AT_ONCE} pages there are still more")]
    Endless,
    #[error("more than {MAX_HELD} revocations are needed, and the oldest were dropped")]
    Full,
}

impl Fault {
    fn reason(&self) -> &'static str {
        match self {
            Self::NoAnswer(_) => "no_answer",
            Self::Status(_) => "status",
            Self::Page(refused) => refused.reason(),
            Self::Endless => "endless",
            Self::Full => "full",
        }
    }
}

/// The task that follows the feed.
struct Follower {
    issuer: String,
    http: Http,
    url: Url,
    every: Duration,
    max_age: TimeDelta,
    when_stale: WhenStale,
    feed: RevocationFeed,
    keys: Arc<RemoteKeys>,
    watcher: Arc<dyn Watcher>,
    read: watch::Sender<Reading>,
    /// The reason of the last fault, so that a fault that lasts is logged once.
    reported: Option<&'static str>,
    is_stale: bool,
}

impl Follower {
    async fn run(mut self) {
        self.keys.found().await;
        self.read.send_replace(Reading::begun(self.max_age));
        loop {
            let begun = Instant::now();
            let fault = self.catch_up().await.err();
            // If this replica hangs, retry soon: the next request may reach another replica.
            let hangs =
                matches!(fault, Some(Fault::NoAnswer(_))) && begun.elapsed() > self.every / 2;
            self.tell(fault);
            self.tell_staleness();
            // The jitter keeps replicas that started together from polling together.
            sleep(
                self.every
                    .mul_f64(if hangs { 0.05 } else { 0.9 + 0.2 * jitter() }),
            )
            .await;
        }
    }

    /// Reads the feed to its end.
    async fn catch_up(&mut self) -> Result<(), Fault> {
        for _ in 0..PAGES_AT_ONCE {
            let page = self.fetch().await?;
            if !self.accept(&page).await? {
                self.read.send_replace(Reading::Whole);
                return if self.feed.revocations().lacks(now()) {
                    Err(Fault::Full)
                } else {
                    Ok(())
                };
            }
            self.read
                .send_modify(|reading| *reading = reading.after_a_page());
        }
        Err(Fault::Endless)
    }

    async fn fetch(&self) -> Result<String, Fault> {
        let mut url = self.url.clone();
        if !self.feed.cursor().is_empty() {
            url.query_pairs_mut()
                .append_pair("after", self.feed.cursor());
        }
        let mut request = Request::new(Method::GET, url);
        request
            .headers_mut()
            .insert(ACCEPT, HeaderValue::from_static(PAGE_MEDIA_TYPE));
        let fetched = self
            .http
            .fetch(MAX_PAGE, request)
            .await
            .map_err(Fault::NoAnswer)?;
        match fetched.status {
            StatusCode::OK => {
                String::from_utf8(fetched.body).map_err(|_| PageRefused::Claims.into())
            }
            status => Err(Fault::Status(status)),
        }
    }

    /// Checks a page and adds its revocations. A page may be signed by a new key, for example
    /// because the previous key was retired in an emergency. If the key is unknown, the keys are
    /// fetched again, even if a token has just caused a fetch: otherwise a stranger's token with an
    /// unknown `kid` could delay the revocation of the previous key. If the key stays unknown, no
    /// more pages are read until the next poll, so that a poll causes at most one fetch.
    async fn accept(&mut self, page: &str) -> Result<bool, PageRefused> {
        match self.judge(page) {
            Err(PageRefused::Refused(Refused::UnknownKey))
                if self.keys.look_again_after(Duration::ZERO).await =>
            {
                self.judge(page)
            }
            judged => judged,
        }
    }

    fn judge(&mut self, page: &str) -> Result<bool, PageRefused> {
        let edition = self.keys.edition().ok_or(Refused::UnknownKey)?;
        self.feed.accept(page, &edition.keys, now())
    }

    fn tell(&mut self, fault: Option<Fault>) {
        let reason = fault.as_ref().map(Fault::reason);
        if let Some(reason) = reason {
            self.watcher.page_refused(&self.issuer, reason);
        }
        match &fault {
            Some(fault) if self.reported != reason => {
                tracing::warn!(issuer = self.issuer, reason = %fault, "not all of the revocation feed is known; keeping the revocations that are known");
            }
            None if self.reported.is_some() => {
                let held = self.feed.revocations().count();
                tracing::info!(
                    issuer = self.issuer,
                    held,
                    "all of the revocation feed is known again"
                );
            }
            _ => {}
        }
        self.reported = reason;
    }

    fn tell_staleness(&mut self) {
        let is_stale = is_stale(&self.feed.revocations(), self.max_age, now());
        if is_stale && !self.is_stale {
            let then = match self.when_stale {
                WhenStale::Open => "tokens that were revoked since are accepted",
                WhenStale::Closed => "all tokens are answered with 503",
            };
            let max_age_s = self.max_age.num_seconds();
            tracing::warn!(
                issuer = self.issuer,
                max_age_s,
                "the known revocations are too old, or not all; {then}"
            );
        }
        self.is_stale = is_stale;
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use serde_json::json;

    use super::*;
    use crate::Algorithm;
    use crate::revocations::{PAGE_TYP, RevocationHash};
    use crate::verifier::tests::{Forge, ISSUER, NOW, at, with};

    fn peer_with(
        revocations: Arc<RevocationSet>,
        when_stale: WhenStale,
        reading: watch::Receiver<Reading>,
    ) -> RemoteRevocations {
        RemoteRevocations {
            revocations,
            reading,
            max_age: TimeDelta::seconds(60),
            when_stale,
            task: tokio::spawn(pending()),
        }
    }

    fn open_peer(reading: watch::Receiver<Reading>) -> RemoteRevocations {
        peer_with(
            RevocationFeed::of(ISSUER).revocations(),
            WhenStale::Open,
            reading,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_peer_refuses_tokens_until_the_feed_was_read_to_its_end_or_no_page_has_come_for_10_s()
     {
        let (read, reading) = watch::channel(Reading::Unasked);
        let revocations = open_peer(reading);
        sleep(Duration::from_secs(100)).await;
        assert!(revocations.must_refuse(now()), "there are no keys");
        read.send_replace(Reading::begun(TimeDelta::seconds(60)));
        for _ in 0..2 {
            sleep(Duration::from_secs(9)).await;
            assert!(
                revocations.must_refuse(now()),
                "the last page came 9 s ago, and there are more"
            );
            read.send_modify(|reading| *reading = reading.after_a_page());
        }
        let partly = *read.borrow();
        read.send_replace(Reading::Whole);
        assert!(!revocations.must_refuse(now()));
        read.send_replace(partly);
        sleep(Duration::from_secs(10)).await;
        assert!(!revocations.must_refuse(now()), "no page has come for 10 s");
        read.send_modify(|reading| *reading = reading.after_a_page());
        assert!(!revocations.must_refuse(now()), "a page that comes later");
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_peer_waits_while_pages_come_and_not_longer_than_its_knowledge_may_grow_old() {
        for (pages, seconds) in [(0, 10), (1, 19), (3, 37), (100, 60)] {
            let begun = Instant::now();
            let (read, reading) = watch::channel(Reading::begun(TimeDelta::seconds(60)));
            let revocations = open_peer(reading);
            let pages = tokio::spawn(async move {
                for _ in 0..pages {
                    sleep(Duration::from_secs(9)).await;
                    read.send_modify(|reading| *reading = reading.after_a_page());
                }
                pending::<()>().await;
            });
            revocations.found().await;
            assert_eq!(begun.elapsed().as_secs(), seconds);
            assert!(!revocations.must_refuse(now()), "ready, and refuses");
            pages.abort();
        }
    }

    /// The feed was read to its end a moment ago, so its age tells nothing.
    #[tokio::test]
    async fn a_peer_that_dropped_revocations_for_lack_of_room_is_stale_until_they_have_expired() {
        let forge = Forge::of(Algorithm::Es256);
        let mut feed = RevocationFeed::of(ISSUER).holding_at_most(1);
        let header = with(&forge.header, "typ", PAGE_TYP).to_string();
        let mut read_at = |seconds, revoked| {
            let page = json!({
                "iss": ISSUER, "iat": seconds, "exp": seconds + 300, "after": "", "cursor": "",
                "more": false, "revoked": revoked,
            });
            feed.accept(
                &forge.sign(&header, &page.to_string()),
                &forge.keys,
                at(seconds),
            )
            .expect("accepted");
            feed.revocations()
        };
        let token = |id, until| json!(["jti", RevocationHash::of(ISSUER, id), until]);
        let revoked = json!([token("dropped", NOW + 100), token("held", NOW + 500)]);
        // It may be needed for the leeway of verifiers after its date.
        for (seconds, revoked, is_stale) in [
            (NOW, json!([]), false),
            (NOW, revoked, true),
            (NOW + 159, json!([]), true),
            (NOW + 160, json!([]), false),
        ] {
            let revocations = read_at(seconds, revoked);
            for (when_stale, must_refuse) in
                [(WhenStale::Closed, is_stale), (WhenStale::Open, false)]
            {
                let (_read, reading) = watch::channel(Reading::Whole);
                let peer = peer_with(Arc::clone(&revocations), when_stale, reading);
                assert_eq!(
                    (peer.is_stale(at(seconds)), peer.must_refuse(at(seconds))),
                    (is_stale, must_refuse),
                    "{when_stale:?} {seconds}"
                );
            }
        }
    }
}
