//! The binding protocol under a scheduler: two or three requests at once, their steps in any order, some of them lost,
//! repeated, late, or never taken. Whatever it does, the laws of `laws` hold after every step.

mod actions;
mod books;
mod laws;
mod request;
mod stepwise;
mod world;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use chrono::{DateTime, Utc};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner},
};
use wxmint::{
    store::{self, Memory, Store},
    telemetry::Metrics,
};

use crate::{DAY, SEED, from_environment, redis_server::RedisServer, runtime, tell};
use stepwise::Stores;
use world::World;

const CASES_IN_MEMORY: u32 = 3_000;
const CASES_IN_REDIS: u32 = 80;
/// More than most histories need to go wrong.
const MOST_ACTIONS: usize = 160;

/// Of no importance to the protocol.
fn clock() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

/// Tries so many inputs. A failure is told as it is in the smallest of them that fails.
fn prove<S: Strategy>(cases: u32, inputs: S, holds: impl Fn(S::Value) -> Result<(), String>) {
    let seed = from_environment("PROOF_SEED", SEED);
    let config = Config {
        cases: cases * from_environment("PROOF_TIMES", 1),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let (tried, failed) = (Cell::new(0), Cell::new(0));
    let property = |input| {
        tried.set(tried.get() + 1);
        holds(input).map_err(|why| {
            failed.set(if failed.get() == 0 { tried.get() } else { failed.get() });
            TestCaseError::fail(why)
        })
    };
    match TestRunner::new(config).run(&inputs, property) {
        Ok(()) => tell(format!("{} cases from PROOF_SEED={seed}", tried.get())),
        Err(TestError::Fail(why, _)) => panic!("PROOF_SEED={seed}, case {}: {why}", failed.get()),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn prove_the_laws(cases: u32, stores: impl Fn() -> Stores) {
    let runtime = runtime();
    prove(cases, (actions::setups(), actions::actions(MOST_ACTIONS)), |(setup, actions)| {
        let mut world = World::new(&setup, stores(), &runtime);
        let held = actions.iter().try_for_each(|action| world.act(action)).and_then(|()| world.come_to_rest());
        held.map_err(|law| format!("{law}\n{}\n{setup:?}", world.trace()))
    });
}

fn memory() -> Box<dyn Store> {
    Box::new(Memory::new(clock, DAY))
}

#[test]
fn the_laws_hold_in_memory() {
    prove_the_laws(CASES_IN_MEMORY, || Rc::new([memory()]));
}

/// And each step answers as in memory.
#[test]
fn the_laws_hold_in_redis() {
    let server = RedisServer::start(tempfile::tempdir().expect("a folder"), &[]);
    let link = RefCell::new(server.link());
    let access = store::RedisAccess::fixed(server.url().parse().expect("a URL"));
    prove_the_laws(CASES_IN_REDIS, || {
        redis::cmd("FLUSHALL").exec(&mut *link.borrow_mut()).expect("an empty Redis");
        Rc::new([Box::new(store::Redis::new(&access, DAY, clock, Metrics::default())), memory()])
    });
}
