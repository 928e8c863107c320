//! Session keys under the same scheduler: logins, resets, tries, logouts and a vault key's rotation at two replicas, their
//! steps in any order, some of them taken twice because an answer was lost. After every step the store keeps what the
//! books say: the two keys whose exchanges began last, whatever the order in which they arrived.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use actix_web::rt::Runtime;
use proptest::prelude::*;
use wxmint::{
    http::now,
    ids::Person,
    limits::Rate,
    store::{
        AttemptId, ExchangeOrder, Intent, IntentOutcome, LoginRecord, MAX_FAILURES, Memory, Opening, Recorded, Store,
        Tried,
    },
    vault::Sealed,
};

use crate::{CASES_IN_REDIS, DAY, prove, redis::Redis, runtime};

const CASES_IN_MEMORY: u32 = 600;
const MOST_ACTIONS: usize = 100;
const MOST_IN_FLIGHT: usize = 12;
/// A replaced key is kept ten minutes.
const KEPT_MINUTES: u64 = 10;

/// What somebody asks for.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// A login whose code was sent to WeChat so many minutes ago. They all arrive now.
    LogIn(u64),
    Reset,
    Try(Tried),
    LogOut,
    Reseal,
}

#[derive(Debug, Clone, Copy)]
enum Action {
    Ask(Wish),
    /// A request takes its next step; the number chooses among those that there are.
    Step(usize),
    /// The same, and once more, since its answer was lost.
    StepTwice(usize),
}

/// Never near the ten minutes, so that it does not matter how long the test takes.
fn actions() -> impl Strategy<Value = Vec<Action>> {
    let minutes = prop_oneof![Just(0_u64), Just(1), Just(5), Just(8), Just(12), Just(30)];
    let tried = prop_oneof![1 => Just(Tried::Well), 6 => Just(Tried::Failed), 1 => Just(Tried::Nothing)];
    let wish = prop_oneof![
        6 => minutes.prop_map(Wish::LogIn),
        2 => Just(Wish::Reset),
        12 => tried.prop_map(Wish::Try),
        1 => Just(Wish::LogOut),
        2 => Just(Wish::Reseal),
    ];
    let index = || 0..MOST_IN_FLIGHT;
    let action = prop_oneof![
        4 => wish.prop_map(Action::Ask),
        5 => index().prop_map(Action::Step),
        2 => index().prop_map(Action::StepTwice),
    ];
    prop::collection::vec(action, 0..MOST_ACTIONS)
}

/// A step that a request has yet to take.
#[derive(Debug, Clone)]
enum Step {
    Record(ExchangeOrder, u64),
    Keep(ExchangeOrder),
    Open(Wish),
    Close(Tried),
    Forget,
    Read,
    Reseal(Sealed),
}

#[derive(Debug, Clone)]
struct Request {
    number: u64,
    next: Step,
}

impl Request {
    fn attempt(&self) -> AttemptId {
        let mut bits = [0; 16];
        // Spread, so that those of one microsecond have no order of their own.
        bits[..8].copy_from_slice(&self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        AttemptId::new(bits)
    }

    /// What its exchange has brought, or what it was sealed anew as.
    fn sealed(&self) -> Sealed {
        Sealed::from_stored(format!("sealed by {}", self.number).into_bytes())
    }
}

/// What the store should keep.
#[derive(Default)]
struct Books {
    /// By when their exchanges began, with how many minutes ago that was.
    kept: BTreeMap<ExchangeOrder, (Sealed, u64)>,
    failed: u32,
    under_way: BTreeSet<u64>,
}

impl Books {
    /// The current key, and the one before for as long as it is kept.
    fn keys(&self) -> Vec<Sealed> {
        let mut newest_first = self.kept.values().rev();
        let Some((current, minutes)) = newest_first.next() else { return Vec::new() };
        let previous = newest_first.next().filter(|_| *minutes < KEPT_MINUTES).map(|(key, _)| key);
        [Some(current), previous].into_iter().flatten().cloned().collect()
    }

