//! Clients that hang up in the middle: what was begun for them is brought to its end.

use std::time::Instant;

use super::wechat::{session_key, validity};
use super::{BINDING, LOGIN, LOGOUT, RESET, Replicas, SESSION, Session, key_of};
use crate::support::prelude::*;

/// Redis is given up after 500 ms.
const REDIS_WAITS: Duration = Duration::from_millis(400);
/// WeChat is given up after 5 s.
const WECHAT_WAITS: Duration = Duration::from_secs(4);
const BOUND: usize = 8;
/// More answers of Redis than any of these requests waits for.
const MOST_STEPS: u64 = 8;

type Request<'a> = (&'a str, &'a str, &'a Value);

impl Replicas {
    async fn begin(&self, session: &Session, (method, path, body): Request<'_>) -> Impatient {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        Impatient::asks(
            self.0.service().public,
            &format!("{method} {path}"),
            &session.token,
            &body,
        )
        .await
    }

    /// A login of somebody new whose client then asks, and hangs up while it is `number` that is on its way of Redis'
    /// answers. Begins again where the machine is so slow that Redis is given up.
    async fn hung_up_at(&self, number: u64, request: Request<'_>) -> Session {
        let mut people = 0;
        let begin_and_hang_up = async || {
            people += 1;
            let session = self
                .log_in(&format!("lin-{}-{number}-{people}", request.0))
                .await;
            let (link, begun) = (self.0.redis_link(), Instant::now());
            link.withhold_from(number);
            let client = self.begin(&session, request).await;
            until("an answer on its way", PATIENCE, async || {
                link.is_withholding() || client.is_answered()
            })
            .await;
            assert!(number > 1 || link.is_withholding(), "none is on its way");
            client.hang_up(self.0.service()).await;
            link.restore().await;
            (begun.elapsed() < REDIS_WAITS).then_some(session)
        };
        eventually(
            "a machine that is fast enough",
            3 * PATIENCE,
            begin_and_hang_up,
        )
        .await
    }

    /// The key that WeChat has once it has replaced that of `lin`'s login.
    async fn key_after(&self, lin: &Session) -> String {
        let new = async || Some(session_key(&self.0, "lin").await).filter(|key| *key != lin.key);
        eventually("WeChat has a new key", PATIENCE, new).await
    }
}

#[tokio::test]
async fn what_wechat_answers_late_undoes_no_logout_or_later_login_and_is_kept_of_a_login_that_nobody_waits_for()
 {
    let replicas = Replicas(TestBed::builder().breakable_wechat().start().await);
    let (bed, lin) = (&replicas.0, replicas.log_in("lin").await);
    assert!(validity(&replicas.check(0, &lin).await));
    bed.wechat_link().withhold_answers().await;
    let (_, logout) = tokio::join!(
        replicas.ask(0, "POST", RESET, &lin.token, &Value::Null),
        async {
            replicas.key_after(&lin).await;
            let logout = replicas
                .ask(0, "POST", LOGOUT, &lin.token, &Value::Null)
                .await;
            bed.wechat_link().restore().await;
            logout
        }
    );
    assert_eq!((logout.status, replicas.kept(&lin).len()), (204, 0));

    let lin = replicas.log_in("lin").await;
    let body = json!({"code": bed.mint_code("lin").await});
    bed.wechat_link().withhold_answers().await;
    let client = replicas.begin(&lin, ("POST", LOGIN, &body)).await;
    replicas.key_after(&lin).await;
    client.hang_up(bed.service()).await;
    bed.wechat_link().restore().await;
    until("the new key is kept", PATIENCE, async || {
        validity(&replicas.check(0, &lin).await)
    })
    .await;
    let counted = [
        "wxmint_logins_total{platform=\"wechat\",app=\"wx0123456789abcdef\",outcome=\"ok\"} 3",
        "wxmint_logins_in_flight 0",
    ];
    let metrics = bed.service().metrics().await;
    assert!(
        counted.iter().all(|line| metrics.contains(line)),
        "it counts as a login: {metrics}"
    );

    let exchanged = bed.wechat.exchanges().await;
    bed.faults(json!([{"kind": "latency", "ms": 1000, "times": 1}]))
        .await;
    let (_, second) = tokio::join!(bed.log_in("lin"), async {
        until("the first is at WeChat", PATIENCE, async || {
            bed.wechat.exchanges().await > exchanged
        })
        .await;
        replicas.log_in("lin").await
    });
    assert!(
        validity(&replicas.check(0, &second).await),
        "WeChat's last key is kept, though the other came later"
    );
}

/// As many as there may be connections. Begins again where the machine is so slow that WeChat is given up.
#[tokio::test]
async fn logins_that_nobody_waits_for_are_bounded() {
    let builder = TestBed::builder()
        .breakable_wechat()
        .env("WXMINT_MAX_CONNECTIONS", &BOUND.to_string());
    let replicas = Replicas(builder.start().await);
    let (bed, lin) = (&replicas.0, replicas.log_in("lin").await);
    let fill_up = async || {
        let begun = Instant::now();
        bed.wechat_link().withhold_answers().await;
        for _ in 0..BOUND {
            let exchanged = bed.wechat.exchanges().await;
            let body = json!({"code": bed.mint_code(&format!("person-{exchanged}")).await});
            let client = replicas.begin(&lin, ("POST", LOGIN, &body)).await;
            until("WeChat is asked", PATIENCE, async || {
                bed.wechat.exchanges().await > exchanged
            })
            .await;
            client.hang_up(bed.service()).await;
        }
        let refused = bed.log_in("mei").await;
        bed.wechat_link().restore().await;
        (begun.elapsed() < WECHAT_WAITS).then_some(refused)
    };
    let refused = eventually("a machine that is fast enough", 3 * PATIENCE, fill_up).await;
    assert_eq!(
        refused
            .expect_problem(503, "store_unavailable")
            .header("retry-after"),
        "1"
    );
    until("room", PATIENCE, async || {
        bed.log_in("mei").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn a_logout_and_the_end_of_a_binding_are_done() {
    let replicas = Replicas(TestBed::builder().breakable_redis().start().await);
    for (method, path) in [("POST", LOGOUT), ("DELETE", BINDING)] {
        for number in 1..=MOST_STEPS {
            let lin = replicas
                .hung_up_at(number, (method, path, &Value::Null))
                .await;
            let refused = async || {
                let answer = replicas
                    .ask(0, "GET", SESSION, &lin.token, &Value::Null)
                    .await;
                (answer.status == 401 && replicas.kept(&lin).is_empty()).then_some(())
            };
            eventually(
                &format!("{path}, hung up at answer {number}"),
                PATIENCE,
                refused,
            )
            .await;
            let is_half_done = |field| {
                replicas.0.redis.command::<bool>(&[
                    "HEXISTS",
                    &key_of(APPID, &lin, "binding"),
                    field,
                ])
            };
            let ended = || path == LOGOUT || !["u", "q"].into_iter().any(is_half_done);
            until("nothing is half done", PATIENCE, async || ended()).await;
        }
    }
}
