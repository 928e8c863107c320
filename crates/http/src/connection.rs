//! A listener knows this of each connection: what it waits for, since when, and who its client is. It closes
//! connections that wait for too long.
//!
//! actix-web has a timer for the first head, and one for a connection on which no byte has come since the last answer.
//! It has none for the head of a second request, and none for an answer that the client reads slowly or not at all.

mod places;

use std::time::{Duration, Instant};
use std::{io, os::fd::OwnedFd, sync::Arc, task::Waker};

use actix_web::web::Bytes;
use ipnet::IpNet;
use parking_lot::Mutex;
use rustix::net::{Shutdown, shutdown, sockopt::set_socket_linger};

pub(super) use self::places::Connections;
use self::places::MOST_UNREAD;

/// How long a client may take from the first byte of a connection to the end of its first head.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The phase of a connection, and since when it waits for its client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// For a request, or for the rest of its head.
    Idle(Instant),
    /// A handler works, and the client has to wait.
    Works,
    /// For the rest of a body that began to arrive then.
    Body(Instant),
    /// For the client to read an answer, of which wxmint still has a part.
    Answers(Instant),
    /// As before, but the rest of the answer lies in the connection's own buffer, as does all of one that actix-web
    /// itself has made of an error.
    Flushes(Instant),
}

/// A client's connection. Handlers find it as `conn_data::<Arc<ClientConnection>>`.
pub struct ClientConnection {
    /// A second handle: actix-web keeps the first.
    socket: OwnedFd,
    client: IpNet,
    /// The worker's thread changes it, and whoever looks for a connection to close reads it.
    state: Mutex<State>,
    pub(super) connections: Arc<Connections>,
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
    /// Whether a handler works, or not all of its answer has been handed to the system.
    pub(super) fn is_busy(self) -> bool {
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
    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase
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

    pub(super) fn wake_when_answered(&self, next: &Waker) {
        self.state.lock().next = Some(next.clone());
    }

    pub(super) fn is_in(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = phase;
        let next = if phase.is_busy() { None } else { state.next.take() };
        drop(state);
        next.into_iter().for_each(Waker::wake);
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

    pub(super) fn answers_last(&self, is_last: bool) {
        self.state.lock().is_last = is_last;
    }

    /// The connection's buffer has the rest of the answer.
    pub(super) fn has_buffered_answer(&self) {
        let mut state = self.state.lock();
        if let Some((_, length)) = state.answer.take() {
            self.connections.have_sent(length);
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

    /// If the client does not read an answer, the connection is reset. Otherwise the system would keep the unread rest.
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
}

#[cfg(test)]
mod tests;
