//! A listener knows this of each connection: what it waits for, since when, and who its client is. It closes
//! connections that wait for too long. When all places of a listener are taken, they rotate: each answer closes its
//! connection, and a newcomer takes the place of a connection that waits for its client. actix-web alone would leave
//! newcomers in the listener's queue, and whoever polls would hold its place for ever.
//!
//! actix-web has a timer for the first head, and one for a connection on which no byte has come since the last answer.
//! It has none for the head of a second request, and none for an answer that the client reads slowly or not at all.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use actix_web::{rt::net::TcpStream, web::Bytes};
use ipnet::IpNet;
use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown, sockopt::set_socket_linger};
use wxmint_telemetry::admit_line;

use super::{ServerLimits, client_address::subscriber};

/// How long a client may take from the first byte of a connection to the end of its first head.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

const TICK: Duration = Duration::from_secs(1);
/// The most bytes of long answers that wait until their clients read them: 160 full pages of the feed. On the public
/// listener, polls for events take about 1 MiB of them for each secret at most; other long answers are files of the
/// program.
pub(super) const MOST_UNREAD: usize = 8 * 1024 * 1024;

/// The connections of one listener, of all its workers.
pub(super) struct Connections {
    limits: ServerLimits,
    open: Mutex<Open>,
    taken: AtomicUsize,
    /// The bytes of all long answers; those that several answers share are counted for each.
    unread: AtomicUsize,
}

type Open = HashMap<RawFd, Arc<ClientConnection>>;

impl Connections {
    /// Checks the connections for as long as there is a server that may get some.
    pub(super) fn watched(limits: ServerLimits) -> Arc<Self> {
        let (open, taken, unread) = (Mutex::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let connections = Arc::new(Self { limits, open, taken, unread });
        let watched = Arc::downgrade(&connections);
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(TICK);
            while let Some(connections) = watched.upgrade() {
                connections.close_overdue(Instant::now());
                drop(connections);
                tick.tick().await;
            }
        });
        connections
    }

    /// Takes a place for a newcomer. If there is none, connections that wait for their clients are closed. Where a
    /// handler works, the connection stays.
    pub(super) fn accept(self: &Arc<Self>, stream: &TcpStream) -> io::Result<Arc<ClientConnection>> {
        let newcomer = Arc::new(ClientConnection {
            socket: stream.as_fd().try_clone_to_owned()?,
            client: subscriber(stream.peer_addr()?.ip()),
            state: Mutex::new(State { phase: Phase::Idle(Instant::now()), answer: None, is_last: false, next: None }),
            connections: Arc::clone(self),
        });
        let mut open = self.open.lock();
        while open.len() >= self.limits.connections {
            let waiting =
                open.values().filter_map(|other| Some((other.client, 1, other.phase().waits_since()?, other)));
            let Some(longest) = longest_of_who_holds_most(waiting).cloned() else { break };
            self.close(&mut open, &longest);
        }
        open.insert(newcomer.socket.as_raw_fd(), Arc::clone(&newcomer));
        self.taken.store(open.len(), Ordering::Relaxed);
        Ok(newcomer)
    }

    fn close_overdue(&self, now: Instant) {
        let mut open = self.open.lock();
        let overdue: Vec<_> = open.values().filter(|connection| connection.is_overdue(now)).cloned().collect();
        overdue.iter().for_each(|connection| self.close(&mut open, connection));
    }

    /// Counts a long answer. If there is no room for it, the client that holds most loses the answer that has waited
    /// longest.
    fn make_room_for(&self, bytes: usize) {
        if self.unread.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_UNREAD {
            return;
        }
        let mut open = self.open.lock();
        while let Some(longest) = one_too_many(&open) {
            self.close(&mut open, &longest);
            if let Some(silent) = admit_line("unread answers") {
                tracing::warn!(
                    silent,
                    "answers that clients do not read fill their room: closed a connection that has not read for longest"
                );
            }
        }
    }

    fn close(&self, open: &mut Open, connection: &ClientConnection) {
        self.forget(open, connection);
        connection.close();
    }

    /// Gives up the place. The socket stays open until actix-web has dropped the connection.
    fn forget(&self, open: &mut Open, connection: &ClientConnection) {
        open.remove(&connection.socket.as_raw_fd());
        self.taken.store(open.len(), Ordering::Relaxed);
    }
}

/// `None` if there is room for all answers. Bytes that several of them share are in memory once. Each client that has
/// such an answer holds all of them: otherwise two addresses that share what they do not read would hold less than one
/// that reads.
fn one_too_many(open: &Open) -> Option<Arc<ClientConnection>> {
    let answers = open.values().filter_map(|connection| Some((connection, connection.unread()?)));
    let answers: Vec<_> = answers.collect();
    let copies: HashSet<_> = answers.iter().map(|(_, (bytes, _))| bytes).collect();
    if copies.iter().map(|(_, length)| length).sum::<usize>() <= MOST_UNREAD {
        return None;
    }
    let mut seen = HashSet::new();
    let mut amount = |client: IpNet, bytes: (usize, usize)| if seen.insert((client, bytes)) { bytes.1 } else { 0 };
    let held =
        answers.iter().map(|(other, (bytes, since))| (other.client, amount(other.client, *bytes), *since, *other));
    longest_of_who_holds_most(held).cloned()
}

