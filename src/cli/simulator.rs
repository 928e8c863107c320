//! `wxmint simulator`

use std::{io, net::TcpListener, sync::Arc, time::Duration};

use actix_web::HttpRequest;
use clap::{Args, Subcommand};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use serde_json::{Value, json};
use wxmint_http::{ClientConnection, ServerLimits, raise_file_limit, run_to_end, stop_signal};
use wxmint_simulator::{SimulatorArgs, World};
use wxmint_upstream::Upstream;

use super::{Failure, output::print, ready::client};

/// How many connections the simulator accepts: more than a load test opens, and less than would
/// exhaust the machine's memory.
const CONNECTIONS: usize = 20_000;
/// How long a command waits for an answer: longer than a login takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct SimulatorCommand {
    #[command(flatten)]
    serve: SimulatorArgs,
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Subcommand)]
enum Act {
    /// Log a person in at a wxmint that asks a simulator, and print the user id, as `helm test` does
    LogIn(LogInArgs),
}

#[derive(Args)]
struct LogInArgs {
    /// Where wxmint answers, for example http://127.0.0.1:8080
    wxmint: Url,
    /// Where its simulator answers
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8090")]
    simulator: Url,
    /// The mini program, where there are several
    #[arg(long)]
    appid: Option<String>,
    /// The person's name
    #[arg(long, default_value = "lin")]
    person: String,
}

pub(super) fn run(command: SimulatorCommand) -> Result<(), Failure> {
    match command.act {
        Some(Act::LogIn(args)) => run_to_end(log_in(&args)).map_err(Failure::unfinished),
        None => start(command.serve),
    }
}

async fn log_in(args: &LogInArgs) -> Result<(), String> {
    let with_app = |mut body: Value| {
        if let Some(appid) = &args.appid {
            body["appid"] = json!(appid);
        }
        body
    };
    let http = client([&args.wxmint, &args.simulator], PATIENCE)?;
    let codes = post(
        &http,
        &args.simulator,
        "/_simulator/codes",
        &with_app(json!({"person": args.person})),
    )
    .await?;
    let login = post(
        &http,
        &args.wxmint,
        "/login",
        &with_app(json!({"code": codes["codes"][0]})),
    )
    .await?;
    print(login["user_id"].as_str().unwrap_or_default());
    Ok(())
}

/// Sends a POST request and returns its JSON answer. An answer without a status of success is an
/// error.
pub(super) async fn post(
    http: &Upstream,
    server: &Url,
    path: &str,
    body: &Value,
) -> Result<Value, String> {
    let url = server
        .join(path)
        .map_err(|_| format!("{server} is no URL of a server"))?;
    let mut request = Request::new(Method::POST, url);
    request
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *request.body_mut() = Some(body.to_string().into());
    let answer = http
        .fetch(request)
        .await
        .map_err(|error| format!("{path} at {server}: {error}"))?;
    // Control characters are removed, because the answer must not control the terminal.
    let text = String::from_utf8_lossy(&answer.body).replace(char::is_control, " ");
    let read = serde_json::from_slice(&answer.body)
        .ok()
        .filter(|_| answer.status.is_success());
    read.ok_or_else(|| format!("{path} at {server}: {}, {text}", answer.status))
}

fn start(args: SimulatorArgs) -> Result<(), Failure> {
    let listen = args.listen;
    args.fault()
        .map_or(Ok(()), |fault| Err(Failure::usage(fault)))?;
    serve(args)
        .map_err(|error| Failure::unfinished(format_args!("cannot serve on {listen}: {error}")))
}

fn serve(args: SimulatorArgs) -> io::Result<()> {
    raise_file_limit();
    let listener = wxmint_http::listen(args.listen)?;
    let address = listener.local_addr()?;
    run_to_end(async {
        let shutdown = stop_signal()?;
        for line in args.introduction(address) {
            print(line);
        }
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
    let app = move || {
        actix_web::App::new()
            .configure(wxmint_simulator::routes(Arc::clone(&world), reset_on_close))
    };
    wxmint_http::serve(listener, limits(workers), app, shutdown)?.await
}

pub(super) fn limits(workers: usize) -> ServerLimits {
    ServerLimits {
        workers: workers.max(1),
        connections: CONNECTIONS,
        // Otherwise a stalled request would not notice that its client has disconnected.
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
