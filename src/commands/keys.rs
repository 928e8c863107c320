//! `wxmint keys`

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};

use super::{EXIT_USAGE, fail};
use crate::{
    http::now,
    keys::{Algorithm, KeySet, PrivateJwk, PublicKeySet, StoredKeys, create_private, read_private},
};

/// The commands on the key file.
#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a new key file with one key, which signs from now on
    Generate {
        #[command(flatten)]
        file: KeyFile,
        /// ES256 is understood by every verifier we know; EdDSA is cheaper and not known to all; RS256 is slow
        #[arg(long, value_name = "ES256|EdDSA|RS256", default_value = "ES256")]
        alg: Algorithm,
    },
    /// Print the public keys as they are published (JWKS)
    Jwks {
        #[command(flatten)]
        file: KeyFile,
    },
}

/// Where the keys are.
#[derive(Args)]
pub(super) struct KeyFile {
    /// The private JWK Set; else the path in WXMINT_KEYS
    #[arg(long, value_name = "PATH")]
    keys: Option<PathBuf>,
}

impl KeyFile {
    fn path(self) -> Result<PathBuf, String> {
        let named = self.keys.or_else(|| env::var_os("WXMINT_KEYS").filter(|path| !path.is_empty()).map(PathBuf::from));
        named.ok_or_else(|| "which key file? Add --keys keys.json, or set WXMINT_KEYS=keys.json".into())
    }
}

pub(super) fn run(command: KeysCommand) -> ExitCode {
    let outcome = match command {
        KeysCommand::Generate { file, alg } => file.path().and_then(|path| generate(&path, alg)),
        KeysCommand::Jwks { file } => file.path().and_then(|path| jwks(&path)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => fail(EXIT_USAGE, reason),
    }
}

#[expect(clippy::print_stdout, reason = "a command that prints to people")]
fn generate(path: &Path, algorithm: Algorithm) -> Result<(), String> {
    let key = PrivateJwk::generate(algorithm, now()).map_err(|error| error.to_string())?;
    let content = StoredKeys::of(key).content();
    let kid = only_kid(&content).map_err(|error| error.to_string())?;
    create_private(path, &content).map_err(|error| error.to_string())?;
    println!("{path}: {algorithm} key {kid}, signs from now on", path = path.display());
    Ok(())
}

/// Reads the set back before it is written: what could not be used is never left behind.
fn only_kid(content: &[u8]) -> Result<String, crate::keys::KeyError> {
    let keys = KeySet::parse(content)?;
    keys.self_test()?;
    Ok(keys.signing(now())?.public().kid().to_owned())
}

#[expect(clippy::print_stdout, reason = "a command that prints to people")]
fn jwks(path: &Path) -> Result<(), String> {
    let content = read_private(path).map_err(|error| error.to_string())?;
    let keys = KeySet::parse(&content).map_err(|error| format!("{path}: {error}", path = path.display()))?;
    let public: PublicKeySet<'_> = keys.visible(now()).collect();
    println!("{}", serde_json::to_string(&public).map_err(|error| error.to_string())?);
    Ok(())
}
