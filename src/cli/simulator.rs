//! `wxmint simulator`

use std::{io, net::TcpListener, sync::Arc};

use actix_web::HttpRequest;
use wxmint_http::{ClientConnection, ServerLimits, raise_file_limit, run_to_end, stop_signal};
use wxmint_simulator::{SimulatorArgs, World};

use super::{Failure, output::announce};

/// More than a load test opens, and less than would exhaust the machine's memory.
const CONNECTIONS: usize = 20_000;

pub(super) fn run(args: SimulatorArgs) -> Result<(), Failure> {
    let listen = args.listen;
    args.fault().map_or(Ok(()), |fault| Err(Failure::usage(fault)))?;
    serve(args).map_err(|error| Failure::unfinished(format_args!("cannot serve on {listen}: {error}")))
}

fn serve(args: SimulatorArgs) -> io::Result<()> {
    raise_file_limit();
    let listener = wxmint_http::listen(args.listen)?;
    let address = listener.local_addr()?;
    run_to_end(async {
        let shutdown = stop_signal()?;
        args.introduction(address).iter().for_each(|line| announce(format_args!("{line}")));
        let workers = args.workers;
        run_on(listener, args.into_world(), workers, shutdown).await
    })
}

/// Serves the stand-in WeChat until `shutdown` resolves. Requests that a fault stalls then get one more second.
pub(crate) async fn run_on(
    listener: TcpListener,
    world: Arc<World>,
    workers: usize,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let app = move || actix_web::App::new().configure(wxmint_simulator::routes(Arc::clone(&world), reset_on_close));
    wxmint_http::serve(listener, limits(workers), app, shutdown)?.await
}

pub(super) fn limits(workers: usize) -> ServerLimits {
    ServerLimits {
        workers: workers.max(1),
        connections: CONNECTIONS,
        // A stalled request must notice that its client has left.
        half_closed: false,
        loopback_names: true,
        ..ServerLimits::default()
    }
}

fn reset_on_close(request: &HttpRequest) {
    if let Some(connection) = request.conn_data::<Arc<ClientConnection>>() {
        // Fails only if the connection is closed already.
        let _ = connection.reset_on_close();
    }
}
