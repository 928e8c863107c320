//! Bind tickets: a code's stand-in for one attempt with a password.

use super::{Business, OTHER_APPID, is_users};
use crate::support::prelude::*;

/// An unbound person is given this in place of the code just spent.
pub(super) async fn ticket_of(business: &Business, person: &str) -> String {
    let asked = business.silent(person).await.expect_problem(403, "binding_required");
    assert!(asked.member("detail").contains("bind_ticket"), "{asked:?}");
    asked.member("bind_ticket")
}

/// A login by ticket, with `more` beside it.
pub(super) async fn redeem(business: &Business, ticket: &str, more: &Value) -> Answer {
    let mut body = more.clone();
    body["bind_ticket"] = ticket.into();
    business.bed.service().log_in_with(&body).await
}

#[tokio::test]
async fn a_ticket_binds_with_a_password_once_in_its_app_without_another_code_and_is_no_login_alone_or_beside_a_code() {
    let business = Business::start().await;
    let ticket = ticket_of(&business, "lin").await;
    let asked = business.bed.wechat.exchanges().await;
    is_users(&redeem(&business, &ticket, &password_of("alice")).await, "alice");
    assert_eq!(business.bed.wechat.exchanges().await, asked);
    is_users(&business.silent("lin").await, "alice");
    redeem(&business, &ticket, &password_of("alice")).await.expect_problem(400, "code_used");

    for attempt in [wrong_password_of("bob"), wrong_password_of("nobody")] {
        let ticket = ticket_of(&business, "mei").await;
        redeem(&business, &ticket, &attempt).await.expect_problem(403, "invalid_credentials");
        redeem(&business, &ticket, &password_of("bob")).await.expect_problem(400, "code_used");
    }
    let mut elsewhere = password_of("bob");
    elsewhere["appid"] = OTHER_APPID.into();
    let ticket = ticket_of(&business, "mei").await;
    redeem(&business, &ticket, &elsewhere).await.expect_problem(400, "code_used");
    for app in [APPID, OTHER_APPID] {
        business.log_in_at(app, "mei", &json!({})).await.expect_problem(403, "binding_required");
    }

    let ticket = ticket_of(&business, "mei").await;
    let mut both = password_of("bob");
    both["bind_ticket"] = ticket.clone().into();
    business.log_in("mei", &both).await.expect_problem(400, "invalid_request");
    // A client that still says nothing is asked again, and has another ticket.
    let asked = redeem(&business, &ticket, &json!({})).await.expect_problem(403, "binding_required");
    assert_ne!(asked.member("bind_ticket"), ticket);
    is_users(&redeem(&business, &asked.member("bind_ticket"), &password_of("bob")).await, "bob");
}

#[tokio::test]
async fn a_login_by_ticket_counts_for_the_address_and_is_not_spent_where_the_limit_refuses_it() {
    let business = Business::with(&[("WXMINT_LIMIT_IP", "2/1h")]).await;
    let ticket = ticket_of(&business, "lin").await;
    let asked = redeem(&business, &ticket, &json!({})).await.expect_problem(403, "binding_required");
    for _ in 0..2 {
        redeem(&business, &asked.member("bind_ticket"), &json!({})).await.expect_problem(429, "rate_limited");
    }
}
