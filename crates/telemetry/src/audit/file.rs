//! The file of audit events, which a thread of its own writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{atomic::Ordering, mpsc::Receiver};
use std::time::{Duration, Instant};
use std::{mem, thread};

use rustix::fs::{Mode, OFlags, fcntl_setfl, open, openat};
use rustix::{io::Errno, process::geteuid};

use super::output::WAITING;
use super::{Activity, Event, LOST, TOLD, folded::Several, now};

/// Waiting lines are written together, about this many bytes at once.
const BATCH: usize = 64 * 1024;
/// How long lines gather before they are written. An event that must wake the file's thread costs
/// its login 20 µs.
const GATHER: Duration = Duration::from_millis(2);
const WARN_AGAIN: Duration = Duration::from_mins(1);

pub(super) enum Message {
    Line(Vec<u8>),
    Reopen,
}

pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    /// The same file, opened to read its end. `None` for a pipe.
    reader: Option<File>,
    /// Whether the last written line is incomplete.
    is_torn: bool,
    warned: Option<Instant>,
}

impl AuditFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = opened(path)?;
        // Only a regular file is opened for reading: opening a pipe would wait for its writer.
        let reader = path.is_file().then(|| File::open(path).ok()).flatten();
        Ok(Self {
            path: path.into(),
            file,
            reader,
            is_torn: false,
            warned: None,
        })
    }

    pub(super) fn write_all_of(mut self, queue: &Receiver<Message>) {
        let mut lines = Vec::with_capacity(BATCH + 4096);
        let mut next = None;
        while let Some(message) = next.take().or_else(|| queue.recv().ok()) {
            match message {
                Message::Line(line) => {
                    thread::sleep(GATHER);
                    lines.extend(line);
                    while lines.len() < BATCH && next.is_none() {
                        match queue.try_recv() {
                            Ok(Message::Line(line)) => lines.extend(line),
                            Ok(other) => next = Some(other),
                            Err(_) => break,
                        }
                    }
                    self.write(&lines);
                    WAITING.fetch_sub(ends(&lines), Ordering::Relaxed);
                    lines.clear();
                }
                Message::Reopen => match Self::open(&self.path) {
                    Ok(opened) => self.take(opened),
                    Err(error) => {
                        tracing::error!(%error, file = %self.path.display(), "the file of audit events cannot be opened again; the previous one stays in use");
                    }
                },
            }
        }
    }

    /// Writes these lines. Before them, writes how many events were lost.
    fn write(&mut self, lines: &[u8]) {
        if let Err(error) = self.replace_deleted() {
            return self.lose(ends(lines), &error);
        }
        // Only this thread reports lost events. Until the line is written, they count as
        // unreported.
        let untold = LOST.get() - TOLD.load(Ordering::Relaxed);
        if untold > 0 {
            let count = untold.try_into().unwrap_or(u32::MAX);
            let several = Some(Several {
                count,
                first: now(),
                last: now(),
            });
            let loss = Event {
                activity: Activity::LOSS,
                several,
                ..Event::default()
            };
            if self.append(&loss.end_line(now(), Vec::new())).is_ok() {
                TOLD.fetch_add(untold, Ordering::Relaxed);
                tracing::warn!(events = untold, file = %self.path.display(), "audit events were lost; the file can be written again");
            }
        }
        if let Err((events, error)) = self.append(lines) {
            self.lose(events, &error);
        }
    }

    /// Reopens a deleted file. Lines written to it would be lost without an error.
    fn replace_deleted(&mut self) -> io::Result<()> {
        if !is_deleted(&self.file) {
            return Ok(());
        }
        let opened = Self::open(&self.path)?;
        // A link such as /dev/stdout leads to the deleted file again.
        if is_deleted(&opened.file) {
            return Err(io::Error::other("is deleted"));
        }
        self.take(opened);
        Ok(())
    }

    fn lose(&mut self, events: u64, error: &io::Error) {
        LOST.inc_by(events);
        if self.warned.is_none_or(|at| at.elapsed() >= WARN_AGAIN) {
            self.warned = Some(Instant::now());
            tracing::warn!(%error, file = %self.path.display(), "audit events are lost, because their file cannot be written");
        }
    }

    /// Whether the file ends within a line, which another process may have left incomplete. `None`
    /// if the file cannot be read.
    fn ends_torn(&self) -> Option<bool> {
        let reader = self.reader.as_ref()?;
        let mut last = *b"\n";
        reader
            .read_at(&mut last, reader.metadata().ok()?.len().saturating_sub(1))
            .ok()?;
        Some(last != *b"\n")
    }

    /// Appends lines. The error says how many of them are missing or incomplete. After an
    /// incomplete line, begins with a line break.
    fn append(&mut self, lines: &[u8]) -> Result<(), (u64, io::Error)> {
        let begin: &[u8] = if self.ends_torn().unwrap_or(mem::take(&mut self.is_torn)) {
            b"\n"
        } else {
            b""
        };
        let bytes = [begin, lines].concat();
        let mut left = &bytes[..];
        while !left.is_empty() {
            let error = match self.file.write(left) {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(count) => {
                    left = &left[count..];
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let written = &bytes[..bytes.len() - left.len()];
            self.is_torn = written
                .last()
                .map_or(!begin.is_empty(), |last| *last != b'\n');
            let unwritten = &left[left.len().saturating_sub(lines.len())..];
            return Err((ends(unwritten), error));
        }
        Ok(())
    }

    fn take(&mut self, opened: Self) {
        *self = opened;
        tracing::info!(file = %self.path.display(), "the file of audit events was opened again");
    }
}

fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|file| file.nlink() == 0)
}

