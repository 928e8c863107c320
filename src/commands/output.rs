//! What commands write to people. Every line goes through here, because `println!` and `eprintln!` panic where the reader
//! has gone away, as in `wxmint users list | head -1`.

use std::{
    fmt,
    io::{self, ErrorKind, Write, stderr, stdout},
    process::ExitCode,
    sync::OnceLock,
};

use chrono::{DateTime, SecondsFormat, Utc};

use super::{EXIT_CLOSED, EXIT_UNFINISHED};

/// Why standard output could not be written, from then on.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Writes a line on standard output. Where that fails the command goes on, because it may have more to do than to
/// print (`keys rotate --publish-configmap`), and [`end`] makes the exit code of it.
pub(super) fn print(line: impl fmt::Display) {
    if UNWRITTEN.get().is_none()
        && let Err(error) = writeln!(stdout(), "{line}")
    {
        // Set by nobody else: commands print from one thread.
        let _ = UNWRITTEN.set(error);
    }
}

/// Writes a line on standard output for a server, which goes on serving whether or not anybody reads it.
pub(super) fn announce(line: fmt::Arguments<'_>) {
    let _ = writeln!(stdout(), "{line}");
}

/// Writes on standard error. Where that fails there is nowhere to say so.
pub(super) fn say(words: impl fmt::Display) {
    let _ = writeln!(stderr(), "{words}");
}

/// Writes over the line at a terminal: back to its beginning, and nothing left behind the words (ECMA-48: EL).
pub(super) fn say_over(words: &str) {
    let _ = write!(stderr(), "\r{words}\x1b[K");
}

/// Says why a command ends with `code`.
pub(super) fn fail(code: u8, reason: impl fmt::Display) -> ExitCode {
    say(format_args!("wxmint: {reason}"));
    ExitCode::from(code)
}

/// The exit code of a command that came to `code`, by whether its output was written.
pub(super) fn end(code: ExitCode) -> ExitCode {
    match UNWRITTEN.get() {
        Some(error) if code == ExitCode::SUCCESS => unwritten(error),
        _ => code,
    }
}

/// The exit code where standard output could not be written. A reader that went away needs no explanation.
pub(super) fn unwritten(error: &io::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::BrokenPipe => ExitCode::from(EXIT_CLOSED),
        _ => fail(EXIT_UNFINISHED, format_args!("standard output: {error}")),
    }
}

/// A time as commands print it.
pub(super) fn date(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
