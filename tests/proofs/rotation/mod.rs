//! The proof by clock: whatever the rotators, replicas and clocks do within the policy's promise, no verifier refuses a
//! token for its key, from the moment it is issued until it expires. And each rule is needed: broken, it is found out.

mod rules;
mod verifiers;
mod world;

use crate::draws::{self, Draws};
use crate::{is_found, prove};
use rules::Rules;
use verifiers::{KINDS, Kind, Verifier};
use world::{Millis, SECOND, Token, World};

const CASES: u64 = 1_000;

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

#[test]
fn no_token_is_refused_for_its_key_within_the_promise() {
    prove(CASES, "tokens verified, and none refused", |draws| no_refusal(&rules::AS_THEY_ARE, draws));
}

#[test]
fn each_rule_is_needed() {
    rules::FAULTS.into_iter().for_each(|(fault, rules)| is_found(fault, |draws| no_refusal(&rules, draws)));
}
