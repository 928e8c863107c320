//! How metrics come into the registry, each with its name and its help.

use prometheus_client::metrics::{family::Family, histogram::Histogram};
use prometheus_client::registry::{Metric, Registry, Unit};

/// Nothing is allocated to look a metric up by labels that are known at compile time.
pub(super) type Labels<const N: usize, V = &'static str> = [(&'static str, V); N];

pub(super) type Durations<const N: usize> = Family<Labels<N>, Histogram>;

pub(super) struct Registering(pub(super) Registry);

impl Registering {
    pub(super) fn metric<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }

    pub(super) fn seconds<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }

    /// The buckets double from 0.5 ms, a round trip to Redis, to 8 s, a WeChat that has stalled.
    pub(super) fn durations<const N: usize>(&mut self, name: &str, help: &str) -> Durations<N> {
        let buckets = || Histogram::new((0..15).map(|power| 0.0005 * f64::from(1 << power)));
        let durations = Family::new_with_constructor(buckets as fn() -> Histogram);
        self.0.register_with_unit(name, help, Unit::Seconds, durations.clone());
        durations
    }
}
