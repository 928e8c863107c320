//! Texts that doors keep for a time, each at a key of its own. Every step is one command on one key, so that replicas
//! agree without a script: of those who want to be the first at a key, one is.

use std::time::Duration;

use wxmint_redis_link::Call;

use super::{Redis, Result};

impl Redis {
    pub async fn keep(&self, key: &str, text: &str, life: Duration) -> Result<()> {
        Ok(self.link().run("keep_text", keeping(key, text, life)).await?)
    }

    /// Keeps the first text, and returns it once replicas have it. A repetition with the same text finds its own.
    pub async fn keep_first(&self, key: &str, text: &str, life: Duration) -> Result<String> {
        let claimed = keeping(key, text, life).arg("NX");
        if self.link().run_confirmed::<Option<String>>("keep_text", claimed).await?.is_some() {
            return Ok(text.to_owned());
        }
        // A text that has expired since is nobody's.
        Ok(self.kept(key).await?.unwrap_or_default())
    }

    pub async fn kept(&self, key: &str) -> Result<Option<String>> {
        Ok(self.link().run("kept_text", Call::of("GET", key)).await?)
    }

    pub async fn discard(&self, key: &str) -> Result<()> {
        Ok(self.link().run_confirmed::<u64>("discard_text", Call::of("DEL", key)).await.map(drop)?)
    }
}

fn keeping(key: &str, text: &str, life: Duration) -> Call {
    Call::of("SET", key).arg(text).arg("EX").arg(life.as_secs().max(1))
}
