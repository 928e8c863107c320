//! The command line. Every command fails with a `Failure`. `EXIT_CODES` lists the exit codes for
//! `wxmint --help`.

#![expect(
    clippy::doc_markdown,
    reason = "the comments are the help that the terminal shows"
)]

pub(crate) mod at_redis;
mod bindings;
mod clients;
#[cfg(feature = "simulator")]
mod conform;
#[cfg(feature = "simulator")]
mod demo;
pub(crate) mod doctor;
pub(crate) mod failure;
mod init;
mod keys;
pub mod output;
mod ready;
mod remarks;
pub(crate) mod serve;
#[cfg(feature = "simulator")]
pub(crate) mod simulator;
mod users;
mod vault;

use std::{env, process::ExitCode, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::TimeDelta;
use clap::{ArgMatches, FromArgMatches, Subcommand};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use wxmint_keys::random;
use zeroize::Zeroizing;

use self::{failure::Failure, output::Language};
use crate::findings::Message;
use crate::issuer::door::Doors;
use crate::settings::{Role, Variable, env_file, parse_duration};

const EXIT_UNFINISHED: u8 = 1;
/// The exit code of `wxmint doctor` if there are faults. If there are only warnings, it is 1.
const EXIT_FAULTS: u8 = 2;
/// `EX_USAGE` of sysexits(3).
const EXIT_USAGE: u8 = 64;
/// The exit code if the reader of the output has closed it: 128 plus the number of SIGPIPE, as a
/// shell reports for `cat` in `cat FILE | head -1`. Not 0, because the output is not complete:
/// under `set -o pipefail`, `bindings export | gzip` must fail if gzip does.
const EXIT_CLOSED: u8 = 141;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    could not start or finish: a full disk, an address in use, no answer from Redis; of `doctor`: warnings
  2    `doctor` has found faults
  64   the command line, a setting or a file cannot be used; nothing was changed
  141  the reader of the output has gone away";

const ABOUT: &str =
    "Turns a WeChat mini-program login into a signed JWT that every service can verify by itself";

// The help names the commands of the doors before those with a `display_order`.
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
    /// The users file, if WXMINT_ACCOUNTS=file:PATH; and for every account backend: revoke, block,
    /// show or erase a user
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// The WeChat identities of users: export, import
    #[command(subcommand)]
    Bindings(bindings::BindingsCommand),
    /// The pages, televisions and command lines that may ask for a scan (WXMINT_CLIENTS_FILE)
    #[command(subcommand)]
    Clients(clients::ClientsCommand),
    /// The vault keys, which encrypt session keys: make a new one
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// A stand-in for WeChat's server, for your own tests
    #[cfg(feature = "simulator")]
    Simulator(Box<simulator::SimulatorCommand>),
    /// Plays an issuer, with faults, and checks any verifier against the specification of the revocation feed
    #[cfg(feature = "simulator")]
    Conform(Box<conform::ConformArgs>),
    /// Print what completes wxmint's commands and options in a shell
    #[command(display_order = 100)]
    Completions { shell: Shell },
    /// Print a page for man(1): that of wxmint, or of one of its commands
    #[command(display_order = 101)]
    Man {
        /// The command, for example: keys rotate
        command: Vec<String>,
    },
}

fn command_line(doors: Doors) -> clap::Command {
    let wxmint = clap::Command::new("wxmint")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(EXIT_CODES);
    let wxmint = Command::augment_subcommands(
        wxmint
            .subcommand_required(true)
            .arg_required_else_help(true),
    );
    let mut of_doors: Vec<_> = doors
        .iter()
        .filter_map(|row| Some((row.command?.described)()))
        .collect();
    of_doors.sort_by(|one, other| one.get_name().cmp(other.get_name()));
    wxmint.subcommands(of_doors)
}

/// Runs the command of the arguments, in a program that has these doors.
pub fn run(doors: Doors) -> ExitCode {
    let matches = match command_line(doors).try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return exit(explain(&error)),
    };
    let mut commands = doors.iter().filter_map(|row| row.command);
    let named = commands.find_map(|door| {
        let described = (door.described)();
        Some((door.run, matches.subcommand_matches(described.get_name())?))
    });
    match named {
        Some((run, matches)) => run(matches),
        None => exit(read(&matches).and_then(|command| run_command(command, doors))),
    }
}

/// Reads the arguments of a door's command.
pub(crate) fn read<C: FromArgMatches>(matches: &ArgMatches) -> Result<C, Failure> {
    C::from_arg_matches(matches).map_err(Failure::usage)
}

