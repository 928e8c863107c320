//! Failed passwords: counted for a person and a name together, so that a person cannot guess on, and nobody can use up
//! the attempts of whoever the name belongs to.

use super::{admitted, expect_exact_wait, expect_limited};
use crate::support::prelude::*;

async fn bed_limited(users: &[&str], variable: &str, limit: &str) -> TestBed {
    TestBed::builder().services(2).users(users).env(variable, limit).start().await
}

/// Uses up the three attempts of `person` for `name`; the first answer.
async fn fail(bed: &TestBed, person: &str, name: &str) -> Answer {
    let mut answers = Vec::new();
    for _ in 0..3 {
        let answer = bed.log_in_with(person, wrong_password_of(name)).await;
        answers.push(answer.expect_problem(403, "invalid_credentials"));
    }
    answers.remove(0)
}

#[tokio::test]
async fn after_three_wrong_passwords_a_name_has_to_wait_in_any_case_with_the_right_one_too_and_another_name_does_not() {
    let bed = bed_limited(&["mei", "lin"], "WXMINT_LIMIT_USERNAME", "3/1h").await;
    let first = fail(&bed, "lin", "mei").await;
    expect_limited(&bed, async || bed.log_in_with("lin", password_of("mei")).await, "username").await;
    for name in ["mei", "Mei", " mei "] {
        let refused = bed.log_in_with("lin", wrong_password_of(name)).await.expect_problem(429, "rate_limited");
        expect_exact_wait(Duration::from_secs(3600), &first, &refused);
    }
    bed.log_in_with("lin", password_of("lin")).await.expect_login();
    // Nobody locks the owner of a name out.
    for enemy in ["wang", "zhao"] {
        fail(&bed, enemy, "mei").await;
        bed.log_in_with(enemy, wrong_password_of("mei")).await.expect_problem(429, "rate_limited");
    }
    let answer = bed.log_in_with("mei", password_of("mei")).await.expect_login();
    assert_eq!(answer.member("user_id"), "id-of-mei");
}

/// Names that exist and names that do not: each attempt is a login of the person, and these are limited.
#[tokio::test]
async fn a_sprayer_of_one_password_over_many_names_is_stopped_by_the_limit_of_a_person() {
    let bed = bed_limited(&["mei"], "WXMINT_LIMIT_OPENID", "5/1h").await;
    for number in 0..5 {
        let answer = bed.log_in_with("lin", wrong_password_of(&format!("name-{number}"))).await;
        answer.expect_problem(403, "invalid_credentials");
    }
    bed.log_in_with("lin", password_of("mei")).await.expect_problem(429, "rate_limited");
    bed.log_in_with("mei", password_of("mei")).await.expect_login();
}

#[tokio::test]
async fn of_ten_wrong_passwords_at_once_at_two_replicas_three_are_looked_at() {
    let bed = bed_limited(&["mei"], "WXMINT_LIMIT_USERNAME", "3/1h").await;
    let mut people = 0;
    let ten = async || {
        people += 1;
        let person = format!("enemy-{people}");
        let codes = bed.wechat.mint_codes(json!({"person": person, "count": 10})).await;
        let attempts = codes.iter().enumerate().map(async |(number, code)| {
            let mut members = wrong_password_of("mei");
            members["code"] = code.as_str().into();
            bed.services[number % 2].log_in_with(&members).await
        });
        let answers = join_all(attempts).await;
        // A busy machine may be too slow for a password, which counts all the same.
        answers.iter().all(|answer| answer.status != 503).then_some(answers)
    };
    let answers = eventually("a machine that is fast enough", 3 * PATIENCE, ten).await;
    assert_eq!(admitted(answers, 403), 3);
}
