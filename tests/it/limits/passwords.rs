//! Failed passwords: counted for a person and a name together, so that a person cannot guess on, and nobody can use up
//! the attempts of whoever the name belongs to.

use super::{admitted, expect_exact_wait, expect_told};
use crate::support::prelude::*;

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
async fn a_person_has_three_attempts_at_a_name_at_all_replicas_and_no_more_at_many_names_than_one_may_log_in()
 {
    let limits = [
        ("WXMINT_LIMIT_USERNAME", "3/1h"),
        ("WXMINT_LIMIT_OPENID", "12/1h"),
    ];
    let bed = TestBed::builder()
        .services(2)
        .users(&["mei", "lin"])
        .envs(&limits)
        .start()
        .await;
    let first = fail(&bed, "lin", "mei").await;
    bed.log_in_with("lin", password_of("mei"))
        .await
        .expect_problem(429, "rate_limited");
    for name in ["mei", "Mei", " mei "] {
        let refused = bed
            .log_in_with("lin", wrong_password_of(name))
            .await
            .expect_problem(429, "rate_limited");
        expect_exact_wait(Duration::from_hours(1), &first, &refused);
    }
    expect_told(&bed, 4, "username").await;
    bed.log_in_with("lin", password_of("lin"))
        .await
        .expect_login();
    // Nobody locks the owner of a name out.
    for enemy in ["wang", "zhao"] {
        fail(&bed, enemy, "mei").await;
        bed.log_in_with(enemy, wrong_password_of("mei"))
            .await
            .expect_problem(429, "rate_limited");
    }

    // Names that exist and names that do not: each attempt is a login of the person, and these are limited.
    for number in 0..12 {
        let answer = bed
            .log_in_with("sprayer", wrong_password_of(&format!("name-{number}")))
            .await;
        answer.expect_problem(403, "invalid_credentials");
    }
    bed.log_in_with("sprayer", password_of("mei"))
        .await
        .expect_problem(429, "rate_limited");

    let mut people = 0;
    let ten = async || {
        people += 1;
        let codes = bed
            .wechat
            .mint_codes(json!({"person": format!("enemy-{people}"), "count": 10}))
            .await;
        let attempts = codes.iter().enumerate().map(async |(number, code)| {
            let mut members = wrong_password_of("mei");
            members["code"] = code.as_str().into();
            bed.services[number % 2].log_in_with(&members).await
        });
        let answers = join_all(attempts).await;
        // A busy machine may be too slow for a password, which counts all the same.
        answers
            .iter()
            .all(|answer| answer.status != 503)
            .then_some(answers)
    };
    let answers = eventually("a machine that is fast enough", 3 * PATIENCE, ten).await;
    assert_eq!(admitted(answers, 403), 3, "of ten at once at two replicas");
    let answer = bed
        .log_in_with("mei", password_of("mei"))
        .await
        .expect_login();
    assert_eq!(answer.member("user_id"), "id-of-mei");
}