/// The thing that the client that holds most has held for longest. So whoever takes much takes it from himself, and not
/// from others.
fn longest_of_who_holds_most<T>(held: impl Iterator<Item = (IpNet, usize, Instant, T)>) -> Option<T> {
    let (held, mut sums) = (held.collect::<Vec<_>>(), HashMap::new());
    held.iter().for_each(|(client, amount, ..)| *sums.entry(*client).or_insert(0) += amount);
    let longest = held.into_iter().min_by_key(|(client, _, since, _)| (Reverse(sums[client]), *since));
    longest.map(|(.., longest)| longest)
}

/// The phase of a connection, and since when it waits for its client.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// For a request, or for the rest of its head.
    Idle(Instant),
    /// A handler works, and the client has to wait.
    Works,
    /// For the rest of a body.
    Body(Instant),
    /// For the client to read an answer, of which wxmint still has a part.
    Answers(Instant),
    /// As before, but the rest of the answer lies in the connection's own buffer.
    Flushes(Instant),
}

/// A client's connection. Handlers find it as `conn_data::<Arc<ClientConnection>>`.
pub struct ClientConnection {
    /// A second handle: actix-web keeps the first.
    socket: OwnedFd,
    client: IpNet,
    /// The worker's thread changes it, and whoever looks for a connection to close reads it.
    state: Mutex<State>,
    connections: Arc<Connections>,
}

struct State {
    phase: Phase,
    /// Where the bytes of an unread answer lie, and how many they are. `None` if it is short, because it then fits into
    /// the buffer that each connection has.
    answer: Option<(usize, usize)>,
    /// Whether the answer is the last one, because the request's body was not read.
    is_last: bool,
    /// The task that waits for the end of the answer, because the client has sent more.
    next: Option<Waker>,
}

impl Phase {
    fn is_busy(self) -> bool {
        !matches!(self, Self::Idle(_) | Self::Body(_))
    }

    fn waits_since(self) -> Option<Instant> {
        match self {
            Self::Works => None,
            Self::Idle(since) | Self::Body(since) | Self::Answers(since) | Self::Flushes(since) => Some(since),
        }
    }
}

impl ClientConnection {
    fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    /// Whether a handler works, or not all of its answer has been handed to the system.
    pub(super) fn is_busy(&self) -> bool {
        self.phase().is_busy()
    }

    pub(super) fn waits_for_head(&self) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Idle(_)) && !state.is_last
    }

    /// The bytes of a long answer, and since when they wait.
    fn unread(&self) -> Option<((usize, usize), Instant)> {
        let state = self.state.lock();
        state.answer.zip(state.phase.waits_since())
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let limits = &self.connections.limits;
        match self.phase() {
            Phase::Works => false,
            Phase::Idle(since) | Phase::Body(since) => now - since >= limits.keep_alive + HEAD_TIMEOUT,
            Phase::Answers(since) | Phase::Flushes(since) => now - since >= limits.answer,
        }
    }

    pub(super) fn longest_head(&self) -> usize {
        self.connections.limits.head
    }

    pub(super) fn wake_when_answered(&self, next: &Waker) {
        self.state.lock().next = Some(next.clone());
    }

    fn is_in(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = phase;
        let next = if phase.is_busy() { None } else { state.next.take() };
        drop(state);
        next.into_iter().for_each(Waker::wake);
    }

    pub(super) fn works(&self) {
        self.is_in(Phase::Works);
    }

    /// A handler waits for the rest of a body that began to arrive then.
    pub(super) fn waits_for_body(&self, since: Instant) {
        self.is_in(Phase::Body(since));
    }

    /// The client is to read an answer, which is `long` if it is more than the connection's buffer has room for.
    pub(super) fn answers(&self, long: Option<&Bytes>) {
        self.is_in(Phase::Answers(Instant::now()));
        if let Some(bytes) = long {
            let length = bytes.len().min(MOST_UNREAD);
            self.state.lock().answer = Some((bytes.as_ptr() as usize, length));
            self.connections.make_room_for(length);
        }
    }

    /// The connection's buffer has all of an answer that actix-web itself has made of an error.
    pub(super) fn answers_an_error(&self) {
        self.is_in(Phase::Flushes(Instant::now()));
    }

    pub(super) fn answers_last(&self, is_last: bool) {
        self.state.lock().is_last = is_last;
    }

    pub(super) fn are_places_taken(&self) -> bool {
        self.connections.taken.load(Ordering::Relaxed) >= self.connections.limits.connections
    }

    /// The connection's buffer has the rest of the answer.
    pub(super) fn has_buffered_answer(&self) {
        let mut state = self.state.lock();
        if let Some((_, length)) = state.answer.take() {
            self.connections.unread.fetch_sub(length, Ordering::Relaxed);
        }
        if let Phase::Answers(since) = state.phase {
            state.phase = Phase::Flushes(since);
        }
    }

    /// The system has all that was in the connection's buffer.
    pub(super) fn has_flushed(&self) {
        if let Phase::Flushes(_) = self.phase() {
            self.is_in(Phase::Idle(Instant::now()));
        }
    }

    /// If the client does not read an answer, the connection is reset. Otherwise the system would keep what it has not
    /// read.
    fn close(&self) {
        if matches!(self.phase(), Phase::Answers(_) | Phase::Flushes(_)) {
            let _ = self.reset_on_close();
        }
        // Fails if the client has left meanwhile.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    pub fn reset_on_close(&self) -> io::Result<()> {
        Ok(set_socket_linger(&self.socket, Some(Duration::ZERO))?)
    }

    pub(super) fn leave(&self) {
        self.connections.forget(&mut self.connections.open.lock(), self);
    }
}

#[cfg(test)]
mod tests;
