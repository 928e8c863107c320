//! The faults that tests switch on, and the decision which request gets which fault.

use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::call::Endpoint;

/// The longest delay or stall. Longer ones are of no use to a test, and keep sockets open.
pub(super) const LONGEST: Duration = Duration::from_millis(MOST_MS);
const MOST_MS: u64 = 120_000;

const EVERY_PATH: &str = "*";

/// A fault as callers write and read it: `{"path":"/sns/jscode2session","kind":"latency","ms":50}`.
/// `times` is the number of its remaining uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    #[serde(default = "every_path")]
    path: String,
    /// The app whose requests get the fault. If `None`, the requests of all apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    appid: Option<String>,
    pub(super) kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) errcode: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    #[serde(default)]
    after: bool,
    #[serde(default = "always")]
    probability: f64,
    #[serde(default)]
    times: Option<u32>,
}

fn every_path() -> String {
    EVERY_PATH.to_owned()
}

fn always() -> f64 {
    1.0
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// The real answer, delayed. All other kinds replace the real answer.
    Latency,
    /// No answer until the client disconnects.
    Stall,
    /// A TCP RST before any byte of an answer.
    Reset,
    Errcode,
    /// A proxy's HTML page with status 200.
    Html,
    /// An HTTP status with an HTML body.
    Status,
    /// Half of the real answer, then the connection closes.
    Truncated,
    /// Status 200 without a body.
    Empty,
    /// 10 MiB that begin like an answer.
    Huge,
    /// The real answer, a byte a second.
    Drip,
    /// Text that is no JSON.
    Garbage,
    /// The real answer of another platform, with texts in place of numbers.
    QuotedNumbers,
    /// The real answer of another platform, with the unionid `""`.
    EmptyUnionid,
    /// The real answer of another platform, with the unionid null.
    NullUnionid,
    /// The real answer of another platform after a byte order mark.
    ByteOrderMark,
    /// The real answer of another platform, which names a device in place of the person.
    Anonymous,
    /// The real answer of another platform, with `data` null.
    NoData,
    /// The real answer of Bilibili, with `openId` in place of `openid`.
    OtherSpelling,
    /// Alipay's real answer without its signature.
    NoSign,
    /// Alipay's real answer with another signature.
    WrongSign,
    /// Alipay's real answer with its signature over another answer.
    SignOfAnotherNode,
    /// Alipay's real answer, in which `/` is escaped after it was signed.
    EscapedSlash,
    /// An error of Alipay's in the place of the result.
    ErrorInNode,
}

impl Kind {
    /// Whether another platform gives its real answer in another form.
    pub(super) fn is_form(self) -> bool {
        matches!(
            self,
            Self::QuotedNumbers
                | Self::EmptyUnionid
                | Self::NullUnionid
                | Self::ByteOrderMark
                | Self::Anonymous
                | Self::NoData
                | Self::OtherSpelling
                | Self::NoSign
                | Self::WrongSign
                | Self::SignOfAnotherNode
                | Self::EscapedSlash
                | Self::ErrorInNode
        )
    }

    /// Whether the platform with this path can give its real answer in this form.
    fn is_form_of(self, path: &str) -> bool {
        let is_at = |endpoint: Endpoint| path == endpoint.path();
        match self {
            Self::ByteOrderMark => true,
            Self::NoData => is_at(Endpoint::Douyin),
            Self::OtherSpelling => is_at(Endpoint::Bilibili),
            Self::Anonymous => !is_at(Endpoint::Alipay) && !is_at(Endpoint::Huawei),
            Self::NoSign
            | Self::WrongSign
            | Self::SignOfAnotherNode
            | Self::EscapedSlash
            | Self::ErrorInNode => is_at(Endpoint::Alipay),
            _ => !is_at(Endpoint::Alipay),
        }
    }
}

impl Fault {
    /// Returns what is wrong with the fault. A member that belongs to another kind is an error.
    pub(super) fn check(&self) -> Result<(), String> {
        let known = Endpoint::ALL.map(Endpoint::path);
        if self.path != EVERY_PATH && !known.contains(&self.path.as_str()) {
            return Err(format!("path must be \"*\" or one of {}", known.join(", ")));
        }
        let is_of_other_platform = self.path.starts_with("/_");
        if self.kind.is_form() && !is_of_other_platform {
            return Err("this kind of fault needs the path of another platform than WeChat".into());
        }
        if self.kind.is_form() && !self.kind.is_form_of(&self.path) {
            return Err("this kind of fault does not fit the path".into());
        }
        if !(0.0..=1.0).contains(&self.probability) {
            return Err("probability must be from 0 to 1".into());
        }
        if self.times == Some(0) {
            return Err("times must be 1 or more, or null for no limit".into());
        }
        let latency = self.kind == Kind::Latency;
        let misplaced = [
            ("ms", self.ms.is_some() && !latency),
            ("jitter_ms", self.jitter_ms.is_some() && !latency),
            ("after", self.after && latency),
            (
                "errcode",
                self.errcode.is_some() && self.kind != Kind::Errcode,
            ),
            ("status", self.status.is_some() && self.kind != Kind::Status),
        ];
        if let Some((member, _)) = misplaced.iter().find(|(_, wrong)| *wrong) {
            return Err(format!(
                "\"{member}\" does not belong to this kind of fault; leave it out"
            ));
        }
        match self.kind {
            Kind::Latency if self.ms.is_none() => Err("ms is missing, for example 50".into()),
            Kind::Latency
                if self
                    .ms
                    .unwrap_or(0)
                    .saturating_add(self.jitter_ms.unwrap_or(0))
                    > MOST_MS =>
            {
                Err(format!(
                    "ms and jitter_ms together must be at most {MOST_MS}"
                ))
            }
            Kind::Errcode if self.errcode.is_none() => {
                Err("errcode is missing, for example -1".into())
            }
            Kind::Status
                if !self
                    .status
                    .is_some_and(|status| (300..=599).contains(&status) && status != 304) =>
            {
                Err(
                    "status must be an HTTP status from 300 to 599 other than 304, for example 502"
                        .into(),
                )
            }
            _ => Ok(()),
        }
    }

