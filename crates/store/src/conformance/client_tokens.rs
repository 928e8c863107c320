//! The conformance cases for notes of clients' tokens.

use wxmint_ids::ClientId;

use super::*;

fn page() -> ClientId {
    "shop-web".parse().expect("a client")
}

fn page_token(id: &str, issued_at: i64) -> Issued {
    Issued {
        app: page().0.clone(),
        ..token(id, issued_at)
    }
}

async fn tokens_of_pages_are_revoked_with_those_of_the_app_through_which_they_were_approved(
    store: Rc<Store>,
) {
    let owner = with_session(&store, "o1").await;
    let now = second();
    let token = page_token("a", now);
    store
        .client_tokens
        .note(&token, &app())
        .await
        .expect("noted");
    let until = store
        .client_tokens
        .users_of(&page(), 0, 10)
        .await
        .expect("an answer");
    assert!(
        matches!(&until[..], [(of, until)] if *of == user("user-1") && *until >= token.expires_at),
        "{until:?}"
    );
    assert_eq!(
        store
            .client_tokens
            .users_of(&page(), token.expires_at + 600, 10)
            .await,
        Ok(vec![])
    );
    let other_app = "wxother".parse().expect("an app");
    store
        .revocations
        .revoke_in_app(&user("user-1"), &other_app)
        .await
        .expect("ended");
    assert_eq!(
        store.revocations.token_state(&token).await,
        Ok(TokenState::People(vec![])),
        "another app's"
    );
    store
        .revocations
        .revoke_in_app(&user("user-1"), &app())
        .await
        .expect("ended");
    assert!(matches!(
        store.revocations.token_state(&token).await,
        Ok(TokenState::Revoked { .. })
    ));
    let (revocations, _) = read_after(&store, "").await;
    let of_page = |revocation: &Revocation| matches!(revocation, Revocation::UserInApp { app, before, .. } if app == &page().0 && *before >= now);
    assert!(
        revocations.iter().any(of_page),
        "verifiers are told: {revocations:?}"
    );

    // A late step of an unbinding revokes no token of the next binding.
    let [old, new] = [page_token("b", now + 5), page_token("c", now + 6)];
    store
        .unbindings
        .unlist_and_revoke(&user("user-1"), &owner, FIRST, now + 5)
        .await
        .expect("unlisted");
    assert!(
        matches!(
            store.revocations.token_state(&old).await,
            Ok(TokenState::Revoked { .. })
        ),
        "an unbinding's too"
    );
    assert_eq!(
        store.revocations.token_state(&new).await,
        Ok(TokenState::People(vec![]))
    );
}

/// A page may have got its token while the revocation was made.
async fn what_finishes_a_revocation_in_an_app_revokes_the_tokens_of_its_pages_and_no_others(
    store: Rc<Store>,
) {
    let (user, now) = (user("user-1"), second());
    assert_eq!(
        store
            .revocations
            .finish_revocation_in_app(&user, &app())
            .await,
        Ok(false),
        "none was begun"
    );
    let other = Issued {
        app: "other-web".parse().expect("a client"),
        ..token("b", now)
    };
    store
        .client_tokens
        .note(&page_token("a", now), &app())
        .await
        .expect("noted");
    store
        .client_tokens
        .note(&other, &"wxother".parse().expect("an app"))
        .await
        .expect("noted");
    // Redis failed before the revocation was in the stream.
    let untold = Call::of("HSET", "wxmint:user:{user-1}:ends")
        .arg(format!("untold:app:{}", app()))
        .arg(now);
    store
        .link
        .run::<u64>("untold", untold)
        .await
        .expect("noted");
    assert_eq!(
        store
            .revocations
            .finish_revocation_in_app(&user, &app())
            .await,
        Ok(true)
    );
    for (token, is_ended) in [
        (page_token("a", now), true),
        (page_token("c", now + 1), false),
        (other, false),
    ] {
        let state = store
            .revocations
            .token_state(&token)
            .await
            .expect("an answer");
        assert_eq!(
            matches!(state, TokenState::Revoked { .. }),
            is_ended,
            "{}: {state:?}",
            token.id.as_str()
        );
    }
    let (revocations, _) = read_after(&store, "").await;
    for client in [app(), page().0] {
        let is_it = |revocation: &Revocation| matches!(revocation, Revocation::UserInApp { app, before, .. } if *app == client && *before == now);
        assert!(
            revocations.iter().any(is_it),
            "verifiers are told of {client}: {revocations:?}"
        );
    }
}

