//! Some people, a few replicas, and a scheduler that decides whose step is next and which of them go wrong.

use std::collections::BTreeSet;

use actix_web::rt::Runtime;
use wxmint::accounts::Named;
use wxmint_ids::{Person, Platform, UnionId, UserId};
use wxmint_store::{BindingState, Store};

use super::books::{Books, Looked};
use super::laws::{self, Evidence, Party};
use super::request::{Backend, Kind, Outcome, Request, Visit, Wish};
use crate::draws::Draws;
use crate::stepping::{Call, Step};
use crate::{Held, Scheduled};

const MOST_IN_FLIGHT: usize = 3;

/// A small world: the fewer there are, the more they are in each other's way.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) apps: usize,
    pub(super) humans: usize,
    users: usize,
    per_user: u32,
    backend: Kind,
    /// Tells of each person whether the unionid is there from the first.
    known: Vec<bool>,
    /// Tells of each person whether the logins have no session keys.
    pub(super) keyless: Vec<bool>,
    /// Whether operators block users, and whether all blocks are lifted before everybody's last login.
    pub(super) blocks: bool,
    lifted: bool,
    /// Whether steps whose requests are gone arrive before everybody's last login, or after it.
    late_ones_first: bool,
    /// Whether more than one human asks for anything, and in more than one app.
    many: (bool, bool),
}

impl Setup {
    fn draw(draws: &mut Draws) -> Self {
        let (humans, apps) = (3 + draws.index(2), 2 + draws.index(2));
        Self {
            apps,
            humans,
            users: 2 + draws.index(3),
            per_user: draws.one_of(&[1, 2]),
            backend: draws.one_of(&[Kind::Auto, Kind::Service, Kind::File]),
            known: (0..humans).map(|_| draws.once_in(2)).collect(),
            keyless: (0..apps).map(|_| draws.once_in(2)).collect(),
            blocks: draws.once_in(3),
            lifted: draws.once_in(2),
            late_ones_first: draws.once_in(2),
            many: (draws.once_in(2), draws.once_in(2)),
        }
    }
}

pub(crate) struct World<'a> {
    pub(super) setup: Setup,
    draws: &'a mut Draws,
    pub(super) runtime: &'a Runtime,
    /// A step is taken in the first, and the others must answer the same.
    pub(super) stores: Vec<Store>,
    pub(super) backend: Backend,
    pub(super) books: Books,
    /// The people whose unionid WeChat tells.
    pub(super) revealed: BTreeSet<usize>,
    /// The people who have ever asked for anything.
    callers: BTreeSet<usize>,
    /// The user of the last token that a person got.
    tokens: Vec<Option<UserId>>,
    in_flight: Vec<InFlight>,
    /// Steps that were sent by requests that are gone.
    late: Vec<(Party, Step)>,
    number: u64,
    /// Humans who have done more than to log in by WeChat's code.
    pub(super) untypical: BTreeSet<usize>,
    /// People who began a login without a unionid while they were bound to nobody.
    pub(super) unnamed: BTreeSet<usize>,
    /// The people who were refused at the last login, since somebody is blocked.
    pub(super) barred: BTreeSet<usize>,
    /// Whether everybody did no more than to log in by WeChat's code, was told the outcome, and nobody was blocked.
    pub(super) undisturbed: bool,
    is_at_rest: bool,
}

struct InFlight {
    party: Party,
    who: usize,
    call: Call<Outcome>,
}

pub(super) fn person(human: usize, app: usize) -> Person {
    Person {
        platform: Platform::WeChat,
        app: parse(format!("wx{app}")),
        openid: parse(format!("human{human}-wx{app}")),
    }
}

pub(super) fn parse<T: std::str::FromStr>(text: String) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is a name"))
}

impl Scheduled for World<'_> {
    const MOST_ACTIONS: i64 = 160;

    fn draws(&mut self) -> &mut Draws {
        self.draws
    }

    fn act(&mut self) -> Held {
        match self.draws.below(29) {
            0..12 => self.with_one(Self::step),
            12..15 => self.with_one(Self::run),
            15..21 => self.ask(),
            // A step is taken and its answer lost, so that it will be taken again.
            21 => self.with_one(|world, at| world.take_of(at, false)),
            22 => self.with_one(|world, at| world.give_up(at, true)),
            23 => self.with_one(|world, at| world.give_up(at, false)),
            24..27 => self.arrive_late(),
            27 => self.block(),
            // WeChat begins to tell a unionid.
            _ => {
                let who = self.who();
                self.draws.note(format!(
                    "unionid of {} appears",
                    self.books.people[who].openid.as_str()
                ));
                self.revealed.insert(who);
                Ok(())
            }
        }
    }

    /// All requests end, and everybody who was there logs in once more: what was half done is done then.
    fn come_to_rest(&mut self) -> Result<usize, String> {
        self.draws.note("at rest:".into());
        while !self.in_flight.is_empty() {
            self.step(0)?;
        }
        if self.setup.late_ones_first {
            self.all_arrive_late()?;
        }
        if self.setup.lifted {
            for user in &std::mem::take(&mut self.books.blocked) {
                self.set_blocked(user, false);
            }
        }
        let before = self.states();
        self.is_at_rest = true;
        for who in self.callers.clone() {
            self.begin(who, Wish::LogIn)?;
            self.run(0)?;
        }
        self.check_at_rest(&before)?;
        self.all_arrive_late()?;
        Ok(self.number as usize)
    }
}

