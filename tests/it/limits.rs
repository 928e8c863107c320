//! Limits per address, per person, and for failed passwords. Exact to one request under concurrency,
//! told with the exact wait, and nobody can lock somebody else out.

mod passwords;
mod phone_numbers;
mod proxies;

use chrono::{DateTime, TimeDelta, Utc};
use wxmint::clock::now;

use crate::support::audit::is_audit;
use crate::support::prelude::*;

/// How many of the answers have this status, the rest being refused by a limit.
fn admitted(answers: Vec<Answer>, status: u16) -> usize {
    let (admitted, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer.status == status);
    for answer in refused {
        answer.expect_problem(429, "rate_limited");
    }
    admitted.len()
}

/// The first who is refused is told this time, a full limit after `first`: a period from then on and up to an eighth of
/// it, in which `first` is counted in full still, rounded up. Each was counted between its sending and its answer.
#[track_caller]
pub(crate) fn expect_exact_wait(period: Duration, first: &Answer, refused: &Answer) {
    let shortest = period.saturating_sub(refused.sent + refused.took - first.sent);
    let since = refused
        .sent
        .saturating_duration_since(first.sent + first.took);
    let longest = (period + period / 8).saturating_sub(since);
    let [shortest, longest] =
        [shortest, longest].map(|wait| wait.as_nanos().div_ceil(1_000_000_000));
    let told = refused
        .header("retry-after")
        .parse()
        .expect("whole seconds");
    assert!(
        (shortest..=longest).contains(&told),
        "{told} s is not from {shortest} to {longest}"
    );
}

/// Whoever reads the log of a launch must see which limit it is that refuses logins.
#[tokio::test]
async fn of_forty_at_once_at_two_replicas_exactly_twenty_are_let_through_and_log_and_audit_say_which_limit_it_is()
 {
    for (variable, limit, of_another) in [
        ("WXMINT_LIMIT_IP", "ip", 429),
        ("WXMINT_LIMIT_OPENID", "openid", 200),
    ] {
        let bed = TestBed::builder()
            .services(2)
            .env(variable, "20/1h")
            .start()
            .await;
        let wanted = json!({"person": "lin", "count": 40, "distinct_people": limit == "ip"});
        let codes = bed.wechat.mint_codes(wanted).await;
        let logins_at_once = codes
            .iter()
            .enumerate()
            .map(|(number, code)| bed.services[number % 2].login(code));
        let answers = join_all(logins_at_once).await;
        let first = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .min_by_key(|answer| answer.sent);
        let first = first.expect("some are let through").clone();
        assert_eq!(admitted(answers, 200), 20, "{variable}");
        // Only WeChat says who is who.
        assert!(limit != "ip" || bed.wechat.exchanges().await == 20);
        expect_told(&bed, 20, limit).await;
        let refused = bed.log_in("lin").await.expect_problem(429, "rate_limited");
        expect_exact_wait(Duration::from_hours(1), &first, &refused);
        assert_eq!(
            bed.log_in("mei").await.status,
            of_another,
            "{limit}: another person at the same address"
        );
    }
}

/// So many lines in the logs, and one audit event of each replica for now, because clients decide their number.
async fn expect_told(bed: &TestBed, refusals: usize, limit: &str) {
    let told_by = |service: &Service| {
        let told = service
            .events()
            .into_iter()
            .filter(|line| line["limit"] == limit || line["unmapped"]["limit"] == limit);
        told.partition::<Vec<_>, _>(is_audit)
    };
    let lines = || {
        bed.services
            .iter()
            .flat_map(|service| told_by(service).1)
            .collect::<Vec<_>>()
    };
    until("a line for each", PATIENCE, async || {
        lines().len() == refusals
    })
    .await;
    let in_an_hour = now() + TimeDelta::minutes(50)..now() + TimeDelta::minutes(70);
    for line in lines() {
        assert_eq!(line["message"], "login refused");
        assert_eq!(line["cause"], format!("the limit {limit} is reached"));
        let until: Option<DateTime<Utc>> =
            line["until"].as_str().and_then(|until| until.parse().ok());
        assert!(
            until.is_some_and(|until| in_an_hour.contains(&until)) && line["client"].is_null(),
            "{line}"
        );
    }
    for (events, _) in bed
        .services
        .iter()
        .map(told_by)
        .filter(|(_, lines)| !lines.is_empty())
    {
        let [event] = &events[..] else {
            panic!("one event for now: {events:?}")
        };
        let said = ["/status_detail", "/metadata/event_code", "/src_endpoint/ip"].map(|field| {
            event
                .pointer(field)
                .and_then(Value::as_str)
                .expect("a text")
        });
        assert_eq!(said, ["rate_limited", "login", "127.0.0.1"], "{event}");
        let until = event["unmapped"]["until"]
            .as_i64()
            .and_then(DateTime::from_timestamp_millis);
        assert!(
            until.is_some_and(|until| in_an_hour.contains(&until)),
            "{event}"
        );
    }
}
