//! Limits per address, per person, and for failed passwords. Exact to one request under concurrency,
//! told with the exact wait, and nobody can lock somebody else out.

mod passwords;
mod proxies;

use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use wxmint::clock::now;

use crate::support::audit::is_audit;
use crate::support::prelude::*;

/// How many of the answers have this status, the rest being refused by a limit.
fn admitted(answers: Vec<Answer>, status: u16) -> usize {
    let (admitted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == status);
    for answer in refused {
        answer.expect_problem(429, "rate_limited");
    }
    admitted.len()
}

/// The first who is refused may be told this time, a full limit after `first`: a period from then on and up to an
/// eighth of it, in which `first` is counted in full still, rounded up. Each was counted between its sending and its
/// answer.
fn exact_waits(period: Duration, first: &Answer, refused: &Answer) -> RangeInclusive<u64> {
    let (first_earliest, first_latest) = (first.sent, first.sent + first.took);
    let (refused_earliest, refused_latest) = (refused.sent, refused.sent + refused.took);
    let rounded_up = |wait: Duration| wait.as_nanos().div_ceil(1_000_000_000) as u64;
    let shortest = period.saturating_sub(refused_latest - first_earliest);
    let longest = (period + period / 8).saturating_sub(refused_earliest.saturating_duration_since(first_latest));
    rounded_up(shortest)..=rounded_up(longest)
}

#[track_caller]
pub(crate) fn expect_exact_wait(period: Duration, first: &Answer, refused: &Answer) {
    let (waits, told) = (exact_waits(period, first, refused), refused.header("retry-after").parse());
    let told = told.expect("whole seconds");
    assert!(waits.contains(&told), "{told} s is not in {waits:?}");
}

#[tokio::test]
async fn of_forty_at_once_at_two_replicas_exactly_twenty_are_let_through_a_limit_of_twenty() {
    for variable in ["WXMINT_LIMIT_IP", "WXMINT_LIMIT_OPENID"] {
        let bed = TestBed::builder().services(2).env(variable, "20/1h").start().await;
        let by_address = variable == "WXMINT_LIMIT_IP";
        let wanted = json!({"person": "lin", "count": 40, "distinct_people": by_address});
        let codes = bed.wechat.mint_codes(wanted).await;
        let logins_at_once = codes.iter().enumerate().map(|(number, code)| bed.services[number % 2].login(code));
        assert_eq!(admitted(join_all(logins_at_once).await, 200), 20, "{variable}");
        // Only WeChat says who is who.
        assert!(!by_address || bed.wechat.exchanges().await == 20);
    }
}

/// Whoever reads the log of a launch must see which limit it is that refuses logins.
#[tokio::test]
async fn whoever_is_at_a_limit_waits_and_log_and_audit_say_which_it_is() {
    for (variable, limit, of_another) in [("WXMINT_LIMIT_IP", "ip", 429), ("WXMINT_LIMIT_OPENID", "openid", 200)] {
        let bed = TestBed::builder().env(variable, "3/1h").start().await;
        let first = bed.log_in("lin").await.expect_login();
        for _ in 1..3 {
            bed.log_in("lin").await.expect_login();
        }
        expect_limited(&bed, async || bed.log_in("lin").await, limit).await;
        let refused = bed.log_in("lin").await.expect_problem(429, "rate_limited");
        expect_exact_wait(Duration::from_secs(3600), &first, &refused);
        assert_eq!(bed.log_in("mei").await.status, of_another, "{limit}: another person at the same address");
    }
}

/// Refused three times: three lines in the log, and one audit event for now, because clients decide their number.
async fn expect_limited(bed: &TestBed, log_in: impl AsyncFn() -> Answer, limit: &str) {
    for _ in 0..3 {
        log_in().await.expect_problem(429, "rate_limited");
    }
    let lines = || bed.service().events().into_iter().filter(|line| line["limit"] == limit);
    until("three lines", PATIENCE, async || lines().count() == 3).await;
    let in_an_hour = now() + TimeDelta::minutes(50)..now() + TimeDelta::minutes(70);
    for line in lines() {
        assert_eq!(
            (&line["message"], &line["cause"]),
            (&json!("login refused"), &json!(format!("the limit {limit} is reached")))
        );
        let until: Option<DateTime<Utc>> = line["until"].as_str().and_then(|until| until.parse().ok());
        assert!(until.is_some_and(|until| in_an_hour.contains(&until)) && line["client"].is_null(), "{line}");
    }
    let events = bed.service().events().into_iter().filter(is_audit);
    let [event] =
        events.filter(|event| event["unmapped"]["limit"] == limit).collect::<Vec<_>>().try_into().expect("one");
    let said = ["/status_detail", "/metadata/event_code", "/src_endpoint/ip"]
        .map(|field| event.pointer(field).and_then(Value::as_str).expect("a text"));
    assert_eq!(said, ["rate_limited", "login", "127.0.0.1"], "{event}");
    let until = event["unmapped"]["until"].as_i64().and_then(DateTime::from_timestamp_millis);
    assert!(until.is_some_and(|until| in_an_hour.contains(&until)), "{event}");
}
