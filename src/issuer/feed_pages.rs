//! The pages of the last second, in lanes, so that a client that asks for many pages does not delay the others. Their
//! cursors: a place in the stream, and a MAC, so that an invented cursor costs Redis nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{self, OnceCell};
use wxmint_keys::vault::Vault;

/// How long a page is answered again, to whoever asks for the same.
pub(super) const CACHED: Duration = Duration::from_secs(1);
/// The most pages of a lane that are kept.
const MAX_PAGES: usize = 32;
/// The most pages of a lane that are made at once for one client. A verifier asks for one after another.
const OF_A_CLIENT: usize = 8;
/// For how long a cursor that was the newest one is remembered, and how old the end may be that a recent cursor names.
/// Verifiers ask every 5 s.
const RECENT: Duration = Duration::from_secs(60);
const MAX_NEWEST: usize = 64;

/// Pages of one lane do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The first page, and the one after the newest end. There are few of them, and they are always made.
    Shared,
    /// After an end of the last minute: verifiers that are up to date.
    Recent,
    /// Verifiers that begin, or were away. Whoever has read the feed may ask for all of these pages.
    Old,
}

/// `None` if the stream does not have the cursor. The error is a text for the log, because all who asked share it.
pub(super) type Made = Result<Option<Bytes>, String>;
/// A page for all who ask for it within a second, also those of other workers. One of them makes it.
pub(super) type FeedPage = Arc<OnceCell<Made>>;

/// A page, when it was begun, and the client who asked for it first.
struct Begun {
    at: Instant,
    client: String,
    page: FeedPage,
}

/// The pages of all workers, so that each page is in memory once for whoever reads it however slowly.
#[derive(Default)]
pub(super) struct FeedPages {
    lanes: [Mutex<HashMap<String, Begun>>; 3],
    /// Long pages are read one at a time, so that somebody who asks for all of them does not slow logins down.
    pub(super) reading: [sync::Mutex<()>; 3],
    /// The cursors that led to the end of the stream, and when they last did. The newest one is the last.
    newest: Mutex<VecDeque<(Instant, String)>>,
}

impl FeedPages {
    pub(super) fn lane(&self, cursor: &str, now: DateTime<Utc>) -> Lane {
        match () {
            () if cursor.is_empty() || self.newest.lock().iter().any(|(_, newest)| newest == cursor) => Lane::Shared,
            () if is_recent(cursor, now) => Lane::Recent,
            () => Lane::Old,
        }
    }

    /// The page after `cursor`, to be made by who asks for it first. `None` if as many pages are being made for this
    /// client as may be: one, if the lane is full. So whoever asks for many pages at once keeps nobody else waiting.
    pub(super) fn page(&self, cursor: &str, lane: Lane, client: &str) -> Option<FeedPage> {
        let mut pages = self.lanes[lane as usize].lock();
        pages.retain(|_, begun| begun.at.elapsed() < CACHED);
        if let Some(begun) = pages.get(cursor) {
            return Some(Arc::clone(&begun.page));
        }
        if pages.len() >= MAX_PAGES {
            // A verifier that begins asks for thousands of pages, each once.
            pages.retain(|_, begun| !begun.page.initialized());
        }
        let most = if pages.len() >= MAX_PAGES { 1 } else { OF_A_CLIENT };
        let of_client = pages.values().filter(|begun| begun.client == client && !begun.page.initialized());
        if lane != Lane::Shared && of_client.count() >= most {
            return None;
        }
        let begun = Begun { at: Instant::now(), client: client.to_owned(), page: FeedPage::default() };
        Some(Arc::clone(&pages.entry(cursor.to_owned()).or_insert(begun).page))
    }

    pub(super) fn led_to_the_end(&self, cursor: &str) {
        let mut newest = self.newest.lock();
        newest.retain(|(at, other)| *other != cursor && at.elapsed() < RECENT);
        if newest.len() >= MAX_NEWEST {
            newest.pop_front();
        }
        newest.push_back((Instant::now(), cursor.to_owned()));
    }
}

/// The cursor of a place in the stream. The beginning of an empty stream has none.
pub(super) fn cursor_of(place: &str, vault: &Vault) -> String {
    if place.is_empty() { String::new() } else { format!("{place}.{mac}", mac = vault.mac(&labelled(place))) }
}

