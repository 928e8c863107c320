//! The metrics that Envoy publishes for the module. Their names get the prefix of
//! `metrics_namespace` of the module's configuration.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

use crate::envoy::{NewConfiguration, Stream};
use crate::peers::{EnvoyGate, WaitingRequest};

/// The ids of the metrics of one configuration; `None` for one that Envoy did not take.
pub(crate) struct Metrics {
    verifications: Option<usize>,
    remembered: Option<usize>,
    waiting: Option<usize>,
    keys: Option<usize>,
    keys_age: Option<usize>,
    revocations: Option<usize>,
    revocations_age: Option<usize>,
    /// When the gauges were last set, in seconds since 1970.
    measured_at: AtomicI64,
}

impl Metrics {
    pub(crate) fn define(configuration: &NewConfiguration) -> Self {
        let gauge = |name| configuration.gauge(name, &[]);
        let of_issuer = |name| configuration.gauge(name, &["issuer"]);
        Self {
            verifications: configuration.counter("verifications_total", &["outcome"]),
            remembered: gauge("remembered_tokens"),
            waiting: gauge("waiting_requests"),
            keys: of_issuer("jwks_keys"),
            keys_age: of_issuer("jwks_age_seconds"),
            revocations: of_issuer("revocations_held"),
            revocations_age: of_issuer("revocations_age_seconds"),
            measured_at: AtomicI64::new(0),
        }
    }

    /// Counts a request by how it was answered.
    pub(crate) fn count(&self, stream: &Stream, outcome: &str) {
        if let Some(counter) = self.verifications {
            stream.count(counter, &[outcome]);
        }
    }

    /// Sets the gauges, once a second at most: in Envoy 1.38 and 1.39 a request alone can set them.
    pub(crate) fn measure(&self, stream: &Stream, gate: &EnvoyGate, now: DateTime<Utc>) {
        let second = now.timestamp();
        let last = self.measured_at.load(Ordering::Relaxed);
        if second == last {
            return;
        }
        // Another worker may measure in this second.
        let exchanged =
            self.measured_at
                .compare_exchange(last, second, Ordering::Relaxed, Ordering::Relaxed);
        if exchanged.is_err() {
            return;
        }
        let set = |gauge: Option<usize>, labels: &[&str], value: Option<u64>| {
            if let (Some(gauge), Some(value)) = (gauge, value) {
                stream.measure(gauge, labels, value);
            }
        };
        set(self.remembered, &[], Some(gate.remembered() as u64));
        set(self.waiting, &[], Some(WaitingRequest::count() as u64));
        for known in gate.peer().known() {
            let issuer = [known.issuer];
            set(self.keys, &issuer, Some(known.keys as u64));
            set(
                self.keys_age,
                &issuer,
                known.keys_age.map(|age| age.as_secs()),
            );
            let held = known.revocations.map(|count| count as u64);
            set(self.revocations, &issuer, held);
            let age = known.revocations_age.map(|age| age.as_secs());
            set(self.revocations_age, &issuer, age);
        }
    }
}
