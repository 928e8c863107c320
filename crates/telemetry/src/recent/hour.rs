//! The logins of the last hour, by minute, mini program and outcome.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;
use utoipa::ToSchema;
use wxmint_ids::AppId;

use super::OK;

const MINUTES: u64 = 60;

/// How many logins each minute had; the newest minute is last.
#[derive(Default)]
pub struct Hour(pub(super) VecDeque<(u64, Counts)>);

/// By mini program and outcome.
pub type Counts = HashMap<(Option<AppId>, &'static str), u32>;

/// How many logins ended so.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OutcomeByMinute {
    /// `ok`, or the code of the refusal.
    #[schema(value_type = String, example = "ok")]
    pub(super) outcome: &'static str,
    /// Oldest first; at most 60. The last minute is not over.
    pub(super) minutes: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LoginsOfApp {
    /// Null for logins that named no mini program of this process.
    #[schema(required, value_type = Option<String>)]
    pub(super) appid: Option<AppId>,
    pub(super) ok: u64,
    pub(super) refused: u64,
}

impl Hour {
    pub fn count(&mut self, minute: u64, app: Option<AppId>, outcome: &'static str) {
        if self.0.back().is_none_or(|(newest, _)| *newest != minute) {
            self.forget_before(first(minute));
            self.0.push_back((minute, Counts::new()));
        }
        if let Some((_, counts)) = self.0.back_mut() {
            *counts.entry((app, outcome)).or_default() += 1;
        }
    }

    fn forget_before(&mut self, minute: u64) {
        self.0.retain(|(of, _)| *of >= minute);
    }

    /// All counts of the hour that ends with this minute.
    pub fn sums(&mut self, minute: u64) -> Counts {
        self.forget_before(first(minute));
        let mut sums = Counts::new();
        for (of, count) in self.0.iter().flat_map(|(_, counts)| counts) {
            *sums.entry(of.clone()).or_default() += count;
        }
        sums
    }

    pub fn forget(&mut self, is_gone: impl Fn(&AppId) -> bool) {
        for (_, counts) in &mut self.0 {
            counts.retain(|(app, _), _| !app.as_ref().is_some_and(&is_gone));
        }
    }

    /// The hour that ends with this minute.
    pub(super) fn until(&mut self, minute: u64, app: Option<&AppId>) -> (Vec<OutcomeByMinute>, Vec<LoginsOfApp>) {
        let first = first(minute);
        self.forget_before(first);
        let (mut by_outcome, mut by_app) = (BTreeMap::new(), BTreeMap::new());
        for (of, counts) in &self.0 {
            let wanted = counts.iter().filter(|((appid, _), _)| app.is_none_or(|app| appid.as_ref() == Some(app)));
            for ((appid, outcome), count) in wanted {
                let minutes = by_outcome.entry(*outcome).or_insert_with(|| vec![0; (minute - first + 1) as usize]);
                minutes[(of - first) as usize] += u64::from(*count);
                let of_app = by_app.entry(appid).or_insert(LoginsOfApp { appid: appid.clone(), ok: 0, refused: 0 });
                *(if *outcome == OK { &mut of_app.ok } else { &mut of_app.refused }) += u64::from(*count);
            }
        }
        let logins = by_outcome.into_iter().map(|(outcome, minutes)| OutcomeByMinute { outcome, minutes });
        (logins.collect(), by_app.into_values().collect())
    }
}

/// The first minute of the hour that ends with this one.
pub fn first(minute: u64) -> u64 {
    minute.saturating_sub(MINUTES - 1)
}
