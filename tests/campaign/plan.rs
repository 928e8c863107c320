//! How long the campaign lasts and how much it does.

use std::{env, str::FromStr, time::Duration};

/// The short form, which `cargo test` runs, or the long form of `make campaign`.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Minutes of the long form; `None` is the short form.
    pub(crate) minutes: Option<u64>,
    pub(crate) seed: u64,
    /// `WXMINT_USER_IDS`.
    pub(crate) ids: &'static str,
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
    pub(crate) fn from_env(ids: &'static str) -> Self {
        let minutes = variable("CAMPAIGN_MINUTES");
        let (rate, people, grace, tolerated, pause) = match minutes {
            Some(_) => (500, 20_000, 5, 0, 10),
            // A busy machine with a debug build: what it does slowly is no defect.
            None => (60, 3_000, 15, 1_000, 2),
        };
        let seed =
            variable("CAMPAIGN_SEED").unwrap_or_else(|| fastrand::u64(..=u64::from(u32::MAX)));
        let rate = variable("CAMPAIGN_RATE").unwrap_or(rate);
        let [grace, pause] = [grace, pause].map(Duration::from_secs);
        Self {
            minutes,
            seed,
            ids,
            rate,
            people,
            grace,
            tolerated,
            pause,
        }
    }

    /// Whether user ids are computed, so that Redis may be emptied.
    pub(crate) fn is_computed(&self) -> bool {
        self.ids != "random"
    }
}

pub(crate) fn variable<T: FromStr>(name: &str) -> Option<T> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}
