//! The binding protocol under a scheduler: two or three requests at once, their steps in any order, some of them lost,
//! repeated, late, or never taken. Whatever it does, the laws of `laws` hold after every step.

mod books;
mod laws;
mod lost;
mod request;
mod rest;
mod world;

use wxmint::clock::now;
use wxmint_store::{Store, StoreAccess};

use crate::support::RedisServer;
use crate::{DAY, play, prove, runtime};
use world::World;

fn memory() -> Vec<Store> {
    vec![Store::new(&StoreAccess::in_memory(now), DAY, now, ())]
}

/// Each step must answer as in memory.
fn redis(server: &RedisServer) -> Vec<Store> {
    server.command::<()>(&["FLUSHALL"]);
    let access = StoreAccess::new(wxmint_redis_link::RedisAccess::fixed(
        server.url().parse().expect("a URL"),
    ));
    [vec![Store::new(&access, DAY, now, ())], memory()].concat()
}

/// In `empty` stores.
fn prove_the_laws(cases: u64, empty: impl Fn() -> Vec<Store>) {
    let runtime = runtime();
    prove(cases, "requests", |draws| {
        play(World::draw(draws, empty(), &runtime))
    });
}

fn prove_that_nobody_is_two(cases: u64, empty: impl Fn() -> Vec<Store>) {
    let runtime = runtime();
    prove(cases, "losses", |draws| {
        play(lost::World::draw(draws, &runtime, &empty))
    });
}

#[test]
fn the_laws_hold_in_memory() {
    prove_the_laws(1_000, memory);
}

#[test]
fn the_laws_hold_in_redis() {
    let server = RedisServer::with(Vec::new, "");
    prove_the_laws(80, || redis(&server));
}

#[test]
fn who_logs_in_after_everything_was_lost_is_one_user_from_then_on() {
    prove_that_nobody_is_two(400, memory);
    let server = RedisServer::with(Vec::new, "");
    prove_that_nobody_is_two(40, || redis(&server));
}
