//! Redis away or slow: 503 within bounds, and the next try finds nothing broken. `redis_refusals` loses single answers.

use std::time::Duration;

use super::{NUMBER, Replicas, Session, endpoints, sealing::sealed_phone};
use crate::support::{BUSY, PATIENCE, TestBed, until};

/// 1 s for each step, of which there may be a few.
const DEADLINE: Duration = BUSY.saturating_add(Duration::from_secs(3));

async fn is_back(replicas: &Replicas, session: &Session) {
    until("data opens again", PATIENCE, async || {
        replicas.decrypt(0, session, &sealed_phone(&session.key, NUMBER)).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn without_redis_every_endpoint_answers_503_soon_and_is_back_with_it() {
    let replicas = Replicas(TestBed::builder().breakable_redis().start().await);
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
