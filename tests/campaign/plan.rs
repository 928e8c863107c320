//! How long the campaign lasts and how much it does.

use std::{env, str::FromStr, time::Duration};

/// The short form, which `cargo test` runs, or the long form of `make campaign`.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Minutes of the long form; `None` is the short form.
    pub(crate) minutes: Option<u64>,
    pub(crate) seed: u64,
    /// Requests in a second.
    pub(crate) rate: u32,
    /// The most people.
    pub(crate) people: usize,
    /// How long after the end of a fault answers may still be improper.
    pub(crate) grace: Duration,
    /// Improper answers without a fault that are tolerated: of a hundred thousand.
    pub(crate) tolerated: u64,
    /// The time between two faults.
    pub(crate) pause: Duration,
}

impl Plan {
    /// From `CAMPAIGN_MINUTES`, `CAMPAIGN_SEED` and `CAMPAIGN_RATE`.
    pub(crate) fn from_env() -> Self {
        let seed = variable("CAMPAIGN_SEED").unwrap_or_else(|| fastrand::u64(..=u64::from(u32::MAX)));
        let minutes = variable("CAMPAIGN_MINUTES");
        let rate = variable("CAMPAIGN_RATE");
        let plan = match minutes {
            Some(_) => Self {
                minutes,
                seed,
                rate: 500,
                people: 20_000,
                grace: Duration::from_secs(5),
                tolerated: 0,
                pause: Duration::from_secs(10),
            },
            // A busy machine with a debug build: what it does slowly is no defect.
            None => Self {
                minutes,
                seed,
                rate: 60,
                people: 3_000,
                grace: Duration::from_secs(15),
                tolerated: 1_000,
                pause: Duration::from_secs(2),
            },
        };
        Self { rate: rate.unwrap_or(plan.rate), ..plan }
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
