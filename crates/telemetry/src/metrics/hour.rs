//! The logins of the last hour, by app and outcome. They are kept only in memory: they are lost
//! when the process ends, and each process has its own.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use wxmint_ids::AppId;

use super::OK;

/// The counts of each minute of the last hour. Minutes are counted from `begun` by a monotonic
/// clock.
pub(super) struct Hour {
    begun: Instant,
    minutes: BTreeMap<u64, Counts>,
}

/// The number of logins by mini program and outcome.
type Counts = HashMap<(Option<AppId>, &'static str), u32>;

/// The logins of the last hour, as far as this process has answered them.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastHour {
    /// When the first minute of `logins` began.
    since: i64,
    logins: Vec<OutcomeByMinute>,
    /// By mini program.
    apps: Vec<LoginsOfApp>,
}

/// How many logins ended so.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct OutcomeByMinute {
    /// `ok`, or the code of the refusal.
    #[schema(value_type = String, example = "ok")]
    outcome: &'static str,
    /// Oldest first; at most 60. The last minute is not over.
    minutes: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct LoginsOfApp {
    /// Null for logins that named no mini program of this process.
    #[schema(required, value_type = Option<String>)]
    appid: Option<AppId>,
    ok: u64,
    refused: u64,
}

impl Default for Hour {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            minutes: BTreeMap::new(),
        }
    }
}

impl Hour {
    pub(super) fn count(&mut self, at: Instant, app: Option<AppId>, outcome: &'static str) {
        let minute = self.minute(at);
        if !self.minutes.contains_key(&minute) {
            self.begin(at);
        }
        *self
            .minutes
            .entry(minute)
            .or_default()
            .entry((app, outcome))
            .or_default() += 1;
    }

    fn minute(&self, at: Instant) -> u64 {
        (at - self.begun).as_secs() / 60
    }

    /// Drops the counts from before the hour that ends now. Returns the first minute of that hour.
    fn begin(&mut self, at: Instant) -> u64 {
        let first = self.minute(at).saturating_sub(59);
        self.minutes.retain(|of, _| *of >= first);
        first
    }

    pub(super) fn until(
        &mut self,
        (at, now): (Instant, DateTime<Utc>),
        app: Option<&AppId>,
    ) -> LastHour {
        let minute = self.minute(at);
        let first = self.begin(at);
        let mut by_outcome = BTreeMap::new();
        let mut by_app = BTreeMap::new();
        for (of, counts) in &self.minutes {
            let wanted = counts
                .iter()
                .filter(|((appid, _), _)| app.is_none_or(|app| appid.as_ref() == Some(app)));
            for ((appid, outcome), count) in wanted {
                let minutes = by_outcome
                    .entry(*outcome)
                    .or_insert_with(|| vec![0; (minute - first + 1) as usize]);
                minutes[(of - first) as usize] += u64::from(*count);
                let of_app = by_app.entry(appid).or_insert(LoginsOfApp {
                    appid: appid.clone(),
                    ok: 0,
                    refused: 0,
                });
                *(if *outcome == OK {
                    &mut of_app.ok
                } else {
                    &mut of_app.refused
                }) += u64::from(*count);
            }
        }
        let begun = now - TimeDelta::from_std(at - self.begun).unwrap_or_default();
        let logins = by_outcome
            .into_iter()
            .map(|(outcome, minutes)| OutcomeByMinute { outcome, minutes })
            .collect();
        LastHour {
            since: begun.timestamp() + 60 * first as i64,
            logins,
            apps: by_app.into_values().collect(),
        }
    }
}