fn ends(lines: &[u8]) -> u64 {
    lines.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Opens the file for appending, and creates it if needed. A new file belongs to the owner of its
/// folder, so that `wxmint serve` can write a file that `sudo wxmint users` has made. A symbolic
/// link is followed only if link and folder belong to root or this user: another user's link could
/// redirect root's lines.
fn opened(path: &Path) -> io::Result<File> {
    // Files are opened relative to this folder, even if the path leads elsewhere by then.
    let folder = open(
        folder_of(path),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let folder = File::from(folder);
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let append = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let open_file =
        |flags| openat(&folder, name, append | flags, Mode::RUSR | Mode::WUSR).map(File::from);
    match open_file(OFlags::EXCL) {
        Err(Errno::EXIST) => {}
        made => {
            let made = made?;
            let owner = folder.metadata()?;
            // Only root may change the owner. If root lacks that capability, the file stays root's,
            // as without this step.
            _ = geteuid()
                .is_root()
                .then(|| fchown(&made, Some(owner.uid()), Some(owner.gid())));
            return Ok(made);
        }
    }
    // NONBLOCK, because opening a pipe without a reader would wait for one.
    let follow = if is_ours(path)? {
        OFlags::empty()
    } else {
        OFlags::NOFOLLOW
    };
    let file = open_file(follow | OFlags::NONBLOCK).map_err(|error| match error {
        Errno::LOOP => io::Error::other(FOREIGN_LINK),
        Errno::NXIO => io::Error::other(UNREAD),
        error => error.into(),
    })?;
    if file.metadata()?.file_type().is_block_device() {
        return Err(io::Error::other("is a disk; name a file on it"));
    }
    // From here on, writes wait for a slow reader, in the file's own thread.
    fcntl_setfl(&file, OFlags::APPEND)?;
    Ok(file)
}

const UNREAD: &str =
    "is a pipe that nobody reads, or a socket; start its reader first, or set `log`";
/// The error of a symbolic link that is not followed.
pub const FOREIGN_LINK: &str =
    "is a link, and it or its folder belongs to neither root nor this user";

/// Whether the file or link at `path`, and its folder, belong to root or to this user.
pub fn is_ours(path: &Path) -> io::Result<bool> {
    let owners = [
        fs::metadata(folder_of(path))?.uid(),
        fs::symlink_metadata(path)?.uid(),
    ];
    Ok(owners
        .iter()
        .all(|uid| [0, geteuid().as_raw()].contains(uid)))
}

/// The folder that contains `path`; `.` if `path` names none.
pub fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| *folder != "")
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use parking_lot::Mutex;

    use super::*;

    /// Held by each test that writes events. The whole process counts lost events together, and the
    /// next write to any file reports them.
    static WRITING: Mutex<()> = Mutex::new(());

    #[test]
    fn a_loss_is_told_once_before_the_next_event() {
        let _alone = WRITING.lock();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit");
        let mut file = AuditFile::open(&path).expect("a file");
        LOST.inc_by(3);
        (0..2).for_each(|_| file.write(b"{}\n"));
        let text = fs::read_to_string(&path).expect("readable");
        let [loss, "{}", "{}"] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("{text}")
        };
        assert!(
            loss.contains("\"event_code\":\"loss\"") && loss.contains("\"count\":3"),
            "{loss}"
        );
    }

    /// As at a rotation under load: SIGHUP comes while events wait for the disk, and more events
    /// come after it.
    #[test]
    fn events_behind_a_sighup_go_into_the_new_file_however_many_wait_before_it() {
        let _alone = WRITING.lock();
        let folder = tempfile::tempdir().expect("a folder");
        let [path, aside] = ["audit", "audit.1"].map(|name| folder.path().join(name));
        let file = AuditFile::open(&path).expect("a file");
        let (sender, queue) = channel();
        let send = |text: &str| {
            WAITING.fetch_add(1, Ordering::Relaxed);
            let line = Message::Line(format!("{text}\n").into());
            sender.send(line).expect("a queue");
        };
        let hang_up = || sender.send(Message::Reopen).expect("a queue");
        for text in ["first", "second"] {
            send(text);
        }
        hang_up();
        send("third");
        hang_up();
        hang_up();
        send("fourth");
        drop(sender);
        fs::rename(&path, &aside).expect("renamed");
        file.write_all_of(&queue);
        let [old, new] = [aside, path].map(|path| fs::read_to_string(path).unwrap_or_default());
        assert_eq!((&*old, &*new), ("first\nsecond\n", "third\nfourth\n"));
    }

    #[test]
    fn no_line_hangs_on_one_that_another_process_has_torn() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit");
        let mut file = AuditFile::open(&path).expect("a file");
        let mut another = File::options()
            .append(true)
            .open(&path)
            .expect("the same file");
        for torn in ["{", "", "{\"b", ""] {
            another.write_all(torn.as_bytes()).expect("written");
            file.append(b"{}\n").expect("written");
        }
        assert_eq!(
            fs::read_to_string(&path).expect("readable"),
            "{\n{}\n{}\n{\"b\n{}\n{}\n"
        );
    }
}
