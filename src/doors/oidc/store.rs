//! Lists of names, such as that of a user's logins at a site.

use std::{collections::HashMap, time::Duration};

use redis::Value;
use wxmint_redis_link::Call;
use wxmint_store::{Result, Store, StoredIn};

/// The lists in memory, where no name expires by itself.
#[derive(Default)]
struct Lists(HashMap<String, Vec<String>>);

/// Adds a name to a list, and returns all of them, the oldest first. One that was added longer ago than `life` is gone.
pub(super) async fn enlist(store: &dyn Store, list: &str, name: &str, at: i64, life: Duration) -> Result<Vec<String>> {
    match store.place() {
        StoredIn::Redis(redis) => {
            let seconds = life.as_secs();
            let call = Call::of("ZADD", list).arg(at).arg(name).cmd("EXPIRE").arg(list).arg(seconds);
            let call = call.cmd("ZREMRANGEBYSCORE").arg(list).arg("-inf").arg(at - seconds as i64);
            let call = call.cmd("ZRANGE").arg(list).arg(0).arg(-1);
            let (_, _, _, names): (Value, Value, Value, _) = redis.link().run("enlist_oidc", call).await?;
            Ok(names)
        }
        StoredIn::Memory(memory) => {
            let (_, mut lists) = memory.shelf::<Lists>();
            let names = lists.0.entry(list.to_owned()).or_default();
            names.retain(|other| other != name);
            names.push(name.to_owned());
            Ok(names.clone())
        }
    }
}

pub(super) async fn strike(store: &dyn Store, list: &str, name: &str) -> Result<()> {
    match store.place() {
        StoredIn::Redis(redis) => Ok(redis.link().run("strike_oidc", Call::of("ZREM", list).arg(name)).await?),
        StoredIn::Memory(memory) => {
            let (_, mut lists) = memory.shelf::<Lists>();
            lists.0.get_mut(list).into_iter().for_each(|names| names.retain(|other| other != name));
            Ok(())
        }
    }
}
