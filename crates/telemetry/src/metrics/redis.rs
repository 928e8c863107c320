//! Redis, as it looks from here.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::{family::Family, gauge::Gauge};
use wxmint_redis_link::State;

use super::{Labels, Registering};

pub(super) struct RedisMetrics {
    primaries: Gauge<i64, AtomicI64>,
    slots: Gauge<f64, AtomicU64>,
    replicas: Family<Labels<1, String>, Gauge<i64, AtomicI64>>,
    wanted: Gauge<i64, AtomicI64>,
    clock_difference: Gauge<f64, AtomicU64>,
    evicted: Gauge<i64, AtomicI64>,
}

impl RedisMetrics {
    pub(super) fn registered(new: &mut Registering) -> Self {
        let wanted = "Replicas that each primary should have online; fewer are a risk, or fail first logins if \
                      WXMINT_REDIS_CONFIRM is a number";
        let slots = "Slots of the Cluster whose primary answers; NaN where there is no Cluster";
        let replicas = "Replicas of a primary that are online and can confirm writes";
        let evicted = "Keys that the primaries have evicted since their start, because their memory was full";
        let clocks = "Between the slowest clock of the primaries and the fastest";
        Self {
            primaries: new.metric("redis_primaries", "Primaries of Redis that answer"),
            slots: new.metric("redis_slots_covered", slots),
            replicas: new.metric("redis_replicas_online", replicas),
            wanted: new.metric("redis_replicas_wanted", wanted),
            clock_difference: new.seconds("redis_clock_difference", clocks),
            evicted: new.metric("redis_evicted_keys", evicted),
        }
    }

    pub(super) fn set(&self, state: &State) {
        self.primaries.set(state.primaries.len() as i64);
        self.slots.set(state.slots.map_or(f64::NAN, |slots| slots as f64));
        self.wanted.set(state.wanted.into());
        self.clock_difference.set(state.clock_difference.unwrap_or(f64::NAN));
        self.evicted.set(state.evicted as i64);
        self.replicas.clear();
        for (primary, replicas) in &state.primaries {
            self.replicas.get_or_create(&[("primary", primary.clone())]).set((*replicas).into());
        }
    }
}
