//! The ends of tokens under a scheduler: two replicas of wxmint, the service's own store in memory and in a Redis that
//! fails over, and verifiers that use the library's own code, with signatures. Requests take their steps in any order,
//! in Redis each command, answers are lost and repeated, the stream is trimmed, pages are played again, verifiers
//! restart. Whatever happens, the laws of `laws` hold after every step. Faults that are planted in `rules` are found.

mod laws;
mod requests;
mod rules;
mod store;
mod stories;
mod verifiers;
mod world;

use crate::draws::{self, Draws};
use crate::{is_found, play, prove, resp, runtime};
use rules::{FAULTS, Rules, UNCONFIRMED};
use store::{Redis, Stores};
use verifiers::Keys;
use world::World;

const CASES_IN_MEMORY: u64 = 300;
const CASES_IN_REDIS: u64 = 30;

fn property(rules: &Rules, stores: impl Fn() -> Stores) -> impl Fn(&mut Draws) -> Result<usize, String> {
    let (keys, runtime) = (Keys::new(), runtime());
    move |draws| play(World::draw(rules, &keys, draws, (stores(), &runtime)))
}

#[test]
fn what_was_ended_is_refused_and_nothing_else_is_in_memory() {
    prove(CASES_IN_MEMORY, "pages accepted", property(&rules::AS_THEY_ARE, Stores::memory));
}

#[test]
fn what_was_ended_is_refused_and_nothing_else_is_in_redis() {
    let redis = Redis::start();
    prove(CASES_IN_REDIS, "pages accepted", property(&rules::AS_THEY_ARE, || redis.emptied()));
}

#[test]
fn each_rule_is_needed() {
    FAULTS.iter().for_each(|(fault, rules)| is_found(fault, property(rules, Stores::memory)));
    let redis = Redis::start();
    is_found("an end is answered before a replica has it", property(&UNCONFIRMED, || redis.emptied()));
}
