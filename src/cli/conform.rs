//! `wxmint conform`

#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help that the terminal shows"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::{fs, io, time::Duration};

use clap::Args;
use reqwest::Url;
use wxmint_conform::{Issuer, Level, Options, Outcome, Report, run as check};
use wxmint_http::{listen, run_to_end};

use super::Failure;
use super::output::{print, say};
use crate::settings::parse_duration;

#[derive(Args)]
pub(super) struct ConformArgs {
    /// A protected path of the verifier: 200 lets a token in, 401 refuses it, 503 cannot judge it
    #[arg(long, value_name = "URL")]
    url: Url,
    /// The address of the issuer that the verifier is set to; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8092")]
    listen: SocketAddr,
    /// The audience that the verifier accepts; default: the issuer
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// The verifier is closed: it answers 503 while its knowledge is too old
    #[arg(long)]
    closed: bool,
    /// The age of its knowledge from which a closed verifier answers 503
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    max_age: Duration,
    /// How long the verifier may take to obey a page
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    within: Duration,
    /// Only this level; may be repeated: tokens, follows, closed, robust
    #[arg(long = "level", value_name = "LEVEL")]
    levels: Vec<Level>,
    /// Writes the outcome in the form of JUnit, too
    #[arg(long, value_name = "PATH")]
    junit: Option<PathBuf>,
    /// Starts the verifier, and ends it afterwards. Its environment has ISSUER, AUDIENCE, JWKS_URL,
    /// REVOCATIONS_URL, FAIL (open or closed) and MAX_AGE (seconds)
    #[arg(last = true)]
    command: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "must be one number and one unit, such as 15s".to_owned())
}

/// The verifier under test. It is killed when this value is dropped.
struct Verifier(Child);

impl Drop for Verifier {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(super) fn run(args: ConformArgs) -> Result<(), Failure> {
    let junit = args.junit.clone();
    let report = run_to_end(examine(args))?;
    if let Some(path) = junit {
        let written = fs::write(&path, report.junit());
        written.map_err(|error| Failure::unfinished(error).at(path.display()))?;
    }
    let checks = report.0.len();
    match report.faults() {
        0 => {
            say(format_args!("{checks} checks, no fault"));
            Ok(())
        }
        faults => Err(Failure::unfinished(format_args!(
            "{faults} of {checks} checks found a fault"
        ))),
    }
}

async fn examine(args: ConformArgs) -> Result<Report, Failure> {
    let listener = listen(args.listen).map_err(|error| {
        Failure::unfinished(format_args!("cannot listen on {}: {error}", args.listen))
    })?;
    let issuer = Issuer::start(listener).map_err(Failure::unfinished)?;
    let audience = args.audience.as_deref().unwrap_or(issuer.url()).to_owned();
    say(format_args!(
        "note: set the verifier to the issuer {}, and to the audience {audience}.",
        issuer.url()
    ));
    let _verifier = start(&args, issuer.url(), &audience)
        .map_err(|error| Failure::usage(format_args!("{:?}: {error}", args.command)))?;
    let options = Options {
        verifier: args.url,
        audience,
        is_closed: args.closed,
        max_age: args.max_age,
        within: args.within,
        levels: levels(args.levels, args.closed),
    };
    let tell = |outcome: &Outcome| print(outcome);
    check(&options, &issuer, &tell)
        .await
        .map_err(Failure::unfinished)
}

/// The chosen levels; else those that are for an open or for a closed verifier.
fn levels(chosen: Vec<Level>, is_closed: bool) -> Vec<Level> {
    if !chosen.is_empty() {
        return chosen;
    }
    if is_closed {
        vec![Level::Tokens, Level::Follows, Level::Closed, Level::Robust]
    } else {
        vec![Level::Tokens, Level::Follows, Level::Robust]
    }
}

fn start(args: &ConformArgs, issuer: &str, audience: &str) -> io::Result<Option<Verifier>> {
    let Some((program, options)) = args.command.split_first() else {
        return Ok(None);
    };
    let fail = if args.closed { "closed" } else { "open" };
    let started = Command::new(program)
        .args(options)
        .env("ISSUER", issuer)
        .env("AUDIENCE", audience)
        .env("JWKS_URL", format!("{issuer}/.well-known/jwks.json"))
        .env("REVOCATIONS_URL", format!("{issuer}/revocations"))
        .env("FAIL", fail)
        .env("MAX_AGE", args.max_age.as_secs().to_string())
        .spawn()?;
    Ok(Some(Verifier(started)))
}
