//! Records that doors keep in the store as JSON.

use std::{iter, time::Duration};

use backon::Retryable;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use wxmint_redis_link::Call;
use wxmint_store::{Result, Store, StoreError};

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and numbers are JSON")
}

/// Reads a record. `what` names it in the error.
pub(crate) fn read<T: DeserializeOwned>(what: &'static str, kept: &str) -> Result<T> {
    serde_json::from_str(kept).map_err(|_| StoreError::Damaged(what))
}

/// Removes a name from a list.
pub(crate) async fn remove_name(store: &Store, list: &str, name: &str) -> Result<()> {
    Ok(store
        .link
        .run("strike", Call::of("ZREM", list).arg(name))
        .await?)
}

/// Retries for 5 s a step that takes something back. Without it, an unused grant would look stolen.
pub(crate) async fn retry_for_5_s<T>(step: impl AsyncFn() -> Result<T>) -> Result<T> {
    let until = Instant::now() + Duration::from_secs(5);
    (|| step())
        .retry(iter::repeat(Duration::from_millis(100)))
        .when(|_| Instant::now() < until)
        .await
}
