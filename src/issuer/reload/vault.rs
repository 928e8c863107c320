//! The vault key file.

use std::{path::PathBuf, sync::Arc};

use aws_lc_rs::digest;

use super::Watched;
use crate::{
    keys::read_private,
    store::{CurrentVault, Vault},
};

pub(in crate::issuer) struct WatchedVault {
    vault: Arc<CurrentVault>,
    path: PathBuf,
    /// SHA-256 of the content in use. Nothing at first: the file may have changed since the process read it.
    in_use: Option<Vec<u8>>,
}

impl WatchedVault {
    pub(in crate::issuer) fn new(vault: Arc<CurrentVault>, path: PathBuf) -> Self {
        Self { vault, path, in_use: None }
    }
}

impl Watched for WatchedVault {
    const WHAT: &'static str = "vault";
    const REFUSED: &'static str = "the vault key file has changed and is not fit to be used; the keys of before stay";
    const MENDED: &'static str = "the vault key file holds again what is in use";

    fn reload(&mut self) -> Result<bool, String> {
        let content = read_private(&self.path).map_err(|error| error.to_string())?;
        let fingerprint = digest::digest(&digest::SHA256, &content).as_ref().to_vec();
        if self.in_use.as_ref() == Some(&fingerprint) {
            return Ok(false);
        }
        let vault = Vault::parse(&content).map_err(|error| format!("{}: {error}", self.path.display()))?;
        self.vault.swap(vault);
        let first = self.in_use.replace(fingerprint).is_none();
        if !first {
            tracing::info!("the vault keys were read again: the first seals from now on");
        }
        Ok(!first)
    }
}
