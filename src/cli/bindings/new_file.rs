//! The file of an export. It has another name until it is complete, so that nobody takes half an export for a backup.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::Failure;

pub(super) struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
}

impl NewFile {
    /// Creates the file under the other name, and overwrites what a killed export has left there.
    pub(super) fn begin(path: PathBuf) -> Result<Self, Failure> {
        refuse_existing(&path)?;
        let part = path.with_added_extension("part");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&part);
        let file = file.map_err(|error| unwritable(&part, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let reason = format!("{} is being written by another export", path.display());
                return Err(Failure::Usage(reason));
            }
            Err(TryLockError::Error(error)) => return Err(unwritable(&part, &error)),
        }
        // Again, because another export may have finished before this one got the lock.
        refuse_existing(&path)?;
        file.set_len(0).map_err(|error| unwritable(&part, &error))?;
        Ok(Self { path, part, file: BufWriter::new(file) })
    }

    pub(super) fn write_line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.file, "{line}").map_err(|error| unwritable(&self.path, &error))
    }

    /// Writes the file to the disk, then gives it its name.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| unwritable(&self.path, &error))?;
        refuse_existing(&self.path)?;
        fs::rename(&self.part, &self.path).map_err(|error| unwritable(&self.path, &error))
    }
}

/// Removes what a failed export has written. After the renaming there is nothing to remove.
impl Drop for NewFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

fn refuse_existing(path: &Path) -> Result<(), Failure> {
    match path.exists() {
        true => Err(Failure::Usage(format!("{} exists already and is not overwritten", path.display()))),
        false => Ok(()),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::Unfinished(format!("{}: {error}", path.display()))
}
