//! `wxmint bindings export`

use std::{
    io::{BufWriter, Stdout, Write, stdout},
    path::PathBuf,
};

use super::{
    Failure, Progress, check,
    new_file::NewFile,
    patiently,
    record::{Record, State},
    say,
    tally::Tally,
};
use crate::store::{
    Redis,
    walk::{Found, Page, Place, Step},
};

pub(super) async fn run(redis: &Redis, out: Option<PathBuf>) -> Result<(), Failure> {
    check(redis).await?;
    let mut export = Export { target: Target::open(out)?, tally: Tally::default(), half_done: 0 };
    export.write_all(redis).await?;
    export.finish()
}

struct Export {
    target: Target,
    tally: Tally,
    /// People who are left out, because they were being bound or unbound.
    half_done: u64,
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

impl Export {
    async fn write_all(&mut self, redis: &Redis) -> Result<(), Failure> {
        let (mut place, mut looked_at, mut progress) = (Place::default(), 0, Progress::begin());
        loop {
            let step = patiently(async || redis.walk(&place).await).await?;
            let Step::Page(Page { found, keys, of, next }) = step else {
                return Err(Failure::Unfinished("Redis was restarted during the export; export again".into()));
            };
            for found in found {
                self.write(found)?;
            }
            looked_at = (looked_at + keys).min(of);
            let people = self.tally.count();
            progress.tell(people, || format!("{people} people, about {looked_at} of {of} keys read"));
            match next {
                Some(next) => place = next,
                None => return Ok(()),
            }
        }
    }

    fn write(&mut self, found: Found) -> Result<(), Failure> {
        let record = match found {
            Found::Bound(binding) => Record::from(binding),
            Found::Dissolved(person) => Record { person, state: State::Dissolved },
            Found::HalfDone => {
                self.half_done += 1;
                return Ok(());
            }
        };
        // SCAN returns some people twice.
        match self.tally.add(&record) {
            true => self.target.write_line(&record.line()),
            false => Ok(()),
        }
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.target.write_line(&self.tally.trailer())?;
        self.target.finish()?;
        let sum = self.tally.sum();
        say(format_args!("exported {} people, sha256 {}", sum.count, sum.sha256));
        if self.half_done > 0 {
            say(format_args!(
                "left out {} people who were being bound or unbound; their next login completes that",
                self.half_done
            ));
        }
        Ok(())
    }
}
