//! examples/peers/haproxy/wxmint-revocations.py.

use std::process::Command;

use tempfile::TempDir;

use serde_json::json;

use super::{
    ended_second,
    issuer::{By, Issuer, Manner},
    keeps_the_newest, obeys_the_feed,
};
use crate::{
    back_end::BackEnd,
    example::Example,
    key_files::HAPROXY,
    support::{PATIENCE, Process, Signal, until},
};

/// HAProxy starts once there is a map.
const START: &str = "until [ -e keys/revocations.map ]; do sleep 0.1; done; \
                     exec /usr/sbin/haproxy -W -C . -f haproxy.cfg -f keys/keys.cfg";

const OFTEN: [(&str, &str); 4] = [
    ("EVERY = 5 ", "EVERY = 0.05 "),
    ("DEADLINE = 4 ", "DEADLINE = 1 "),
    ("FIRST_PAGE_WITHIN = 10 ", "FIRST_PAGE_WITHIN = 2 "),
    ("txn.minute_ago) date(-60)", "txn.minute_ago) date(-2)"),
];

struct Haproxy {
    example: Example,
    _follower: Process,
    process: Process,
    _folder: TempDir,
}

impl Haproxy {
    fn start(issuer: &Issuer, back_end: &BackEnd, settings: &[(&str, &str)]) -> Self {
        let url = format!("http://{}", issuer.address);
        let (port, folder) = HAPROXY.folder(issuer.address, back_end, settings);
        let written = HAPROXY.write_keys(folder.path(), &format!("{url}/.well-known/jwks.json"), &[]);
        assert!(written.status.success(), "{written:?}");
        let mut follower = Command::new(folder.path().join("wxmint-revocations.py"));
        // A proxy of the machine's would be asked for the feed.
        follower.current_dir(&folder).args([&*url, "keys", "keys/admin.sock"]).env("no_proxy", "127.0.0.1");
        let follower = Process::spawn("wxmint-revocations.py", &mut follower);
        let process = Process::spawn("haproxy", Command::new("sh").current_dir(&folder).args(["-c", START]));
        Self { example: Example::new("haproxy", port), _follower: follower, process, _folder: folder }
    }
}

fn start(issuer: &Issuer, back_end: &BackEnd, closed: bool, more: &[(&str, &str)]) -> Haproxy {
    let fail = [("#http-request return status 503", "http-request return status 503")];
    Haproxy::start(issuer, back_end, &[&OFTEN[..], &fail[..usize::from(closed)], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_refuses_what_was_ended() {
    let back_end = BackEnd::start().await;
    obeys_the_feed(|issuer, closed| start(issuer, &back_end, closed, &[]), |haproxy| &haproxy.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_keeps_the_newest_ends_when_it_is_full() {
    let (back_end, full) = (BackEnd::start().await, [("MOST_REVOCATIONS = 1_000_000 ", "MOST_REVOCATIONS = 20 ")]);
    keeps_the_newest(|issuer, closed| start(issuer, &back_end, closed, &full), |haproxy| &haproxy.example).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn haproxy_knows_what_was_ended_before_and_after_a_reload() {
    let (issuer, back_end) = (Issuer::start().await, BackEnd::start().await);
    issuer.says(Manner::Good);
    let haproxy = Haproxy::start(&issuer, &back_end, &OFTEN);
    let example = &haproxy.example;
    let [lin, mei] = ["lin", "mei"].map(|sub| issuer.token(By::First, json!({"sub": sub, "iat": ended_second()})));
    example.becomes(&lin, 200, "before any end").await;
    issuer.end_user("lin", ended_second());
    example.becomes(&lin, 401, "ended").await;
    let reloads = async || haproxy.process.stderr().iter().filter(|line| line.contains("Loading success")).count();
    let before = reloads().await;
    haproxy.process.signal(Signal::USR2);
    until("HAProxy reloads", PATIENCE, async || reloads().await > before).await;
    assert_eq!(example.status(&lin).await, Some(401), "ended before the reload");
    issuer.end_user("mei", ended_second());
    example.becomes(&mei, 401, "ended after the reload").await;
    assert_eq!(example.status(&lin).await, Some(401), "ended before the reload");
}