/// The place that a cursor names; `None` if this service has not made the cursor.
pub(super) fn place_of<'a>(cursor: &'a str, vault: &Vault) -> Option<&'a str> {
    let (place, mac) = cursor.rsplit_once('.')?;
    vault.has_made(mac, &labelled(place)).then_some(place)
}

/// Whether the end that the cursor names was written within [`RECENT`] before `now`. In Redis the name of a place
/// begins with its milliseconds since 1970. (The store in memory has numbers there, which are too small.)
fn is_recent(cursor: &str, now: DateTime<Utc>) -> bool {
    let written = cursor.split_once('-').and_then(|(millis, _)| millis.parse().ok());
    written.and_then(DateTime::from_timestamp_millis).is_some_and(|written| now - RECENT <= written)
}

/// The vault makes MACs of other things too.
fn labelled(place: &str) -> String {
    format!("a cursor of the revocation feed: {place}")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use futures_util::FutureExt;

    use super::*;

    #[actix_web::test]
    async fn whoever_asks_for_all_old_pages_keeps_nobody_from_the_first_and_the_newest() {
        let (pages, now) = (FeedPages::default(), DateTime::UNIX_EPOCH + TimeDelta::days(1));
        pages.led_to_the_end("2-0.x.y");
        let asks = |number: usize, client: &str| {
            let cursor = format!("{number}-0.x.y");
            assert_eq!(pages.lane(&cursor, now), Lane::Old);
            pages.page(&cursor, Lane::Old, client)
        };
        assert_eq!((3..19).filter(|number| asks(*number, "greedy").is_some()).count(), OF_A_CLIENT);
        assert!(asks(19, "honest").is_some(), "by another client");
        assert!((20..20 + MAX_PAGES).all(|number| asks(number, &number.to_string()).is_some()));
        assert!(asks(99, "honest").is_none() && asks(99, "newcomer").is_some(), "one for each while the lane is full");
        let _reading = pages.reading[Lane::Old as usize].lock().await;
        for (cursor, lane) in [("", Lane::Shared), ("2-0.x.y", Lane::Shared), ("86399000-0.x.y", Lane::Recent)] {
            assert_eq!(pages.lane(cursor, now), lane, "{cursor}");
            assert!(pages.page(cursor, lane, "greedy").is_some(), "{cursor}");
            assert!(
                pages.reading[lane as usize].lock().now_or_never().is_some(),
                "{cursor} does not wait for old pages"
            );
        }
    }

    #[actix_web::test]
    async fn who_asks_for_the_same_page_gets_the_same_copy() {
        let pages = FeedPages::default();
        let mut copies = Vec::new();
        for bytes in [b"one", b"two"] {
            let page = pages.page("", Lane::Shared, "client").expect("a place");
            let made = page.get_or_init(async || Ok(Some(Bytes::from_static(bytes)))).await;
            copies.push(made.clone().expect("made"));
        }
        assert_eq!(copies[0], copies[1]);
        assert_eq!(Arc::strong_count(&pages.page("", Lane::Shared, "client").expect("kept")), 2);
    }

    fn vault(byte: u8) -> Vault {
        use base64::{Engine, engine::general_purpose::STANDARD};
        Vault::parse((STANDARD.encode([byte; 32]) + "\n").as_bytes()).expect("a vault")
    }

    #[test]
    fn a_cursor_names_its_place_and_one_that_was_not_made_here_names_none() {
        let cursor = cursor_of("1795000000000-0.AAAAAAAA", &vault(1));
        assert_eq!(place_of(&cursor, &vault(1)), Some("1795000000000-0.AAAAAAAA"));
        assert_eq!(place_of(&cursor, &vault(2)), None);
        let earlier = cursor.replacen("1795", "1794", 1);
        for unknown in ["", ".", "1795000000000-0.AAAAAAAA", &cursor[1..], &earlier] {
            assert_eq!(place_of(unknown, &vault(1)), None, "{unknown}");
        }
        assert_eq!(cursor_of("", &vault(1)), "", "an empty stream");
    }

    #[test]
    fn a_cursor_tells_when_its_end_was_written() {
        let now = DateTime::from_timestamp_millis(1_795_000_060_000).expect("a time");
        let is_recent = |cursor| is_recent(cursor, now);
        assert!(is_recent("1795000000000-0.AAAAAAAA.x") && !is_recent("1794999999999-0.AAAAAAAA.x"));
        assert!(!is_recent("17.x") && !is_recent(""));
    }
}
