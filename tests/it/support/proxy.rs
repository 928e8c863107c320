//! A TCP proxy that can be broken and restored.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::{PATIENCE, eventually, free_port};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Passing,
    Withholding,
    /// Connections are accepted and kept, and no byte moves.
    Stalled,
    /// Nobody listens, and all connections are closed.
    Cut,
}

pub(crate) struct Breakable {
    port: u16,
    target: watch::Sender<SocketAddr>,
    route: Route,
    reached: watch::Receiver<State>,
    proxy: JoinHandle<()>,
}

impl Breakable {
    pub(crate) async fn before(target: SocketAddr) -> Self {
        let (port, listener) = eventually("a free port", PATIENCE, async || {
            let port = free_port();
            Some((
                port,
                reserve((Ipv4Addr::LOCALHOST, port).into())
                    .ok()?
                    .listen(BACKLOG)
                    .ok()?,
            ))
        })
        .await;
        let (wanted, asked) = watch::channel(State::Passing);
        let (reaches, reached) = watch::channel(State::Passing);
        let (target, leads_to) = watch::channel(target);
        let [answers_until_loss, answers_until_wait, round_trips] =
            [(); 3].map(|()| Arc::default());
        let route = Route {
            target: leads_to,
            answers_until_loss,
            answers_until_wait,
            round_trips,
            wanted,
            state: asked,
        };
        let proxy = tokio::spawn(serve(listener, route.clone(), reaches));
        Self {
            port,
            target,
            route,
            reached,
            proxy,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// From when this returns, connections are refused and none is left.
    pub(crate) async fn cut(&self) {
        self.become_(State::Cut).await;
    }

    /// From when this returns, nothing passes.
    pub(crate) async fn stall(&self) {
        self.become_(State::Stalled).await;
    }

    /// From when this returns, requests pass and their answers wait until things are as before.
    pub(crate) async fn withhold_answers(&self) {
        self.become_(State::Withholding).await;
    }

    /// The same from the answer after so many others on; 1 is the next.
    pub(crate) fn withhold_from(&self, number: u64) {
        self.route
            .answers_until_wait
            .store(number, Ordering::Relaxed);
    }

    pub(crate) fn is_withholding(&self) -> bool {
        *self.route.wanted.borrow() == State::Withholding
    }

    pub(crate) async fn restore(&self) {
        self.route.answers_until_wait.store(0, Ordering::Relaxed);
        self.become_(State::Passing).await;
    }

    /// Closes all connections; new ones pass.
    pub(crate) async fn hang_up(&self) {
        self.cut().await;
        self.restore().await;
    }

    pub(crate) fn target(&self) -> SocketAddr {
        *self.target.borrow()
    }

    /// New connections go elsewhere; those that are there stay where they are.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        assert_ne!(target, self.target(), "they go there already");
        self.target.send_replace(target);
    }

    /// This answer does not arrive, counted from 1, the next, and its connection is closed.
    pub(crate) fn lose_answer(&self, number: u64) {
        self.route
            .answers_until_loss
            .store(number, Ordering::Relaxed);
    }

    /// Whether the answer that was to be lost is lost. If there was none, none will be.
    pub(crate) fn has_lost_answer(&self) -> bool {
        self.route.answers_until_loss.swap(0, Ordering::Relaxed) == 0
    }

    /// How often, over all connections, something was sent after something had been answered.
    pub(crate) fn round_trips(&self) -> u64 {
        self.route.round_trips.load(Ordering::Relaxed)
    }

    /// `work` takes so many round trips, the twentieth time at the latest: each replica looks at Redis by itself every
    /// 2 s, and on a busy machine repeats a command now and then. A defect shows each time.
    pub(crate) async fn expect_round_trips(&self, expected: u64, mut work: impl AsyncFnMut()) {
        let mut counted = Vec::new();
        while counted.last() != Some(&expected) {
            assert!(
                counted.len() < 20,
                "{counted:?} round trips instead of {expected}"
            );
            let before = self.round_trips();
            work().await;
            counted.push(self.round_trips() - before);
        }
    }

    async fn become_(&self, state: State) {
        self.route.wanted.send_replace(state);
        let mut reached = self.reached.clone();
        reached
            .wait_for(|now| *now == state)
            .await
            .expect("the proxy runs");
    }
}

impl Drop for Breakable {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

#[derive(Clone)]
struct Route {
    target: watch::Receiver<SocketAddr>,
    /// 0 while none is to be lost.
    answers_until_loss: Arc<AtomicU64>,
    /// The same.
    answers_until_wait: Arc<AtomicU64>,
    round_trips: Arc<AtomicU64>,
    wanted: watch::Sender<State>,
    state: watch::Receiver<State>,
}

async fn serve(listener: TcpListener, mut route: Route, reaches: watch::Sender<State>) {
    let address = listener.local_addr().expect("a bound socket");
    let (mut listener, mut reserved) = (Some(listener), None);
    let mut connections = JoinSet::new();
    loop {
        let state = *route.state.borrow_and_update();
        if state == State::Cut && listener.is_some() {
            reserved = Some(reserve(address).expect("a second socket on our port"));
            listener = None;
            connections.shutdown().await;
        } else if let Some(socket) = reserved.take_if(|_| state != State::Cut) {
            listener = Some(socket.listen(BACKLOG).expect("the port is ours"));
        }
        reaches.send_replace(state);
        while connections.try_join_next().is_some() {}
        tokio::select! {
            changed = route.state.changed() => if changed.is_err() { return },
            accepted = accept(listener.as_ref()) => {
                connections.spawn(connection(accepted, route.clone()));
            }
        }
    }
}

const BACKLOG: u32 = 1024;

/// A socket that has the port and refuses connections until it listens. Without `SO_REUSEADDR`, so that no other
/// process can take the port meanwhile.
fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseport(true)?;
    socket.bind(address)?;
    Ok(socket)
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.expect("a connection").0,
        None => std::future::pending().await,
    }
}

