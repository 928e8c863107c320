//! `wxmint bindings export`

use std::{
    io::{BufWriter, Stdout, Write, stdout},
    path::PathBuf,
};

use super::{
    Failure, check,
    new_file::NewFile,
    record::{Record, State},
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
            Found::Dissolved(person) => Record { person, state: State::Dissolved },
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
