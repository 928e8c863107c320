//! A child process whose output is kept and that does not outlive its test.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, setrlimit};
use serde_json::Value;

pub(crate) use rustix::process::Signal;

use super::{LIMIT, PATIENCE, audit::is_audit, eventually, limit, locked};

/// Shown of each process when its test fails.
const LINES_SHOWN: usize = 40;

pub(crate) struct Process {
    child: Child,
    name: String,
    stdout: Output,
    stderr: Output,
    readers: Vec<JoinHandle<()>>,
}

type Output = Arc<Mutex<Vec<String>>>;

impl Process {
    pub(crate) fn spawn(name: &str, command: &mut Command) -> Self {
        limit::at_most(LIMIT);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("{name} does not start: {error}; try: make setup"));
        let (stdout, stderr) = (Output::default(), Output::default());
        let readers = vec![
            read(child.stdout.take().expect("a pipe"), &stdout),
            read(child.stderr.take().expect("a pipe"), &stderr),
        ];
        Self {
            child,
            name: name.to_owned(),
            stdout,
            stderr,
            readers,
        }
    }

    /// With nobody at the other end of its outputs.
    pub(crate) fn unread(name: &str, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(closed_pipe())
            .stderr(closed_pipe())
            .spawn();
        let (stdout, stderr, readers) = (Output::default(), Output::default(), Vec::new());
        Self {
            child: child.expect("it starts"),
            name: name.to_owned(),
            stdout,
            stderr,
            readers,
        }
    }

    pub(crate) fn stdout(&self) -> Vec<String> {
        locked(&self.stdout).clone()
    }

    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr_from(0)
    }

    /// The lines of standard error after so many.
    pub(crate) fn stderr_from(&self, line: usize) -> Vec<String> {
        locked(&self.stderr)
            .get(line..)
            .unwrap_or_default()
            .to_vec()
    }

    /// The text that it has written so far.
    pub(crate) fn log(&self) -> String {
        [self.stdout(), self.stderr()].concat().join("\n")
    }

    /// The first address behind `http://` in its standard output.
    pub(crate) async fn printed_address(&mut self) -> SocketAddr {
        let what = format!("the address of {}", self.name);
        eventually(&what, PATIENCE, async || {
            assert!(
                self.ended().is_none(),
                "{} ends: {:?}",
                self.name,
                self.stderr()
            );
            self.stdout().iter().find_map(|line| {
                line.split_once("http://")?
                    .1
                    .split('/')
                    .next()?
                    .parse()
                    .ok()
            })
        })
        .await
    }

    /// The addresses that it logs under these names when it listens.
    pub(crate) async fn listens<const N: usize>(&mut self, names: [&str; N]) -> [SocketAddr; N] {
        let what = format!("{} listens", self.name);
        eventually(&what, PATIENCE, async || {
            assert!(
                self.ended().is_none(),
                "{} ends: {:?}",
                self.name,
                self.stderr()
            );
            let event = self
                .events()
                .into_iter()
                .find(|event| event["message"] == "listening")?;
            Some(names.map(|name| {
                event[name]
                    .as_str()
                    .and_then(|text| text.parse().ok())
                    .expect("an address")
            }))
        })
        .await
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal)
            .expect("a process that has not been waited for");
    }

    /// The lines of JSON that it has written to standard error.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.stderr()
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Those whose message has these words, without audit events.
    pub(crate) fn told(&self, words: &str) -> Vec<Value> {
        let mut lines = self.events();
        lines.retain(|line| {
            line["message"]
                .as_str()
                .is_some_and(|text| text.contains(words))
                && !is_audit(line)
        });
        lines
    }

    /// The first line with this text, once it has been read: the service writes it after it has answered, or counted.
    pub(crate) async fn says(&self, text: &str) -> String {
        let found = async || {
            [self.stdout(), self.stderr()]
                .concat()
                .into_iter()
                .find(|line| line.contains(text))
        };
        eventually(text, PATIENCE, found).await
    }

    /// A number of `proc_pid_status(5)`, such as `VmRSS` in KiB.
    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("Linux");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .expect("a field of proc_pid_status(5)");
        line.trim_matches([':', '\t', ' ', 'k', 'B'])
            .parse()
            .expect("a number")
    }

    pub(crate) fn memory(&self) -> u64 {
        self.status("VmRSS")
    }

    /// The most resident memory so far, in KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status("VmHWM")
    }

    /// How many files and connections it has open.
    pub(crate) fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.id()))
            .expect("Linux")
            .count()
    }

    /// How it has ended, if it has. All of its output has been read then.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().expect("a child of ours")?;
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader that does not panic");
        }
        Some(status)
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self, within: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        eventually(&what, within, async || self.ended()).await
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        // Fails only on a process that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(pipe: impl Read + Send + 'static, output: &Output) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            locked(&output).push(String::from_utf8_lossy(&line).into());
        }
    })
}

impl Drop for Process {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test is explained by what its processes said"
    )]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let lines = [self.stdout(), self.stderr()].concat();
            let shown = &lines[lines.len().saturating_sub(LINES_SHOWN)..];
            eprintln!("--- {} said last:\n{}", self.name, shown.join("\n"));
        }
    }
}

/// As the standard output of a command whose reader has gone away.
pub(crate) fn closed_pipe() -> Stdio {
    let (reader, writer) = io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Thousands of connections need more open files than a login shell gives; children inherit the limit.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    )
    .expect("up to the maximum");
}

/// The same command where no file may grow, as on a full disk. The signal that would end the process is ignored, so
/// that the write fails instead (setrlimit(2)).
pub(crate) fn on_a_full_disk(command: &Command) -> Command {
    let mut limited = Command::new("sh");
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"])
        .arg(command.get_program());
    limited
        .args(command.get_args())
        .env_clear()
        .current_dir(command.get_current_dir().unwrap_or(Path::new("/")));
    limited
}
