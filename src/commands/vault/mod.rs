//! `wxmint vault`: the vault keys, a line each of a file.

mod list;
mod rotate;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{
    at_redis::{Failure, check, end, open, walk_all},
    keys::duration,
    output::{print, say},
    serve::variables,
    unusable,
};
use crate::{
    http::{now, run_to_end},
    secret_files::{FileError, MAKE_VAULT_KEY, read_private},
    settings::{read_one, variables::VAULT_KEY_FILE},
    vault::{Vault, VaultError},
};

/// The commands on the vault keys.
#[derive(Subcommand)]
pub(super) enum VaultCommand {
    /// Show each line of the file: what its key does, how much is sealed under it in WXMINT_REDIS_URL, and from when on
    /// the line may be taken out
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a new key on top of the file, which opens at once and seals when every replica has read it
    Rotate {
        #[command(flatten)]
        place: PlaceArgs,
        /// How long the file may take to reach every replica; the key seals from then on
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
        lead: Duration,
    },
}

/// Where the vault keys are.
#[derive(Args)]
pub(super) struct PlaceArgs {
    #[arg(long, value_name = "PATH", help = format!("The vault key file; {}", VAULT_KEY_FILE.fallback()))]
    vault_key_file: Option<PathBuf>,
}

impl PlaceArgs {
    fn path(self) -> Result<PathBuf, Failure> {
        match self.vault_key_file {
            Some(path) => Ok(path),
            None => read_one(&VAULT_KEY_FILE, variables()).map_err(|faults| Failure::Usage(unusable(&faults))),
        }
    }
}

pub(super) fn run(command: VaultCommand) -> ExitCode {
    end(match command {
        VaultCommand::List { place, json } => place.path().and_then(|path| run_to_end(list::run(&path, json))),
        VaultCommand::Rotate { place, lead } => place.path().and_then(|path| rotate::run(&path, lead)),
    })
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Usage(error.or_make(MAKE_VAULT_KEY))
    }
}

/// The file, and the keys in it as they are used now.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Vault), Failure> {
    let content = read_private(path)?;
    let vault = Vault::parse(&content).map_err(|error| unfit(path, error))?.at(now());
    Ok((content, vault))
}

fn unfit(path: &Path, error: VaultError) -> Failure {
    Failure::Usage(format!("{path}: {error}", path = path.display()))
}

fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
