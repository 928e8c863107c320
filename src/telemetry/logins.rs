//! Logins, by mini program and outcome.

use std::{fmt, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder},
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};

use super::{Durations, Registering};
use crate::ids::AppId;

const OK: &str = "ok";

/// An AppID is shared, so that nothing is allocated to look a counter up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    app: Option<AppId>,
    outcome: &'static str,
}

impl EncodeLabelSet for Labels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("app", self.app.as_ref().map_or("", AppId::as_str)), ("outcome", self.outcome)].encode(encoder)
    }
}

pub(super) struct Logins {
    count: Family<Labels, Counter>,
    duration: Durations<1>,
    /// Looked up once, and not for each login.
    of_ok: Histogram,
}

impl Logins {
    pub(super) fn registered(new: &mut Registering) -> Self {
        let duration = new.durations("login_duration", "A login from its request to its answer");
        let of_ok = duration.get_or_create_owned(&[("outcome", OK)]);
        Self { count: new.metric("logins", "Logins, by mini program and outcome"), duration, of_ok }
    }

    pub(super) fn ended(&self, app: Option<AppId>, outcome: &'static str, took: Duration) {
        self.count.get_or_create(&Labels { app, outcome }).inc();
        match outcome {
            OK => self.of_ok.observe(took.as_secs_f64()),
            _ => self.duration.get_or_create(&[("outcome", outcome)]).observe(took.as_secs_f64()),
        }
    }

    pub(super) fn begin_anew(&self) {
        self.count.clear();
    }
}
