//! The state of each connection of a listener: what the connection waits for, since when, and its
//! client. Each connection takes one of the listener's slots. `closing` decides which connections
//! lose theirs.

mod closing;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{collections::HashMap, io, sync::Arc, task::Waker};

use actix_web::{HttpRequest, rt::net::TcpStream, web::Bytes};
use ipnet::{IpNet, Ipv6Net};
use parking_lot::Mutex;

use self::closing::{MOST_UNREAD, longest_of_who_holds_most};
use super::ServerLimits;

/// How long a client may take to send a head. The time for the first head of a connection counts
/// from the start of the connection; for later heads it counts from their first line.
pub(super) const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest prefix that providers assign to an IPv6 subscriber, in bits. The subscriber can
/// choose any address below it.
const SUBSCRIBER: u8 = 64;

/// The phase of a connection, and since when the connection waits for its client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Phase {
    /// Waits for a request.
    Idle(Instant),
    /// Waits for the rest of a head after its first line has begun.
    Head(Instant),
    /// A handler works on the request, and the client waits.
    Works,
    /// Waits for the rest of a body. The instant is when the body began to arrive.
    Body(Instant),
    /// Waits for the client to read an answer, while wxmint still holds a part of the answer.
    Answers(Instant),
    /// Waits for the client to read an answer whose rest lies in the connection's own buffer. Error
    /// answers that actix-web makes itself lie there whole.
    Flushes(Instant),
}

/// A client's connection. Handlers find it as `conn_data::<Arc<ClientConnection>>`.
pub struct ClientConnection {
    /// A second handle: actix-web keeps the first.
    socket: OwnedFd,
    client: IpNet,
    /// The worker's thread changes it. A thread that looks for a connection to close reads it.
    state: Mutex<State>,
    pub(super) connections: Arc<Connections>,
}

/// The connections of one listener, of all its workers.
pub(super) struct Connections {
    pub(super) limits: ServerLimits,
    open: Mutex<Open>,
    taken: AtomicUsize,
    /// The bytes of all long answers that clients have not read. Bytes that several answers share
    /// are counted once for each answer.
    unread: AtomicUsize,
}

type Open = HashMap<RawFd, Arc<ClientConnection>>;

struct State {
    phase: Phase,
    /// The address and the length of the bytes of an unread answer. `None` for a short answer,
    /// which fits into the buffer that each connection has.
    answer: Option<(usize, usize)>,
    /// Whether the answer is the last one, because the request's body was not read.
    is_last: bool,
    /// Wakes the task that waits for the end of the answer, because the client has sent more.
    next: Option<Waker>,
}

impl Phase {
    /// Whether a handler works, or not all of its answer has been handed to the system.
    pub(super) fn is_busy(self) -> bool {
        !matches!(self, Self::Idle(_) | Self::Head(_) | Self::Body(_))
    }

    fn waits_since(self) -> Option<Instant> {
        match self {
            Self::Works => None,
            Self::Idle(since) | Self::Head(since) | Self::Body(since) => Some(since),
            Self::Answers(since) | Self::Flushes(since) => Some(since),
        }
    }
}

impl ClientConnection {
    pub(super) fn phase(&self) -> Phase {
        self.state.lock().phase
    }

    pub(super) fn waits_for_head(&self) -> bool {
        let state = self.state.lock();
        matches!(state.phase, Phase::Idle(_) | Phase::Head(_)) && !state.is_last
    }

    pub(super) fn wake_when_answered(&self, next: &Waker) {
        self.state.lock().next = Some(next.clone());
    }

    pub(super) fn is_in(&self, phase: Phase) {
        let mut state = self.state.lock();
        state.phase = phase;
        let next = if phase.is_busy() {
            None
        } else {
            state.next.take()
        };
        drop(state);
        if let Some(next) = next {
            next.wake();
        }
    }

