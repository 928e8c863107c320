//! What a listener knows of each connection: what it waits for, since when, and who its client is. It closes connections that
//! wait for too long. When all places of a listener are taken, they rotate: each answer closes its connection, and a newcomer
//! takes the place of a connection that waits for its client. actix-web alone would leave newcomers in the listener's queue,
//! and whoever polls would hold its place for ever.
//!
//! actix-web has a timer for the first head, and one for a connection on which no byte has come since the last answer.
//! It has none for the head of a second request, and none for an answer that the client reads slowly or not at all.

use std::{
    cell::{Cell, RefCell},
    cmp::Reverse,
    collections::HashMap,
    io,
    os::fd::{AsFd, OwnedFd},
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::ConnectionType,
    middleware::Next,
    rt::{net::TcpStream, spawn},
};
use ipnet::IpNet;
use rustix::net::{Shutdown, shutdown, sockopt::set_socket_linger};

use super::{
    Problem, ServerLimits, answer_body::AnswerBody, body::RequestBody, client_address::subscriber, head::check_host,
    server::HEAD_TIMEOUT, unread::Unread,
};

/// How often connections are checked.
const TICK: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
pub(super) struct Places {
    taken: AtomicUsize,
    limits: ServerLimits,
    pub(super) unread: Unread,
}

impl Places {
    pub(super) fn new(limits: &ServerLimits) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), limits: *limits, unread: Unread::default() })
    }

    /// How many are free; less than none while connections are being closed.
    fn free(&self) -> isize {
        self.limits.connections as isize - self.taken.load(Ordering::Relaxed) as isize
    }
}

/// The connections of one worker.
pub(super) struct Connections {
    open: RefCell<HashMap<usize, Weak<ClientConnection>>>,
    places: Arc<Places>,
}

impl Connections {
    /// Checks the connections for as long as there is a worker that may get some.
    pub(super) fn watched(places: Arc<Places>) -> Rc<Self> {
        let connections = Rc::new(Self { open: RefCell::default(), places });
        let watched = Rc::downgrade(&connections);
        spawn(async move {
            let mut tick = actix_web::rt::time::interval(TICK);
            while let Some(connections) = watched.upgrade() {
                connections.close_overdue();
                drop(connections);
                tick.tick().await;
            }
        });
        connections
    }

    /// Takes a place for a newcomer. If there was none, connections that wait for their clients are closed. Where a handler
    /// works, the connection stays.
    pub(super) fn enter(self: &Rc<Self>, stream: &TcpStream) -> io::Result<Rc<ClientConnection>> {
        let socket = Arc::new(stream.as_fd().try_clone_to_owned()?);
        self.places.taken.fetch_add(1, Ordering::Relaxed);
        while self.places.free() < 0 {
            let open = self.all();
            let waiting = open.iter().filter_map(|connection| Some((connection.waits_since()?, connection)));
            let held = waiting.map(|(since, connection)| (connection.client, 1, since, connection));
            let Some(longest) = longest_of_who_holds_most(held) else { break };
            longest.close();
        }
        let connection = Rc::new(ClientConnection {
            socket,
            client: subscriber(stream.peer_addr()?.ip()),
            phase: Cell::new(Phase::Idle(Instant::now())),
            next: Cell::default(),
            is_last: Cell::default(),
            connections: Rc::clone(self),
        });
        self.open.borrow_mut().insert(connection.id(), Rc::downgrade(&connection));
        Ok(connection)
    }

    fn all(&self) -> Vec<Rc<ClientConnection>> {
        self.open.borrow().values().filter_map(Weak::upgrade).collect()
    }

    fn close_overdue(&self) {
        self.all().iter().filter(|connection| connection.is_overdue()).for_each(|connection| connection.close());
    }
}

/// What the client that holds most has held for longest. So whoever takes much takes it from himself, and not from others.
pub(super) fn longest_of_who_holds_most<T>(held: impl Iterator<Item = (IpNet, usize, Instant, T)>) -> Option<T> {
    let (held, mut sums) = (held.collect::<Vec<_>>(), HashMap::new());
    held.iter().for_each(|(client, amount, ..)| *sums.entry(*client).or_insert(0) += amount);
    let longest = held.into_iter().min_by_key(|(client, _, since, _)| (Reverse(sums[client]), *since));
    longest.map(|(.., longest)| longest)
}

/// What happens on a connection, and since when it waits for its client.
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

/// A client's connection. Handlers find it as `conn_data::<Rc<ClientConnection>>`.
pub struct ClientConnection {
    /// A second handle: actix-web keeps the first.
    socket: Arc<OwnedFd>,
    client: IpNet,
    phase: Cell<Phase>,
    /// Who waits for the end of the answer, because the client has sent more.
    next: Cell<Option<Waker>>,
    /// Whether the answer is the last one, because the request's body was not read.
    is_last: Cell<bool>,
    connections: Rc<Connections>,
}

