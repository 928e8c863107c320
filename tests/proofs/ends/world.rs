//! A deployment on a virtual clock: a store, in Redis with a replica, two replicas of wxmint, two verifiers.

use std::{collections::HashMap, fmt::Write};

use actix_web::rt::Runtime;
use wxmint_ids::{Person, UserId};
use wxmint_store::{ENDS_KEPT, Ended, ReadEnds, Redis, StoreError};
use wxmint_verify::ends::{End, EndHash, Endable, EndsPage, PAGE_LIFE, PageRefused};

use super::draws::Draws;
use super::laws::{Books, Token};
use super::requests::Request;
use super::rules::Rules;
use super::store::{Fate, Millis, SECOND, Stores};
use super::verifiers::{ISSUER, Keys, Verifier};
use crate::Scheduled;

pub(crate) const USERS: usize = 2;
pub(crate) const APPS: [&str; 2] = ["wx0000000000000001", "wx0000000000000002"];
pub(crate) const PEOPLE_OF_APP: [&str; 4] = [APPS[0], APPS[0], APPS[1], APPS[1]];
const START: Millis = 1_800_000_000 * SECOND;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Few, so that there are pages that do not say all.
const PAGE_ENDS: usize = 2;

pub(crate) fn user_id(user: usize) -> UserId {
    format!("user-{user}").parse().expect("a user")
}

pub(crate) fn person_id(person: usize) -> Person {
    let (app, openid) = (PEOPLE_OF_APP[person].parse().expect("an app"), format!("person-{person}").parse());
    Person { app, openid: openid.expect("an openid") }
}

/// The user to whom a person is bound, in which generation.
#[derive(Clone, Copy)]
pub(crate) enum Binding {
    Free,
    To(usize, u64),
    Leaving(usize, u64),
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
    pub(crate) rules: &'a Rules,
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
    pub(crate) verifiers: Vec<Verifier>,
    pub(crate) bindings: [Binding; PEOPLE_OF_APP.len()],
    pub(crate) generation: u64,
    pub(crate) one_login: bool,
    /// The life of tokens, in seconds.
    pub(crate) life: i64,
    /// How many requests have begun.
    pub(crate) begun: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) tokens: Vec<(Token, Endable)>,
    pub(crate) books: Books,
    /// The latest date ahead of the store's clock that a token of each user has got, and the same without those that a
    /// failover would take back.
    pub(crate) dated: [i64; USERS],
    pub(crate) confirmed: [i64; USERS],
    /// A token that nobody should have been given.
    pub(crate) dead_on_arrival: Option<String>,
    /// Every page that was made, and its key, for whoever plays it again.
    pages: Vec<(usize, EndsPage)>,
    pub(crate) accepted: usize,
    /// Failovers while much is under way, and no long pauses.
    is_hectic: bool,
    /// Nothing is lost any more.
    pub(crate) is_calm: bool,
    trace: String,
}

impl Scheduled for World<'_> {
    const MOST_ACTIONS: i64 = 200;

    fn draws(&mut self) -> &mut Draws {
        self.draws
    }

    fn act(&mut self) -> Result<(), String> {
        match self.draws.below(21) {
            0..=5 => {
                let times: &[Millis] =
                    if self.is_hectic { &[500, 1_000] } else { &[500, 1_000, 2_500, 5_000, 10_000, 30_000] };
                let time = self.draws.one_of(times);
                self.advance(time)?;
            }
            6..=8 => self.begin(),
            9..=15 => self.step(),
            16 => self.stores.replicate(),
            17 => self.fail_over(),
            18 if !self.is_hectic => self.restart(),
            19 if self.draws.once_in(4) => self.forget_ends(),
            18 | 19 => {
                self.stores.replica().into_iter().for_each(|replica| replica.is_alone.set(!replica.is_alone.get()))
            }
            _ if self.is_hectic => self.begin(),
            _ => self.cut_off(),
        }
        self.check()
    }

    /// Every request is repeated until it is answered, and everybody hears of it.
    fn come_to_rest(&mut self) -> Result<usize, String> {
        self.is_calm = true;
        self.stores.replica().into_iter().for_each(|replica| replica.is_alone.set(false));
        while !self.requests.is_empty() {
            self.step();
            self.check()?;
        }
        self.advance(17 * SECOND)?;
        self.check()?;
        Ok(self.accepted)
    }

    fn trace(&self) -> String {
        let clocks: Vec<_> = self.verifiers.iter().map(|verifier| verifier.clock).collect();
        format!("clocks of the store {:?}, of the verifiers {clocks:?}\n{}", self.clocks, self.trace)
    }
}

impl<'a> World<'a> {
    pub(crate) fn draw(
        rules: &'a Rules,
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
        let verifiers: Vec<_> = (0..2).map(|_| Verifier::start(draws.one_of(&[0, -APART, APART]), START)).collect();
        let (one_login, life) = (draws.once_in(2), draws.one_of(&[HOUR, 30 * DAY]));
        if let Some(replica) = stores.replica() {
            replica.lies.set(!rules.an_end_is_confirmed);
        }
        let world = Self {
            rules,
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
            generation: 0,
            one_login,
            life,
            begun: 0,
            requests: Vec::new(),
            tokens: Vec::new(),
            books: Books::default(),
            dated: [i64::MIN; USERS],
            confirmed: [i64::MIN; USERS],
            dead_on_arrival: None,
            pages: Vec::new(),
            accepted: 0,
            is_hectic,
            is_calm: false,
            trace: String::new(),
        };
        world.set_clock();
        world
    }

