//! Failed passwords: counted for a person and a name together, so that a person cannot guess on, and nobody can use up
//! the attempts of whoever the name belongs to.

use super::{expect_exact_wait, expect_limited};
use crate::support::prelude::*;
use crate::support::{PASSWORD as RIGHT, WRONG_PASSWORD as WRONG};

/// Users with the password [`RIGHT`], and three attempts.
async fn bed_of(users: &[&str]) -> TestBed {
    bed_limited(users, "WXMINT_LIMIT_USERNAME", "3/1h").await
}

async fn bed_limited(users: &[&str], variable: &str, limit: &str) -> TestBed {
    TestBed::builder().services(2).users(users).env(variable, limit).start().await
}

/// A login with name and password by `person`, who gets a fresh code.
async fn try_password(bed: &TestBed, person: &str, name: &str, password: &str) -> Answer {
    send(bed, 0, &bed.mint_code(person).await, name, password).await
}

async fn send(bed: &TestBed, service: usize, code: &str, name: &str, password: &str) -> Answer {
    let fields = json!({"code": code, "username": name, "password": password});
    bed.services[service].log_in_with(&fields).await
}

/// Uses up the attempts of `person` for `name`.
async fn fail(bed: &TestBed, person: &str, name: &str) -> Answer {
    let first = try_password(bed, person, name, WRONG).await.expect_problem(403, "invalid_credentials");
    for _ in 1..3 {
        try_password(bed, person, name, WRONG).await.expect_problem(403, "invalid_credentials");
    }
    first
}

#[tokio::test]
async fn after_three_wrong_passwords_a_name_has_to_wait_in_any_case_with_the_right_one_too_and_another_name_does_not() {
    let bed = bed_of(&["mei", "lin"]).await;
    let first = fail(&bed, "lin", "mei").await;
    expect_limited(&bed, async || try_password(&bed, "lin", "mei", RIGHT).await, "username").await;
    for (name, password) in [("mei", WRONG), ("Mei", WRONG), (" mei ", WRONG)] {
        let refused = try_password(&bed, "lin", name, password).await.expect_problem(429, "rate_limited");
        expect_exact_wait(Duration::from_secs(3600), &first, &refused);
    }
    try_password(&bed, "lin", "lin", RIGHT).await.expect_login();
    // Nobody locks the owner of a name out.
    for enemy in ["wang", "zhao"] {
        fail(&bed, enemy, "mei").await;
        try_password(&bed, enemy, "mei", WRONG).await.expect_problem(429, "rate_limited");
    }
    let answer = try_password(&bed, "mei", "mei", RIGHT).await.expect_login();
    assert_eq!(answer.member("user_id"), "id-of-mei");
}

/// Names that exist and names that do not: each attempt is a login of the person, and these are limited.
#[tokio::test]
async fn a_sprayer_of_one_password_over_many_names_is_stopped_by_the_limit_of_a_person() {
    let bed = bed_limited(&["mei"], "WXMINT_LIMIT_OPENID", "5/1h").await;
    for number in 0..5 {
        let answer = try_password(&bed, "lin", &format!("name-{number}"), WRONG).await;
        answer.expect_problem(403, "invalid_credentials");
    }
    try_password(&bed, "lin", "mei", RIGHT).await.expect_problem(429, "rate_limited");
    try_password(&bed, "mei", "mei", RIGHT).await.expect_login();
}

#[tokio::test]
async fn of_ten_wrong_passwords_at_once_at_two_replicas_three_are_looked_at() {
    let bed = bed_of(&["mei"]).await;
    let mut people = 0;
    let ten = async || {
        people += 1;
        let person = format!("enemy-{people}");
        let codes = bed.wechat.mint_codes(json!({"person": person, "count": 10})).await;
        let attempts = codes.iter().enumerate().map(|(number, code)| send(&bed, number % 2, code, "mei", WRONG));
        let answers = join_all(attempts).await;
        // A busy machine may be too slow for a password, which counts all the same.
        answers.iter().all(|answer| answer.status != 503).then_some(answers)
    };
    let answers = eventually("a machine that is fast enough", 3 * PATIENCE, ten).await;
    let (looked_at, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 403);
    assert_eq!(looked_at.len(), 3);
    for answer in refused {
        answer.expect_problem(429, "rate_limited");
    }
}
