//! Lists of names with times: the logins of a user at sites, the tokens of a login, and the logouts
//! that wait for a site.

use std::time::Duration;

use redis::Value;
use wxmint_redis_link::Call;
use wxmint_store::{Result, Store};

/// The names of a list, each with its time in seconds since 1970.
type Names = Vec<(String, f64)>;

/// Adds a name to a list, and returns all names with their times, the oldest first. Removes names
/// that are older than `life` at the time `at`. The list itself expires `life` after the last
/// addition.
pub(super) async fn enlist(
    store: &Store,
    list: &str,
    name: &str,
    at: f64,
    life: Duration,
) -> Result<Names> {
    let seconds = life.as_secs();
    let call = Call::of("ZADD", list)
        .arg(at)
        .arg(name)
        .cmd("EXPIRE")
        .arg(list)
        .arg(seconds);
    let call = call
        .cmd("ZREMRANGEBYSCORE")
        .arg(list)
        .arg("-inf")
        .arg(at - seconds as f64);
    let call = call
        .cmd("ZRANGE")
        .arg(list)
        .arg(0)
        .arg(-1)
        .arg("WITHSCORES");
    let (_, _, _, names): (Value, Value, Value, _) = store.link.run("enlist", call).await?;
    Ok(names)
}

/// The names of a list, as [`enlist`] returns them.
pub(super) async fn names(store: &Store, list: &str) -> Result<Names> {
    Ok(store
        .link
        .run(
            "names",
            Call::of("ZRANGE", list).arg(0).arg(-1).arg("WITHSCORES"),
        )
        .await?)
}

#[cfg(test)]
mod conformance {
    use std::rc::Rc;

    use super::*;
    use crate::doors::servers::{self, RedisServer};
    use crate::oauth::records::remove_name;

    const HOUR: Duration = Duration::from_hours(1);

    async fn a_list_has_the_oldest_first_and_each_once(store: Rc<Store>) {
        let now = store.clock.now().timestamp();
        let names = async |at, name| {
            let listed = enlist(&store, "l", name, at, HOUR)
                .await
                .expect("an answer");
            listed.into_iter().map(|(name, _)| name).collect::<Vec<_>>()
        };
        for (name, age, listed) in [
            ("b", 90, &["b"][..]),
            ("a", 60, &["b", "a"]),
            ("c", 0, &["b", "a", "c"]),
            ("c", 0, &["b", "a", "c"]),
        ] {
            assert_eq!(names((now - age) as f64, name).await, listed, "{name}");
        }
        for name in ["b", "b", "nobody"] {
            remove_name(&store, "l", name).await.expect("struck");
        }
        remove_name(&store, "no list", "b")
            .await
            .expect("also where there is none");
        assert_eq!(names(now as f64, "d").await, ["a", "c", "d"]);
    }

    crate::conformance! {
        a_list_has_the_oldest_first_and_each_once
    }

    mod redis_only {
        use super::*;

        #[tokio::test(flavor = "local")]
        async fn a_list_lives_as_long_as_a_name_and_drops_those_that_are_older() {
            let server = RedisServer::start().await;
            let store = server.store();
            let list = "wxmint:oidc:families:x";
            for (name, age) in [("old", 3601), ("new", 1)] {
                enlist(
                    &store,
                    list,
                    name,
                    (store.clock.now().timestamp() - age) as f64,
                    HOUR,
                )
                .await
                .expect("listed");
            }
            let ttl: u64 = server.cli(&["TTL", list]).parse().expect("seconds");
            assert!((3590..=3600).contains(&ttl), "{ttl}");
            assert_eq!(server.cli(&["ZRANGE", list, "0", "-1"]), "new");
        }
    }
}
