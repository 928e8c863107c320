//! Load from one thread over persistent connections. It speaks raw HTTP/1.1, because the generator shares the machine
//! with the measured process.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout};

use crate::{Fault, kernel::CpuTime};

/// The timeout of a request, far longer than any measured request takes.
const STUCK: Duration = Duration::from_secs(10);

/// A connection that was idle for longer is not reused, because the server may be about to close it; the simulator does
/// so after 5 s.
const FRESH: Duration = Duration::from_secs(2);

/// The target of the load: what is sent, and how a successful response is recognized.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// The processes whose CPU time is counted, including that of their child processes.
    pub(crate) pids: Vec<u32>,
    /// Makes the request for a login code.
    pub(crate) request: fn(&str) -> String,
    /// Whether a response is successful.
    pub(crate) is_good: fn(&str) -> bool,
}

/// The lengths of the phases.
#[derive(Clone, Copy)]
pub(crate) struct Phases {
    /// The phase before the measurement.
    pub(crate) warm_up: Duration,
    /// The measured phase.
    pub(crate) measured: Duration,
}

/// The results of the measured phase.
pub(crate) struct Outcome {
    /// The number of responses. All are successful, because one failure ends the measurement.
    pub(crate) answers: u64,
    /// The length of the phase.
    pub(crate) took: Duration,
    /// The CPU time of each of the target's `pids`.
    pub(crate) cpu: Vec<Duration>,
    /// The latencies in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Outcome {
    /// Responses per second.
    pub(crate) fn rate(&self) -> f64 {
        self.answers as f64 / self.took.as_secs_f64()
    }

    /// CPU microseconds per response.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.iter().map(|cpu| self.us_each(*cpu)).sum()
    }

    /// `cpu` in microseconds per response.
    pub(crate) fn us_each(&self, cpu: Duration) -> f64 {
        us_each(cpu, self.answers)
    }

    /// A quantile of the latency, in milliseconds.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1000.0
    }
}

/// `cpu` in microseconds for each of `answers`.
pub(crate) fn us_each(cpu: Duration, answers: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / answers as f64
}

/// Login codes, each for one request.
pub(crate) type Codes = Box<dyn Iterator<Item = String>>;

struct Run {
    target: Target,
    codes: RefCell<Codes>,
    measuring: Cell<bool>,
    over: Cell<bool>,
    latency: RefCell<Histogram<u64>>,
}

impl Run {
    fn new(target: Target, codes: Codes) -> Result<Rc<Self>, Fault> {
        Ok(Rc::new(Self {
            target,
            codes: RefCell::new(codes),
            measuring: Cell::new(false),
            over: Cell::new(false),
            latency: RefCell::new(Histogram::new_with_bounds(1, STUCK.as_micros() as u64, 3)?),
        }))
    }

    fn request(&self) -> Result<String, Fault> {
        let code = self
            .codes
            .borrow_mut()
            .next()
            .ok_or("there were too few login codes for this machine")?;
        Ok((self.target.request)(&code))
    }

    fn answered(&self, took: Duration) {
        self.latency
            .borrow_mut()
            .saturating_record(took.as_micros() as u64);
    }

    /// Waits for the phases and reads CPU times at the start and the end of the measured one.
    async fn measure(
        &self,
        phases: Phases,
        begin: Instant,
    ) -> Result<(Duration, Vec<Duration>), Fault> {
        sleep_until((begin + phases.warm_up).into()).await;
        let started = Instant::now();
        let before = self.cpu_times()?;
        self.measuring.set(true);
        sleep_until((begin + phases.warm_up + phases.measured).into()).await;
        self.measuring.set(false);
        let took = started.elapsed();
        let after = self.cpu_times()?;
        self.over.set(true);
        let used: Result<_, _> = after
            .iter()
            .zip(&before)
            .map(|(after, before)| after.since(before))
            .collect();
        Ok((took, used?))
    }

    fn cpu_times(&self) -> Result<Vec<CpuTime>, Fault> {
        self.target
            .pids
            .iter()
            .map(|pid| CpuTime::of_family(*pid))
            .collect()
    }

    fn outcome(&self, (took, cpu): (Duration, Vec<Duration>)) -> Outcome {
        let latency = self.latency.borrow().clone();
        Outcome {
            answers: latency.len(),
            took,
            cpu,
            latency,
        }
    }
}

/// Closed loop: each connection sends its next request as soon as it has a response.
pub(crate) fn saturate(
    target: Target,
    connections: usize,
    codes: Codes,
    phases: Phases,
) -> Result<Outcome, Fault> {
    let run = Run::new(target, codes)?;
    on_this_thread(async {
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            clients.spawn_local(ask_again_and_again(Rc::clone(&run)));
        }
        let measured = run.measure(phases, Instant::now()).await?;
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(run.outcome(measured))
    })
}

async fn ask_again_and_again(run: Rc<Run>) -> Result<(), Fault> {
    let mut connection = Connection::open(run.target.address).await?;
    while !run.over.get() {
        let request = run.request()?;
        let sent = Instant::now();
        connection.exchange(&request, run.target.is_good).await?;
        if run.measuring.get() {
            run.answered(sent.elapsed());
        }
    }
    Ok(())
}