    /// An answer begins. `long` holds its bytes if they are more than the connection's buffer has
    /// room for.
    pub(super) fn answers(&self, long: Option<&Bytes>) {
        self.is_in(Phase::Answers(Instant::now()));
        if let Some(bytes) = long {
            let length = bytes.len().min(MOST_UNREAD);
            self.state.lock().answer = Some((bytes.as_ptr() as usize, length));
            self.connections.make_room_for(length);
        }
    }

    /// A line of a head has begun.
    pub(super) fn begins_head(&self) {
        let mut state = self.state.lock();
        if let Phase::Idle(_) = state.phase {
            state.phase = Phase::Head(Instant::now());
        }
    }

    pub(super) fn answers_last(&self, is_last: bool) {
        self.state.lock().is_last = is_last;
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
}

impl Connections {
    /// Takes a slot for a new connection. If no slot is free, closes connections that wait for
    /// their clients. A connection whose handler works is never closed.
    pub(super) fn accept(
        self: &Arc<Self>,
        stream: &TcpStream,
    ) -> io::Result<Arc<ClientConnection>> {
        let newcomer = Arc::new(ClientConnection {
            socket: stream.as_fd().try_clone_to_owned()?,
            client: subscriber(stream.peer_addr()?.ip()),
            state: Mutex::new(State {
                phase: Phase::Idle(Instant::now()),
                answer: None,
                is_last: false,
                next: None,
            }),
            connections: Arc::clone(self),
        });
        let mut open = self.open.lock();
        while open.len() >= self.limits.connections {
            let waiting = open
                .values()
                .filter_map(|one| Some((one.client, 1, one.phase().waits_since()?, one)));
            let Some(longest) = longest_of_who_holds_most(waiting).cloned() else {
                break;
            };
            self.close(&mut open, &longest);
        }
        open.insert(newcomer.socket.as_raw_fd(), Arc::clone(&newcomer));
        self.taken.store(open.len(), Ordering::Relaxed);
        Ok(newcomer)
    }

    pub(super) fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limits.connections
    }

    pub(super) fn leave(&self, connection: &ClientConnection) {
        self.free_slot(&mut self.open.lock(), connection);
    }

    /// Frees the slot. The socket stays open until actix-web has dropped the connection.
    fn free_slot(&self, open: &mut Open, connection: &ClientConnection) {
        open.remove(&connection.socket.as_raw_fd());
        self.taken.store(open.len(), Ordering::Relaxed);
    }
}

/// The address of the connection's peer. Peers on a Unix socket have none: they all count as one
/// client.
pub(super) fn peer(request: &HttpRequest) -> IpAddr {
    request
        .peer_addr()
        .map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
}

/// The network that counts as one client: an IPv4 address, or for IPv6 the network of a subscriber.
fn subscriber(client: IpAddr) -> IpNet {
    match client.to_canonical() {
        address @ IpAddr::V4(_) => address.into(),
        IpAddr::V6(address) => match translated(address) {
            Some(address) => IpAddr::V4(address).into(),
            None => Ipv6Net::new_assert(address, SUBSCRIBER).trunc().into(),
        },
    }
}

/// The IPv4 address that a NAT64 translator has put behind its well-known prefix `64:ff9b::/96`
/// (RFC 6052 section 2.1). A server without IPv4 sees every IPv4 client below this prefix, and
/// would count all of them as one subscriber.
fn translated(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [0x64, 0xff9b, 0, 0, 0, 0, high, low] = address.segments() else {
        return None;
    };
    let [a, b] = high.to_be_bytes();
    let [c, d] = low.to_be_bytes();
    Some(Ipv4Addr::new(a, b, c, d))
}

/// The key under which limits count a client: `192.0.2.1`, or for IPv6 `2001:db8:1:2::/64`. It has
/// no braces, because braces would be a hash tag in a Redis key.
pub fn limit_key(client: IpAddr) -> String {
    match subscriber(client) {
        IpNet::V4(address) => address.addr().to_string(),
        IpNet::V6(network) => network.to_string(),
    }
}

#[cfg(test)]
mod tests;
