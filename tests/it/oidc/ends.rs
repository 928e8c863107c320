//! Every act that ends a user, an app, a client or a login, against a family that lives.

use std::collections::HashMap;

use super::*;
use crate::support::{Ended, PATIENCE, until};

const ADMIN: &str = "boss 0123456789abcdef0123456789abcdef read,operate\n";
const OPERATOR: &str = "0123456789abcdef0123456789abcdef";

/// Each at once, because a refresh asks; verifiers learn it by the feed as of every token.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_the_user_or_the_binding_ends_the_login_of_a_site() {
    let acts = ["everywhere", "unbind", "end", "block", "end_person", "dissolve", "logout", "revoke", "clients end"];
    end_by(builder(), &acts).await;
}

/// Nothing is kept of the person then, and without the index nothing names the people of a user.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_a_computed_user_ends_the_login_of_a_site() {
    let computed = || builder().user_ids("openid", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n");
    end_by(computed(), &["everywhere", "unbind", "block", "end_person", "dissolve"]).await;
    end_by(computed().env("WXMINT_USER_INDEX", "false"), &["end", "block", "revoke", "clients end"]).await;
}

async fn end_by(builder: Builder, acts: &[&str]) {
    let bed = builder.operators(ADMIN).start().await;
    for act in acts.iter().copied() {
        let person = &format!("person-of-{}", act.replace(['_', ' '], "-"));
        let phone = bed.log_in(person).await.expect_login();
        let waiting = bed.code(person).await;
        let tokens = bed.log_in_site(person).await;
        let tokens = bed.renew(&tokens).await.expect_login();
        match act {
            "logout" => bed.log_out(&tokens, false).await,
            "revoke" => {
                let form =
                    [("client_id", "grafana"), ("client_secret", SECRET), ("token", &tokens.member("refresh_token"))];
                assert_eq!(bed.form("/revoke", &form).await.status, 200);
            }
            "clients end" => {
                Ended::of(&mut bed.configuration.command_of(&["clients", "end", "grafana"]), "").expect_success();
            }
            _ => bed.ends_user(act, person, &phone, OPERATOR).await,
        }
        bed.expect_ended(&tokens, act).await;
        if !["logout", "revoke"].contains(&act) {
            let refused = bed.redeem(&waiting).await;
            assert_eq!((refused.status, refused.member("error").as_str()), (400, "invalid_grant"), "{act}");
        }
    }
}

/// The end is kept as long as the login can be renewed, and not only as long as its access token lives.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_remembered_longer_than_the_access_token_lives() {
    let clock = Clock::begin();
    let bed = clock.of(builder().operators(ADMIN).env("WXMINT_TOKEN_TTL", "5m")).start().await;
    let (tokens, kept) = (bed.log_in_site("lin").await, bed.log_in_site("mei").await);
    // Nobody deletes it before, at any replica.
    let lives: HashMap<String, String> = bed.redis.command(&["HGETALL", "wxmint:{wxmint:ended}:lives"]);
    assert!(lives.contains_key("2592000"), "{lives:?}");
    let user = tokens.claims()["sub"].as_str().expect("a user").to_owned();
    let ended = bed.service().operate("POST", &format!("/users/{user}/end"), OPERATOR, &Value::Null).await;
    assert_eq!(ended.status, 204);
    clock.is_later(&bed, 20 * 86_400);
    assert_eq!(bed.userinfo(&kept).await.status, 401, "an access token of five minutes");
    bed.renew(&kept).await.expect_login();
    bed.expect_ended(&tokens, "twenty days after the end").await;
    clock.is_later(&bed, 31 * 86_400);
    bed.expect_ended(&kept, "thirty days after the login").await;
}

/// Taken out of the file, or without `refresh` from now on; and what the account backend says.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_has_lost_its_right_and_a_user_whom_the_accounts_refuse_renew_nothing() {
    let bed = builder().users(&["lin", "mei"]).start().await;
    let enter = async |person: &str| {
        let mut body = crate::support::password_of(person);
        body["code"] = bed.mint_code(person).await.into();
        bed.service().log_in_with(&body).await.expect_login();
        bed.log_in_site(person).await
    };
    let (lin, mei) = (enter("lin").await, enter("mei").await);
    bed.users().change("disable", "lin");
    let mut last = lin.clone();
    until("the file is read again", PATIENCE, async || {
        let answer = bed.renew(&last).await;
        if answer.status == 200 {
            last = answer;
            return false;
        }
        answer.member("error") == "invalid_grant"
    })
    .await;
    bed.expect_ended(&last, "disabled").await;
    let path = bed.configuration.value("WXMINT_CLIENTS_FILE").to_owned();
    let mut without = clients();
    without[0].as_object_mut().expect("a client").remove("refresh");
    fs::write(&path, json!({"clients": without}).to_string()).expect("written");
    let mut last = mei;
    until("the file is read again", PATIENCE, async || {
        let answer = bed.renew(&last).await;
        if answer.status == 200 {
            last = answer;
        }
        last.status == 200 && bed.userinfo(&last).await.status == 401
    })
    .await;
    bed.expect_ended(&last, "no refresh any more").await;
}