    /// Draws whether the fault occurs at this request. If it does, uses up one of its `times`.
    fn fires(&mut self, draws: &mut SplitMix64) -> bool {
        if self.probability < 1.0 && draws.unit() >= self.probability {
            return false;
        }
        if let Some(times) = &mut self.times {
            *times -= 1;
        }
        true
    }

    /// Whether WeChat acts on the request, and spends the code. A part of the real answer also
    /// needs the real answer.
    fn acts(&self) -> bool {
        self.after || matches!(self.kind, Kind::Truncated | Kind::Drip) || self.kind.is_form()
    }
}

/// The fate of one request.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    pub(super) delay: Duration,
    /// The fault that replaces the real answer.
    pub(super) misconduct: Option<Fault>,
    /// The fault's name in the journal.
    pub(super) name: Option<Kind>,
    /// Whether WeChat acts on the request, and spends the code, even though it does not send the
    /// real answer.
    pub(super) acts: bool,
}

pub(super) struct Faults {
    seed: u64,
    standing_delay: Duration,
    state: Mutex<State>,
}

struct State {
    list: Vec<Fault>,
    draws: SplitMix64,
}

impl Faults {
    pub(super) fn new(seed: u64, standing_delay: Duration) -> Self {
        let state = Mutex::new(State {
            list: Vec::new(),
            draws: SplitMix64(seed),
        });
        Self {
            seed,
            standing_delay,
            state,
        }
    }

    /// Replaces all faults. The draws start again from the seed, so that a test gets the same
    /// faults each time.
    pub(super) fn replace(&self, list: Vec<Fault>) {
        *self.state.lock() = State {
            list,
            draws: SplitMix64(self.seed),
        };
    }

    /// The faults in force, each with its remaining uses.
    pub(super) fn list(&self) -> Vec<Fault> {
        self.state.lock().list.clone()
    }

    /// Draws the plan for the next request to `path` for `app`: the first fault that occurs, and
    /// the sum of all latencies that occur.
    pub(super) fn draw(&self, path: &str, app: Option<&str>) -> Plan {
        let name = (!self.standing_delay.is_zero()).then_some(Kind::Latency);
        let mut plan = Plan {
            delay: self.standing_delay,
            name,
            ..Plan::default()
        };
        let mut state = self.state.lock();
        let State { list, draws } = &mut *state;
        let is_due = |fault: &&mut Fault| {
            (fault.path == EVERY_PATH || fault.path == path)
                && fault.appid.as_deref().is_none_or(|id| Some(id) == app)
        };
        for fault in list.iter_mut().filter(is_due) {
            let latency = fault.kind == Kind::Latency;
            if !latency && plan.misconduct.is_some() || !fault.fires(draws) {
                continue;
            }
            if latency {
                let jitter = draws.up_to(fault.jitter_ms.unwrap_or(0));
                plan.delay += Duration::from_millis(fault.ms.unwrap_or(0) + jitter);
                plan.name = plan.name.or(Some(Kind::Latency));
            } else {
                plan.name = Some(fault.kind);
                plan.acts = fault.acts();
                plan.misconduct = Some(fault.clone());
            }
        }
        list.retain(|fault| fault.times != Some(0));
        plan
    }
}

