//! `wxmint bindings`: bindings as NDJSON, for backup and moving.

mod conflicts;
mod export;
mod file;
mod import;
mod progress;
mod record;
mod resume;
mod tally;

use std::{
    fmt,
    io::{Write, stdout},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::Subcommand;

use self::import::ImportArgs;
use super::{EXIT_USAGE, fail, serve::variables};
use crate::{
    http::{now, run_to_end},
    settings::{StoreUrl, store_from_vars},
    store::{Fitness, Redis, Store, StoreError},
    telemetry::Metrics,
};

/// How often a step that Redis did not answer is taken again, and after which pauses: a Redis that saves, or hands over
/// to a replica, is away for a few seconds.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// The commands on bindings. Redis is the one that WXMINT_REDIS_URL or WXMINT_REDIS_URL_FILE names.
#[derive(Subcommand)]
pub(super) enum BindingsCommand {
    /// Write all bindings as NDJSON; what was interrupted goes on when it is run again
    Export {
        /// A new file, for its owner alone; else standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Bind whom a file says; never binds anew who is bound, and may be run again
    Import(ImportArgs),
    /// List people whose unionid stands for another user than theirs
    Conflicts {
        /// As NDJSON
        #[arg(long)]
        json: bool,
    },
}

/// Why a command does not end well.
#[derive(Debug)]
enum Failure {
    /// Settings, options or a file are not fit to be used, and nothing was changed.
    Usage(String),
    /// It was begun, and is not done.
    Unfinished(String),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Unfinished(format!("{error}. Run the same again to go on."))
    }
}

pub(super) fn run(command: BindingsCommand) -> ExitCode {
    let done = match command {
        BindingsCommand::Export { out } => open().and_then(|redis| run_to_end(export::run(&redis, out))),
        BindingsCommand::Import(args) => open().and_then(|redis| run_to_end(import::run(&redis, &args))),
        BindingsCommand::Conflicts { json } => open().and_then(|redis| run_to_end(conflicts::run(&redis, json))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(reason)) => fail(EXIT_USAGE, reason),
        Err(Failure::Unfinished(reason)) => fail(1, reason),
    }
}

/// The Redis that `wxmint serve` has.
fn open() -> Result<Redis, Failure> {
    let url = store_from_vars(variables())
        .map_err(|faults| Failure::Usage(format!("the settings cannot be used\n\n{faults}")))?;
    let StoreUrl::Redis(url) = url else {
        let reason =
            "WXMINT_REDIS_URL=memory: lies within another process and ends with it; this command needs a Redis";
        return Err(Failure::Usage(reason.into()));
    };
    // No session key is written here, so that their life does not matter.
    Ok(Redis::new(&url, Duration::ZERO, now, Metrics::default())?)
}

/// Before anything long is begun: whether Redis is there, and fit to keep bindings.
async fn check(redis: &Redis) -> Result<(), Failure> {
    match redis.fitness().await {
        Ok(Fitness::Fit) => {}
        Ok(Fitness::Unfit(reason)) => say(format_args!("warning: {reason}")),
        Err(error) => return Err(Failure::Unfinished(format!("WXMINT_REDIS_URL: {error}"))),
    }
    Ok(())
}

/// Takes a step again that Redis did not answer. Every step bears that.
async fn patiently<T>(step: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for pause in PAUSES {
        if let Ok(done) = step().await {
            return Ok(done);
        }
        tokio::time::sleep(pause).await;
    }
    step().await
}

/// Writes a line on standard output, which may be a pipe that nobody reads any more.
fn print(line: impl fmt::Display) -> Result<(), Failure> {
    writeln!(stdout(), "{line}").map_err(|error| Failure::Unfinished(format!("standard output: {error}")))
}

/// Says something on standard error.
#[expect(clippy::print_stderr, reason = "a command that prints to people")]
fn say(words: impl fmt::Display) {
    eprintln!("{words}");
}
