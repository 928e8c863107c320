//! Waits for what others do, within a time.

use std::time::{Duration, Instant};

use super::{LIMIT, limit};

const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, within: Duration, mut condition: impl AsyncFnMut() -> bool) {
    eventually(what, within, async || condition().await.then_some(())).await;
}

/// Waits until `condition` gives something, and returns that.
pub(crate) async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    limit::at_most(LIMIT);
    let begun = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(begun.elapsed() < within, "{what}: not within {within:?}");
        // Whoever waits for long asks more rarely: asking takes the time of others.
        tokio::time::sleep((begun.elapsed() / 10).clamp(POLL, 20 * POLL)).await;
    }
}
