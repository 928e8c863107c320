//! How far the receivers of events have read the stream, in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::Memory;
use crate::{Receivers, Result};

#[async_trait(?Send)]
impl Receivers for Memory {
    async fn acknowledged(&self, receiver: &str) -> Result<String> {
        Ok(self.shelves().receivers.get(receiver).cloned().unwrap_or_default())
    }

    async fn acknowledge(&self, receiver: &str, cursor: &str, _: Duration) -> Result<()> {
        self.shelves().receivers.insert(receiver.to_owned(), cursor.to_owned());
        Ok(())
    }
}
