//! Draws docs/keys.svg from what is in force, and holds the committed picture against it.
//!
//! `UPDATE_DOCS=1 cargo test --lib keys::picture` writes it anew.

use std::{collections::BTreeMap, env, fs};

use chrono::{DateTime, TimeDelta, Utc};
use clap::Parser;

use super::{PolicyArgs, rotate::LONGEST_KNOWN_POLL_MINUTES};
use crate::keys::{
    Algorithm, KeyRing, PrivateJwk, StoredKeys,
    rotation::{CLOCK_SKEW, LEEWAY, Policy},
};

const TEMPLATE: &str = include_str!("picture.svg");

/// Within which `serve` has read a changed file (README).
const RELOAD: TimeDelta = TimeDelta::seconds(5);

/// Where the lead is drawn to scale.
const LENS: (f64, f64) = (140.0, 930.0);

#[derive(Clone, Copy)]
enum Language {
    English,
    Chinese,
}

/// What the template says: name, English, Chinese. Durations are filled in afterwards.
const WORDS: [(&str, &str, &str); 30] = [
    ("language", "en", "zh-CN"),
    ("title", "The life of a key", "密钥的一生"),
    (
        "desc",
        "Key 2 is published {{lead}} before it signs. Key 1 stops signing then, and stays in the JWKS for {{retention}} more: \
         the life of its last token, {{ttl}}, with {{skew}} for a slow clock and {{leeway}} of leeway. \
         The lead is long enough for serve to read the file, for a cache and for the slowest verifier that we know.",
        "密钥 2 先公开 {{lead}}，再开始签名。此时密钥 1 不再签名，但在 JWKS 里再留 {{retention}}：\
         最后一个 token 的有效期 {{ttl}}，加上时钟偏慢的 {{skew}} 和验证方容差 {{leeway}}。\
         提前公开的时间足够 serve 读取文件、缓存过期，以及已知最慢的验证方来取一次。",
    ),
    ("published.moment", "key 2 is published", "公开密钥 2"),
    ("published.how", "wxmint keys rotate", "wxmint keys rotate"),
    ("signs.moment", "key 2 signs, key 1 no longer", "密钥 2 开始签名，密钥 1 停止"),
    ("signs.how", "key 2's nbf, by the clock alone", "到密钥 2 的 nbf，只看时钟"),
    ("gone.moment", "key 1 leaves the JWKS", "密钥 1 离开 JWKS"),
    ("gone.how", "key 1's exp", "到密钥 1 的 exp"),
    ("token", "last token", "最后的 token"),
    ("token.whose", "signed by key 1", "由密钥 1 签发"),
    ("token.lives", "lives {{ttl}}", "有效期 {{ttl}}"),
    ("skew.why", "slow clock", "时钟偏慢"),
    ("leeway.why", "leeway", "容差"),
    ("first", "key 1", "密钥 1"),
    ("second", "key 2", "密钥 2"),
    ("published", "published", "已公开"),
    ("signing", "signing", "签名中"),
    ("retired", "retired: visible for its tokens", "已退役：为它签过的 token 保留"),
    ("gone", "gone", "已移除"),
    ("gone.file", "in the file {{lead}} more", "{{lead}}后移出文件"),
    ("lens", "the lead: {{lead}} for everybody to see key 2", "提前 {{lead}}公开，让所有人先看到密钥 2"),
    ("reload.why", "serve reads the file: {{reload}}", "serve 读取文件：{{reload}}"),
    ("cache", "caches: {{max_age}}", "缓存：{{max_age}}"),
    ("poll", "the slowest verifier that we know looks every {{slowest}}", "已知最慢的验证方每 {{slowest}}取一次"),
    ("clocks.why", "clocks: {{skew}}", "时钟误差：{{skew}}"),
    ("spare", "spare", "余量"),
    ("scale", "Above: not to scale. The lead: to scale.", "上半部分不按比例，提前公开的时间按比例。"),
    ("units.long", "d h", "天 小时"),
    ("units.short", "min s", "分钟 秒"),
];

fn words(language: Language) -> BTreeMap<&'static str, &'static str> {
    let chosen = |(name, english, chinese)| match language {
        Language::English => (name, english),
        Language::Chinese => (name, chinese),
    };
    WORDS.into_iter().map(chosen).collect()
}

