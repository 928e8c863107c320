//! Everything that commands print goes through here, because `println!` and `eprintln!` panic if the reader has gone
//! away, as in `wxmint users list | head -1`.

use std::io::{self, IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};
use std::{array, env, fmt, fs::File, iter, process, sync::OnceLock, thread};

use clap::ValueEnum;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use unicode_width::UnicodeWidthStr;
use zeroize::Zeroizing;

use super::Failure;

/// The first error of writing to standard output. After this error nothing more is printed.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();

/// Prints a line on standard output. If that fails, the command goes on, because it may have more to do than print
/// (`wxmint demo` serves afterwards); [`complete`] turns the error into a failure.
pub(crate) fn print(line: impl fmt::Display) {
    if UNWRITTEN.get().is_none() {
        // It cannot be set already, because commands print from one thread.
        _ = writeln!(stdout(), "{line}").map_err(|error| UNWRITTEN.set(error));
    }
}

/// Prints a line on standard error. If that fails, there is nowhere left to report it.
pub(crate) fn say(words: impl fmt::Display) {
    let _ = writeln!(stderr(), "{words}");
}

/// Shows the progress of a long command, as a line on standard error every ten seconds.
pub(crate) struct Progress(Instant);

impl Progress {
    pub(crate) fn begin() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn tell(&mut self, words: fmt::Arguments<'_>) {
        if self.0.elapsed() >= Duration::from_secs(10) {
            say(words);
            self.0 = Instant::now();
        }
    }
}

/// Fails if a line could not be printed.
pub(crate) fn complete() -> Result<(), Failure> {
    UNWRITTEN
        .get()
        .map_or(Ok(()), |error| Err(Failure::of_output(error)))
}

/// Asks on a terminal whether to do what cannot be undone, unless the command has `--yes`.
pub(crate) fn confirm(yes: bool, what: impl fmt::Display) -> Result<(), Failure> {
    let stdin = io::stdin();
    if yes {
        return Ok(());
    }
    if !stdin.is_terminal() {
        return Err(Failure::usage(
            "standard input is no terminal, so that nobody can confirm; add --yes",
        ));
    }
    say(format_args!("Type yes to {what}:"));
    let answer = stdin.lines().next().transpose()?.unwrap_or_default();
    if answer.trim() == "yes" {
        Ok(())
    } else {
        Err(Failure::unfinished("nothing was changed"))
    }
}

/// Asks on the terminal for a secret without showing it.
///
/// From then on the process catches SIGINT, because at Ctrl-C rpassword raises SIGINT before it has
/// switched the terminal's echo on again. So Ctrl-C gives an error and does not end the process.
/// SIGTERM and SIGHUP restore the terminal and end the process.
pub(crate) fn ask_hidden(question: &str) -> io::Result<Zeroizing<String>> {
    let terminal = File::open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let entered = runtime.enter();
    let _caught = signal(SignalKind::interrupt())?;
    let [mut terminate, mut hangup] = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    drop(entered);
    // The thread lives as long as the process, which also reacts to these signals after the
    // question.
    thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => 128 + SignalKind::terminate().as_raw_value(),
                _ = hangup.recv() => 128 + SignalKind::hangup().as_raw_value(),
            }
        });
        _ = tcsetattr(&terminal, OptionalActions::Now, &before);
        process::exit(code)
    });
    rpassword::prompt_password(question).map(Zeroizing::new)
}

pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and texts serialize")
}

/// The lines of a table with headings. Each column is as wide as its widest value.
pub fn table<const N: usize>(
    headings: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> Vec<String> {
    let rows: Vec<_> = iter::once(headings.map(str::to_owned))
        .chain(rows)
        .collect();
    let widths: [usize; N] = array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].width())
            .max()
            .unwrap_or_default()
    });
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| padded(cell, width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect()
}

/// Pads a text with blanks to a number of terminal columns. (`format!` would count characters, and
/// a Chinese character takes two columns.)
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let lacking = columns.saturating_sub(text.width());
    text.to_owned() + &" ".repeat(lacking)
}

/// The language of questions, of `.env`, of the doctor's findings and of messages about settings.
/// The log and JSON are in English, because people and programs search for their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Language {
    En,
    Zh,
}

impl Language {
    pub(crate) fn of_locale() -> Self {
        Self::of(|name| env::var(name).ok())
    }

    /// The language of the first of these variables that is set, as POSIX specifies. Chinese only
    /// with UTF-8, because a terminal with another encoding cannot show our texts.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_lowercase();
        let encoding = locale
            .split('.')
            .nth(1)
            .and_then(|rest| rest.split('@').next())
            .unwrap_or_default();
        if locale.starts_with("zh") && ["utf8", "utf-8"].contains(&encoding) {
            Self::Zh
        } else {
            Self::En
        }
    }

    pub(crate) fn tell(self, text: impl fmt::Display) -> String {
        self.pick([format!("{text}"), format!("{text:#}")])
    }

    pub(crate) fn pick<T>(self, [english, chinese]: [T; 2]) -> T {
        if self == Self::Zh { chinese } else { english }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other_beside_chinese_names_too() {
        let rows = [["shop", "薄荷茶室", "1"], ["café", "Mint Tea", "22"]]
            .map(|row| row.map(str::to_owned));
        let lines = table(["CLIENT", "NAME", "OPEN"], rows.into_iter());
        assert_eq!(
            lines,
            [
                "CLIENT  NAME      OPEN",
                "shop    薄荷茶室  1",
                "café    Mint Tea  22"
            ]
        );
        assert_eq!(
            (padded("薄荷", 3), padded("薄荷", 6)),
            ("薄荷".to_owned(), "薄荷  ".to_owned())
        );
    }

    #[test]
    fn the_first_variable_that_is_set_decides() {
        for (all, messages, lang, language) in [
            ("", "", "zh_CN.UTF-8", Language::Zh),
            ("", "", "zh_TW.utf8@stroke", Language::Zh),
            ("", "", "zh_CN", Language::En),
            ("", "", "zh_CN@utf8", Language::En),
            ("", "zh_CN.UTF-8", "en_US.UTF-8", Language::Zh),
            ("C.UTF-8", "zh_CN.UTF-8", "zh_CN.UTF-8", Language::En),
            ("", "", "zh_CN.GB18030", Language::En),
            ("", "", "en_US.UTF-8", Language::En),
            ("", "", "", Language::En),
        ] {
            let value = |name: &str| {
                let value = if name == "LC_ALL" {
                    all
                } else if name == "LANG" {
                    lang
                } else {
                    messages
                };
                Some(value.to_owned())
            };
            assert_eq!(
                Language::of(value),
                language,
                "{all:?} {messages:?} {lang:?}"
            );
        }
    }
}
