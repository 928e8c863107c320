//! The ends of tokens under a scheduler: two replicas of wxmint, a store that fails over, and verifiers that use the
//! library's own code, with signatures. Requests take their steps in any order, answers are lost and repeated, the stream
//! is trimmed, pages are played again, verifiers restart. Whatever happens, the laws of `laws` hold after every step, and
//! each rule is needed: broken, it is found out, by chance here or in a history of its own in `stories`.
//!
//! `PROOF_TIMES` makes it try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times as many.

#[path = "../rotation/draws.rs"]
mod draws;
mod laws;
mod requests;
mod rules;
mod store;
mod stories;
mod verifiers;
mod world;

use std::{cell::Cell, env};

use draws::{Draws, first_failure};
use rules::Rules;
use verifiers::Keys;
use world::World;

const SEED: u64 = 0x7763_6d69_6e74;
const CASES: u64 = 300;
/// Within so many cases each fault must be found.
const CASES_FOR_A_FAULT: u64 = 2_000;
const ACTIONS: i64 = 200;

/// How many pages were accepted while the laws held.
fn the_laws_hold(rules: &Rules, keys: &Keys, draws: &mut Draws) -> Result<usize, String> {
    let mut world = World::draw(rules, keys, draws);
    let actions = world.draws.below(ACTIONS);
    let held = (0..actions).try_for_each(|_| world.act()).and_then(|()| world.come_to_rest());
    held.map_err(|law| format!("{law}\n{}", world.trace())).map(|()| world.accepted)
}

fn from_environment(name: &str, default: u64) -> u64 {
    env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn what_was_ended_is_refused_and_nothing_else_is() {
    let (seed, cases) = (from_environment("PROOF_SEED", SEED), CASES * from_environment("PROOF_TIMES", 1));
    let (keys, accepted) = (Keys::new(), Cell::new(0));
    let property = |draws: &mut Draws| {
        the_laws_hold(&rules::AS_THEY_ARE, &keys, draws).map(|pages| accepted.set(accepted.get() + pages))
    };
    if let Some(failure) = first_failure(seed, cases, property) {
        let failure = failure.made_small(property);
        panic!("case {}, PROOF_SEED={}: {}", failure.case, failure.seed, failure.why);
    }
    println!("{cases} cases from PROOF_SEED={seed}: {} pages accepted", accepted.get());
    assert!(accepted.get() > 0, "the verifiers heard nothing");
}

#[test]
fn each_rule_is_needed() {
    let keys = Keys::new();
    for (fault, rules) in rules::FAULTS {
        let found = first_failure(SEED, CASES_FOR_A_FAULT, |draws| the_laws_hold(&rules, &keys, draws).map(drop));
        let found = found.unwrap_or_else(|| panic!("{fault}: not found in {CASES_FOR_A_FAULT} cases"));
        println!("{fault}: found in case {}: {}", found.case, found.why.lines().next().unwrap_or_default());
    }
}
