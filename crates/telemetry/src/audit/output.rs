//! Where audit events are written: into the log at once, or into a file by a thread, so that no login waits for a disk.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use prometheus_client::metrics::counter::Counter;

use super::file::{AuditFile, Message};
use super::{super::LogFormat, Audit, Event, folded::FOLDED, now};

/// So many events may wait for the disk: about 6 MB, and nearly a second of 10,000 events a second.
const QUEUE: usize = 8192;
/// How long the end of the process waits for the disk.
const PATIENCE: Duration = Duration::from_secs(2);

/// Events that could be written nowhere.
pub(crate) static LOST: LazyLock<Counter> = LazyLock::new(Counter::default);
/// Those of them that the file has not been told of.
pub(super) static UNTOLD: AtomicU64 = AtomicU64::new(0);
/// Those that are sent to the file's thread, and not yet written.
pub(super) static WAITING: AtomicU64 = AtomicU64::new(0);
static OUTPUT: OnceLock<Output> = OnceLock::new();

enum Output {
    Log(LogFormat),
    File(SyncSender<Message>),
}

/// Begins to write audit events. Fails if their file cannot be opened.
pub fn init(to: &Audit, format: LogFormat) -> io::Result<()> {
    let output = match to {
        Audit::Off => return Ok(()),
        Audit::Log => Output::Log(format),
        Audit::File(path) => {
            let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            let file = AuditFile::open(path).map_err(named)?;
            let (lines, queue) = sync_channel(QUEUE);
            thread::Builder::new().name("audit".into()).spawn(move || file.write_all_of(&queue))?;
            Output::File(lines)
        }
    };
    // Set already only if tests share a process.
    let _ = OUTPUT.set(output);
    Ok(())
}

pub fn is_on() -> bool {
    OUTPUT.get().is_some()
}

/// Whether a line of the log would say again what an event says there.
pub fn is_in_log() -> bool {
    matches!(OUTPUT.get(), Some(Output::Log(_)))
}

pub(super) fn is_file() -> bool {
    matches!(OUTPUT.get(), Some(Output::File(_)))
}

pub(super) fn write(event: &Event, now: DateTime<Utc>) {
    let is_written = match OUTPUT.get() {
        None => true,
        Some(Output::Log(format)) => {
            let line = log_line(event, *format, now);
            line.and_then(|line| io::stderr().lock().write_all(&line)).is_ok()
        }
        Some(Output::File(lines)) => {
            WAITING.fetch_add(1, Ordering::Relaxed);
            let sent = file_line(event, now).is_ok_and(|line| lines.try_send(Message::Line(line)).is_ok());
            if !sent {
                WAITING.fetch_sub(1, Ordering::Relaxed);
            }
            sent
        }
    };
    if !is_written {
        lost(1);
    }
}

pub(super) fn lost(events: u64) {
    LOST.inc_by(events);
    UNTOLD.fetch_add(events, Ordering::Relaxed);
}

/// Opens the file again, because another has been put in its place.
pub(super) fn reopen() {
    if let Some(Output::File(lines)) = OUTPUT.get()
        && lines.try_send(Message::Reopen).is_err()
    {
        tracing::warn!(
            "the file of audit events is not opened again, because too many events wait for it; send SIGHUP again"
        );
    }
}

/// Tells what was held back, and waits until all is written. What the file has not taken or counted, the log counts.
pub fn close() {
    FOLDED.due(now() + TimeDelta::days(2)).iter().for_each(|event| write(event, now()));
    let begun = Instant::now();
    while WAITING.load(Ordering::Relaxed) > 0 && begun.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(1));
    }
    let events = WAITING.load(Ordering::Relaxed) + UNTOLD.load(Ordering::Relaxed);
    if events > 0 {
        tracing::warn!(events, "audit events are lost: until the end of the process their file did not take them");
    }
}

pub(super) fn file_line(event: &Event, now: DateTime<Utc>) -> io::Result<Vec<u8>> {
    let mut line = Vec::with_capacity(1024);
    event.write_ocsf(&event.message(), now, &mut line)?;
    line.push(b'\n');
    Ok(line)
}

fn log_line(event: &Event, format: LogFormat, now: DateTime<Utc>) -> io::Result<Vec<u8>> {
    let (timestamp, message) = (now.to_rfc3339_opts(SecondsFormat::Micros, true), event.message());
    let mut line = Vec::with_capacity(1024);
    if format == LogFormat::Text {
        write!(line, "{timestamp}  INFO audit: {}", message.replace(char::is_control, " "))?;
        let until = event.until.map(|until| until.to_rfc3339_opts(SecondsFormat::Secs, true));
        for (name, value) in [
            ("by", event.by.as_deref()),
            ("user", event.user.as_ref().map(|user| user.as_str())),
            ("app", event.app.as_ref().map(|app| app.as_str())),
            ("person", event.person.as_deref()),
            ("client", event.origin.address.as_deref()),
            ("until", until.as_deref()),
            ("request_id", event.origin.request_id.as_deref()),
            ("trace_id", event.origin.trace_id.as_deref()),
        ] {
            value.map_or(Ok(()), |value| write!(line, " {name}={value}"))?;
        }
    } else {
        write!(line, r#"{{"timestamp":"{timestamp}","level":"INFO","target":"audit","#)?;
        if let Some(id) = &event.origin.request_id {
            line.extend_from_slice(br#""request_id":"#);
            serde_json::to_writer(&mut line, id)?;
            line.push(b',');
        }
        let begun = line.len();
        event.write_ocsf(&message, now, &mut line)?;
        // Its members go on with those before them.
        line.remove(begun);
    }
    line.push(b'\n');
    Ok(line)
}
