//! `wxmint ready`: asks a running process whether it is ready, for health checks of containers, which have no shell.

use std::time::Duration;

use clap::Args;
use reqwest::{Method, Request, Url};
use wxmint_http::run_to_end;
use wxmint_upstream::{Fetched, Tls, Upstream};

use super::{Failure, variables, with_env_file};
use crate::settings::{read_one, variables::ADMIN_LISTEN};

const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(super) struct ReadyArgs {
    #[arg(help = format!("Where the process answers: any path of a server, if 200 means that it is ready; else /readyz at its \
                          WXMINT_ADMIN_LISTEN, {}", ADMIN_LISTEN.fallback()))]
    url: Option<String>,
}

pub(super) fn run(args: &ReadyArgs) -> Result<(), Failure> {
    let url = match &args.url {
        Some(url) => url.clone(),
        // That of the process with the settings of this one. A connection to 0.0.0.0 or [::] goes to this machine.
        None => format!("http://{}/readyz", with_env_file(|| Ok(read_one(&ADMIN_LISTEN, variables())?))?),
    };
    let unreadable = |_| Failure::usage("the URL cannot be read; it looks like http://127.0.0.1:9090/readyz");
    let url = url.parse().map_err(unreadable)?;
    match run_to_end(ask(url)) {
        Ok(answer) if answer.status.as_u16() == 200 => Ok(()),
        Ok(Fetched { status, body, .. }) => {
            // Whoever answers must not steer the terminal.
            let text = String::from_utf8_lossy(&body[..body.len().min(1024)]).replace(char::is_control, " ");
            Err(Failure::unfinished(format_args!("not ready: {status}, {}", text.trim_end())))
        }
        Err(why) => Err(Failure::unfinished(format_args!("not ready: {why}"))),
    }
}

async fn ask(url: Url) -> Result<Fetched, String> {
    let tls = Tls::reaching([&url]).map_err(|error| error.to_string())?;
    let client = Upstream::new(&tls, PATIENCE, PATIENCE).map_err(|error| error.to_string())?;
    client.fetch(Request::new(Method::GET, url)).await.map_err(|error| error.to_string())
}
