//! Every act that revokes a user, an app, a client or a login, against a family that lives.

use wxmint::clock::now;

use super::*;

/// Each at once, because a refresh asks; verifiers learn it by the feed as of every token.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_revokes_the_user_or_the_binding_ends_the_login_of_a_site() {
    end_by(builder(), &ACTS).await;
}

/// Nothing is kept of the person then, and without the index nothing names the people of a user.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_revokes_a_computed_user_ends_the_login_of_a_site() {
    let computed =
        || builder().user_ids("openid", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    end_by(
        computed(),
        &["everywhere", "unbind", "block", "end_person", "dissolve"],
    )
    .await;
    end_by(
        computed().env("WXMINT_USER_INDEX", "false"),
        &["end", "block", "revoke", "clients end"],
    )
    .await;
}

async fn end_by(builder: Builder, acts: &[&str]) {
    let bed = builder.operator().start().await;
    for act in acts.iter().copied() {
        let login = bed.log_in_for(act).await;
        let waiting = bed.code(&login.person).await;
        bed.revoke_site_login(act, &login, "access_token").await;
        assert_eq!(
            bed.userinfo(&login.first).await.status,
            401,
            "{act}: the first token"
        );
        bed.expect_ended(&login.renewed, act).await;
        if !["logout", "revoke"].contains(&act) {
            let refused = bed.redeem(&waiting).await;
            assert_eq!(
                (refused.status, refused.member("error").as_str()),
                (400, "invalid_grant"),
                "{act}"
            );
        }
    }
}

/// Behind this machine at the renewal, and further behind at the end, as after a failover: the end names the renewed.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_names_what_was_renewed_whatever_the_clock_of_redis_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let builder = builder()
        .operator()
        .redis_options(&[&movable_clock(folder.path())]);
    let mut bed = builder.start().await;
    for (renewed_at, ended_at, person) in [(-30, -30, "lin"), (0, -300, "mei")] {
        bed.redis.move_clock(-30);
        // A process that has not seen the clock of Redis from before.
        bed.services[0] = bed.another().await;
        let tokens = bed.log_in_site(person).await;
        bed.redis.move_clock(renewed_at);
        let renewed = bed.renew(&tokens).await.expect_login();
        bed.redis.move_clock(ended_at);
        bed.services[0] = bed.another().await;
        bed.revokes_user("end", person, &renewed, OPERATOR).await;
        bed.expect_ended(&renewed, person).await;
    }
}

/// The date of what was renewed may be after that of the next login. A code that comes late ends nothing of that one.
#[tokio::test(flavor = "multi_thread")]
async fn with_one_login_the_next_one_revokes_what_a_site_has_renewed() {
    let (clock, bed) = Clock::around(builder().env("WXMINT_SINGLE_SESSION", "true")).await;
    let tokens = bed.log_in_site("lin").await;
    clock.is_later(&bed, 5);
    let renewed = bed.renew(&tokens).await.expect_login();
    clock.is_later(&bed, 0);
    let (waiting, next) = (bed.code("lin").await, bed.log_in_site("lin").await);
    bed.expect_ended(&renewed, "the next login").await;
    assert_eq!(bed.redeem(&waiting).await.member("error"), "invalid_grant");
    bed.renew(&next).await.expect_login();
}

/// `users revoke --everyone` ends what has no token yet, too: a login that a site can renew, a code,
/// and an approval. The clock of the machine is behind Redis'. Nobody waits until it has caught up
/// to log in again.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_of_everyone_leaves_nothing_that_can_become_a_token() {
    let (clock, bed) = Clock::around(builder()).await;
    let (tokens, waiting) = (bed.log_in_site("lin").await, bed.code("mei").await);
    let asked = asks("grafana", BACK);
    let approved = bed.step("scan", &asked, &[]).await;
    let user_code = approved.member("user_code");
    bed.approve(None, "bao", &user_code, approved.json()["match"].as_str())
        .await;
    let command = [
        "users",
        "revoke",
        "--everyone",
        "--yes",
        "--keys",
        bed.configuration.value("WXMINT_KEYS"),
    ];
    clock.is_off_but_for_redis(-40);
    Ended::of(&mut bed.configuration.command_of(&command), "").expect_success();
    until("the keys are read again", PATIENCE, async || {
        bed.userinfo(&tokens).await.status == 401
    })
    .await;
    bed.expect_ended(&tokens, "everyone").await;
    assert_eq!(bed.redeem(&waiting).await.member("error"), "invalid_grant");
    let polled = bed
        .step(
            "poll",
            &asked,
            &[("device_code", &*approved.member("device_code"))],
        )
        .await;
    assert_eq!(polled.json(), json!({"state": "denied"}));
    let later = bed.log_in_site("chen").await;
    bed.renew(&later).await.expect_login();
}

