//! What commands print. Every line goes through here, because `println!` and `eprintln!` panic if the reader has gone
//! away, as in `wxmint users list | head -1`.

use std::{
    fmt,
    io::{self, BufRead, ErrorKind, IsTerminal, Write, stderr, stdout},
    process::ExitCode,
    sync::OnceLock,
};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{EXIT_CLOSED, EXIT_UNFINISHED, Failure};

/// The first error of writing to standard output. After it nothing more is printed.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Prints a line on standard output. If that fails, the command goes on, because it may have more to do than print
/// (`keys rotate --publish-configmap`); [`end`] turns the error into the exit code.
pub(super) fn print(line: impl fmt::Display) {
    if UNWRITTEN.get().is_none()
        && let Err(error) = writeln!(stdout(), "{line}")
    {
        // Cannot be set already, because commands print from one thread.
        let _ = UNWRITTEN.set(error);
    }
}

/// Prints a line for a server, which goes on serving even if nobody reads the line.
pub(super) fn announce(line: fmt::Arguments<'_>) {
    let _ = writeln!(stdout(), "{line}");
}

/// Prints a line on standard error. An error is ignored, because there is no place left to report it.
pub(super) fn say(words: impl fmt::Display) {
    let _ = writeln!(stderr(), "{words}");
}

/// Overwrites the current line of a terminal, and clears the rest of it (EL of ECMA-48).
pub(super) fn say_over(words: &str) {
    let _ = write!(stderr(), "\r{words}\x1b[K");
}

/// Prints why a command fails, and returns its exit code.
pub(super) fn fail(code: u8, reason: impl fmt::Display) -> ExitCode {
    say(format_args!("wxmint: {reason}"));
    ExitCode::from(code)
}

/// The exit code of a command: `code`, unless its output could not be printed.
pub(super) fn end(code: ExitCode) -> ExitCode {
    match UNWRITTEN.get() {
        Some(error) if code == ExitCode::SUCCESS => unwritten(error),
        _ => code,
    }
}

/// The exit code if standard output could not be written. No message is needed if the reader has gone away.
pub(super) fn unwritten(error: &io::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::BrokenPipe => ExitCode::from(EXIT_CLOSED),
        _ => fail(EXIT_UNFINISHED, format_args!("standard output: {error}")),
    }
}

/// Asks on a terminal whether to do what cannot be undone.
pub(super) fn confirm(what: impl fmt::Display) -> Result<(), Failure> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Usage("standard input is no terminal, so that nobody can confirm; add --yes".into()));
    }
    say(format_args!("Type yes to {what}:"));
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::Unfinished("nothing was changed".into())) }
}

/// A time as commands print it.
pub(super) fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
