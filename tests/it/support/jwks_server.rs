//! A server of JWK Sets that misbehaves as it is told to, at each path in its own way, and remembers who asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{Accepting, locked};

#[derive(Clone)]
pub(crate) enum Manner {
    /// As it should: a set, for how many seconds it may be held, and 304 to whoever has it.
    Serves(Arc<str>, u64),
    /// One after the other; then it hangs up.
    Does(Vec<Step>),
}

#[derive(Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// The same until the other side hangs up, with so much time in between.
    Repeat(Vec<u8>, Duration),
    Wait(Duration),
    /// Not a byte more until the other side hangs up.
    Stall,
    /// The connection ends as one of a machine that has crashed.
    Reset,
}

#[derive(Debug, Clone)]
pub(crate) struct Fetch {
    pub(crate) path: String,
    #[allow(dead_code, reason = "of tests/nightly")]
    pub(crate) at: Instant,
    /// The value of `If-None-Match`.
    pub(crate) has: Option<String>,
    pub(crate) authorization: Option<String>,
    /// How many bytes were sent until the connection ended.
    pub(crate) sent: usize,
}

pub(crate) struct JwksServer {
    shared: Arc<Shared>,
    server: Accepting,
}

type Otherwise = dyn Fn(&str) -> Vec<Step> + Send + Sync;

#[derive(Default)]
struct Shared {
    manners: Mutex<HashMap<String, Manner>>,
    otherwise: Mutex<Option<Arc<Otherwise>>>,
    fetches: Mutex<Vec<Fetch>>,
}

impl Manner {
    /// A good answer, of a set that may be held for `max_age` seconds.
    pub(crate) fn serves(set: &Value, max_age: u64) -> Self {
        Self::Serves(set.to_string().into(), max_age)
    }

    /// One answer: its status line's end, its header lines with CRLF each, and its body.
    pub(crate) fn says(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        Self::Does(vec![Step::Send(answer(status, headers, body.as_ref()))])
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

impl JwksServer {
    /// Answers 404, until it is told otherwise.
    pub(crate) async fn start() -> Self {
        let shared = Arc::<Shared>::default();
        let known = Arc::clone(&shared);
        let server = Accepting::start(move |stream| connection(stream, Arc::clone(&known))).await;
        Self { shared, server }
    }

    /// Serves this set at `/jwks`.
    pub(crate) async fn of(set: &Value, max_age: u64) -> Self {
        let server = Self::start().await;
        server.at("/jwks", Manner::serves(set, max_age));
        server
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address)
    }

    /// From now on this path answers so.
    pub(crate) fn at(&self, path: &str, manner: Manner) {
        locked(&self.shared.manners).insert(path.to_owned(), manner);
    }

    /// From now on the targets to which no manner was given are answered so.
    pub(crate) fn otherwise(&self, answer: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) {
        *locked(&self.shared.otherwise) = Some(Arc::new(answer));
    }

    /// The requests for a path so far, in the order in which they came.
    pub(crate) fn fetches(&self, path: &str) -> Vec<Fetch> {
        locked(&self.shared.fetches).iter().filter(|fetch| fetch.path == path).cloned().collect()
    }

    pub(crate) fn all_fetches(&self) -> Vec<Fetch> {
        locked(&self.shared.fetches).clone()
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut stream = BufReader::new(stream);
    let Some((path, [has, authorization])) = request(&mut stream).await else { return };
    let place = {
        let mut fetches = locked(&shared.fetches);
        fetches.push(Fetch { path: path.clone(), at: Instant::now(), has: has.clone(), authorization, sent: 0 });
        fetches.len() - 1
    };
    let manner = locked(&shared.manners).get(&path).cloned();
    let otherwise = locked(&shared.otherwise).clone();
    let steps = match (manner, otherwise) {
        (Some(manner), _) => steps(manner, has),
        (None, Some(otherwise)) => otherwise(&path),
        (None, None) => vec![Step::Send(answer("404 Not Found", "", b""))],
    };
    let count = |bytes| locked(&shared.fetches)[place].sent += bytes;
    for step in steps {
        if take(step, &mut stream, &count).await.is_none() {
            return;
        }
    }
}

/// Path, `If-None-Match` and `Authorization`.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, [Option<String>; 2])> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let value = |wanted| {
        lines.iter().find_map(|line: &String| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case(wanted).then(|| value.to_owned())
        })
    };
    let values = ["if-none-match", "authorization"].map(value);
    Some((lines.first()?.split(' ').nth(1)?.to_owned(), values))
}

fn steps(manner: Manner, has: Option<String>) -> Vec<Step> {
    match manner {
        Manner::Does(steps) => steps,
        Manner::Serves(set, max_age) => {
            // The set itself would do as its tag, but for its quotes.
            let tag = format!("\"{}\"", set.bytes().fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte)));
            let headers = format!("ETag: {tag}\r\nCache-Control: public, max-age={max_age}\r\n");
            vec![Step::Send(match has == Some(tag) {
                true => format!("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n{headers}\r\n").into(),
                false => answer("200 OK", &headers, set.as_bytes()),
            })]
        }
    }
}

/// None where the connection is over.
async fn take(step: Step, stream: &mut BufReader<TcpStream>, count: &impl Fn(usize)) -> Option<()> {
    match step {
        Step::Send(bytes) => send(&bytes, stream, count).await,
        Step::Wait(time) => {
            sleep(time).await;
            Some(())
        }
        Step::Repeat(bytes, period) => loop {
            send(&bytes, stream, count).await?;
            sleep(period).await;
        },
        Step::Stall => {
            // Until the end of what the other side sends, which has been read already.
            let _ = stream.read(&mut [0]).await;
            None
        }
        Step::Reset => {
            stream.get_ref().set_zero_linger().ok();
            None
        }
    }
}

/// Some kilobytes at a time, so that what the other side never took is not counted.
async fn send(bytes: &[u8], stream: &mut BufReader<TcpStream>, count: &impl Fn(usize)) -> Option<()> {
    for piece in bytes.chunks(16 * 1024) {
        stream.get_mut().write_all(piece).await.ok()?;
        count(piece.len());
    }
    Some(())
}
