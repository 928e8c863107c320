//! How far the receivers of events have read the stream of ends, by their names.

use std::time::Duration;

use wxmint_redis_link::Call;
use wxmint_store::{Result, Store};

/// The cursor up to which a receiver has acknowledged the stream; empty if it has acknowledged nothing that is left.
pub(super) async fn acknowledged(store: &dyn Store, receiver: &str) -> Result<String> {
    let cursor: Option<String> = store.redis().link().run("acknowledged", Call::of("GET", key(receiver))).await?;
    Ok(cursor.unwrap_or_default())
}

/// Notes this cursor for as long as the stream can have it.
pub(super) async fn acknowledge(store: &dyn Store, receiver: &str, cursor: &str, keep: Duration) -> Result<()> {
    let noted = Call::of("SET", key(receiver)).arg(cursor).arg("EX").arg(keep.as_secs());
    Ok(store.redis().link().run("acknowledge", noted).await?)
}

fn key(receiver: &str) -> String {
    ["wxmint:receiver:", receiver].concat()
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::doors::servers::{self, RedisServer};

    const HOUR: Duration = Duration::from_secs(3600);

    async fn a_receivers_place_is_the_last_that_it_has_acknowledged(store: Rc<dyn Store>) {
        let store = &*store;
        acknowledge(store, "other", "7-0.other", HOUR).await.expect("noted");
        for place in ["", "1-0.first", "2-0.second"] {
            if !place.is_empty() {
                acknowledge(store, "sso", place, HOUR).await.expect("noted");
            }
            assert_eq!(acknowledged(store, "sso").await.as_deref(), Ok(place));
        }
        assert_eq!(acknowledged(store, "other").await.as_deref(), Ok("7-0.other"));
    }

    crate::conformance! {
        a_receivers_place_is_the_last_that_it_has_acknowledged
    }

    #[tokio::test(flavor = "local")]
    async fn a_place_has_the_name_and_the_life_of_the_design() {
        let server = RedisServer::start().await;
        acknowledge(&server.store(), "sso", "1-0.first", Duration::from_secs(300)).await.expect("noted");
        let ttl: u64 = server.cli(&["TTL", "wxmint:receiver:sso"]).parse().expect("seconds");
        assert!((290..=300).contains(&ttl), "{ttl}");
    }
}
