//! `wxmint bindings`

mod export;
mod file;
mod import;
mod record;

use std::path::PathBuf;

use clap::Subcommand;
use wxmint_http::run_to_end;
use wxmint_store::Redis;

use self::import::ImportArgs;
use super::Failure;
use super::at_redis::{audited, check, noted, open, patiently, walk_all};
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
    let is_import = matches!(command, BindingsCommand::Import(_));
    let act = async |redis: &Redis| {
        check(redis).await?;
        match command {
            BindingsCommand::Export { out } => export::run(redis, out.as_deref()).await,
            BindingsCommand::Import(args) => import::run(redis, &args).await,
        }
    };
    if is_import { audited(async |operator| act(operator.store).await) } else { run_to_end(act(&open()?)) }
}
