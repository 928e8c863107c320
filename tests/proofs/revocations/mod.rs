//! The revocations of tokens under a scheduler: two replicas of wxmint, the service's own store in memory and in a
//! Redis that fails over, and verifiers that use the library's own code, with signatures. Requests take their steps in
//! any order, answers are lost and repeated, the stream is trimmed, pages are played again, verifiers restart. Whatever
//! happens, the laws of `laws` hold after every step.

mod laws;
mod requests;
mod store;
mod stories;
mod verifiers;
mod world;

use crate::{draws, play, prove, runtime};
use store::{Server, Stores};
use verifiers::Keys;
use world::World;

const CASES_IN_MEMORY: u64 = 300;
const CASES_IN_REDIS: u64 = 30;

fn prove_the_laws(cases: u64, stores: impl Fn() -> Stores) {
    let (keys, runtime) = (Keys::new(), runtime());
    prove(cases, "pages accepted", |draws| {
        play(World::draw(&keys, draws, (stores(), &runtime)))
    });
}

#[test]
fn what_was_revoked_is_refused_and_nothing_else_is_in_memory() {
    prove_the_laws(CASES_IN_MEMORY, Stores::memory);
}

#[test]
fn what_was_revoked_is_refused_and_nothing_else_is_in_redis() {
    let redis = Server::start();
    prove_the_laws(CASES_IN_REDIS, || redis.emptied());
}
