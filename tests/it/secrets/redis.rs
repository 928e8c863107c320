//! What is sent to Redis (MONITOR) and what Redis writes to disk (RDB) holds session keys and access tokens sealed alone.

use std::{collections::BTreeSet, fs, net::Ipv4Addr, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::scan::{Bytes, Place, Secret, Traces, leaks};
use crate::support::{RedisServer, TestBed};

/// All commands of all clients, from when it is begun.
struct Monitor(TcpStream);

impl Monitor {
    async fn begin(redis: &RedisServer) -> Self {
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port())).await.expect("Redis");
        connection.write_all(b"MONITOR\r\n").await.expect("sent");
        let mut ok = [0; 5];
        connection.read_exact(&mut ok).await.expect("an answer");
        assert_eq!(&ok, b"+OK\r\n");
        Self(connection)
    }

    /// What was sent so far, byte for byte.
    async fn end(mut self, redis: &RedisServer) -> Vec<u8> {
        const LAST: &str = "the last command";
        redis.command::<String>(&["ECHO", LAST]);
        let mut seen = Vec::new();
        while !seen.windows(LAST.len()).any(|window| window == LAST.as_bytes()) {
            assert!(self.0.read_buf(&mut seen).await.expect("Redis") > 0, "Redis closed the connection");
        }
        unescaped(&seen)
    }
}

/// MONITOR shows some bytes as a string literal of C would.
fn unescaped(shown: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), shown);
    loop {
        let byte;
        (byte, rest) = match rest {
            [b'\\', b'x', high, low, rest @ ..] => {
                let digits = [*high, *low].map(|digit| char::from(digit).to_digit(16).expect("a digit"));
                ((digits[0] * 16 + digits[1]) as u8, rest)
            }
            [b'\\', letter, rest @ ..] => {
                let known = [(b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'a', 7), (b'b', 8)];
                (known.into_iter().find(|(known, _)| known == letter).map_or(*letter, |(_, byte)| byte), rest)
            }
            [byte, rest @ ..] => (*byte, rest),
            [] => return bytes,
        };
        bytes.push(byte);
    }
}

/// The file that SAVE writes.
fn dump(redis: &RedisServer) -> Vec<u8> {
    redis.command::<()>(&["SAVE"]);
    let [folder, file] =
        ["dir", "dbfilename"].map(|name| redis.command::<[String; 2]>(&["CONFIG", "GET", name])[1].clone());
    fs::read(Path::new(&folder).join(file)).expect("a dump")
}

/// What WeChat knows: the session key of its only person now, and the app's access token.
async fn secrets(bed: &TestBed) -> [Secret; 3] {
    let account = bed.wechat.account("lin").await;
    let key = account["session_key"].as_str().expect("a key").to_owned();
    let token = bed.wechat.access_token().await;
    [
        Secret::new("session_key", &key),
        Secret::new("session_key's bytes", STANDARD.decode(&key).expect("base64")),
        Secret::new("access token", token),
    ]
}

/// Traces of what Redis was sent and has written.
fn traces(monitor: impl Into<Bytes>, dump: impl Into<Bytes>) -> Traces {
    let mut traces = Traces::default();
    traces.add(Place::Redis, monitor);
    traces.add(Place::Redis, dump);
    traces
}

#[tokio::test]
async fn neither_monitor_nor_a_dump_shows_a_session_key_or_an_access_token() {
    // A dump that is compressed would hide what it holds from this search alone.
    let bed = TestBed::builder().redis_options(&["--rdbcompression", "no"]).start().await;
    let monitor = Monitor::begin(&bed.redis).await;
    let (mut known, mut dumps) = (Vec::new(), Vec::new());
    bed.log_in("lin").await.expect_login();
    known.extend(secrets(&bed).await);
    let token = bed.log_in("lin").await.expect_login().member("access_token");
    known.extend(secrets(&bed).await);
    let asked = json!({"person": "lin", "kind": "steps"});
    let request = bed.http.0.post(format!("{}/_simulator/user-data", bed.wechat.url())).json(&asked);
    let data = bed.http.send(request).await.json();
    let data = json!({"encryptedData": data["encryptedData"], "iv": data["iv"]});
    assert_eq!(bed.service().ask("POST", "/wechat/userdata", &token, &data).await.status, 200);
    assert_eq!(bed.service().ask("POST", "/wechat/session/reset", &token, &json!({})).await.status, 204);
    known.extend(secrets(&bed).await);
    dumps.extend(dump(&bed.redis));
    assert_eq!(bed.service().ask("POST", "/logout", &token, &json!({})).await.status, 204);
    dumps.extend(dump(&bed.redis));
    let seen = monitor.end(&bed.redis).await;
    for what in ["}:session", "}:access-token"] {
        let seen: [Bytes; 2] = [(&seen).into(), (&dumps).into()];
        assert!(seen.iter().all(|bytes| bytes.0.contains(what)), "{what} was sent and written");
    }
    assert_eq!(leaks(&known, &traces(seen, dumps)), BTreeSet::new());
}
