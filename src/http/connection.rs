//! Watches each connection, and closes it when it has been idle for too long. When all places of a listener are taken, they
//! rotate: each answer closes its connection, and a newcomer takes the place of the connection that has waited longest for
//! its client. actix-web alone would leave newcomers in the listener's queue, and whoever polls would hold its place for ever.
//!
//! actix-web has a timer for the first head, and one for a connection on which no byte has come since the last answer.
//! It has none for the head of a second request, and none for an answer that the client reads slowly or not at all.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
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
    rt::{net::TcpStream, spawn, task::JoinHandle},
};
use rustix::net::{Shutdown, shutdown, sockopt::set_socket_linger};

use super::{
    answer_body::{AnswerBody, Unread},
    body::RequestBody,
    head::check_host,
};

/// How often each connection is checked.
const TICK: Duration = Duration::from_secs(1);

thread_local! {
    /// The connections of this worker that it has not closed, by their sockets.
    static OPEN: RefCell<HashMap<RawFd, Weak<ClientConnection>>> = RefCell::default();
}

/// How many connections a server has and may have, and for how long they may be idle.
pub(super) struct Places {
    taken: AtomicUsize,
    bound: usize,
    patience: Duration,
    pub(super) unread: Unread,
}

impl Places {
    pub(super) fn new(bound: usize, patience: Duration, unread: Unread) -> Self {
        Self { taken: AtomicUsize::new(0), bound, patience, unread }
    }

    fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.bound
    }

    /// Counts a newcomer. If all places were taken, closes the connection of this worker that has waited longest for its
    /// client. Where a handler works, the connection stays.
    fn enter(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        while self.taken.load(Ordering::Relaxed) > self.bound {
            let open = OPEN.with_borrow(|open| open.values().filter_map(Weak::upgrade).collect::<Vec<_>>());
            let waiting = open.iter().filter_map(|connection| Some((connection.waits_since()?, connection)));
            let Some((_, longest)) = waiting.min_by_key(|(since, _)| *since) else { return };
            longest.close();
        }
    }
}

/// A client's connection. Handlers find it as `conn_data::<Rc<ClientConnection>>`.
pub struct ClientConnection {
    /// A second handle: actix-web keeps the first.
    socket: OwnedFd,
    /// Since when the client has neither sent nor read anything; `None` while a handler works.
    idle_since: Cell<Option<Instant>>,
    /// `None` while no answer is being sent.
    answering_since: Cell<Option<Instant>>,
    /// Who waits for the end of the answer, because the client has sent more.
    next: Cell<Option<Waker>>,
    heads: Cell<usize>,
    watch: JoinHandle<()>,
    places: Arc<Places>,
}

impl ClientConnection {
    /// A connection that cannot be watched gets none.
    pub(super) fn watch(stream: &TcpStream, places: &Arc<Places>) -> io::Result<Rc<Self>> {
        let (socket, places) = (stream.as_fd().try_clone_to_owned()?, Arc::clone(places));
        places.enter();
        let descriptor = socket.as_raw_fd();
        let connection = Rc::new_cyclic(|this| Self {
            socket,
            idle_since: Cell::new(Some(Instant::now())),
            answering_since: Cell::default(),
            next: Cell::default(),
            heads: Cell::default(),
            watch: spawn(watch(Weak::clone(this))),
            places,
        });
        OPEN.with_borrow_mut(|open| open.insert(descriptor, Rc::downgrade(&connection)));
        Ok(connection)
    }

    /// Whether a handler works, or its answer is being sent.
    pub(super) fn is_busy(&self) -> bool {
        self.idle_since.get().is_none() || self.answering_since.get().is_some()
    }

    pub(super) fn wake_when_answered(&self, next: &Waker) {
        self.next.set(Some(next.clone()));
    }

    /// Wakes who waits for the end of the answer, if this is it.
    fn wake_next(&self) {
        if !self.is_busy() {
            self.next.take().into_iter().for_each(Waker::wake);
        }
    }

    /// A head has arrived.
    pub(super) fn has_head(&self) {
        self.heads.set(self.heads.get() + 1);
    }

    /// How many heads have arrived since a handler began to work.
    pub(super) fn heads(&self) -> usize {
        self.heads.get()
    }

    /// Whoever sends its body or reads its answer in drops waits since it began, and is not taken for busy.
    fn waits_since(&self) -> Option<Instant> {
        let idle_since = self.idle_since.get()?;
        Some(self.answering_since.get().unwrap_or(idle_since))
    }

    /// A handler waits for the rest of a body that began to arrive then.
    pub(super) fn waits_for_body(&self, since: Instant) {
        self.idle_since.set(Some(since));
        self.wake_next();
    }

    /// A handler works, and the client has to wait.
    pub(super) fn works(&self) {
        self.idle_since.set(None);
        self.heads.set(0);
    }

    fn close(&self) {
        self.leave();
        // Fails if the client has left meanwhile.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    /// Gives up the place. The socket stays open until actix-web has dropped the connection.
    fn leave(&self) {
        // Nothing is left to leave while the thread ends.
        let left = OPEN.try_with(|open| open.borrow_mut().remove(&self.socket.as_raw_fd()));
        if let Ok(Some(_)) = left {
            self.places.taken.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn used(&self) {
        self.idle_since.set(Some(Instant::now()));
        self.wake_next();
    }

    /// Whether an answer is being sent from now on.
    pub(super) fn answers(&self, answers: bool) {
        self.answering_since.set(answers.then(Instant::now));
        self.wake_next();
    }

    pub(super) fn unread(&self) -> &Unread {
        &self.places.unread
    }

    fn is_idle_for_too_long(&self) -> bool {
        self.idle_since.get().is_some_and(|since| since.elapsed() >= self.places.patience)
    }

    /// However often the client reads a little of it.
    fn answers_for_too_long(&self) -> bool {
        self.answering_since.get().is_some_and(|since| since.elapsed() >= self.unread().may_take())
    }

    /// Makes closing the connection a TCP reset.
    pub fn reset_on_close(&self) -> io::Result<()> {
        Ok(set_socket_linger(&self.socket, Some(Duration::ZERO))?)
    }
}

impl Drop for ClientConnection {
    fn drop(&mut self) {
        self.leave();
        self.watch.abort();
    }
}

async fn watch(connection: Weak<ClientConnection>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(connection) = connection.upgrade() else { return };
        if connection.is_idle_for_too_long() || connection.answers_for_too_long() {
            connection.close();
            return;
        }
    }
}

/// While it lives, the connection is not idle.
struct AtWork(Rc<ClientConnection>);

impl AtWork {
    fn on(connection: &Rc<ClientConnection>) -> Self {
        connection.works();
        Self(Rc::clone(connection))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.used();
    }
}

/// The outermost layer around every request of every listener.
pub(super) async fn attend<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
    only_loopback_names: bool,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let connection = request.conn_data::<Rc<ClientConnection>>().cloned();
    let _at_work = connection.as_ref().map(AtWork::on);
    let request_body = RequestBody::take_from(&mut request, connection.as_ref());
    let response = match check_host(&request, only_loopback_names) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => {
            let response = problem.respond(request.request());
            request.into_response(response)
        }
    };
    if let Some(body) = &request_body {
        body.skip_what_has_arrived().await;
    }
    let are_taken = connection.as_ref().is_some_and(|connection| connection.places.are_taken());
    let mut response = AnswerBody::send(response, request_body, connection);
    if are_taken {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

#[cfg(test)]
mod tests;