/// As the person logs in at the mini program: the token is dated after the end.
#[tokio::test(flavor = "multi_thread")]
async fn a_site_logs_in_who_was_logged_out_before_the_clock_of_redis_stepped_back() {
    for single_session in ["false", "true"] {
        let (_clock, bed) =
            Clock::around(builder().env("WXMINT_SINGLE_SESSION", single_session)).await;
        let (phone, before) = (
            bed.log_in("lin").await.expect_login(),
            bed.log_in_site("lin").await,
        );
        bed.log_out(&phone, true).await;
        bed.redis.move_clock(-300);
        let tokens = bed.log_in_site("lin").await;
        bed.renew(&tokens).await.expect_login();
        bed.expect_ended(&before, single_session).await;
    }
}

/// Verifiers that allow for differences of clocks accept a token for a while after it has expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_just_expired_is_revoked_too() {
    let (clock, bed) = Clock::around(builder().env("WXMINT_TOKEN_TTL", "5m")).await;
    for by in ["access_token", "refresh_token"] {
        let tokens = bed.log_in_site(by).await;
        clock.is_later(&bed, 305);
        assert_eq!(bed.userinfo(&tokens).await.status, 200, "{by}");
        bed.revoke(&tokens.member(by)).await;
        assert_eq!(bed.userinfo(&tokens).await.status, 401, "{by}");
        let before = bed.redis.calls();
        bed.revoke(&tokens.member(by)).await;
        let deleted = bed.redis.calls_since(&before).remove("del");
        assert_eq!(
            deleted,
            Some(1),
            "{by}: written again, so that replicas have it"
        );
        clock.is_later(&bed, 0);
    }
}

/// A login of a site stays ended as long as it could be renewed, also by a logout, although the feed has no end of it
/// any more once its access tokens have expired.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_remembered_longer_than_the_access_token_lives() {
    let (clock, bed) = Clock::around(builder().operator().env("WXMINT_TOKEN_TTL", "5m")).await;
    let log_in = async |person| {
        bed.renew(&bed.log_in_site(person).await)
            .await
            .expect_login()
    };
    let logins = join_all(["lin", "mei", "chen", "kept"].map(log_in)).await;
    let [by_operator, logged_out, revoked, kept] = &logins[..] else {
        panic!("four")
    };
    let lives = |of: &str| {
        bed.redis
            .command::<Vec<String>>(&["HKEYS", &format!("wxmint:{{wxmint:revoked}}:{of}")])
    };
    assert_eq!(
        [lives("lives"), lives("renewals")],
        [["300"], ["2592000"]],
        "ends are dated by access tokens alone"
    );
    bed.revokes_user("end", "lin", by_operator, OPERATOR).await;
    bed.log_out(logged_out, false).await;
    bed.revoke(&revoked.member("access_token")).await;
    let revocations = bed.redis.command::<Vec<(String, (String, String))>>(&[
        "XRANGE",
        redis_keys::ENDS,
        "-",
        "+",
    ]);
    let (soon, texts) = (
        now().timestamp() + 300,
        revocations
            .iter()
            .map(|(_, (_, revocation))| revocation.split(' ').collect::<Vec<_>>()),
    );
    for revocation in texts {
        let until = if revocation[0] == "jti" {
            revocation[1]
        } else {
            revocation[2]
        };
        assert!(
            until.parse::<i64>().expect("seconds") <= soon,
            "no longer than an access token lives: {revocation:?}"
        );
    }
    clock.is_later(&bed, 86_400);
    assert_eq!(
        bed.userinfo(kept).await.status,
        401,
        "an access token of five minutes"
    );
    bed.expect_ended(logged_out, "its access token had expired")
        .await;
    clock.is_later(&bed, 29 * 86_400);
    let kept = bed.renew(kept).await.expect_login();
    for revoked in [by_operator, revoked] {
        bed.expect_ended(revoked, "29 days after the revocation")
            .await;
    }
    clock.is_later(&bed, 31 * 86_400);
    bed.expect_ended(&kept, "thirty days after the login").await;
}

