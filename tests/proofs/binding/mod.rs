//! The binding protocol under a scheduler: two or three requests at once, their steps in any order, some of them lost,
//! repeated, late, or never taken. Whatever it does, the laws of `laws` hold after every step.

mod books;
mod laws;
mod lost;
mod request;
mod rest;
mod world;

use std::rc::Rc;

use chrono::{DateTime, Utc};
use wxmint_store::{Memory, Redis, RedisAccess, Store};
use wxmint_telemetry::Metrics;

use crate::{DAY, play, prove, runtime, stepping::Stores, support::RedisServer};
use world::World;

const CASES_IN_MEMORY: u64 = 3_000;
const CASES_IN_REDIS: u64 = 80;

/// The time is of no importance to the protocol.
pub(crate) fn clock() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn prove_the_laws(cases: u64, stores: impl Fn() -> Stores) {
    let runtime = runtime();
    prove(cases, "requests", |draws| play(World::draw(draws, stores(), &runtime)));
}

fn memory() -> Rc<dyn Store> {
    Rc::new(Memory::new(clock, DAY))
}

fn emptied(server: &RedisServer) -> Rc<dyn Store> {
    server.command::<()>(&["FLUSHALL"]);
    let access = RedisAccess::fixed(server.url().parse().expect("a URL"));
    Rc::new(Redis::new(&access, DAY, wxmint::clock::now, Metrics::default()))
}

#[test]
fn the_laws_hold_in_memory() {
    prove_the_laws(CASES_IN_MEMORY, || Rc::new([memory()]));
}

/// And each step answers as in memory.
#[test]
fn the_laws_hold_in_redis() {
    let server = RedisServer::with(Vec::new, "");
    prove_the_laws(CASES_IN_REDIS, || Rc::new([emptied(&server), memory()]));
}
