//! The last thousand requests and answers, for tests to read.
//!
//! Secrets are masked when entries are read, so that a load test does not pay for the masking.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::{http::Method, web::Bytes};
use chrono::{DateTime, SecondsFormat, Utc};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::{call::Params, faults::Kind};

const KEPT: usize = 1000;
/// The most bytes of a body that are kept. Longer bodies are truncated.
const BODY_KEPT: usize = 4096;

const SECRET_MEMBERS: &str = "secret,app_secret,client_secret,private_key,sign,access_token,refresh_token,session_key,encrypt_key,password,\
                              component_appsecret,\
                              component_secret,component_verify_ticket,component_access_token,authorizer_access_token,\
                              authorizer_refresh_token";
const MASK: &str = "••••••••";

/// One request with its answer, unmasked.
pub(super) struct Exchange {
    pub(super) at: DateTime<Utc>,
    /// The duration, including the answer's delay.
    pub(super) took: Duration,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) query: String,
    pub(super) request_body: Bytes,
    pub(super) fault: Option<Kind>,
    /// `None` if no answer was sent.
    pub(super) answer: Option<Answered>,
}

pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Bytes,
}

struct Kept {
    exchange: Exchange,
    answer_length: usize,
}

/// The last exchanges. The numbering continues after the journal is cleared, so that a reader
/// misses nothing.
pub(super) struct Journal {
    wanted: bool,
    ring: Mutex<Ring>,
}

#[derive(Default)]
struct Ring {
    last: u64,
    entries: VecDeque<Kept>,
}

impl Journal {
    /// A journal that is not `wanted` stays empty.
    pub(super) fn new(wanted: bool) -> Self {
        Self {
            wanted,
            ring: Mutex::default(),
        }
    }

    pub(super) fn record(&self, mut exchange: Exchange) {
        if !self.wanted {
            return;
        }
        let answer_length = exchange
            .answer
            .as_ref()
            .map_or(0, |answer| answer.body.len());
        if let Some(answer) = &mut exchange.answer {
            answer.body.truncate(BODY_KEPT);
        }
        let mut ring = self.ring.lock();
        ring.last += 1;
        if ring.entries.len() == KEPT {
            ring.entries.pop_front();
        }
        ring.entries.push_back(Kept {
            exchange,
            answer_length,
        });
    }

    pub(super) fn clear(&self) {
        self.ring.lock().entries.clear();
    }

    /// Returns the masked entries after number `since`, and the number for the next call's `since`.
    pub(super) fn read(&self, since: u64) -> Value {
        let ring = self.ring.lock();
        let first = ring.last + 1 - ring.entries.len() as u64;
        let numbered = (first..).zip(&ring.entries).filter(|(seq, _)| *seq > since);
        let entries: Vec<Value> = numbered.map(|(seq, kept)| kept.masked(seq)).collect();
        json!({"next": ring.last, "entries": entries})
    }
}

impl Kept {
    fn masked(&self, seq: u64) -> Value {
        let Self {
            exchange,
            answer_length,
        } = self;
        let answer = exchange.answer.as_ref();
        json!({
            "seq": seq,
            "at": exchange.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "method": exchange.method.as_str(),
            "path": exchange.path,
            "query": masked_query(&exchange.query),
            "request_body": masked_request_body(&exchange.request_body),
            "status": answer.map(|answer| answer.status),
            "content_type": answer.map(|answer| answer.content_type),
            "body": answer.map(|answer| match answer.content_type {
                picture if picture.starts_with("image/") => format!("({answer_length} bytes of {picture})"),
                _ => masked_answer(&answer.body, *answer_length),
            }),
            "took_ms": exchange.took.as_micros() as f64 / 1000.0,
            "fault": exchange.fault,
        })
    }
}

fn is_secret(name: &str) -> bool {
    SECRET_MEMBERS.split(',').any(|secret| secret == name)
}

fn masked_query(query: &str) -> Map<String, Value> {
    let mut shown = Map::new();
    for (name, value) in Params::parse(query).into_pairs() {
        let value = if is_secret(&name) {
            MASK.to_owned()
        } else {
            value
        };
        shown.entry(name).or_insert(Value::String(value));
    }
    shown
}

/// Masks a request's body. A body that is no JSON object is not shown, because it is unknown where
/// it holds a secret.
fn masked_request_body(body: &[u8]) -> Option<String> {
    if body.is_empty() {
        return None;
    }
    let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Some(format!("({} bytes that are no JSON object)", body.len()));
    };
    for (name, value) in &mut members {
        if is_secret(name) {
            *value = MASK.into();
        }
    }
    Some(Value::Object(members).to_string())
}

