//! Some people, a few replicas, and a scheduler that decides whose step is next and which of them go wrong.

use std::collections::BTreeSet;

use actix_web::rt::Runtime;
use futures_util::{FutureExt, future::LocalBoxFuture};
use wxmint::{
    accounts::Named,
    ids::{AppId, OpenId, Person, UnionId, UserId},
    store::BindingState,
};

use super::{
    actions::{Action, Asked, Crowd, Setup, Whom},
    books::Books,
    laws::{self, Evidence, Party},
    request::{Backend, Kind, Outcome, Request, Visit, Wish},
    stepwise::{About, Step, Stepwise, Stores},
};

const MOST_IN_FLIGHT: usize = 3;

pub(crate) struct World<'a> {
    setup: &'a Setup,
    runtime: &'a Runtime,
    stores: Stores,
    backend: Backend,
    books: Books,
    /// Whose unionid WeChat tells.
    revealed: BTreeSet<usize>,
    /// Who has ever asked for anything.
    callers: BTreeSet<usize>,
    /// The user of the last token that a person got.
    tokens: Vec<Option<UserId>>,
    in_flight: Vec<InFlight>,
    /// Steps that were sent by requests that are gone.
    late: Vec<(Party, Step)>,
    number: u64,
    /// Humans who have done more than to log in by WeChat's code, with a unionid from the first.
    untypical: BTreeSet<usize>,
    /// Whether everybody did no more than to log in by WeChat's code, and was told what became of it.
    undisturbed: bool,
    trace: Vec<String>,
}

struct InFlight {
    party: Party,
    who: usize,
    store: Stepwise,
    serving: LocalBoxFuture<'static, Outcome>,
}

fn parse<T: std::str::FromStr>(text: String) -> T {
    text.parse().unwrap_or_else(|_| panic!("{text} is a name"))
}

impl<'a> World<'a> {
    pub(crate) fn new(setup: &'a Setup, stores: Stores, runtime: &'a Runtime) -> Self {
        let apps = (0..setup.humans * setup.apps).map(|who| (who / setup.apps, who % setup.apps));
        let person = |(human, app)| Person {
            app: parse::<AppId>(format!("wx{app}")),
            openid: parse::<OpenId>(format!("human{human}-wx{app}")),
        };
        let people: Vec<Person> = apps.map(person).collect();
        let known = |who: &usize| setup.known[who / setup.apps];
        Self {
            setup,
            runtime,
            stores,
            backend: Backend::new(setup.backend),
            revealed: (0..people.len()).filter(known).collect(),
            callers: BTreeSet::new(),
            tokens: vec![None; people.len()],
            in_flight: Vec::new(),
            late: Vec::new(),
            number: 0,
            untypical: (0..setup.humans).filter(|human| !setup.known[*human]).collect(),
            undisturbed: true,
            trace: Vec::new(),
            books: Books::new(people),
        }
    }

    /// What has happened, for who wants to know why a law was broken.
    pub(crate) fn trace(&self) -> String {
        self.trace.join("\n")
    }

