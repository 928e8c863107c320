//! `wxmint ready`: asks a running process whether it is ready, for health checks of containers, which have no shell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    let url: Url = match &args.url {
        Some(url) => url
            .parse()
            .map_err(|_| Failure::usage("the URL cannot be read; it looks like http://127.0.0.1:9090/readyz"))?,
        // That of the process with the settings of this one.
        None => {
            let listen = with_env_file(|| Ok(read_one(&ADMIN_LISTEN, variables())?))?;
            let url = format!("http://{}/readyz", reachable(listen)).parse();
            url.map_err(|_| Failure::unfinished("WXMINT_ADMIN_LISTEN makes no URL"))?
        }
    };
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

/// The address at which a process of this machine reaches a listener.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(url: Url) -> Result<Fetched, String> {
    let tls = Tls::reaching([&url]).map_err(|error| error.to_string())?;
    let client = Upstream::new(&tls, PATIENCE, PATIENCE).map_err(|error| error.to_string())?;
    client.fetch(Request::new(Method::GET, url)).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_asked_at_loopback() {
        for (listen, asked) in [
            ("0.0.0.0:9091", "127.0.0.1:9091"),
            ("[::]:9091", "[::1]:9091"),
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("192.0.2.1:9090", "192.0.2.1:9090"),
        ] {
            assert_eq!(reachable(listen.parse().expect("an address")).to_string(), asked);
        }
    }
}
