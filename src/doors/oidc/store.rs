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

#[cfg(test)]
mod conformance {
    use std::rc::Rc;

    use super::*;
    use crate::doors::servers::{self, RedisServer};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn a_list_has_the_oldest_first_and_each_once(store: Rc<Redis>) {
        let now = store.now().timestamp();
        for (name, age, listed) in
            [("b", 90, &["b"][..]), ("a", 60, &["b", "a"]), ("c", 0, &["b", "a", "c"]), ("c", 0, &["b", "a", "c"])]
        {
            assert_eq!(enlist(&store, "l", name, now - age, HOUR).await.expect("an answer"), listed, "{name}");
        }
        for name in ["b", "b", "nobody"] {
            strike(&store, "l", name).await.expect("struck");
        }
        strike(&store, "no list", "b").await.expect("also where there is none");
        assert_eq!(enlist(&store, "l", "d", now, HOUR).await.expect("an answer"), ["a", "c", "d"]);
    }

    crate::conformance! {
        a_list_has_the_oldest_first_and_each_once
    }

    #[tokio::test(flavor = "local")]
    async fn a_list_lives_as_long_as_a_name_and_drops_those_that_are_older() {
        let server = RedisServer::start().await;
        let (store, list) = (server.store(), "wxmint:oidc:families:x");
        for (name, age) in [("old", 3601), ("new", 1)] {
            enlist(&store, list, name, store.now().timestamp() - age, HOUR).await.expect("listed");
        }
        let ttl: u64 = server.cli(&["TTL", list]).parse().expect("seconds");
        assert!((3590..=3600).contains(&ttl), "{ttl}");
        assert_eq!(server.cli(&["ZRANGE", list, "0", "-1"]), "new");
    }
}
