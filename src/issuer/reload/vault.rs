//! Reads the vault key file again: when it changes, and when the time comes from which one of its keys seals.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::Watched;
use crate::{
    http::now,
    secret_files::WatchedFile,
    vault::{CurrentVault, KeyState, Vault},
};

pub(super) struct WatchedVault {
    vault: Arc<CurrentVault>,
    file: WatchedFile,
}

impl WatchedVault {
    pub(super) fn new(vault: Arc<CurrentVault>, file: WatchedFile) -> Self {
        Self { vault, file }
    }

    fn reload_at(&mut self, now: DateTime<Utc>) -> Result<bool, String> {
        let content = self.file.read().map_err(|error| error.to_string())?;
        let is_due = self.vault.keys().changes_at().is_some_and(|at| at <= now);
        if self.file.is_in_use(&content) && !is_due {
            return Ok(false);
        }
        let parsed = Vault::parse(&content).map_err(|error| format!("{}: {error}", self.file.path().display()))?;
        let vault = parsed.at(now);
        self.file.put_in_use(&content);
        let sealing = vault.lines().find(|line| line.state == KeyState::Seals);
        tracing::info!(
            line = sealing.map(|line| line.number),
            next = vault.changes_at().map(tracing::field::display),
            "the vault keys were read again"
        );
        self.vault.swap(vault);
        Ok(true)
    }
}

impl Watched for WatchedVault {
    const WHAT: &'static str = "vault";
    const REFUSED: &'static str = "the changed vault key file cannot be used; keeping the previous keys";
    const MENDED: &'static str = "the vault key file can be used again";

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

        let (file, content) = WatchedFile::open(&path).expect("our file");
        let current = Arc::new(CurrentVault::new(Vault::parse(&content).expect("a vault").at(at(80))));
        let mut watched = WatchedVault::new(Arc::clone(&current), file);
        let sealing = || current.keys().lines().find(|line| line.state == KeyState::Seals).map(|line| line.number);
        for (seconds, changed, line) in [(90, false, 2), (99, false, 2), (100, true, 1), (101, false, 1)] {
            assert_eq!(watched.reload_at(at(seconds)), Ok(changed), "at {seconds}");
            assert_eq!(sealing(), Some(line), "at {seconds}");
        }
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
