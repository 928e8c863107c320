//! A server of HTTP in the test's own process. It answers each path as it is told to, also as no server should, and
//! remembers who asked.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{Accepting, locked};

#[derive(Debug, Clone)]
pub(crate) enum Step {
    Send(Vec<u8>),
    /// The same until the other side hangs up, with so much time in between.
    Repeat(Vec<u8>, Duration),
    Wait(Duration),
    /// Not a byte more until the other side hangs up.
    Stall,
    /// The connection ends as one of a machine that has crashed.
    Reset,
    /// From here on bytes pass both ways between the other side and this address.
    Tunnel(String),
    /// Takes another request on the same connection.
    Next,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The first line.
    pub(crate) line: String,
    /// As it was written, with its query.
    pub(crate) path: String,
    /// By their names in lower case; several of one name with commas in between.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    /// The client's end of the connection.
    pub(crate) from: SocketAddr,
    #[allow(dead_code, reason = "of tests/nightly")]
    pub(crate) at: Instant,
    sent: Arc<AtomicUsize>,
}

impl Call {
    pub(crate) fn token(&self) -> &str {
        self.headers["authorization"]
            .strip_prefix("Bearer ")
            .expect("a bearer token")
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// How many bytes were sent until the connection ended.
    pub(crate) fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

/// How a request is answered: one step after the other; then the server hangs up.
#[derive(Clone)]
pub(crate) struct Manner(Arc<Steps>);

type Steps = dyn Fn(&Call) -> Vec<Step> + Send + Sync;

impl Manner {
    pub(crate) fn of(steps: impl Fn(&Call) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self(Arc::new(steps))
    }

    pub(crate) fn does(steps: Vec<Step>) -> Self {
        Self::of(move |_| steps.clone())
    }

    /// One answer: its status line's end, its header lines with CRLF each, and its body.
    pub(crate) fn says(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Self {
        Self::does(vec![Step::Send(answer(status, headers, body.as_ref()))])
    }

    /// As it should: a set, for how many seconds it may be held, and 304 to whoever has it.
    pub(crate) fn serves(set: &Value, max_age: u64) -> Self {
        let set = set.to_string();
        // The set itself would do as its tag, but for its quotes.
        let tag = format!(
            "\"{}\"",
            set.bytes()
                .fold(0_u64, |sum, byte| sum.wrapping_mul(31) + u64::from(byte))
        );
        let headers = format!("ETag: {tag}\r\nCache-Control: public, max-age={max_age}\r\n");
        Self::of(move |call| {
            vec![Step::Send(
                match call.headers.get("if-none-match") == Some(&tag) {
                    true => {
                        format!("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n{headers}\r\n")
                            .into()
                    }
                    false => answer("200 OK", &headers, set.as_bytes()),
                },
            )]
        })
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) struct Answering {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _server: Accepting,
}

struct Shared {
    manners: Mutex<HashMap<String, Manner>>,
    otherwise: Mutex<Manner>,
    calls: Mutex<Vec<Call>>,
}

impl Answering {
    /// Answers 404, until it is told otherwise.
    pub(crate) fn start() -> Self {
        let otherwise = Mutex::new(Manner::says("404 Not Found", "", ""));
        let shared = Arc::new(Shared {
            manners: Mutex::default(),
            otherwise,
            calls: Mutex::default(),
        });
        let known = Arc::clone(&shared);
        let server = Accepting::start(move |stream| connection(stream, Arc::clone(&known)));
        Self {
            address: server.address,
            shared,
            _server: server,
        }
    }

    /// Serves this set at `/jwks`.
    pub(crate) fn of(set: &Value, max_age: u64) -> Self {
        let server = Self::start();
        server.at("/jwks", Manner::serves(set, max_age));
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on this path is answered so.
    pub(crate) fn at(&self, path: &str, manner: Manner) {
        locked(&self.shared.manners).insert(path.to_owned(), manner);
    }

    /// From now on the paths to which no manner was given are answered so.
    pub(crate) fn otherwise(&self, manner: Manner) {
        *locked(&self.shared.otherwise) = manner;
    }

    /// The requests for a path so far, in the order in which they came.
    pub(crate) fn calls_of(&self, path: &str) -> Vec<Call> {
        locked(&self.shared.calls)
            .iter()
            .filter(|call| call.path == path)
            .cloned()
            .collect()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        locked(&self.shared.calls).clone()
    }

    /// Takes the calls that have arrived since this was last called.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut locked(&self.shared.calls))
    }
}

/// None once the connection is over.
async fn connection(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let call = request(&mut stream).await?;
        let manner = locked(&shared.manners).get(&call.path).cloned();
        let manner = manner.unwrap_or_else(|| locked(&shared.otherwise).clone());
        locked(&shared.calls).push(call.clone());
        let (steps, sent) = (manner.0(&call), call.sent);
        let goes_on = matches!(steps.last(), Some(Step::Next));
        for step in steps {
            take(step, &mut stream, &sent).await?;
        }
        if !goes_on {
            return None;
        }
    }
}

async fn request(stream: &mut BufReader<TcpStream>) -> Option<Call> {
    let (line, headers, body) = message(stream).await?;
    let (path, from) = (
        line.split(' ').nth(1)?.to_owned(),
        stream.get_ref().peer_addr().ok()?,
    );
    Some(Call {
        line,
        path,
        headers,
        body,
        from,
        at: Instant::now(),
        sent: Arc::default(),
    })
}

/// The first line of a request or an answer, its headers, and its body.
pub(super) async fn message(
    stream: &mut BufReader<TcpStream>,
) -> Option<(String, BTreeMap<String, String>, Vec<u8>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream
            .read_line(&mut line)
            .await
            .ok()
            .filter(|&read| read > 0)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let (line, headers) = lines.split_first()?;
    let mut named = BTreeMap::<String, String>::new();
    for (name, value) in headers.iter().filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        named
            .entry(name.to_lowercase())
            .and_modify(|first| *first += &format!(", {value}"))
            .or_insert(value.into());
    }
    let headers = named;
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((line.clone(), headers, body))
}

/// None where the connection is over.
async fn take(step: Step, stream: &mut BufReader<TcpStream>, sent: &AtomicUsize) -> Option<()> {
    match step {
        Step::Send(bytes) => send(&bytes, stream, sent).await?,
        Step::Wait(time) => sleep(time).await,
        Step::Repeat(bytes, period) => loop {
            send(&bytes, stream, sent).await?;
            sleep(period).await;
        },
        // Until the end of what the other side sends, which has been read already.
        Step::Stall => _ = stream.read(&mut [0]).await,
        Step::Reset => stream.get_ref().set_zero_linger().ok()?,
        Step::Tunnel(target) => {
            let mut server = TcpStream::connect(target).await.ok()?;
            server.set_nodelay(true).ok()?;
            _ = copy_bidirectional(stream, &mut server).await;
        }
        Step::Next => {}
    }
    Some(())
}

/// Some kilobytes at a time, so that what the other side never took is not counted.
async fn send(bytes: &[u8], stream: &mut BufReader<TcpStream>, sent: &AtomicUsize) -> Option<()> {
    for piece in bytes.chunks(16 * 1024) {
        stream.get_mut().write_all(piece).await.ok()?;
        sent.fetch_add(piece.len(), Ordering::Relaxed);
    }
    Some(())
}
