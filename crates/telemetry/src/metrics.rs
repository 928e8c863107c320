//! The metrics of a process.

mod hour;
mod observed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use chrono::{DateTime, Utc};
use derive_more::Deref;
use parking_lot::Mutex;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::{
    counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info,
};
use prometheus_client::registry::{Metric, Registry, Unit};
use wxmint_ids::AppId;

pub use self::hour::LastHour;
pub use self::observed::{LoginInFlight, RouteMetrics, WeChatOutcome};
use self::{hour::Hour, observed::LoginLabels};
use super::audit;

const OK: &str = "ok";

/// The metrics of one process. Labels take a bounded set of values, and no value comes from a client.
#[derive(Clone, Default, Deref)]
#[deref(forward)]
pub struct Metrics(Arc<Inner>);

/// If there are more apps than this, no metric has an app label.
const MANY_APPS: usize = 200;

/// Declares the metrics: name, type, the function that registers it, and the help for operators.
macro_rules! metrics {
    ($($visible:vis $name:ident: $type:ty, $registered:ident $help:literal;)+) => {
        pub struct Registered {
            $($visible $name: $type,)+
        }

        impl Registered {
            fn at(registry: &mut Registry) -> Self {
                Self { $($name: $registered(registry, stringify!($name), $help),)+ }
            }
        }
    };
}

metrics! {
    pub ready: Gauge, metric "1 if the process is ready";
    requests: Family<Labels<2>, Counter>, metric "Requests on the public listener, by route and outcome";
    request_duration: Durations<1>, durations
        "A request of a route that waits for something, from its head to its answer";
    redis_primaries: Gauge, metric "Primaries of Redis that answer";
    redis_slots_covered: Real, metric "Slots of the Cluster whose primary answers; NaN where there is no Cluster";
    redis_replicas_online: Family<Labels<1, String>, Gauge>, metric
        "Replicas of a primary that are online and can confirm writes";
    redis_replicas_wanted: Gauge, metric
        "Replicas that each primary should have online; fewer are a risk, or fail first logins if \
         WXMINT_REDIS_CONFIRM is a number";
    redis_clock_difference: Real, seconds "Between the slowest clock of the primaries and the fastest";
    redis_evicted_keys: Gauge, metric
        "Keys that the primaries have evicted since their start, because their memory was full";
    logins: Family<LoginLabels, Counter>, metric "Logins, by app and outcome";
    login_duration: Durations<1>, durations "A login from its request to its answer";
    app_info: Family<Labels<2, String>, Gauge>, metric "1 for each app that is configured, by kind";
    logins_in_flight: Gauge, metric "Logins under way";
    wechat_errcodes: Family<Labels<3, String>, Counter>, metric "Answers of WeChat with an errcode other than 0";
    wechat_billed_calls: Family<Labels<2, String>, Counter>, metric "Calls that WeChat has answered and bills";
    pub phone_numbers_per_app: Gauge, metric "Phone numbers that each app may have WeChat verify in a day";
    wechat_failures: Family<Labels<2, String>, Counter>, metric
        "Requests to WeChat that were not sent, or not answered";
    wechat_request_duration: Durations<1>, durations "A request to WeChat";
    other_platform_errors: Family<Labels<3, String>, Counter>, metric
        "Requests to another platform than WeChat that were answered with an error, or not answered";
    other_platform_request_duration: Durations<1>, durations "A request to another platform than WeChat";
    redis_operation_duration: Durations<2>, durations "An operation of the store in Redis";
    pub unionid_conflicts: Counter, metric "Unionids that were found to belong to two users; both were kept";
    pub clock_skew_exceeded: Counter, metric "Checks that found this machine's clock more than 5 s from the clock of Redis";
    pub lost_revocations: Gauge, metric "1 while Redis may have lost data, and revocations with it";
    pub accounts_request_duration: Durations<2>, durations "A request to the account service";
    key_age: Family<Labels<3, String>, Real>, seconds "Time since a key's first signature; negative before it";
    key_expiry: Family<Labels<1, String>, Real>, seconds "Time until a key that was replaced leaves the JWKS";
    next_key_activation: Real, seconds "Time until the next key signs; NaN if none is published";
    reloads: Family<Labels<2>, Counter>, metric "Readings of a changed file, by content and outcome";
    reload_refused: Family<Labels<1>, Gauge>, metric
        "1 while a changed file cannot be used and its previous content stays in use";
}

