//! `wxmint bindings export`

use std::{
    io::{BufWriter, Stdout, Write, stdout},
    path::PathBuf,
};

use super::{
    Failure, Progress, check, patiently,
    record::{Record, State},
    resume::{Mark, Resumable},
    say,
    tally::Tally,
};
use crate::store::{
    Redis,
    walk::{Found, Step},
};

pub(super) async fn run(redis: &Redis, out: Option<PathBuf>) -> Result<(), Failure> {
    check(redis).await?;
    let mut export = Export::open(out)?;
    export.walk(redis).await?;
    export.finish()
}

struct Export {
    target: Target,
    mark: Mark,
    tally: Tally,
    /// How many people were there when this process came.
    before: u64,
    progress: Progress,
}

enum Target {
    Stdout(BufWriter<Stdout>),
    File(Resumable),
}

impl Export {
    fn open(out: Option<PathBuf>) -> Result<Self, Failure> {
        let (target, mark, tally) = match out {
            Some(path) => Resumable::open(path).map(|(file, mark, tally)| (Target::File(file), mark, tally))?,
            None => (Target::Stdout(BufWriter::new(stdout())), Mark::beginning(), Tally::default()),
        };
        let before = tally.count();
        if before > 0 {
            say(format_args!("going on behind {before} people"));
        }
        Ok(Self { target, mark, tally, before, progress: Progress::begin() })
    }

    /// From the mark to the end.
    async fn walk(&mut self, redis: &Redis) -> Result<(), Failure> {
        loop {
            let page = match patiently(async || redis.walk(&self.mark.place).await).await? {
                Step::Page(page) => page,
                Step::Elsewhere => {
                    self.begin_anew()?;
                    continue;
                }
            };
            for found in page.found {
                self.write(found)?;
            }
            self.mark.keys = (self.mark.keys + page.keys).min(page.of);
            self.tell(page.of);
            let Some(next) = page.next else { return Ok(()) };
            self.mark.place = next;
            self.keep_mark()?;
        }
    }

    fn write(&mut self, found: Found) -> Result<(), Failure> {
        let record = match found {
            Found::Bound(binding) => Record::from(binding),
            Found::Dissolved(person) => Record { person, state: State::Dissolved },
            Found::HalfDone => {
                self.mark.half_done += 1;
                return Ok(());
            }
        };
        // SCAN gives some people twice.
        if self.tally.add(&record) {
            self.write_line(&record.line())?;
        }
        Ok(())
    }

    fn write_line(&mut self, line: &str) -> Result<(), Failure> {
        self.mark.bytes += line.len() as u64 + 1;
        match &mut self.target {
            Target::Stdout(stdout) => writeln!(stdout, "{line}").map_err(Failure::Output),
            Target::File(file) => writeln!(file.writer(), "{line}")
                .map_err(|error| Failure::Unfinished(format!("the export cannot be written: {error}"))),
        }
    }

    fn keep_mark(&mut self) -> Result<(), Failure> {
        self.mark.sum = self.tally.sum();
        match &mut self.target {
            Target::Stdout(_) => Ok(()),
            Target::File(file) => file.mark(&self.mark),
        }
    }

    /// Where Redis is not the process that it was, the walk's place is none.
    fn begin_anew(&mut self) -> Result<(), Failure> {
        let Target::File(file) = &mut self.target else {
            return Err(Failure::Unfinished("Redis was started anew meanwhile: export again".into()));
        };
        self.progress.clear();
        say("Redis was started anew since: the export begins anew");
        file.begin_anew()?;
        (self.mark, self.tally, self.before) = (Mark::beginning(), Tally::default(), 0);
        Ok(())
    }

    fn tell(&mut self, of: u64) {
        let (people, keys) = (self.tally.count(), self.mark.keys);
        self.progress.tell(people - self.before, || format!("{people} people, about {keys} of {of} keys looked at"));
    }

    fn finish(mut self) -> Result<(), Failure> {
        let (sum, half_done) = (self.tally.sum(), self.mark.half_done);
        self.write_line(&self.tally.trailer())?;
        match self.target {
            Target::Stdout(mut stdout) => stdout.flush().map_err(Failure::Output)?,
            Target::File(file) => file.finish()?,
        }
        self.progress.clear();
        say(format_args!("exported {} people, sha256 {}", sum.count, sum.sha256));
        if half_done > 0 {
            say(format_args!("left out {half_done} who were being bound or freed: their next login ends that"));
        }
        Ok(())
    }
}
