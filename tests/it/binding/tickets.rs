//! Bind tickets: a code's stand-in for one attempt with a password.

use super::{OTHER_APPID, business, is_users};
use crate::support::prelude::*;

/// An unbound person is given this in place of the code just spent.
pub(super) async fn ticket_of(bed: &TestBed, person: &str) -> String {
    let asked = bed
        .silent(person)
        .await
        .expect_problem(403, "binding_required");
    assert!(asked.member("detail").contains("bind_ticket"), "{asked:?}");
    asked.member("bind_ticket")
}

/// A login by ticket, with `more` beside it.
pub(super) async fn redeem(bed: &TestBed, ticket: &str, more: &Value) -> Answer {
    let mut body = more.clone();
    body["bind_ticket"] = ticket.into();
    bed.service().log_in_with(&body).await
}

#[tokio::test]
async fn a_ticket_binds_with_a_password_once_in_its_app_without_another_code_and_is_no_login_alone_or_beside_a_code()
 {
    let bed = business(&[]).await;
    let ticket = ticket_of(&bed, "lin").await;
    let asked = bed.wechat.exchanges().await;
    is_users(&redeem(&bed, &ticket, &password_of("alice")).await, "alice");
    assert_eq!(bed.wechat.exchanges().await, asked);
    is_users(&bed.silent("lin").await, "alice");
    redeem(&bed, &ticket, &password_of("alice"))
        .await
        .expect_problem(400, "code_used");

    for attempt in [wrong_password_of("bob"), wrong_password_of("nobody")] {
        let ticket = ticket_of(&bed, "mei").await;
        redeem(&bed, &ticket, &attempt)
            .await
            .expect_problem(403, "invalid_credentials");
        redeem(&bed, &ticket, &password_of("bob"))
            .await
            .expect_problem(400, "code_used");
    }
    let mut elsewhere = password_of("bob");
    elsewhere["appid"] = OTHER_APPID.into();
    let ticket = ticket_of(&bed, "mei").await;
    redeem(&bed, &ticket, &elsewhere)
        .await
        .expect_problem(400, "code_used");
    for app in [APPID, OTHER_APPID] {
        bed.log_in_at(app, "mei", json!({}))
            .await
            .expect_problem(403, "binding_required");
    }

    let ticket = ticket_of(&bed, "mei").await;
    let mut both = password_of("bob");
    both["bind_ticket"] = ticket.clone().into();
    bed.enter("mei", both)
        .await
        .expect_problem(400, "invalid_request");
    let old = ticket_of(&bed, "mei").await;
    is_users(&redeem(&bed, &ticket, &password_of("bob")).await, "bob");
    // Alone it is no login, also for who is bound by now, and brings no other ticket.
    for _ in 0..2 {
        redeem(&bed, &old, &json!({}))
            .await
            .expect_problem(400, "code_used");
    }
}

#[tokio::test]
async fn a_login_by_ticket_counts_for_the_address_and_is_not_spent_where_the_limit_refuses_it() {
    let bed = business(&[("WXMINT_LIMIT_IP", "3/1h")]).await;
    let [first, second] = [ticket_of(&bed, "lin").await, ticket_of(&bed, "lin").await];
    redeem(&bed, &first, &wrong_password_of("bob"))
        .await
        .expect_problem(403, "invalid_credentials");
    for _ in 0..2 {
        redeem(&bed, &second, &password_of("bob"))
            .await
            .expect_problem(429, "rate_limited");
    }
}
