//! The places of a listener. When all are taken, they rotate: each answer closes its connection, and a newcomer takes
//! the place of a connection that waits for its client. actix-web alone would leave newcomers in the listener's queue,
//! and whoever polls would hold its place for ever.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{cmp::Reverse, io, sync::Arc};

use actix_web::rt::net::TcpStream;
use ipnet::IpNet;
use parking_lot::Mutex;
use wxmint_telemetry::bounded;

use super::{ClientConnection, Phase, State};
use crate::{ServerLimits, client_address::subscriber};

pub(super) const TICK: Duration = Duration::from_secs(1);
/// The most bytes of long answers that wait until their clients read them: 160 full pages of the feed. On the public
/// listener, polls for events take about 1 MiB of them for each secret at most; other long answers are our files.
pub(super) const MOST_UNREAD: usize = 8 * 1024 * 1024;

/// The connections of one listener, of all its workers.
pub(crate) struct Connections {
    pub(crate) limits: ServerLimits,
    open: Mutex<Open>,
    taken: AtomicUsize,
    /// The bytes of all long answers; those that several answers share are counted for each.
    unread: AtomicUsize,
}

type Open = HashMap<RawFd, Arc<ClientConnection>>;

impl Connections {
    /// Checks the connections for as long as there is a server that may get some.
    pub(crate) fn watched(limits: ServerLimits) -> Arc<Self> {
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
    pub(crate) fn accept(self: &Arc<Self>, stream: &TcpStream) -> io::Result<Arc<ClientConnection>> {
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

    /// Counts a long answer. If there is no room for it, the client that holds most loses its oldest answer.
    pub(super) fn make_room_for(&self, bytes: usize) {
        if self.unread.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_UNREAD {
            return;
        }
        let mut open = self.open.lock();
        while let Some(longest) = one_too_many(&open) {
            self.close(&mut open, &longest);
            let line =
                "answers that clients do not read fill their room: closed a connection that has not read for longest";
            bounded!(warn, "unread answers", "{line}");
        }
    }

    /// The connection's buffer has so many bytes of long answers.
    pub(super) fn have_sent(&self, bytes: usize) {
        self.unread.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limits.connections
    }

    pub(crate) fn leave(&self, connection: &ClientConnection) {
        self.forget(&mut self.open.lock(), connection);
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
/// such an answer holds all of them: otherwise two addresses that read nothing would hold less than one that reads.
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

/// The thing that the client that holds most has held for longest. So whoever takes much takes it from himself.
fn longest_of_who_holds_most<T>(held: impl Iterator<Item = (IpNet, usize, Instant, T)>) -> Option<T> {
    let (held, mut sums) = (held.collect::<Vec<_>>(), HashMap::new());
    held.iter().for_each(|(client, amount, ..)| *sums.entry(*client).or_insert(0) += amount);
    let longest = held.into_iter().min_by_key(|(client, _, since, _)| (Reverse(sums[client]), *since));
    longest.map(|(.., longest)| longest)
}
