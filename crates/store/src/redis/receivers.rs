//! How far the receivers of events have read the stream, in Redis.

use std::time::Duration;

use async_trait::async_trait;

use super::{Call, Redis, name};
use crate::{Receivers, Result};

#[async_trait(?Send)]
impl Receivers for Redis {
    async fn acknowledged(&self, receiver: &str) -> Result<String> {
        let asked = Call::of("GET", name::receiver(receiver));
        let cursor: Option<String> = self.link.run("acknowledged", asked).await?;
        Ok(cursor.unwrap_or_default())
    }

    async fn acknowledge(&self, receiver: &str, cursor: &str, keep: Duration) -> Result<()> {
        let noted = Call::of("SET", name::receiver(receiver)).arg(cursor).arg("EX").arg(keep.as_secs());
        Ok(self.link.run("acknowledge", noted).await?)
    }
}
