//! Races that the scheduler of `tests/proofs/binding` found, step by step.

use std::time::Duration;

use wxmint_ids::{Platform, UnionId};
use wxmint_keys::token::Issued;
use wxmint_store::{Store, StoreAccess, TokenState};

use super::{super::Operator, *};

fn store() -> Store {
    use crate::clock::now;
    Store::new(
        &StoreAccess::in_memory(now),
        Duration::from_hours(24),
        now,
        (),
    )
}

fn person(openid: &str) -> Person {
    Person {
        platform: Platform::WeChat,
        app: "wx0123456789abcdef".parse().expect("an app"),
        openid: openid.parse().expect("an openid"),
    }
}

fn user(name: &str) -> UserId {
    name.parse().expect("a user id")
}

fn unionid() -> UnionId {
    "u1".parse().expect("a unionid")
}

fn attempt(byte: u8) -> AttemptId {
    AttemptId::new([byte; 16])
}

const FREE: SettledState = SettledState::Free {
    generation: None,
    dissolved: false,
};

fn intent(name: &str, by_unionid: bool) -> Intent {
    Intent {
        user: user(name),
        made: by_unionid,
        by_unionid,
    }
}

async fn bind(store: &Store, person: &Person, name: &str) -> Generation {
    let attempt = attempt(9);
    let binder = Binder {
        store,
        person,
        unionid: None,
        attempt: &attempt,
        per_user: 1,
    };
    let candidate = Named {
        user: user(name),
        made: false,
    };
    binder
        .bind(&candidate, FREE)
        .await
        .expect("bound")
        .generation
}

/// Makes a binding, and removes it.
async fn bind_and_leave(store: &Store, person: &Person, name: &str) {
    let generation = bind(store, person, name).await;
    let attempt = attempt(9);
    let binder = Binder {
        store,
        person,
        unionid: None,
        attempt: &attempt,
        per_user: 1,
    };
    binder
        .unbind(&user(name), generation)
        .await
        .expect("dissolved");
}

#[tokio::test]
async fn who_finds_a_rivals_intent_for_a_full_or_blocked_user_binds_to_their_own() {
    for refusing in ["full", "blocked"] {
        let (store, lin, attempt) = (store(), person("lin"), attempt(1));
        bind(&store, &person("mei"), "full").await;
        store
            .revocations
            .set_blocked(&user("blocked"), true)
            .await
            .expect("blocked");
        let binder = Binder {
            store: &store,
            person: &lin,
            unionid: None,
            attempt: &attempt,
            per_user: 1,
        };
        store
            .bindings
            .intend(&lin, None, &intent(refusing, false))
            .await
            .expect("the rival's");
        let candidate = Named {
            user: user("own"),
            made: false,
        };
        let bound = binder
            .bind(&candidate, FREE)
            .await
            .expect("not refused for the rival's sake");
        assert_eq!(bound.user, candidate.user);
    }
}

#[tokio::test]
async fn who_finds_a_rivals_intent_for_a_deserted_user_keeps_the_unionids() {
    let (store, lin, attempt) = (store(), person("lin"), attempt(1));
    bind(
        &store,
        &Person {
            app: "wxother".parse().expect("an app"),
            ..person("lin-elsewhere")
        },
        "known",
    )
    .await;
    bind_and_leave(&store, &person("mei"), "deserted").await;
    store
        .union_ids
        .claim(&unionid(), Some(&user("known")))
        .await
        .expect("claimed");
    store
        .bindings
        .intend(&lin, None, &intent("deserted", true))
        .await
        .expect("the rival's");
    let unionid = unionid();
    let binder = Binder {
        store: &store,
        person: &lin,
        unionid: Some(&unionid),
        attempt: &attempt,
        per_user: 1,
    };
    let nobody_is_made = async |_: FreePlace<'_>| panic!("the unionid is known");
    let bound = binder
        .bind_unasked(FREE, nobody_is_made)
        .await
        .expect("no error")
        .expect("bound");
    assert_eq!(bound.user, user("known"));
}

#[tokio::test]
async fn a_unionid_whose_user_has_left_everybody_is_linked_to_the_persons_user() {
    let (store, lin, attempt, unionid) = (store(), person("lin"), attempt(1), unionid());
    bind_and_leave(&store, &person("mei"), "deserted").await;
    store
        .union_ids
        .claim(&unionid, Some(&user("deserted")))
        .await
        .expect("claimed");
    bind(&store, &lin, "own").await;
    let binder = Binder {
        store: &store,
        person: &lin,
        unionid: Some(&unionid),
        attempt: &attempt,
        per_user: 1,
    };
    let Ok(BindingState::Bound(bound)) = store.bindings.state(&lin).await else {
        panic!("bound")
    };
    assert_eq!(
        binder.link(&bound, async |_| Ok(false)).await,
        Ok(UnionIdLink::Known)
    );
    assert_eq!(
        store.union_ids.claim(&unionid, None).await,
        Ok(Some(user("own")))
    );
}

