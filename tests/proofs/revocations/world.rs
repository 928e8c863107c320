//! A deployment on a virtual clock: a store, in Redis with a replica, two replicas of wxmint, two verifiers.

use std::collections::HashMap;

use actix_web::rt::Runtime;
use wxmint_ids::{Person, Platform, UserId};
use wxmint_store::{Generation, ReadRevocations, Store, StoreError};
use wxmint_verify::revocations::{PAGE_LIFE, PageRefused, RevocationsPage};

use super::draws::Draws;
use super::laws::Books;
use super::requests::Request;
use super::store::{Fate, Stores};
use super::verifiers::{ISSUER, Keys, Verifier};
use crate::{Held, Millis, SECOND, Scheduled};

pub(crate) const USERS: usize = 2;
pub(crate) const APPS: [&str; 2] = ["wx0000000000000001", "wx0000000000000002"];
pub(crate) const PEOPLE_OF_APP: [&str; 4] = [APPS[0], APPS[0], APPS[1], APPS[1]];
const START: Millis = 1_800_000_000 * SECOND;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Few, so that there are pages that do not say all.
const PAGE_ENDS: usize = 2;
/// wxmint keeps a page for so long.
const CACHED: Millis = SECOND;

pub(crate) fn user_id(user: usize) -> UserId {
    format!("user-{user}").parse().expect("a user")
}

pub(crate) fn person_id(person: usize) -> Person {
    let (app, openid) = (
        PEOPLE_OF_APP[person].parse().expect("an app"),
        format!("person-{person}").parse(),
    );
    Person {
        platform: Platform::WeChat,
        app,
        openid: openid.expect("an openid"),
    }
}

/// The user to whom a person is bound, in which generation.
#[derive(Clone, Copy)]
pub(crate) enum Binding {
    Free,
    To(usize, Generation),
    Leaving(usize, Generation),
}

/// A replica of wxmint.
#[derive(Default)]
pub(crate) struct Issuer {
    /// The pages that it has made lately, each under its cursor; `None` for a cursor that is not in the stream.
    pages: HashMap<String, (Millis, Option<String>)>,
    /// When it reads that the first key is gone.
    second_key_from: Option<Millis>,
}

impl Issuer {
    pub(crate) fn key(&self, now: Millis) -> usize {
        usize::from(self.second_key_from.is_some_and(|from| from <= now))
    }
}

pub(crate) struct World<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) draws: &'a mut Draws,
    pub(crate) runtime: &'a Runtime,
    pub(crate) stores: Stores,
    pub(crate) now: Millis,
    /// The clocks of the two machines that have the store show so much beyond the true time.
    clocks: [Millis; 2],
    /// The one of them that is the primary.
    active: usize,
    pub(crate) failovers: u32,
    pub(crate) issuers: [Issuer; 2],
    pub(crate) verifiers: [Verifier; 2],
    pub(crate) bindings: [Binding; PEOPLE_OF_APP.len()],
    /// How many bindings have been made, of all persons. Each has its own generation.
    pub(crate) generations: u64,
    pub(crate) single_session: bool,
    /// The life of tokens, in seconds.
    pub(crate) life: i64,
    /// How many requests have begun.
    pub(crate) begun: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) books: Books,
    /// Every page that was made, for whoever plays it again.
    pages: Vec<String>,
    /// Failovers while much is under way, and no long pauses.
    is_hectic: bool,
    /// Nothing is lost any more.
    pub(crate) is_calm: bool,
}

impl Scheduled for World<'_> {
    const MOST_ACTIONS: i64 = 200;

    fn draws(&mut self) -> &mut Draws {
        self.draws
    }

    fn act(&mut self) -> Held {
        match self.draws.below(21) {
            0..=5 => {
                let times: &[Millis] = if self.is_hectic {
                    &[500, 1_000]
                } else {
                    &[500, 1_000, 2_500, 5_000, 10_000, 30_000]
                };
                let time = self.draws.one_of(times);
                self.advance(time)?;
            }
            6..=8 => self.begin(),
            9..=15 => self.step(),
            16 => self
                .stores
                .server
                .iter()
                .for_each(|server| _ = server.replicate()),
            17 => self.fail_over(),
            18 if !self.is_hectic => self.restart(),
            19 if self.draws.once_in(4) => self.purge_revocations(),
            18 | 19 => self
                .stores
                .server
                .iter()
                .for_each(|server| server.is_alone.set(!server.is_alone.get())),
            _ if self.is_hectic => self.begin(),
            _ => self.cut_off(),
        }
        self.check()
    }

    /// Every request is repeated until it is answered, and everybody hears of it.
    fn come_to_rest(&mut self) -> Result<usize, String> {
        self.is_calm = true;
        self.stores
            .server
            .iter()
            .for_each(|server| server.is_alone.set(false));
        while !self.requests.is_empty() {
            self.step();
            self.check()?;
        }
        self.advance(17 * SECOND)?;
        self.check()?;
        Ok(self.books.accepted)
    }
}

