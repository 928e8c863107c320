//! How far the receivers of events have read the stream of ends.

use std::time::Duration;

use async_trait::async_trait;

use super::Result;

/// The places of receivers, by their names.
#[async_trait(?Send)]
pub trait Receivers {
    /// The cursor up to which a receiver has acknowledged the stream; empty if it has acknowledged nothing that is
    /// left.
    async fn acknowledged(&self, receiver: &str) -> Result<String>;

    /// Notes this cursor for as long as the stream can have it.
    async fn acknowledge(&self, receiver: &str, cursor: &str, keep: Duration) -> Result<()>;
}