impl<'a> World<'a> {
    pub(crate) fn draw(draws: &'a mut Draws, stores: Vec<Store>, runtime: &'a Runtime) -> Self {
        let setup = Setup::draw(draws);
        draws.note(format!("{setup:?}"));
        let apps = (0..setup.humans * setup.apps).map(|who| (who / setup.apps, who % setup.apps));
        let people: Vec<_> = apps.map(|(human, app)| person(human, app)).collect();
        let known = |who: &usize| setup.known[who / setup.apps];
        Self {
            draws,
            runtime,
            stores,
            backend: Backend::new(setup.backend),
            revealed: (0..people.len()).filter(known).collect(),
            callers: BTreeSet::new(),
            tokens: vec![None; people.len()],
            in_flight: Vec::new(),
            late: Vec::new(),
            number: 0,
            untypical: BTreeSet::new(),
            unnamed: BTreeSet::new(),
            barred: BTreeSet::new(),
            undisturbed: true,
            is_at_rest: false,
            books: Books {
                people,
                ..Books::default()
            },
            setup,
        }
    }

    fn with_one(&mut self, act: impl FnOnce(&mut Self, usize) -> Held) -> Held {
        match self.in_flight.len() {
            0 => Ok(()),
            some => {
                let at = self.draws.index(some);
                act(self, at)
            }
        }
    }

    /// Mostly one of the first two, so that requests meet.
    fn who(&mut self) -> usize {
        let (human, app) = (
            self.draws.one_of(&[0, 0, 0, 0, 1, 1, 2, 3]),
            self.draws.one_of(&[0, 0, 0, 0, 1, 1, 1, 2]),
        );
        let (humans, apps) = self.setup.many;
        let (human, app) = (if humans { human } else { 0 }, if apps { app } else { 0 });
        (human % self.setup.humans) * self.setup.apps + app % self.setup.apps
    }

    /// A request arrives, at whatever replica.
    fn ask(&mut self) -> Held {
        if self.in_flight.len() >= MOST_IN_FLIGHT {
            return Ok(());
        }
        let who = self.who();
        let Some(wish) = self.wish(who) else {
            return Ok(());
        };
        if !matches!(wish, Wish::LogIn) {
            self.untypical.insert(who / self.setup.apps);
            self.undisturbed = false;
        }
        self.begin(who, wish)
    }

    fn wish(&mut self, who: usize) -> Option<Wish> {
        match self.draws.below(8) {
            0..3 => Some(Wish::LogIn),
            3..6 => {
                let (user, by_phone) = (
                    self.draws.one_of(&[0, 0, 0, 1, 1, 2, 3]),
                    self.draws.once_in(3),
                );
                let user = parse(format!("user-{}", user % self.setup.users));
                (self.setup.backend != Kind::Auto).then_some(Wish::LogInAs(Named {
                    user,
                    made: by_phone,
                }))
            }
            _ => self.tokens[who].clone().map(Wish::Unbind),
        }
    }

    fn begin(&mut self, who: usize, wish: Wish) -> Held {
        self.number += 1;
        self.callers.insert(who);
        let human = who / self.setup.apps;
        // A page may ask for a scope without the unionid, before and after others have asked for one with it.
        let is_withheld = !self.is_at_rest && self.draws.once_in(6);
        let is_told = self.revealed.contains(&who) && !is_withheld;
        let unionid: Option<UnionId> = is_told.then(|| parse(format!("union-{human}")));
        let person = self.books.people[who].clone();
        if unionid.is_none() && self.books.user_of(&person).is_none() {
            self.unnamed.insert(who);
        }
        let (has_key, per_user) = (
            !self.setup.keyless[who % self.setup.apps],
            self.setup.per_user,
        );
        let visit = Visit {
            number: self.number,
            person,
            unionid,
            wish,
            has_key,
            per_user,
        };
        if let Wish::LogInAs(Named { user, made: true }) = &visit.wish {
            self.books.by_phone.insert(user.clone());
        }
        let openid = visit.person.openid.as_str();
        self.draws.note(format!(
            "{}: {openid} {:?}, unionid {}",
            self.number,
            visit.wish,
            visit.unionid.is_some()
        ));
        let call = Request::begin(&self.backend, visit.clone());
        let evidence = Evidence::at_first(&visit, &self.books);
        self.in_flight.push(InFlight {
            party: Party { visit, evidence },
            who,
            call,
        });
        self.go_on(self.in_flight.len() - 1)
    }