type Real = Gauge<f64, AtomicU64>;

#[derive(Deref)]
pub struct Inner {
    #[deref]
    registered: Registered,
    /// Looked up once, so that a login need not look it up.
    login_duration_of_ok: Histogram,
    /// Whether there are more than [`MANY_APPS`] apps. If so, no metric has an app label.
    has_many_apps: AtomicBool,
    hour: Mutex<Hour>,
    registry: Registry,
}

impl Default for Inner {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("wxmint");
        registry.register(
            "audit_events_dropped",
            "Audit events that could not be written",
            audit::LOST.clone(),
        );
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let registered = Registered::at(&mut registry);
        // Exists from the start, because an alert uses it.
        drop(registered.reload_refused.get_or_create(&[("what", "keys")]));
        Self {
            login_duration_of_ok: registered
                .login_duration
                .get_or_create_owned(&[("outcome", OK)]),
            registered,
            has_many_apps: AtomicBool::default(),
            hour: Mutex::default(),
            registry,
        }
    }
}

/// The state of Redis, as metrics show it.
#[derive(Debug, Clone, Default)]
pub struct RedisState {
    /// The addresses of the primaries that answer, each with the number of its online replicas.
    pub primaries: Vec<(String, u32)>,
    /// Whether all primaries answer.
    pub all_answer: bool,
    /// The number of slots that the answering primaries have; `None` without a Cluster.
    pub slots: Option<usize>,
    /// The number of replicas that each primary should have.
    pub wanted: u32,
    /// The difference between the slowest and the fastest clock of the answering primaries, in
    /// seconds; `None` if none answers.
    pub clock_difference: Option<f64>,
    /// The number of keys that the answering primaries have evicted since they were started.
    pub evicted: u64,
}

/// A signing key, as metrics show it.
#[derive(Debug, Clone)]
pub struct ShownKey {
    /// The key's RFC 7638 thumbprint.
    pub kid: String,
    /// The name of the algorithm that the key signs with.
    pub algorithm: &'static str,
    /// `published`, `signing`, `retired`, `gone`, or `revoked` if verifiers reject the key.
    pub state: String,
    /// When the key first signs.
    pub nbf: DateTime<Utc>,
    /// When the key leaves the JWKS.
    pub exp: Option<DateTime<Utc>>,
}

