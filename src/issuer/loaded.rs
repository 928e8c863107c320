//! Reads a file that a setting names, for the first time.

use std::path::Path;

use wxmint_findings::{Finding, Said};

use super::start_error::IssuerStartError;
use crate::secret_files::{FileError, WatchedFile};

/// The file that a variable names, and what it contains. `unusable` says what is wrong with the content.
pub(crate) fn load<T, E>(
    variable: &str,
    path: &Path,
    make: Option<&str>,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
    unusable: impl FnOnce(E) -> Finding,
) -> Result<(WatchedFile, T), IssuerStartError> {
    let unreadable = |error: FileError| {
        let cure = error.cure(make).unwrap_or_else(|| said!(correct_path));
        IssuerStartError::of_setting(Finding::fault("files", said!("{}: {}", variable, Said::from(&error)), cure))
    };
    let (file, content) = WatchedFile::open(path).map_err(unreadable)?;
    Ok((file, parse(&content).map_err(|error| IssuerStartError::of_setting(unusable(error)))?))
}
