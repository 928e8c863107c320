//! The binding protocol under a scheduler: two or three requests at once, their steps in any order, some of them lost,
//! repeated, late, or never taken. Whatever it does, the laws of `laws` hold after every step.
//!
//! `PROOF_TIMES` makes it try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times as many.

mod actions;
mod books;
mod laws;
mod redis;
mod request;
mod stepwise;
mod world;

use std::{cell::Cell, env, rc::Rc, time::Duration};

use actix_web::rt::Runtime;
use chrono::{DateTime, Utc};
use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner},
};
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

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// Tries so many inputs. A failure is told as it is in the smallest of them that fails.
#[expect(clippy::print_stdout, reason = "a proof says how many cases it tried")]
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
        Ok(()) => println!("{} cases from PROOF_SEED={seed}", tried.get()),
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
    let redis = Redis::start();
    prove_the_laws(CASES_IN_REDIS, || Rc::new([redis.empty_store(), memory()]));
}
