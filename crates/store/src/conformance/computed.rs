//! The conformance cases for persons with computed user ids.

use std::collections::HashSet;

use super::*;

const USER: &str = "6c207736-427e-88dc-acfd-5b0f649038f3";

fn login(openid: &str, order: &ExchangeTimestamp, key: &str) -> LoginRecord {
    LoginRecord {
        if_unbound: UnboundPolicy::Computed {
            user: user(USER),
            listed: true,
        },
        ..record(openid, order, key, "nobody")
    }
}

async fn logged_in(store: &Store, login: &LoginRecord) -> (Bound, bool) {
    match store.logins.record(login).await.expect("recorded") {
        Recorded::Counted {
            state: BindingState::Bound(bound),
            may_be_revoked,
            kept_for: Some(_),
            ..
        } => (bound, may_be_revoked),
        other => panic!("{other:?}"),
    }
}

/// Waits until the list has these persons, because logins do not wait for that write.
async fn listed(store: &Store, people: &[Person]) {
    while store
        .bindings
        .people_of(&user(USER))
        .await
        .expect("an answer")
        .unwrap_or_default()
        != people
    {
        tokio::task::yield_now().await;
    }
}

fn issued(second: i64) -> Issued {
    let id = "a-token".parse().expect("an id");
    Issued {
        user: user(USER),
        app: app(),
        id,
        issued_at: second,
        expires_at: second + 600,
    }
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
async fn a_computed_user_is_found_by_the_person_and_the_person_by_the_user(store: Rc<Store>) {
    let ([first, second, _], lin) = (orders(&store, [0, 1, 2]).await, person("o1"));
    let (bound, _) = logged_in(&store, &login("o1", &first, "k1")).await;
    assert_eq!(
        (&bound.user, bound.generation),
        (&user(USER), Generation::Computed)
    );
    assert_eq!(bound.new_for, Some(first.mark));
    listed(&store, std::slice::from_ref(&lin)).await;
    assert_eq!(
        logged_in(&store, &login("o1", &second, "k2"))
            .await
            .0
            .new_for,
        None
    );
    let found = store
        .bindings
        .find(&lin)
        .await
        .expect("an answer")
        .expect("a binding");
    assert_eq!(
        (found.user, found.unionid, found.bound_at),
        (user(USER), None, second.began_at())
    );
    assert!(
        matches!(store.bindings.state(&lin).await, Ok(BindingState::Bound(bound)) if bound.generation == Generation::Computed)
    );
    let own = (lin.clone(), Generation::Computed);
    let token = issued(first.began_at().timestamp());
    assert_eq!(
        store.revocations.token_state(&token).await,
        Ok(TokenState::People(vec![own]))
    );

    // A logout deletes the keys, but keeps the owner and the time of the session.
    let opened = async || {
        store
            .sessions
            .open(&lin, &user(USER), &attempt_id(9))
            .await
            .expect("an answer")
    };
    assert!(
        matches!(opened().await, Opening::Keys(keys, _) if keys == [sealed("k2"), sealed("k1")])
    );
    store
        .sessions
        .delete_keys(&lin, None)
        .await
        .expect("forgotten");
    assert!(matches!(opened().await, Opening::Keys(keys, _) if keys.is_empty()));
    assert_eq!(
        store
            .sessions
            .open(&lin, &user("user-2"), &attempt_id(9))
            .await,
        Ok(Opening::NotBound)
    );
    assert_eq!(store.last_login(&lin).await, Ok(Some(second.began_at())));
    let key = (second, sealed("k3"));
    store
        .sessions
        .keep(&lin, Generation::Computed, &key, None)
        .await
        .expect("not kept, because a logout has come");
    assert_eq!(store.sessions.keys(&lin).await, Ok(vec![]));

    let free = BindingState::Free {
        generation: None,
        dissolved: false,
    };
    assert_eq!(store.unbindings.leave(&lin, &bound).await, Ok(free));
    assert_eq!(store.bindings.find(&lin).await, Ok(None));
    assert_eq!(
        store
            .bindings
            .people_of(&user(USER))
            .await
            .map(Option::unwrap_or_default),
        Ok(vec![])
    );
    assert!(matches!(
        store.revocations.token_state(&token).await,
        Ok(TokenState::Revoked { .. })
    ));
}

/// Otherwise operations on the user would not find a person who logs in every day for longer than a
/// session lives.
async fn whoever_is_seen_on_another_day_stays_on_the_users_list_for_as_long_as_the_session(
    store: Rc<Store>,
) {
    let (list, [first, second, _]) = (
        format!("wxmint:user:{{{USER}}}"),
        orders(&store, [0, 1, 2]).await,
    );
    logged_in(&store, &login("o1", &first, "k1")).await;
    let left = async || {
        store
            .link
            .run::<i64>("left", Call::of("PTTL", &list))
            .await
            .expect("an answer")
    };
    let whole = left().await;
    assert!(whole > DAY.as_millis() as i64, "{whole} ms");
    store
        .link
        .run::<u8>("expire", Call::of("EXPIRE", &list).arg(60))
        .await
        .expect("an answer");
    let next_day = ExchangeTimestamp::new(first.micros + 86_400_000_000, &attempt_id(3));
    logged_in(&store, &login("o1", &second, "k2")).await;
    assert!(left().await <= 60_000, "noted once a day");
    logged_in(&store, &login("o1", &next_day, "k3")).await;
    let noted = async {
        while left().await < whole - 60_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noted)
        .await
        .expect("noted, although nobody waits for it");
}

async fn who_has_a_session_from_before_lists_were_kept_is_not_new(store: Rc<Store>) {
    let [first, second, third] = orders(&store, [0, 1, 2]).await;
    let new_for = async |openid: &str, order: &ExchangeTimestamp, listed| {
        let of = if openid == "o4" { "o2" } else { openid };
        let if_unbound = UnboundPolicy::Computed {
            user: user(of),
            listed,
        };
        logged_in(
            &store,
            &LoginRecord {
                if_unbound,
                ..login(openid, order, "k1")
            },
        )
        .await
        .0
        .new_for
    };
    assert_eq!(new_for("o1", &first, false).await, Some(first.mark));
    assert_eq!(new_for("o1", &second, true).await, None);
    assert_eq!(new_for("o3", &third, false).await, Some(third.mark));
    for listed in [false, true] {
        assert_eq!(
            new_for("o3", &first, listed).await,
            None,
            "the clock has stepped back"
        );
    }
    assert_eq!(new_for("o2", &first, false).await, Some(first.mark));
    assert_eq!(
        new_for("o2", &first, true).await,
        Some(first.mark),
        "a repetition, because the answer was lost"
    );
    while store
        .bindings
        .people_of(&user("o2"))
        .await
        .expect("an answer")
        .is_none_or(|people| people.is_empty())
    {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        new_for("o4", &first, true).await,
        None,
        "the user is known by another person"
    );
    store
        .unbindings
        .leave(&person("o1"), &Bound::computed(user("o1")))
        .await
        .expect("left");
    assert_eq!(
        new_for("o1", &third, true).await,
        Some(third.mark),
        "who has left"
    );
}

async fn a_binding_wins_over_a_computed_user_until_it_is_dissolved(store: Rc<Store>) {
    let [first, second, third] = orders(&store, [0, 1, 2]).await;
    let (_, state) = bind(&store, "o1", "user-1", FIRST).await;
    let BindingState::Bound(made) = state else {
        panic!("bound")
    };
    assert_eq!(
        logged_in(&store, &login("o1", &first, "k1")).await.0.user,
        user("user-1")
    );
    assert_eq!(
        logged_in(&store, &login("o1", &second, "k2")).await.0.user,
        user("user-1")
    );
    let left = store
        .unbindings
        .leave(&person("o1"), &made)
        .await
        .expect("left");
    let BindingState::Leaving { since, .. } = left else {
        panic!("{left:?}")
    };
    store
        .unbindings
        .unlist_and_revoke(&user("user-1"), &person("o1"), FIRST, since)
        .await
        .expect("unlisted");
    store
        .bindings
        .set_free(&person("o1"), FIRST, &user("user-1"))
        .await
        .expect("free");
    assert_eq!(
        logged_in(&store, &login("o1", &third, "k3")).await.0.user,
        user(USER)
    );
    assert_eq!(
        store
            .bindings
            .find(&person("o1"))
            .await
            .map(|found| found.map(|found| found.user)),
        Ok(Some(user(USER)))
    );
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
async fn who_has_a_computed_user_is_bound_to_this_one_or_by_a_unionid(store: Rc<Store>) {
    let [first, second, third] = orders(&store, [0, 1, 2]).await;
    let intent = |name: &str| Intent {
        user: user(name),
        made: false,
        by_unionid: false,
    };
    store
        .revocations
        .set_blocked(&user("user-1"), true)
        .await
        .expect("blocked");
    logged_in(&store, &login("o1", &first, "k1")).await;
    assert_eq!(
        store
            .bindings
            .intend(&person("o1"), None, &intent("user-1"))
            .await,
        Ok(FREE)
    );
    let intended = store
        .bindings
        .intend(
            &person("o1"),
            None,
            &Intent {
                by_unionid: true,
                ..intent("user-1")
            },
        )
        .await;
    assert!(
        matches!(
            intended,
            Ok(BindingState::Intended {
                generation: FIRST,
                ..
            })
        ),
        "{intended:?}"
    );
    assert_eq!(
        store
            .bindings
            .admit(&person("o1"), FIRST, &intent("user-1"), 1)
            .await,
        Ok(Decision::Blocked)
    );
    store
        .bindings
        .drop_intent(&person("o1"), FIRST, &user("user-1"))
        .await
        .expect("dropped");
    assert_eq!(
        store.bindings.find(&person("o1")).await,
        Ok(None),
        "no session is left"
    );

    logged_in(&store, &login("o1", &second, "k2")).await;
    assert_eq!(
        store.bindings.stored_state(&person("o1")).await,
        Ok(BindingState::Free {
            generation: Some(FIRST),
            dissolved: false
        })
    );
    store
        .bindings
        .intend(&person("o1"), Some(FIRST), &intent(USER))
        .await
        .expect("intended");
    let decision = store
        .bindings
        .admit(&person("o1"), SECOND, &intent(USER), 1)
        .await;
    assert!(
        matches!(decision, Ok(Decision::Admitted { .. })),
        "{decision:?}"
    );
    store
        .bindings
        .settle(&person("o1"), SECOND, &user(USER), None, None)
        .await
        .expect("bound");
    store
        .bindings
        .remove_from_list(&user(USER), &person("o1"))
        .await
        .expect("nothing to strike");
    let (bound, _) = logged_in(&store, &login("o1", &third, "k3")).await;
    assert_eq!((bound.generation, bound.user), (SECOND, user(USER)));
    assert_eq!(
        store.bindings.people_of(&user(USER)).await,
        Ok(Some(vec![person("o1")]))
    );
}

async fn a_login_that_computes_nobody_takes_nobody_away(store: Rc<Store>) {
    let [first, second, _] = orders(&store, [0, 1, 2]).await;
    logged_in(&store, &login("o1", &first, "k1")).await;
    let unnamed = LoginRecord {
        if_unbound: UnboundPolicy::Counted,
        ..record("o1", &second, "k2", "nobody")
    };
    assert_eq!(recorded(&store, &unnamed).await, FREE);
    assert_eq!(
        store
            .bindings
            .find(&person("o1"))
            .await
            .map(|found| found.map(|found| found.user)),
        Ok(Some(user(USER)))
    );
}

async fn revocations_and_blocks_reach_a_computed_user(store: Rc<Store>) {
    let [first, second, third] = orders(&store, [0, 1, 2]).await;
    logged_in(&store, &login("o1", &first, "k1")).await;
    store
        .revocations
        .revoke_user(&user(USER), None)
        .await
        .expect("ended");
    let (_, may_be_revoked) = logged_in(&store, &login("o1", &second, "k2")).await;
    assert!(may_be_revoked);
    let at = second.began_at().timestamp();
    let dated = store
        .revocations
        .date_token(&person("o1"), &issued(at), at + 50)
        .await
        .expect("dated");
    assert!(dated.is_some_and(|date| date > at), "{dated:?}");
    store
        .revocations
        .set_blocked(&user(USER), true)
        .await
        .expect("blocked");
    assert!(
        logged_in(&store, &login("o1", &third, "k3"))
            .await
            .0
            .blocked
    );
}

async fn who_logs_out_or_leaves_gets_no_more_logins(store: Rc<Store>) {
    let [first, second, third] = orders(&store, [0, 1, 2]).await;
    let rate = Rate {
        burst: 2,
        period: Duration::from_mins(5),
    };
    let twice = |order| LoginRecord {
        rate,
        ..login("o1", order, "k1")
    };
    logged_in(&store, &twice(&first)).await;
    store
        .sessions
        .delete_keys(&person("o1"), None)
        .await
        .expect("forgotten");
    logged_in(&store, &twice(&second)).await;
    store
        .unbindings
        .leave(&person("o1"), &Bound::computed(user(USER)))
        .await
        .expect("left");
    assert!(matches!(
        store.logins.record(&twice(&third)).await,
        Ok(Recorded::Limited(_))
    ));
}

async fn the_first_id_key_stays(store: Rc<Store>) {
    assert_eq!(store.bindings.id_key(None).await, Ok(None));
    let first = Ok(Some("openid 1".to_owned()));
    for own in [Some("openid 1"), None, Some("openid 2")] {
        assert_eq!(store.bindings.id_key(own).await, first);
    }
}

async fn who_draws_user_ids_yields_to_who_computes_them(store: Rc<Store>) {
    let held = |word: &str| Ok(Some(word.to_owned()));
    assert_eq!(store.bindings.id_key(Some(DRAWN)).await, held(DRAWN));
    assert_eq!(store.bindings.id_key(Some(DRAWN)).await, held(DRAWN));
    assert_eq!(store.bindings.id_key(None).await, held(DRAWN));
    for own in [Some("openid 1"), Some(DRAWN), Some("openid 2"), None] {
        assert_eq!(store.bindings.id_key(own).await, held("openid 1"));
    }
}

async fn a_walk_finds_who_is_bound_and_whose_user_is_computed(store: Rc<Store>) {
    let [first, second, _] = orders(&store, [0, 1, 2]).await;
    logged_in(&store, &login("computed", &first, "k1")).await;
    bind(&store, "bound", "user-1", FIRST).await;
    let elsewhere = Person {
        app: "wxother".parse().expect("an app"),
        ..person("computed")
    };
    logged_in(
        &store,
        &LoginRecord {
            person: elsewhere.clone(),
            ..login("computed", &second, "k1")
        },
    )
    .await;
    let of_app = HashSet::from([person("bound"), person("computed")]);
    let people = async |app: Option<&AppId>| -> HashSet<Person> {
        walked(walk::Place::default(), async |place| {
            store.bindings.walk_people(app, place).await
        })
        .await
        .0
        .into_iter()
        .collect()
    };
    assert_eq!(people(Some(&app())).await, of_app);
    assert_eq!(
        people(Some(&elsewhere.app)).await,
        HashSet::from([elsewhere.clone()])
    );

    let people_of = async || {
        store
            .erasures
            .named_elsewhere(&user(USER))
            .await
            .expect("an answer")
            .0
    };
    assert_eq!(people_of().await, HashSet::new(), "no ids are computed");
    store
        .bindings
        .id_key(Some("openid 1"))
        .await
        .expect("noted");
    assert_eq!(
        people_of().await,
        HashSet::from([person("computed"), elsewhere.clone()])
    );
    assert_eq!(
        store.erasures.erase(&elsewhere, &[], &[]).await,
        Ok(None),
        "whose user is computed"
    );
    let everybody = of_app.into_iter().chain([elsewhere]).collect();
    assert_eq!(people(None).await, everybody);
    // On a Cluster, only one primary is read.
    let counted = store.bindings.some_people().await.expect("counted");
    assert!(store.link.is_cluster() || counted == (2, 1), "{counted:?}");
}

conformance! {
    a_computed_user_is_found_by_the_person_and_the_person_by_the_user
    whoever_is_seen_on_another_day_stays_on_the_users_list_for_as_long_as_the_session
    who_has_a_session_from_before_lists_were_kept_is_not_new
    a_binding_wins_over_a_computed_user_until_it_is_dissolved
    a_login_that_computes_nobody_takes_nobody_away
    revocations_and_blocks_reach_a_computed_user
    who_has_a_computed_user_is_bound_to_this_one_or_by_a_unionid
    who_logs_out_or_leaves_gets_no_more_logins
    the_first_id_key_stays
    who_draws_user_ids_yields_to_who_computes_them
    a_walk_finds_who_is_bound_and_whose_user_is_computed
}

mod redis_only {
    use super::*;

    /// As long as something is left to do, a repetition finds the person. Otherwise it would be
    /// answered as done, and the tokens would stay valid.
    #[tokio::test(flavor = "local")]
    async fn an_unbinding_that_failed_anywhere_is_done_by_a_repetition() {
        let (server, lin) = (RedisServer::start().await, person("o1"));
        let revocations = format!("wxmint:user:{{{USER}}}:ends");
        let may = |right| vec!["ACL", "SETUSER", "default", right];
        let stream = "wxmint:revoked";
        for (what, breaks, mends) in [
            ("the session keys", may("-set"), may("+set")),
            (
                "the revocation",
                vec!["SET", &revocations, "no ends"],
                vec!["DEL", &revocations],
            ),
            (
                "its entry in the stream",
                vec!["SET", stream, "no stream"],
                vec!["DEL", stream],
            ),
            ("the list", may("-hdel"), may("+hdel")),
            ("the session", may("-del"), may("+del")),
        ] {
            server.cli(&["FLUSHALL"]);
            let store = server.store();
            let [order, ..] = orders(&store, [0, 1, 2]).await;
            let (bound, _) = logged_in(&store, &login("o1", &order, "k1")).await;
            listed(&store, std::slice::from_ref(&lin)).await;
            server.cli(&breaks);
            store.unbindings.leave(&lin, &bound).await.expect_err(what);
            server.cli(&mends);
            let found = store
                .bindings
                .find(&lin)
                .await
                .expect("an answer")
                .expect(what);
            assert_eq!(
                (&found.user, found.generation),
                (&user(USER), Generation::Computed)
            );
            assert_eq!(
                store.unbindings.leave(&lin, &found).await,
                Ok(FREE),
                "{what}"
            );
            let token = issued(order.began_at().timestamp());
            let state = store.revocations.token_state(&token).await;
            assert!(matches!(state, Ok(TokenState::Revoked { .. })), "{what}");
            let covers = |revocation: &Revocation| matches!(revocation, Revocation::UserInApp { before, .. } if *before >= token.issued_at);
            let told = read_after(&store, "").await.0;
            assert!(told.iter().any(covers), "{what}: {told:?}");
            assert_eq!(store.sessions.keys(&lin).await, Ok(vec![]), "{what}");
            let people = store.bindings.people_of(&user(USER)).await;
            assert_eq!(people.map(Option::unwrap_or_default), Ok(vec![]), "{what}");
        }
    }
}
