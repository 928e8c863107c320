//! Nobody learns from a refused password whether there is a user of that name: unknown names, wrong passwords, disabled
//! users and the longest names get one answer, byte for byte, after times that cannot be told apart.

pub(crate) mod ranks;

use std::{collections::BTreeSet, io::Write};

use fastrand::Rng;
use serde_json::{Value, json};

use self::ranks::p_of;
use crate::support::{Answer, PASSWORD, TestBed, UsersFile, WRONG_PASSWORD};

/// Of each kind.
const SAMPLES: usize = 400;
/// A p that is lower says that times differ. It is so by chance once in a hundred; twice in a row, once in ten thousand.
const P: f64 = 0.01;

/// How often ranks are dealt out anew for a p that is only told.
const DEALS: u32 = 999;

/// Why a password is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Unknown,
    Wrong,
    Disabled,
    Longest,
    /// Nobody is asked for: the same way without a hash, as it would be if a check ended early.
    Control,
}

const REFUSED: [Kind; 4] = [Kind::Unknown, Kind::Wrong, Kind::Disabled, Kind::Longest];
const KINDS: [Kind; 5] = [Kind::Unknown, Kind::Wrong, Kind::Disabled, Kind::Longest, Kind::Control];

impl Kind {
    /// What is sent beside the code. No unknown name comes twice.
    fn attempt(self, number: usize) -> Value {
        let (name, password) = match self {
            Self::Unknown => (format!("nobody-{number}"), PASSWORD),
            Self::Wrong => ("alice".to_owned(), WRONG_PASSWORD),
            Self::Disabled => ("bob".to_owned(), PASSWORD),
            Self::Longest => (format!("{number:名>512}"), PASSWORD),
            Self::Control => return json!({}),
        };
        json!({"username": name, "password": password})
    }
}

/// Times in ms of each of [`KINDS`], taken in an order drawn by lot.
type Times = [Vec<f64>; 5];

async fn measure(bed: &TestBed, rng: &mut Rng) -> Times {
    let mut order: Vec<Kind> = KINDS.into_iter().flat_map(|kind| [kind; SAMPLES]).collect();
    rng.shuffle(&mut order);
    let codes = bed.wechat.mint_codes(json!({"person": "lin", "count": order.len()})).await;
    let mut times = Times::default();
    for (number, (kind, code)) in order.into_iter().zip(codes).enumerate() {
        let answer = attempt(bed, kind, number, &code).await;
        let expected = if kind == Kind::Control { "binding_required" } else { "invalid_credentials" };
        times[kind as usize].push(answer.took.as_secs_f64() * 1e3);
        answer.expect_problem(403, expected);
    }
    times
}

async fn attempt(bed: &TestBed, kind: Kind, number: usize, code: &str) -> Answer {
    let mut body = kind.attempt(number);
    body["code"] = code.into();
    bed.http.send(bed.http.0.post(bed.service().url("/login")).json(&body)).await
}

/// The user alice, the disabled user bob, and no limits.
async fn bed() -> (TestBed, UsersFile) {
    let users = UsersFile::of(&["alice", "bob", "carol"]);
    users.change("disable", "bob");
    let builder = TestBed::builder().env("WXMINT_ACCOUNTS", &users.setting());
    (builder.env("WXMINT_LIMIT_USERNAME", "1000000/1s").start().await, users)
}

#[tokio::test]
async fn refused_passwords_have_one_answer_byte_for_byte() {
    let (bed, _users) = bed().await;
    let mut answers = BTreeSet::new();
    for (number, kind) in REFUSED.into_iter().cycle().take(8).enumerate() {
        let answer = attempt(&bed, kind, number, &bed.mint_code("lin").await).await;
        answers.insert(answer.expect_problem(403, "invalid_credentials").told());
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn refused_passwords_take_times_that_cannot_be_told_apart() {
    let (bed, _users) = bed().await;
    let mut rng = Rng::new();
    let mut p = 0.0;
    for _ in 0..2 {
        let times = measure(&bed, &mut rng).await;
        p = report(&times, &mut rng);
        if p > P {
            return;
        }
    }
    panic!("the times of refused passwords differ, twice: p = {p}");
}

/// Tells what was found, and makes sure that more would have been: p of [`REFUSED`].
fn report(times: &Times, rng: &mut Rng) -> f64 {
    let refused: Vec<&[f64]> = times[..4].iter().map(Vec::as_slice).collect();
    let p = p_of(&refused, 9_999, rng);
    let mut told = format!("refused passwords, {SAMPLES} of each kind, by ranks: p = {p:.4}\n");
    for (index, kind) in KINDS.into_iter().enumerate() {
        told += &format!("  {kind:?}: median {:.3} ms; p", median(&times[index]));
        for (other, sample) in REFUSED.into_iter().zip(&refused).take(index) {
            let p = p_of(&[&times[index], sample], DEALS, rng);
            assert!(kind != Kind::Control || p < P, "a check that ends early was not found beside {other:?}");
            told += &format!(" {p:.3} beside {other:?}");
        }
        told += "\n";
    }
    told += &format!("  {:.3} ms more for one kind would have been found\n", found_from(&refused, rng));
    // Not by println!, which nobody sees of a test that passes.
    std::io::stderr().write_all(told.as_bytes()).expect("an open stderr");
    p
}

pub(crate) fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// How much more time for the first kind is found to be more, in ms.
fn found_from(refused: &[&[f64]], rng: &mut Rng) -> f64 {
    let mut shifts = (0..).map(|power| 0.01 * f64::powi(2.0, power));
    let is_found = |shift: &f64| {
        let later: Vec<f64> = refused[0].iter().map(|time| time + shift).collect();
        let samples = [&[later.as_slice()], &refused[1..]].concat();
        p_of(&samples, DEALS, rng) < P
    };
    shifts.find(is_found).expect("an endless row")
}
