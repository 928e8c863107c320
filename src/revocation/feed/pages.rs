//! The pages of the revocation feed that are in memory: the newest ones for a second, and those
//! that no longer change for longer, so that an old page costs what a cached file costs. A missing
//! page is made by the first client that has its turn, for all clients that ask for it.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::web::Bytes;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::cursor::{Cursor, RECENT, StreamId};
use super::turns::{Reader, Turn, Turns};

/// How long a page is served from memory to other requests for it.
pub(super) const CACHED: Duration = Duration::from_secs(1);
/// The same for a shared page, which no longer changes. Verifiers refuse a page that is a minute
/// older than another page that they have read.
const KEPT: Duration = Duration::from_secs(20);
/// The most bytes of shared pages: those of about 250,000 revocations. Beyond that, the oldest page
/// is dropped, and is made again if it is needed.
const MOST_KEPT: usize = 16 * 1024 * 1024;
/// The most other pages of a lane that stay in memory for [`CACHED`].
const MAX_PAGES: usize = 32;
/// How long a client waits for its turn. A verifier waits for an answer for 4 s, and Redis may take
/// one of them.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST: Duration = PATIENCE.saturating_add(Duration::from_millis(1_500));
const MAX_NEWEST: usize = 64;
/// For how long, and for how many cursors, it is remembered which client was given a cursor.
const GIVEN_FOR: Duration = Duration::from_secs(30);
const MOST_GIVEN: usize = 8_192;
/// The most shared pages whose beginnings and ends are known: enough for more than ten million
/// revocations.
const MOST_BLOCKS: usize = 16_384;

/// Pages of one lane do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneName {
    /// The first page, and the one after the newest revocation. There are few of them, and they are
    /// always made.
    Shared,
    /// After a revocation of the last minute, for verifiers that are up to date.
    Recent,
    /// For verifiers that start, or were away. A client that has read the feed can ask for all of
    /// these pages.
    Old,
}

/// A signed page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) bytes: Bytes,
    /// The cursor of the next page, if there is more.
    pub(super) next: Option<String>,
    /// The key that has signed it.
    pub(super) kid: String,
    pub(super) read_at: Instant,
}

/// `None` if the stream does not have the cursor. The error is a text for the log, because all
/// clients that asked for the page share it.
pub(super) type Made = Result<Option<Arc<Page>>, String>;

/// The pages, shared by all workers, so that each page is in memory once, however many clients read
/// it and however slowly.
#[derive(Default)]
pub(crate) struct FeedPages {
    lanes: [Lane; 3],
    kept: Mutex<Kept>,
    given: Mutex<Given>,
    pub(super) blocks: Mutex<Blocks>,
    /// The cursors that led to the end of the stream, and when they last did. The newest one is the
    /// last.
    newest: Mutex<VecDeque<(Instant, String)>>,
}

#[derive(Default)]
struct Lane {
    pages: Mutex<Pages>,
    turns: Arc<Turns>,
}

#[derive(Default)]
struct Pages {
    of: HashMap<String, Asked>,
    /// The cursors of the pages that are made, the oldest first.
    made: VecDeque<String>,
}

/// A page for which a client has asked.
struct Asked {
    made: watch::Sender<Option<Made>>,
    made_at: Option<Instant>,
    is_being_made: bool,
    /// The clients that wait for their turn to make it.
    clients: HashSet<String>,
}

/// A client waits for the page, and perhaps for its turn to make it.
pub(super) struct Waits {
    made: watch::Receiver<Option<Made>>,
    pub(super) ticket: Option<Ticket>,
}

/// A client's place in the queue for making a page. If the ticket is dropped, the client has left
/// the queue.
pub(super) struct Ticket {
    pages: Arc<FeedPages>,
    pub(super) lane: LaneName,
    pub(super) cursor: String,
    client: String,
    place: Option<oneshot::Receiver<Turn>>,
    is_making: bool,
}

impl FeedPages {
    pub(super) fn lane(
        &self,
        text: &str,
        cursor: Option<&Cursor<'_>>,
        now: DateTime<Utc>,
    ) -> LaneName {
        match cursor {
            None => LaneName::Shared,
            Some(_) if self.newest.lock().iter().any(|(_, newest)| newest == text) => {
                LaneName::Shared
            }
            Some(cursor) if cursor.is_recent(now) => LaneName::Recent,
            Some(_) => LaneName::Old,
        }
    }

