//! Follows the store for as long as the process runs: restores lost revocations, purges expired
//! ones, and reports a possible loss.

use std::time::{Duration, Instant};

use wxmint_store::Store;

use super::cache::RevocationCache;
use super::clock_rules::has_run_steadily;
use super::possible_loss::LossMonitor;
use super::purge::purge_pages;
use crate::clock::now;

const INTERVAL: Duration = Duration::from_secs(2);
const LOOKS_IN_A_MINUTE: u64 = 30;

/// Restores lost revocations, and purges expired ones, for as long as the process runs. `life`: how
/// long the tokens live that this process issues.
pub(crate) async fn follow_revocations(store: Store, life: Duration, mut monitor: LossMonitor) {
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut cache = RevocationCache::default();
    let mut lost = 0;
    let mut clock = (Instant::now(), now());
    let mut purged_to = None;
    for look in 1.. {
        interval.tick().await;
        if look % LOOKS_IN_A_MINUTE == 0 {
            cache.note_minute();
        }
        if has_run_steadily(&mut clock, (Instant::now(), now())) {
            purge_pages(&store.revocation_stream, &mut purged_to).await;
            cache.purge_expired(&store.clock);
        }
        lost = cache.look_at_both(&store, lost).await;
        if lost > 0 {
            tracing::error!(
                lost,
                "Redis has lost revocations, which were made again, and perhaps blocks and bindings"
            );
        }
        // A failed call has logged why, and the next look tries again.
        let _ = cache.note_possible_loss(&store, life).await;
        monitor
            .report_loss(cache.possible_loss, &cache.lives, &store.token_lives)
            .await;
    }
}