    /// Lets a request go on to its next step, or to its end.
    fn go_on(&mut self, at: usize) -> Held {
        let gone_on = self.in_flight[at].call.go_on();
        let Some(outcome) = self.runtime.block_on(gone_on) else {
            return Ok(());
        };
        let InFlight {
            party: Party { visit, evidence },
            who,
            ..
        } = self.in_flight.swap_remove(at);
        self.draws
            .note(format!("{}: answered {outcome:?}", visit.number));
        if let Outcome::Bound(bound) = &outcome {
            self.tokens[who] = Some(bound.user.clone());
        }
        if self.is_at_rest && matches!(outcome, Outcome::Blocked) {
            self.barred.insert(who);
        }
        laws::of_an_answer(&outcome, &visit, &evidence, &mut self.books, &self.backend)
    }

    fn step(&mut self, at: usize) -> Held {
        self.take_of(at, true)?;
        self.go_on(at)
    }

    fn run(&mut self, at: usize) -> Held {
        let number = self.in_flight[at].party.visit.number;
        while let Some(at) = self
            .in_flight
            .iter()
            .position(|one| one.party.visit.number == number)
        {
            self.step(at)?;
        }
        Ok(())
    }

    /// Takes the step of a request that goes on waiting.
    fn take_of(&mut self, at: usize, is_heard: bool) -> Held {
        let step = self.in_flight[at].call.step();
        let mut party = self.in_flight[at].party.clone();
        let taken = self.take(&step, &mut party, is_heard);
        self.in_flight[at]
            .party
            .evidence
            .clone_from(&party.evidence);
        for one in &mut self.in_flight {
            one.party.evidence.grow(&one.party.visit, &self.books);
        }
        taken
    }

    fn take(&mut self, step: &Step, party: &mut Party, is_heard: bool) -> Held {
        party.evidence.count_a_step()?;
        let said = self
            .runtime
            .block_on(self.backend.answers(step, &self.stores));
        self.draws.note(format!(
            "{}: {} -> {said:?}",
            party.visit.number,
            step.text()
        ));
        if is_heard {
            step.answer(said);
        }
        if step.only_looks() {
            return Ok(());
        }
        let books = &mut self.books;
        match self.runtime.block_on(books.look(&self.stores[0], step)) {
            Looked::Person { person, before } => laws::of_a_change(&person, &before, party, books)?,
            Looked::List { user, before } => {
                laws::of_a_list_change(&user, before.as_deref(), books)?;
            }
            Looked::Holder { unionid, before } => {
                laws::of_a_holder(&unionid, before.as_ref(), step, party, books)?;
            }
            Looked::Elsewhere => {}
        }
        laws::at_all_times(&self.books, self.setup.per_user)
    }

    /// An operator blocks a user, or lifts the block.
    #[expect(clippy::unnecessary_wraps, reason = "every step has this type")]
    fn block(&mut self) -> Held {
        let users: Vec<_> = self
            .books
            .lists
            .keys()
            .chain(self.books.holders.values())
            .cloned()
            .collect();
        if !self.setup.blocks || users.is_empty() {
            return Ok(());
        }
        let user = users[self.draws.index(users.len())].clone();
        let blocked = !self.books.blocked.remove(&user);
        if blocked {
            self.books.blocked.insert(user.clone());
        }
        self.undisturbed = false;
        self.set_blocked(&user, blocked);
        for one in &mut self.in_flight {
            one.party.evidence.grow(&one.party.visit, &self.books);
        }
        Ok(())
    }

    fn set_blocked(&mut self, user: &UserId, blocked: bool) {
        self.draws.note(format!(
            "{user} is {}",
            if blocked { "blocked" } else { "let in again" }
        ));
        for store in &self.stores {
            self.runtime
                .block_on(store.revocations.set_blocked(user, blocked))
                .expect("a number");
        }
    }

    fn states(&self) -> Vec<BindingState> {
        self.books
            .people
            .iter()
            .map(|person| self.books.binding_state(person))
            .collect()
    }

    /// The store does not answer in time, or the replica dies; the step may arrive all the same.
    fn give_up(&mut self, at: usize, goes_on: bool) -> Held {
        self.undisturbed = false;
        let one = &self.in_flight[at];
        let step = one.call.step();
        let how = if goes_on {
            "no answer to"
        } else {
            "killed before the answer to"
        };
        self.draws
            .note(format!("{}: {how} {}", one.party.visit.number, step.text()));
        let mut party = one.party.clone();
        party.evidence.end(&self.books);
        self.late.push((party, step.clone()));
        if goes_on {
            step.answer(None);
            return self.go_on(at);
        }
        self.in_flight.swap_remove(at);
        Ok(())
    }

    /// A step arrives whose request is gone.
    fn arrive_late(&mut self) -> Held {
        if self.late.is_empty() {
            return Ok(());
        }
        let (mut party, step) = self.late.swap_remove(self.draws.index(self.late.len()));
        self.draws.note("late:".into());
        self.take(&step, &mut party, false)
    }

    fn all_arrive_late(&mut self) -> Held {
        while !self.late.is_empty() {
            self.arrive_late()?;
        }
        Ok(())
    }
}