    /// A shared page that was made within [`KEPT`], and signed by the key that signs now. An
    /// earlier signing key may have been revoked.
    pub(super) fn kept(&self, cursor: &str, kid: &str) -> Option<Arc<Page>> {
        self.kept.lock().page(cursor).filter(|page| page.kid == kid)
    }

    pub(super) fn keep(&self, cursor: &str, page: &Arc<Page>) {
        self.kept.lock().keep(cursor, page);
    }

    /// Notes that the client was given a page that leads to this cursor. The client goes on if it
    /// asks for that cursor next.
    pub(super) fn gives(&self, client: &str, next: &str) {
        self.given.lock().note(client, next);
    }

    /// Waits for the page after `cursor` if it is being made; otherwise puts the client in the
    /// queue for making it. `None` if the client waits for as many pages as it may, or if too many
    /// other clients wait.
    pub(super) fn ask(
        self: &Arc<Self>,
        cursor: &str,
        lane: LaneName,
        client: &str,
    ) -> Option<Waits> {
        let goes_on = self.given.lock().has(client, cursor);
        let reader = if goes_on {
            Reader::GoesOn
        } else {
            Reader::Other
        };
        let turns = &self.lanes[lane as usize].turns;
        let mut pages = self.lanes[lane as usize].pages.lock();
        if let Some(asked) = pages.of.get(cursor).filter(|asked| asked.is_current()) {
            // Each client has a place of its own in the queue, because another client that waits
            // for this page may have many requests before it.
            let is_coming =
                asked.made_at.is_some() || asked.is_being_made || asked.clients.contains(client);
            if is_coming || lane == LaneName::Shared {
                return Some(Waits {
                    made: asked.made.subscribe(),
                    ticket: None,
                });
            }
        } else {
            pages.of.remove(cursor);
        }
        let place = turns.place(client, reader)?;
        let asked = pages.of.entry(cursor.to_owned()).or_insert_with(Asked::new);
        asked.clients.insert(client.to_owned());
        let ticket = Ticket {
            pages: Arc::clone(self),
            lane,
            cursor: cursor.to_owned(),
            client: client.to_owned(),
            place: Some(place),
            is_making: false,
        };
        Some(Waits {
            made: asked.made.subscribe(),
            ticket: Some(ticket),
        })
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

impl Asked {
    fn new() -> Self {
        Self {
            made: watch::Sender::new(None),
            made_at: None,
            is_being_made: false,
            clients: HashSet::new(),
        }
    }

    fn is_current(&self) -> bool {
        self.made_at.is_none_or(|at| at.elapsed() < CACHED)
    }
}

impl Waits {
    /// `None` if the page was not made in time.
    pub(super) async fn page(mut self) -> Option<Made> {
        let made = timeout(LONGEST, self.made.wait_for(Option::is_some)).await;
        // All clients that could have made it may have left.
        made.ok()?.ok()?.clone()
    }
}

impl Ticket {
    /// Waits for this client's turn. `None` if it does not come in time, or the page has been made
    /// meanwhile.
    pub(super) async fn turn(&mut self) -> Option<Turn> {
        let turn = timeout(PATIENCE, self.place.take()?).await.ok()?.ok()?;
        let mut pages = self.pages.lanes[self.lane as usize].pages.lock();
        let asked = pages
            .of
            .get_mut(&self.cursor)
            .filter(|asked| asked.made_at.is_none() && !asked.is_being_made)?;
        (asked.is_being_made, self.is_making) = (true, true);
        Some(turn)
    }

    /// Sends the result to all clients that wait for the page.
    pub(super) fn done(mut self, made: Made) {
        let read_at = made
            .as_ref()
            .ok()
            .and_then(|page| Some(page.as_ref()?.read_at));
        self.is_making = false;
        let mut pages = self.pages.lanes[self.lane as usize].pages.lock();
        if let Some(asked) = pages.of.get_mut(&self.cursor) {
            (asked.is_being_made, asked.made_at) =
                (false, Some(read_at.unwrap_or_else(Instant::now)));
            asked.made.send_replace(Some(made));
            pages.made.push_back(self.cursor.clone());
        }
        while pages.made.len() > MAX_PAGES
            && let Some(oldest) = pages.made.pop_front()
        {
            if pages
                .of
                .get(&oldest)
                .is_some_and(|asked| asked.made_at.is_some())
            {
                pages.of.remove(&oldest);
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut pages = self.pages.lanes[self.lane as usize].pages.lock();
        let Some(asked) = pages.of.get_mut(&self.cursor) else {
            return;
        };
        asked.is_being_made &= !self.is_making;
        asked.clients.remove(&self.client);
        if asked.clients.is_empty() && asked.made_at.is_none() && !asked.is_being_made {
            pages.of.remove(&self.cursor);
        }
    }
}

/// Shared pages by their cursors.
#[derive(Default)]
struct Kept {
    pages: HashMap<String, Arc<Page>>,
    /// The oldest first.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
}

impl Kept {
    fn page(&mut self, cursor: &str) -> Option<Arc<Page>> {
        while self
            .order
            .front()
            .is_some_and(|(at, _)| at.elapsed() >= KEPT)
        {
            self.drop_oldest();
        }
        self.pages
            .get(cursor)
            .filter(|page| page.read_at.elapsed() < KEPT)
            .cloned()
    }

    fn keep(&mut self, cursor: &str, page: &Arc<Page>) {
        self.bytes += page.bytes.len();
        if let Some(before) = self.pages.insert(cursor.to_owned(), Arc::clone(page)) {
            self.bytes -= before.bytes.len();
        }
        self.order.push_back((page.read_at, cursor.to_owned()));
        while self.bytes > MOST_KEPT || self.order.len() > MOST_BLOCKS {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let Some((at, cursor)) = self.order.pop_front() else {
            return;
        };
        // It may have been made again since.
        if self
            .pages
            .get(&cursor)
            .is_some_and(|page| page.read_at == at)
        {
            let page = self.pages.remove(&cursor);
            self.bytes -= page.map_or(0, |page| page.bytes.len());
        }
    }
}

/// The cursors that clients were given: each together with its client, as a keyed hash that no
/// client can predict.
#[derive(Default)]
struct Given {
    hasher: RandomState,
    hashes: HashSet<u64>,
    order: VecDeque<(Instant, u64)>,
}

impl Given {
    fn note(&mut self, client: &str, cursor: &str) {
        let hash = self.hasher.hash_one((client, cursor));
        if self.hashes.insert(hash) {
            self.order.push_back((Instant::now(), hash));
        }
        while self.order.len() > MOST_GIVEN
            || self
                .order
                .front()
                .is_some_and(|(at, _)| at.elapsed() >= GIVEN_FOR)
        {
            let Some((_, oldest)) = self.order.pop_front() else {
                return;
            };
            self.hashes.remove(&oldest);
        }
    }

    fn has(&self, client: &str, cursor: &str) -> bool {
        self.hashes
            .contains(&self.hasher.hash_one((client, cursor)))
    }
}

/// The places at which the shared pages that this process has made begin and end. A client that
/// shows a cursor within a page is sent to the page's beginning, so that no page is made for each
/// cursor that a client has collected.
#[derive(Default)]
pub(super) struct Blocks(BTreeMap<StreamId, Block>);

struct Block {
    /// The cursor after which the page begins; empty for the first page.
    cursor: String,
    end: Option<StreamId>,
    /// When the page last reached the end of the stream.
    was_last_at: Option<Instant>,
}

impl Blocks {
    /// Notes that a page ends at `end`, which is `next` as a cursor, and that the next page begins
    /// there. `begin` is the place and the cursor at which the page itself begins, if all readers
    /// share it.
    pub(super) fn note(&mut self, begin: Option<(StreamId, &str)>, (end, next): (StreamId, &str)) {
        if let Some((id, cursor)) = begin {
            self.0.insert(
                id,
                Block {
                    cursor: cursor.to_owned(),
                    end: Some(end),
                    was_last_at: None,
                },
            );
        }
        self.0.entry(end).or_insert_with(|| Block {
            cursor: next.to_owned(),
            end: None,
            was_last_at: None,
        });
        self.bound();
    }

    /// Notes that the shared page that begins at `cursor` goes to the end of the stream.
    pub(super) fn note_last(&mut self, id: StreamId, cursor: &str) {
        let was_last_at = Some(Instant::now());
        self.0.insert(
            id,
            Block {
                cursor: cursor.to_owned(),
                end: None,
                was_last_at,
            },
        );
        self.bound();
    }

    fn bound(&mut self) {
        while self.0.len() > MOST_BLOCKS {
            self.0.pop_first();
        }
    }

    /// The cursor at the beginning of the page that contains this place, or contained it a moment
    /// ago.
    pub(super) fn around(&self, place: StreamId) -> Option<String> {
        let (_, block) = self.0.range(..=place).next_back()?;
        let was_last = block.was_last_at.is_some_and(|at| at.elapsed() < KEPT);
        let is_in_it = was_last || block.end.is_some_and(|end| place < end);
        is_in_it.then(|| block.cursor.clone())
    }

    /// The cursor of the last page that is known to begin before this place.
    pub(super) fn before(&self, place: StreamId) -> Option<String> {
        self.0
            .range(..=place)
            .next_back()
            .map(|(_, block)| block.cursor.clone())
    }

    /// Removes a place that the stream no longer has.
    pub(super) fn remove(&mut self, place: StreamId) {
        self.0.remove(&place);
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use futures_util::FutureExt;

    use super::*;

    const OLD: LaneName = LaneName::Old;
    const KID: &str = "kid";

    fn page_of(bytes: impl Into<Bytes>) -> Arc<Page> {
        Arc::new(Page {
            bytes: bytes.into(),
            next: None,
            kid: KID.into(),
            read_at: Instant::now(),
        })
    }

    fn asks(pages: &Arc<FeedPages>, cursor: &str, client: &str) -> (Waits, Ticket) {
        let mut waits = pages.ask(cursor, OLD, client).expect("a place");
        let ticket = waits.ticket.take().expect("a turn of its own");
        (waits, ticket)
    }

    async fn got(waits: Waits) -> Arc<Page> {
        waits
            .page()
            .await
            .expect("in time")
            .expect("made")
            .expect("in the stream")
    }

    #[actix_web::test]
    async fn an_old_page_is_made_once_for_all_readers_and_each_waits_for_its_own_turn_alone() {
        let pages = Arc::new(FeedPages::default());
        let (_, mut first) = asks(&pages, "0", "first");
        let turn = first.turn().await.expect("nobody waits");
        let mut greedy: VecDeque<_> = (1..9)
            .map(|number| asks(&pages, &number.to_string(), "greedy"))
            .collect();
        assert!(
            pages.ask("9", OLD, "greedy").is_none(),
            "as many as one client may wait for"
        );
        let (honest, mut honest_ticket) = asks(&pages, "8", "honest");
        drop((turn, first));

        let (_, mut ticket) = greedy.pop_front().expect("eight");
        let turn = ticket.turn().await.expect("it came first");
        ticket.done(Ok(Some(page_of("1"))));
        drop(turn);
        let turn = honest_ticket
            .turn()
            .await
            .expect("not after the greedy one's seven others");
        let waits_too = pages.ask("8", OLD, "another").expect("it is being made");
        assert!(waits_too.ticket.is_none());
        honest_ticket.done(Ok(Some(page_of("8"))));
        drop(turn);

        let (greedy_waits, mut greedy_ticket) = greedy.pop_back().expect("seven");
        drop(greedy);
        assert!(
            greedy_ticket.turn().await.is_none(),
            "another client's turn has made it"
        );
        let [one, two, three] = [
            got(honest).await,
            got(waits_too).await,
            got(greedy_waits).await,
        ];
        assert!(
            Arc::ptr_eq(&one, &two) && Arc::ptr_eq(&one, &three),
            "signed once"
        );
        let later = pages.ask("8", OLD, "greedy").expect("it is there");
        assert!(later.ticket.is_none() && Arc::ptr_eq(&one, &got(later).await));
    }

    #[actix_web::test]
    async fn a_client_that_goes_on_from_its_page_has_its_turn_before_strangers_who_show_other_cursors()
     {
        let pages = Arc::new(FeedPages::default());
        let (_, mut first) = asks(&pages, "0", "first");
        let turn = first.turn().await.expect("nobody waits");
        let mut strangers: Vec<_> = (1..100)
            .map(|number| asks(&pages, "x", &number.to_string()).1)
            .collect();
        pages.gives("sidecar", "7");
        let (_, mut stranger) = asks(&pages, "7", "a stranger who has seen the cursor");
        let (_, mut sidecar) = asks(&pages, "7", "sidecar");
        drop((turn, first));
        let turn = sidecar
            .turn()
            .now_or_never()
            .expect("at once")
            .expect("to make the page");
        assert!(
            stranger.turn().now_or_never().is_none()
                && strangers[0].turn().now_or_never().is_none()
        );
        sidecar.done(Ok(Some(page_of("7"))));
        drop(turn);
    }

    #[actix_web::test]
    async fn who_waits_for_a_page_that_nobody_makes_any_more_is_told_so() {
        let pages = Arc::new(FeedPages::default());
        let (waits, mut ticket) = asks(&pages, "1", "a client");
        let turn = ticket.turn().await.expect("nobody waits");
        let another = pages.ask("1", OLD, "another").expect("it is being made");
        drop((ticket, turn));
        assert!(waits.page().await.is_none() && another.page().await.is_none());
        assert!(
            pages
                .ask("1", OLD, "another")
                .expect("a place")
                .ticket
                .is_some(),
            "tried again"
        );
    }

    #[actix_web::test]
    async fn whoever_asks_for_all_old_pages_keeps_nobody_from_the_first_and_the_newest() {
        let (pages, now) = (
            Arc::new(FeedPages::default()),
            DateTime::UNIX_EPOCH + TimeDelta::days(1),
        );
        pages.led_to_the_end("newest");
        let lane = |place, text| {
            pages.lane(
                text,
                Some(&Cursor {
                    place,
                    is_shared: false,
                }),
                now,
            )
        };
        assert_eq!(pages.lane("", None, now), LaneName::Shared);
        assert_eq!(lane("2-0.x", "newest"), LaneName::Shared);
        assert_eq!(lane("86399000-0.x", "recent"), LaneName::Recent);
        assert_eq!(lane("2-0.x", "old"), OLD);
        let (_, mut old) = asks(&pages, "old", "greedy");
        let _turn = old.turn().await.expect("nobody waits");
        for (cursor, lane) in [
            ("", LaneName::Shared),
            ("newest", LaneName::Shared),
            ("recent", LaneName::Recent),
        ] {
            let waits = pages.ask(cursor, lane, "greedy").expect("a place");
            let mut ticket = waits.ticket.expect("a ticket");
            assert!(
                ticket.turn().now_or_never().flatten().is_some(),
                "{cursor} does not wait for old pages"
            );
        }
    }

    #[test]
    fn a_shared_page_is_kept_while_its_key_signs_and_there_is_room() {
        let pages = FeedPages::default();
        let of_a_mebibyte = || page_of(vec![0; 1024 * 1024]);
        for number in 0..20 {
            pages.keep(&number.to_string(), &of_a_mebibyte());
        }
        let kept = |number: usize| pages.kept(&number.to_string(), KID).is_some();
        assert!((4..20).all(kept) && !(0..4).any(kept), "the newest 16 MiB");
        assert!(pages.kept("19", "another key").is_none());
        for _ in 0..100 {
            pages.keep("19", &of_a_mebibyte());
        }
        assert!(
            kept(19) && (5..19).filter(|number| kept(*number)).count() <= 15,
            "counted once"
        );
        let old = Instant::now()
            .checked_sub(KEPT)
            .expect("the machine runs for long enough");
        pages.keep(
            "old",
            &Arc::new(Page {
                bytes: Bytes::new(),
                next: None,
                kid: KID.into(),
                read_at: old,
            }),
        );
        assert!(pages.kept("old", KID).is_none());
    }

    #[test]
    fn a_place_within_a_known_page_leads_to_its_beginning() {
        let mut blocks = Blocks::default();
        assert_eq!((blocks.around((5, 0)), blocks.before((5, 0))), (None, None));
        blocks.note(Some(((0, 0), "")), ((10, 0), "ten"));
        blocks.note(Some(((10, 0), "ten")), ((20, 3), "twenty"));
        blocks.note(None, ((40, 0), "forty"));
        for (place, begins) in [
            ((5, 0), Some("")),
            ((10, 0), Some("ten")),
            ((20, 2), Some("ten")),
            ((20, 3), None),
        ] {
            assert_eq!(blocks.around(place).as_deref(), begins, "{place:?}");
        }
        assert_eq!(blocks.before((30, 0)).as_deref(), Some("twenty"));
        assert_eq!(
            (blocks.around((50, 0)), blocks.before((50, 0)).as_deref()),
            (None, Some("forty"))
        );
        blocks.note_last((40, 0), "forty");
        assert_eq!(
            blocks.around((50, 0)).as_deref(),
            Some("forty"),
            "it went to the end of the stream"
        );
        blocks.note(Some(((40, 0), "forty")), ((45, 0), "more"));
        assert_eq!(
            (blocks.around((50, 0)), blocks.around((44, 0)).as_deref()),
            (None, Some("forty"))
        );
        blocks.remove((45, 0));
        blocks.remove((40, 0));
        assert_eq!(blocks.before((50, 0)).as_deref(), Some("twenty"));
        for number in 0..2 * MOST_BLOCKS as u64 {
            blocks.note(None, ((number, 0), "x"));
        }
        assert_eq!(blocks.0.len(), MOST_BLOCKS);
    }
}
