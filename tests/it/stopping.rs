//! SIGTERM: what is in flight is answered, and then the process ends.

use crate::support::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const IN_FLIGHT: usize = 80;
/// How many of them may be refused: a busy machine is too slow for Redis' deadline where all go on at once.
const REFUSED: usize = if BUSY.as_secs() < PATIENCE.as_secs() {
    IN_FLIGHT / 10
} else {
    IN_FLIGHT - 1
};
/// Kubernetes kills after 30 s unless told otherwise.
const STOPPED_WITHIN: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_stop_answers_every_login_in_flight_by_a_token_or_a_503() {
    let mut bed = TestBed::builder().breakable_wechat().start().await;
    let people = json!({"person": "crowd", "count": IN_FLIGHT, "distinct_people": true});
    let codes = bed.wechat.mint_codes(people).await;
    bed.wechat_link().withhold_answers().await;
    let mut logins = JoinSet::new();
    for code in codes {
        let (http, url) = (bed.http.clone(), bed.service().url("/login"));
        logins.spawn(async move {
            http.send(http.0.post(url).json(&json!({"code": code})))
                .await
        });
    }
    until("all logins are at WeChat", PATIENCE, async || {
        bed.wechat.exchanges().await == IN_FLIGHT as u64
    })
    .await;
    bed.service().signal(Signal::TERM);
    until("not ready any more", PATIENCE, async || {
        let request = bed
            .http
            .0
            .get(format!("http://{}/readyz", bed.service().admin));
        bed.http
            .try_send(request)
            .await
            .map_or(true, |answer| answer.status == 503)
    })
    .await;
    bed.wechat_link().restore().await;
    let (slow, answered): (Vec<_>, Vec<_>) = logins
        .join_all()
        .await
        .into_iter()
        .partition(|answer| answer.status == 503);
    assert!(
        slow.len() <= REFUSED,
        "{} of {IN_FLIGHT} are refused",
        slow.len()
    );
    for answer in answered {
        drop(answer.expect_login());
    }
    for answer in slow {
        drop(answer.expect_problem(503, "store_unavailable"));
    }
    assert_eq!(bed.services[0].end(STOPPED_WITHIN).await.code(), Some(0));
}

/// The admin listener ends after the public one.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_waits_for_the_doctor_is_answered() {
    let secret = "planted-secret-of-an-operator-5d11";
    let mut bed = TestBed::builder()
        .breakable_wechat()
        .operators(&format!("on-call {secret}\n"))
        .start()
        .await;
    bed.wechat_link().withhold_answers().await;
    let asking = bed
        .service()
        .operate("GET", "/doctor", secret, &Value::Null);
    let (answer, ()) = tokio::join!(asking, bed.stop_while_the_doctor_waits());
    assert!(
        answer.status == 200 && answer.body.contains("wechat.credentials"),
        "{answer:?}"
    );
    assert_eq!(bed.services[0].end(STOPPED_WITHIN).await.code(), Some(0));
}

/// Its phone has hung up, so that no connection is left. WeChat has replaced the session key already.
#[tokio::test]
async fn a_login_that_nobody_waits_for_is_brought_to_its_end() {
    let mut bed = TestBed::builder().breakable_wechat().start().await;
    let body = json!({"code": bed.mint_code("lin").await}).to_string();
    bed.wechat_link().withhold_answers().await;
    let phone = Impatient::asks(bed.service().public, "POST /login", "", &body).await;
    until("the login is at WeChat", PATIENCE, async || {
        bed.wechat.exchanges().await == 1
    })
    .await;
    phone.hang_up(bed.service()).await;
    bed.service().signal(Signal::TERM);
    until("no listener", PATIENCE, async || {
        TcpStream::connect(bed.service().public).await.is_err()
    })
    .await;
    bed.wechat_link().restore().await;
    assert_eq!(bed.services[0].end(STOPPED_WITHIN).await.code(), Some(0));
    assert_eq!(
        bed.redis
            .command::<Vec<String>>(&["KEYS", "wxmint:*:session"])
            .len(),
        1,
        "the new key is kept"
    );
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_end_by_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut bed = TestBed::start().await;
        let mut idle = Vec::new();
        for _ in 0..20 {
            let mut connection = TcpStream::connect(bed.service().public)
                .await
                .expect("a connection");
            connection
                .write_all(b"HEAD /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n")
                .await
                .expect("sent");
            assert!(connection.read(&mut [0; 2048]).await.expect("an answer") > 0);
            idle.push(connection);
        }
        // Connected, and has not said a word.
        idle.push(
            TcpStream::connect(bed.service().public)
                .await
                .expect("a connection"),
        );
        bed.service().signal(signal);
        assert_eq!(
            bed.services[0].end(BUSY).await.code(),
            Some(0),
            "{signal:?}"
        );
    }
}
