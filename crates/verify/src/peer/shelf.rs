//! Keeps the last good keys on disk, so that a peer that starts while its issuer cannot be reached
//! still verifies tokens.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use rustix::process::Uid;

use crate::PublishedKeys;

/// The most bytes that are read from the file; the same limit as for a fetch.
const MAX_FILE: u64 = 64 * 1024;

/// The file with one issuer's keys, in a folder that several peers may share. A file that others
/// may write is not read, because whoever can write it can make the peer accept forged tokens.
pub(super) struct Shelf(PathBuf);

/// The stored keys, and when the issuer last confirmed them: the modification time of the file.
#[derive(Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) keys: PublishedKeys,
    pub(super) confirmed: DateTime<Utc>,
}

impl Shelf {
    /// The file is named by a hash of issuer and URL, so that the keys of another issuer are never
    /// used.
    pub(super) fn of(folder: &Path, issuer: &str, url: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, format!("{issuer}\n{url}").as_bytes());
        Self(folder.join(format!(
            "jwks-{}.json",
            URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
        )))
    }

    /// The stored keys; `None` if there is no file. The error says what is wrong with the file.
    pub(super) fn read(&self) -> Result<Option<Kept>, String> {
        let told = |error: io::Error| format!("{}: {error}", self.0.display());
        let is = match fs::symlink_metadata(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            is => is.map_err(told)?,
        };
        // Checked before opening the file, because opening a pipe waits for a writer.
        distrust(&is, owners()).map_err(|reason| format!("{}: {reason}", self.0.display()))?;
        let file = File::open(&self.0).map_err(told)?;
        let opened = file.metadata().map_err(told)?;
        if (opened.dev(), opened.ino()) != (is.dev(), is.ino()) {
            return Err(format!(
                "{}: another file was put in its place",
                self.0.display()
            ));
        }
        let confirmed = opened.modified().map_err(told)?.into();
        let mut content = Vec::new();
        file.take(MAX_FILE)
            .read_to_end(&mut content)
            .map_err(told)?;
        let keys = PublishedKeys::read(&content)
            .map_err(|error| format!("{}: {error}", self.0.display()))?;
        Ok((!keys.keys.is_empty()).then_some(Kept { keys, confirmed }))
    }

    /// Replaces the stored keys atomically.
    pub(super) fn write(&self, content: &[u8]) -> io::Result<()> {
        let draft = self.0.with_extension(format!("{}.new", unforeseen()?));
        let written = OpenOptions::new()
            .write(true)
            // Refuses to write through a symbolic link that somebody has put there.
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&draft, &self.0));
        if written.is_err() {
            // Half a file must not be left behind.
            let _ = fs::remove_file(&draft);
        }
        written
    }
}

/// Why the content of a file cannot be trusted: another user owns it or may write it. A symbolic
/// link is not trusted either, because the peer writes only regular files.
fn distrust(is: &Metadata, owners: [u32; 2]) -> Result<(), String> {
    let mode = is.mode();
    match () {
        () if !is.is_file() => Err("it is not a regular file".into()),
        () if mode & 0o022 != 0 => Err(format!("others can write it (mode {:04o})", mode & 0o777)),
        () if !owners.contains(&is.uid()) => {
            Err(format!("it belongs to another user ({})", is.uid()))
        }
        () => Ok(()),
    }
}

/// The owners whose files are trusted: this process's user, and root, because no check protects
/// from root.
fn owners() -> [u32; 2] {
    [rustix::process::geteuid(), Uid::ROOT].map(Uid::as_raw)
}

/// A random name for a temporary file, because several sidecars may share the folder. Their process
/// ids may be equal: in a container each may be process 1.
fn unforeseen() -> io::Result<String> {
    let mut bits = [0; 9];
    rand::fill(&mut bits).map_err(io::Error::other)?;
    Ok(URL_SAFE_NO_PAD.encode(bits))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]}"#;

    #[test]
    fn stored_keys_are_found_again_only_for_their_own_issuer_and_url() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        assert_eq!(shelf.read(), Ok(None));
        shelf.write(JWKS.as_bytes()).expect("written");
        shelf.write(JWKS.as_bytes()).expect("written again");
        assert_eq!(
            shelf.read().expect("read").expect("keys").keys.keys.len(),
            1
        );
        for (issuer, url) in [
            ("https://b.example", "https://a.example/jwks"),
            ("https://a.example", "https://b.example"),
        ] {
            assert_eq!(Shelf::of(folder.path(), issuer, url).read(), Ok(None));
        }
        assert_eq!(
            fs::read_dir(folder.path()).expect("a folder").count(),
            1,
            "no draft is left"
        );
    }

    #[test]
    fn a_file_that_others_can_write_or_that_is_damaged_is_not_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        shelf.write(JWKS.as_bytes()).expect("written");
        fs::set_permissions(&shelf.0, fs::Permissions::from_mode(0o620)).expect("a mode");
        assert!(shelf.read().expect_err("others can write").contains("0620"));
        fs::set_permissions(&shelf.0, fs::Permissions::from_mode(0o644)).expect("a mode");
        assert!(
            shelf.read().expect("read").is_some(),
            "public keys may be read by anybody"
        );
        fs::write(&shelf.0, &JWKS[..100]).expect("half");
        assert!(shelf.read().is_err());
        fs::write(&shelf.0, "{\"keys\":[]}").expect("none");
        assert_eq!(shelf.read(), Ok(None));
    }

    #[test]
    fn another_users_file_a_link_and_a_pipe_are_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(owners(), [own, 0]);
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, JWKS).expect("written");
        let is = fs::metadata(&elsewhere).expect("a file");
        assert!(distrust(&is, owners()).is_ok() && distrust(&is, [own + 1; 2]).is_err());
        symlink(&elsewhere, &shelf.0).expect("a link");
        assert!(
            shelf
                .read()
                .expect_err("a link")
                .contains("not a regular file")
        );
        fs::remove_file(&shelf.0).expect("a link");
        // A socket stands for a pipe or a device.
        let _socket = UnixListener::bind(&shelf.0).expect("a socket");
        assert!(
            shelf
                .read()
                .expect_err("a socket")
                .contains("not a regular file")
        );
    }

    #[test]
    fn a_link_in_place_of_the_file_is_replaced_and_its_target_is_untouched() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(folder.path(), "https://a.example", "https://a.example/jwks");
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").expect("written");
        symlink(&precious, &shelf.0).expect("a link");
        shelf.write(JWKS.as_bytes()).expect("written");
        assert_eq!(fs::read_to_string(&precious).expect("there"), "precious");
        assert_eq!(
            shelf.read().expect("read").expect("keys").keys.keys.len(),
            1
        );
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::of(
            &folder.path().join("gone"),
            "https://a.example",
            "https://a.example/jwks",
        );
        assert!(shelf.write(b"{}").is_err());
        assert_eq!(shelf.read(), Ok(None));
    }
}
