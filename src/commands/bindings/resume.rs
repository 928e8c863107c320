//! The file of an export, and the one beside it that says how far it is while it is not done.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    Failure,
    file::Lines,
    record::Record,
    tally::{Sum, Tally},
};
use crate::store::walk::Place;

/// How far an export is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Where the walk goes on.
    pub(super) place: Place,
    /// Keys looked at so far.
    pub(super) keys: u64,
    /// People left out so far, because they were being bound or freed.
    pub(super) half_done: u64,
    /// The file's length then.
    pub(super) bytes: u64,
    /// What is in it.
    pub(super) sum: Sum,
}

impl Mark {
    pub(super) fn beginning() -> Self {
        Self { place: Place::default(), keys: 0, half_done: 0, bytes: 0, sum: Tally::default().sum() }
    }
}

/// A file that is written bit by bit, and can be gone on with by another process.
pub(super) struct Resumable {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Resumable {
    /// Begins a new file, or goes on with an unfinished one. A finished one is not overwritten.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Mark, Tally), Failure> {
        let mark = read_mark(&path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        match (path.exists(), mark) {
            (false, _) => {
                let mark = Mark::beginning();
                write_mark(&path, &mark)?;
                let this = Self::hold(path, options.create_new(true))?;
                Ok((this, mark, Tally::default()))
            }
            (true, None) => Err(Failure::Usage(format!("{} exists already and is not overwritten", path.display()))),
            (true, Some(mark)) => Self::hold(path, &options)?.go_on(mark),
        }
    }

    fn hold(path: PathBuf, options: &OpenOptions) -> Result<Self, Failure> {
        let file = options.open(&path).map_err(|error| unusable(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file: BufWriter::new(file), path }),
            Err(TryLockError::WouldBlock) => {
                Err(Failure::Usage(format!("{} is being written by another export", path.display())))
            }
            Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
        }
    }

    /// Reads what is there, and forgets what was written behind the mark.
    fn go_on(mut self, mark: Mark) -> Result<(Self, Mark, Tally), Failure> {
        let tally = self.tally_up_to(mark.bytes);
        match tally.filter(|tally| tally.sum() == mark.sum) {
            Some(tally) => {
                self.cut(mark.bytes).map_err(|error| unusable(&self.path, &error))?;
                Ok((self, mark, tally))
            }
            None => {
                let (path, beside) = (self.path.display(), beside(&self.path));
                let beside = beside.display();
                Err(Failure::Usage(format!(
                    "{path} is not as the export has left it; to begin anew, remove {path} and {beside}"
                )))
            }
        }
    }

    fn tally_up_to(&mut self, bytes: u64) -> Option<Tally> {
        let mut tally = Tally::default();
        for line in Lines::new(self.file.get_ref().take(bytes)) {
            let record = Record::parse(&line.ok()?.1, None).ok()?;
            tally.add(&record);
        }
        Some(tally)
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let file = self.file.get_mut();
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes)).map(drop)
    }

    /// Empties the file.
    pub(super) fn begin_anew(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| unusable(&self.path, &error))?;
        write_mark(&self.path, &Mark::beginning())?;
        self.cut(0).map_err(|error| unusable(&self.path, &error))
    }

    pub(super) fn writer(&mut self) -> &mut dyn Write {
        &mut self.file
    }

    /// From here on another process can go on behind what was written.
    pub(super) fn mark(&mut self, mark: &Mark) -> Result<(), Failure> {
        self.file.flush().map_err(|error| unusable(&self.path, &error))?;
        write_mark(&self.path, mark)
    }

    /// It is whole, and on the disk.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(|error| unusable(&self.path, &error))?;
        let mark = beside(&self.path);
        fs::remove_file(&mark).map_err(|error| unusable(&mark, &error))
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".resume");
    name.into()
}

fn read_mark(path: &Path) -> Result<Option<Mark>, Failure> {
    let path = beside(path);
    match fs::read(&path) {
        Ok(content) => serde_json::from_slice(&content).map(Some).map_err(|_| {
            Failure::Usage(format!("{path} is not what an export has left; remove it", path = path.display()))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(&path, &error)),
    }
}

/// At once: whoever reads it sees the old or the new.
fn write_mark(path: &Path, mark: &Mark) -> Result<(), Failure> {
    let (path, new) = (beside(path), beside(&beside(path)));
    let content = serde_json::to_vec(mark).expect("numbers and texts serialize");
    let mut options = OpenOptions::new();
    let written = options.write(true).create(true).truncate(true).mode(0o600).open(&new);
    let written = written.and_then(|mut file| file.write_all(&content)).and_then(|()| fs::rename(&new, &path));
    written.map_err(|error| unusable(&path, &error))
}

fn unusable(path: &Path, error: &io::Error) -> Failure {
    Failure::Unfinished(format!("{}: {error}", path.display()))
}
