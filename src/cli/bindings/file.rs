//! The file of an import. It is read twice: to check it, and to import it.

use std::io::{self, BufRead, BufReader, Seek};
use std::{collections::HashSet, fs::File};

use chrono::{DateTime, Utc};

use super::record::{Record, mark, read_trailer};
use super::{Failure, ImportArgs};
use crate::clock::now;

/// How many broken lines are listed. Further broken lines are only counted.
const NAMED: usize = 20;
const UNTRAILED: &str = "it ends without a trailer: it was cut off; if it is the table of another system, add --no-trailer";

pub(super) struct BindingsFile<'a> {
    args: &'a ImportArgs,
    file: File,
    now: DateTime<Utc>,
}

impl<'a> BindingsFile<'a> {
    pub(super) fn open(args: &'a ImportArgs) -> Result<Self, Failure> {
        let file = File::open(&args.file)
            .map_err(|error| Failure::usage(error).at(args.file.display()))?;
        Ok(Self {
            args,
            file,
            now: now(),
        })
    }

    /// Reads the whole file. Returns the number of people in it, or everything that is wrong with
    /// it.
    pub(super) fn check(&self) -> Result<usize, Failure> {
        let (mut people, mut trailer, mut faults, mut unnamed) =
            (HashSet::new(), None, Vec::new(), 0);
        for (number, line) in self.lines()? {
            let line = line.map_err(|error| self.unusable(&error.to_string()))?;
            match self.check_line(&line, &mut people, &mut trailer) {
                Ok(()) => {}
                Err(fault) if faults.len() < NAMED => faults.push(format!("line {number} {fault}")),
                Err(_) => unnamed += 1,
            }
        }
        if faults.is_empty() && !self.args.no_trailer && trailer != Some(people.len()) {
            let found = people.len();
            faults.push(trailer.map_or(UNTRAILED.to_owned(), |told| {
                format!("it has {found} people, but had {told} when it was exported")
            }));
        }
        if unnamed > 0 {
            faults.push(format!("and {unnamed} more lines"));
        }
        match faults.as_slice() {
            [] => Ok(people.len()),
            faults => Err(self.unusable(&format!(
                "nothing was imported:\n    {}",
                faults.join("\n    ")
            ))),
        }
    }

    fn check_line(
        &self,
        line: &[u8],
        people: &mut HashSet<u128>,
        trailer: &mut Option<usize>,
    ) -> Result<(), String> {
        if trailer.is_some() {
            return Err("follows the trailer".into());
        }
        if let Some(found) = read_trailer(line) {
            if self.args.no_trailer {
                return Err("is a trailer: remove the line, or leave out --no-trailer".into());
            }
            *trailer = Some(found?);
            return Ok(());
        }
        let record = Record::parse(line, self.args.appid.as_ref(), self.now)?;
        let is_news = people.insert(mark(&record.person));
        if is_news {
            Ok(())
        } else {
            Err("is about a person who has a line already".into())
        }
    }

    /// Reads the first `all` people of a file that has been checked, each with its line number.
    pub(super) fn records(
        &self,
        all: usize,
    ) -> Result<impl Iterator<Item = Result<(u64, Record), Failure>>, Failure> {
        Ok(self.lines()?.take(all).map(move |(number, line)| {
            let line = line.map_err(|error| self.unusable(&error.to_string()))?;
            let record = Record::parse(&line, self.args.appid.as_ref(), self.now);
            record
                .map(|record| (number, record))
                .map_err(|_| self.unusable("somebody else is changing it"))
        }))
    }

    fn lines(&self) -> Result<impl Iterator<Item = (u64, io::Result<Vec<u8>>)>, Failure> {
        let rewound = (&self.file).rewind();
        rewound.map_err(|error| {
            self.unusable(&format!(
                "it must be a file that can be read twice: {error}"
            ))
        })?;
        let mut reader = BufReader::new(&self.file);
        // Windows puts a byte order mark before a text in UTF-8.
        if reader
            .fill_buf()
            .is_ok_and(|begin| begin.starts_with("\u{feff}".as_bytes()))
        {
            reader.consume(3);
        }
        Ok((1..).zip(reader.split(b'\n')))
    }

    fn unusable(&self, reason: &str) -> Failure {
        Failure::usage(reason).at(self.args.file.display())
    }
}
