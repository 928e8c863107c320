//! `wxmint bindings`

mod export;
mod file;
mod import;
mod record;

use std::path::PathBuf;

use clap::Subcommand;
use wxmint_http::run_to_end;

use self::import::ImportArgs;
use super::Failure;
use super::at_redis::{audited, check, noted, open, retry, walk_all};
use super::output::{Progress, print, say};

#[derive(Subcommand)]
pub(super) enum BindingsCommand {
    /// Write all bindings as NDJSON
    Export {
        /// A new file, which only its owner can read; default: standard output
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make the bindings that a file lists; a person who is bound to another user keeps that binding. May be run again
    Import(ImportArgs),
}

pub(super) fn run(command: BindingsCommand) -> Result<(), Failure> {
    match command {
        BindingsCommand::Export { out } => run_to_end(export::run(&open()?, out.as_deref())),
        BindingsCommand::Import(args) => {
            audited(async |operator| import::run(operator.store, &args).await)
        }
    }
}
