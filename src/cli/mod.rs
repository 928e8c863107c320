//! The command line. Every command fails with a `Failure`; the exit codes are these, and `wxmint --help` shows them.

mod at_redis;
mod bindings;
mod clients;
#[cfg(feature = "simulator")]
mod demo;
mod doctor;
mod environment;
mod failure;
mod init;
mod keys;
mod language;
mod manual;
mod output;
mod platform;
mod ready;
mod remarks;
mod serve;
#[cfg(feature = "simulator")]
pub(crate) mod simulator;
mod users;
mod vault;

use std::{process::ExitCode, time::Duration};

use aws_lc_rs::rand;
use clap::{CommandFactory, Parser, Subcommand};
use zeroize::Zeroizing;

use self::failure::Failure;
use crate::{
    findings::Said,
    settings::{env_file, parse_duration},
};

const EXIT_UNFINISHED: u8 = 1;
/// `wxmint doctor` exits with it. It exits with 1 if there are warnings alone.
const EXIT_FAULTS: u8 = 2;
/// EX_USAGE of sysexits(3).
const EXIT_USAGE: u8 = 64;
/// 128 and the number of SIGPIPE: what a shell shows of `cat` in `cat FILE | head -1`. Not 0, because the output is not
/// complete: under `set -o pipefail`, `bindings export | gzip` must fail if gzip does.
const EXIT_CLOSED: u8 = 141;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    could not start or finish: a full disk, an address in use, no answer from Redis; of `doctor`: warnings
  2    `doctor` has found faults
  64   the command line, a setting or a file cannot be used; nothing was changed
  141  the reader of the output has gone away";

/// Turns a WeChat mini-program login into a signed JWT that every service can verify by itself.
#[derive(Parser)]
#[command(name = "wxmint", version, after_help = EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try everything on this machine, with a page that plays the mini program; nothing to configure
    #[cfg(feature = "simulator")]
    Demo(demo::DemoArgs),
    /// Make signing keys, a vault key and a .env with the settings, for `wxmint serve`; overwrites nothing
    Init(init::InitArgs),
    /// The issuer; settings come from the environment and from .env
    Serve(serve::ServeArgs),
    /// Checks a live configuration, and says what to mend; reads the same settings as `serve`
    Doctor(doctor::DoctorArgs),
    /// Asks a running `serve` or `sidecar` whether it is ready, for health checks; exits with 1 if it is not
    Ready(ready::ReadyArgs),
    /// Verifies tokens for nginx, Traefik, Caddy or Envoy; settings come from the environment and from .env
    Sidecar,
    /// The signing keys, in a file or a Kubernetes Secret
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// The users file, if WXMINT_ACCOUNTS=file:PATH; and for every account backend: end, block, show or forget a user
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// The WeChat identities of users: export, import, conflicts
    #[command(subcommand)]
    Bindings(bindings::BindingsCommand),
    /// The pages, televisions and command lines that may ask for a scan (WXMINT_CLIENTS_FILE)
    #[command(subcommand)]
    Clients(clients::ClientsCommand),
    /// The merchants of a third-party platform (WXMINT_PLATFORM_FILE)
    #[command(subcommand)]
    Platform(platform::PlatformCommand),
    /// The vault keys, which encrypt session keys: make a new one
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// A stand-in for WeChat's server, for your own tests
    #[cfg(feature = "simulator")]
    Simulator(wxmint_simulator::SimulatorArgs),
    /// Print what completes wxmint's commands and options in a shell
    Completions { shell: clap_complete::Shell },
    /// Print a page for man(1): that of wxmint, or of one of its commands
    Man {
        /// The command, for example: keys rotate
        command: Vec<String>,
    },
}

pub fn run() -> ExitCode {
    let done = match CommandLine::try_parse() {
        Ok(line) => run_command(line.command).and_then(|()| output::complete()),
        Err(error) => explain(&error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(),
    }
}

/// Prints the requested help or version, or what is wrong with the command line.
fn explain(error: &clap::Error) -> Result<(), Failure> {
    match error.print() {
        _ if error.use_stderr() => Err(Failure::said(EXIT_USAGE)),
        printed => printed.map_err(|error| Failure::of_output(&error)),
    }
}

fn run_command(command: Command) -> Result<(), Failure> {
    match command {
        #[cfg(feature = "simulator")]
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Init(args) => init::run(args),
        Command::Sidecar => serve::run_sidecar(),
        Command::Keys(command) => with_env_file(|| keys::run(command)),
        Command::Users(command) => with_env_file(|| users::run(command)),
        Command::Bindings(command) => with_env_file(|| bindings::run(command)),
        Command::Clients(command) => with_env_file(|| clients::run(command)),
        Command::Platform(command) => with_env_file(|| platform::run(&command)),
        Command::Vault(command) => with_env_file(|| vault::run(command)),
        Command::Completions { shell } => manual::print_completions(shell, CommandLine::command()),
        Command::Man { command } => manual::print_page(&command, CommandLine::command()),
        #[cfg(feature = "simulator")]
        Command::Simulator(args) => simulator::run(args),
    }
}

fn load_env_file() -> Result<(), Failure> {
    env_file::load().map_err(|faults| Failure::usage(Said::lines(faults)))
}

/// For a command without a log of its own: what is unusual about `.env` is said at once.
fn with_env_file(run: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    load_env_file()?;
    env_file::note().into_iter().for_each(|note| output::say(format_args!("wxmint: warning: {note}")));
    run()
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Failure> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(&mut *bytes).map_err(|_| Failure::unfinished("the system gave no random bits"))?;
    Ok(bytes)
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("must be a number and a unit, such as 90s, 30m, 24h or 30d")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_exit_code() {
        let help = CommandLine::command().render_help().to_string();
        for code in [0, EXIT_UNFINISHED, EXIT_FAULTS, EXIT_USAGE, EXIT_CLOSED] {
            assert!(help.contains(&format!("\n  {code} ")), "{code}: {help}");
        }
    }
}
