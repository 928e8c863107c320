//! `wxmint vault`

mod rotate;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{
    Failure, duration,
    output::{date, print, say},
    serve::variables,
};
use crate::settings::{read_one, variables::VAULT_KEY_FILE};

#[derive(Subcommand)]
pub(super) enum VaultCommand {
    /// Add a new key as the first line of the file; it decrypts at once, and encrypts once every replica has read it
    Rotate(RotateArgs),
}

#[derive(Args)]
pub(super) struct RotateArgs {
    #[arg(long, value_name = "PATH", help = format!("The vault key file; {}", VAULT_KEY_FILE.fallback()))]
    vault_key_file: Option<PathBuf>,
    /// How long the file may take to reach every replica; after that the key encrypts
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    lead: Duration,
}

pub(super) fn run(command: VaultCommand) -> Result<(), Failure> {
    let VaultCommand::Rotate(RotateArgs { vault_key_file, lead }) = command;
    let path = vault_key_file.map_or_else(|| read_one(&VAULT_KEY_FILE, variables()), Ok)?;
    rotate::run(&path, lead)
}
