//! The file of an import. It is read twice: to check it, and to import it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    path::PathBuf,
};

use super::{
    Failure, Progress,
    record::Record,
    tally::{Sum, Tally, Trailer},
};
use crate::ids::AppId;

/// Longer than any line of an export. Bounds the memory if the file is something else.
const MAX_LINE: u64 = 16 * 1024;
/// Broken lines that are listed; further ones are only counted.
const NAMED: usize = 20;

/// Lines without their line breaks, numbered from 1.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(from: R) -> Self {
        Self { reader: BufReader::new(from), number: 0 }
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<(u64, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        self.number += 1;
        match self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(read) if read as u64 == MAX_LINE && line.last() != Some(&b'\n') => {
                Some(Err(io::Error::other(format!("line {} is longer than 16 KiB", self.number))))
            }
            Ok(_) => {
                line.pop_if(|end| *end == b'\n');
                Some(Ok((self.number, line)))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

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
    pub(super) fn check(&self, progress: &mut Progress) -> Result<u64, Failure> {
        let mut check = Check { file: self, tally: Tally::default(), trailer: None, faults: Vec::new(), unnamed: 0 };
        for line in self.lines()? {
            let (number, line) = line.map_err(|error| self.unusable(&error.to_string()))?;
            check.line(number, &line);
            progress.tell(number, || format!("{number} lines checked"));
        }
        check.end()
    }

    /// The people in a file that has been checked, each with the number of the line.
    pub(super) fn records(&self) -> Result<impl Iterator<Item = Result<(u64, Record), Failure>>, Failure> {
        let changed = |_| self.unusable("somebody else is changing it");
        Ok(self.lines()?.filter_map(move |line| match line {
            Ok((_, line)) if Trailer::parse(&line).is_some() => None,
            Ok((number, line)) => {
                let record = Record::parse(&line, self.app.as_ref());
                Some(record.map(|record| (number, record)).map_err(changed))
            }
            Err(error) => Some(Err(self.unusable(&error.to_string()))),
        }))
    }

    fn lines(&self) -> Result<Lines<&File>, Failure> {
        let rewound = (&self.file).rewind();
        rewound.map_err(|error| self.unusable(&format!("it must be a file that can be read twice: {error}")))?;
        Ok(Lines::new(&self.file))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<io::Result<(u64, Vec<u8>)>> {
        Lines::new(text).take(9).collect()
    }

    #[test]
    fn lines_are_numbered_and_the_last_one_needs_no_end() {
        let read: Vec<_> = lines(b"a\n\nb").into_iter().map(|line| line.expect("a line")).collect();
        assert_eq!(read, [(1, b"a".to_vec()), (2, vec![]), (3, b"b".to_vec())]);
        assert!(lines(b"").is_empty());
        assert_eq!(lines(b"a\n").len(), 1);
    }

    #[test]
    fn a_line_that_is_too_long_is_an_error_and_not_more_memory() {
        let fits = [vec![b'a'; MAX_LINE as usize - 1], b"\nb".to_vec()].concat();
        assert_eq!(lines(&fits).len(), 2);
        let long = [b"a\n".to_vec(), vec![b'a'; MAX_LINE as usize + 1]].concat();
        let error = lines(&long).into_iter().find_map(Result::err).expect("an error");
        assert_eq!(error.to_string(), "line 2 is longer than 16 KiB");
    }
}
