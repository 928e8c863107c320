//! Counts requests, logins and their calls, and makes the calls spans.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use wxmint_ids::{AppId, Platform};

use super::{Metrics, OK};
use crate::Step;

/// The outcomes that alerts use. Their counters exist from the start, because Prometheus sees no
/// increase in a counter that has just appeared.
const OF_ALERTS: [&str; 3] = [
    "internal_error",
    "store_unavailable",
    "wechat_misconfigured",
];
/// The calls that WeChat bills, at 0.03 yuan for each number:
/// <https://developers.weixin.qq.com/miniprogram/dev/framework/open-ability/getPhoneNumber.html>
const BILLED: [&str; 1] = ["getuserphonenumber"];

/// The requests of one route. The counter of successes and the histogram are looked up once, so
/// that a request need not look them up.
pub struct RouteMetrics {
    route: &'static str,
    metrics: Metrics,
    ok: Counter,
    duration: Option<Histogram>,
}

/// The labels of a login. Cloning an AppID is cheap, so that looking a counter up allocates
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct LoginLabels {
    platform: Option<Platform>,
    app: Option<AppId>,
    outcome: &'static str,
}

impl EncodeLabelSet for LoginLabels {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [
            ("platform", self.platform.map_or("", Platform::name)),
            ("app", self.app.as_ref().map_or("", AppId::as_str)),
            ("outcome", self.outcome),
        ]
        .encode(encoder)
    }
}

impl RouteMetrics {
    /// Counts and times an answered request. `outcome` is `ok` or a problem's code.
    pub fn answered(&self, outcome: &'static str, begun: Instant) {
        match outcome {
            OK => self.ok.inc(),
            _ => self
                .metrics
                .0
                .requests
                .get_or_create(&[("route", self.route), ("outcome", outcome)])
                .inc(),
        };
        if let Some(duration) = &self.duration {
            duration.observe(begun.elapsed().as_secs_f64());
        }
    }
}

impl Metrics {
    /// The metrics of a route. If `is_timed`, its requests are also timed.
    pub fn route(&self, route: &'static str, is_timed: bool) -> RouteMetrics {
        let counter = |outcome| {
            self.0
                .requests
                .get_or_create_owned(&[("route", route), ("outcome", outcome)])
        };
        drop(OF_ALERTS.map(counter));
        let duration = is_timed.then(|| {
            self.0
                .request_duration
                .get_or_create_owned(&[("route", route)])
        });
        RouteMetrics {
            route,
            metrics: self.clone(),
            ok: counter(OK),
            duration,
        }
    }

    /// Counts a login in flight.
    pub fn login_begins(&self) -> LoginInFlight {
        let others = self.0.logins_in_flight.inc().max(0) as usize;
        LoginInFlight {
            others,
            metrics: self.clone(),
        }
    }

    /// Counts and times a login. `app` must be a configured app, and `platform` is the app's.
    /// `outcome` is `ok` or a problem's code.
    pub fn login_ended(
        &self,
        platform: Option<Platform>,
        app: Option<AppId>,
        outcome: &'static str,
        took: Duration,
    ) {
        let app = app.filter(|_| !self.has_many_apps());
        self.0
            .hour
            .lock()
            .count(Instant::now(), app.clone(), outcome);
        self.0
            .logins
            .get_or_create(&LoginLabels {
                platform,
                app,
                outcome,
            })
            .inc();
        match outcome {
            OK => self.0.login_duration_of_ok.observe(took.as_secs_f64()),
            _ => self
                .0
                .login_duration
                .get_or_create(&[("outcome", outcome)])
                .observe(took.as_secs_f64()),
        }
    }

    pub(super) fn has_many_apps(&self) -> bool {
        self.0.has_many_apps.load(Ordering::Relaxed)
    }
}

/// Counts a login in `wxmint_logins_in_flight` until it is dropped.
pub struct LoginInFlight {
    /// How many other logins were in flight when this one began.
    pub others: usize,
    metrics: Metrics,
}

impl Drop for LoginInFlight {
    fn drop(&mut self) {
        self.metrics.0.logins_in_flight.dec();
    }
}

/// How a call of WeChat's API has ended. The texts are labels of metrics, from a bounded set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WeChatOutcome {
    /// WeChat has done what was asked.
    Ok,
    /// WeChat has answered with this errcode.
    Errcode(String),
    /// The call has failed without an errcode. The text names the kind of failure.
    Failed(String),
}

impl WeChatOutcome {
    /// The label of the error, if there is one.
    fn error(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::Errcode(label) | Self::Failed(label) => Some(label),
        }
    }
}

impl Metrics {
    /// Counts and times a call of Redis, as a step of the request. `answered`: whether it was
    /// answered without an error.
    pub fn redis_call_ended(&self, call: &'static str, answered: bool, took: Duration) {
        let labels = [
            ("operation", call),
            ("outcome", if answered { "ok" } else { "failed" }),
        ];
        self.0
            .redis_operation_duration
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
        Step::call("redis", call, took).end((!answered).then_some("unanswered"));
    }

    /// Counts and times an attempt of a call of WeChat's API, as a step of the request. `api` is
    /// the call's name in metrics.
    pub fn wechat_call_ended(
        &self,
        api: &'static str,
        app: &AppId,
        outcome: WeChatOutcome,
        took: Duration,
    ) {
        self.0
            .wechat_request_duration
            .get_or_create(&[("api", api)])
            .observe(took.as_secs_f64());
        Step::call("wechat", api, took).end(outcome.error());
        let call = || ("api", api.to_owned());
        let app = || ("app", self.label_of(app));
        match outcome {
            WeChatOutcome::Ok if BILLED.contains(&api) => self
                .0
                .wechat_billed_calls
                .get_or_create(&[call(), app()])
                .inc(),
            WeChatOutcome::Ok => 0,
            WeChatOutcome::Errcode(code) => self
                .0
                .wechat_errcodes
                .get_or_create(&[call(), ("errcode", code), app()])
                .inc(),
            WeChatOutcome::Failed(kind) => self
                .0
                .wechat_failures
                .get_or_create(&[call(), ("kind", kind)])
                .inc(),
        };
    }

    /// Counts and times an attempt of a call of another platform than WeChat, as a step of the
    /// request. `error` is a number of the platform or a word, from a bounded set.
    pub fn platform_call_ended(
        &self,
        platform: Platform,
        app: &AppId,
        error: Option<String>,
        took: Duration,
    ) {
        self.0
            .other_platform_request_duration
            .get_or_create(&[("platform", platform.name())])
            .observe(took.as_secs_f64());
        Step::call("platform", platform.name(), took).end(error.as_deref());
        if let Some(error) = error {
            let labels = [
                ("platform", platform.name().to_owned()),
                ("error", error),
                ("app", self.label_of(app)),
            ];
            self.0.other_platform_errors.get_or_create(&labels).inc();
        }
    }
}
