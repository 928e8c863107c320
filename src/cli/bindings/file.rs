//! The file of an import. It is read twice: to check it, and to import it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Seek},
    path::PathBuf,
};

use super::{
    Failure,
    record::Record,
    tally::{Sum, Tally, Trailer},
};
use crate::ids::AppId;

/// Broken lines that are listed; further ones are only counted.
const NAMED: usize = 20;

pub(super) struct BindingsFile {
    path: PathBuf,
    file: File,
    /// Whether the last line must be a trailer.
    trailer: bool,
    /// The app of lines that name none.
    app: Option<AppId>,
}

impl BindingsFile {
    pub(super) fn open(path: PathBuf, trailer: bool, app: Option<AppId>) -> Result<Self, Failure> {
        let file = File::open(&path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
        Ok(Self { path, file, trailer, app })
    }

    /// Reads the whole file, and returns the number of people in it or everything that is wrong with it.
    pub(super) fn check(&self) -> Result<u64, Failure> {
        let mut check = Check { file: self, tally: Tally::default(), trailer: None, faults: Vec::new(), unnamed: 0 };
        for (number, line) in self.lines()? {
            check.line(number, &line.map_err(|error| self.unusable(&error.to_string()))?);
        }
        check.end()
    }

    /// The people in a file that has been checked, each with the number of the line.
    pub(super) fn records(&self) -> Result<impl Iterator<Item = Result<(u64, Record), Failure>>, Failure> {
        let changed = |_| self.unusable("somebody else is changing it");
        Ok(self.lines()?.filter_map(move |(number, line)| match line {
            Ok(line) if Trailer::parse(&line).is_some() => None,
            Ok(line) => {
                let record = Record::parse(&line, self.app.as_ref());
                Some(record.map(|record| (number, record)).map_err(changed))
            }
            Err(error) => Some(Err(self.unusable(&error.to_string()))),
        }))
    }

    fn lines(&self) -> Result<impl Iterator<Item = (u64, io::Result<Vec<u8>>)>, Failure> {
        let rewound = (&self.file).rewind();
        rewound.map_err(|error| self.unusable(&format!("it must be a file that can be read twice: {error}")))?;
        Ok((1..).zip(BufReader::new(&self.file).split(b'\n')))
    }

    fn unusable(&self, reason: &str) -> Failure {
        Failure::Usage(format!("{}: {reason}", self.path.display()))
    }
}

/// The check of a file.
struct Check<'a> {
    file: &'a BindingsFile,
    tally: Tally,
    trailer: Option<Sum>,
    faults: Vec<String>,
    unnamed: usize,
}

impl Check<'_> {
    fn line(&mut self, number: u64, line: &[u8]) {
        if let Err(fault) = self.read(line) {
            match self.faults.len() < NAMED {
                true => self.faults.push(format!("line {number} {fault}")),
                false => self.unnamed += 1,
            }
        }
    }

    fn read(&mut self, line: &[u8]) -> Result<(), String> {
        if self.trailer.is_some() {
            return Err("follows the trailer".into());
        }
        if let Some(trailer) = Trailer::parse(line) {
            if !self.file.trailer {
                return Err("is a trailer: remove the line, or leave out --no-trailer".into());
            }
            self.trailer = Some(trailer?.sum);
            return Ok(());
        }
        let record = Record::parse(line, self.file.app.as_ref())?;
        match self.tally.add(&record) {
            true => Ok(()),
            false => Err("is about a person who has a line already".into()),
        }
    }

    fn end(mut self) -> Result<u64, Failure> {
        if self.faults.is_empty() && self.file.trailer {
            self.faults.extend(self.compare().err());
        }
        if self.unnamed > 0 {
            self.faults.push(format!("and {} more lines", self.unnamed));
        }
        match self.faults.as_slice() {
            [] => Ok(self.tally.count()),
            faults => Err(self.file.unusable(&format!("nothing was imported:\n    {}", faults.join("\n    ")))),
        }
    }

    fn compare(&self) -> Result<(), String> {
        let (found, Some(told)) = (self.tally.sum(), &self.trailer) else {
            return Err("it ends without a trailer: it was cut off; if it is the table of another system, add \
                        --no-trailer"
                .into());
        };
        if found.count != told.count {
            return Err(format!("it has {} people, but had {} when it was exported", found.count, told.count));
        }
        match found.sha256 == told.sha256 {
            true => Ok(()),
            false => Err("its digest has changed since it was exported: a line was changed".into()),
        }
    }
}
