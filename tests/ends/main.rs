//! The ends of tokens under a scheduler: two replicas of wxmint, the service's own store in memory and in a Redis that fails
//! over, and verifiers that use the library's own code, with signatures. Requests take their steps in any order, in Redis
//! each command, answers are lost and repeated, the stream is trimmed, pages are played again, verifiers restart. Whatever
//! happens, the laws of `laws` hold after every step. Faults that are planted in `rules` are found.
//!
//! `PROOF_TIMES` makes it try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times as many.

#[path = "../rotation/draws.rs"]
mod draws;
mod laws;
mod requests;
#[path = "../it/clouds/resp.rs"]
mod resp;
mod rules;
mod store;
mod stories;
mod verifiers;
mod world;

use std::{cell::Cell, env, rc::Rc};

use actix_web::rt::Runtime;
use draws::{Draws, first_failure};
use rules::{FAULTS, Rules, UNCONFIRMED};
use store::{Redis, Stores};
use verifiers::Keys;
use world::World;

const SEED: u64 = 0x7763_6d69_6e74;
const CASES_IN_MEMORY: u64 = 300;
const CASES_IN_REDIS: u64 = 30;
/// Within so many cases each fault must be found.
const CASES_FOR_A_FAULT: u64 = 2_000;
const ACTIONS: i64 = 200;

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

/// How many pages were accepted while the laws held.
fn the_laws_hold(rules: &Rules, keys: &Keys, draws: &mut Draws, store: (Stores, &Runtime)) -> Result<usize, String> {
    let mut world = World::draw(rules, keys, draws, store);
    let actions = world.draws.below(ACTIONS);
    let held = (0..actions).try_for_each(|_| world.act()).and_then(|()| world.come_to_rest());
    held.map_err(|law| format!("{law}\n{}", world.trace())).map(|()| world.accepted)
}

fn from_environment(name: &str, default: u64) -> u64 {
    env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[expect(clippy::print_stdout, reason = "a proof says how many cases it tried")]
fn prove(cases: u64, stores: impl Fn() -> Stores) {
    let (seed, cases) = (from_environment("PROOF_SEED", SEED), cases * from_environment("PROOF_TIMES", 1));
    let (keys, runtime, accepted) = (Keys::new(), runtime(), Cell::new(0));
    let property = |draws: &mut Draws| {
        the_laws_hold(&rules::AS_THEY_ARE, &keys, draws, (stores(), &runtime))
            .map(|pages| accepted.set(accepted.get() + pages))
    };
    if let Some(failure) = first_failure(seed, cases, property) {
        let failure = failure.made_small(property);
        panic!("case {}, PROOF_SEED={}: {}", failure.case, failure.seed, failure.why);
    }
    println!("{cases} cases from PROOF_SEED={seed}: {} pages accepted", accepted.get());
    assert!(accepted.get() > 0, "the verifiers heard nothing");
}

#[test]
fn what_was_ended_is_refused_and_nothing_else_is_in_memory() {
    prove(CASES_IN_MEMORY, Stores::memory);
}

#[test]
fn what_was_ended_is_refused_and_nothing_else_is_in_redis() {
    let redis = Redis::start();
    prove(CASES_IN_REDIS, || redis.emptied());
}

#[expect(clippy::print_stdout, reason = "a proof says how many cases it tried")]
fn is_found((fault, rules): (&str, Rules), stores: impl Fn() -> Stores) {
    let (keys, runtime) = (Keys::new(), runtime());
    let property = |draws: &mut Draws| the_laws_hold(&rules, &keys, draws, (stores(), &runtime)).map(drop);
    let found = first_failure(SEED, CASES_FOR_A_FAULT, property);
    let found = found.unwrap_or_else(|| panic!("{fault}: not found in {CASES_FOR_A_FAULT} cases"));
    println!("{fault}: found in case {}: {}", found.case, found.why.lines().next().unwrap_or_default());
}

#[test]
fn each_rule_is_needed() {
    FAULTS.into_iter().for_each(|fault| is_found(fault, Stores::memory));
    let redis: Rc<Redis> = Redis::start();
    is_found(("an end is answered before a replica has it", UNCONFIRMED), || redis.emptied());
}
