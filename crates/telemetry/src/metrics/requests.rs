//! The metrics of a route, which are looked up once, and the labels of a login.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use wxmint_ids::AppId;

use super::{Metrics, OK, RouteMetrics};

/// Outcomes that alerts ask for. Their counters exist from the start, because Prometheus sees no increase in a counter
/// that has just appeared.
const OF_ALERTS: [&str; 3] = ["internal_error", "store_unavailable", "wechat_misconfigured"];

impl Metrics {
    pub fn route(&self, route: &'static str) -> RouteMetrics {
        let counter = |outcome| self.0.requests.get_or_create_owned(&[("route", route), ("outcome", outcome)]);
        drop(OF_ALERTS.map(counter));
        RouteMetrics { route, metrics: self.clone(), ok: counter(OK), duration: None }
    }
}

impl RouteMetrics {
    pub fn timed(self) -> Self {
        let duration = self.metrics.0.request_duration.get_or_create_owned(&[("route", self.route)]);
        Self { duration: Some(duration), ..self }
    }
}

/// An AppID is shared, so that nothing is allocated to look a counter up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LoginLabels {
    pub(super) app: Option<AppId>,
    pub(super) outcome: &'static str,
}

impl EncodeLabelSet for LoginLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("app", self.app.as_ref().map_or("", AppId::as_str)), ("outcome", self.outcome)].encode(encoder)
    }
}
