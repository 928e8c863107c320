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
        // The default is the admin listener of a process with the same settings. A connection to
        // 0.0.0.0 or [::] goes to this machine.
        None => format!(
            "http://{}/readyz",
            with_env_file(|| Ok(read_one(&ADMIN_LISTEN, variables())?))?
        ),
    };
    let unreadable =
        || Failure::usage("the URL cannot be read; it looks like http://127.0.0.1:9090/readyz");
    let url = url
        .parse()
        .ok()
        .filter(|url: &Url| ["http", "https"].contains(&url.scheme()))
        .ok_or_else(unreadable)?;
    let asked = async {
        client([&url], PATIENCE)?
            .fetch(Request::new(Method::GET, url.clone()))
            .await
            .map_err(|error| error.to_string())
    };
    match run_to_end(asked) {
        Ok(answer) if answer.status.as_u16() == 200 => Ok(()),
        Ok(Fetched { status, body, .. }) => {
            // Control characters are removed, because the answer must not control the terminal.
            let text = String::from_utf8_lossy(&body[..body.len().min(1024)])
                .replace(char::is_control, " ");
            Err(Failure::unfinished(format_args!(
                "not ready: {status}, {}",
                text.trim_end()
            )))
        }
        Err(why) => Err(Failure::unfinished(format_args!("not ready: {why}"))),
    }
}

pub(super) fn client<const N: usize>(
    urls: [&Url; N],
    patience: Duration,
) -> Result<Upstream, String> {
    Tls::reaching(urls)
        .and_then(|tls| Upstream::new(&tls, patience, patience))
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_url_of_the_web_is_a_wrong_argument() {
        let unreadable =
            || Failure::usage("the URL cannot be read; it looks like http://127.0.0.1:9090/readyz");
        for url in ["localhost:9090", "127.0.0.1:9090", ""] {
            assert_eq!(
                run(&ReadyArgs {
                    url: Some(url.to_owned())
                }),
                Err(unreadable()),
                "{url}"
            );
        }
    }
}
