//! Acts that end a page's token, and others that do not.

use super::*;

/// Each act ends the token that the page has. What ends the user or the binding also ends what an approval has granted
/// and the page has not fetched. A device code that is used twice was stolen: by a thief and by the page, neither of
/// whom keeps the token.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_revokes_the_user_the_binding_or_the_token_revokes_the_page_too() {
    let bed = builder().operator().start().await;
    let sidecar = bed
        .sidecar()
        .with("WXMINT_AUDIENCE", AUDIENCE)
        .ready()
        .await;
    let of_the_page_alone = ["logout", "code used twice"];
    let of_the_user = [
        "logout everywhere",
        "everywhere",
        "unbind",
        "end",
        "block",
        "end_person",
        "dissolve",
    ];
    let mut revoked = Vec::new();
    for act in of_the_page_alone.into_iter().chain(of_the_user) {
        let person = &format!("person-of-{}", act.replace(['_', ' '], "-"));
        let phone = bed.log_in(person).await.expect_login();
        let [request, waiting] = [bed.ask().await, bed.ask().await];
        for scan in [&request, &waiting] {
            bed.approves(&phone, person, scan).await;
        }
        bed.poll_as("cli.1", &request)
            .await
            .expect_oauth(400, "invalid_grant");
        let page = bed.poll(&request).await.expect_login();
        assert_eq!(
            sidecar.verify(&page.member("access_token")).await.status,
            200,
            "{act}"
        );
        match act {
            "logout" => {
                for _ in 0..2 {
                    bed.log_out(&page, false).await;
                }
            }
            "logout everywhere" => bed.log_out(&page, true).await,
            "code used twice" => {
                for _ in 0..2 {
                    bed.poll(&request).await.expect_oauth(400, "invalid_grant");
                }
            }
            _ => bed.revokes_user(act, person, &phone, OPERATOR).await,
        }
        let is_of_the_page = of_the_page_alone.contains(&act);
        let polled = bed.poll(&waiting).await;
        let expected = if is_of_the_page {
            (200, Value::Null)
        } else {
            (400, "access_denied".into())
        };
        assert_eq!(
            (polled.status, polled.json()["error"].take()),
            expected,
            "{act}"
        );
        assert_eq!(bed.accepts(&phone).await, is_of_the_page, "{act}");
        revoked.push(page);
    }
    for page in &revoked {
        refuses(&sidecar, page).await;
    }
}

#[tokio::test]
async fn the_end_of_a_stolen_code_that_no_replica_has_confirmed_is_finished_by_the_next_ask() {
    let bed = builder().start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let request = bed.ask().await;
    bed.approves(&phone, "lin", &request).await;
    let page = bed.poll(&request).await.expect_login();
    let sidecar = bed
        .sidecar()
        .with("WXMINT_AUDIENCE", AUDIENCE)
        .ready()
        .await;
    let replica = RedisServer::replica_of(&bed.redis).await;
    replica.freeze();
    until("the end is begun", PATIENCE, async || {
        bed.poll(&request).await.status == 503
    })
    .await;
    replica.thaw();
    until("it is finished", PATIENCE, async || {
        bed.poll(&request).await.status == 400
    })
    .await;
    refuses(&sidecar, &page).await;
}

#[tokio::test]
async fn a_person_who_may_not_log_in_lets_no_page_in() {
    let bed = builder().users(&["lin"]).start().await;
    let request = bed.ask().await;
    let (code, number) = (request.user_code(), request.number());
    let unbound = bed
        .approve(None, "lin", &code, number.as_deref())
        .await
        .expect_problem(403, "binding_required");
    let mut body = password_of("lin");
    (body["bind_ticket"], body["match"]) =
        (unbound.member("bind_ticket").into(), number.clone().into());
    let path = bed.service().url(&format!("/device/{code}/approve"));
    assert_eq!(
        bed.http
            .send(bed.http.0.post(path).json(&body))
            .await
            .status,
        204,
        "binds, as a login does"
    );
    assert_eq!(
        bed.poll(&request).await.expect_login().claims()["sub"],
        "id-of-lin"
    );
    bed.users().change(&["disable", "lin"]);
    until("the file is read again", PATIENCE, async || {
        let request = bed.ask_as("cli.1").await;
        let answer = bed.approve(None, "lin", &request.user_code(), None).await;
        let refused = answer.status == 403 && answer.json()["code"] == "user_blocked";
        if refused {
            bed.poll(&request)
                .await
                .expect_oauth(400, "authorization_pending");
        } else {
            bed.poll(&request).await.expect_login();
        }
        refused
    })
    .await;
}

