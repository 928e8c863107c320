//! The last good keys on disk, so that a peer that starts while the issuer is away verifies all the same.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::keys::PublishedKeys;

/// As much as a fetch takes.
const MAX_FILE: u64 = 64 * 1024;

/// The file of one issuer's keys, in a folder that several may share. Whoever can write it can have tokens believed, so
/// one that others may write is not read.
pub(super) struct Shelf(PathBuf);

impl Shelf {
    /// Named by a hash of issuer and URL, so that another issuer's keys are never taken for these.
    pub(super) fn of(folder: &Path, issuer: &str, url: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("{issuer}\n{url}").as_bytes());
        Self(folder.join(format!("jwks-{}.json", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]))))
    }

    /// The keys that were kept; none where nothing was. An error says what is wrong with the file.
    pub(super) fn read(&self) -> Result<Option<PublishedKeys>, String> {
        let told = |error: io::Error| format!("{}: {error}", self.0.display());
        let file = match OpenOptions::new().read(true).open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(told)?,
        };
        let mode = file.metadata().map_err(told)?.mode();
        if mode & 0o022 != 0 {
            return Err(format!("{}: others can write it (mode {:04o})", self.0.display(), mode & 0o777));
        }
        let mut content = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut content).map_err(told)?;
        let keys = PublishedKeys::read(&content).map_err(|error| format!("{}: {error}", self.0.display()))?;
        Ok(Some(keys).filter(|keys| !keys.keys.is_empty()))
    }

    /// Replaces what is kept, whole or not at all.
    pub(super) fn write(&self, content: &[u8]) -> io::Result<()> {
        let draft = self.0.with_extension(format!("{}.new", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &self.0));
        if written.is_err() {
            // Half a file would only be in the way.
            let _ = fs::remove_file(&draft);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]}"#;

    #[test]
    fn what_was_kept_is_found_again_by_its_own_issuer_and_url_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        assert_eq!(shelf.read(), Ok(None));
        shelf.write(JWKS.as_bytes()).expect("written");
        shelf.write(JWKS.as_bytes()).expect("written again");
        assert_eq!(shelf.read().expect("read").expect("keys").keys.len(), 1);
        for (issuer, url) in
            [("https://b.example", "https://a.example/jwks"), ("https://a.example", "https://b.example")]
        {
            assert_eq!(Shelf::of(folder.path(), issuer, url).read(), Ok(None));
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "no draft is left");
    }

    #[test]
    fn a_file_that_others_can_write_or_that_is_damaged_is_not_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        shelf.write(JWKS.as_bytes()).expect("written");
        fs::set_permissions(&shelf.0, fs::Permissions::from_mode(0o620)).expect("a mode");
        assert!(shelf.read().expect_err("others can write").contains("0620"));
        fs::set_permissions(&shelf.0, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert!(shelf.read().expect("read").is_some(), "public keys may be read by anybody");
        fs::write(&shelf.0, &JWKS[..100]).expect("half");
        assert!(shelf.read().is_err());
        fs::write(&shelf.0, "{\"keys\":[]}").expect("none");
        assert_eq!(shelf.read(), Ok(None));
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(&folder.path().join("gone"), "https://a.example", "https://a.example/jwks");
        assert!(shelf.write(b"{}").is_err());
        assert_eq!(shelf.read(), Ok(None));
    }
}
