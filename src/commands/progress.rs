//! Progress of a long command, on standard error.

use std::{
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use super::output::{say, say_over};

const AT_A_TERMINAL: Duration = Duration::from_millis(100);
/// In a log, where every message is a line.
const IN_A_LOG: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    terminal: bool,
    began: Instant,
    told: Option<Instant>,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self { terminal: stderr().is_terminal(), began: Instant::now(), told: None }
    }

    /// Prints `words` and the rate of `done` per second, unless it printed a moment ago.
    pub(super) fn tell(&mut self, done: u64, words: impl FnOnce() -> String) {
        let now = Instant::now();
        if now - self.told.unwrap_or(self.began) < if self.terminal { AT_A_TERMINAL } else { IN_A_LOG } {
            return;
        }
        self.told = Some(now);
        let words = format!("{}, {}/s", words(), per_second(done, now - self.began));
        match self.terminal {
            true => say_over(&words),
            false => say(words),
        }
    }

    /// Clears the line, so that other lines can follow.
    pub(super) fn clear(&mut self) {
        if self.terminal && self.told.is_some() {
            say_over("");
        }
    }
}

/// The next message, perhaps an error, begins on a clear line.
impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn per_second(done: u64, took: Duration) -> u64 {
    (done as f64 / took.as_secs_f64().max(0.001)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_whole_number_a_second_and_never_infinite() {
        assert_eq!(per_second(1000, Duration::from_secs(2)), 500);
        assert_eq!(per_second(1, Duration::ZERO), 1000);
    }
}
