//! The conformance cases for access tokens.

use super::*;

const LEASE: Duration = Duration::from_secs(6);
/// How long until a token is to be renewed, and until it expires.
type Life = (Duration, Duration);
const AN_HOUR: Life = (Duration::from_secs(3500), Duration::from_hours(1));
/// The life of a token that is to be renewed at once.
const ENDING: Life = (Duration::ZERO, Duration::from_mins(1));
const A_MOMENT: Duration = Duration::from_millis(20);

fn token(name: &str) -> KeptToken {
    KeptToken {
        sealed: sealed(name),
        fingerprint: short_digest(name).to_string(),
        expires_in: Duration::ZERO,
    }
}

/// Removes the rest of a token's life, which has a case of its own.
fn timeless(lent: Lent) -> Lent {
    match lent {
        Lent::Token(kept) => Lent::Token(KeptToken {
            expires_in: Duration::ZERO,
            ..kept
        }),
        Lent::Renew(kept) => Lent::Renew(KeptToken {
            expires_in: Duration::ZERO,
            ..kept
        }),
        other => other,
    }
}

async fn lend(store: &Store, attempt: u8) -> Lent {
    timeless(
        store
            .access_tokens
            .lend(&app(), &attempt_id(attempt), None, LEASE)
            .await
            .expect("an answer"),
    )
}

/// Lends a token to a caller whose token WeChat has refused.
async fn lend_another(store: &Store, attempt: u8, bad: &KeptToken) -> Lent {
    timeless(
        store
            .access_tokens
            .lend(&app(), &attempt_id(attempt), Some(&bad.fingerprint), LEASE)
            .await
            .expect("an answer"),
    )
}

async fn keep(store: &Store, attempt: u8, token: &KeptToken, (renew_in, expires_in): Life) {
    let token = KeptToken {
        expires_in,
        ..token.clone()
    };
    store
        .access_tokens
        .keep(&app(), &attempt_id(attempt), &token, renew_in)
        .await
        .expect("an answer");
}

async fn give_up(store: &Store, attempt: u8) {
    store
        .access_tokens
        .give_up(&app(), &attempt_id(attempt))
        .await
        .expect("an answer");
}

/// Stores a token.
async fn shelve(store: &Store, token: &KeptToken, life: Life) {
    assert_eq!(lend(store, 0).await, Lent::Fetch);
    keep(store, 0, token, life).await;
}

