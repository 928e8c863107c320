//! The one way to run a server: the layers around each request, and steps that run to completion
//! even if the client disconnects.

use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::{Duration, Instant};
use std::{future::pending, future::ready, io, panic::resume_unwind, sync::Arc};

use actix_http::{HttpService, error::DispatchError};
use actix_service::{Service, apply_fn_factory, map_config};
use actix_web::dev::{
    AppConfig, Extensions, Server, ServiceFactory, ServiceRequest, ServiceResponse,
};
use actix_web::http::header::{self, HOST, HeaderMap, HeaderValue};
use actix_web::http::{ConnectionType, StatusCode, uri::Authority};
use actix_web::middleware::{Next, from_fn};
use actix_web::rt::{net::TcpStream, spawn};
use actix_web::{App, Error, HttpMessage, HttpRequest, HttpResponse, body::MessageBody};
use futures_util::{FutureExt, TryFutureExt};
use serde::Serialize;
use tokio::sync::watch;
use tracing::Instrument;
use wxmint_telemetry::Trace;

use super::body::{AnswerBody, PIECE, RequestBody};
use super::connection::{ClientConnection, Connections, HEAD_TIMEOUT, Phase};
use super::{Problem, Readiness, ServerLimits, client_stream::ClientStream};

/// How long a client may go on sending after it was answered before its body had been read. A
/// connection that is closed while bytes arrive is reset, and the client might lose the answer.
const LINGER: Duration = Duration::from_secs(1);
/// How many connections a worker may have beyond its slots, while others are being closed.
const LEAVING: usize = 64;

/// Wraps the app in the outermost layer that every listener has. Tests call the result without a
/// server.
pub fn as_served<T, B: MessageBody + 'static>(
    app: App<T>,
    only_loopback_names: bool,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody + 'static>,
        Error = Error,
        InitError = (),
    >,
>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
{
    app.wrap(from_fn(move |request, next| {
        outermost(request, next, only_loopback_names)
    }))
}

/// Serves `app` on `listener` until `shutdown` resolves. It runs once the returned server is awaited or spawned.
pub fn serve<T, B: MessageBody + 'static>(
    listener: TcpListener,
    limits: ServerLimits,
    app: impl Fn() -> App<T> + Send + Clone + 'static,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Server>
where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse<B>,
            Error = Error,
            InitError = (),
        > + 'static,
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
    // This follows actix-web's `HttpServer`, which accepts no stream type but its own.
    let service = move || {
        let app = as_served(app(), only_loopback_names);
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
        apply_fn_factory(
            http.h1(map_config(app, |()| AppConfig::default())),
            move |stream: TcpStream, http| {
                let client = stream.peer_addr().ok();
                let stream = ClientStream::new(stream, &connections).map_err(DispatchError::Io);
                ready(stream.map(|stream| http.call((stream, client))))
                    .try_flatten()
                    .then(stay_for_steps)
            },
        )
    };
    let server = server.listen("http", listener, service)?.run();
    // The server's own shutdown signal would also stop the other servers of the process, 0.3 s
    // after this one.
    let handle = server.handle();
    tokio::spawn(shutdown.then(move |()| handle.stop(true)));
    Ok(server)
}

thread_local! {
    /// Each run of steps on this worker holds a receiver until it has completed. The value says
    /// whether a connection stays open for these runs.
    static STEPS: watch::Sender<bool> = watch::Sender::new(false);
}

/// Keeps one connection's slot taken until all steps of this worker have completed.
///
/// A worker that is told to stop ends with its last connection, and would cancel steps whose
/// clients have disconnected.
async fn stay_for_steps<T>(end: T) -> T {
    let steps = STEPS.with(Clone::clone);
    if !steps.send_replace(true) {
        steps.closed().await;
        steps.send_replace(false);
    }
    end
}

