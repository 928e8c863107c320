//! Texts that doors keep for a time, each at a key of its own. Every step is one command on one key, so that replicas
//! agree without a script: of those who want to be the first at a key, one is.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_redis_link::Call;

use super::{Memory, Result, StoredIn};

/// In memory, each with the time until which it is kept.
#[derive(Default)]
struct Texts(HashMap<String, (String, DateTime<Utc>)>);

/// Does this with those that have not expired.
fn with<T>(memory: &Memory, act: impl FnOnce(&mut Texts, DateTime<Utc>) -> T) -> Result<T> {
    let (now, mut texts) = memory.shelf::<Texts>();
    texts.0.retain(|_, (_, until)| *until > now);
    Ok(act(&mut texts, now))
}

impl StoredIn<'_> {
    pub fn now(self) -> DateTime<Utc> {
        match self {
            Self::Redis(redis) => redis.now(),
            Self::Memory(memory) => memory.shelf::<Texts>().0,
        }
    }

    pub async fn keep(self, key: &str, text: &str, life: Duration) -> Result<()> {
        match self {
            Self::Redis(redis) => {
                let kept = Call::of("SET", key).arg(text).arg("EX").arg(life.as_secs().max(1));
                Ok(redis.link().run("keep_text", kept).await?)
            }
            Self::Memory(memory) => {
                with(memory, |texts, now| drop(texts.0.insert(key.to_owned(), (text.to_owned(), now + life))))
            }
        }
    }

    /// Keeps the first text, and returns it once replicas have it. A repetition with the same text finds its own.
    pub async fn keep_first(self, key: &str, text: &str, life: Duration) -> Result<String> {
        match self {
            Self::Redis(redis) => {
                let claimed = Call::of("SET", key).arg(text).arg("EX").arg(life.as_secs().max(1)).arg("NX");
                if redis.link().run_confirmed::<Option<String>>("keep_text", claimed).await?.is_some() {
                    return Ok(text.to_owned());
                }
                // A text that has expired since is nobody's.
                Ok(self.kept(key).await?.unwrap_or_default())
            }
            Self::Memory(memory) => with(memory, |texts, now| {
                texts.0.entry(key.to_owned()).or_insert((text.to_owned(), now + life)).0.clone()
            }),
        }
    }

    pub async fn kept(self, key: &str) -> Result<Option<String>> {
        match self {
            Self::Redis(redis) => Ok(redis.link().run("kept_text", Call::of("GET", key)).await?),
            Self::Memory(memory) => with(memory, |texts, _| texts.0.get(key).map(|(text, _)| text.clone())),
        }
    }

    pub async fn discard(self, key: &str) -> Result<()> {
        match self {
            Self::Redis(redis) => {
                Ok(redis.link().run_confirmed::<u64>("discard_text", Call::of("DEL", key)).await.map(drop)?)
            }
            Self::Memory(memory) => with(memory, |texts, _| drop(texts.0.remove(key))),
        }
    }
}