impl ClientConnection {
    fn id(&self) -> usize {
        Arc::as_ptr(&self.socket) as usize
    }

    pub(super) fn client(&self) -> IpNet {
        self.client
    }

    pub(super) fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    pub(super) fn places(&self) -> &Places {
        &self.connections.places
    }

    /// Whether a handler works, or not all of its answer has been handed to the system.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.phase.get(), Phase::Idle(_) | Phase::Body(_))
    }

    /// Whether the bytes that arrive belong to a head.
    pub(super) fn waits_for_head(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle(_)) && !self.is_last.get()
    }

    fn waits_since(&self) -> Option<Instant> {
        match self.phase.get() {
            Phase::Works => None,
            Phase::Idle(since) | Phase::Body(since) | Phase::Answers(since) | Phase::Flushes(since) => Some(since),
        }
    }

    fn is_overdue(&self) -> bool {
        let limits = &self.places().limits;
        match self.phase.get() {
            Phase::Works => false,
            Phase::Idle(since) | Phase::Body(since) => since.elapsed() >= limits.keep_alive + HEAD_TIMEOUT,
            Phase::Answers(since) | Phase::Flushes(since) => since.elapsed() >= limits.answer,
        }
    }

    pub(super) fn longest_head(&self) -> usize {
        self.places().limits.head
    }

    pub(super) fn wake_when_answered(&self, next: &Waker) {
        self.next.set(Some(next.clone()));
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        if !self.is_busy() {
            self.next.take().into_iter().for_each(Waker::wake);
        }
    }

    pub(super) fn works(&self) {
        self.enter(Phase::Works);
    }

    /// A handler waits for the rest of a body that began to arrive then.
    pub(super) fn waits_for_body(&self, since: Instant) {
        self.enter(Phase::Body(since));
    }

    pub(super) fn answers(&self) {
        self.enter(Phase::Answers(Instant::now()));
    }

    /// The connection's buffer has the rest of the answer.
    pub(super) fn has_buffered_answer(&self) {
        if let Phase::Answers(since) = self.phase.get() {
            self.enter(Phase::Flushes(since));
        }
    }

    /// The system has all that was in the connection's buffer.
    pub(super) fn has_flushed(&self) {
        if let Phase::Flushes(_) = self.phase.get() {
            self.enter(Phase::Idle(Instant::now()));
        }
    }

    fn close(&self) {
        self.leave();
        match self.phase.get() {
            Phase::Answers(_) | Phase::Flushes(_) => reset(&self.socket),
            // Fails if the client has left meanwhile.
            _ => drop(shutdown(&self.socket, Shutdown::Both)),
        }
    }

    /// Gives up the place. The socket stays open until actix-web has dropped the connection.
    fn leave(&self) {
        if self.connections.open.borrow_mut().remove(&self.id()).is_some() {
            self.places().taken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Makes closing the connection a TCP reset.
    pub fn reset_on_close(&self) -> io::Result<()> {
        Ok(set_socket_linger(&self.socket, Some(Duration::ZERO))?)
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Closes a connection whose client does not read. Otherwise the system would keep what it has not read.
pub(super) fn reset(socket: &OwnedFd) {
    // Both fail if the client has left meanwhile.
    let _ = set_socket_linger(socket, Some(Duration::ZERO));
    let _ = shutdown(socket, Shutdown::Both);
}

/// The outermost layer around every request of every listener.
pub(super) async fn attend<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
    only_loopback_names: bool,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let connection = request.conn_data::<Rc<ClientConnection>>().cloned();
    connection.iter().for_each(|connection| connection.works());
    let request_body = RequestBody::take_from(&mut request, connection.as_ref());
    let response = match check_host(&request, only_loopback_names) {
        Ok(()) => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            Err(error) => {
                // actix-web makes an answer of it.
                connection.iter().for_each(|connection| connection.enter(Phase::Flushes(Instant::now())));
                return Err(error);
            }
        },
        Err(problem) => request.error_response(problem),
    };
    let problem = Problem::of(response.response()).map(|problem| problem.respond(response.request()));
    let response = match problem {
        Some(answer) => response.into_response(answer),
        None => response,
    };
    if let Some(body) = &request_body {
        body.skip_what_has_arrived().await;
    }
    let Some(connection) = connection else { return Ok(AnswerBody::send(response, request_body, None)) };
    connection.is_last.set(request_body.as_ref().is_some_and(|body| !body.is_over()));
    let are_taken = connection.places().free() <= 0;
    let mut response = AnswerBody::send(response, request_body, Some(connection));
    if are_taken {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
