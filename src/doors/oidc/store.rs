//! Texts that are kept for a time, each at a key of its own. Every step is one command on one key, so that replicas
//! agree without a script: of those who want to be the first at a key, one is.

use std::time::Duration;

use chrono::{DateTime, Utc};
use redis::Value;
use wxmint_redis_link::Call;
use wxmint_store::{Result, Store};

/// The store's time.
pub(super) fn now(store: &dyn Store) -> DateTime<Utc> {
    store.redis().now()
}

pub(super) async fn keep(store: &dyn Store, key: &str, text: &str, life: Duration) -> Result<()> {
    Ok(store.redis().link().run("keep_oidc", keeping(key, text, life)).await?)
}

/// Keeps the text if nothing is kept there, and returns the one that is. Answered once replicas have it. A repetition
/// with the same text finds its own.
pub(super) async fn keep_first(store: &dyn Store, key: &str, text: &str, life: Duration) -> Result<String> {
    let claimed = keeping(key, text, life).arg("NX");
    if store.redis().link().run_confirmed::<Option<String>>("keep_oidc", claimed).await?.is_some() {
        return Ok(text.to_owned());
    }
    // A text that has expired since is nobody's.
    Ok(kept(store, key).await?.unwrap_or_default())
}

fn keeping(key: &str, text: &str, life: Duration) -> Call {
    Call::of("SET", named(key)).arg(text).arg("EX").arg(life.as_secs().max(1))
}

pub(super) async fn kept(store: &dyn Store, key: &str) -> Result<Option<String>> {
    Ok(store.redis().link().run("kept_oidc", Call::of("GET", named(key))).await?)
}

pub(super) async fn discard(store: &dyn Store, key: &str) -> Result<()> {
    let discarded = store.redis().link().run_confirmed::<u64>("discard_oidc", Call::of("DEL", named(key)));
    Ok(discarded.await.map(drop)?)
}

/// Adds a name to a list, and returns all of them, the oldest first. One that was added longer ago than `life` is gone.
pub(super) async fn enlist(store: &dyn Store, list: &str, name: &str, at: i64, life: Duration) -> Result<Vec<String>> {
    let (key, seconds) = (named(list), life.as_secs());
    let call = Call::of("ZADD", &key).arg(at).arg(name).cmd("EXPIRE").arg(&key).arg(seconds);
    let call = call.cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(at - seconds as i64);
    let call = call.cmd("ZRANGE").arg(&key).arg(0).arg(-1);
    let (_, _, _, names): (Value, Value, Value, _) = store.redis().link().run("enlist_oidc", call).await?;
    Ok(names)
}

pub(super) async fn strike(store: &dyn Store, list: &str, name: &str) -> Result<()> {
    Ok(store.redis().link().run("strike_oidc", Call::of("ZREM", named(list)).arg(name)).await?)
}

fn named(key: &str) -> String {
    ["wxmint:oidc:", key].concat()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::doors::servers::{self, RedisServer};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn of_two_who_want_to_be_the_first_one_is(store: Rc<dyn Store>) {
        let store = &*store;
        assert_eq!(kept(store, "a").await, Ok(None));
        for (text, first) in [("one", "one"), ("two", "one"), ("one", "one")] {
            assert_eq!(keep_first(store, "a", text, HOUR).await.as_deref(), Ok(first), "{text}");
        }
        keep(store, "a", "three", HOUR).await.expect("kept");
        assert_eq!(kept(store, "a").await.expect("an answer").as_deref(), Some("three"));
        discard(store, "a").await.expect("discarded");
        discard(store, "a").await.expect("also repeated");
        assert_eq!(kept(store, "a").await, Ok(None));
        assert_eq!(keep_first(store, "a", "four", HOUR).await.as_deref(), Ok("four"));
        assert_eq!(kept(store, "b").await, Ok(None));
    }

    async fn a_list_has_the_oldest_first_and_each_once(store: Rc<dyn Store>) {
        let (store, now) = (&*store, now(&*store).timestamp());
        for (name, age, listed) in
            [("b", 90, &["b"][..]), ("a", 60, &["b", "a"]), ("c", 0, &["b", "a", "c"]), ("c", 0, &["b", "a", "c"])]
        {
            assert_eq!(enlist(store, "l", name, now - age, HOUR).await.expect("an answer"), listed, "{name}");
        }
        for name in ["b", "b", "nobody"] {
            strike(store, "l", name).await.expect("struck");
        }
        strike(store, "no list", "b").await.expect("also where there is none");
        assert_eq!(enlist(store, "l", "d", now, HOUR).await.expect("an answer"), ["a", "c", "d"]);
    }

    async fn a_text_is_kept_for_its_time(store: Rc<dyn Store>) {
        let store = &*store;
        keep(store, "a", "one", Duration::from_secs(1)).await.expect("kept");
        let begun = now(store);
        while kept(store, "a").await.expect("an answer").is_some() {
            assert!(now(store) < begun + Duration::from_secs(10), "it is kept still");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(keep_first(store, "a", "two", HOUR).await.as_deref(), Ok("two"));
    }

    crate::conformance! {
        of_two_who_want_to_be_the_first_one_is
        a_list_has_the_oldest_first_and_each_once
        a_text_is_kept_for_its_time
    }

    #[tokio::test(flavor = "local")]
    async fn a_key_has_the_name_and_the_life_of_the_design() {
        let server = RedisServer::start().await;
        keep_first(&server.store(), "code:x", "text", HOUR).await.expect("kept");
        let now = now(&server.store()).timestamp();
        for (name, age) in [("old", 3601), ("new", 1)] {
            enlist(&server.store(), "families:x", name, now - age, HOUR).await.expect("listed");
        }
        for key in ["wxmint:oidc:code:x", "wxmint:oidc:families:x"] {
            let ttl: u64 = server.cli(&["TTL", key]).parse().expect("seconds");
            assert!((3590..=3600).contains(&ttl), "{ttl}");
        }
        assert_eq!(server.cli(&["ZRANGE", "wxmint:oidc:families:x", "0", "-1"]), "new");
    }
}
