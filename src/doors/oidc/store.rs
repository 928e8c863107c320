//! Lists of names, such as that of a user's logins at a site.

use std::time::Duration;

use redis::Value;
use wxmint_redis_link::Call;
use wxmint_store::{Redis, Result};

/// Adds a name to a list, and returns all of them, the oldest first. One that was added longer ago than `life` is gone.
pub(super) async fn enlist(store: &Redis, list: &str, name: &str, at: i64, life: Duration) -> Result<Vec<String>> {
    let seconds = life.as_secs();
    let call = Call::of("ZADD", list).arg(at).arg(name).cmd("EXPIRE").arg(list).arg(seconds);
    let call = call.cmd("ZREMRANGEBYSCORE").arg(list).arg("-inf").arg(at - seconds as i64);
    let call = call.cmd("ZRANGE").arg(list).arg(0).arg(-1);
    let (_, _, _, names): (Value, Value, Value, _) = store.link().run("enlist_oidc", call).await?;
    Ok(names)
}

pub(super) async fn strike(store: &Redis, list: &str, name: &str) -> Result<()> {
    Ok(store.link().run("strike_oidc", Call::of("ZREM", list).arg(name)).await?)
}