/// A client that is taken out while its page polls gets nothing; its tokens end by a command. One that comes back for
/// another mini program does not log its users in with what was approved in the first.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_taken_out_or_moved_gets_no_more_tokens_and_its_old_ones_are_revoked_by_a_command()
 {
    let bed = builder().two_apps().start().await;
    let phone = bed.log_in_at(APPID, "lin", json!({})).await.expect_login();
    let sidecar = bed
        .sidecar()
        .with("WXMINT_AUDIENCE", AUDIENCE)
        .ready()
        .await;
    let (page, kept) = (
        bed.let_in("shop-web", "lin").await,
        bed.let_in("cli.1", "lin").await,
    );
    let other = bed.let_in("shop-web", "lin").await;
    let [waiting, moved, looked_at] = [
        bed.ask().await,
        bed.ask_as("cli.1").await,
        bed.ask_as("cli.1").await,
    ];
    for approved in [&waiting, &moved] {
        bed.approves(&phone, "lin", approved).await;
    }

    let path = bed.configuration.value("WXMINT_CLIENTS_FILE").to_owned();
    fs::write(&path, "{\"clients\":[{\"client_id\":\"a\"}]}").expect("written");
    until("readiness warns", PATIENCE, async || {
        bed.service()
            .readyz()
            .await
            .body
            .contains("file of clients")
    })
    .await;
    assert_eq!(
        bed.ask().await.asked.status,
        200,
        "the last good one is in use"
    );
    let mut fewer = clients();
    fewer[2]["appid"] = OTHER_APPID.into();
    fewer.as_array_mut().expect("clients").remove(0);
    fs::write(&path, json!({"clients": fewer}).to_string()).expect("written");
    until("it is read again", PATIENCE, async || {
        bed.form("/device_authorization", &[("client_id", "shop-web")])
            .await
            .status
            == 401
    })
    .await;
    bed.poll(&waiting).await.expect_oauth(401, "invalid_client");
    bed.poll(&moved).await.expect_oauth(400, "invalid_grant");
    for gone in [&waiting, &looked_at] {
        bed.look(&phone, &gone.user_code())
            .await
            .expect_problem(404, "unknown_device_code");
    }
    bed.approve(None, "lin", &looked_at.user_code(), None)
        .await
        .expect_problem(404, "unknown_device_code");
    assert_eq!(
        sidecar.verify(&page.member("access_token")).await.status,
        200,
        "until it is revoked"
    );

    // A replica that starts now has never heard of the client.
    let another = Service::start(&bed.configuration, bed.http.clone()).await;
    for (method, path, status) in [("DELETE", "/binding", 403), ("POST", "/logout", 204)] {
        let answer = another
            .ask(method, path, &other.member("access_token"), &Value::Null)
            .await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for _ in 0..2 {
        let revoked = Ended::of(
            &mut bed
                .configuration
                .command_of(&["clients", "end", "shop-web"]),
            "",
        );
        revoked.expect_end(0, &["the tokens of 1 users are revoked"]);
    }
    refuses(&sidecar, &page).await;
    bed.log_out(&kept, false).await;
    assert!(bed.accepts(&phone).await);
}

/// The account service is slow, and an operator ends the user or the binding meanwhile: after the login, before the
/// token has its date. The mini program's own token would be dated after the end, because the user has logged out.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_between_the_login_and_the_token_revokes_it_too() {
    let accounts = AccountService::start();
    let link = Breakable::before(accounts.address).await;
    let url = format!("{}/wxmint", link.url());
    let bed = builder()
        .operator()
        .env("WXMINT_ACCOUNTS", &url)
        .env("WXMINT_ACCOUNTS_CHECK", "true");
    let bed = bed.env("WXMINT_AUTO_PROVISION", "true").start().await;
    for act in ["end", "block", "dissolve"] {
        let person = &format!("person-of-{act}");
        let phone = bed.log_in(person).await.expect_login();
        let request = bed.ask().await;
        let (code, number) = (request.user_code(), request.number());
        accounts.take_calls();
        link.withhold_answers().await;
        let logging_in = async {
            if act != "dissolve" {
                return bed.approve(None, person, &code, number.as_deref()).await;
            }
            bed.log_out(&phone, true).await;
            bed.log_in(person).await
        };
        let ending = async {
            until("the account service is asked", PATIENCE, async || {
                !accounts.calls().is_empty()
            })
            .await;
            bed.revokes_user(act, person, &phone, OPERATOR).await;
            link.restore().await;
        };
        let (refused, ()) = tokio::join!(logging_in, ending);
        let (status, code) = if act == "block" {
            (403, "user_blocked")
        } else {
            (503, "store_unavailable")
        };
        refused.expect_problem(status, code);
        bed.poll(&request)
            .await
            .expect_oauth(400, "authorization_pending");
    }
}

/// `WXMINT_SINGLE_SESSION` counts each client as an app of its own.
#[tokio::test]
async fn with_one_login_a_second_page_revokes_the_first_and_neither_revokes_the_phone() {
    let bed = builder().env("WXMINT_SINGLE_SESSION", "true").start().await;
    let phone = bed.log_in("lin").await.expect_login();
    let sidecar = bed
        .sidecar()
        .with("WXMINT_AUDIENCE", &format!("{AUDIENCE},{ISSUER}"))
        .ready()
        .await;
    let other = bed.let_in("cli.1", "lin").await;
    let [first, second] = [
        bed.let_in("shop-web", "lin").await,
        bed.let_in("shop-web", "lin").await,
    ];
    refuses(&sidecar, &first).await;
    for good in [&phone, &other, &second] {
        assert_eq!(
            sidecar.verify(&good.member("access_token")).await.status,
            200
        );
    }
    // The same for approvals that come at once: neither ends the token of the other.
    for _ in 0..5 {
        let request = bed.ask().await;
        join_all((0..4).map(|_| bed.approves(&phone, "lin", &request))).await;
        bed.poll(&request).await.expect_login();
    }
}