    fn busy(&self, number: u64) -> bool {
        self.failed + self.under_way.len() as u32 >= MAX_FAILURES && !self.under_way.contains(&number)
    }

    /// Whether this is the failure that costs the keys.
    fn close(&mut self, number: u64, tried: Tried) -> bool {
        if !self.under_way.remove(&number) || tried != Tried::Failed {
            return false;
        }
        self.failed += 1;
        assert!(self.failed <= MAX_FAILURES, "more failures than may be");
        let drops = self.failed == MAX_FAILURES;
        if drops {
            *self = Self::default();
        }
        drops
    }

    fn reseal(&mut self, old: &Sealed, new: &Sealed) {
        for (key, _) in self.kept.values_mut().filter(|(key, _)| key == old) {
            *key = new.clone();
        }
    }
}

/// One person, and two replicas of the store.
struct World<'a> {
    runtime: &'a Runtime,
    replicas: [Box<dyn Store>; 2],
    person: Person,
    began: u64,
    books: Books,
    in_flight: Vec<Request>,
    number: u64,
    steps: usize,
}

fn parse<T: std::str::FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("a name")
}

impl<'a> World<'a> {
    fn new(replicas: [Box<dyn Store>; 2], runtime: &'a Runtime) -> Self {
        let person = Person { app: parse("wx0"), openid: parse("o-1") };
        let began = now().timestamp_micros() as u64;
        let world = Self {
            runtime,
            replicas,
            person,
            began,
            books: Books::default(),
            in_flight: Vec::new(),
            number: 0,
            steps: 0,
        };
        world.bind();
        world
    }

    /// Only a person who is bound has session keys to try.
    fn bind(&self) {
        let (store, person, user, attempt) =
            (&self.replicas[0], &self.person, parse("user-1"), AttemptId::new([0; 16]));
        self.runtime.block_on(async {
            let intent = Intent { user: parse("user-1"), made: true, by_unionid: false };
            store.intend(person, 0, &intent, &attempt).await.expect("intended");
            store.admit(&user, person, 1, false, 1).await.expect("admitted");
            store.settle(person, 1, IntentOutcome::Bound { new: true }, &attempt).await.expect("bound");
        });
    }

    fn act(&mut self, action: Action) -> Result<(), String> {
        match action {
            Action::Ask(wish) => self.ask(wish),
            Action::Step(index) => return self.step(index, 1),
            Action::StepTwice(index) => return self.step(index, 2),
        }
        Ok(())
    }

    fn ask(&mut self, wish: Wish) {
        self.number += 1;
        let mut request = Request { number: self.number, next: Step::Forget };
        request.next = match wish {
            Wish::LogIn(minutes) => {
                let micros = self.began - minutes * 60_000_000;
                Step::Record(ExchangeOrder::new(micros, &request.attempt()), minutes)
            }
            Wish::Reset | Wish::Try(_) => Step::Open(wish),
            Wish::LogOut => Step::Forget,
            Wish::Reseal => Step::Read,
        };
        if self.in_flight.len() < MOST_IN_FLIGHT {
            self.in_flight.push(request);
        }
    }

    fn step(&mut self, index: usize, times: usize) -> Result<(), String> {
        if self.in_flight.is_empty() {
            return Ok(());
        }
        let request = self.in_flight.remove(index % self.in_flight.len());
        let mut next = None;
        for _ in 0..times {
            next = self.take(&request)?;
            self.check(&request)?;
        }
        self.in_flight.extend(next.map(|next| Request { next, ..request }));
        Ok(())
    }

    /// Each step at another replica than the one before.
    fn store(&mut self) -> &dyn Store {
        self.steps += 1;
        &*self.replicas[self.steps % 2]
    }

