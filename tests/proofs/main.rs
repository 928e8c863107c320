//! Proofs of three protocols, each with the service's own code in a small world that a scheduler drives: its laws hold
//! after every step. tests/mutants.toml breaks their rules, which these proofs notice.
//!
//! `PROOF_TIMES` makes each try so many times as many cases, and `PROOF_SEED` others. `make nightly` tries five times.

mod binding;
mod draws;
mod revocations;
mod rotation;
mod stepping;
#[expect(
    dead_code,
    unused_imports,
    reason = "the harness of tests/it, of which the proofs need a server of Redis"
)]
#[path = "../it/support/mod.rs"]
mod support;
mod user_ids;

use std::{env, str::FromStr, time::Duration};

use actix_web::rt::Runtime;
use chrono::{DateTime, Utc};

use draws::Draws;

const SEED: u64 = 0x7763_6d69_6e74;
/// Milliseconds since 1970 by the true clock, unless it says whose.
type Millis = i64;
const SECOND: Millis = 1_000;
const DAY: Duration = Duration::from_hours(24);
/// For a whole test, which tries so many cases.
const LIMIT: Duration = Duration::from_mins(2);

/// A scheduler drives this: one action after the other, and laws that hold after each.
trait Scheduled {
    const MOST_ACTIONS: i64;
    fn draws(&mut self) -> &mut Draws;
    fn act(&mut self) -> Held;
    /// Brings everything that was begun to its end. How much was looked at.
    fn come_to_rest(&mut self) -> Result<usize, String>;
}

type Held = Result<(), String>;

fn at(millis: Millis) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).expect("a date")
}

fn hold(holds: bool, law: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(law()) }
}

fn play<W: Scheduled>(mut world: W) -> Result<usize, String> {
    let actions = world.draws().below(W::MOST_ACTIONS);
    let held = (0..actions)
        .try_for_each(|_| world.act())
        .and_then(|()| world.come_to_rest());
    held.map_err(|law| format!("{law}\n{}", world.draws().story.join("\n")))
}

fn runtime() -> Runtime {
    support::limit::at_most(LIMIT * from_environment("PROOF_TIMES", 1));
    Runtime::new().expect("a runtime")
}

fn from_environment<T: FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number"))
    })
}

/// Tries so many cases, in each of which `property` counts what it has looked at. Nothing at all would be no proof.
#[expect(clippy::print_stdout, reason = "a proof says how many cases it tried")]
fn prove(cases: u64, what: &str, property: impl Fn(&mut Draws) -> Result<usize, String>) {
    let (seed, cases) = (
        from_environment("PROOF_SEED", SEED),
        cases * from_environment("PROOF_TIMES", 1),
    );
    let mut seen = 0;
    for case in 0..cases {
        let seed = seed.wrapping_add(case);
        let mut draws = Draws::random(seed);
        match property(&mut draws) {
            Ok(more) => seen += more,
            Err(why) => panic!(
                "case {case}, PROOF_SEED={seed}: {}",
                draws.made_small(why, &property)
            ),
        }
    }
    println!("{cases} cases from PROOF_SEED={seed}: {seen} {what}");
    assert!(seen > 0, "no {what}");
}
