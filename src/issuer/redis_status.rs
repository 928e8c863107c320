//! Looks at Redis now and then, for metrics, and for a warning where something is missing that logins can do without for a
//! while.

use std::{sync::Arc, time::Duration};

use super::Issuer;
use crate::{
    findings::Status,
    http::now,
    store::{Redis, redis_lacks},
    telemetry::RedisState,
};

const INTERVAL: Duration = Duration::from_secs(10);

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
    let lacks = redis_lacks(state).into_iter().filter(|finding| finding.status != Status::Ok);
    let warnings: Vec<_> = lacks.map(|finding| finding.to_string()).collect();
    (!warnings.is_empty()).then(|| warnings.join("; "))
}
