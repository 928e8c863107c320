//! A week of a platform in minutes: every process has a clock that the test moves, ten minutes at a time.

use super::{COMPONENT_TOKEN, EXCHANGE, STRANGER, push_to_first};
use crate::support::prelude::*;

const STEP: i64 = 600;
const STEPS: i64 = 7 * 24 * 6;
const MERCHANTS: usize = 20;
/// The steps of the week: no ticket comes for eleven hours (it is good for twelve), and WeChat is silent for one hour.
const NO_TICKETS: std::ops::Range<i64> = 300..366;
const NO_WECHAT: std::ops::Range<i64> = 500..506;
/// When a replica is killed, and another one comes.
const RESTART: i64 = 700;

struct Week {
    bed: TestBed,
    clock: Clock,
    /// Draws the same in each run.
    draw: fastrand::Rng,
    ids: Vec<String>,
    /// The status of each merchant's logins, and until which step they may have another, because its push was lost.
    merchants: Vec<(u16, i64)>,
    died_early: u64,
}

impl Week {
    async fn begin() -> Self {
        let ids: Vec<String> = (0..MERCHANTS)
            .map(|number| format!("wx{number:016x}"))
            .collect();
        let builder = ids
            .iter()
            .fold(TestBed::builder().services(2), |builder, id| {
                builder.app(id, OTHER_SECRET)
            });
        let (clock, bed) =
            Clock::around(builder.platform().env("WXMINT_LIMIT_IP", "100000/5m")).await;
        let bed = push_to_first(bed).await;
        let (draw, merchants) = (fastrand::Rng::with_seed(42), vec![(400, 0); MERCHANTS]);
        Self {
            bed,
            clock,
            draw,
            ids,
            merchants,
            died_early: 0,
        }
    }

    /// Without the bed's search for secrets, which takes longer with each answer.
    async fn log_in(&self, service: &Service, merchant: &str, person: usize) -> (u16, Value) {
        let post = async |url: String, body: Value| {
            let answer = self
                .bed
                .http
                .0
                .post(url)
                .json(&body)
                .send()
                .await
                .expect("an answer");
            (
                answer.status().as_u16(),
                answer.json::<Value>().await.expect("JSON"),
            )
        };
        let wanted = json!({"person": format!("p{person}"), "appid": merchant});
        let code = match merchant == STRANGER {
            true => "0".repeat(32).into(),
            false => post(
                format!("{}/_simulator/codes", self.bed.wechat.url()),
                wanted,
            )
            .await
            .1["codes"][0]
                .take(),
        };
        post(
            service.url("/login"),
            json!({"code": code, "appid": merchant}),
        )
        .await
    }

    /// Until both replicas know, which look every quarter of a second, in which hours of the clock can pass. One that
    /// does not know yet that a merchant has left asks WeChat, and refuses the login as well.
    async fn both_answer(&self, merchant: &str, status: u16) {
        for service in &self.bed.services {
            let answers = async || {
                let asked = self.bed.wechat.asked(EXCHANGE).await;
                let found = self.log_in(service, merchant, 0).await.0;
                found == status && (status == 200 || self.bed.wechat.asked(EXCHANGE).await == asked)
            };
            until(
                "both replicas know what a merchant has done",
                PATIENCE * 4,
                answers,
            )
            .await;
        }
    }

    /// A merchant comes or goes, and its push is lost now and then: then WeChat's list tells within the hour.
    async fn change_a_merchant(&mut self, step: i64) {
        let (merchant, is_pushed) = (self.draw.usize(..MERCHANTS), self.draw.usize(..12) > 0);
        // The replicas do not know yet what this one has done, so their answers would tell nothing.
        if self.merchants[merchant].1 > 0 {
            return;
        }
        let id = &self.ids[merchant];
        let status = if self.merchants[merchant].0 == 200 {
            400
        } else {
            200
        };
        let (path, method) = match status {
            200 => ("platform/merchants".to_owned(), "POST"),
            _ => (
                format!("platform/merchants/{id}?push={is_pushed}"),
                "DELETE",
            ),
        };
        self.bed
            .wechat
            .control(&path, method, &json!({"appid": id, "push": is_pushed}))
            .await;
        self.merchants[merchant] = (status, if is_pushed { 0 } else { step + 7 });
        if is_pushed {
            self.both_answer(&self.ids[merchant], status).await;
        }
    }

    /// Each must be as WeChat would have it.
    #[expect(
        clippy::cognitive_complexity,
        reason = "the test is a story that reads from top to bottom"
    )]
    async fn live(&mut self) {
        for step in 0..STEPS {
            self.clock.is_later(&self.bed, step * STEP);
            if step == NO_WECHAT.start {
                self.bed.faults(json!([{"kind": "reset"}])).await;
            }
            if NO_WECHAT.contains(&step) {
                let (status, answer) = self.log_in(&self.bed.services[0], &self.ids[0], 1).await;
                assert!([400, 503].contains(&status), "{status}: {answer}");
                continue;
            }
            if step == NO_WECHAT.end {
                self.bed.faults(json!([])).await;
            }
            if !NO_TICKETS.contains(&step) {
                let pushed = self
                    .bed
                    .wechat
                    .control("platform/ticket", "POST", &json!({}))
                    .await
                    .json();
                assert_eq!(pushed["body"], "success", "{pushed}");
            }
            if [0, NO_TICKETS.end, NO_WECHAT.end].contains(&step) {
                // Each replica looks every quarter of a second, which the clock does not make shorter; and a breaker
                // that has opened lets WeChat be asked again after a second.
                self.both_answer(STRANGER, 400).await;
            }
            if step == RESTART {
                self.bed.services[1] = self.bed.another().await;
            }
            if self.draw.usize(..12) == 0 || step < 40 {
                self.change_a_merchant(step).await;
            }
            if self.draw.usize(..40) == 0 {
                let ended = json!({"what": if self.draw.bool() { "component" } else { "merchants" }, "how": "expired"});
                self.bed
                    .wechat
                    .control("platform/end_tokens", "POST", &ended)
                    .await;
                self.died_early += 1;
            }
            for _ in 0..4 {
                let (merchant, person) = (self.draw.usize(..MERCHANTS), self.draw.usize(..1000));
                let service = self.draw.usize(..2);
                let (status, unsure_until) = self.merchants[merchant];
                if unsure_until > 0 && step >= unsure_until {
                    self.both_answer(&self.ids[merchant], status).await;
                    self.merchants[merchant].1 = 0;
                }
                if step >= unsure_until {
                    let (found, answer) = self
                        .log_in(&self.bed.services[service], &self.ids[merchant], person)
                        .await;
                    assert_eq!(found, status, "{} at {step}: {answer}", self.ids[merchant]);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn in_a_week_with_twenty_merchants_no_login_is_refused_that_wechat_would_have_allowed() {
    limit::at_most(Duration::from_mins(20));
    let mut week = Week::begin().await;
    week.live().await;
    let renewals = week.bed.wechat.asked(COMPONENT_TOKEN).await;
    tell(&format!(
        "a week of a platform: {renewals} tokens of the platform fetched"
    ));
    // A token lives for two hours, and is renewed after eleven twelfths of it.
    assert!(
        (85..=110 + week.died_early).contains(&renewals),
        "{renewals} renewals"
    );
    for service in &week.bed.services {
        service.expect_no_faults().await;
    }
}
