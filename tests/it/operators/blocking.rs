//! A blocked user stays out under every account backend, and no token from before the block works.

use wxmint_verify::ends::EndHash;

use super::Office;
use crate::support::prelude::*;

/// Blocks the user of these two people, and lets them in again.
async fn is_blocked_and_let_in_again(office: &Office, first: Answer) {
    let user = first.clone().expect_login().member("user_id");
    let block = format!("/users/{user}/block");
    let iat = first.claims()["iat"].as_i64().expect("seconds");
    office.done("PUT", &block).await;
    office.done("PUT", &block).await;
    assert!(!office.accepts(&first).await);
    for service in &office.bed.services {
        let code = office.bed.mint_code("lin").await;
        service.login(&code).await.expect_problem(403, "user_blocked");
        expect_cause(service, 1).await;
    }
    assert_eq!(office.show(&user).await["blocked"], true);
    let hash = EndHash::of(office.bed.configuration.value("WXMINT_ISSUER"), &user).to_string();
    until("the end is in the feed", BUSY, async || {
        let page = office.bed.http.get(&office.bed.service().url("/revocations")).await.body;
        let ended = decoded(&page).1["ended"].as_array().expect("an array").clone();
        let is_users = |end: &&Value| end[0] == "sub" && end[1] == hash.as_str() && end[2].as_i64() >= Some(iat);
        ended.iter().any(|end| is_users(&end))
    })
    .await;

    office.done("DELETE", &block).await;
    let later = office.log_in_for_good("lin").await;
    assert_eq!((later.member("user_id"), office.show(&user).await["blocked"].clone()), (user.clone(), json!(false)));
    assert!(!office.accepts(&first).await, "what was revoked stays revoked");
    office.expect_audited(&["block", "block", "unblock"].map(|act| (act, user.as_str(), "ok"))).await;
}

/// So many lines of the log blame the operator, and none the account backend.
async fn expect_cause(service: &Service, times: usize) {
    until("the cause", BUSY, async || {
        let causes = service.events().into_iter().filter(|line| line["code"] == "user_blocked");
        let causes: Vec<Value> = causes.map(|line| line["cause"].clone()).collect();
        causes == vec!["an operator has blocked this user"; times]
    })
    .await;
}

#[tokio::test]
async fn a_user_whom_wxmint_has_made_can_be_blocked() {
    let office = Office::start().await;
    let login = office.bed.log_in("lin").await;
    is_blocked_and_let_in_again(&office, login).await;
}

#[tokio::test]
async fn a_user_of_the_users_file_can_be_blocked_also_against_a_right_password() {
    let office =
        Office::of(TestBed::builder().services(2).users(&["alice"]).env("WXMINT_BINDINGS_PER_USER", "9")).await;
    let login = office.bed.log_in_with("lin", password_of("alice")).await;
    is_blocked_and_let_in_again(&office, login).await;
    office.done("PUT", "/users/id-of-alice/block").await;
    let newcomer = async || office.bed.log_in_with("mei", password_of("alice")).await;
    newcomer().await.expect_problem(403, "user_blocked");
    expect_cause(office.bed.service(), 2).await;
    office.bed.log_in_with("lin", password_of("alice")).await.expect_problem(403, "user_blocked");
    office.done("DELETE", "/users/id-of-alice/block").await;
    newcomer().await.expect_login();
}
