//! Redis away, slow, or with answers that do not arrive: 503 within bounds, and the next try finds nothing broken.

use std::time::Duration;

use serde_json::Value;

use super::{
    LOGOUT, NUMBER, RESET, Replicas, SESSION, Session, data_of, endpoints, expect_undecryptable, failures::FOREIGN_KEY,
    sealing::sealed_phone,
};
use crate::support::{BUSY, PATIENCE, TestBed, until};

/// 1 s for each step, of which there may be a few.
const DEADLINE: Duration = BUSY.saturating_add(Duration::from_secs(3));
/// More steps than any of these requests takes.
const MOST_STEPS: u64 = 16;

async fn replicas() -> Replicas {
    Replicas(TestBed::builder().breakable_redis().start().await)
}

async fn is_back(replicas: &Replicas, session: &Session) {
    until("data opens again", PATIENCE, async || {
        replicas.decrypt(0, session, &sealed_phone(&session.key, NUMBER)).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn without_redis_every_endpoint_answers_503_soon_and_is_back_with_it() {
    let replicas = replicas().await;
    let lin = replicas.log_in("lin").await;
    for stalled in [false, true] {
        let link = replicas.0.redis_link();
        if stalled {
            link.stall().await
        } else {
            link.cut().await
        }
        for (method, path, body) in endpoints() {
            let answer = replicas.ask(0, method, path, &lin.token, &body).await;
            assert!(answer.took < DEADLINE, "{path}: {answer:?}");
            answer.expect_problem(503, "store_unavailable");
        }
        link.restore().await;
        is_back(&replicas, &lin).await;
    }
}

/// Runs `request` with each of Redis' answers lost in turn; how many were.
async fn with_each_answer_lost(replicas: &Replicas, mut request: impl AsyncFnMut(u64)) -> u64 {
    for after in 1..=MOST_STEPS {
        replicas.0.redis_link().lose_answer(after);
        request(after).await;
        if !replicas.0.redis_link().has_lost_answer() {
            return after - 1;
        }
    }
    MOST_STEPS
}

#[tokio::test]
async fn data_opens_whichever_answer_of_redis_is_lost() {
    let replicas = replicas().await;
    let lin = replicas.log_in("lin").await;
    let lost = with_each_answer_lost(&replicas, async |_| {
        data_of(&replicas.decrypt(0, &lin, &sealed_phone(&lin.key, NUMBER)).await);
    })
    .await;
    assert!((3..MOST_STEPS).contains(&lost), "{lost} were lost");
    for failure in 1..=8 {
        assert!(!replicas.kept(&lin).is_empty(), "dropped before failure {failure}");
        expect_undecryptable(replicas.decrypt(0, &lin, &sealed_phone(FOREIGN_KEY, NUMBER)).await);
    }
    assert!(replicas.kept(&lin).is_empty(), "lost answers have left nothing that counts as a try under way");
}

#[tokio::test]
async fn a_logout_and_a_reset_are_done_whichever_answer_of_redis_is_lost() {
    let replicas = replicas().await;
    let check = async |session: &Session| replicas.ask(0, "GET", SESSION, &session.token, &Value::Null).await;
    check(&replicas.log_in("lin").await).await;
    let lost = with_each_answer_lost(&replicas, async |after| {
        let lin = replicas.log_in("lin").await;
        assert_eq!(replicas.ask(0, "POST", RESET, &lin.token, &Value::Null).await.status, 204, "{after}");
        assert_eq!(check(&lin).await.json()["valid"], true, "{after}");
    })
    .await;
    assert!((5..MOST_STEPS).contains(&lost), "{lost} were lost");
    let lost = with_each_answer_lost(&replicas, async |after| {
        let lin = replicas.log_in("lin").await;
        assert_eq!(replicas.ask(0, "POST", LOGOUT, &lin.token, &Value::Null).await.status, 204, "{after}");
        assert!(replicas.kept(&lin).is_empty());
        check(&lin).await.expect_problem(401, "invalid_token");
    })
    .await;
    assert!((3..MOST_STEPS).contains(&lost), "{lost} were lost");
}
