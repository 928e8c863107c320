//! The cost of 10,000 revocations in both forms of the feed: its own pages, and security event tokens by polling (RFC
//! 8936).

use std::net::SocketAddr;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::kernel::CpuTime;
use crate::processes::{Service, fetch, fetch_as};
use crate::report::Report;
use crate::{Fault, Plan, Stage};

const REVOCATIONS: usize = 10_000;
const SECRET: &str = "events-0123456789abcdef0123456789abcdef";

/// A receiver that has nothing reads everything, once in each form.
pub(crate) fn feeds(stage: &Stage, _: &Plan, report: &mut Report) -> Result<(), Fault> {
    let receivers = stage
        .files
        .write("admin.tokens", &format!("bench {SECRET} events\n"))?;
    let service =
        Service::start_with_admin_tokens(&stage.files, &stage.redis, &stage.prompt, &receivers)?;
    service.started()?;
    stage.redis.revoke(REVOCATIONS)?;
    let pages = (
        [
            "feeds.pages_bytes",
            "feeds.pages_cpu_us",
            "feeds.pages_redis_us",
        ],
        pages as fn(SocketAddr) -> _,
    );
    let events = (
        [
            "feeds.events_bytes",
            "feeds.events_cpu_us",
            "feeds.events_redis_us",
        ],
        events as _,
    );
    for (keys, read) in [pages, events] {
        let pids = [service.pid(), stage.redis.pid()];
        let times = || {
            pids.iter()
                .map(|pid| CpuTime::of_family(*pid))
                .collect::<Result<Vec<_>, _>>()
        };
        let before = times()?;
        let (revocations, bytes): (usize, usize) = read(service.public)?;
        if revocations != REVOCATIONS {
            return Err(format!("{revocations} revocations for {keys:?}").into());
        }
        let used = times()?
            .iter()
            .zip(&before)
            .map(|(after, before)| after.since(before))
            .collect::<Result<Vec<_>, _>>()?;
        let [cpu, redis] = [0, 1].map(|process| used[process].as_secs_f64() * 1e6);
        for (key, total) in keys.into_iter().zip([bytes as f64, cpu, redis]) {
            report.add(key, total / REVOCATIONS as f64);
        }
    }
    Ok(())
}

fn pages(service: SocketAddr) -> Result<(usize, usize), Fault> {
    let (mut count, mut bytes, mut cursor) = (0, 0, String::new());
    loop {
        let (_, page) = fetch(service, "GET", &format!("/revocations?after={cursor}"), "")?;
        bytes += page.len();
        let claims = page
            .split('.')
            .nth(1)
            .ok_or_else(|| format!("no page: {page}"))?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
        count += claims["revoked"].as_array().map_or(0, Vec::len);
        claims["cursor"]
            .as_str()
            .unwrap_or_default()
            .clone_into(&mut cursor);
        if claims["more"] != true {
            return Ok((count, bytes));
        }
    }
}

/// The receiver's own bytes count too: it names each event again.
fn events(service: SocketAddr) -> Result<(usize, usize), Fault> {
    let (mut count, mut bytes, mut ack) = (0, 0, Vec::new());
    let head = format!("application/json\r\nAuthorization: Bearer {SECRET}");
    loop {
        let poll = json!({"maxEvents": 250, "returnImmediately": true, "ack": ack}).to_string();
        let (_, answer) = fetch_as(&head, service, "POST", "/ssf/poll", &poll)?;
        bytes += poll.len() + answer.len();
        let events: Value = serde_json::from_str(&answer)?;
        let sets = events["sets"]
            .as_object()
            .ok_or_else(|| format!("no events: {answer}"))?;
        if sets.is_empty() {
            return Ok((count, bytes));
        }
        count += sets.len();
        ack = sets.keys().cloned().collect();
    }
}
