//! How a command of wxmint has ended, and what it has said.

use std::ffi::OsString;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{PATIENCE, Process};

#[derive(Debug)]
pub(crate) struct Ended {
    /// The arguments of the command, for whoever reads why a test has failed.
    _arguments: Vec<OsString>,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// With `input` on its standard input.
    #[track_caller]
    pub(crate) fn of(command: &mut Command, input: &str) -> Self {
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = piped.unwrap_or_else(|error| {
            let program = command.get_program().display();
            panic!("{program}: {error}; run: make setup")
        });
        // Whoever refuses at once reads nothing, and the pipe breaks.
        _ = child
            .stdin
            .take()
            .expect("a pipe")
            .write_all(input.as_bytes());
        let output = child.wait_with_output().expect("its end");
        let [stdout, stderr] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("UTF-8"));
        assert!(!stderr.contains("panicked"), "{stderr}");
        Self {
            _arguments: arguments_of(command),
            code: output.status.code(),
            stdout,
            stderr,
        }
    }

    /// The same where it might not end.
    pub(crate) async fn within_patience(command: &mut Command) -> Self {
        let mut process = Process::spawn("wxmint", command);
        let code = process.end(PATIENCE).await.code();
        let [stdout, stderr] = [process.stdout(), process.stderr()].map(|lines| lines.join("\n"));
        Self {
            _arguments: arguments_of(command),
            code,
            stdout,
            stderr,
        }
    }

    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    #[track_caller]
    pub(crate) fn expect_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Ended with this code, and all of `words` in what it says.
    #[track_caller]
    pub(crate) fn expect_end(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.said().contains(word), "no {word:?} in {self:?}");
        }
        self
    }
}

fn arguments_of(command: &Command) -> Vec<OsString> {
    command.get_args().map(ToOwned::to_owned).collect()
}
