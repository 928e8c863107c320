//! Texts that doors and other rooms keep in the store, each at a key of its own.

use std::{rc::Rc, time::Duration};

use redis::Value;
use wxmint_redis_link::{Call, RedisClient};

use super::script::{self, replace};
use crate::Result;

/// Texts at keys that the caller names. The operations are commands on one key, so that replicas
/// agree without a script: if several want to be the first to store a text, one of them is.
#[derive(Clone)]
pub struct KeptTexts {
    link: Rc<RedisClient>,
}

impl KeptTexts {
    pub(super) fn new(link: Rc<RedisClient>) -> Self {
        Self { link }
    }

    /// Stores a text for `life`.
    pub async fn keep(&self, key: &str, text: &str, life: Duration) -> Result<()> {
        Ok(self.link.run("keep_text", keeping(key, text, life)).await?)
    }

    /// Stores the text unless the key has one, and returns the text that the key has, once replicas
    /// have it. A repetition with the same text finds that text.
    pub async fn keep_first(&self, key: &str, text: &str, life: Duration) -> Result<String> {
        let claimed = keeping(key, text, life).arg("NX").cmd("GET").arg(key);
        let (_, held): (Value, Option<String>) =
            self.link.run_confirmed("keep_text", claimed).await?;
        // The text has expired meanwhile.
        Ok(held.unwrap_or_default())
    }

    /// The text at this key.
    pub async fn get(&self, key: &str) -> Result<Option<String>> {
        Ok(self.link.run("kept_text", Call::of("GET", key)).await?)
    }

    /// Deletes the text at this key. Answered once replicas have deleted it.
    pub async fn delete(&self, key: &str) -> Result<()> {
        Ok(self
            .link
            .run_confirmed::<u64>("discard_text", Call::of("DEL", key))
            .await
            .map(drop)?)
    }

    /// Deletes the text at this key if it equals `text`.
    pub async fn delete_own(&self, key: &str, text: &str) -> Result<()> {
        Ok(self
            .link
            .run("discard_text", replace(key, text.as_bytes(), b""))
            .await?)
    }

    /// Replaces the text `before` by `text`, which expires when `before` would have. Answered once
    /// replicas have it. Returns whether the key has `text` now, so a repetition returns the same.
    pub async fn replace(&self, key: &str, before: &str, text: &str) -> Result<bool> {
        let replaced = script::REPLACE_KEPT.on(&[key]).arg(before).arg(text);
        Ok(self.link.run_confirmed("keep_text", replaced).await?)
    }
}

fn keeping(key: &str, text: &str, life: Duration) -> Call {
    Call::of("SET", key)
        .arg(text)
        .arg("EX")
        .arg(life.as_secs().max(1))
}