impl Metrics {
    /// Replaces the configured apps, each with its kind.
    pub fn apps_are(&self, apps: impl IntoIterator<Item = (AppId, &'static str)>) {
        let apps: Vec<_> = apps.into_iter().collect();
        let had_many = self
            .0
            .has_many_apps
            .swap(apps.len() > MANY_APPS, Ordering::Relaxed);
        if self.has_many_apps() != had_many {
            self.app_is_gone();
        }
        self.0.app_info.clear();
        for (app, kind) in apps.into_iter().filter(|_| !self.has_many_apps()) {
            self.0
                .app_info
                .get_or_create(&[("app", app.to_string()), ("kind", kind.to_owned())])
                .set(1);
        }
    }

    /// The app label of a metric. Empty if there are many apps.
    fn label_of(&self, app: &AppId) -> String {
        if self.has_many_apps() {
            String::new()
        } else {
            app.to_string()
        }
    }

    /// Resets all counters of apps, as after a restart, so that removed apps leave no series
    /// behind.
    pub fn app_is_gone(&self) {
        self.0.logins.clear();
        self.0.wechat_errcodes.clear();
        self.0.wechat_billed_calls.clear();
        self.0.other_platform_errors.clear();
    }

    /// Sets the metrics of Redis to this state.
    pub fn redis_is(&self, state: &RedisState) {
        self.0.redis_primaries.set(state.primaries.len() as i64);
        self.0
            .redis_slots_covered
            .set(state.slots.map_or(f64::NAN, |slots| slots as f64));
        self.0.redis_replicas_wanted.set(state.wanted.into());
        self.0
            .redis_clock_difference
            .set(state.clock_difference.unwrap_or(f64::NAN));
        // Without the primaries that do not answer, the sum would fall and rise again, as if keys
        // were being evicted.
        if state.all_answer {
            self.0.redis_evicted_keys.set(state.evicted as i64);
        }
        self.0.redis_replicas_online.clear();
        for (primary, replicas) in &state.primaries {
            self.0
                .redis_replicas_online
                .get_or_create(&[("primary", primary.clone())])
                .set((*replicas).into());
        }
    }

    /// Counts that a changed file was read. `what` is `keys`, `vault`, `admin_tokens`, `apps`,
    /// `users` or `redis_url`. `outcome` is `ok`, or `refused` if the file cannot be used.
    pub fn reloaded(&self, what: &'static str, outcome: &'static str) {
        self.0
            .reloads
            .get_or_create(&[("what", what), ("outcome", outcome)])
            .inc();
        self.0
            .reload_refused
            .get_or_create(&[("what", what)])
            .set(i64::from(outcome != OK));
    }

    /// Replaces the signing keys by these, whose states are those of `now`.
    pub fn keys_are(&self, keys: &[ShownKey], now: DateTime<Utc>) {
        self.0.key_age.clear();
        self.0.key_expiry.clear();
        let until = |time: DateTime<Utc>| (time - now).as_seconds_f64();
        let until_signing = keys
            .iter()
            .map(|key| until(key.nbf))
            .filter(|seconds| *seconds > 0.0);
        self.0
            .next_key_activation
            .set(until_signing.fold(f64::NAN, f64::min));
        for key in keys {
            if let Some(exp) = key.exp {
                self.0
                    .key_expiry
                    .get_or_create(&[("kid", key.kid.clone())])
                    .set(until(exp));
            }
            let labels = [
                ("kid", key.kid.clone()),
                ("alg", key.algorithm.to_owned()),
                ("state", key.state.clone()),
            ];
            self.0.key_age.get_or_create(&labels).set(-until(key.nbf));
        }
    }

    /// The logins of the hour that ends now; with `app`, those of this app only.
    pub fn last_hour(&self, app: Option<&AppId>) -> LastHour {
        self.0
            .hour
            .lock()
            .until((Instant::now(), audit::now()), app)
    }

    /// The exposition in OpenMetrics text, including the metrics of `others`.
    pub fn exposition<'a>(&'a self, others: impl IntoIterator<Item = &'a Registry>) -> String {
        let mut text = String::new();
        let mut registries = [&self.0.registry].into_iter().chain(others);
        let complete = registries.try_for_each(|registry| encode_registry(&mut text, registry));
        let complete = complete.and_then(|()| encode_eof(&mut text));
        debug_assert!(complete.is_ok(), "writing to a String does not fail");
        text
    }
}

/// The labels of a metric. Looking a metric up by labels that are known at compile time allocates
/// nothing.
type Labels<const N: usize, V = &'static str> = [(&'static str, V); N];

type Durations<const N: usize> = Family<Labels<N>, Histogram>;

fn metric<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

fn seconds<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register_with_unit(name, help, Unit::Seconds, metric.clone());
    metric
}

/// Registers a histogram of durations. Its buckets double from 0.5 ms (a round trip to Redis) to 8
/// s (a stalled WeChat).
fn durations<const N: usize>(registry: &mut Registry, name: &str, help: &str) -> Durations<N> {
    let durations = Family::new_with_constructor(of_durations as fn() -> Histogram);
    registry.register_with_unit(name, help, Unit::Seconds, durations.clone());
    durations
}

fn of_durations() -> Histogram {
    Histogram::new((0..15).map(|power| 0.0005 * f64::from(1 << power)))
}
