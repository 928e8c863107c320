//! Rules of the stream that only a rare coincidence needs, each shown by the shortest history in which it is needed.

use wxmint::store::{Issued, ReadEnds, Store};
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use crate::{
    runtime,
    store::{Fate, Millis, Redis, SECOND, Stores},
    world::{APPS, user_id},
};

const NOW: Millis = 1_800_000_000 * SECOND;

/// Ends a token that was issued now with this life, when the store's clock is at `at`.
async fn end(stores: &Stores, id: &str, life: Millis, at: Millis) {
    stores.set_clock(at);
    let (issued_at, expires_at) = (NOW / SECOND, (NOW + life) / SECOND);
    let (user, app) = (user_id(0), APPS[0].parse().expect("an app"));
    let token = Issued { user, app, id: id.parse().expect("an id"), issued_at, expires_at };
    stores.directly().end_token(&token).await.expect("ended");
}

async fn read(stores: &Stores, cursor: &str) -> Option<ReadEnds> {
    stores.directly().ends_after(cursor, 10).await.expect("an answer")
}

/// A store that has lost an end which was read at `NOW`. The cursor of whoever has read it.
async fn failed_over(stores: &Stores) -> String {
    end(stores, "lost", 3_600 * SECOND, NOW).await;
    read(stores, "").await.expect("the stream has a beginning").cursor
}

/// "lost" is in the stream and on no replica of the store. The store fails over to a machine whose clock is behind, and two
/// other ends are written there, the second in the very millisecond that "lost" was in.
#[test]
fn a_cursor_of_an_end_that_was_lost_is_not_that_of_another_end_in_its_place() {
    let stores = Redis::start().emptied();
    runtime().block_on(async {
        let cursor = failed_over(&stores).await;
        stores.replica().expect("a replica").fail_over();
        end(&stores, "one", 3_600 * SECOND, NOW - 500).await;
        end(&stores, "two", 3_600 * SECOND, NOW).await;
        assert_eq!(read(&stores, &cursor).await, None);
        let all = read(&stores, "").await.expect("the stream has a beginning");
        assert_eq!(
            (all.ends.len(), all.cursor.split_once('.').expect("an id").0),
            (2, cursor.split_once('.').expect("an id").0)
        );
    });
}

/// The failover comes between the look for the cursor and the read after it, and so do two other ends.
#[test]
fn a_cursor_is_looked_for_again_when_the_stream_is_read() {
    let stores = Redis::start().emptied();
    runtime().block_on(async {
        let cursor = failed_over(&stores).await;
        let mut call = stores.call(async move |store: &dyn Store| store.ends_after(&cursor, 10).await).await;
        assert!(call.go_on(Fate::Taken).await.is_none(), "it has found the cursor, and has yet to read");
        stores.replica().expect("a replica").fail_over();
        end(&stores, "one", 3_600 * SECOND, NOW + 500).await;
        end(&stores, "two", 3_600 * SECOND, NOW + 1_000).await;
        assert_eq!(call.go_on(Fate::Taken).await, Some(Ok(None)), "the first of them is not the cursor's");
    });
}

/// A token of the longest life is ended in its first moment. At its last moment, by a clock that is 30 s behind, a verifier
/// starts, and the store, whose clock is 30 s ahead, trims the stream in the next second.
#[test]
fn the_stream_has_an_end_for_as_long_as_somebody_accepts_the_token() {
    const APART: Millis = 30 * SECOND;
    let life = Millis::try_from((LONGEST_LIFE + MAX_LEEWAY).as_millis()).expect("some days");
    let redis = Redis::start();
    runtime().block_on(async {
        for stores in [Stores::memory(), redis.emptied()] {
            end(&stores, "ended", Millis::try_from(LONGEST_LIFE.as_millis()).expect("some days"), NOW).await;
            stores.set_clock(NOW + life + 2 * APART - SECOND);
            stores.directly().end_key("a-kid").await.expect("ended");
            let ends = read(&stores, "").await.map(|read| read.ends).unwrap_or_default();
            assert_eq!(ends.len(), 2, "{ends:?}, with a replica: {}", stores.replica().is_some());
        }
    });
}

/// It ends the second in which its token was issued, and a repetition that comes later ends no more.
#[test]
fn a_logout_everywhere_that_is_repeated_ends_nothing_newer() {
    let redis = Redis::start();
    runtime().block_on(async {
        for stores in [Stores::memory(), redis.emptied()] {
            for at in [NOW, NOW + 5 * SECOND] {
                stores.set_clock(at);
                stores.directly().end_user(&user_id(0), Some(NOW / SECOND)).await.expect("ended");
            }
            let state = stores.directly().user_state(&user_id(0)).await.expect("a state");
            assert_eq!(state.ended_before, Some(NOW / SECOND));
        }
    });
}
