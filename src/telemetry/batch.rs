//! Log lines on their way to standard error: gathered for up to 10 ms and then written by one thread, because a write is
//! one of a login's 14 system calls.
//!
//! `tracing-appender` does the same with an allocation and a wake-up for each line, no bound in bytes, no regard for the
//! level, and an end that waits for at most a second.

use std::{
    io::{self, IsTerminal, Write},
    mem, panic,
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::AUDIT;

/// How long a line waits for others.
const PAUSE: Duration = Duration::from_millis(10);
/// The memory that is kept for further lines, in bytes.
const KEPT: usize = 64 * 1024;
/// While so many bytes wait for a reader that does not read, whoever logs waits too.
const MOST: usize = 1024 * 1024;

static STDERR: LazyLock<Batch<io::Stderr>> = LazyLock::new(|| Batch::new(io::stderr()));

/// Writes the lines that have been gathered so far.
pub fn flush() {
    STDERR.flush();
}

/// Begins to gather lines. They are written before the message of a panic.
pub(super) fn start() -> io::Result<Stderr> {
    thread::Builder::new().name("log".into()).spawn(|| STDERR.write_batches())?;
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        flush();
        before(info);
    }));
    Ok(Stderr { at_once: io::stderr().is_terminal() })
}

/// Where the subscriber writes its lines.
pub(super) struct Stderr {
    at_once: bool,
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { at_once: true }
    }

    fn make_writer_for(&'a self, of: &Metadata<'_>) -> Line {
        Line { at_once: self.at_once || *of.level() <= Level::WARN || of.target() == AUDIT }
    }
}

pub(super) struct Line {
    at_once: bool,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        STDERR.add(line);
        if self.at_once {
            STDERR.flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Batch<W> {
    /// Held only to copy a line, so that no login waits for a write.
    waiting: Mutex<Waiting>,
    /// There is a first line for the writing thread, which was asleep.
    woken: Condvar,
    /// There is room again.
    taken: Condvar,
    /// Held while lines are written, so that they keep their order. The buffer takes turns with the one of `waiting`.
    output: Mutex<(W, Vec<u8>)>,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The writing thread waits for a first line. While lines come, nobody has to wake it.
    is_asleep: bool,
}

impl<W: Write> Batch<W> {
    fn new(output: W) -> Self {
        let (waiting, woken, taken) = Default::default();
        Self { waiting, woken, taken, output: Mutex::new((output, Vec::new())) }
    }

    fn add(&self, line: &[u8]) {
        let is_full = |waiting: &mut Waiting| !waiting.lines.is_empty() && waiting.lines.len() + line.len() > MOST;
        let mut waiting = self.taken.wait_while(lock(&self.waiting), is_full).unwrap_or_else(PoisonError::into_inner);
        waiting.lines.extend_from_slice(line);
        if mem::take(&mut waiting.is_asleep) {
            drop(waiting);
            self.woken.notify_one();
        }
    }

    fn flush(&self) {
        let mut output = lock(&self.output);
        let (output, lines) = &mut *output;
        mem::swap(lines, &mut lock(&self.waiting).lines);
        self.taken.notify_all();
        // There is no place left to say that standard error cannot be written.
        let _ = output.write_all(lines);
        lines.clear();
        lines.shrink_to(KEPT);
    }

    fn write_batches(&self) {
        loop {
            thread::sleep(PAUSE);
            let mut waiting = lock(&self.waiting);
            if waiting.lines.is_empty() {
                waiting.is_asleep = true;
                drop(self.woken.wait_while(waiting, |waiting| waiting.is_asleep));
            } else {
                drop(waiting);
                self.flush();
            }
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        io::Read,
        process::{self, Command},
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
    };

    use super::*;
    use crate::telemetry::{self, Audit, LogFormat};

    const IN_A_CHILD: &str = "TEST_OF_A_PANIC";
    const LINES_BEFORE: usize = 1000;

    /// The child aborts at once after its panic, so that nothing but the panic can have written the lines.
    #[test]
    fn a_panic_loses_no_line_and_its_message_comes_last() {
        if env::var_os(IN_A_CHILD).is_some() {
            telemetry::init(LogFormat::Json, &Audit::Log).expect("a thread");
            for number in 0..LINES_BEFORE {
                tracing::info!(number, "before");
            }
            let _ = panic::catch_unwind(|| panic!("on purpose"));
            process::abort();
        }
        let mut child = Command::new(env::current_exe().expect("this program"));
        let name = "telemetry::batch::tests::a_panic_loses_no_line_and_its_message_comes_last";
        let child = child.args(["--exact", name, "--nocapture"]).env(IN_A_CHILD, "1").env_remove("RUST_LOG").output();
        let said = String::from_utf8(child.expect("it runs").stderr).expect("text");
        let (lines, message) = said.split_once("on purpose").expect("the panic's message");
        assert_eq!(lines.matches("before").count(), LINES_BEFORE, "{said}");
        assert!(!message.contains("before"), "{message}");
    }

    #[test]
    fn lines_keep_their_order_and_none_is_lost() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let batch = Batch::new(writer);
        let read = thread::scope(|scope| {
            let read = scope.spawn(move || {
                let mut text = String::new();
                reader.read_to_string(&mut text).expect("text");
                text
            });
            thread::scope(|scope| {
                for thread in 0..4 {
                    let batch = &batch;
                    scope.spawn(move || {
                        for number in 0..20_000 {
                            batch.add(format!("{thread} {number}\n").as_bytes());
                            if number % 1000 == 0 {
                                batch.flush();
                            }
                        }
                    });
                }
            });
            batch.flush();
            drop(batch);
            read.join().expect("no panic")
        });
        for thread in 0..4 {
            let prefix = format!("{thread} ");
            let numbers = read.lines().filter_map(|line| line.strip_prefix(&prefix)?.parse::<u32>().ok());
            assert!(numbers.eq(0..20_000), "{thread}");
        }
    }

    #[test]
    fn lines_that_nobody_reads_take_a_bounded_memory() {
        let (mut reader, writer) = io::pipe().expect("a pipe");
        let batch: &Batch<_> = Box::leak(Box::new(Batch::new(writer)));
        thread::spawn(|| batch.write_batches());
        let added = AtomicUsize::new(0);
        let line = [b'x'; 1024];
        const LINES: usize = 5000;
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..LINES {
                    batch.add(&line);
                    added.fetch_add(1, SeqCst);
                }
            });
            while lock(&batch.waiting).lines.len() < MOST {
                thread::yield_now();
            }
            // What waits, what is being written, what the pipe holds, and one line that was just added.
            assert!(added.load(SeqCst) <= (2 * MOST + 64 * 1024) / line.len() + 1, "{added:?}");
            reader.read_exact(&mut vec![0; LINES * line.len()]).expect("every line");
        });
    }
}
