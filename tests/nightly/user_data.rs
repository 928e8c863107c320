//! Whoever is refused cannot tell by the time what was wrong: the padding, a block, the key, or what was cut off. Measured
//! without network and Redis, which would hide more than this finds.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_lc_rs::cipher::{AES_128, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::DateTime;
use fastrand::Rng;
use serde_json::json;
use wxmint::wechat::{EncryptedData, SessionKey};

use crate::stopwatch::Trial;

const BLOCK: usize = 16;
const BLOCKS: usize = 64;
const APP: &str = "wx0123456789abcdef";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
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

const TRIAL: Trial<Kind> = Trial {
    what: "refused data, in µs",
    samples: 1000,
    // Those that a stranger can make without the key.
    alike: &[LastBlockCutOff, LastBlockChanged, MiddleBlockChanged, FirstBlockCutOff, WrongKey],
    others: &[ForeignApp],
    control: Control,
};

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

#[tokio::test]
async fn data_that_is_refused_takes_times_that_cannot_be_told_apart() {
    let mut rng = Rng::new();
    TRIAL
        .run(async |order| {
            let prepared: Vec<_> = order.iter().map(|kind| (*kind, kind.data(&mut rng))).collect();
            prepared.iter().map(|(kind, data)| refused_within(*kind, data).as_secs_f64() * 1e6).collect()
        })
        .await;
}