/// Asks until the answer differs from `first`.
async fn after(first: Lent, ask: impl AsyncFn() -> Lent) -> Lent {
    let changed = async {
        loop {
            let lent = ask().await;
            if lent != first {
                return lent;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), changed)
        .await
        .expect("a change within 10 s")
}

async fn one_fetches_and_the_others_wait_and_share(store: Rc<Store>) {
    assert_eq!(lend(&store, 1).await, Lent::Fetch);
    assert_eq!(lend(&store, 2).await, Lent::Wait);
    assert_eq!(
        lend(&store, 1).await,
        Lent::Fetch,
        "a repetition is granted again"
    );
    keep(&store, 2, &token("a rival's"), AN_HOUR).await;
    assert_eq!(
        lend(&store, 2).await,
        Lent::Wait,
        "only the lease's holder keeps a token"
    );
    keep(&store, 1, &token("t1"), AN_HOUR).await;
    for attempt in [1, 2, 3] {
        assert_eq!(lend(&store, attempt).await, Lent::Token(token("t1")));
    }
    keep(&store, 1, &token("late"), AN_HOUR).await;
    assert_eq!(
        lend(&store, 3).await,
        Lent::Token(token("t1")),
        "the lease has ended"
    );
}

async fn apps_have_their_own(store: Rc<Store>) {
    shelve(&store, &token("t1"), AN_HOUR).await;
    let other = "wxother".parse().expect("an app");
    assert_eq!(
        store
            .access_tokens
            .lend(&other, &attempt_id(1), None, LEASE)
            .await,
        Ok(Lent::Fetch)
    );
}

async fn a_token_that_ends_soon_is_renewed_by_one_while_the_others_use_it(store: Rc<Store>) {
    shelve(&store, &token("t1"), ENDING).await;
    assert_eq!(lend(&store, 1).await, Lent::Renew(token("t1")));
    assert_eq!(lend(&store, 2).await, Lent::Token(token("t1")));
    keep(&store, 1, &token("t2"), AN_HOUR).await;
    assert_eq!(lend(&store, 2).await, Lent::Token(token("t2")));
}

async fn a_renewal_that_failed_leaves_the_token_and_is_not_tried_again_at_once(store: Rc<Store>) {
    shelve(&store, &token("t1"), ENDING).await;
    assert_eq!(lend(&store, 1).await, Lent::Renew(token("t1")));
    give_up(&store, 2).await;
    assert_eq!(
        lend(&store, 1).await,
        Lent::Renew(token("t1")),
        "only the lease's holder gives it up"
    );
    give_up(&store, 1).await;
    give_up(&store, 1).await;
    assert_eq!(lend(&store, 2).await, Lent::Token(token("t1")));
    assert_eq!(
        lend_another(&store, 2, &token("t1")).await,
        Lent::Fetch,
        "but a bad one is replaced at once"
    );
}

async fn a_bad_token_is_replaced_once_and_only_if_it_is_the_one_used(store: Rc<Store>) {
    shelve(&store, &token("t1"), AN_HOUR).await;
    assert_eq!(lend_another(&store, 1, &token("t1")).await, Lent::Fetch);
    assert_eq!(lend_another(&store, 2, &token("t1")).await, Lent::Wait);
    assert_eq!(
        lend(&store, 3).await,
        Lent::Token(token("t1")),
        "who has not been refused it may try"
    );
    keep(&store, 1, &token("t2"), AN_HOUR).await;
    assert_eq!(
        lend_another(&store, 2, &token("t1")).await,
        Lent::Token(token("t2"))
    );
    assert_eq!(lend(&store, 3).await, Lent::Token(token("t2")));
}

async fn after_a_fetch_that_failed_nobody_tries_for_a_second(store: Rc<Store>) {
    assert_eq!(lend(&store, 1).await, Lent::Fetch);
    give_up(&store, 2).await;
    assert_eq!(lend(&store, 2).await, Lent::Wait);
    give_up(&store, 1).await;
    give_up(&store, 1).await;
    assert_eq!(lend(&store, 2).await, Lent::Failed);
    assert_eq!(
        lend(&store, 1).await,
        Lent::Failed,
        "nor the one who failed"
    );
    assert_eq!(
        after(Lent::Failed, async || lend(&store, 2).await).await,
        Lent::Fetch
    );
}

async fn a_bad_token_whose_successor_could_not_be_fetched_stays_bad(store: Rc<Store>) {
    shelve(&store, &token("t1"), AN_HOUR).await;
    assert_eq!(lend_another(&store, 1, &token("t1")).await, Lent::Fetch);
    give_up(&store, 1).await;
    assert_eq!(lend_another(&store, 2, &token("t1")).await, Lent::Failed);
    assert_eq!(lend(&store, 3).await, Lent::Token(token("t1")));
}

async fn a_lease_ends_by_itself(store: Rc<Store>) {
    let lent = store
        .access_tokens
        .lend(&app(), &attempt_id(1), None, A_MOMENT)
        .await;
    assert_eq!(lent, Ok(Lent::Fetch));
    assert_eq!(
        after(Lent::Wait, async || lend(&store, 2).await).await,
        Lent::Fetch
    );
    keep(&store, 1, &token("late"), AN_HOUR).await;
    assert_eq!(lend(&store, 3).await, Lent::Wait, "it is another's now");
}

/// The clock of the store has stepped back since the lease was given.
async fn a_lease_that_ends_later_than_one_can_is_none(store: Rc<Store>) {
    let ahead = store
        .access_tokens
        .lend(&app(), &attempt_id(1), None, LEASE * 50)
        .await;
    assert_eq!(ahead, Ok(Lent::Fetch));
    assert_eq!(lend(&store, 2).await, Lent::Fetch);
    assert_eq!(lend(&store, 3).await, Lent::Wait);
}

async fn a_token_is_lent_with_the_rest_of_its_life(store: Rc<Store>) {
    let within = |life: Duration, most: u64| (most - 10..=most).contains(&life.as_secs());
    shelve(&store, &token("t1"), AN_HOUR).await;
    match store
        .access_tokens
        .lend(&app(), &attempt_id(1), None, LEASE)
        .await
        .expect("an answer")
    {
        Lent::Token(kept) => assert!(
            kept.sealed == sealed("t1") && within(kept.expires_in, 3600),
            "{kept:?}"
        ),
        other => panic!("a token: {other:?}"),
    }
    assert_eq!(lend_another(&store, 1, &token("t1")).await, Lent::Fetch);
    keep(&store, 1, &token("t2"), ENDING).await;
    match store
        .access_tokens
        .lend(&app(), &attempt_id(2), None, LEASE)
        .await
        .expect("an answer")
    {
        Lent::Renew(kept) => assert!(
            kept.sealed == sealed("t2") && within(kept.expires_in, 60),
            "{kept:?}"
        ),
        other => panic!("a token to renew: {other:?}"),
    }
}

async fn an_expired_token_is_not_lent(store: Rc<Store>) {
    shelve(&store, &token("t1"), (A_MOMENT, A_MOMENT)).await;
    assert_eq!(
        after(Lent::Token(token("t1")), async || lend(&store, 1).await).await,
        Lent::Fetch
    );
}

crate::conformance! {
    one_fetches_and_the_others_wait_and_share
    apps_have_their_own
    a_token_that_ends_soon_is_renewed_by_one_while_the_others_use_it
    a_renewal_that_failed_leaves_the_token_and_is_not_tried_again_at_once
    a_bad_token_is_replaced_once_and_only_if_it_is_the_one_used
    after_a_fetch_that_failed_nobody_tries_for_a_second
    a_bad_token_whose_successor_could_not_be_fetched_stays_bad
    a_lease_ends_by_itself
    a_lease_that_ends_later_than_one_can_is_none
    a_token_is_lent_with_the_rest_of_its_life
    an_expired_token_is_not_lent
}

mod redis_only {
    use super::*;

    const KEY: &str = "wxmint:{wx0123456789abcdef}:access-token";

    fn lives_for(server: &RedisServer) -> u64 {
        server
            .cli(&["PTTL", KEY])
            .parse()
            .expect("milliseconds, and not for ever")
    }

    #[tokio::test(flavor = "local")]
    async fn a_slot_lives_as_long_as_what_it_holds() {
        let server = RedisServer::start().await;
        let store = server.store();
        assert_eq!(lend(&store, 1).await, Lent::Fetch);
        assert!((4_000..=6_000).contains(&lives_for(&server)), "a lease's");
        give_up(&store, 1).await;
        assert!(lives_for(&server) <= 1_000, "a pause's");
        assert_eq!(
            after(Lent::Failed, async || lend(&store, 1).await).await,
            Lent::Fetch
        );
        keep(&store, 1, &token("t1"), ENDING).await;
        assert!((50_000..=60_000).contains(&lives_for(&server)), "a token's");
        assert_eq!(lend(&store, 1).await, Lent::Renew(token("t1")));
        assert!(
            (50_000..=60_000).contains(&lives_for(&server)),
            "the longer of a token's and its renewal's"
        );
        give_up(&store, 1).await;
        assert!(
            (50_000..=60_000).contains(&lives_for(&server)),
            "a token's that was not renewed"
        );
        assert_eq!(lend_another(&store, 2, &token("t1")).await, Lent::Fetch);
        give_up(&store, 2).await;
        assert!(
            (50_000..=60_000).contains(&lives_for(&server)),
            "a token's that somebody has called bad and that was not replaced"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn a_slot_without_its_token_counts_as_empty() {
        let server = RedisServer::start().await;
        let store = server.store();
        shelve(&store, &token("t1"), AN_HOUR).await;
        server.cli(&["HDEL", KEY, "sealed"]);
        assert_eq!(lend(&store, 1).await, Lent::Fetch);
    }
}
