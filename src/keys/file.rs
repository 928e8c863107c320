//! The files that hold secrets: written for their owner alone, and refused when others can read them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Why a file of secrets cannot be used. Says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody other than its owner can read it.
    #[error("{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}", path = .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
}

/// Reads a file of secrets. Its mode must give nothing to group and others, unless it is a mounted Secret: there
/// Kubernetes sets owner, group and mode, and who may look is decided by the pod.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let content = Zeroizing::new(fs::read(path).map_err(failed)?);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 && !is_mounted_secret(path) {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    Ok(content)
}

/// A Secret's volume is a folder in which every file is a link through `..data`, which the kubelet swaps.
fn is_mounted_secret(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.join("..data").is_symlink())
}

/// Writes a new file of secrets with mode 0600, and reaches the disk before it returns. Never overwrites: what a
/// secret in the way protects cannot be made again.
pub fn create_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)
}
