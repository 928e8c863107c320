//! Nor does the time tell why data was refused: bad padding, bad UTF-8, bad JSON and a foreign key take times that cannot
//! be told apart.

use std::io::Write;

use fastrand::Rng;
use serde_json::Value;

use super::{
    NUMBER, Replicas, Session, expect_undecryptable,
    failures::FOREIGN_KEY,
    sealing::{encrypt, padded, phone, seal},
};
use crate::password_timing::{median, ranks::p_of};

/// Of each kind.
const SAMPLES: usize = 400;
/// A p that is lower says that times differ. It is so by chance once in a hundred; twice in a row, once in ten thousand.
const P: f64 = 0.01;
/// At most. One that is drowned in what else the machine does is taken again.
const MEASUREMENTS: usize = 4;
/// How often ranks are dealt out anew for a p that is only told.
const DEALS: u32 = 999;
/// One less than costs the key.
const TRIES: usize = 7;

/// Why data is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Padding,
    Utf8,
    Json,
    ForeignKey,
    /// Nobody is asked for: bad padding in 64 times as many blocks, as if some failures took longer to find.
    Control,
}

const REFUSED: [Kind; 4] = [Kind::Padding, Kind::Utf8, Kind::Json, Kind::ForeignKey];
const KINDS: [Kind; 5] = [Kind::Padding, Kind::Utf8, Kind::Json, Kind::ForeignKey, Kind::Control];

impl Kind {
    fn sealed(self, key: &str) -> Value {
        let good = phone(NUMBER).to_string();
        let spoiled = |text: String, padding: u8| {
            let mut blocks = padded(text.as_bytes());
            *blocks.last_mut().expect("bytes") = padding;
            encrypt(key, &blocks)
        };
        match self {
            Self::Padding => spoiled(good, 0),
            Self::Utf8 => {
                let bytes = good.bytes().map(|byte| if byte == b'8' { 0xff } else { byte });
                encrypt(key, &padded(&bytes.collect::<Vec<_>>()))
            }
            Self::Json => seal(key, &good.replacen("\":", "\";", 1)),
            Self::ForeignKey => seal(FOREIGN_KEY, &good),
            Self::Control => spoiled(good.repeat(64), 0),
        }
    }
}

/// Times in ms of each of [`KINDS`], taken in an order drawn by lot.
type Times = [Vec<f64>; 5];

async fn measure(replicas: &Replicas, rng: &mut Rng) -> Times {
    let mut order: Vec<Kind> = KINDS.into_iter().flat_map(|kind| [kind; SAMPLES]).collect();
    rng.shuffle(&mut order);
    let mut times = Times::default();
    for some in order.chunks(TRIES) {
        let session: Session = replicas.log_in("lin").await;
        replicas.forget_failures(&session);
        for kind in some {
            let answer = replicas.decrypt(0, &session, &kind.sealed(&session.key)).await;
            times[*kind as usize].push(answer.took.as_secs_f64() * 1e3);
            expect_undecryptable(answer);
        }
    }
    times
}

#[tokio::test]
async fn what_is_wrong_with_data_takes_times_that_cannot_be_told_apart() {
    let replicas = Replicas::start().await;
    let mut rng = Rng::new();
    let mut differed = Vec::new();
    for _ in 0..MEASUREMENTS {
        match report(&measure(&replicas, &mut rng).await, &mut rng) {
            Some(p) if p > P => return,
            Some(p) => differed.push(p),
            // Too much else went on: what finds nothing proves nothing.
            None => {}
        }
        assert!(differed.len() < 2, "the times of refused data differ, twice: p = {differed:?}");
    }
    panic!("in none of {MEASUREMENTS} measurements was more work found where there is more; run this test by itself");
}

/// Tells what was found: p of [`REFUSED`], or none where not even the control's additional work was found.
fn report(times: &Times, rng: &mut Rng) -> Option<f64> {
    let refused: Vec<&[f64]> = times[..REFUSED.len()].iter().map(Vec::as_slice).collect();
    let p = p_of(&refused, 9_999, rng);
    let mut told = format!("refused data, {SAMPLES} of each kind, by ranks: p = {p:.4}\n");
    let mut control_is_found = true;
    for (index, kind) in KINDS.into_iter().enumerate() {
        told += &format!("  {kind:?}: median {:.3} ms; p", median(&times[index]));
        for (other, sample) in REFUSED.into_iter().zip(&refused).take(index) {
            let p = p_of(&[&times[index], sample], DEALS, rng);
            control_is_found &= kind != Kind::Control || p < P;
            told += &format!(" {p:.3} beside {other:?}");
        }
        told += "\n";
    }
    // Not by println!, which nobody sees of a test that passes.
    std::io::stderr().write_all(told.as_bytes()).expect("an open stderr");
    control_is_found.then_some(p)
}
