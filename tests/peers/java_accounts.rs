//! examples/accounts/spring: an account service in Java whose user ids are numbers.

use std::collections::BTreeSet;

use serde_json::json;

use crate::java_spring::{copy_of, run_at};
use crate::support::{TestBed, free_port};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly, with each Spring Boot"]
async fn the_account_service_in_java_names_users_by_numbers_and_answers_nobody_but_wxmint() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}/wxmint");
    let bed = TestBed::builder()
        .at_its_issuer()
        .envs(&[
            ("WXMINT_ACCOUNTS", &url),
            ("WXMINT_AUTO_PROVISION", "true"),
            ("WXMINT_ACCOUNTS_CHECK", "true"),
        ])
        .start()
        .await;
    let issuer = bed.issuer().trim_start_matches("http://").parse();
    let properties = [format!("--accounts.url={url}")];
    let folder = copy_of("examples/accounts/spring", &[]);
    let _service = run_at(
        port,
        "accounts",
        folder,
        issuer.expect("an address"),
        &properties,
    );

    let mut users = BTreeSet::new();
    for person in ["lin", "mei", "lin"] {
        let login = bed.log_in(person).await.expect_login();
        let user: u64 = login.member("user_id").parse().expect("a number");
        assert!(user >= 100_000, "{user}");
        users.insert(user);
    }
    assert_eq!(users.len(), 2, "lin is one user");
    for _ in 0..2 {
        let phone_code = bed.wechat.mint_phone_code("zhao").await;
        let login = bed
            .log_in_with("zhao", json!({"phone_code": phone_code}))
            .await
            .expect_login();
        users.insert(login.member("user_id").parse().expect("a number"));
    }
    assert_eq!(users.len(), 3, "a phone number is of one user");

    for (path, body) in [
        ("/users", json!({"idempotency_key": "key"})),
        (
            "/users/by-phone",
            json!({"country_code": "86", "pure_phone_number": "13800138000"}),
        ),
        (
            "/password-checks",
            json!({"username": "alice", "password": "wonderland"}),
        ),
        ("/login-checks", json!({"user_id": "100000"})),
    ] {
        let access = bed
            .log_in("mei")
            .await
            .expect_login()
            .member("access_token");
        for token in ["", "a.b.c", &access] {
            let request = bed.http.0.post(format!("{url}{path}")).bearer_auth(token);
            let answer = bed.http.send(request.json(&body)).await;
            assert_eq!(answer.status, 401, "{path}, {token}: {answer:?}");
        }
    }
}
