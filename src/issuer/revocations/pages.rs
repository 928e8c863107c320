//! The pages that are made and kept for a second, so that nobody who asks for many keeps the others from theirs.

use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use actix_web::web::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{
    FutureExt,
    future::{LocalBoxFuture, Shared},
};
use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};
use wxmint_verify::ends::EndsPage;

use super::{CACHED, FeedError, cursor};

/// The most pages of a lane that are kept or made at once.
const MAX_PAGES: usize = 32;
/// For how long a cursor that was the newest one is remembered, and how old the end may be that a recent cursor names.
/// Verifiers ask every 5 s.
const RECENT: Duration = Duration::from_secs(60);
/// How many cursors that were the newest are remembered.
const MAX_NEWEST: usize = 64;

/// Pages of one lane do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::issuer) enum Lane {
    /// The first page, and the one after the newest end. There are few of them, and they are always made.
    Shared,
    /// After an end of the last minute: verifiers that are up to date.
    Recent,
    /// Verifiers that begin, or were away. Whoever has read the feed may ask for all of these pages.
    Old,
}

/// `None` if the stream does not have the cursor.
pub(super) type Made = Result<Option<Bytes>, FeedError>;
type Making = Shared<LocalBoxFuture<'static, Made>>;

/// The pages that one worker has made within the last second, or is making.
#[derive(Default)]
pub(in crate::issuer) struct Feed([Pages; 3]);

struct Pages {
    made: RefCell<HashMap<String, (Instant, Making)>>,
    /// Long pages are read one at a time, so that somebody who asks for all of them does not slow logins down.
    reading: Semaphore,
}

impl Default for Pages {
    fn default() -> Self {
        Self { made: RefCell::default(), reading: Semaphore::new(1) }
    }
}

impl Feed {
    /// The page after `cursor`. `None` if as many pages of the lane are being made as may be.
    pub(super) fn page(
        &self,
        cursor: &str,
        lane: Lane,
        make: impl FnOnce() -> LocalBoxFuture<'static, Made>,
    ) -> Option<Making> {
        let mut pages = self.0[lane as usize].made.borrow_mut();
        pages.retain(|_, (made_at, _)| made_at.elapsed() < CACHED);
        if let Some((_, making)) = pages.get(cursor) {
            return Some(making.clone());
        }
        if pages.len() >= MAX_PAGES {
            // A verifier that begins asks for thousands of pages, each once.
            pages.retain(|_, (_, making)| making.peek().is_none());
        }
        if pages.len() >= MAX_PAGES && lane != Lane::Shared {
            return None;
        }
        let making = make().shared();
        pages.insert(cursor.to_owned(), (Instant::now(), making.clone()));
        Some(making)
    }

    pub(super) async fn turn(&self, lane: Lane) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.0[lane as usize].reading.acquire().await
    }
}

/// The pages of all workers, so that each page is in memory once for whoever reads it however slowly.
#[derive(Default)]
pub(in crate::issuer) struct MadePages(Mutex<State>);

#[derive(Default)]
struct State {
    made: [HashMap<String, (Instant, Bytes)>; 3],
    /// The cursors that led to the end of the stream, and when they last did. The newest one is the last.
    newest: VecDeque<(Instant, String)>,
}

impl MadePages {
    pub(super) fn lane(&self, cursor: &str, now: DateTime<Utc>) -> Lane {
        let recent = TimeDelta::from_std(RECENT).expect("a minute");
        match () {
            () if cursor.is_empty() || self.state().newest.iter().any(|(_, newest)| newest == cursor) => Lane::Shared,
            () if cursor::is_from_within(cursor, recent, now) => Lane::Recent,
            () => Lane::Old,
        }
    }

    pub(super) fn made(&self, cursor: &str, lane: Lane) -> Option<Bytes> {
        self.state().made(cursor, lane)
    }

    /// Keeps a page for all who ask for it within a second. Returns the one that another worker has made meanwhile.
    pub(super) fn keep(&self, page: EndsPage, signed: Bytes, lane: Lane) -> Bytes {
        let mut state = self.state();
        if !page.more {
            state.led_to_the_end(page.cursor);
        }
        if let Some(made) = state.made(&page.after, lane) {
            return made;
        }
        let pages = &mut state.made[lane as usize];
        pages.retain(|_, (made_at, _)| made_at.elapsed() < CACHED);
        if pages.len() < MAX_PAGES {
            pages.insert(page.after, (Instant::now(), signed.clone()));
        }
        signed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn made(&self, cursor: &str, lane: Lane) -> Option<Bytes> {
        let (made_at, page) = self.made[lane as usize].get(cursor)?;
        (made_at.elapsed() < CACHED).then(|| page.clone())
    }

    fn led_to_the_end(&mut self, cursor: String) {
        self.newest.retain(|(at, other)| *other != cursor && at.elapsed() < RECENT);
        if self.newest.len() >= MAX_NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back((Instant::now(), cursor));
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    fn page(after: &str, cursor: &str, more: bool) -> EndsPage {
        let (iss, ended) = ("https://login.example.com".to_owned(), Vec::new());
        EndsPage { iss, iat: 0, exp: 300, after: after.into(), cursor: cursor.into(), more, keep: 0, ended }
    }

    #[actix_web::test]
    async fn whoever_asks_for_all_old_pages_keeps_nobody_from_the_first_and_the_newest() {
        let (feed, pages, now) = (Feed::default(), MadePages::default(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
        let never = || pending().boxed_local();
        pages.keep(page("", "1-0.x.y", true), Bytes::new(), Lane::Shared);
        pages.keep(page("1-0.x.y", "2-0.x.y", false), Bytes::new(), Lane::Old);
        for number in 3..3 + MAX_PAGES {
            let cursor = format!("{number}-0.x.y");
            assert_eq!(pages.lane(&cursor, now), Lane::Old);
            assert!(feed.page(&cursor, Lane::Old, never).is_some());
        }
        assert_eq!(pages.lane("1-0.x.y", now), Lane::Old);
        assert!(feed.page("1-0.x.y", Lane::Old, never).is_none(), "all places of old pages are taken");
        let _reading = feed.turn(Lane::Old).await;
        for (cursor, lane) in [("", Lane::Shared), ("2-0.x.y", Lane::Shared), ("86399000-0.x.y", Lane::Recent)] {
            assert_eq!(pages.lane(cursor, now), lane, "{cursor}");
            assert!(feed.page(cursor, lane, never).is_some(), "{cursor}");
            assert!(feed.turn(lane).now_or_never().is_some(), "{cursor} does not wait for old pages");
        }
    }

    #[test]
    fn workers_that_make_the_same_page_at_once_keep_one_copy() {
        let pages = MadePages::default();
        let copies =
            [b"one".to_vec(), b"two".to_vec()].map(|copy| pages.keep(page("", "", false), copy.into(), Lane::Shared));
        assert_eq!(copies[0].as_ptr(), copies[1].as_ptr());
        assert_eq!(pages.made("", Lane::Shared).map(|made| made.as_ptr()), Some(copies[0].as_ptr()));
    }
}
