//! The commands, and what each exit code means: 0 done, 64 wrong usage or settings, 1 could not start or finish, 141 nobody
//! reads the output any more.

mod at_redis;
mod bindings;
mod demo;
mod keys;
mod output;
mod progress;
mod serve;
mod sidecar;
mod table;
mod users;
mod vault;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::output::{announce, fail};
use crate::{
    settings::Faults,
    simulator::{self, SimulatorArgs},
};

/// Of the manual pages' sysexits: EX_USAGE.
const EXIT_USAGE: u8 = 64;

/// Turns a WeChat mini-program login into a signed JWT that every service can verify by itself.
#[derive(Parser)]
#[command(name = "wxmint", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything on this machine, with a page that plays the mini program; nothing to configure
    Demo(demo::DemoArgs),
    /// The issuer; settings come from the environment (see .env.example)
    Serve,
    /// Verifies tokens beside a service: asked by nginx, Traefik, Caddy or Envoy; settings come from the environment
    Sidecar,
    /// The signing keys, in a file or a Kubernetes Secret
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// The users file: who logs in with a password, where WXMINT_ACCOUNTS=file:PATH
    #[command(subcommand)]
    Users(users::UsersCommand),
    /// Who is bound to whom: export, import, conflicts
    #[command(subcommand)]
    Bindings(bindings::BindingsCommand),
    /// The vault keys, which seal session keys: what is under which, and a new one
    #[command(subcommand)]
    Vault(vault::VaultCommand),
    /// The WeChat stand-in alone, for a team's own tests
    Simulator(SimulatorArgs),
}

/// Why a command does nothing: the settings are at fault.
fn unusable(faults: &Faults) -> String {
    format!("the settings cannot be used\n\n{faults}")
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    output::end(match CommandLine::try_parse() {
        Ok(line) => run_command(line.command),
        Err(error) => explain(&error),
    })
}

/// Prints the help or the version that was asked for, or what is wrong with the command line.
fn explain(error: &clap::Error) -> ExitCode {
    match error.print() {
        _ if error.use_stderr() => ExitCode::from(EXIT_USAGE),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::unwritten(&error),
    }
}

fn run_command(command: Command) -> ExitCode {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve => serve::run(),
        Command::Sidecar => sidecar::run(),
        Command::Keys(command) => keys::run(command),
        Command::Users(command) => users::run(command),
        Command::Bindings(command) => bindings::run(command),
        Command::Vault(command) => vault::run(command),
        Command::Simulator(args) => match simulator::run_command(args, announce) {
            Ok(()) => ExitCode::SUCCESS,
            Err((code, reason)) => fail(code, reason),
        },
    }
}
