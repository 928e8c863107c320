//! What the commands share that use the Redis of `wxmint serve`.

use std::time::Duration;

use super::{Failure, output::say, progress::Progress, serve::variables};
use crate::{
    http::now,
    settings::{StoreUrl, read_one, variables::REDIS_URL},
    store::{
        Fitness, Redis, Store, StoreError,
        walk::{Page, Place, Step},
    },
    telemetry::Metrics,
};

/// Pauses before the repetitions of a step that Redis did not answer. A Redis that saves, or fails over to a replica,
/// is away for a few seconds.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The Redis that `wxmint serve` uses.
pub(super) fn open() -> Result<Redis, Failure> {
    let url = read_one(&REDIS_URL, variables()).map_err(|faults| Failure::from(&faults))?;
    let StoreUrl::Redis(url) = url else {
        let reason = "WXMINT_REDIS_URL=memory: keeps everything inside `wxmint serve`; this command needs a Redis";
        return Err(Failure::Usage(reason.into()));
    };
    // The life of session keys is of no importance here, because commands write none.
    Ok(Redis::new(&url, Duration::ZERO, now, Metrics::default())?)
}

/// Checks that Redis answers, and warns if it is not fit to keep bindings.
pub(super) async fn check(redis: &Redis) -> Result<(), Failure> {
    match redis.fitness().await {
        Ok(Fitness::Fit) => {}
        Ok(Fitness::Forgetful(reason) | Fitness::Unfit(reason)) => say(format_args!("warning: {reason}")),
        Err(error) => return Err(Failure::Unfinished(format!("WXMINT_REDIS_URL: {error}"))),
    }
    Ok(())
}

/// Repeats a step that Redis did not answer. Every step is idempotent.
pub(super) async fn patiently<T, E>(step: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    for pause in PAUSES {
        if let Ok(done) = step().await {
            return Ok(done);
        }
        tokio::time::sleep(pause).await;
    }
    step().await
}

/// Walks over all keys, and collects their content with `add`. Starts again if Redis was restarted meanwhile.
pub(super) async fn walk_all<T, All: Default>(
    step: impl AsyncFn(&Place) -> Result<Step<T>, StoreError>,
    mut add: impl AsyncFnMut(&mut All, T) -> Result<(), Failure>,
) -> Result<All, Failure> {
    let (mut all, mut place, mut keys) = (All::default(), Place::default(), 0);
    let mut progress = Progress::begin();
    loop {
        let Step::Page(Page { found, keys: seen, of, next }) = patiently(async || step(&place).await).await? else {
            (all, place, keys) = (All::default(), Place::default(), 0);
            continue;
        };
        for found in found {
            add(&mut all, found).await?;
        }
        keys = (keys + seen).min(of);
        progress.tell(keys, || format!("about {keys} of {of} keys read"));
        match next {
            Some(next) => place = next,
            None => return Ok(all),
        }
    }
}
