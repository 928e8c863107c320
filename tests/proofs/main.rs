//! Proofs of three protocols, each with the service's own code in a small world that a scheduler drives: its laws hold
//! after every step, and where a rule is broken on purpose, that is found.
//!
//! `PROOF_TIMES` makes each try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times.

mod binding;
mod draws;
mod ends;
#[path = "../it/clouds/resp.rs"]
mod resp;
mod rotation;
mod stepping;
#[expect(dead_code, unused_imports, reason = "the harness of tests/it, of which the proofs need a server of Redis")]
#[path = "../it/support/mod.rs"]
mod support;
mod user_ids;

use std::{cell::Cell, env, fmt::Display, str::FromStr, time::Duration};

use actix_web::rt::Runtime;

use draws::{Draws, first_failure};

const SEED: u64 = 0x7763_6d69_6e74;
/// Within so many cases each fault must be found.
const CASES_FOR_A_FAULT: u64 = 2_000;
const DAY: Duration = Duration::from_secs(86_400);
/// For a whole test, which tries so many cases.
const LIMIT: Duration = Duration::from_secs(120);

/// A scheduler drives this: one action after the other, and laws that hold after each.
trait Scheduled {
    const MOST_ACTIONS: i64;
    fn draws(&mut self) -> &mut Draws;
    fn act(&mut self) -> Result<(), String>;
    /// Brings everything that was begun to its end. How much was looked at.
    fn come_to_rest(&mut self) -> Result<usize, String>;
    /// The story so far, for whoever reads of a failure.
    fn trace(&self) -> String;
}

fn play<W: Scheduled>(mut world: W) -> Result<usize, String> {
    let actions = world.draws().below(W::MOST_ACTIONS);
    let held = (0..actions).try_for_each(|_| world.act()).and_then(|()| world.come_to_rest());
    held.map_err(|law| format!("{law}\n{}", world.trace()))
}

fn runtime() -> Runtime {
    support::limit::at_most(LIMIT * from_environment("PROOF_TIMES", 1));
    Runtime::new().expect("a runtime")
}

fn from_environment<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[expect(clippy::print_stdout, reason = "a proof says how many cases it tried")]
fn tell(what: impl Display) {
    println!("{what}");
}

/// Tries so many cases, in each of which `property` counts what it has looked at. Nothing at all would be no proof.
fn prove(cases: u64, what: &str, property: impl Fn(&mut Draws) -> Result<usize, String>) {
    let (seed, cases) = (from_environment("PROOF_SEED", SEED), cases * from_environment("PROOF_TIMES", 1));
    let seen = Cell::new(0);
    let property = |draws: &mut Draws| property(draws).map(|more| seen.set(seen.get() + more));
    if let Some(failure) = first_failure(seed, cases, property) {
        let failure = failure.made_small(property);
        panic!("case {}, PROOF_SEED={}: {}", failure.case, failure.seed, failure.why);
    }
    tell(format!("{cases} cases from PROOF_SEED={seed}: {} {what}", seen.get()));
    assert!(seen.get() > 0, "no {what}");
}

/// With this fault planted in the rules, `property` does not hold.
fn is_found(fault: &str, property: impl Fn(&mut Draws) -> Result<usize, String>) {
    let found = first_failure(SEED, CASES_FOR_A_FAULT, |draws| property(draws).map(drop));
    let found = found.unwrap_or_else(|| panic!("{fault}: not found in {CASES_FOR_A_FAULT} cases"));
    tell(format!("{fault}: found in case {}: {}", found.case, found.why.lines().next().unwrap_or_default()));
}
