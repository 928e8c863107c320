//! Rules of the stream that only a rare coincidence needs, each shown by the shortest history in which it is needed.

use wxmint_keys::token::Issued;
use wxmint_store::{ReadRevocations, Store};

use super::store::{Fate, Server, Stores};
use super::world::{APPS, user_id};
use crate::{Millis, SECOND, runtime};

const NOW: Millis = 1_800_000_000 * SECOND;

/// Ends a token that was issued now with this life, when the store's clock is at `at`.
async fn revoke(stores: &Stores, id: &str, life: Millis, at: Millis) {
    stores.set_clock(at, at);
    let (issued_at, expires_at) = (NOW / SECOND, (NOW + life) / SECOND);
    let (user, app) = (user_id(0), APPS[0].parse().expect("an app"));
    let token = Issued {
        user,
        app,
        id: id.parse().expect("an id"),
        issued_at,
        expires_at,
    };
    stores
        .directly
        .revocations
        .revoke_token(&token)
        .await
        .expect("revoked");
}

async fn read(stores: &Stores, cursor: &str) -> Option<ReadRevocations> {
    stores
        .directly
        .revocation_stream
        .after(cursor, 10)
        .await
        .expect("an answer")
}

/// A store that has lost a revocation which was read at `NOW`. The cursor of whoever has read it.
async fn failed_over(stores: &Stores) -> String {
    revoke(stores, "lost", 3_600 * SECOND, NOW).await;
    read(stores, "")
        .await
        .expect("the stream has a beginning")
        .cursor
}

/// "lost" is in the stream and on no replica of the store. The store fails over to a machine whose clock is behind, and
/// two other revocations are written there, the second in the very millisecond that "lost" was in.
#[test]
fn a_cursor_of_a_revocation_that_was_lost_is_not_that_of_another_one_in_its_place() {
    let server = Server::start();
    let stores = server.emptied();
    runtime().block_on(async {
        let cursor = failed_over(&stores).await;
        server.fail_over();
        revoke(&stores, "one", 3_600 * SECOND, NOW - 500).await;
        revoke(&stores, "two", 3_600 * SECOND, NOW).await;
        assert_eq!(read(&stores, &cursor).await, None);
        let all = read(&stores, "").await.expect("the stream has a beginning");
        assert_eq!(
            (
                all.revocations.len(),
                all.cursor.split_once('.').expect("an id").0
            ),
            (2, cursor.split_once('.').expect("an id").0)
        );
    });
}

/// The failover comes between the look for the cursor and the read after it, and so do two other revocations.
#[test]
fn a_cursor_is_looked_for_again_when_the_stream_is_read() {
    let server = Server::start();
    let stores = server.emptied();
    runtime().block_on(async {
        let cursor = failed_over(&stores).await;
        let mut call = stores
            .call(async move |store: &Store| store.revocation_stream.after(&cursor, 10).await)
            .await;
        assert!(
            call.go_on(&stores, Fate::Taken).await.is_none(),
            "it has found the cursor, and has yet to read"
        );
        server.fail_over();
        revoke(&stores, "one", 3_600 * SECOND, NOW + 500).await;
        revoke(&stores, "two", 3_600 * SECOND, NOW + 1_000).await;
        assert_eq!(
            call.go_on(&stores, Fate::Taken).await,
            Some(Ok(None)),
            "the first of them is not the cursor's"
        );
    });
}
