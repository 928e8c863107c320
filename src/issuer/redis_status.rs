//! Looks at Redis now and then, for metrics, and for a warning where something is missing that logins can do without for a
//! while.

use std::{sync::Arc, time::Duration};

use super::Issuer;
use crate::{
    http::now,
    store::{CLUSTER_SLOTS, Redis},
    telemetry::RedisState,
};

const INTERVAL: Duration = Duration::from_secs(10);
/// In seconds; more than the way to Redis and back takes.
const CLOCKS_APART: f64 = 1.0;

/// Runs for as long as the process; does nothing if the store is no Redis.
pub(super) async fn watch_redis(issuer: Arc<Issuer>) {
    let Some(access) = &issuer.redis else { return };
    let redis = Redis::new(access, issuer.settings.session_key_ttl, now, issuer.metrics.clone());
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut told = None;
    loop {
        interval.tick().await;
        // Calls that fail have said why.
        let state = redis.status().await.unwrap_or_default();
        issuer.metrics.redis_is(&state);
        if state.primaries.is_empty() && state.slots.is_none() {
            // Nothing is known of what was missing.
            continue;
        }
        let warning = warning(&state);
        if told != warning {
            match &warning {
                Some(warning) => tracing::warn!("{warning}"),
                None => tracing::info!("what was missing in Redis is there again"),
            }
            issuer.readiness.redis_lacks(warning.clone());
            told = warning;
        }
    }
}

fn warning(state: &RedisState) -> Option<String> {
    let mut warnings = Vec::new();
    if let Some(slots) = state.slots.filter(|slots| *slots < CLUSTER_SLOTS) {
        warnings.push(format!(
            "{} of {CLUSTER_SLOTS} slots of the Cluster have no primary that answers: people whose keys lie there cannot log in",
            CLUSTER_SLOTS - slots
        ));
    }
    for (primary, replicas) in state.primaries.iter().filter(|(_, replicas)| *replicas < state.wanted) {
        let wanted = state.wanted;
        warnings.push(match state.are_required {
            true => format!(
                "Redis at {primary} has {replicas} replicas that are online, and {wanted} must confirm: first logins, logouts \
                 and unbindings get store_unavailable; set WXMINT_REDIS_CONFIRM={replicas} if that is meant"
            ),
            false => format!(
                "Redis at {primary} has no replica that is online: if it is lost, so is what it takes from now on; start its \
                 replica, or set WXMINT_REDIS_CONFIRM=0 if it has none on purpose"
            ),
        });
    }
    if state.clock_difference.is_some_and(|seconds| seconds > CLOCKS_APART) {
        warnings.push(
            "the clocks of the primaries of Redis are more than a second apart: set them by NTP, because they date tokens \
             and their ends"
                .into(),
        );
    }
    (!warnings.is_empty()).then(|| warnings.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_warned_about() {
        let state = |replicas: [u32; 2], slots, wanted, apart| RedisState {
            primaries: [("a:1".to_owned(), replicas[0]), ("b:1".to_owned(), replicas[1])].into(),
            slots,
            wanted,
            are_required: true,
            clock_difference: Some(apart),
        };
        let at_risk = RedisState { are_required: false, ..state([1, 0], None, 1, 0.0) };
        for (state, warned) in [
            (state([1, 2], Some(16384), 1, 0.9), None),
            (state([0, 0], None, 0, 0.0), None),
            (RedisState::default(), None),
            (state([1, 0], Some(16384), 1, 0.0), Some("Redis at b:1 has 0 replicas")),
            (state([1, 1], Some(16384), 2, 0.0), Some("WXMINT_REDIS_CONFIRM=1 if that is meant")),
            (at_risk, Some("Redis at b:1 has no replica that is online")),
            (state([1, 1], Some(16000), 1, 0.0), Some("384 of 16384 slots")),
            (state([1, 1], Some(16384), 1, 1.1), Some("more than a second apart")),
        ] {
            let found = warning(&state);
            assert_eq!(found.is_some(), warned.is_some(), "{state:?} {found:?}");
            assert!(found.unwrap_or_default().contains(warned.unwrap_or_default()), "{state:?}");
        }
    }
}
