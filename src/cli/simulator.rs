//! `wxmint simulator`

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_web::HttpRequest;
use clap::Args;
use wxmint_simulator::{App, Options, World};

use super::{Failure, output::announce};
use crate::{
    http::{self, Connection, ServerLimits, raise_file_limit, run_to_end, stop_signal},
    settings::parse_duration,
};

/// More than a load test opens, and less than would exhaust the machine's memory.
const CONNECTIONS: usize = 20_000;

const DEFAULT_APP: &str = "wxc0ffee0000000001:5ec2e700c0ffee005ec2e700c0ffee00";

const EXAMPLES: &str = r#"Give the phone of a person named lin a login code (this stands in for wx.login):
  curl -H 'Content-Type: application/json' -d '{"person":"lin"}' http://127.0.0.1:8090/_simulator/codes

Exchange it, as a back end does:
  curl 'http://127.0.0.1:8090/sns/jscode2session?appid=APPID&secret=SECRET&js_code=CODE&grant_type=authorization_code'

Make three in ten answers "system error", and the others slow; then heal:
  curl -X PUT -H 'Content-Type: application/json' -d '{"faults":[{"kind":"errcode","errcode":-1,"probability":0.3},{"kind":"latency","ms":300}]}' \
    http://127.0.0.1:8090/_simulator/faults
  curl -X DELETE http://127.0.0.1:8090/_simulator/faults

See what was asked and answered:
  curl http://127.0.0.1:8090/_simulator/journal"#;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SimulatorArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8090")]
    listen: SocketAddr,
    /// Listen on an address that others can reach; they can then read every session_key
    #[arg(long)]
    dangerous_listen_anywhere: bool,
    /// A mini program; may be repeated
    #[arg(long = "app", value_name = "APPID:SECRET[:no-unionid]", default_value = DEFAULT_APP)]
    apps: Vec<App>,
    /// Seed that decides when faults with a probability occur
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Delay of each of WeChat's answers, for example 50ms
    #[arg(long, value_name = "DURATION", default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// Life of an access token, for example 7200s
    #[arg(long, value_name = "DURATION", default_value = "7200s", value_parser = duration)]
    access_token_ttl: Duration,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// Keep no journal, for load tests
    #[arg(long)]
    no_journal: bool,
}

pub(super) fn run(args: SimulatorArgs) -> Result<(), Failure> {
    let listen = args.listen;
    if !listen.ip().is_loopback() && !args.dangerous_listen_anywhere {
        return Err(Failure::Usage(format!(
            "{listen} can be reached by others, and the simulator shows every session_key to whoever asks.\n\
             Use --listen 127.0.0.1:8090, or add --dangerous-listen-anywhere if only tests use the network."
        )));
    }
    serve(args).map_err(|error| Failure::Unfinished(format!("cannot serve on {listen}: {error}")))
}

fn serve(args: SimulatorArgs) -> io::Result<()> {
    raise_file_limit();
    let listener = http::listen(args.listen)?;
    let address = listener.local_addr()?;
    run_to_end(async {
        let shutdown = stop_signal()?;
        introduce(address, &args.apps);
        let options = Options {
            seed: args.seed,
            access_token_ttl: args.access_token_ttl,
            latency: args.latency,
            journal: !args.no_journal,
        };
        run_on(listener, World::with_options(args.apps, options), args.workers, shutdown).await
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
    http::serve(listener, limits(workers), app, shutdown)?.await
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
    if let Some(connection) = request.conn_data::<Rc<Connection>>() {
        // Fails only if the connection is closed already.
        let _ = connection.reset_on_close();
    }
}

fn introduce(address: SocketAddr, apps: &[App]) {
    announce(format_args!("The stand-in WeChat listens on http://{address}"));
    for app in apps {
        let unionid = if app.unionid { "" } else { " (no unionid)" };
        announce(format_args!("  AppID {}  AppSecret {}{unionid}", app.id, app.secret));
    }
    announce(format_args!("A login code for a person named lin:"));
    announce(format_args!(
        "  curl -H 'Content-Type: application/json' -d '{{\"person\":\"lin\"}}' http://{address}/_simulator/codes"
    ));
}

/// `50ms`, or as in settings: `30s`, `5m`, `2h`.
fn duration(text: &str) -> Result<Duration, &'static str> {
    let millis = text.strip_suffix("ms").and_then(|number| number.parse().ok()).map(Duration::from_millis);
    millis.or_else(|| parse_duration(text)).ok_or("must be a whole number with ms, s, m or h, for example 50ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("50ms"), Ok(Duration::from_millis(50)));
        assert_eq!((duration("0ms"), duration("7200s")), (Ok(Duration::ZERO), duration("2h")));
        for wrong in ["", "50", "ms", "-1s", "1.5s", "99999999999999999999h", "5 s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_app_is_read_and_its_secret_not_repeated() {
        let app: App = "wx1:s3cret:no-unionid".parse().expect("an app");
        assert_eq!((app.id.as_str(), app.secret.as_str(), app.unionid), ("wx1", "s3cret", false));
        assert!(DEFAULT_APP.parse::<App>().is_ok_and(|app| app.unionid && app.secret.len() == 32));
        for wrong in ["wx1", "wx1:", ":s3cret", "wx1:s3cret:unionid", "wx1:s3cret:no-unionid:x", "w x:s3cret"] {
            assert!(wrong.parse::<App>().is_err_and(|error| !error.to_string().contains("s3cret")), "{wrong}");
        }
    }
}
