//! What Redis looks like from here.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::{family::Family, gauge::Gauge};

use super::{Labels, Registering};

/// What the primaries of Redis say of themselves.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedisState {
    /// The primaries that answer, and how many replicas of each are online.
    pub primaries: Vec<(String, u32)>,
    /// How many slots of the Cluster these have; `None` where there is no Cluster.
    pub slots: Option<usize>,
    /// How many replicas each should have.
    pub wanted: u32,
    /// Whether bindings, logouts and unbindings fail where a primary has fewer.
    pub are_required: bool,
    /// Between the slowest clock of these primaries and the fastest, in seconds; `None` where none answers.
    pub clock_difference: Option<f64>,
    /// By how many seconds this machine's clock is ahead of the clock of these primaries that is farthest from it.
    pub own_clock_ahead: Option<f64>,
}

pub(super) struct RedisMetrics {
    primaries: Gauge<i64, AtomicI64>,
    slots: Gauge<f64, AtomicU64>,
    replicas: Family<Labels<1, String>, Gauge<i64, AtomicI64>>,
    wanted: Gauge<i64, AtomicI64>,
    clock_difference: Gauge<f64, AtomicU64>,
}

impl RedisMetrics {
    pub(super) fn registered(new: &mut Registering) -> Self {
        let wanted = "Replicas that each primary should have online; fewer are a risk, or fail first logins if \
                      WXMINT_REDIS_CONFIRM is a number";
        let slots = "Slots of the Cluster whose primary answers; NaN where there is no Cluster";
        let replicas = "Replicas of a primary that are online and can confirm writes";
        let clocks = "Between the slowest clock of the primaries and the fastest";
        Self {
            primaries: new.metric("redis_primaries", "Primaries of Redis that answer"),
            slots: new.metric("redis_slots_covered", slots),
            replicas: new.metric("redis_replicas_online", replicas),
            wanted: new.metric("redis_replicas_wanted", wanted),
            clock_difference: new.seconds("redis_clock_difference", clocks),
        }
    }

    pub(super) fn set(&self, state: &RedisState) {
        self.primaries.set(state.primaries.len() as i64);
        self.slots.set(state.slots.map_or(f64::NAN, |slots| slots as f64));
        self.wanted.set(state.wanted.into());
        self.clock_difference.set(state.clock_difference.unwrap_or(f64::NAN));
        self.replicas.clear();
        for (primary, replicas) in &state.primaries {
            self.replicas.get_or_create(&[("primary", primary.clone())]).set((*replicas).into());
        }
    }
}
