//! Closes connections that wait for too long, or that hold what other clients need.
//!
//! actix-web has a timer for the first head, and a timer for a connection that has received no byte
//! since the last answer. It has none for the head of a second request, and none for an answer that
//! the client reads slowly or not at all. When all slots are taken, they rotate: each answer closes
//! its connection, and a new connection takes the slot of one that waits for its client. actix-web
//! alone would leave new connections in the listener's queue, and a client that polls would hold
//! its slot for ever.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{cmp::Reverse, io, sync::Arc};

use ipnet::IpNet;
use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown, sockopt::set_socket_linger};
use wxmint_telemetry::bounded;

use super::{ClientConnection, Connections, HEAD_TIMEOUT, Open, Phase, ServerLimits};

/// How often connections are checked.
pub(super) const TICK: Duration = Duration::from_secs(1);
/// The most bytes of long answers that wait until their clients read them: 160 full pages of the
/// revocation feed. On the public listener, polls for events take about 1 MiB of them for each
/// secret at most; other long answers are our files.
pub(super) const MOST_UNREAD: usize = 8 * 1024 * 1024;

impl ClientConnection {
    /// The bytes of a long answer that the client has not read, and since when they wait.
    fn unread(&self) -> Option<((usize, usize), Instant)> {
        let state = self.state.lock();
        state.answer.zip(state.phase.waits_since())
    }

    fn is_overdue(&self, now: Instant) -> bool {
        let limits = &self.connections.limits;
        match self.phase() {
            Phase::Works => false,
            Phase::Head(since) => now - since >= HEAD_TIMEOUT,
            Phase::Idle(since) | Phase::Body(since) => {
                now - since >= limits.keep_alive + HEAD_TIMEOUT
            }
            Phase::Answers(since) | Phase::Flushes(since) => now - since >= limits.answer,
        }
    }

    /// Closes the socket. If the client has not read an answer, the connection is reset; otherwise
    /// the system would keep the unread rest.
    pub(super) fn close(&self) {
        if matches!(self.phase(), Phase::Answers(_) | Phase::Flushes(_)) {
            let _ = self.reset_on_close();
        }
        // Fails if the client has left meanwhile.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Lets the close of the socket reset the connection (`SO_LINGER` with zero).
    pub fn reset_on_close(&self) -> io::Result<()> {
        Ok(set_socket_linger(&self.socket, Some(Duration::ZERO))?)
    }
}

impl Connections {
    /// Starts the task that checks the connections. It ends with the server.
    pub(in super::super) fn watched(limits: ServerLimits) -> Arc<Self> {
        let open = Mutex::default();
        let taken = AtomicUsize::new(0);
        let unread = AtomicUsize::new(0);
        let connections = Arc::new(Self {
            limits,
            open,
            taken,
            unread,
        });
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

    fn close_overdue(&self, now: Instant) {
        let mut open = self.open.lock();
        let overdue: Vec<_> = open
            .values()
            .filter(|connection| connection.is_overdue(now))
            .cloned()
            .collect();
        for connection in &overdue {
            self.close(&mut open, connection);
        }
    }

    /// Counts a long answer. If all long answers exceed `MOST_UNREAD` bytes, the client that holds
    /// most loses its oldest answer.
    pub(super) fn make_room_for(&self, bytes: usize) {
        if self.unread.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_UNREAD {
            return;
        }
        let mut open = self.open.lock();
        while let Some(longest) = one_too_many(&open) {
            self.close(&mut open, &longest);
            let line = "answers that clients do not read fill their room: closed a connection that has not read for longest";
            bounded!(warn, "unread answers", "{line}");
        }
    }

    pub(super) fn close(&self, open: &mut Open, connection: &ClientConnection) {
        self.free_slot(open, connection);
        connection.close();
    }
}

/// The connection to close next; `None` if there is room for all answers.
///
/// Bytes that several answers share are in memory once. But each client that has such an answer
/// counts as holding all of them: otherwise two addresses that read nothing would count as holding
/// less than one that reads.
fn one_too_many(open: &Open) -> Option<Arc<ClientConnection>> {
    let answers: Vec<_> = open
        .values()
        .filter_map(|connection| Some((connection, connection.unread()?)))
        .collect();
    let copies: HashSet<_> = answers.iter().map(|(_, (bytes, _))| bytes).collect();
    if copies.iter().map(|(_, length)| length).sum::<usize>() <= MOST_UNREAD {
        return None;
    }
    let mut seen = HashSet::new();
    let held = answers.iter().map(|(one, (bytes, since))| {
        let amount = if seen.insert((one.client, *bytes)) {
            bytes.1
        } else {
            0
        };
        (one.client, amount, *since, *one)
    });
    longest_of_who_holds_most(held).cloned()
}

/// Finds the client that holds most, and returns what it has held for longest. So a client that
/// takes much takes it from itself.
pub(super) fn longest_of_who_holds_most<T>(
    held: impl Iterator<Item = (IpNet, usize, Instant, T)>,
) -> Option<T> {
    let held = held.collect::<Vec<_>>();
    let mut sums = HashMap::new();
    for (client, amount, ..) in &held {
        *sums.entry(*client).or_insert(0) += amount;
    }
    let longest = held
        .into_iter()
        .min_by_key(|(client, _, since, _)| (Reverse(sums[client]), *since));
    longest.map(|(.., longest)| longest)
}
