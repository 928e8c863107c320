//! The one way to run a server: its deadlines, its number of connections, and its host names.

use std::time::{Duration, Instant};
use std::{future::ready, io, net::TcpListener, sync::Arc};

use actix_http::{HttpService, error::DispatchError};
use actix_service::{ServiceFactoryExt, map_config};
use actix_web::dev::{AppConfig, Extensions, Server, ServiceFactory, ServiceRequest, ServiceResponse, fn_service};
use actix_web::middleware::{Next, from_fn};
use actix_web::{App, Error, body::MessageBody, http::ConnectionType, rt::net::TcpStream};

use super::body::{AnswerBody, PIECE, RequestBody};
use super::connection::{ClientConnection, Connections, HEAD_TIMEOUT, Phase};
use super::{Problem, client_stream::ClientStream, cors, head::check_host};

/// How long a client may go on sending after it was answered before its body was read. A connection that is closed
/// while bytes arrive is reset, and the client might lose the answer.
const LINGER: Duration = Duration::from_secs(1);
/// How many connections a worker may have beyond its places, while others are being closed.
const LEAVING: usize = 64;
/// Enough for the kubelet, Prometheus and the look-ups of some services.
const ADMIN_CONNECTIONS: usize = 500;

#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    pub workers: usize,
    /// Connections at once, of all workers together; rounded up to a multiple of the workers. Further clients take the
    /// places of connections that wait for their clients; if none waits, they stay in the listener's queue.
    pub connections: usize,
    /// The most bytes of a request's head, of which each connection may hold as many.
    pub head: usize,
    /// How long a connection may stay idle between two requests.
    pub keep_alive: Duration,
    /// How long a client may take to read an answer, however much of it.
    pub answer: Duration,
    /// How long requests in flight may take after a stop.
    pub drain: Duration,
    /// Whether a client that closes its sending half still gets its answer.
    pub half_closed: bool,
    /// Whether a listener on a loopback address answers only requests whose `Host` is a loopback name. A web page may
    /// point its own host name at 127.0.0.1 (DNS rebinding) and would otherwise read every answer. Not for a listener
    /// behind a reverse proxy, which passes on the `Host` of its client.
    pub loopback_names: bool,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            workers: 1,
            connections: ADMIN_CONNECTIONS,
            // Heads of fewer bytes are told what is wrong with them by `head::limit_head`.
            head: 16 * 1024,
            // Proxies keep idle connections for 60 s. They must close first, so that no request meets a connection that
            // is being closed.
            keep_alive: Duration::from_secs(75),
            // The longest answer, the viewer of `/docs`, takes that long at 30 KB a second.
            answer: Duration::from_secs(60),
            drain: Duration::from_secs(5),
            half_closed: true,
            loopback_names: false,
        }
    }
}

/// Serves `app` on `listener` until `shutdown` resolves. It runs once the returned server is awaited or spawned.
pub fn serve<T, B>(
    listener: TcpListener,
    limits: ServerLimits,
    app: impl Fn() -> App<T> + Send + Clone + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Server>
where
    T: ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse<B>, Error = Error, InitError = ()>
        + 'static,
    B: MessageBody + 'static,
{
    let only_loopback_names = limits.loopback_names && listener.local_addr()?.ip().is_loopback();
    let per_worker = limits.connections.div_ceil(limits.workers);
    let connections = Connections::watched(limits);
    let server = Server::build()
        .workers(limits.workers)
        .max_concurrent_connections(per_worker + LEAVING)
        .shutdown_timeout(limits.drain.as_secs())
        .disable_signals();
    let stopped = server.graceful_shutdown_signal();
    // As actix-web's `HttpServer`, which takes no stream but its own.
    let service = move || {
        let app = app().wrap(from_fn(move |request, next| outermost(request, next, only_loopback_names)));
        let stopped = stopped.clone();
        let http = HttpService::build()
            .keep_alive(limits.keep_alive)
            .client_request_timeout(HEAD_TIMEOUT)
            .client_disconnect_timeout(LINGER)
            .h1_allow_half_closed(limits.half_closed)
            .h1_write_buffer_size(PIECE)
            .graceful_shutdown_signal(move || {
                let stopped = stopped.clone();
                async move { stopped.notified().await }
            })
            .on_connect_ext(|stream: &ClientStream, data: &mut Extensions| {
                data.insert(Arc::clone(&stream.connection));
            });
        let connections = Arc::clone(&connections);
        let connect = fn_service(move |stream: TcpStream| {
            let client = stream.peer_addr().ok();
            ready(ClientStream::new(stream, &connections).map(|stream| (stream, client)).map_err(DispatchError::Io))
        });
        connect.and_then(http.h1(map_config(app, |()| AppConfig::default())))
    };
    Ok(stopped_by(shutdown, server.listen("http", listener, service)?.run()))
}

/// A signal of the server's own would stop the process' other servers, too, 0.3 s after this one.
fn stopped_by(shutdown: impl Future<Output = ()> + Send + 'static, server: Server) -> Server {
    let handle = server.handle();
    tokio::spawn(async move {
        shutdown.await;
        handle.stop(true).await;
    });
    server
}

async fn outermost<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
    only_loopback_names: bool,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let connection = request.conn_data::<Arc<ClientConnection>>().cloned();
    connection.iter().for_each(|connection| connection.is_in(Phase::Works));
    let request_body = RequestBody::take_from(&mut request, connection.as_ref());
    let mut response = match check_host(&request, only_loopback_names) {
        Ok(()) => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            Err(error) => {
                // actix-web makes an answer of it.
                connection.iter().for_each(|connection| connection.is_in(Phase::Flushes(Instant::now())));
                return Err(error);
            }
        },
        Err(problem) => request.error_response(problem),
    };
    if let Some(problem) = Problem::of(response.response()) {
        let answer = problem.respond(response.request());
        response = response.into_response(answer);
    }
    cors::write(&mut response);
    if let Some(body) = &request_body {
        body.skip_what_has_arrived().await;
    }
    let Some(connection) = connection else { return Ok(AnswerBody::send(response, request_body, None)) };
    connection.answers_last(request_body.as_ref().is_some_and(|body| !body.is_over()));
    let are_taken = connection.connections.are_taken();
    let mut response = AnswerBody::send(response, request_body, Some(connection));
    // actix-http closes the connection of a client that offers HTTP/2 (RFC 7540, section 3.2), as Java's does, and
    // answers `connection: upgrade`. Unless told `close`, the client sends its next request into the end of this one.
    if are_taken || response.request().head().upgrade() {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}