/// The policy of `wxmint keys rotate` without options.
fn policy(keys: &StoredKeys) -> Policy {
    #[derive(Parser)]
    struct Rotate {
        #[command(flatten)]
        policy: PolicyArgs,
    }
    Rotate::parse_from(["rotate"]).policy.policy(keys).expect("the defaults fit")
}

/// For how long caches may hold the JWKS while no key waits.
fn max_age(keys: &StoredKeys, policy: &Policy, now: DateTime<Utc>) -> TimeDelta {
    let ring = KeyRing::new(keys.check().expect("a set"), policy.lead, now).expect("a ring");
    TimeDelta::seconds(ring.at(now).document().max_age(now))
}

/// In the largest units of which there are two: 24 h and not 1 d.
fn spoken(span: TimeDelta, units: &[&str]) -> String {
    let mut rest = span.num_seconds();
    let mut parts = Vec::new();
    for (unit, seconds) in units.iter().zip([86_400, 3_600, 60, 1]) {
        let count = rest / seconds;
        if count >= 2 || seconds == 1 && count == 1 {
            parts.push(format!("{count} {unit}"));
            rest -= count * seconds;
        }
    }
    parts.join(" ")
}

fn durations(policy: &Policy, max_age: TimeDelta) -> [(&'static str, TimeDelta); 9] {
    [
        ("lead", policy.lead),
        ("every", policy.every),
        ("ttl", policy.token_ttl),
        ("retention", policy.retention()),
        ("leeway", LEEWAY),
        ("skew", CLOCK_SKEW),
        ("reload", RELOAD),
        ("max_age", max_age),
        ("slowest", TimeDelta::minutes(LONGEST_KNOWN_POLL_MINUTES)),
    ]
}

/// What the lead is spent on, one after the other, to scale: `x`, `width` and `mid` of each.
fn lens(lead: TimeDelta, max_age: TimeDelta) -> Vec<(String, String)> {
    let slowest = TimeDelta::minutes(LONGEST_KNOWN_POLL_MINUTES);
    let spent = RELOAD + max_age + slowest + CLOCK_SKEW;
    assert!(spent <= lead, "a lead of {lead} is too short for what takes {spent}");
    let parts =
        [("reload", RELOAD), ("cache", max_age), ("poll", slowest), ("clocks", CLOCK_SKEW), ("spare", lead - spent)];
    let scale = (LENS.1 - LENS.0) / lead.as_seconds_f64();
    let mut x = LENS.0;
    let mut places = Vec::new();
    for (name, span) in parts {
        let width = span.as_seconds_f64() * scale;
        for (member, value) in [("x", x), ("width", width), ("mid", x + width / 2.0)] {
            places.push((format!("{name}.{member}"), format!("{value:.1}")));
        }
        x += width;
    }
    places
}

fn fill(template: &str, name: &str, value: &str) -> String {
    template.replace(&format!("{{{{{name}}}}}"), value)
}

fn drawn(language: Language) -> String {
    let now = DateTime::UNIX_EPOCH;
    let keys = StoredKeys::of(PrivateJwk::generate(Algorithm::EdDsa, now).expect("a key"));
    let policy = policy(&keys);
    let max_age = max_age(&keys, &policy, now);
    let words = words(language);
    let units: Vec<_> = [words["units.long"], words["units.short"]].iter().flat_map(|text| text.split(' ')).collect();
    let mut picture = words.iter().fold(TEMPLATE.to_owned(), |picture, (name, text)| fill(&picture, name, text));
    for (name, span) in durations(&policy, max_age) {
        picture = fill(&picture, name, &spoken(span, &units));
    }
    lens(policy.lead, max_age).iter().fold(picture, |picture, (name, value)| fill(&picture, name, value))
}

#[test]
fn the_pictures_in_the_docs_show_the_times_that_are_in_force() {
    for (language, name) in [(Language::English, "keys.svg"), (Language::Chinese, "keys.zh-CN.svg")] {
        let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
        let picture = drawn(language);
        assert!(!picture.contains("{{"), "{name}: a place was not filled");
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &picture).expect("written");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == picture, "docs/{name} is out of date: UPDATE_DOCS=1 cargo test --lib keys::picture");
    }
}