#[tokio::test]
async fn with_the_last_person_of_a_user_the_unionids_of_those_who_left_before_are_erased() {
    for blocked in [false, true] {
        let (store, lin, attempt, unionid) = (store(), person("lin"), attempt(1), unionid());
        let left = Person {
            app: "wxother".parse().expect("an app"),
            ..person("lin-elsewhere")
        };
        let generation = bind(&store, &left, "own").await;
        bind(&store, &lin, "own").await;
        store
            .bindings
            .link_unionid(&left, &user("own"), &unionid, None)
            .await
            .expect("linked");
        let binder = Binder {
            store: &store,
            person: &left,
            unionid: None,
            attempt: &attempt,
            per_user: 1,
        };
        binder
            .unbind(&user("own"), generation)
            .await
            .expect("dissolved");
        store
            .revocations
            .set_blocked(&user("own"), blocked)
            .await
            .expect("changed");
        Operator { store: &store }
            .erase_person(&lin)
            .await
            .expect("erased");
        let unionids = if blocked { vec![unionid] } else { Vec::new() };
        assert_eq!(
            store.bindings.left_by(&left).await,
            Ok(vec![(user("own"), unionids)])
        );
    }
}

/// Two users turned out to be one human. Then the user to whom the unionid is linked loses the only
/// person.
#[tokio::test]
async fn the_unionid_of_a_conflict_goes_to_the_user_who_is_left_over() {
    for (act, heir) in [
        ("erased", "own"),
        ("unbound", "other"),
        ("blocked", "other"),
    ] {
        let (store, lin, attempt, unionid) = (store(), person("lin"), attempt(1), unionid());
        let elsewhere = Person {
            app: "wxother".parse().expect("an app"),
            ..person("lin-elsewhere")
        };
        let binder = |person| Binder {
            store: &store,
            person,
            unionid: Some(&unionid),
            attempt: &attempt,
            per_user: 1,
        };
        let link = async |person| {
            let Ok(BindingState::Bound(bound)) = store.bindings.state(person).await else {
                panic!("bound")
            };
            let is_blocked = async |user: &UserId| {
                store
                    .revocations
                    .user_state(user)
                    .await
                    .map(|state| state.blocked)
            };
            binder(person).link(&bound, is_blocked).await
        };
        let holder = async || {
            store
                .union_ids
                .claim(&unionid, None)
                .await
                .expect("read")
                .expect("somebody")
        };
        bind(&store, &lin, "own").await;
        let generation = bind(&store, &elsewhere, "other").await;
        assert_eq!(link(&elsewhere).await, Ok(UnionIdLink::Known));
        assert_eq!(link(&lin).await, Ok(UnionIdLink::Conflict(user("other"))));
        if act == "erased" {
            Operator { store: &store }
                .erase_person(&elsewhere)
                .await
                .expect("erased");
        } else {
            store
                .revocations
                .set_blocked(&user("other"), act == "blocked")
                .await
                .expect("changed");
            binder(&elsewhere)
                .unbind(&user("other"), generation)
                .await
                .expect("dissolved");
        }
        assert_eq!(holder().await, user(heir), "{act}, before another login");
        let is_kept = act == "blocked";
        assert_eq!(
            link(&lin).await,
            Ok(if is_kept {
                UnionIdLink::Blocked(user("other"))
            } else {
                UnionIdLink::Known
            }),
            "{act}"
        );
        assert_eq!(
            holder().await,
            user(if is_kept { "other" } else { "own" }),
            "{act}"
        );
        let Ok(BindingState::Bound(bound)) = store.bindings.state(&lin).await else {
            panic!("bound")
        };
        assert_eq!(bound.conflict.is_some(), is_kept, "{act}");
    }
}

/// The person who is left has no unionid, and the block alone does not revoke the tokens of the
/// human's other user.
#[tokio::test]
async fn a_ban_reaches_a_humans_other_user_by_the_unionid_of_a_person_who_has_left() {
    let (store, left, attempt, unionid) = (store(), person("left"), attempt(1), unionid());
    let [elsewhere, stays] = ["wxother", "wxthird"].map(|app| Person {
        app: app.parse().expect("an app"),
        ..person("o")
    });
    let generation = bind(&store, &left, "banned").await;
    bind(&store, &stays, "banned").await;
    bind(&store, &elsewhere, "other").await;
    let binder = |person| Binder {
        store: &store,
        person,
        unionid: Some(&unionid),
        attempt: &attempt,
        per_user: 1,
    };
    for (person, link) in [
        (&left, UnionIdLink::Known),
        (&elsewhere, UnionIdLink::Conflict(user("banned"))),
    ] {
        let Ok(BindingState::Bound(bound)) = store.bindings.state(person).await else {
            panic!("bound")
        };
        assert_eq!(
            binder(person).link(&bound, async |_| Ok(false)).await,
            Ok(link)
        );
    }
    binder(&left)
        .unbind(&user("banned"), generation)
        .await
        .expect("dissolved");
    let second = crate::clock::now().timestamp();
    let (app, id) = (elsewhere.app.clone(), "a-token".parse().expect("an id"));
    let token = Issued {
        user: user("other"),
        app,
        id,
        issued_at: second,
        expires_at: second + 600,
    };
    assert!(matches!(
        store.revocations.token_state(&token).await,
        Ok(TokenState::People(_))
    ));
    Operator { store: &store }
        .block(&user("banned"))
        .await
        .expect("blocked");
    assert!(matches!(
        store.revocations.token_state(&token).await,
        Ok(TokenState::Revoked { .. })
    ));
}

