//! The requests of the public listener, by route, and logins, by app.

use std::time::{Duration, Instant};
use std::{fmt, sync::atomic::Ordering};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::{counter::Counter, family::Family, histogram::Histogram};
use wxmint_ids::AppId;

use super::{Durations, Labels, Metrics, Recent, Registering};

const OK: &str = "ok";
/// Outcomes that alerts ask for. Their counters exist from the start, because Prometheus sees no increase in a counter
/// that has just appeared.
const OF_ALERTS: [&str; 3] = ["internal_error", "store_unavailable", "wechat_misconfigured"];

#[derive(Clone)]
pub(super) struct Requests {
    count: Family<Labels<2>, Counter>,
    duration: Durations<1>,
}

impl Requests {
    pub(super) fn registered(new: &mut Registering) -> Self {
        let duration = "A request of a route that waits for something, from its head to its answer";
        Self {
            count: new.metric("requests", "Requests on the public listener, by route and outcome"),
            duration: new.durations("request_duration", duration),
        }
    }
}

/// The requests of one route. The counter of successes and the histogram are looked up once, and not for each request.
pub struct RouteMetrics {
    route: &'static str,
    requests: Requests,
    ok: Counter,
    duration: Option<Histogram>,
}

impl RouteMetrics {
    pub fn timed(self) -> Self {
        Self { duration: Some(self.requests.duration.get_or_create_owned(&[("route", self.route)])), ..self }
    }

    /// A request has been answered. `outcome` is `ok` or a problem's code.
    pub fn answered(&self, outcome: &'static str, begun: Instant) {
        match outcome {
            OK => self.ok.inc(),
            _ => self.requests.count.get_or_create(&labels(self.route, outcome)).inc(),
        };
        if let Some(duration) = &self.duration {
            duration.observe(begun.elapsed().as_secs_f64());
        }
    }
}

fn labels(route: &'static str, outcome: &'static str) -> Labels<2> {
    [("route", route), ("outcome", outcome)]
}

/// An AppID is shared, so that nothing is allocated to look a counter up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LoginLabels {
    app: Option<AppId>,
    outcome: &'static str,
}

impl EncodeLabelSet for LoginLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("app", self.app.as_ref().map_or("", AppId::as_str)), ("outcome", self.outcome)].encode(encoder)
    }
}

pub(super) struct Logins {
    pub(super) count: Family<LoginLabels, Counter>,
    duration: Durations<1>,
    /// Looked up once, and not for each login.
    of_ok: Histogram,
}

impl Logins {
    pub(super) fn registered(new: &mut Registering) -> Self {
        let duration = new.durations("login_duration", "A login from its request to its answer");
        let of_ok = duration.get_or_create_owned(&[("outcome", OK)]);
        Self { count: new.metric("logins", "Logins, by app and outcome"), duration, of_ok }
    }
}

impl Metrics {
    pub fn route(&self, route: &'static str) -> RouteMetrics {
        let requests = self.0.requests.clone();
        for outcome in OF_ALERTS {
            drop(requests.count.get_or_create(&labels(route, outcome)));
        }
        let ok = requests.count.get_or_create_owned(&labels(route, OK));
        RouteMetrics { route, requests, ok, duration: None }
    }

    /// Counts a login from here until it is dropped.
    pub fn login_begins(&self) -> LoginInFlight {
        let others = self.0.logins_in_flight.inc().max(0) as usize;
        LoginInFlight { others, metrics: self.clone() }
    }

    /// `app` is one that is configured, and `outcome` is `ok` or a problem's code.
    pub fn login_ended(&self, app: Option<AppId>, outcome: &'static str, took: Duration) {
        let app = app.filter(|_| !self.has_many_apps());
        self.0.recent.count(app.clone(), outcome);
        let logins = &self.0.logins;
        logins.count.get_or_create(&LoginLabels { app, outcome }).inc();
        match outcome {
            OK => logins.of_ok.observe(took.as_secs_f64()),
            _ => logins.duration.get_or_create(&[("outcome", outcome)]).observe(took.as_secs_f64()),
        }
    }

    pub fn recent(&self) -> &Recent {
        &self.0.recent
    }

    pub(super) fn has_many_apps(&self) -> bool {
        self.0.has_many_apps.load(Ordering::Relaxed)
    }
}

/// Counts a login in `wxmint_logins_in_flight` until it is dropped.
pub struct LoginInFlight {
    /// How many others were under way when it began.
    pub others: usize,
    metrics: Metrics,
}

impl Drop for LoginInFlight {
    fn drop(&mut self) {
        self.metrics.0.logins_in_flight.dec();
    }
}