/// The generator SplitMix64 of Steele, Lea and Flood. It is implemented here because a new version
/// of a dependency could change its draws.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to just below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from 0 to `most`.
    fn up_to(&mut self, most: u64) -> u64 {
        if most == 0 {
            0
        } else {
            self.next() % (most + 1)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PATH: &str = "/sns/jscode2session";

    fn fault(spec: Value) -> Result<Fault, String> {
        let fault: Fault = serde_json::from_value(spec).map_err(|error| error.to_string())?;
        fault.check().map(|()| fault)
    }

    fn faults(seed: u64, specs: &[Value]) -> Faults {
        let faults = Faults::new(seed, Duration::ZERO);
        faults.replace(
            specs
                .iter()
                .map(|spec| fault(spec.clone()).expect("a fault"))
                .collect(),
        );
        faults
    }

    fn draws(faults: &Faults, count: usize) -> Vec<bool> {
        (0..count)
            .map(|_| faults.draw(PATH, None).misconduct.is_some())
            .collect()
    }

    #[test]
    fn the_generator_is_splitmix64() {
        let mut draws = SplitMix64(1_234_567);
        assert_eq!(draws.next(), 6_457_827_717_110_365_317);
        assert_eq!(draws.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_again_after_each_put() {
        let half = json!({"kind": "html", "probability": 0.5});
        let first = faults(7, std::slice::from_ref(&half));
        let seen = draws(&first, 200);
        assert!((60..140).contains(&seen.iter().filter(|fired| **fired).count()));
        assert_eq!(draws(&faults(7, std::slice::from_ref(&half)), 200), seen);
        assert_ne!(draws(&faults(8, std::slice::from_ref(&half)), 200), seen);
        first.replace(vec![fault(half).expect("a fault")]);
        assert_eq!(draws(&first, 200), seen);
    }

    #[test]
    fn a_counted_fault_is_gone_after_its_uses_and_a_fault_keeps_to_its_path_and_app() {
        let of_app = faults(0, &[json!({"kind": "reset", "appid": "wx1"})]);
        let is_met =
            [Some("wx1"), Some("wx2"), None].map(|app| of_app.draw(PATH, app).misconduct.is_some());
        assert_eq!(is_met, [true, false, false]);
        let faults = faults(0, &[json!({"kind": "reset", "times": 2, "path": PATH})]);
        assert_eq!(faults.draw("/cgi-bin/stable_token", None), Plan::default());
        assert_eq!(draws(&faults, 3), [true, true, false]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn the_first_that_fires_wins_and_latency_combines() {
        let faults = faults(
            0,
            &[
                json!({"kind": "html", "probability": 0.0}),
                json!({"kind": "errcode", "errcode": -1, "after": true}),
                json!({"kind": "stall"}),
                json!({"kind": "latency", "ms": 40}),
                json!({"kind": "latency", "ms": 2, "jitter_ms": 5}),
            ],
        );
        let plan = faults.draw(PATH, None);
        assert_eq!(
            (plan.misconduct.and_then(|fault| fault.errcode), plan.acts),
            (Some(-1), true)
        );
        assert!(
            (42..=47).contains(&plan.delay.as_millis()),
            "{:?}",
            plan.delay
        );
    }

    #[test]
    fn a_standing_delay_outlives_the_faults_and_adds_to_them() {
        let faults = Faults::new(0, Duration::from_millis(50));
        faults.replace(vec![
            fault(json!({"kind": "latency", "ms": 20, "times": 1})).expect("a fault"),
        ]);
        assert_eq!(faults.draw(PATH, None).delay, Duration::from_millis(70));
        assert_eq!(faults.draw(PATH, None).delay, Duration::from_millis(50));
    }

    #[test]
    fn a_mistake_in_a_fault_is_named() {
        for (spec, said) in [
            (
                json!({"kind": "html", "path": "/sns/jscode"}),
                "path must be",
            ),
            (json!({"kind": "html", "probability": 2}), "probability"),
            (json!({"kind": "html", "times": 0}), "times"),
            (json!({"kind": "html", "ms": 5}), "\"ms\" does not belong"),
            (json!({"kind": "latency"}), "ms is missing"),
            (json!({"kind": "latency", "ms": 120_001}), "at most 120000"),
            (json!({"kind": "errcode"}), "errcode is missing"),
            (json!({"kind": "status", "status": 200}), "300 to 599"),
            (
                json!({"kind": "anonymous", "path": PATH}),
                "another platform than WeChat",
            ),
            (json!({"kind": "no_data"}), "another platform than WeChat"),
            (
                json!({"kind": "no_sign", "path": "/_qq/sns/jscode2session"}),
                "does not fit the path",
            ),
            (
                json!({"kind": "wrong_sign"}),
                "another platform than WeChat",
            ),
            (
                json!({"kind": "sign_of_another_node", "path": PATH}),
                "another platform than WeChat",
            ),
            (
                json!({"kind": "no_data", "path": Endpoint::DouyinGame.path()}),
                "does not fit the path",
            ),
            (
                json!({"kind": "other_spelling", "path": Endpoint::Qq.path()}),
                "does not fit the path",
            ),
            (
                json!({"kind": "anonymous", "path": Endpoint::Huawei.path()}),
                "does not fit the path",
            ),
            (
                json!({"kind": "quoted_numbers", "path": Endpoint::Alipay.path()}),
                "does not fit the path",
            ),
            (
                json!({"kind": "no_sign", "path": Endpoint::Douyin.path()}),
                "does not fit the path",
            ),
            (json!({"kind": "explode"}), "unknown variant"),
            (json!({"kind": "html", "propability": 0.1}), "unknown field"),
        ] {
            let error = fault(spec.clone()).expect_err("a mistake");
            assert!(error.contains(said), "{spec}: {error}");
        }
    }
}
