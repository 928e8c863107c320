//! The vault key file.

use std::{path::PathBuf, sync::Arc};

use aws_lc_rs::digest;
use chrono::{DateTime, Utc};

use super::Watched;
use crate::{
    http::now,
    secret_files::read_private,
    vault::{CurrentVault, KeyState, Vault},
};

pub(in crate::issuer) struct WatchedVault {
    vault: Arc<CurrentVault>,
    path: PathBuf,
    /// SHA-256 of the content in use. Nothing at first: the file may have changed since the process read it.
    in_use: Option<Vec<u8>>,
    /// When another of its keys begins to seal.
    changes_at: Option<DateTime<Utc>>,
}

impl WatchedVault {
    pub(in crate::issuer) fn new(vault: Arc<CurrentVault>, path: PathBuf) -> Self {
        Self { vault, path, in_use: None, changes_at: None }
    }

    fn reload_at(&mut self, now: DateTime<Utc>) -> Result<bool, String> {
        let content = read_private(&self.path).map_err(|error| error.to_string())?;
        let fingerprint = digest::digest(&digest::SHA256, &content).as_ref().to_vec();
        let due = self.changes_at.is_some_and(|at| at <= now);
        if self.in_use.as_ref() == Some(&fingerprint) && !due {
            return Ok(false);
        }
        let vault = Vault::parse(&content).map_err(|error| format!("{}: {error}", self.path.display()))?.at(now);
        self.changes_at = vault.changes_at();
        let first = self.in_use.replace(fingerprint).is_none();
        if !first {
            tell(&vault);
        }
        self.vault.swap(vault);
        Ok(!first)
    }
}

fn tell(vault: &Vault) {
    let sealing = vault.lines().find(|line| line.state == KeyState::Seals);
    tracing::info!(
        line = sealing.map(|line| line.number),
        next = vault.changes_at().map(tracing::field::display),
        "vault keys: another file, or another of its lines seals from now on"
    );
}

impl Watched for WatchedVault {
    const WHAT: &'static str = "vault";
    const REFUSED: &'static str = "the vault key file has changed and is not fit to be used; the keys of before stay";
    const MENDED: &'static str = "the vault key file holds again what is in use";

    fn reload(&mut self) -> Result<bool, String> {
        self.reload_at(now())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use chrono::TimeDelta;

    use super::*;
    use crate::secret_files::create_private;

    #[test]
    fn a_waiting_key_seals_when_its_time_comes_and_the_file_has_not_changed() {
        let folder = std::env::temp_dir().join(format!("wxmint-watched-vault-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("vault.key");
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let [new, old] = [2, 1].map(|byte| STANDARD.encode([byte; 32]));
        create_private(&path, format!("{new} {}\n{old}\n", at(100).to_rfc3339()).as_bytes()).expect("written");

        let current = Arc::new(CurrentVault::new(Vault::parse(old.as_bytes()).expect("a vault")));
        let mut watched = WatchedVault::new(Arc::clone(&current), path);
        let sealing = || current.keys().lines().find(|line| line.state == KeyState::Seals).map(|line| line.number);
        for (seconds, changed, line) in [(90, false, 2), (99, false, 2), (100, true, 1), (101, false, 1)] {
            assert_eq!(watched.reload_at(at(seconds)), Ok(changed), "at {seconds}");
            assert_eq!(sealing(), Some(line), "at {seconds}");
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
