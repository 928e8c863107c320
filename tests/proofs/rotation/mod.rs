//! The proof by clock: whatever the rotators, replicas and clocks do within the policy's promise, no verifier refuses a
//! token for its key, from the moment it is issued until it expires. tests/mutants.toml breaks each rule.

mod verifiers;
mod world;

use crate::draws::{self, Draws};
use crate::{Millis, SECOND, prove};
use verifiers::{KINDS, Kind};
use world::{Token, World};

const CASES: u64 = 1_000;

/// How many times a token was verified, and never refused.
fn verify_all(world: &World, draws: &mut Draws) -> Result<usize, String> {
    let tokens = (0..=draws.below(40))
        .map(|_| world.token(draws))
        .collect::<Result<Vec<_>, _>>()?;
    let promised =
        |kind: &Kind| kind.lead_needed(world.apart) <= world.policy.lead.num_milliseconds();
    let mut verified = 0;
    for kind in KINDS.into_iter().filter(promised) {
        for token in &tokens {
            for _ in 0..draws.below(3) {
                let when = token.issued + age(token, draws);
                kind.verify(world, draws, token, when)?;
                verified += 1;
            }
        }
    }
    Ok(verified)
}

/// When a verifier sees a token: as soon as it is issued, at any time, in its last moments.
fn age(token: &Token, draws: &mut Draws) -> Millis {
    let life = token.refused_from - token.issued;
    match draws.below(3) {
        0 => draws.below(2 * SECOND),
        1 => draws.below(life),
        _ => life - 1 - draws.below(60 * SECOND),
    }
}

#[test]
fn no_token_is_refused_for_its_key_within_the_promise() {
    prove(CASES, "tokens verified, and none refused", |draws| {
        let world = World::draw(draws);
        verify_all(&world, draws).map_err(|why| format!("{why}\n{world:#?}"))
    });
}
