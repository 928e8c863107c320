//! Opens the output of audit events, maintains it while the process runs, and closes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use std::{io, path::PathBuf, thread};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::signal::unix::{SignalKind, signal};

use super::file::{AuditFile, Message};
use super::{Event, LOST, OUTPUT, Output, TOLD, folded::FOLDED, now, write};

/// How many events may wait for the disk: about 6 MB, and nearly a second at 10,000 events a
/// second.
const QUEUE: usize = 8192;
/// How long the end of the process waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many events have been sent to the file's thread and are not written yet.
pub(super) static WAITING: AtomicU64 = AtomicU64::new(0);

/// Where audit events are written (`WXMINT_AUDIT`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audit {
    /// To the log, with the target `audit`. They are JSON even if the other lines are text.
    Log,
    /// Appended to this file as JSON lines.
    File(PathBuf),
    /// Nowhere.
    Off,
}

/// Opens the output. Fails if the file cannot be opened.
pub fn init(to: &Audit) -> io::Result<()> {
    let output = match to {
        Audit::Off => return Ok(()),
        Audit::Log => Output::Log,
        Audit::File(path) => {
            let file = AuditFile::open(path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            let (lines, queue) = sync_channel(QUEUE);
            thread::Builder::new()
                .name("audit".into())
                .spawn(move || file.write_all_of(&queue))?;
            Output::File(lines)
        }
    };
    // Set already only if tests share a process.
    let _ = OUTPUT.set(output);
    Ok(())
}

/// Writes folded events once their minute is over, and reopens the file at SIGHUP, for as long as
/// the process runs.
pub async fn run() {
    // A file that grows past RLIMIT_FSIZE would kill the process by SIGXFSZ. With a handler, the
    // write fails instead.
    let _over_limit = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()));
    let mut hangups = if matches!(OUTPUT.get(), Some(Output::File(_))) {
        signal(SignalKind::hangup()).ok()
    } else {
        None
    };
    let mut ticks = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let now = now();
                for event in &FOLDED.due(now) {
                    write(event, now);
                }
            }
            Some(()) = async { hangups.as_mut()?.recv().await } => reopen(),
        }
    }
}

/// Reopens the file, because another file has been put in its place.
fn reopen() {
    if let Some(Output::File(lines)) = OUTPUT.get()
        && lines.try_send(Message::Reopen).is_err()
    {
        tracing::warn!(
            "the file of audit events is not opened again, because too many events wait for it; send SIGHUP again"
        );
    }
}

/// Writes folded events, and waits until the file has all events. Logs how many events the file has
/// neither stored nor reported as lost.
pub fn close() {
    for event in &FOLDED.due(now() + TimeDelta::days(2)) {
        write(event, now());
    }
    let begun = Instant::now();
    while WAITING.load(Ordering::Relaxed) > 0 && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    // Read first, because both grow.
    let told = TOLD.load(Ordering::Relaxed);
    let events = WAITING.load(Ordering::Relaxed) + LOST.get() - told;
    if events > 0 {
        tracing::warn!(
            events,
            "audit events are lost: until the end of the process their file did not take them"
        );
    }
}

/// Sends the event to the file's thread. `false` if too many events wait for the disk.
pub(super) fn is_sent(lines: &SyncSender<Message>, event: &Event, now: DateTime<Utc>) -> bool {
    WAITING.fetch_add(1, Ordering::Relaxed);
    let sent = lines.try_send(Message::Line(event.end_line(now, Vec::with_capacity(1024))));
    sent.inspect_err(|_| _ = WAITING.fetch_sub(1, Ordering::Relaxed))
        .is_ok()
}