async fn outermost<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
    only_loopback_names: bool,
) -> Result<ServiceResponse<AnswerBody>, Error> {
    let connection = request.conn_data::<Arc<ClientConnection>>().cloned();
    if let Some(connection) = &connection {
        connection.is_in(Phase::Works);
    }
    let request_body = RequestBody::take_from(&mut request, connection.as_ref());
    let mut response = match check_host(&request, only_loopback_names) {
        Ok(()) => match next.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            Err(error) => {
                // actix-web turns an error into an answer itself, and sends it at once.
                if let Some(connection) = &connection {
                    connection.is_in(Phase::Flushes(Instant::now()));
                }
                return Err(error);
            }
        },
        Err(problem) => request.error_response(problem),
    };
    if let Some(problem) = Problem::of(response.response()) {
        let answer = problem.respond(response.request());
        response = response.into_response(answer);
    }
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    let reading = Reading::of(response.request(), is_error);
    if let Some(reading) = reading {
        reading.tell(response.headers_mut());
    }
    if let Some(body) = &request_body {
        body.skip_what_has_arrived().await;
    }
    let Some(connection) = connection else {
        return Ok(AnswerBody::send(response, request_body, None));
    };
    connection.answers_last(request_body.as_ref().is_some_and(|body| !body.is_over()));
    let are_taken = connection.connections.are_taken();
    let mut response = AnswerBody::send(response, request_body, Some(connection));
    // actix-http closes the connection of a client that offers HTTP/2 (RFC 7540, section 3.2), as
    // Java's does, and answers `connection: upgrade`. Unless told `close`, the client sends its
    // next request into the end of this one. The clients of an unfit process reach another process
    // with their next connection.
    let is_unfit = response
        .request()
        .app_data::<Readiness>()
        .is_some_and(|it| !it.0.lock().unfit.is_empty());
    if are_taken || is_unfit || response.request().head().upgrade() {
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Checks the host name of a request to a listener on loopback. 421, because the request asks for a host that this
/// listener does not serve (RFC 9110 section 15.5.20). A request without any host passes: browsers always send one.
fn check_host(request: &ServiceRequest, only_loopback_names: bool) -> Result<(), Problem> {
    if !only_loopback_names {
        return Ok(());
    }
    let is_header_loopback = request
        .headers()
        .get_all(HOST)
        .all(|host| host.to_str().is_ok_and(is_loopback));
    let is_target_loopback = request
        .uri()
        .authority()
        .is_none_or(|authority| is_loopback(authority.as_str()));
    if is_header_loopback && is_target_loopback {
        return Ok(());
    }
    let detail = "This listener is for programs of this machine and answers to loopback host names alone. \
                  Ask for http://localhost or http://127.0.0.1, with this port.";
    Err(Problem::invalid(detail).with_status(StatusCode::MISDIRECTED_REQUEST))
}

/// `localhost`, a name below it (RFC 6761 section 6.3), 127.0.0.0/8 or `[::1]`, with or without a port.
fn is_loopback(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || host
            .parse()
            .is_ok_and(|address: Ipv4Addr| address.is_loopback())
        || address
            .parse()
            .is_ok_and(|address: Ipv6Addr| address.to_canonical().is_loopback())
}

/// The headers that a page may read beside those that CORS always allows.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Retry-After, WWW-Authenticate, X-Request-Id");

/// A handler's decision whether the site that has sent the request may read the answer.
enum Reader {
    May(HeaderValue),
    MayNot,
}

/// Lets the site that has sent the request read its answer (CORS,
/// <https://fetch.spec.whatwg.org/#http-cors-protocol>), if `is_own` accepts its origin. Otherwise
/// the site may not read the answer. Credentials are never allowed. The last call for a request
/// counts.
pub fn allow_site(request: &HttpRequest, is_own: impl FnOnce(&str) -> bool) {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return;
    };
    let may = origin.to_str().is_ok_and(is_own);
    request.extensions_mut().insert(if may {
        Reader::May(origin.clone())
    } else {
        Reader::MayNot
    });
}

/// The sites that may read an error of a resource if no handler has decided. A page must learn why
/// it is refused, even before the client or the app of its request is known. Belongs in the data of
/// the resource.
pub enum ErrorReaders {
    Everybody,
    Sites(Box<IsReader>),
}

/// Whether the site that has sent this request may read its error.
type IsReader = dyn Fn(&HttpRequest, &str) -> bool;

/// The sites that may read an answer, for its CORS headers.
enum Reading {
    Everybody,
    Site(HeaderValue),
    /// No site may read this answer, but `Vary: Origin` is needed: another site may read the answer
    /// to the same request.
    Nobody,
}

