//! Compares this client with redis-rs' own clients while a primary is lost: how long no write of
//! its slots is answered, how many writes fail, and how many answered writes are lost.
//!
//! `cargo test -p wxmint-redis-link --bench failover` prints the table of README.md; Set `ROUNDS=3`
//! to repeat each trial; arguments such as `-- 'Cluster, frozen'` choose trials. The benchmark
//! starts all servers itself, on the loopback address, and takes 7 to 8 minutes for each round.

mod redis_rs;
#[expect(
    dead_code,
    unused_imports,
    reason = "the servers of the tests, of which the trial needs a part"
)]
#[path = "../../tests/servers/support.rs"]
mod support;
mod trial;

use std::{env, thread};

use self::trial::{Fault, Outcome, trial};

/// The client that writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Writer {
    OurClient,
    /// redis-rs' client for a Cluster, or for Sentinels.
    RedisRs {
        has_watchdog: bool,
        waits_for: Replicas,
    },
}

/// How many replicas WAIT waits for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Replicas {
    /// One.
    One,
    /// As many as the primary says it has.
    Named,
}

const WRITERS: [(&str, Writer); 4] = [
    (
        "redis-rs, `WAIT` for the replicas that the primary names",
        redis_rs(false, Replicas::Named),
    ),
    ("the same with a watchdog", redis_rs(true, Replicas::Named)),
    (
        "redis-rs with a watchdog, `WAIT 1`",
        redis_rs(true, Replicas::One),
    ),
    ("this link", Writer::OurClient),
];

const fn redis_rs(has_watchdog: bool, waits_for: Replicas) -> Writer {
    Writer::RedisRs {
        has_watchdog,
        waits_for,
    }
}

const FAULTS: [(&str, Fault); 5] = [
    ("Cluster, killed", Fault::ClusterKilled),
    ("Cluster, frozen", Fault::ClusterFrozen),
    ("Sentinel, killed", Fault::SentinelKilled),
    ("Sentinel, frozen", Fault::SentinelFrozen),
    (
        "Sentinel, replaced and still reached",
        Fault::SentinelCutOff,
    ),
];

#[expect(clippy::print_stdout, reason = "the table")]
fn main() {
    let rounds: usize = env::var("ROUNDS")
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .unwrap_or(1);
    let chosen: Vec<_> = env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    println!(
        "| client |{}",
        FAULTS.map(|(name, _)| format!(" {name} |")).concat()
    );
    println!("|---|{}", FAULTS.map(|_| "---|").concat());
    for (client, writer) in WRITERS {
        print!("| {client} |");
        for (name, fault) in FAULTS {
            if !chosen
                .iter()
                .all(|word| name.contains(word.as_str()) || client.contains(word.as_str()))
            {
                print!(" |");
                continue;
            }
            // Each trial has a thread of its own, because the time limit of tests is per thread.
            let run = || {
                thread::spawn(move || trial(fault, writer))
                    .join()
                    .expect("a trial that ends")
            };
            let outcomes: Vec<_> = (0..rounds).map(|_| run()).collect();
            print!(" {} |", cell(&outcomes));
        }
        println!();
    }
}

/// A cell of the table: the least and the greatest of each figure.
fn cell(outcomes: &[Outcome]) -> String {
    let seconds = |outcome: &Outcome| {
        outcome
            .outage
            .map_or(f64::INFINITY, |outage| outage.as_secs_f64())
    };
    let outages: Vec<_> = outcomes.iter().map(seconds).collect();
    let said = |seconds: f64| match seconds.is_finite() {
        true => format!("{seconds:.1} s"),
        false => "not again".to_owned(),
    };
    let (least, most) = outages
        .iter()
        .fold((f64::INFINITY, 0.0), |(least, most), &one| {
            (one.min(least), one.max(most))
        });
    let outage = if said(least) == said(most) {
        said(most)
    } else {
        format!("{} to {}", said(least), said(most))
    };
    let count = |of: fn(&Outcome) -> usize| {
        let counts: Vec<_> = outcomes.iter().map(of).collect();
        match (counts.iter().min(), counts.iter().max()) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            (Some(one), _) => one.to_string(),
            _ => String::new(),
        }
    };
    format!(
        "{outage}; {} failed; {} lost",
        count(|it| it.failed),
        count(|it| it.lost)
    )
}
