//! The metrics of a process.

mod observed;
mod redis;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info};
use prometheus_client::registry::{Metric, Registry, Unit};
use wxmint_ids::AppId;
use wxmint_keys::rotation::{KeyLife, states};

use self::observed::LoginLabels;
pub use self::observed::{LoginInFlight, RouteMetrics};
use self::redis::RedisMetrics;
use super::{
    audit,
    recent::{OK, Recent},
};

/// The metrics of one process. Labels take a bounded set of values, and no value comes from a client.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Inner>);

/// With more apps than this no metric names one.
const MANY_APPS: usize = 200;

struct Inner {
    requests: Family<Labels<2>, Counter>,
    request_duration: Durations<1>,
    redis: RedisMetrics,
    logins: Family<LoginLabels, Counter>,
    login_duration: Durations<1>,
    /// Looked up once, and not for each login.
    login_duration_of_ok: Histogram,
    apps: Family<Labels<2, String>, Gauge<i64, AtomicI64>>,
    /// Then no metric names an app.
    has_many_apps: AtomicBool,
    recent: Recent,
    logins_in_flight: Gauge<i64, AtomicI64>,
    wechat_errcodes: Family<Labels<3, String>, Counter>,
    wechat_billed: Family<Labels<2, String>, Counter>,
    wechat_failures: Family<Labels<2, String>, Counter>,
    wechat_duration: Durations<1>,
    redis_duration: Durations<2>,
    unionid_conflicts: Counter,
    distant_clocks: Counter,
    lost_revocations: Gauge<i64, AtomicI64>,
    accounts_duration: Durations<2>,
    key_age: Family<Labels<3, String>, Gauge<f64, AtomicU64>>,
    key_leaves: Family<Labels<1, String>, Gauge<f64, AtomicU64>>,
    next_key: Gauge<f64, AtomicU64>,
    reloads: Family<Labels<2>, Counter>,
    reload_refused: Family<Labels<1>, Gauge<i64, AtomicI64>>,
    registry: Registry,
}