/// Sends one request with each of `codes`.
pub(crate) fn ask_each(
    target: Target,
    connections: usize,
    codes: impl Iterator<Item = String>,
) -> Result<(), Fault> {
    let codes = &RefCell::new(codes);
    on_this_thread(async {
        try_join_all((0..connections).map(async |_| {
            let mut connection = Connection::open(target.address).await?;
            loop {
                let Some(code) = codes.borrow_mut().next() else {
                    return Ok::<_, Fault>(());
                };
                connection
                    .exchange(&(target.request)(&code), target.is_good)
                    .await?;
            }
        }))
        .await?;
        Ok(())
    })
}

/// Open loop: requests are sent at a constant rate even if earlier ones are unanswered. Latency counts from when a
/// request was due, so that a pause affects all requests that were due during it.
pub(crate) fn pace(
    target: Target,
    rate: u32,
    codes: Codes,
    phases: Phases,
) -> Result<Outcome, Fault> {
    let run = Run::new(target, codes)?;
    on_this_thread(async {
        let begin = Instant::now();
        let clock = Rc::clone(&run);
        let measuring = tokio::task::spawn_local(async move { clock.measure(phases, begin).await });
        let mut due = ticks(begin, Duration::from_secs(1) / rate);
        let idle = Rc::new(RefCell::new(Vec::new()));
        let mut asking = JoinSet::new();
        while !run.over.get() {
            let at = due.recv().await.ok_or("the ticks ended")?;
            asking.spawn_local(ask_once(Rc::clone(&run), Rc::clone(&idle), at));
            while let Some(ended) = asking.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = asking.join_next().await {
            ended??;
        }
        Ok(run.outcome(measuring.await??))
    })
}

async fn ask_once(
    run: Rc<Run>,
    idle: Rc<RefCell<Vec<Connection>>>,
    at: Instant,
) -> Result<(), Fault> {
    let measured = run.measuring.get();
    let kept = idle
        .borrow_mut()
        .pop()
        .filter(|connection: &Connection| connection.last_used.elapsed() < FRESH);
    let mut connection = match kept {
        Some(connection) => connection,
        None => Connection::open(run.target.address).await?,
    };
    connection
        .exchange(&run.request()?, run.target.is_good)
        .await?;
    if measured {
        run.answered(at.elapsed());
    }
    idle.borrow_mut().push(connection);
    Ok(())
}

/// Sends each time at which a request is due once it has come. It runs in a thread, because tokio's timer has a
/// resolution of a millisecond.
fn ticks(begin: Instant, interval: Duration) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for number in 0.. {
            let due = begin + interval * number;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.send(due).is_err() {
                return;
            }
        }
    });
    receiver
}

fn on_this_thread<T>(future: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, future)
}

/// Why a request has no response.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error("no answer within 10 s")]
    Late,
    /// The connection was closed, or the response is not of HTTP.
    #[error("{0}")]
    Broken(Fault),
}

/// A persistent connection with a minimal HTTP client.
struct Connection {
    address: SocketAddr,
    stream: TcpStream,
    answer: Vec<u8>,
    /// The server has announced that it will close the connection, as nginx does after a thousand requests.
    is_over: bool,
    is_used: bool,
    last_used: Instant,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let answer = Vec::with_capacity(4096);
        Ok(Self {
            address,
            stream,
            answer,
            is_over: false,
            is_used: false,
            last_used: Instant::now(),
        })
    }

    async fn exchange(&mut self, request: &str, is_good: fn(&str) -> bool) -> Result<(), Fault> {
        let kept = !self.is_over && self.is_used;
        if self.is_over {
            *self = Self::open(self.address).await?;
        }
        let may_repeat = kept && request.starts_with("GET ");
        match self.ask(request).await {
            // The server may close a persistent connection at any time, as Apache does when all its threads are busy.
            // Then a request that changes nothing is sent again (RFC 9110, section 9.2.2).
            Err(Unanswered::Broken(_)) if may_repeat && self.answer.is_empty() => {
                *self = Self::open(self.address).await?;
                self.ask(request).await?;
            }
            asked => asked?,
        }
        let answer = String::from_utf8_lossy(&self.answer);
        self.is_over = answer.contains("\r\nConnection: close\r\n");
        if is_good(&answer) {
            return Ok(());
        }
        Err(format!("an answer other than expected: {answer}").into())
    }

    async fn ask(&mut self, request: &str) -> Result<(), Unanswered> {
        self.answer.clear();
        self.last_used = Instant::now();
        self.is_used = true;
        let asked = async {
            self.stream.write_all(request.as_bytes()).await?;
            self.read_answer().await
        };
        let in_time = timeout(STUCK, asked).await;
        let answered = in_time.map_err(|_| Unanswered::Late)?;
        answered.map_err(Unanswered::Broken)
    }

    async fn read_answer(&mut self) -> Result<(), Fault> {
        while answer_len(&self.answer)?.is_none_or(|len| self.answer.len() < len) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err("the connection was closed within an answer".into());
            }
        }
        Ok(())
    }
}

/// The lengths of head and body, once the head is complete.
fn answer_len(received: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let lines = str::from_utf8(&received[..head])?.lines();
    let mut headers = lines.filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, body) = length.ok_or("an answer without Content-Length")?;
    Ok(Some(head + 4 + body.trim().parse::<usize>()?))
}
