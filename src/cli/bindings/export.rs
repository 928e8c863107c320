//! `wxmint bindings export`

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Stdout, Write, stdout},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use super::{
    Failure, check,
    record::{Record, RecordState},
    say,
    tally::Tally,
    walk_all,
};
use crate::store::{Redis, walk::Found};

pub(super) async fn run(redis: &Redis, out: Option<PathBuf>) -> Result<(), Failure> {
    check(redis).await?;
    let (mut target, mut tally, mut half_done) = (Target::open(out)?, Tally::default(), 0);
    let write = async |found| {
        let record = match found {
            Found::Bound(binding) => Record::from(binding),
            Found::Dissolved(person) => Record { person, state: RecordState::Dissolved },
            Found::HalfDone => {
                half_done += 1;
                return Ok(());
            }
        };
        if tally.add(&record) { target.write_line(&record.line()) } else { Ok(()) }
    };
    walk_all(redis, write).await?;
    target.write_line(&tally.trailer())?;
    target.finish()?;
    let sum = tally.sum();
    say(format_args!("exported {} people, sha256 {}", sum.count, sum.sha256));
    if half_done > 0 {
        say(format_args!(
            "left out {half_done} people who were being bound or unbound; their next login completes that"
        ));
    }
    Ok(())
}

enum Target {
    Stdout(BufWriter<Stdout>),
    File(NewFile),
}

impl Target {
    fn open(out: Option<PathBuf>) -> Result<Self, Failure> {
        match out {
            Some(path) => NewFile::begin(path).map(Self::File),
            None => Ok(Self::Stdout(BufWriter::new(stdout()))),
        }
    }

    fn write_line(&mut self, line: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout(stdout) => writeln!(stdout, "{line}").map_err(Failure::Output),
            Self::File(file) => file.write_line(line),
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Stdout(mut stdout) => stdout.flush().map_err(Failure::Output),
            Self::File(file) => file.finish(),
        }
    }
}

/// The file of an export. It has another name until it is complete, so that nobody takes half an export for a backup.
struct NewFile {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
}

impl NewFile {
    /// Creates the file under the other name, and overwrites what a killed export has left there.
    fn begin(path: PathBuf) -> Result<Self, Failure> {
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

    fn write_line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.file, "{line}").map_err(|error| unwritable(&self.path, &error))
    }

    /// Writes the file to the disk, then gives it its name.
    fn finish(mut self) -> Result<(), Failure> {
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
