//! The proof by clock: whatever the rotators, replicas and clocks do within the policy's promise, no verifier refuses a
//! token for its key, from the moment it is issued until it expires. And each rule is needed: broken, it is found out.
//!
//! `PROOF_TIMES` makes it try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times as many.

mod draws;
mod rules;
mod verifiers;
mod world;

use std::{cell::Cell, env};

use draws::{Draws, first_failure};
use rules::Rules;
use verifiers::{KINDS, Kind, Verifier};
use world::{Millis, SECOND, Token, World};

const SEED: u64 = 0x7763_6d69_6e74;
const CASES: u64 = 1_000;
/// Within so many cases each fault must be found.
const CASES_FOR_A_FAULT: u64 = 2_000;

/// How many times a token was verified, and never refused.
fn no_refusal(rules: &Rules, draws: &mut Draws) -> Result<usize, String> {
    let world = World::draw(draws, rules);
    verify_all(&world, draws).map_err(|why| format!("{why}\n{world}"))
}

fn verify_all(world: &World<'_>, draws: &mut Draws) -> Result<usize, String> {
    let tokens = (0..=draws.below(40)).map(|_| world.token(draws)).collect::<Result<Vec<_>, _>>()?;
    let promised = |kind: &Kind| kind.lead_needed(world.apart) <= world.policy.lead.num_milliseconds();
    let mut verified = 0;
    for kind in KINDS.into_iter().filter(promised) {
        let mut verifier = Verifier::new(kind, draws);
        let mut uses: Vec<_> = tokens.iter().flat_map(|token| uses(token, draws)).collect();
        uses.sort_by_key(|(when, _)| *when);
        verified += uses.len();
        uses.into_iter().try_for_each(|(when, token)| verifier.verify(world, draws, token, when))?;
    }
    Ok(verified)
}

/// When one verifier sees a token: as soon as it is issued, at any time, in its last moments.
fn uses<'a>(token: &'a Token, draws: &mut Draws) -> Vec<(Millis, &'a Token)> {
    let life = token.refused_from - token.issued;
    let after = |draws: &mut Draws| match draws.below(3) {
        0 => draws.below(2 * SECOND),
        1 => draws.below(life),
        _ => life - 1 - draws.below(60 * SECOND),
    };
    (0..draws.below(3)).map(|_| (token.issued + after(draws), token)).collect()
}

fn from_environment(name: &str, default: u64) -> u64 {
    env::var(name).ok().map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

#[test]
fn no_token_is_refused_for_its_key_within_the_promise() {
    let (seed, cases) = (from_environment("PROOF_SEED", SEED), CASES * from_environment("PROOF_TIMES", 1));
    let verified = Cell::new(0);
    let property =
        |draws: &mut Draws| no_refusal(&rules::AS_THEY_ARE, draws).map(|more| verified.set(verified.get() + more));
    if let Some(failure) = first_failure(seed, cases, property) {
        let failure = failure.made_small(property);
        panic!("case {}, PROOF_SEED={}: {}", failure.case, failure.seed, failure.why);
    }
    println!("{cases} cases from PROOF_SEED={seed}: tokens verified {} times, refused never", verified.get());
}

#[test]
fn each_rule_is_needed() {
    for (fault, rules) in rules::FAULTS {
        let found = first_failure(SEED, CASES_FOR_A_FAULT, |draws| no_refusal(&rules, draws).map(drop));
        let found = found.unwrap_or_else(|| panic!("{fault}: not found in {CASES_FOR_A_FAULT} cases"));
        println!("{fault}: found in case {}: {}", found.case, found.why.lines().next().unwrap_or_default());
    }
}