    pub(crate) fn note(&mut self, what: String) {
        writeln!(self.trace, "{:>10} {what}", self.now - START).expect("memory");
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
        if let Some(replica) = self.stores.replica() {
            self.failovers += 1;
            self.dated = self.confirmed;
            self.books.answered.retain(|(end, _)| !end.by_login);
            replica.fail_over();
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
        let time = self.draws.one_of(&[HOUR, DAY, 29 * DAY, 30 * DAY - 40, 30 * DAY + 10, 30 * DAY + 70]);
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
        self.forget_ends();
        self.note(format!("{time} s later"));
    }

    /// A replica of wxmint does this once a minute.
    fn forget_ends(&mut self) {
        let forgotten = self.directly(async |store: &Redis| store.forget_ends(100).await);
        self.note(format!("{forgotten} ends are forgotten"));
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

    fn advance(&mut self, time: Millis) -> Result<(), String> {
        let until = self.now + time;
        loop {
            let due = (0..self.verifiers.len()).min_by_key(|number| self.verifiers[*number].next_poll);
            let Some(number) = due.filter(|number| self.verifiers[*number].next_poll <= until) else { break };
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

    fn poll(&mut self, number: usize) -> Result<(), String> {
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
                    self.accepted += 1;
                    if !more {
                        return Ok(());
                    }
                }
                // A replica that has not read the key file again. The metric counts it.
                Err(PageRefused::EndedKey) => {
                    self.verifiers[number].disturb(self.now);
                    return Ok(());
                }
                Err(refused) => return Err(format!("verifier {number} refused a page of wxmint's: {refused}")),
            }
        }
    }

    /// Somebody answers with a page that was made before.
    fn play_again(&mut self, number: usize) {
        if self.pages.is_empty() {
            return;
        }
        let (key, mut page) = self.pages[self.draws.index(self.pages.len())].clone();
        let verifier = &mut self.verifiers[number];
        if !self.rules.an_answer_names_its_question {
            page.after = verifier.feed.cursor().to_owned();
        }
        if !self.rules.a_page_has_its_time {
            page.iat = (self.now + verifier.clock).div_euclid(SECOND);
            page.exp = page.iat + PAGE_LIFE.as_secs() as i64;
        }
        let judged = verifier.accept(&self.keys.sign(key, &page), self.keys, self.now);
        self.note(format!("verifier {number} gets an old page, after {:?}: {judged:?}", page.after));
    }

    /// The page that a replica of wxmint answers. `None` if the store is too slow for it, on a busy machine.
    fn page(&mut self, issuer: usize, cursor: &str) -> Option<String> {
        match self.page_after(issuer, cursor).ok()? {
            Some(page) => Some(page),
            None => Some(self.page_after(issuer, "").ok()?.expect("the stream has a beginning")),
        }
    }

    fn page_after(&mut self, issuer: usize, cursor: &str) -> Result<Option<String>, StoreError> {
        let cached = if self.rules.a_page_is_cached_briefly { SECOND } else { 60 * SECOND };
        let now = self.now;
        let pages = &mut self.issuers[issuer].pages;
        pages.retain(|_, (made, _)| now - *made < cached);
        if let Some((_, page)) = pages.get(cursor) {
            return Ok(page.clone());
        }
        let page = self.read(cursor)?.map(|read| self.make(issuer, cursor, read));
        self.issuers[issuer].pages.insert(cursor.to_owned(), (now, page.clone()));
        Ok(page)
    }

    fn read(&mut self, cursor: &str) -> Result<Option<ReadEnds>, StoreError> {
        let (after, seldom) = (cursor.to_owned(), if self.is_hectic { 3 } else { 6 });
        if self.is_calm || !self.draws.once_in(seldom) {
            return Ok(self.directly(async |store: &Redis| store.ends_after(cursor, PAGE_ENDS).await));
        }
        let mut call = self.call(async move |store: &Redis| store.ends_after(&after, PAGE_ENDS).await);
        loop {
            if let Some(read) = self.runtime.block_on(call.go_on(Fate::Taken)) {
                return read;
            }
            self.meanwhile();
        }
    }

    fn make(&mut self, issuer: usize, cursor: &str, read: ReadEnds) -> String {
        let iat = read.at.timestamp();
        let page = EndsPage {
            iss: ISSUER.into(),
            iat,
            exp: iat + PAGE_LIFE.as_secs() as i64,
            after: cursor.into(),
            cursor: read.cursor,
            more: read.more,
            keep: ENDS_KEPT.as_secs(),
            ended: read.ends.iter().map(published).collect(),
        };
        let key = self.issuers[issuer].key(self.now);
        let signed = self.keys.sign(key, &page);
        if !page.ended.is_empty() {
            self.note(format!("replica {issuer} makes a page: {:?} -> {:?}, {:?}", page.after, page.cursor, read.ends));
        }
        self.pages.push((key, page));
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

/// As `issuer::revocations` does.
pub(crate) fn published(ended: &Ended) -> End {
    match ended {
        Ended::User { user, before } => End::User { user: EndHash::of_user(ISSUER, user), before: *before },
        Ended::UserInApp { user, app, before } => {
            End::UserInApp { user_in_app: EndHash::of_user_in_app(ISSUER, user, app), before: *before }
        }
        Ended::Token { id, expires_at, .. } => {
            End::Token { token: EndHash::of_token(ISSUER, id), expires: *expires_at }
        }
        Ended::Key { kid } => End::Key { kid: kid.clone() },
    }
}
