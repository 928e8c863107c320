//! Watches each connection, and closes it when it has been idle for too long.
//!
//! actix-web has a timer for the first head, and one for a connection on which no byte has come since the last answer.
//! It has none for the head of a second request, and none for an answer that the client does not read.

use std::{
    any::Any,
    cell::Cell,
    error, io,
    net::Shutdown,
    pin::Pin,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Extensions, ServiceRequest, ServiceResponse},
    middleware::Next,
    rt::{net::TcpStream, spawn, task::JoinHandle},
    web::Bytes,
};
use socket2::{SockRef, Socket};

use super::{body::RequestBody, hosts, server::HEAD_TIMEOUT};

/// How often each connection is checked.
const TICK: Duration = Duration::from_secs(1);
/// How much of an answer is copied to a connection's buffer at once. The buffer would otherwise hold a copy of the whole
/// answer for a client that does not read.
const PIECE: usize = 16 * 1024;

/// How many connections a server has and may have.
pub(super) struct Places {
    taken: AtomicUsize,
    bound: usize,
    patience: Duration,
}

impl Places {
    /// `patience` is how long a connection may be idle while there is room for others.
    pub(super) fn new(bound: usize, patience: Duration) -> Self {
        Self { taken: AtomicUsize::new(0), bound, patience }
    }

    /// Shorter when all places are taken, so that idle connections make room for clients that wait.
    fn patience(&self) -> Duration {
        if self.taken.load(Ordering::Relaxed) < self.bound { self.patience } else { HEAD_TIMEOUT }
    }
}

/// A client's connection. Handlers find it as `conn_data::<Rc<Connection>>`.
pub struct Connection {
    /// A second handle: actix-web keeps the first.
    socket: Socket,
    /// `None` while a handler runs.
    idle_since: Cell<Option<Instant>>,
    /// Who waits for a part of the request's body.
    reader: Cell<Option<Waker>>,
    watch: JoinHandle<()>,
    places: Arc<Places>,
}

impl Connection {
    fn new(socket: Socket, places: Arc<Places>) -> Rc<Self> {
        places.taken.fetch_add(1, Ordering::Relaxed);
        Rc::new_cyclic(|this| Self {
            socket,
            idle_since: Cell::new(Some(Instant::now())),
            reader: Cell::default(),
            watch: spawn(watch(Weak::clone(this))),
            places,
        })
    }

    /// Wakes `reader` within a second, so that it can look at the clock.
    pub(super) fn wake_at_next_tick(&self, reader: &Waker) {
        self.reader.set(Some(reader.clone()));
    }

    fn used(&self) {
        self.idle_since.set(Some(Instant::now()));
    }

    fn is_idle_for_too_long(&self) -> bool {
        self.idle_since.get().is_some_and(|since| since.elapsed() >= self.places.patience())
    }

    /// Makes closing the connection a TCP reset.
    pub fn reset_on_close(&self) -> io::Result<()> {
        self.socket.set_linger(Some(Duration::ZERO))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
        self.watch.abort();
    }
}

pub(super) fn take_place(stream: &dyn Any, data: &mut Extensions, places: &Arc<Places>) {
    let Some(stream) = stream.downcast_ref::<TcpStream>().map(SockRef::from) else { return };
    match stream.try_clone() {
        Ok(socket) => _ = data.insert(Connection::new(socket, Arc::clone(places))),
        // The limit of open files is reached. A connection that cannot be watched is closed at once; an error means that
        // its client is gone.
        Err(_) => _ = stream.shutdown(Shutdown::Both),
    }
}

async fn watch(connection: Weak<Connection>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(connection) = connection.upgrade() else { return };
        connection.reader.take().into_iter().for_each(Waker::wake);
        if connection.is_idle_for_too_long() {
            // Fails if the client has left meanwhile.
            let _ = connection.socket.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// While it lives, the connection is not idle.
struct AtWork(Rc<Connection>);

impl AtWork {
    fn on(connection: &Rc<Connection>) -> Self {
        connection.idle_since.set(None);
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
    let connection = request.conn_data::<Rc<Connection>>().cloned();
    let _at_work = connection.as_ref().map(AtWork::on);
    let request_body = RequestBody::of(&mut request, connection.as_ref());
    let response = match hosts::check(&request, only_loopback_names) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(problem) => {
            let response = problem.respond(request.request());
            request.into_response(response)
        }
    };
    if let Some(body) = &request_body {
        body.skip_what_has_arrived().await;
    }
    Ok(response.map_body(|_, body| AnswerBody { body, unsent: Bytes::new(), _request_body: request_body, connection }))
}

/// Sends an answer's body in pieces, each of which counts as a use of the connection.
pub(super) struct AnswerBody {
    body: BoxBody,
    unsent: Bytes,
    /// Dropped with the answer and not before: see [`RequestBody`].
    _request_body: Option<RequestBody>,
    connection: Option<Rc<Connection>>,
}

impl MessageBody for AnswerBody {
    type Error = Box<dyn error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.unsent.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_next(cx)) {
                Some(Ok(chunk)) => self.unsent = chunk,
                end => return Poll::Ready(end),
            }
        }
        if let Some(connection) = &self.connection {
            connection.used();
        }
        let piece = self.unsent.len().min(PIECE);
        Poll::Ready(Some(Ok(self.unsent.split_to(piece))))
    }
}

#[cfg(test)]
mod tests;
