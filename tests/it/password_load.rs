//! More passwords at once than may wait: the excess is told to come again, and who logs in without one overtakes those
//! that wait. `cargo bench --bench login -- passwords` measures it.

use crate::support::prelude::*;
use tokio::task::JoinSet;

/// More than the 64 of one address that may wait (src/accounts/file/hashing.rs) and the at most 4 that are hashed.
const AT_ONCE: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_that_may_not_wait_are_told_to_come_again_and_logins_without_one_overtake_the_others()
 {
    let bed = TestBed::builder()
        .users(&["alice"])
        .env("WXMINT_AUTO_PROVISION", "true");
    let bed = bed.env("WXMINT_LIMIT_USERNAME", "1000000/1s").start().await;
    let codes = bed
        .wechat
        .mint_codes(json!({"person": "enemy", "count": AT_ONCE, "distinct_people": true}))
        .await;
    let (mut asked, mut waiting) = (JoinSet::new(), Vec::new());
    for code in codes {
        let body = json!({"code": code, "username": "alice", "password": WRONG_PASSWORD});
        let (http, url) = (bed.http.clone(), bed.service().url("/login"));
        waiting.push(asked.spawn(async move { http.send(http.0.post(url).json(&body)).await }));
    }
    let mut answers = Vec::new();
    while !answers
        .iter()
        .any(|answer: &Answer| answer.json()["code"] == "accounts_unavailable")
    {
        answers.push(
            asked
                .join_next()
                .await
                .expect("all may wait")
                .expect("no panic"),
        );
    }
    until("a login without a password", PATIENCE, async || {
        bed.log_in("silent").await.status == 200
    })
    .await;
    assert!(
        waiting.iter().any(|password| !password.is_finished()),
        "it was answered after all passwords"
    );
    answers.extend(asked.join_all().await);
    let (looked_at, told): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == 403);
    assert!(!looked_at.is_empty());
    for answer in looked_at {
        answer.expect_problem(403, "invalid_credentials");
    }
    // A busy machine may be too slow for so many claims at once.
    for answer in told
        .into_iter()
        .filter(|answer| answer.json()["code"] != "store_unavailable")
    {
        let busy = answer.expect_problem(503, "accounts_unavailable");
        assert!(
            busy.header("retry-after")
                .parse::<u64>()
                .is_ok_and(|seconds| seconds >= 1),
            "{busy:?}"
        );
    }
    let is_back = async || bed.log_in_with("lin", password_of("alice")).await.status == 200;
    until("passwords are checked again", PATIENCE, is_back).await;
}