    pub(crate) fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Ask(whom, asked) => self.ask(*whom, asked),
            Action::Step(index) => self.with_one(*index, |world, at| world.step(at)),
            Action::Run(index) => self.with_one(*index, Self::run),
            Action::LoseAnswer(index) => self.with_one(*index, |world, at| world.take_of(at).map(drop)),
            Action::Fail(index) => self.with_one(*index, |world, at| world.give_up(at, true)),
            Action::Crash(index) => self.with_one(*index, |world, at| world.give_up(at, false)),
            Action::Late(index) => self.arrive_late(*index),
            Action::Reveal(whom) => {
                let who = self.who(*whom);
                self.trace.push(format!("unionid of {} appears", self.books.people[who].openid.as_str()));
                self.revealed.insert(who);
                Ok(())
            }
        }
    }

    fn with_one(
        &mut self,
        index: usize,
        act: impl FnOnce(&mut Self, usize) -> Result<(), String>,
    ) -> Result<(), String> {
        match self.in_flight.len() {
            0 => Ok(()),
            some => act(self, index % some),
        }
    }

    fn who(&self, whom: Whom) -> usize {
        let (human, app) = match self.setup.crowd {
            Crowd::One => (0, 0),
            Crowd::OneApp => (whom.human, 0),
            Crowd::OneHuman => (0, whom.app),
            Crowd::All => (whom.human, whom.app),
        };
        (human % self.setup.humans) * self.setup.apps + app % self.setup.apps
    }

    fn ask(&mut self, whom: Whom, asked: &Asked) -> Result<(), String> {
        if self.in_flight.len() >= MOST_IN_FLIGHT {
            return Ok(());
        }
        let who = self.who(whom);
        let Some(wish) = self.wish(who, asked) else { return Ok(()) };
        if !matches!(wish, Wish::LogIn) {
            self.untypical.insert(who / self.setup.apps);
            self.undisturbed = false;
        }
        self.begin(who, wish)
    }

    fn wish(&self, who: usize, asked: &Asked) -> Option<Wish> {
        match *asked {
            Asked::LogIn => Some(Wish::LogIn),
            Asked::LogInAs { user, by_phone } if self.setup.backend != Kind::Auto => {
                let user = parse(format!("user-{}", user % self.setup.users));
                Some(Wish::LogInAs(Named { user, made: by_phone }))
            }
            Asked::LogInAs { .. } => None,
            Asked::Unbind => self.tokens[who].clone().map(Wish::Unbind),
        }
    }

    fn begin(&mut self, who: usize, wish: Wish) -> Result<(), String> {
        self.number += 1;
        self.callers.insert(who);
        let human = who / self.setup.apps;
        let unionid: Option<UnionId> = self.revealed.contains(&who).then(|| parse(format!("union-{human}")));
        let person = self.books.people[who].clone();
        let visit = Visit { number: self.number, person, unionid, wish, per_user: self.setup.per_user };
        if let Wish::LogInAs(Named { user, made: true }) = &visit.wish {
            self.books.by_phone.insert(user.clone());
        }
        let openid = visit.person.openid.as_str();
        self.trace.push(format!("{}: {openid} {:?}, unionid {}", self.number, visit.wish, visit.unionid.is_some()));
        let (store, backend) = (Stepwise::new(&self.stores), self.backend.clone());
        let evidence = Evidence::at_first(&visit, &self.books);
        let request = Request { store: store.clone(), backend, visit: visit.clone() };
        let serving = request.serve().boxed_local();
        self.in_flight.push(InFlight { party: Party { visit, evidence }, who, store, serving });
        self.go_on(self.in_flight.len() - 1)
    }

    /// Lets a request go on to its next step, or to its end.
    fn go_on(&mut self, at: usize) -> Result<(), String> {
        let Some(outcome) = (&mut self.in_flight[at].serving).now_or_never() else { return Ok(()) };
        let InFlight { party: Party { visit, evidence }, who, .. } = self.in_flight.swap_remove(at);
        self.trace.push(format!("{}: answered {outcome:?}", visit.number));
        if let Outcome::Bound(bound) = &outcome {
            self.tokens[who] = Some(bound.user.clone());
        }
        laws::of_an_answer(&outcome, &visit, &evidence, &mut self.books, &self.backend)
    }

    fn step(&mut self, at: usize) -> Result<(), String> {
        self.take_of(at)?;
        self.go_on(at)
    }

    fn run(&mut self, at: usize) -> Result<(), String> {
        let number = self.in_flight[at].party.visit.number;
        while let Some(at) = self.in_flight.iter().position(|one| one.party.visit.number == number) {
            self.step(at)?;
        }
        Ok(())
    }

    /// Takes the step of a request that goes on waiting.
    fn take_of(&mut self, at: usize) -> Result<(), String> {
        let step = self.in_flight[at].store.wanted().expect("a request that waits has a step");
        let mut party = self.in_flight[at].party.clone();
        let taken = self.take(&step, &mut party);
        self.in_flight[at].party.evidence.clone_from(&party.evidence);
        for one in &mut self.in_flight {
            one.party.evidence.grow(&one.party.visit, &self.books);
        }
        taken
    }

    fn take(&mut self, step: &Step, party: &mut Party) -> Result<(), String> {
        party.evidence.allows(step)?;
        let (before, list, holder) = (self.states(), self.list_of(&step.about), self.holder_of(&step.about));
        let said = self.runtime.block_on(step.take());
        self.trace.push(format!("{}: {} -> {said}", party.visit.number, step.text()));
        self.runtime.block_on(self.books.look(&*self.stores[0], &step.about));
        for (person, before) in self.books.people.iter().zip(&before) {
            laws::of_a_change(person, before, party, &self.books)?;
        }
        if let About::List(user) = &step.about {
            laws::of_a_list_change(user, list.as_deref(), &self.books)?;
        }
        laws::of_a_new_holder(holder.as_ref(), &step.about, &self.books)?;
        laws::at_all_times(&self.books, self.setup.per_user)
    }

    fn list_of(&self, about: &About) -> Option<Vec<Person>> {
        match about {
            About::List(user) => self.books.lists.get(user).cloned(),
            _ => None,
        }
    }

    fn holder_of(&self, about: &About) -> Option<UserId> {
        match about {
            About::Holder { unionid, .. } => self.books.holders.get(unionid).cloned(),
            _ => None,
        }
    }

    fn states(&self) -> Vec<BindingState> {
        self.books.people.iter().map(|person| self.books.binding_state(person)).collect()
    }

    /// The store does not answer in time, or the replica dies; the step may arrive all the same.
    fn give_up(&mut self, at: usize, goes_on: bool) -> Result<(), String> {
        self.undisturbed = false;
        let one = &self.in_flight[at];
        let step = one.store.wanted().expect("a request that waits has a step");
        let how = if goes_on { "no answer to" } else { "killed before the answer to" };
        self.trace.push(format!("{}: {how} {}", one.party.visit.number, step.text()));
        let mut party = one.party.clone();
        party.evidence.end(&self.books);
        self.late.push((party, step.clone()));
        if goes_on {
            step.fail();
            return self.go_on(at);
        }
        self.in_flight.swap_remove(at);
        Ok(())
    }

    fn arrive_late(&mut self, index: usize) -> Result<(), String> {
        if self.late.is_empty() {
            return Ok(());
        }
        let (mut party, step) = self.late.swap_remove(index % self.late.len());
        self.trace.push("late:".into());
        self.take(&step, &mut party)
    }

    /// All requests end, and everybody who was there logs in once more: what was half done is done then.
    pub(crate) fn come_to_rest(&mut self) -> Result<(), String> {
        self.trace.push("at rest:".into());
        while !self.in_flight.is_empty() {
            self.step(0)?;
        }
        if self.setup.late_ones_first {
            self.all_arrive_late()?;
        }
        let before = self.states();
        for who in self.callers.clone() {
            self.begin(who, Wish::LogIn)?;
            self.run(0)?;
        }
        self.check_at_rest(&before)?;
        self.all_arrive_late()
    }

    fn all_arrive_late(&mut self) -> Result<(), String> {
        while !self.late.is_empty() {
            self.arrive_late(0)?;
        }
        Ok(())
    }

    fn check_at_rest(&self, before: &[BindingState]) -> Result<(), String> {
        for (who, person) in self.books.people.iter().enumerate() {
            let (name, state) = (person.openid.as_str(), self.books.binding_state(person));
            match (&before[who], &state) {
                (BindingState::Bound(old), BindingState::Bound(new)) if old.user == new.user => {}
                (BindingState::Bound(_), _) => return Err(format!("{name} has lost a binding by logging in")),
                (_, BindingState::Bound(_) | BindingState::Free { .. }) => {}
                _ => return Err(format!("{name} is left half done")),
            }
            if let BindingState::Bound(bound) = state {
                self.check_link(who, bound.unionid.as_ref())?;
            }
        }
        (0..self.setup.humans).try_for_each(|human| self.check_one_user(human))?;
        self.check_told_new()
    }

    fn check_link(&self, who: usize, linked: Option<&UnionId>) -> Result<(), String> {
        let unionid: UnionId = parse(format!("union-{}", who / self.setup.apps));
        let revealed = self.revealed.contains(&who);
        if revealed != linked.is_some() || linked.is_some_and(|linked| *linked != unionid) {
            return Err("a binding is not linked with its unionid".into());
        }
        match revealed && !self.books.holders.contains_key(&unionid) {
            true => Err("a unionid stands for nobody".into()),
            false => Ok(()),
        }
    }

    /// Racing first logins of one unionid end with one user.
    fn check_one_user(&self, human: usize) -> Result<(), String> {
        let people = self.books.people.iter().skip(human * self.setup.apps).take(self.setup.apps);
        let users: BTreeSet<_> = people.filter_map(|person| self.books.user_of(person)).collect();
        match users.len() > 1 && !self.untypical.contains(&human) {
            true => Err(format!("human {human} has become {users:?}")),
            false => Ok(()),
        }
    }

    /// Where nothing went wrong and nobody did more than log in, each new user was announced.
    fn check_told_new(&self) -> Result<(), String> {
        let bound = self.books.people.iter().filter_map(|person| self.books.user_of(person));
        let mut untold = bound.filter(|user| self.backend.has_made(user) && !self.books.told_new.contains(user));
        match untold.next() {
            Some(user) if self.undisturbed => Err(format!("nobody was told that {user} is new")),
            _ => Ok(()),
        }
    }
}
