//! The binding protocol under a scheduler: two or three requests at once, their steps in any order, some of them lost,
//! repeated, late, or never taken. Whatever it does, the laws of `laws` hold after every step.
//!
//! `PROOF_TIMES` makes it try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times as many.

mod actions;
mod books;
mod laws;
mod redis;
mod request;
mod session_keys;
mod stepwise;
mod world;

use std::{cell::Cell, env, rc::Rc, time::Duration};

use chrono::{DateTime, Utc};
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};
use tokio::runtime::Runtime;
use wxmint::store::{Memory, Store};

use redis::Redis;
use stepwise::Stores;
use world::World;

const SEED: u64 = 0x7763_6d69_6e74;
const CASES_IN_MEMORY: u32 = 3_000;
const CASES_IN_REDIS: u32 = 80;
/// More than most histories need to go wrong.
const MOST_ACTIONS: usize = 160;

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Of no importance to the protocol.
fn clock() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

const DAY: Duration = Duration::from_secs(86_400);

fn config(cases: u32) -> Config {
    Config {
        cases: cases * from_environment("PROOF_TIMES", 1),
        rng_seed: RngSeed::Fixed(from_environment("PROOF_SEED", SEED)),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What was tried, if nothing was found.
fn prove(cases: u32, stores: impl Fn() -> Stores) -> String {
    let seed = from_environment("PROOF_SEED", SEED);
    let (config, runtime) = (config(cases), runtime());
    let (tried, failed) = (Cell::new(0), Cell::new(0));
    let property = |(setup, actions): (actions::Setup, Vec<actions::Action>)| {
        tried.set(tried.get() + 1);
        let mut world = World::new(&setup, stores(), &runtime);
        let held = actions.iter().try_for_each(|action| world.act(action)).and_then(|()| world.come_to_rest());
        if held.is_err() && failed.get() == 0 {
            failed.set(tried.get());
        }
        held.map_err(|law| TestCaseError::fail(format!("{law}\n{}", world.trace())))
    };
    match TestRunner::new(config).run(&(actions::setups(), actions::actions(MOST_ACTIONS)), property) {
        Ok(()) => format!("{} cases from PROOF_SEED={seed}", tried.get()),
        Err(TestError::Fail(why, (setup, _))) => panic!("PROOF_SEED={seed}, case {}: {why}\n{setup:?}", failed.get()),
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

fn memory() -> Box<dyn Store> {
    Box::new(Memory::new(clock, DAY))
}

#[test]
fn the_laws_hold_in_memory() {
    println!("{}", prove(CASES_IN_MEMORY, || Rc::new([memory()])));
}

/// And each step answers as in memory.
#[test]
fn the_laws_hold_in_redis() {
    let redis = Redis::start();
    println!("{}", prove(CASES_IN_REDIS, || Rc::new([redis.empty_store(), memory()])));
}