/// The browser may be gone at once. The logout is none that can be lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_logout_is_done_although_the_browser_hangs_up() {
    let bed = builder().breakable_redis().start().await;
    let (tokens, link, service) = (
        bed.log_in_site("lin").await,
        bed.redis_link(),
        bed.service(),
    );
    let path_of = |tokens: &Answer| {
        format!(
            "/end_session?{}",
            query(&[("id_token_hint", &tokens.member("id_token"))])
        )
    };
    let path = path_of(&tokens);
    // More than once where another answer of Redis comes before that to this request.
    until("it is logged out", PATIENCE, async || {
        link.withhold_from(1);
        let browser = Impatient::asks(service.public, &format!("GET {path}"), "", "").await;
        until("Redis is asked", PATIENCE, async || link.is_withholding()).await;
        browser.hang_up(service).await;
        link.restore().await;
        bed.userinfo(&tokens).await.status == 401
    })
    .await;
    bed.expect_ended(&tokens, "the browser has hung up").await;
    // Redis has lost what it kept of the login. The token that came with the id token ends all the same.
    let lost = bed.log_in_site("mei").await;
    let family = format!(
        "wxmint:oidc:family:{}",
        lost.claims()["jti"].as_str().expect("jti")
    );
    assert_eq!(bed.redis.command::<u64>(&["DEL", &family]), 1);
    assert_eq!(service.get(&path_of(&lost)).await.status, 200);
    bed.expect_ended(&lost, "Redis has lost the login").await;
}

/// The file is read again after a while. The last tokens that were given until the answer to a renewal was this.
async fn until_renewed(bed: &TestBed, mut last: Answer, error: Option<&str>) -> Answer {
    until("the file is read again", PATIENCE, async || {
        let answer = bed.renew(&last).await;
        let is_it = answer.json()["error"].as_str() == error;
        if answer.status == 200 {
            last = answer;
        }
        is_it
    })
    .await;
    last
}

/// The client without `refresh`, and the app without its file: refused, and as before once they are back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_from_a_file_ends_no_login_but_a_user_whom_the_accounts_refuse_renews_nothing()
 {
    let bed = builder().two_apps().users(&["lin"]).start().await;
    bed.log_in_at(APPID, "lin", password_of("lin"))
        .await
        .expect_login();
    let mut without = clients();
    without[0]
        .as_object_mut()
        .expect("a client")
        .remove("refresh");
    let whole = |clients: Value| json!({"clients": clients}).to_string();
    let file = |variable| bed.configuration.value(variable).to_owned();
    let mut last = bed.log_in_site("lin").await;
    for (file, less, more, error) in [
        (
            file("WXMINT_CLIENTS_FILE"),
            whole(without),
            whole(clients()),
            "invalid_grant",
        ),
        (
            file("WXMINT_APPS_DIR") + "/" + APPID,
            String::new(),
            APP_SECRET.to_owned(),
            "unauthorized_client",
        ),
    ] {
        let is = |content: &str| match content {
            "" => fs::remove_file(&file).expect("our file"),
            _ if fs::exists(&file).is_ok_and(|exists| exists) => {
                fs::write(&file, content).expect("our file");
            }
            _ => write_private(file.as_ref(), content),
        };
        let waiting = bed.code("lin").await;
        is(&less);
        last = until_renewed(&bed, last, Some(error)).await;
        assert_eq!(bed.userinfo(&last).await.status, 200, "{error}");
        let is_given = bed.redeem(&waiting).await.status == 200;
        is(&more);
        last = until_renewed(&bed, last, None).await;
        assert!(
            is_given || bed.redeem(&waiting).await.status == 200,
            "a code is not used up: {error}"
        );
    }
    bed.users().change(&["disable", "lin"]);
    let last = until_renewed(&bed, last, Some("invalid_grant")).await;
    bed.expect_ended(&last, "disabled").await;
}