impl<'a> World<'a> {
    pub(crate) fn draw(
        keys: &'a Keys,
        draws: &'a mut Draws,
        (stores, runtime): (Stores, &'a Runtime),
    ) -> Self {
        const APART: Millis = 30 * SECOND;
        let is_hectic = draws.once_in(2);
        let clocks = match is_hectic {
            true => draws.one_of(&[[0, 0], [0, -5 * SECOND], [0, -2 * SECOND], [0, -APART]]),
            false => draws.one_of(&[[0, 0], [0, -APART], [0, APART], [APART, 0]]),
        };
        let verifiers = [(); 2].map(|()| Verifier::start(draws.one_of(&[0, -APART, APART]), START));
        draws.note(format!(
            "clocks of the store {clocks:?}, of the verifiers {:?}",
            verifiers.each_ref().map(|it| it.clock)
        ));
        let (single_session, life) = (draws.once_in(2), draws.one_of(&[HOUR, 30 * DAY]));
        let world = Self {
            keys,
            draws,
            runtime,
            stores,
            now: START,
            clocks,
            active: 0,
            failovers: 0,
            issuers: [Issuer::default(), Issuer::default()],
            verifiers,
            bindings: [Binding::Free; PEOPLE_OF_APP.len()],
            generations: 0,
            single_session,
            life,
            begun: 0,
            requests: Vec::new(),
            books: Books::default(),
            pages: Vec::new(),
            is_hectic,
            is_calm: false,
        };
        world.set_clock();
        world
    }

    pub(crate) fn note(&mut self, what: String) {
        self.draws.note(format!("{:>10} {what}", self.now - START));
    }

    pub(crate) fn store_clock(&self) -> Millis {
        self.now + self.clocks[self.active]
    }

    pub(crate) fn store_second(&self) -> i64 {
        self.store_clock().div_euclid(SECOND)
    }

    /// How far the store's clocks may be ahead of the true one.
    pub(crate) fn ahead(&self) -> Millis {
        self.clocks.into_iter().max().unwrap_or(0)
    }

    fn set_clock(&self) {
        self.stores.set_clock(self.store_clock(), self.now);
    }

    /// The store in memory has another clock from now on, and loses nothing.
    fn fail_over(&mut self) {
        self.active = 1 - self.active;
        self.set_clock();
        if let Some(server) = &self.stores.server {
            self.failovers += 1;
            self.books.dated = self.books.confirmed;
            self.books
                .answered
                .retain(|(revocation, _)| !revocation.by_login);
            server.fail_over();
        }
        self.note("the store fails over".into());
    }

    fn restart(&mut self) {
        let number = self.draws.index(self.verifiers.len());
        self.verifiers[number] = Verifier::start(self.verifiers[number].clock, self.now);
        self.note(format!("verifier {number} restarts"));
    }

    /// A long time, in which nobody reaches wxmint.
    fn cut_off(&mut self) {
        let time = self.draws.one_of(&[
            HOUR,
            DAY,
            29 * DAY,
            30 * DAY - 40,
            30 * DAY + 10,
            30 * DAY + 70,
        ]);
        if !self.draws.once_in(3) {
            return;
        }
        self.now += time * SECOND;
        self.set_clock();
        self.requests.clear();
        for verifier in &mut self.verifiers {
            verifier.disturb(self.now);
            verifier.next_poll = self.now;
        }
        self.purge_revocations();
        self.note(format!("{time} s later"));
    }

    /// A replica of wxmint does this once a minute.
    fn purge_revocations(&mut self) {
        let purged =
            self.directly(async |store: &Store| store.revocation_stream.purge(None, 1_000).await);
        self.directly(async |store: &Store| {
            store.revocation_stream.purge_kept_records(1_000).await
        });
        self.note(format!("{} revocations are purged", purged.revocations));
    }

    /// The key file loses its first key. Whether it had it.
    pub(crate) fn take_the_first_key_away(&mut self) -> bool {
        if self.issuers[0].second_key_from.is_some() {
            return false;
        }
        self.issuers[0].second_key_from = Some(self.now);
        self.issuers[1].second_key_from = Some(self.now + self.draws.below(5) * SECOND);
        true
    }

    fn advance(&mut self, time: Millis) -> Held {
        let until = self.now + time;
        loop {
            let due =
                (0..self.verifiers.len()).min_by_key(|number| self.verifiers[*number].next_poll);
            let Some(number) = due.filter(|number| self.verifiers[*number].next_poll <= until)
            else {
                break;
            };
            self.now = self.now.max(self.verifiers[number].next_poll);
            self.set_clock();
            self.poll(number)?;
            self.verifiers[number].next_poll = self.now + 4_500 + 500 * self.draws.below(3);
            self.check()?;
        }
        self.now = until;
        self.set_clock();
        Ok(())
    }

    fn poll(&mut self, number: usize) -> Held {
        if !self.is_calm && self.draws.once_in(8) {
            self.verifiers[number].disturb(self.now);
            if self.draws.once_in(2) {
                self.play_again(number);
            }
            return Ok(());
        }
        loop {
            let cursor = self.verifiers[number].feed.cursor().to_owned();
            let issuer = self.draws.index(self.issuers.len());
            let Some(page) = self.page(issuer, &cursor) else {
                self.verifiers[number].disturb(self.now);
                return Ok(());
            };
            match self.verifiers[number].accept(&page, self.keys, self.now) {
                Ok(more) => {
                    self.books.accepted += 1;
                    if !more {
                        return Ok(());
                    }
                }
                // A replica that has not read the key file again. The metric counts it.
                Err(PageRefused::RevokedKey) => {
                    self.verifiers[number].disturb(self.now);
                    return Ok(());
                }
                Err(refused) => {
                    return Err(format!(
                        "verifier {number} refused a page of wxmint's: {refused}"
                    ));
                }
            }
        }
    }

    /// Somebody answers with a page that was made before.
    fn play_again(&mut self, number: usize) {
        if self.pages.is_empty() {
            return;
        }
        let page = self.pages[self.draws.index(self.pages.len())].clone();
        let judged = self.verifiers[number].accept(&page, self.keys, self.now);
        self.note(format!("verifier {number} gets an old page: {judged:?}"));
    }

    /// The page that a replica of wxmint answers. `None` if the store is too slow for it, on a busy machine.
    fn page(&mut self, issuer: usize, cursor: &str) -> Option<String> {
        match self.page_after(issuer, cursor).ok()? {
            Some(page) => Some(page),
            None => Some(
                self.page_after(issuer, "")
                    .ok()?
                    .expect("the stream has a beginning"),
            ),
        }
    }

    fn page_after(&mut self, issuer: usize, cursor: &str) -> Result<Option<String>, StoreError> {
        let now = self.now;
        let pages = &mut self.issuers[issuer].pages;
        pages.retain(|_, (made, _)| now - *made < CACHED);
        if let Some((_, page)) = pages.get(cursor) {
            return Ok(page.clone());
        }
        let page = self
            .read(cursor)?
            .map(|read| self.make(issuer, cursor, read));
        self.issuers[issuer]
            .pages
            .insert(cursor.to_owned(), (now, page.clone()));
        Ok(page)
    }

    fn read(&mut self, cursor: &str) -> Result<Option<ReadRevocations>, StoreError> {
        let (after, seldom) = (cursor.to_owned(), if self.is_hectic { 3 } else { 6 });
        if self.is_calm || !self.draws.once_in(seldom) {
            return Ok(self.directly(async |store: &Store| {
                store.revocation_stream.after(cursor, PAGE_ENDS).await
            }));
        }
        let mut call = self.call(async move |store: &Store| {
            store.revocation_stream.after(&after, PAGE_ENDS).await
        });
        loop {
            if let Some(read) = self.runtime.block_on(call.go_on(&self.stores, Fate::Taken)) {
                return read;
            }
            self.meanwhile();
        }
    }

    fn make(&mut self, issuer: usize, cursor: &str, read: ReadRevocations) -> String {
        let iat = read.at.timestamp();
        let page = RevocationsPage {
            iss: ISSUER.into(),
            iat,
            exp: iat + PAGE_LIFE.as_secs() as i64,
            after: cursor.into(),
            cursor: read.cursor,
            more: read.more,
            revoked: read
                .revocations
                .iter()
                .map(|revoked| revoked.published(ISSUER))
                .collect(),
        };
        let key = self.issuers[issuer].key(self.now);
        let signed = self.keys.sign(key, &page);
        if !page.revoked.is_empty() {
            self.note(format!(
                "replica {issuer} makes a page: {:?} -> {:?}, {:?}",
                page.after, page.cursor, read.revocations
            ));
        }
        self.pages.push(signed.clone());
        signed
    }

    /// The acts of others between two commands of one request.
    fn meanwhile(&mut self) {
        if self.draws.once_in(3) {
            self.fail_over();
        }
        for _ in 0..self.draws.below(10) {
            self.step();
        }
    }
}