    fn take(&mut self, request: &Request) -> Result<Option<Step>, String> {
        let (runtime, person) = (self.runtime, self.person.clone());
        let (sealed, attempt) = (request.sealed(), request.attempt());
        match &request.next {
            Step::Record(order, minutes) => {
                let rate = Rate { burst: 100_000, period: DAY };
                let record =
                    LoginRecord { person, session_key: sealed.clone(), order: order.clone(), rate, intent: None };
                let recorded = runtime.block_on(self.store().record_login(&record, &attempt)).expect("recorded");
                assert!(matches!(recorded, Recorded::State(..)));
                self.books.kept.entry(order.clone()).or_insert((sealed, *minutes));
            }
            Step::Keep(order) => {
                let key = (order.clone(), sealed.clone());
                let kept = self.store().keep_session_key(&person, 1, &key);
                runtime.block_on(kept).expect("kept");
                self.books.kept.entry(order.clone()).or_insert((sealed, 0));
                return Ok(Some(Step::Close(Tried::Nothing)));
            }
            Step::Open(wish) => return self.open(request, *wish),
            Step::Close(tried) => {
                let dropped = runtime.block_on(self.store().close(&person, *tried, &attempt)).expect("closed");
                same("dropped", dropped, self.books.close(request.number, *tried))?;
            }
            Step::Forget => {
                runtime.block_on(self.store().forget(&person)).expect("forgotten");
                self.books.kept.clear();
            }
            Step::Read => {
                let kept = runtime.block_on(self.store().session_keys(&person)).expect("read");
                return Ok(kept.map(|keys| Step::Reseal(keys.previous.unwrap_or(keys.current))));
            }
            Step::Reseal(old) => {
                runtime.block_on(self.store().reseal(&person, old, &sealed)).expect("sealed anew");
                self.books.reseal(old, &sealed);
            }
        }
        Ok(None)
    }

    fn open(&mut self, request: &Request, wish: Wish) -> Result<Option<Step>, String> {
        let (runtime, person, user, attempt) = (self.runtime, self.person.clone(), parse("user-1"), request.attempt());
        let opening = self.store().open(&person, &user, &attempt);
        let opening = runtime.block_on(opening).expect("an answer");
        same("busy", opening == Opening::Busy, self.books.busy(request.number))?;
        let Opening::Keys(kept) = opening else { return Ok(None) };
        same("what is opened", kept.keys, self.books.keys())?;
        self.books.under_way.insert(request.number);
        Ok(Some(match wish {
            Wish::Try(tried) => Step::Close(tried),
            _ => Step::Keep(kept.order),
        }))
    }

    fn check(&mut self, request: &Request) -> Result<(), String> {
        let person = self.person.clone();
        let kept = self.runtime.block_on(self.store().session_keys(&person)).expect("an answer");
        let kept: Vec<Sealed> =
            kept.into_iter().flat_map(|keys| [Some(keys.current), keys.previous]).flatten().collect();
        same("what is kept", text(&kept), text(&self.books.keys())).map_err(|law| format!("{law}, after {request:?}"))
    }
}

fn text(keys: &[Sealed]) -> Vec<String> {
    keys.iter().map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned()).collect()
}

fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, where the books have {expected:?}")) }
}

fn prove_the_books(cases: u32, replicas: impl Fn() -> [Box<dyn Store>; 2]) {
    let runtime = runtime();
    prove(cases, actions(), |actions| {
        let mut world = World::new(replicas(), &runtime);
        let held = actions.iter().try_for_each(|action| world.act(*action));
        held.map_err(|law| format!("{law}\n{actions:?}"))
    });
}

#[test]
fn the_last_two_session_keys_are_kept_in_memory() {
    prove_the_books(CASES_IN_MEMORY, || {
        let memory = Memory::new(now, DAY);
        [Box::new(memory.clone()), Box::new(memory)]
    });
}

#[test]
fn the_last_two_session_keys_are_kept_in_redis() {
    let redis = Redis::start();
    prove_the_books(CASES_IN_REDIS, || [redis.empty_store(), redis.store()]);
}
