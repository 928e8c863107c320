//! Whoever is refused cannot tell by the time what was wrong: the padding, a block, the key, or what was cut off. Measured
//! without network and Redis, which would hide more than this finds.

use std::{
    hint::black_box,
    io::Write,
    time::{Duration, Instant},
};

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use fastrand::Rng;
use serde_json::json;
use wxmint::wechat::{EncryptedData, SessionKey};

use crate::ranks::p_of;

/// Of each kind.
const SAMPLES: usize = 1000;
/// A p that is lower says that times differ. It is so by chance once in a hundred; twice in a row, once in ten thousand.
const P: f64 = 0.01;
/// How often ranks are dealt out anew for a p that is only told.
const DEALS: u32 = 499;

const BLOCK: usize = 16;
const BLOCKS: usize = 64;
const APP: &str = "wx0123456789abcdef";

/// Why data is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The padding is wrong, and nothing else.
    LastBlockCutOff,
    /// The padding is wrong, and with it the block before.
    LastBlockChanged,
    /// The padding is right, and the text is no JSON in its middle.
    MiddleBlockChanged,
    /// The padding is right, and the text is no JSON from its beginning.
    FirstBlockCutOff,
    WrongKey,
    /// All is right but the app. It is parsed, and so takes longer: only WeChat can have sealed it.
    ForeignApp,
    /// As it would be if a check ended early: half as long.
    Control,
}

use Kind::*;

/// Those that a stranger can make without the key.
const REFUSED: [Kind; 5] = [LastBlockCutOff, LastBlockChanged, MiddleBlockChanged, FirstBlockCutOff, WrongKey];
const KINDS: [Kind; 7] =
    [LastBlockCutOff, LastBlockChanged, MiddleBlockChanged, FirstBlockCutOff, WrongKey, ForeignApp, Control];

impl Kind {
    /// Data of this kind and its iv, no two alike, all of [`BLOCKS`] blocks but for the control.
    fn data(self, rng: &mut Rng) -> [String; 2] {
        let (iv, mut bytes) = match self {
            LastBlockCutOff | FirstBlockCutOff => sealed(BLOCKS + 1, rng),
            Control => sealed(BLOCKS / 2, rng),
            _ => sealed(BLOCKS, rng),
        };
        let before_the_last = bytes.len() - BLOCK - 1;
        match self {
            LastBlockCutOff => bytes.truncate(BLOCKS * BLOCK),
            // More than any padding.
            LastBlockChanged => bytes[before_the_last] ^= rng.u8(0x20..),
            MiddleBlockChanged => bytes[BLOCK * rng.usize(1..BLOCKS - 3)] ^= rng.u8(1..),
            FirstBlockCutOff => drop(bytes.drain(..BLOCK)),
            Control => bytes[before_the_last] ^= 0xff,
            WrongKey | ForeignApp => {}
        }
        [STANDARD.encode(bytes), STANDARD.encode(iv)]
    }

    fn app(self) -> &'static str {
        if self == ForeignApp { "wxfedcba9876543210" } else { APP }
    }

    fn key(self) -> SessionKey {
        SessionKey::new(if self == WrongKey { "HyVFkGl5F5OQWJZZaNzBBg==" } else { "AAECAwQFBgcICQoLDA0ODw==" })
    }
}

/// So many blocks, as WeChat seals them; the iv apart.
fn sealed(blocks: usize, rng: &mut Rng) -> ([u8; BLOCK], Vec<u8>) {
    let text = |filling: &str| json!({"nickName": filling, "watermark": {"timestamp": 0, "appid": APP}}).to_string();
    let length = blocks * BLOCK - rng.usize(1..=BLOCK);
    let mut bytes = text(&"x".repeat(length - text("").len())).into_bytes();
    let key = STANDARD.decode(ForeignApp.key().expose()).expect("a key");
    let key = UnboundCipherKey::new(&AES_128, &key).and_then(PaddedBlockEncryptingKey::cbc_pkcs7).expect("a key");
    let iv = rng.u128(..).to_be_bytes();
    key.less_safe_encrypt(&mut bytes, EncryptionContext::Iv128((&iv).into())).expect("sealed");
    (iv, bytes)
}

/// Times in µs of each of [`KINDS`], taken in an order drawn by lot.
type Times = [Vec<f64>; KINDS.len()];

fn measure(rng: &mut Rng) -> Times {
    let mut order: Vec<Kind> = KINDS.into_iter().flat_map(|kind| [kind; SAMPLES]).collect();
    rng.shuffle(&mut order);
    let prepared: Vec<(Kind, [String; 2])> = order.into_iter().map(|kind| (kind, kind.data(rng))).collect();
    let mut times = Times::default();
    for (kind, data) in &prepared {
        times[*kind as usize].push(refused_within(*kind, data).as_secs_f64() * 1e6);
    }
    times
}

fn refused_within(kind: Kind, [data, iv]: &[String; 2]) -> Duration {
    let data = EncryptedData::parse(data, iv).expect("whole blocks");
    let (app, openid) = (kind.app().parse().expect("an AppID"), "o1".parse().expect("an openid"));
    let (key, now) = (kind.key(), DateTime::UNIX_EPOCH);
    let started = Instant::now();
    let opened = black_box(data.open(black_box(&key), &app, &openid, now, Duration::ZERO));
    let took = started.elapsed();
    assert!(opened.is_err(), "{kind:?}");
    took
}

#[test]
fn data_that_is_refused_takes_times_that_cannot_be_told_apart() {
    let mut rng = Rng::new();
    let mut p = 0.0;
    for _ in 0..2 {
        let times = measure(&mut rng);
        p = report(&times, &mut rng);
        if p > P {
            return;
        }
    }
    panic!("the times of refused data differ, twice: p = {p}");
}

/// Tells what was found, and makes sure that more would have been: p of [`REFUSED`].
fn report(times: &Times, rng: &mut Rng) -> f64 {
    let refused: Vec<&[f64]> = times[..REFUSED.len()].iter().map(Vec::as_slice).collect();
    let p = p_of(&refused, 9_999, rng);
    let mut told = format!("refused data, {SAMPLES} of each kind, by ranks: p = {p:.4}\n");
    for (index, kind) in KINDS.into_iter().enumerate() {
        told += &format!("  {kind:?}: median {:.2} µs; p", median(&times[index]));
        for (other, sample) in REFUSED.into_iter().zip(&refused).take(index) {
            let p = p_of(&[&times[index], sample], DEALS, rng);
            assert!(kind != Control || p < P, "a check that ends early was not found beside {other:?}");
            told += &format!(" {p:.3} beside {other:?}");
        }
        told += "\n";
    }
    // Not by println!, which nobody sees of a test that passes.
    std::io::stderr().write_all(told.as_bytes()).expect("an open stderr");
    p
}

fn median(sample: &[f64]) -> f64 {
    let mut sorted = sample.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
