//! The time of a refused password does not tell whether there is a user of that name.

use serde_json::{Value, json};

use crate::{
    stopwatch::Trial,
    support::{PASSWORD, TestBed, UsersFile, WRONG_PASSWORD},
};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Unknown,
    Wrong,
    Disabled,
    Longest,
    /// No password at all, and so no hash.
    Control,
}

const TRIAL: Trial<Kind> = Trial {
    what: "refused passwords, in ms",
    samples: 400,
    alike: &[Kind::Unknown, Kind::Wrong, Kind::Disabled, Kind::Longest],
    others: &[],
    control: Kind::Control,
};

impl Kind {
    /// What is sent beside the code. No unknown name comes twice.
    fn attempt(self, number: usize) -> Value {
        let (name, password) = match self {
            Self::Unknown => (format!("nobody-{number}"), PASSWORD),
            Self::Wrong => ("alice".to_owned(), WRONG_PASSWORD),
            Self::Disabled => ("bob".to_owned(), PASSWORD),
            Self::Longest => (format!("{number:名>512}"), PASSWORD),
            Self::Control => return json!({}),
        };
        json!({"username": name, "password": password})
    }
}

#[tokio::test]
async fn refused_passwords_take_times_that_cannot_be_told_apart() {
    let users = UsersFile::of(&["alice", "bob", "carol"]);
    users.change("disable", "bob");
    let builder = TestBed::builder().env("WXMINT_ACCOUNTS", &users.setting());
    let bed = builder.env("WXMINT_LIMIT_USERNAME", "1000000/1s").start().await;
    TRIAL.run(async |order| measure(&bed, order).await).await;
}

async fn measure(bed: &TestBed, order: &[Kind]) -> Vec<f64> {
    let codes = bed.wechat.mint_codes(json!({"person": "lin", "count": order.len()})).await;
    let mut times = Vec::new();
    for (number, (kind, code)) in order.iter().zip(codes).enumerate() {
        let mut body = kind.attempt(number);
        body["code"] = code.into();
        let answer = bed.service().log_in_with(&body).await;
        times.push(answer.took.as_secs_f64() * 1e3);
        answer.expect_problem(403, if *kind == Kind::Control { "binding_required" } else { "invalid_credentials" });
    }
    times
}