/// Writes the rest of the output, and returns the exit code of the program.
pub(crate) fn exit(done: Result<(), Failure>) -> ExitCode {
    match done.and_then(|()| output::complete()) {
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

fn run_command(command: Command, doors: Doors) -> Result<(), Failure> {
    match command {
        #[cfg(feature = "simulator")]
        Command::Demo(args) => demo::run(&args, doors),
        Command::Serve(args) => serve::run(&args, doors),
        Command::Doctor(args) => doctor::run(&args, doors),
        Command::Ready(args) => ready::run(&args),
        Command::Init(args) => init::run(args),
        Command::Sidecar => serve::run_sidecar(),
        Command::Keys(command) => with_env_file(|| keys::run(command)),
        Command::Users(command) => with_env_file(|| users::run(command)),
        Command::Bindings(command) => with_env_file(|| bindings::run(command)),
        Command::Clients(command) => with_env_file(|| clients::run(command)),
        Command::Vault(command) => with_env_file(|| vault::run(command)),
        #[cfg(feature = "simulator")]
        Command::Conform(args) => conform::run(*args),
        #[cfg(feature = "simulator")]
        Command::Simulator(command) => simulator::run(*command),
        Command::Completions { shell } => {
            print_completions(shell, command_line(doors));
            Ok(())
        }
        Command::Man { command } => print_page(&command, command_line(doors)),
    }
}

fn print_completions(shell: Shell, mut wxmint: clap::Command) {
    let mut script = Vec::new();
    generate(shell, &mut wxmint, "wxmint", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end());
}

/// Prints what the help says of a command, as a page for man(1).
fn print_page(words: &[String], wxmint: clap::Command) -> Result<(), Failure> {
    let mut command = wxmint.disable_help_subcommand(true);
    command.build();
    for word in words {
        let known = command.find_subcommand(word).cloned();
        command = known.ok_or_else(|| {
            Failure::usage(format_args!("{} has no command {word}", command.get_name()))
        })?;
    }
    let mut page = Vec::new();
    Man::new(command)
        .source(concat!("wxmint ", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    output::print(String::from_utf8_lossy(&page).trim_end());
    Ok(())
}

/// The environment variables, including those that `.env` has added. Leaves out variables that are
/// not UTF-8, because none of ours is.
pub(crate) fn variables() -> impl Iterator<Item = (String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn load_env_file() -> Result<(), Failure> {
    env_file::load().map_err(|faults| Failure::usage(Message::lines(faults)))
}

/// Loads `.env` and runs a command that writes no log. Warns at once about what is unusual about
/// `.env`.
pub(crate) fn with_env_file<T>(run: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    load_env_file()?;
    if let Some(note) = env_file::NOTE.get() {
        let note = Language::of_locale().tell(note);
        output::say(format_args!("wxmint: warning: {note}"));
    }
    run()
}

/// Parses the value of an option like the setting for which it stands.
fn span(text: &str, variable: &Variable<Duration>) -> Result<TimeDelta, String> {
    let span = variable
        .parse(text)
        .and_then(|span| TimeDelta::from_std(span).ok());
    span.ok_or_else(|| format!("must be {}", variable.form(Role::Issuer)))
}

fn duration(text: &str) -> Result<TimeDelta, &'static str> {
    let span = parse_duration(text).and_then(|span| TimeDelta::from_std(span).ok());
    span.ok_or("must be a number and a unit, such as 90s, 30m, 24h or 30d")
}

/// A new key of 32 bytes, as the one line of its file.
fn key_line() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("{}\n", STANDARD.encode(*random::<32>())).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_an_option_has_the_bounds_of_its_variable() {
        for (words, bounds) in [
            ("vault rotate --lead 49000d", "from 1s to 7d"),
            ("keys rotate --lead 8d", "from 1s to 7d"),
            ("keys rotate --token-ttl 400d", "from 1m to 30d"),
        ] {
            let given = ["wxmint"].into_iter().chain(words.split(' '));
            let refused = command_line(&[])
                .try_get_matches_from(given)
                .expect_err(words)
                .to_string();
            assert!(refused.contains(bounds), "{refused}");
        }
    }

    #[test]
    fn the_help_names_every_exit_code() {
        let help = command_line(&[]).render_help().to_string();
        for code in [0, EXIT_UNFINISHED, EXIT_FAULTS, EXIT_USAGE, EXIT_CLOSED] {
            assert!(help.contains(&format!("\n  {code} ")), "{code}: {help}");
        }
    }
}