async fn connection(near: TcpStream, route: Route) {
    let target = *route.target.borrow();
    let Ok(far) = TcpStream::connect(target).await else {
        return;
    };
    [&near, &far]
        .into_iter()
        .try_for_each(|socket| socket.set_nodelay(true))
        .expect("a TCP connection");
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let answered = AtomicBool::new(true);
    let asks = || {
        if answered.swap(false, Ordering::Relaxed) {
            route.round_trips.fetch_add(1, Ordering::Relaxed);
        }
        false
    };
    let answers = || {
        answered.store(true, Ordering::Relaxed);
        is_last(&route.answers_until_loss)
    };
    let may_wait = || {
        if is_last(&route.answers_until_wait) {
            route.wanted.send_replace(State::Withholding);
        }
    };
    tokio::select! {
        () = pump(near_read, far_write, (route.state.clone(), REQUESTS_PASS), || (), asks) => {}
        () = pump(far_read, near_write, (route.state.clone(), ANSWERS_PASS), may_wait, answers) => {}
    }
}

/// Counts down to 0, and says when it gets there.
fn is_last(left: &AtomicU64) -> bool {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |number| {
        number.checked_sub(1)
    }) == Ok(1)
}

/// In which states bytes move.
type Passing = &'static [State];
const REQUESTS_PASS: Passing = &[State::Passing, State::Withholding];
const ANSWERS_PASS: Passing = &[State::Passing];

/// Moves bytes while they may pass. Ends with either side or when bytes are lost, and the connection with it.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    (mut state, pass_in): (watch::Receiver<State>, Passing),
    arrive: impl Fn(),
    loses: impl Fn() -> bool,
) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        arrive();
        let passing = state.wait_for(|now| pass_in.contains(now)).await.is_ok() && !loses();
        if !passing || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