async fn whoever_forgets_a_users_clients_leaves_later_notes_and_other_apps_alone(store: Rc<Store>) {
    let (now, other_app): (_, AppId) = (second(), "wxother".parse().expect("an app"));
    let user = user("user-1");
    store
        .client_tokens
        .note(&page_token("a", now), &app())
        .await
        .expect("noted");
    let noted = store
        .client_tokens
        .clients_of(&user)
        .await
        .expect("an answer");
    assert_eq!(
        noted
            .iter()
            .map(|note| (&note.client, &note.app))
            .collect::<Vec<_>>(),
        [(&page().0, &app())]
    );

    store
        .client_tokens
        .note(&page_token("b", now + 5), &app())
        .await
        .expect("noted");
    store
        .client_tokens
        .delete(&user, &noted)
        .await
        .expect("forgotten");
    assert_eq!(
        store
            .client_tokens
            .clients_of(&user)
            .await
            .expect("an answer")
            .len(),
        1,
        "of a later token"
    );

    store
        .client_tokens
        .note(&page_token("c", now + 5), &other_app)
        .await
        .expect("noted");
    let of_app = async |app: &AppId| {
        let mut noted = store
            .client_tokens
            .clients_of(&user)
            .await
            .expect("an answer");
        noted.retain(|note| note.app == *app);
        noted
    };
    store
        .client_tokens
        .delete(&user, &of_app(&app()).await)
        .await
        .expect("forgotten");
    assert_eq!(
        store
            .client_tokens
            .users_of(&page(), 0, 10)
            .await
            .expect("an answer")
            .len(),
        1,
        "through the other app"
    );
    store
        .client_tokens
        .delete(&user, &of_app(&other_app).await)
        .await
        .expect("forgotten");
    assert_eq!(store.client_tokens.clients_of(&user).await, Ok(vec![]));
    assert_eq!(
        store.client_tokens.users_of(&page(), 0, 10).await,
        Ok(vec![])
    );
}

crate::conformance! {
    tokens_of_pages_are_revoked_with_those_of_the_app_through_which_they_were_approved
    what_finishes_a_revocation_in_an_app_revokes_the_tokens_of_its_pages_and_no_others
    whoever_forgets_a_users_clients_leaves_later_notes_and_other_apps_alone
    notes_of_a_users_clients_are_forgotten_by_their_own_date
}

#[tokio::test(flavor = "local")]
async fn redis_forgets_who_has_tokens_of_a_client_once_they_have_expired() {
    let server = RedisServer::start().await;
    let (store, now) = (server.store(), second());
    let key = "wxmint:client:{shop-web}";
    store
        .client_tokens
        .note(&page_token("a", now), &app())
        .await
        .expect("noted");
    server.cli(&[
        "ZADD",
        key,
        &(now - 1).to_string(),
        "expired",
        &(now + 60).to_string(),
        "good",
    ]);
    let behind = server.store_at(|| servers::now() - TimeDelta::hours(8));
    for (store, members) in [(&behind, "3"), (&store, "2")] {
        store
            .client_tokens
            .note(&page_token("a", now), &app())
            .await
            .expect("noted");
        assert_eq!(server.cli(&["ZCARD", key]), members, "by both clocks");
    }
}

/// The user never comes back, so nothing else would find the notes.
async fn notes_of_a_users_clients_are_forgotten_by_their_own_date(store: Rc<Store>) {
    let (user, now) = (user("user-1"), second());
    let [over, good] = [
        page_token("a", now - 3 * 3600),
        Issued {
            app: "tv".parse().expect("a client"),
            ..token("b", now)
        },
    ];
    let over = Issued {
        expires_at: now - 2 * 3600,
        ..over
    };
    for token in [&good, &over] {
        store
            .client_tokens
            .note(token, &app())
            .await
            .expect("noted");
    }
    store
        .revocation_stream
        .purge_kept_records(10)
        .await
        .expect("looked at");
    let clients = |noted: Vec<NotedClient>| {
        noted
            .into_iter()
            .map(|note| note.client)
            .collect::<Vec<_>>()
    };
    let left = clients(
        store
            .client_tokens
            .clients_of(&user)
            .await
            .expect("an answer"),
    );
    assert!(
        left.len() == 1 && left[0] == good.app,
        "the good token's stays: {left:?}"
    );
    assert_eq!(
        store.client_tokens.users_of(&page(), 0, 10).await,
        Ok(vec![])
    );
    store
        .revocations
        .revoke_in_app(&user, &app())
        .await
        .expect("ended");
    assert!(
        matches!(
            store.revocations.token_state(&good).await,
            Ok(TokenState::Revoked { .. })
        ),
        "and is found by a revocation"
    );
}

#[tokio::test(flavor = "local")]
async fn a_revocation_in_an_app_revokes_those_of_its_pages_first() {
    let server = RedisServer::start().await;
    let (store, own) = (server.store(), token("a", second()));
    server.cli(&["SET", "wxmint:user:{user-1}:clients", "no clients"]);
    store
        .revocations
        .revoke_in_app(&user("user-1"), &app())
        .await
        .expect_err("no clients");
    let state = store.revocations.token_state(&own).await;
    assert_eq!(
        state,
        Ok(TokenState::People(vec![])),
        "so that the person's token can ask once more"
    );
    server.cli(&["DEL", "wxmint:user:{user-1}:clients"]);
    store
        .revocations
        .revoke_in_app(&user("user-1"), &app())
        .await
        .expect("ended");
    let state = store.revocations.token_state(&own).await;
    assert!(matches!(state, Ok(TokenState::Revoked { .. })), "{state:?}");
}