impl Default for Inner {
    fn default() -> Self {
        let mut new = Registering(Registry::with_prefix("wxmint"));
        new.0.register("audit_lost", "Audit events that could not be written", audit::LOST.clone());
        let reload_refused: Family<Labels<1>, Gauge<i64, AtomicI64>> =
            new.metric("reload_refused", "1 while a changed file cannot be used and its previous content stays in use");
        // There from the start, because an alert asks for it.
        drop(reload_refused.get_or_create(&[("what", "keys")]));
        new.0.register("build", "The version that runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let login_duration = new.durations("login_duration", "A login from its request to its answer");
        Self {
            requests: new.metric("requests", "Requests on the public listener, by route and outcome"),
            request_duration: new.durations(
                "request_duration",
                "A request of a route that waits for something, from its head to its answer",
            ),
            redis: RedisMetrics::registered(&mut new),
            logins: new.metric("logins", "Logins, by app and outcome"),
            login_duration_of_ok: login_duration.get_or_create_owned(&[("outcome", OK)]),
            login_duration,
            has_many_apps: AtomicBool::default(),
            apps: new.metric("app_info", "1 for each app that is configured, by kind"),
            recent: Recent::default(),
            logins_in_flight: new.metric("logins_in_flight", "Logins under way"),
            wechat_errcodes: new.metric("wechat_errcodes", "Answers of WeChat with an errcode other than 0"),
            wechat_billed: new.metric("wechat_billed_calls", "Calls that WeChat has answered and bills"),
            wechat_failures: new.metric("wechat_failures", "Requests to WeChat that were not sent, or not answered"),
            wechat_duration: new.durations("wechat_request_duration", "A request to WeChat"),
            redis_duration: new.durations("redis_operation_duration", "An operation of the store in Redis"),
            unionid_conflicts: new
                .metric("unionid_conflicts", "Unionids that were found to belong to two users; both were kept"),
            distant_clocks: new.metric(
                "distant_clocks",
                "Logins that found this process's clock more than 5 s from the clock of Redis",
            ),
            lost_revocations: new
                .metric("lost_revocations", "1 while Redis may have been emptied, and revocations be lost"),
            accounts_duration: new.durations("accounts_request_duration", "A request to the account service"),
            key_age: new.seconds("key_age", "Time since a key's first signature; negative before it"),
            key_leaves: new.seconds("key_leaves_in", "Time until a key that was replaced leaves the JWKS"),
            next_key: new.seconds("next_key_signs_in", "Time until the next key signs; NaN if none is published"),
            reloads: new.metric("reloads", "Readings of a changed file, by content and outcome"),
            reload_refused,
            registry: new.0,
        }
    }
}

impl Metrics {
    pub fn apps_are(&self, apps: impl IntoIterator<Item = (AppId, &'static str)>) {
        let apps: Vec<_> = apps.into_iter().collect();
        let had_many = self.0.has_many_apps.swap(apps.len() > MANY_APPS, Ordering::Relaxed);
        if self.has_many_apps() != had_many {
            self.app_is_gone();
        }
        self.0.apps.clear();
        for (app, kind) in apps.into_iter().filter(|_| !self.has_many_apps()) {
            self.0.apps.get_or_create(&[("app", app.to_string()), ("kind", kind.to_owned())]).set(1);
        }
    }

    /// Empty where there are many.
    fn label_of(&self, app: &AppId) -> String {
        if self.has_many_apps() { String::new() } else { app.to_string() }
    }

    /// All counters of apps begin at 0, as after a restart, so that apps that come and go leave no series behind.
    pub fn app_is_gone(&self) {
        self.0.logins.clear();
        self.0.wechat_errcodes.clear();
        self.0.wechat_billed.clear();
    }

    pub fn redis_is(&self, state: &wxmint_redis_link::State) {
        self.0.redis.set(state);
    }

    pub fn unionid_in_conflict(&self) {
        self.0.unionid_conflicts.inc();
    }

    pub fn revocations_may_be_lost(&self, are_lost: bool) {
        self.0.lost_revocations.set(are_lost.into());
    }

    /// One request to the account service; `outcome` is `ok` (also if it refused the user), or what went wrong.
    pub fn accounts_answered(&self, call: &'static str, outcome: &'static str, took: Duration) {
        let labels = [("call", call), ("outcome", outcome)];
        self.0.accounts_duration.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// A changed file was read: `what` is `keys`, `vault`, `admin_tokens`, `apps`, `users` or `redis_url`, `outcome` is
    /// `ok`, or `refused` if the file cannot be used.
    pub fn reloaded(&self, what: &'static str, outcome: &'static str) {
        self.0.reloads.get_or_create(&[("what", what), ("outcome", outcome)]).inc();
        self.0.reload_refused.get_or_create(&[("what", what)]).set(i64::from(outcome != OK));
    }

    /// The signing keys as they are `now`, in place of those before. Verifiers refuse those that are `ended`.
    pub fn keys_are(&self, keys: &[KeyLife], ended: &[String], now: DateTime<Utc>) {
        self.0.key_age.clear();
        self.0.key_leaves.clear();
        let until = |time: DateTime<Utc>| (time - now).as_seconds_f64();
        let until_signing = keys.iter().map(|key| until(key.nbf)).filter(|seconds| *seconds > 0.0);
        self.0.next_key.set(until_signing.fold(f64::NAN, f64::min));
        for (KeyLife { kid, algorithm, nbf, exp }, state) in keys.iter().zip(states(keys, now)) {
            if let Some(exp) = exp {
                self.0.key_leaves.get_or_create(&[("kid", kid.clone())]).set(until(*exp));
            }
            let state = if ended.contains(kid) { "ended".to_owned() } else { state.to_string() };
            let labels = [("kid", kid.clone()), ("alg", algorithm.name().to_owned()), ("state", state)];
            self.0.key_age.get_or_create(&labels).set(-until(*nbf));
        }
    }

    /// The text exposition (OpenMetrics), with the metrics of `others`.
    pub fn exposition<'a>(&'a self, others: impl IntoIterator<Item = &'a Registry>) -> String {
        let mut text = String::new();
        let mut registries = [&self.0.registry].into_iter().chain(others);
        let complete = registries.try_for_each(|registry| encode_registry(&mut text, registry));
        let complete = complete.and_then(|()| encode_eof(&mut text));
        debug_assert!(complete.is_ok(), "writing to a String does not fail");
        text
    }
}

/// Nothing is allocated to look a metric up by labels that are known at compile time.
type Labels<const N: usize, V = &'static str> = [(&'static str, V); N];

type Durations<const N: usize> = Family<Labels<N>, Histogram>;

struct Registering(Registry);

impl Registering {
    fn metric<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    fn seconds<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    /// The buckets double from 0.5 ms, a round trip to Redis, to 8 s, a WeChat that has stalled.
    fn durations<const N: usize>(&mut self, name: &str, help: &str) -> Durations<N> {
        let buckets = || Histogram::new((0..15).map(|power| 0.0005 * f64::from(1 << power)));
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        self.0.register_with_unit(name, help, Unit::Seconds, durations.clone());
        durations
    }
}
