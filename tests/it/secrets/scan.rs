//! What a test's processes have left behind, and the search for secrets in it.

use std::collections::BTreeSet;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::json;

use crate::support::{Answer, RedisServer, Service, TestBed};

/// A shorter form would be found by chance.
const TELLING: usize = 8;

/// Where something is left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Log,
    Audit,
    Metrics,
    Spans,
    Answer,
    Redis,
}

/// Everything that the processes of a test have shown.
#[derive(Default)]
pub(super) struct Traces(pub(super) Vec<(Place, Bytes)>);

/// Bytes of any kind as text, a character for each: what searches text is quick, also in a build for tests.
pub(super) struct Bytes(pub(super) String);

impl<T: AsRef<[u8]>> From<T> for Bytes {
    fn from(bytes: T) -> Self {
        Self(bytes.as_ref().iter().map(|&byte| char::from(byte)).collect())
    }
}

impl Traces {
    pub(super) fn add(&mut self, place: Place, bytes: impl Into<Bytes>) {
        self.0.push((place, bytes.into()));
    }

    pub(super) fn answer(&mut self, answer: &Answer) {
        self.add(Place::Answer, format!("{:?}", answer.headers));
        self.add(Place::Answer, answer.body.clone());
    }

    pub(super) async fn metrics(&mut self, service: &Service) {
        self.add(Place::Metrics, service.metrics().await);
    }

    pub(super) fn log(&mut self, service: &Service) {
        self.add(Place::Log, service.log());
    }

    /// All that is left behind, but for answers.
    pub(super) async fn bed(&mut self, bed: &TestBed) {
        self.metrics(bed.service()).await;
        self.log(bed.service());
        self.audit(bed);
        self.redis(&bed.redis);
    }

    /// The file of audit events, if there is one.
    pub(super) fn audit(&mut self, bed: &TestBed) {
        if let Some(path) = bed.configuration.get("WXMINT_AUDIT").and_then(|to| to.strip_prefix("file:")) {
            self.add(Place::Audit, std::fs::read(path).expect("readable"));
        }
    }

    pub(super) fn redis(&mut self, redis: &RedisServer) {
        for (key, value) in redis.everything() {
            self.add(Place::Redis, key);
            value.into_iter().for_each(|part| self.add(Place::Redis, part));
        }
    }
}

/// What must not be found, and the forms in which it could be.
pub(super) struct Secret {
    pub(super) name: &'static str,
    forms: Vec<(&'static str, Bytes)>,
    /// openid and unionid are what bindings are kept under.
    may_be_in_redis: bool,
}

impl Secret {
    pub(super) fn new(name: &'static str, secret: impl AsRef<[u8]>) -> Self {
        let secret = secret.as_ref();
        let text = String::from_utf8_lossy(secret);
        let json = serde_json::to_string(&text).expect("text");
        let json = json.trim_matches('"');
        let escaped =
            |escape: fn(u8) -> String| secret.iter().map(|&byte| url_encoded(byte, escape)).collect::<String>();
        let mut forms: Vec<(_, Bytes)> = vec![
            ("itself", secret.into()),
            ("URL-encoded", escaped(|byte| format!("%{byte:02X}")).into()),
            ("URL-encoded in lower case", escaped(|byte| format!("%{byte:02x}")).into()),
            ("JSON-escaped", json.into()),
            ("JSON-escaped with its slashes", json.replace('/', "\\/").into()),
            ("in hexadecimal", secret.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()),
            ("as an array of bytes", format!("{secret:?}").trim_matches(['[', ']']).into()),
        ];
        for padding in 0..3 {
            forms.push(("in base64", in_base64(&STANDARD_NO_PAD, secret, padding)));
            forms.push(("in base64url", in_base64(&URL_SAFE_NO_PAD, secret, padding)));
        }
        forms.retain(|(_, form)| form.0.len() >= TELLING);
        assert!(!forms.is_empty(), "{name} is too short to search for");
        Self { name, forms, may_be_in_redis: false }
    }

    pub(super) fn openid(name: &'static str, id: &str) -> Self {
        Self { may_be_in_redis: true, ..Self::new(name, id) }
    }

    pub(super) fn is_the_same_as(&self, other: &Self) -> bool {
        self.forms[0].1.0 == other.forms[0].1.0
    }

    fn is_allowed_in(&self, place: Place) -> bool {
        place == Place::Redis && self.may_be_in_redis
    }
}

fn url_encoded(byte: u8, escape: fn(u8) -> String) -> String {
    match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => char::from(byte).into(),
        _ => escape(byte),
    }
}

/// The base64 of `secret` within that of something longer, where it begins `padding` bytes after a multiple of three:
/// without the characters that hold a neighbour's bits.
fn in_base64(engine: &impl Engine, secret: &[u8], padding: usize) -> Bytes {
    let encoded = engine.encode([&[0; 3][..padding], secret].concat());
    let own_bits = (padding * 8).div_ceil(6)..(padding + secret.len()) * 8 / 6;
    encoded[own_bits].into()
}

/// THE scan: what of `secrets` is where in `traces`.
pub(super) fn leaks(secrets: &[Secret], traces: &Traces) -> BTreeSet<String> {
    let mut leaks = BTreeSet::new();
    for (place, bytes) in &traces.0 {
        for secret in secrets.iter().filter(|secret| !secret.is_allowed_in(*place)) {
            for (form, needle) in &secret.forms {
                if bytes.0.contains(&needle.0) {
                    leaks.insert(format!("{} {form}: {place:?}", secret.name));
                }
            }
        }
    }
    leaks
}

#[test]
fn the_scan_finds_a_secret_in_every_form_and_place() {
    let text = "Planted/+\"secret\"=";
    let secret = Secret::new("secret", text);
    let planted = [
        text.to_owned(),
        "https://api.weixin.qq.com/?secret=Planted%2F%2B%22secret%22%3D&x=1".to_owned(),
        "https://api.weixin.qq.com/?secret=Planted%2f%2b%22secret%22%3d&x=1".to_owned(),
        json!({"error": {"url": text}}).to_string(),
        json!({"session_key": text}).to_string().replace('/', "\\/"),
        format!("{:?}", text.as_bytes()),
        text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        STANDARD.encode(text),
        STANDARD.encode(format!("a:{text}:b")),
        URL_SAFE_NO_PAD.encode(format!("{{{text}}}")),
        STANDARD.encode(format!("{{\"{text}\"}}")),
    ];
    let openid = [Secret::openid("openid", text)];
    for place in [Place::Log, Place::Metrics, Place::Answer, Place::Audit, Place::Spans, Place::Redis] {
        let stands_there = Traces(vec![(place, text.into())]);
        assert_eq!(leaks(&openid, &stands_there).is_empty(), place == Place::Redis, "an openid in {place:?}");
        for planted in &planted {
            let traces = Traces(vec![(place, format!("before {planted} after").into())]);
            assert!(!leaks(std::slice::from_ref(&secret), &traces).is_empty(), "{place:?}: {planted}");
        }
        let clean = Traces(vec![(place, "before Planted/+ secret after".into())]);
        assert_eq!(leaks(std::slice::from_ref(&secret), &clean), BTreeSet::new());
    }
}
