//! `wxmint bindings export`

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write, stdout};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use wxmint_store::{BindingState, Store};

use super::record::{Record, mark, trailer};
use super::{Failure, check, say, walk_all};
use crate::{cli::output::json, secret_files::FileError};

pub(super) async fn run(redis: &Store, out: Option<&Path>) -> Result<(), Failure> {
    check(redis).await?;
    let (people, half_done) = match out {
        None => write_all(redis, stdout(), |error| Failure::of_output(&error)).await?,
        Some(path) => {
            let new = NewFile::begin(path)?;
            let written = write_all(redis, &new.file, unwritable(path)).await?;
            new.finish()?;
            written
        }
    };
    say(format_args!("exported {people} people"));
    if half_done > 0 {
        say(format_args!(
            "left out {half_done} people who were being bound or unbound; their next login completes that"
        ));
    }
    Ok(())
}

/// Writes all bindings. Returns how many people were written, and how many were left out.
async fn write_all(
    redis: &Store,
    output: impl Write,
    unwritten: impl Fn(io::Error) -> Failure,
) -> Result<(usize, u64), Failure> {
    let mut lines = BufWriter::new(output);
    let mut people = HashSet::new();
    let mut half_done = 0;
    let write = |(person, state)| {
        let bound = match state {
            BindingState::Bound(bound) => Some(bound),
            BindingState::Free {
                dissolved: true, ..
            } => None,
            BindingState::Free { .. } => return Ok(()),
            BindingState::Intended { .. } | BindingState::Leaving { .. } => {
                half_done += 1;
                return Ok(());
            }
        };
        let is_news = people.insert(mark(&person));
        if is_news {
            writeln!(lines, "{}", json(&Record { person, bound })).map_err(&unwritten)
        } else {
            Ok(())
        }
    };
    walk_all(async |from| redis.bindings.walk(from).await, write).await?;
    writeln!(lines, "{}", trailer(people.len()))
        .and_then(|()| lines.flush())
        .map_err(unwritten)?;
    Ok((people.len(), half_done))
}

/// The file of an export. It has a temporary name until it is complete, so that nobody takes half
/// an export for a backup.
struct NewFile<'a> {
    path: &'a Path,
    part: PathBuf,
    file: File,
}

impl<'a> NewFile<'a> {
    /// Creates the file under the temporary name, and overwrites what a killed export has left
    /// there.
    fn begin(path: &'a Path) -> Result<Self, Failure> {
        refuse_existing(path)?;
        let part = path.with_added_extension("part");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&part);
        let file = file.map_err(unwritable(&part))?;
        file.try_lock().map_err(|refused| match refused {
            TryLockError::WouldBlock => Failure::usage(format_args!(
                "{} is being written by another export",
                path.display()
            )),
            TryLockError::Error(error) => unwritable(&part)(error),
        })?;
        // Checked again, because another export may have finished before this one got the lock.
        refuse_existing(path)?;
        file.set_len(0).map_err(unwritable(&part))?;
        Ok(Self { path, part, file })
    }

    fn finish(self) -> Result<(), Failure> {
        self.file.sync_all().map_err(unwritable(self.path))?;
        refuse_existing(self.path)?;
        fs::rename(&self.part, self.path).map_err(unwritable(self.path))
    }
}

/// Removes the temporary file of a failed export. After the renaming there is nothing to remove.
impl Drop for NewFile<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

fn refuse_existing(path: &Path) -> Result<(), FileError> {
    if path.exists() {
        Err(FileError::Exists(path.to_owned()))
    } else {
        Ok(())
    }
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> Failure {
    move |error| Failure::from(error).at(path.display())
}
