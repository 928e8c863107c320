//! Compares the id key with that of the other processes, for as long as the process runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Issuer;

/// A store that was emptied is told the key again within this time by who had agreed before.
const INTERVAL: Duration = Duration::from_secs(1);
/// So long an empty store must have answered before a process tells it its own key, because others may have agreed.
const OTHERS_FIRST: Duration = Duration::from_secs(3);

/// A process whose key is another one than the store's is not ready, and logs nobody in.
pub(super) async fn follow(issuer: Arc<Issuer>) {
    let (store, mut begun) = (issuer.store(), None);
    let wait = if issuer.redis.is_some() { OTHERS_FIRST } else { Duration::ZERO };
    // A process that draws user ids only has to notice that others compute them.
    let mut interval = actix_web::rt::time::interval(INTERVAL * if issuer.ids.are_computed() { 1 } else { 10 });
    loop {
        interval.tick().await;
        let has_waited = begun.get_or_insert_with(Instant::now).elapsed() >= wait;
        let Ok(found) = issuer.ids.compare(&store, has_waited).await else {
            // The call has said why. The store may have been emptied meanwhile.
            begun = None;
            continue;
        };
        let found = found.map(|finding| finding.to_string());
        if issuer.readiness.unfit("user_ids", found.as_deref()) {
            match found {
                Some(reason) => tracing::error!(reason, "nobody can log in"),
                None => tracing::info!("user ids are computed as everywhere"),
            }
        }
    }
}