/// Each unionid is linked to another user too, and each request finds that user.
#[tokio::test]
async fn a_login_with_nothing_to_decide_is_one_whose_link_is_known_without_a_question() {
    let (store, lin, attempt) = (store(), person("lin"), attempt(1));
    bind(&store, &lin, "own").await;
    let (seen, new, other) = (
        unionid(),
        "u2".parse::<UnionId>().expect("a unionid"),
        user("other"),
    );
    for unionid in [&seen, &new] {
        store
            .union_ids
            .claim(unionid, Some(&other))
            .await
            .expect("claimed");
        store
            .union_ids
            .share(unionid, &[&other])
            .await
            .expect("shared");
    }
    let Ok(BindingState::Bound(fresh)) = store.bindings.state(&lin).await else {
        panic!("bound")
    };
    let mut settled = 0;
    let cases = [
        (None, None),
        (None, Some(&seen)),
        (Some(&seen), None),
        (Some(&seen), Some(&seen)),
        (Some(&seen), Some(&new)),
    ];
    for (before, named) in cases {
        for (conflict, shared) in [
            (None, false),
            (None, true),
            (Some(&other), false),
            (Some(&other), true),
        ] {
            let bound = Bound {
                unionid: before.cloned(),
                conflict: conflict.cloned(),
                shared,
                ..fresh.clone()
            };
            let binder = Binder {
                store: &store,
                person: &lin,
                unionid: named,
                attempt: &attempt,
                per_user: 1,
            };
            if is_settled(&bound, named) {
                settled += 1;
                let asked =
                    async |_: &UserId| panic!("asked of {bound:?}, and WeChat names {named:?}");
                assert_eq!(binder.link(&bound, asked).await, Ok(UnionIdLink::Known));
            }
            assert!(!is_settled(
                &Bound {
                    blocked: true,
                    ..bound
                },
                named
            ));
        }
    }
    assert_eq!(
        settled, 3,
        "no unionid at all, one that is known, and one that WeChat does not name"
    );
}

#[tokio::test]
async fn for_a_unionid_whose_user_has_left_everybody_another_is_made() {
    let (store, lin, attempt) = (store(), person("lin"), attempt(1));
    bind_and_leave(&store, &person("mei"), "deserted").await;
    store
        .union_ids
        .claim(&unionid(), Some(&user("deserted")))
        .await
        .expect("claimed");
    let unionid = unionid();
    let binder = Binder {
        store: &store,
        person: &lin,
        unionid: Some(&unionid),
        attempt: &attempt,
        per_user: 1,
    };
    // Like an account backend that returns the same user for the same request.
    let make = async |place: FreePlace<'_>| {
        Ok(Some(user(place.deserted.map_or("deserted", |_| "another"))))
    };
    let bound = binder
        .bind_unasked(FREE, make)
        .await
        .expect("it comes to an end")
        .expect("bound");
    assert_eq!(
        (bound.user, bound.new_for),
        (user("another"), Some(attempt.mark()))
    );
    assert_eq!(
        store.union_ids.claim(&unionid, None).await,
        Ok(Some(user("another")))
    );
}

/// A failover undid the removal of the person from the first user's list.
#[tokio::test]
async fn a_person_on_a_users_list_who_is_bound_to_another_is_not_shown_as_the_users() {
    let (store, lin) = (store(), person("lin"));
    bind(&store, &lin, "first").await;
    let Ok(BindingState::Bound(bound)) = store.bindings.state(&lin).await else {
        panic!("bound")
    };
    store.unbindings.leave(&lin, &bound).await.expect("leaving");
    let free = store
        .bindings
        .set_free(&lin, bound.generation, &bound.user)
        .await
        .expect("free");
    let attempt = attempt(1);
    let binder = Binder {
        store: &store,
        person: &lin,
        unionid: None,
        attempt: &attempt,
        per_user: 1,
    };
    let candidate = Named {
        user: user("second"),
        made: false,
    };
    binder
        .bind(&candidate, binder.settle(free).await.expect("settled"))
        .await
        .expect("bound");
    let operator = Operator { store: &store };
    for (name, count) in [("first", 0), ("second", 1)] {
        assert_eq!(
            operator.bindings_of(&user(name)).await.expect("read").len(),
            count,
            "{name}"
        );
    }
}