impl Reading {
    /// `None` if the resource has no readers: its answers get no CORS headers.
    fn of(request: &HttpRequest, is_error: bool) -> Option<Self> {
        let decided = request.extensions_mut().remove();
        let readers = request.app_data::<ErrorReaders>();
        match (decided, readers) {
            (Some(Reader::May(origin)), _) => Some(Self::Site(origin)),
            (_, Some(ErrorReaders::Everybody)) => is_error.then_some(Self::Everybody),
            (None, Some(ErrorReaders::Sites(is_one))) if is_error => {
                let origin = request.headers().get(header::ORIGIN);
                let reader = origin
                    .filter(|origin| origin.to_str().is_ok_and(|origin| is_one(request, origin)));
                Some(reader.map_or(Self::Nobody, |origin| Self::Site(origin.clone())))
            }
            (_, Some(ErrorReaders::Sites(_))) => Some(Self::Nobody),
            (_, None) => None,
        }
    }

    fn tell(self, headers: &mut HeaderMap) {
        let reader = match self {
            Self::Everybody => {
                headers.insert(
                    header::ACCESS_CONTROL_ALLOW_ORIGIN,
                    HeaderValue::from_static("*"),
                );
                return;
            }
            Self::Site(origin) => Some(origin),
            Self::Nobody => None,
        };
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = reader {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        }
    }
}

impl Problem {
    /// The problem that a handler or a layer has returned in place of an answer.
    pub fn of<B>(answer: &HttpResponse<B>) -> Option<&Self> {
        answer.error()?.as_error()
    }
}

/// A JSON answer for one person. No cache may keep it.
pub fn private(answer: impl Serialize) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .json(answer)
}

/// Runs `steps` to completion even if the client disconnects, which makes actix-web drop the
/// handler. Otherwise WeChat might replace a session key that the store keeps, or an attempt to use
/// a session key might not be counted. `steps` need deadlines of their own, and must not read the
/// request's body. A server that stops waits for them.
///
/// `steps` begin at once, and not when the returned future is first polled, so that the caller's
/// future does not contain them. Their wake-ups wake their own task and not the connection's, which
/// would go through all layers and look for another request each time.
pub fn run_to_completion<T: 'static>(
    steps: impl Future<Output = T> + 'static,
) -> impl Future<Output = T> {
    let runs = STEPS.with(watch::Sender::subscribe);
    // Boxed before the layers around it, because the future of a login takes several kilobytes.
    let steps = Box::pin(steps)
        .in_current_span()
        .inspect(move |_| drop(runs));
    let task = if let Some(trace) = Trace::current() {
        spawn(trace.around(steps))
    } else {
        spawn(steps)
    };
    async move {
        let failed = match task.await {
            Ok(done) => return done,
            Err(failed) => failed,
        };
        if failed.is_panic() {
            resume_unwind(failed.into_panic());
        }
        // The task was cancelled because its worker is ending, and this task ends with it.
        pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use tokio::sync::oneshot;

    use super::*;

    #[actix_web::test]
    async fn steps_go_on_when_nobody_waits_for_them_any_more() {
        let (go_on, waits) = oneshot::channel::<()>();
        let (tells, told) = oneshot::channel();
        let handler = spawn(run_to_completion(async move {
            waits.await.expect("told to go on");
            tells.send("done").expect("somebody listens");
        }));
        actix_web::rt::task::yield_now().await;
        handler.abort();
        assert!(handler.await.is_err_and(|error| error.is_cancelled()));
        go_on.send(()).expect("the steps wait");
        assert_eq!(told.await, Ok("done"));
    }

    #[actix_web::test]
    async fn their_result_is_answered_and_so_is_their_panic() {
        let seen = Rc::new(Cell::new(1));
        let counted = Rc::clone(&seen);
        assert_eq!(
            run_to_completion(async move { counted.replace(2) }).await,
            1
        );
        assert_eq!(seen.get(), 2);
        let panics = spawn(run_to_completion(async { panic!("on purpose") }));
        assert!(panics.await.is_err_and(|error| error.is_panic()));
    }

    #[test]
    fn loopback_names_are_told_from_names_that_only_resemble_them() {
        for name in [
            "localhost",
            "LocalHost:8080",
            "localhost.",
            "demo.localhost:1",
            "127.0.0.1",
            "127.1.2.3:80",
            "[::1]:9",
        ] {
            assert!(is_loopback(name), "{name}");
        }
        for name in [
            "",
            "localhost.evil.example",
            "evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0:8080",
            "10.0.0.1",
            "[::]",
            "localhost evil.example",
            "localhost,evil.example",
        ] {
            assert!(!is_loopback(name), "{name}");
        }
    }
}
