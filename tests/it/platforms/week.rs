//! A week of a platform in minutes: every process has a clock that the test moves, ten minutes at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{COMPONENT_TOKEN, STRANGER, push_to_first};
use crate::support::{OTHER_SECRET, PATIENCE, Service, TestBed, limit, tell, until};

const STEP: i64 = 600;
const STEPS: i64 = 7 * 24 * 6;
const MERCHANTS: usize = 50;
/// The steps of the week: no ticket comes for eleven hours (it is good for twelve), and WeChat is silent for one hour.
const NO_TICKETS: std::ops::Range<i64> = 300..366;
const NO_WECHAT: std::ops::Range<i64> = 500..506;
/// When a replica is killed, and another one comes.
const RESTART: i64 = 700;

/// Draws the same in each run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

struct Week {
    bed: TestBed,
    clock: PathBuf,
    _folders: [TempDir; 1],
    draw: Draw,
    ids: Vec<String>,
    is_in: BTreeSet<usize>,
    counts: BTreeMap<&'static str, usize>,
}

impl Week {
    async fn begin() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = folder.path().join("now");
        fs::write(&clock, "+0\n").expect("written");
        let ids: Vec<String> = (0..MERCHANTS).map(|number| format!("wx{number:016x}")).collect();
        let builder = ids.iter().fold(TestBed::builder().services(2), |builder, id| builder.app(id, OTHER_SECRET));
        let builder = builder.platform().on_the_clock_of(&clock, folder.path()).env("WXMINT_LIMIT_IP", "100000/5m");
        let bed = push_to_first(builder.start().await).await;
        let (draw, is_in, counts) = (Draw(42), BTreeSet::new(), BTreeMap::new());
        Self { bed, clock, _folders: [folder], draw, ids, is_in, counts }
    }

    fn counted(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn at(&self, step: i64) {
        // In one piece: a program may look at any time.
        let draft = self.clock.with_extension("draft");
        fs::write(&draft, format!("+{}\n", step * STEP)).expect("written");
        fs::rename(draft, &self.clock).expect("our own folder");
        self.bed.redis.move_clock(step * STEP);
    }

    async fn control(&self, path: &str, method: &str, body: &Value) -> Value {
        self.bed.wechat.control(path, method, body).await.json()
    }

    /// Without the bed's search for secrets, which takes longer with each answer.
    async fn log_in(&self, service: &Service, merchant: &str, person: usize) -> (u16, String) {
        let code = match merchant == STRANGER {
            true => "0".repeat(32),
            false => {
                let wanted = json!({"person": format!("p{person}"), "appid": merchant});
                let url = format!("{}/_simulator/codes", self.bed.wechat.url());
                let answer = self.bed.http.0.post(url).json(&wanted).send().await.expect("an answer");
                let told: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
                told["codes"][0].as_str().expect("a code").to_owned()
            }
        };
        let asked = json!({"code": code, "appid": merchant});
        let answer = self.bed.http.0.post(service.url("/login")).json(&asked).send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    }

    /// Until both replicas know.
    async fn both_answer(&self, merchant: usize, status: u16) {
        for service in &self.bed.services {
            let answers = async || self.log_in(service, &self.ids[merchant], 0).await.0 == status;
            until("both replicas know what a merchant has done", PATIENCE * 4, answers).await;
        }
    }

    /// A merchant comes or goes, and its push is lost now and then: then WeChat's list tells within the hour.
    async fn change_a_merchant(&mut self, step: i64) -> Option<(usize, u16, i64)> {
        let merchant = self.draw.below(MERCHANTS);
        let is_pushed = self.draw.below(12) > 0;
        let status = if self.is_in.remove(&merchant) {
            let path = format!("platform/merchants/{}?push={is_pushed}", self.ids[merchant]);
            self.control(&path, "DELETE", &Value::Null).await;
            self.counted("left");
            400
        } else {
            let asked = json!({"appid": self.ids[merchant], "push": is_pushed});
            self.control("platform/merchants", "POST", &asked).await;
            self.is_in.insert(merchant);
            self.counted("came");
            200
        };
        match is_pushed {
            true => {
                self.both_answer(merchant, status).await;
                None
            }
            false => {
                self.counted("pushes lost");
                Some((merchant, status, step + 7))
            }
        }
    }

    async fn log_some_in(&mut self, unsure: &BTreeMap<usize, (u16, i64)>) {
        for _ in 0..4 {
            let (merchant, person, replica) = (self.draw.below(MERCHANTS), self.draw.below(1000), self.draw.below(2));
            if unsure.contains_key(&merchant) {
                continue;
            }
            let wanted = if self.is_in.contains(&merchant) { 200 } else { 400 };
            let (status, body) = self.log_in(&self.bed.services[replica], &self.ids[merchant], person).await;
            assert_eq!(status, wanted, "{}: {body}", self.ids[merchant]);
            self.counted(if wanted == 200 { "logins" } else { "strangers' logins refused" });
        }
    }

    /// Each must be as WeChat would have it.
    async fn live(&mut self) {
        let mut unsure: BTreeMap<usize, (u16, i64)> = BTreeMap::new();
        for step in 0..STEPS {
            self.at(step);
            if step == NO_WECHAT.start {
                self.bed.faults(json!([{"kind": "reset"}])).await;
            }
            if step == NO_WECHAT.end {
                self.bed.faults(json!([])).await;
            }
            if NO_WECHAT.contains(&step) {
                let (status, _) = self.log_in(&self.bed.services[0], &self.ids[0], 1).await;
                assert!([400, 503].contains(&status), "{status}");
                continue;
            }
            if !NO_TICKETS.contains(&step) {
                let pushed = self.control("platform/ticket", "POST", &json!({})).await;
                assert_eq!(pushed["body"], "success", "{pushed}");
                self.counted("tickets");
            }
            if step == NO_TICKETS.end {
                // Each replica looks every quarter of a second, which the clock does not make shorter.
                for service in &self.bed.services {
                    let knows = async || !service.admin("/readyz").await.body.contains("ticket");
                    until("the new ticket is known", PATIENCE, knows).await;
                }
            }
            if step == 0 || step == NO_WECHAT.end {
                for service in &self.bed.services {
                    // A breaker that has opened lets WeChat be asked again after a second.
                    let compared = async || self.log_in(service, STRANGER, 0).await.0 == 400;
                    until("the list is compared", PATIENCE * 4, compared).await;
                }
                if let Some(&merchant) = self.is_in.iter().next() {
                    self.both_answer(merchant, 200).await;
                }
            }
            if step == RESTART {
                self.bed.services[1] = Service::start(&self.bed.configuration, self.bed.http.clone()).await;
                self.bed.services[1].ready().await;
            }
            if self.draw.below(12) == 0 || step < 60 {
                let before: BTreeSet<usize> = self.is_in.clone();
                if let Some((merchant, status, by)) = self.change_a_merchant(step).await {
                    unsure.insert(merchant, (status, by));
                } else if let Some(changed) = before.symmetric_difference(&self.is_in).next() {
                    unsure.remove(changed);
                }
            }
            if self.draw.below(40) == 0 {
                let what = ["component", "merchants"][self.draw.below(2)];
                self.control("platform/end_tokens", "POST", &json!({"what": what, "how": "expired"})).await;
                self.counted("tokens that died early");
            }
            let due: Vec<usize> =
                unsure.iter().filter(|(_, (_, by))| *by <= step).map(|(merchant, _)| *merchant).collect();
            for merchant in due {
                let (status, _) = unsure.remove(&merchant).expect("it is there");
                self.both_answer(merchant, status).await;
            }
            self.log_some_in(&unsure).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow; make nightly runs it"]
async fn in_a_week_with_fifty_merchants_no_login_is_refused_that_wechat_would_have_allowed() {
    limit::at_most(Duration::from_secs(1200));
    let mut week = Week::begin().await;
    week.live().await;
    let renewals = week.bed.wechat.asked(COMPONENT_TOKEN).await;
    tell(&format!("a week of a platform: {:?}, and {renewals} tokens of the platform fetched", week.counts));
    // A token lives for two hours, and is renewed after eleven twelfths of it.
    let early = week.counts["tokens that died early"] as u64;
    assert!((85..=110 + early).contains(&renewals), "{renewals} renewals");
    for service in &week.bed.services {
        service.expect_no_faults().await;
    }
}
