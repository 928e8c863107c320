//! Makes and signs a page of the feed.

use std::sync::Arc;
use std::time::Instant;

use wxmint_store::{ReadRevocations, StoreError};
use wxmint_verify::KeyError;
use wxmint_verify::revocations::{PAGE_LIFE, RevocationsPage};

use super::Feed;
use super::cursor::{Cursor, StreamId};
use super::pages::{LaneName, Made, Page};
use crate::clock::now;

/// The most revocations in a page, which then has 51 KB. Redis reads it in half a millisecond.
const PAGE_REVOCATIONS: usize = 1_000;
/// A reader that lacks at most this many revocations is nearly up to date.
const NEAR: usize = 64;
/// Such a process has an old key file, and verifiers refuse everything that it signs. Other
/// processes serve them.
pub(crate) const ALL_REVOKED: &str = "All keys of this process are revoked.";

impl Feed {
    /// Makes the page after this cursor.
    pub(super) async fn make(&self, after: &str, lane: LaneName) -> Made {
        let maker = PageMaker {
            feed: self,
            kid: self.kid_of_pages()?,
        };
        let vault = self.vault.load_full();
        match Cursor::read(after, &vault) {
            Some(cursor) if lane == LaneName::Old && !cursor.is_shared => {
                maker.lead_to_shared(after, cursor).await
            }
            cursor => maker.read(after, cursor).await,
        }
    }

    /// The key that signs pages now.
    pub(super) fn kid_of_pages(&self) -> Result<String, String> {
        if self.keys.set().accepted(now()).next().is_none() {
            return Err(ALL_REVOKED.into());
        }
        self.minter.kid_of_pages(now()).map_err(unsigned)
    }
}

fn unsigned(error: KeyError) -> String {
    format!("the page could not be signed: {error}")
}

fn of_store(error: StoreError) -> String {
    error.to_string()
}

/// Makes one page.
struct PageMaker<'a> {
    feed: &'a Feed,
    kid: String,
}

impl PageMaker<'_> {
    /// Reads the page after `cursor`, or the first one. If the page ends before the stream does, it
    /// ends at a place that all readers share, whatever cursor they began with.
    async fn read(&self, after: &str, cursor: Option<Cursor<'_>>) -> Made {
        let begun = Instant::now();
        let place = cursor.map_or("", |cursor| cursor.place);
        let read = self
            .feed
            .stream
            .page(place, PAGE_REVOCATIONS)
            .await
            .map_err(of_store)?;
        let Some(read) = read else { return Ok(None) };
        self.page(after, cursor, read, begun).map(Some)
    }

    /// Answers a reader whose cursor comes from a page that was the newest some time ago. There may
    /// be as many such cursors as there were revocations, and a page for each would be read and
    /// signed for one reader alone. So a reader who is nearly up to date gets the few revocations
    /// that it lacks. All other readers are led to the beginning of the shared page in which their
    /// cursor lies. That page is made once for all of them, and they read a part of it twice.
    async fn lead_to_shared(&self, after: &str, cursor: Cursor<'_>) -> Made {
        let pages = &self.feed.pages;
        let Some(place) = cursor.id() else {
            return self.read(after, Some(cursor)).await;
        };
        let begun = Instant::now();
        let near = self
            .feed
            .stream
            .after(cursor.place, NEAR)
            .await
            .map_err(of_store)?;
        let Some(near) = near else { return Ok(None) };
        if !near.more {
            return self.page(after, Some(cursor), near, begun).map(Some);
        }
        let known = pages.blocks.lock().around(place);
        let begins = match known {
            Some(begins) => Some(begins),
            None => self.learn(place).await?,
        };
        match begins {
            // The first page, which all readers share too.
            Some(begins) if begins.is_empty() => Ok(None),
            Some(begins) => self.lead(after, begins, near, begun).map(Some),
            None => self.read(after, Some(cursor)).await,
        }
    }

    /// Reads the last shared page that is known to begin before this place. Returns the cursor at
    /// its beginning if the place is in it.
    async fn learn(&self, place: StreamId) -> Result<Option<String>, String> {
        let pages = &self.feed.pages;
        let begins = pages.blocks.lock().before(place).unwrap_or_default();
        let vault = self.feed.vault.load_full();
        let cursor = Cursor::read(&begins, &vault);
        let begins = cursor.map_or("", |_| &begins);
        match self.read(begins, cursor).await? {
            Some(page) if page.next.is_none() => Ok(Some(begins.to_owned())),
            Some(_) => Ok(pages.blocks.lock().around(place)),
            None => {
                let gone = cursor.and_then(|cursor| cursor.id()).unwrap_or_default();
                pages.blocks.lock().remove(gone);
                Ok(None)
            }
        }
    }

    /// A page without revocations that leads to another one.
    fn lead(
        &self,
        after: &str,
        begins: String,
        near: ReadRevocations,
        begun: Instant,
    ) -> Result<Arc<Page>, String> {
        let nothing = ReadRevocations {
            revocations: Vec::new(),
            more: true,
            ..near
        };
        self.sign(after, begins, nothing, begun)
    }

    /// Makes a page of what was read.
    fn page(
        &self,
        after: &str,
        cursor: Option<Cursor<'_>>,
        read: ReadRevocations,
        begun: Instant,
    ) -> Result<Arc<Page>, String> {
        let pages = &self.feed.pages;
        let vault = self.feed.vault.load_full();
        let is_new = cursor.is_none_or(|cursor| cursor.place != read.cursor);
        let end = Cursor {
            place: &read.cursor,
            is_shared: read.more,
        };
        let next = if is_new {
            end.write(&vault)
        } else {
            after.to_owned()
        };
        let is_shared = cursor.is_none_or(|cursor| cursor.is_shared);
        let begin = cursor
            .map_or(Some((0, 0)), |cursor| cursor.id())
            .filter(|_| is_shared);
        if !read.more {
            pages.led_to_the_end(&next);
            if let Some(begin) = begin {
                pages.blocks.lock().note_last(begin, after);
            }
        } else if let Some(end) = end.id() {
            pages
                .blocks
                .lock()
                .note(begin.map(|begin| (begin, after)), (end, &next));
        }
        let is_kept = read.more && cursor.is_some_and(|cursor| cursor.is_shared);
        let page = self.sign(after, next, read, begun)?;
        if is_kept {
            pages.keep(after, &page);
        }
        Ok(page)
    }

    fn sign(
        &self,
        after: &str,
        cursor: String,
        read: ReadRevocations,
        begun: Instant,
    ) -> Result<Arc<Page>, String> {
        let iss = self.feed.issuer.clone();
        let iat = read.at.timestamp();
        let exp = iat + PAGE_LIFE.as_secs() as i64;
        let revoked = read
            .revocations
            .iter()
            .map(|revocation| revocation.published(&iss))
            .collect();
        let next = read.more.then(|| cursor.clone());
        let page = RevocationsPage {
            iss,
            iat,
            exp,
            cursor,
            after: after.to_owned(),
            more: read.more,
            revoked,
        };
        let signed = self.feed.minter.sign_page(&page, now()).map_err(unsigned)?;
        Ok(Arc::new(Page {
            bytes: signed.into(),
            next,
            kid: self.kid.clone(),
            read_at: begun,
        }))
    }
}
