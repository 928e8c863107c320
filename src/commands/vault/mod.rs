//! `wxmint vault`

mod list;
mod rotate;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{
    Failure,
    at_redis::{check, open, walk_all},
    duration,
    output::{date, print, say},
    serve::variables,
};
use crate::{
    http::{now, run_to_end},
    secret_files::{FileError, MAKE_VAULT_KEY, read_private},
    settings::{read_one, variables::VAULT_KEY_FILE},
    vault::{Vault, VaultError},
};

#[derive(Subcommand)]
pub(super) enum VaultCommand {
    /// List the lines of the file: the state of each key, how much it has encrypted in WXMINT_REDIS_URL, and when the
    /// line may be removed
    List {
        #[command(flatten)]
        place: PlaceArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a new key as the first line of the file; it decrypts at once, and encrypts once every replica has read it
    Rotate {
        #[command(flatten)]
        place: PlaceArgs,
        /// How long the file may take to reach every replica; after that the key encrypts
        #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
        lead: Duration,
    },
}

#[derive(Args)]
pub(super) struct PlaceArgs {
    #[arg(long, value_name = "PATH", help = format!("The vault key file; {}", VAULT_KEY_FILE.fallback()))]
    vault_key_file: Option<PathBuf>,
}

impl PlaceArgs {
    fn path(self) -> Result<PathBuf, Failure> {
        match self.vault_key_file {
            Some(path) => Ok(path),
            None => read_one(&VAULT_KEY_FILE, variables()).map_err(Failure::from),
        }
    }
}

pub(super) fn run(command: VaultCommand) -> Result<(), Failure> {
    match command {
        VaultCommand::List { place, json } => place.path().and_then(|path| run_to_end(list::run(&path, json))),
        VaultCommand::Rotate { place, lead } => place.path().and_then(|path| rotate::run(&path, lead)),
    }
}

fn unusable(error: FileError) -> Failure {
    Failure::of_file(error, MAKE_VAULT_KEY)
}

/// The content of the file, and the keys in their present states.
fn read(path: &Path) -> Result<(Zeroizing<Vec<u8>>, Vault), Failure> {
    let content = read_private(path).map_err(unusable)?;
    let vault = Vault::parse(&content).map_err(|error| unfit(path, error))?.at(now());
    Ok((content, vault))
}

fn unfit(path: &Path, error: VaultError) -> Failure {
    Failure::Usage(format!("{path}: {error}", path = path.display()))
}