/// Masks an answer by searching its text, because a truncated answer cannot be parsed. The
/// simulator writes its answers itself, so the form of their members is known.
fn masked_answer(body: &[u8], whole: usize) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    for name in SECRET_MEMBERS.split(',') {
        let opening = format!("\"{name}\":\"");
        let mut masked = 0;
        while let Some(at) = text[masked..].find(&opening) {
            let start = masked + at + opening.len();
            let end = text[start..]
                .find('"')
                .map_or(text.len(), |length| start + length);
            text.replace_range(start..end, MASK);
            masked = start;
        }
    }
    if whole > body.len() {
        text.push_str(&format!("… ({whole} bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now;

    fn exchange(query: &str, request_body: &'static str, answer: &str) -> Exchange {
        let body = Bytes::copy_from_slice(answer.as_bytes());
        Exchange {
            at: now(),
            took: Duration::ZERO,
            method: Method::GET,
            path: "/sns/jscode2session",
            query: query.to_owned(),
            request_body: Bytes::from_static(request_body.as_bytes()),
            fault: None,
            answer: Some(Answered {
                status: 200,
                content_type: "text/plain",
                body,
            }),
        }
    }

    fn shown(exchange: Exchange) -> Value {
        let journal = Journal::new(true);
        journal.record(exchange);
        journal.read(0)["entries"][0].clone()
    }

    #[test]
    fn secrets_are_masked_in_query_and_both_bodies() {
        let entry = shown(exchange(
            "appid=wx1&s%65cret=PLANTED&secret=PLANTED&access_token=PLANTED&js_code=a%26b",
            r#"{ "secret" : "PLANTED", "appid": "wx1" }"#,
            r#"{"session_key":"PLANTED\/==","openid":"o1"}"#,
        ));
        let of_alipay = shown(exchange(
            "sign=PLANTED%2B&private_key=PLANTED",
            r#"{"private_key":"PLANTED","sign":"PLANTED"}"#,
            r#"{"private_key":"PLANTED","sign":"PLANTED/+=="}"#,
        ));
        assert!(!of_alipay.to_string().contains("PLANTED"), "{of_alipay}");
        assert!(!entry.to_string().contains("PLANTED"), "{entry}");
        let of_platform = shown(exchange(
            "component_access_token=PLANTED",
            r#"{"component_appsecret":"PLANTED","component_secret":"PLANTED","component_verify_ticket":"PLANTED","authorizer_refresh_token":"PLANTED"}"#,
            r#"{"component_access_token":"PLANTED","list":[{"refresh_token":"PLANTED"}],"authorizer_access_token":"PLANTED"}"#,
        ));
        assert!(
            !of_platform.to_string().contains("PLANTED"),
            "{of_platform}"
        );
        assert_eq!(entry["query"]["js_code"], "a&b");
        assert_eq!(entry["query"]["secret"], MASK);
        assert_eq!(
            entry["body"],
            format!(r#"{{"session_key":"{MASK}","openid":"o1"}}"#)
        );
        assert_eq!(
            entry["request_body"],
            format!(r#"{{"appid":"wx1","secret":"{MASK}"}}"#)
        );
        let keys = r#"{"key_info_list":[{"encrypt_key":"PLANTED=="},{"encrypt_key":"PLANTED"}]}"#;
        let body = format!(
            r#"{{"key_info_list":[{{"encrypt_key":"{MASK}"}},{{"encrypt_key":"{MASK}"}}]}}"#
        );
        assert_eq!(shown(exchange("", "", keys))["body"], body);
    }

    #[test]
    fn secrets_are_masked_in_half_an_answer_and_in_a_form() {
        let entry = shown(exchange(
            "",
            "appid=wx1&secret=PLANTED",
            r#"{"session_key":"PLANT"#,
        ));
        assert!(!entry.to_string().contains("PLANT"), "{entry}");
        assert_eq!(entry["request_body"], "(24 bytes that are no JSON object)");
    }

    #[test]
    fn the_ring_keeps_the_last_thousand_and_numbers_go_on() {
        let journal = Journal::new(true);
        for _ in 0..1005 {
            journal.record(exchange("", "", "{}"));
        }
        let seen = |since| {
            let page = journal.read(since);
            let entries = page["entries"].as_array().expect("entries");
            (
                page["next"].as_u64(),
                entries
                    .iter()
                    .filter_map(|entry| entry["seq"].as_u64())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(seen(0), (Some(1005), (6..=1005).collect()));
        assert_eq!(seen(1003).1, [1004, 1005]);
        journal.clear();
        assert_eq!(seen(0), (Some(1005), Vec::new()));
        journal.record(exchange("", "", "{}"));
        assert_eq!(seen(1005).1, [1006]);
    }

    #[test]
    fn of_a_huge_body_the_beginning_is_kept_and_its_length_told() {
        let entry = shown(exchange("", "", &"A".repeat(10_000)));
        let body = entry["body"].as_str().expect("a body");
        assert!(body.len() < 5000 && body.ends_with("A… (10000 bytes)"));
    }

    #[test]
    fn a_picture_is_told_by_its_length() {
        let mut picture = exchange("", "", "JFIF");
        picture.answer.as_mut().expect("an answer").content_type = "image/jpeg";
        assert_eq!(shown(picture)["body"], "(4 bytes of image/jpeg)");
    }

    #[test]
    fn an_unwanted_journal_stays_empty() {
        let journal = Journal::new(false);
        journal.record(exchange("", "", "{}"));
        assert_eq!(journal.read(0), json!({"next": 0, "entries": []}));
    }
}
