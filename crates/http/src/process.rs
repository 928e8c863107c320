//! The process around a server: its limits, its event loop, its sockets, and the signal to stop.

use std::net::{SocketAddr, TcpListener};
use std::{io, pin::pin, time::Duration};

use futures_util::future::select;
use rustix::net::sockopt::{
    set_socket_recv_buffer_size, set_socket_send_buffer_size, set_tcp_user_timeout,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// How many connections may wait to be accepted: enough for a burst of logins. std would let 128 wait.
const BACKLOG: i32 = 1024;
/// How many bytes the kernel may keep of answers that a client does not read, and of requests that
/// wait. The kernel takes twice as much for itself. By default it would take up to 10 MiB for each
/// connection, which counts toward a container's memory.
const SEND_BUFFER: usize = 8 * 1024;
const RECEIVE_BUFFER: usize = 6 * 1024;
/// After how many milliseconds without an acknowledged byte of an answer the kernel gives the
/// client up (`TCP_USER_TIMEOUT`).
const UNSENT: u32 = 30_000;

/// The bounds of one server.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// Threads that serve requests.
    pub workers: usize,
    /// Connections at once, of all workers together; rounded up to a multiple of the workers. A
    /// further client takes the slot of a connection that waits for its client. If no connection
    /// waits, the further client stays in the listener's queue.
    pub connections: usize,
    /// The most bytes of a request's head. Each connection may hold that many.
    pub head: usize,
    /// How long a connection may stay idle between two requests.
    pub keep_alive: Duration,
    /// How long a client may take to read an answer of any size.
    pub answer: Duration,
    /// How long requests in flight, and steps that run to completion, may take after a stop.
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
            // Enough for the kubelet, Prometheus and the look-ups of some services.
            connections: 500,
            // Larger than `trace::limit_head` allows, so that its answer can explain what is wrong
            // with a head.
            head: 16 * 1024,
            // Proxies keep idle connections for 60 s. They must close first, so that no request is
            // sent on a closing connection.
            keep_alive: Duration::from_secs(75),
            // The longest answer, the viewer of `/docs`, takes that long at 30 KB a second.
            answer: Duration::from_mins(1),
            drain: Duration::from_secs(5),
            half_closed: true,
            loopback_names: false,
        }
    }
}

/// Runs `future` on this thread, in the event loop that actix-web needs.
pub fn run_to_end<T>(future: impl Future<Output = T>) -> T {
    actix_web::rt::System::new().block_on(future)
}

/// Listens on `address`; port 0 takes a free one.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    // `bind` sets SO_REUSEADDR, so that a restart does not wait for the old connections' TIME_WAIT.
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    // Each accepted connection inherits these options.
    set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
    set_socket_recv_buffer_size(&listener, RECEIVE_BUFFER)?;
    set_tcp_user_timeout(&listener, UNSENT)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The listener of the service itself, and the listener for probes and metrics.
pub struct Listeners {
    pub service: TcpListener,
    pub admin: TcpListener,
}

impl Listeners {
    /// Opens both listeners on the addresses of the settings. `variable` names the setting of
    /// `service`. The errors name the settings.
    pub fn bind(
        variable: &str,
        service: SocketAddr,
        admin: SocketAddr,
    ) -> Result<Self, Vec<String>> {
        let bind = |variable: &str, address| {
            listen(address)
                .map_err(|error| format!("{variable}: cannot listen on {address}: {error}"))
        };
        match (bind(variable, service), bind("WXMINT_ADMIN_LISTEN", admin)) {
            (Ok(service), Ok(admin)) => Ok(Self { service, admin }),
            (service, admin) => Err(service.err().into_iter().chain(admin.err()).collect()),
        }
    }

    /// The addresses on which `service` and `admin` listen.
    pub fn addresses(&self) -> [String; 2] {
        let address =
            |listener: &TcpListener| listener.local_addr().map(|address| address.to_string());
        [&self.service, &self.admin].map(|listener| address(listener).unwrap_or_default())
    }
}

/// Raises the limit of open files, which is 1,024 by default on many systems. A connection takes two files, and a login
/// two more while WeChat is asked.
pub fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile).maximum;
    match setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit,
            maximum: limit,
        },
    ) {
        Ok(()) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
}

/// Resolves on SIGTERM or Ctrl-C. Call it inside the event loop; signals count from the call on.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move { _ = select(pin!(terminated.recv()), pin!(interrupted.recv())).await })
}
