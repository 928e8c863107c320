//! A file of secrets that is read again while the process runs.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::{FileError, read_private};

/// The result of the last look. Editors and `cp` write in place, and half a file may be valid and
/// mean something else. So content counts once two looks have found the same.
#[derive(Debug, Clone, Default)]
pub struct Settled(Option<Vec<u8>>);

impl Settled {
    /// Returns the content if it is the same as at the last look.
    pub fn of<T: AsRef<[u8]>, E>(&mut self, found: Result<T, E>) -> Result<Option<T>, E> {
        let found = found.inspect_err(|_| self.0 = None)?;
        let before = self.0.replace(hash(found.as_ref()));
        Ok((before == self.0).then_some(found))
    }
}

/// A file, and the hash of the content that is in use. Content is compared, not dates, because
/// Kubernetes swaps links.
#[derive(Debug, Clone)]
pub struct WatchedFile {
    pub path: PathBuf,
    in_use: Vec<u8>,
    seen: Settled,
}

impl WatchedFile {
    /// Reads the file for the first time, and takes its content as the one in use.
    pub fn open(path: &Path) -> Result<(Self, Zeroizing<Vec<u8>>), FileError> {
        let content = read_private(path)?;
        let in_use = hash(&content);
        Ok((
            Self {
                path: path.to_owned(),
                seen: Settled(Some(in_use.clone())),
                in_use,
            },
            content,
        ))
    }

    /// Looks at the file. `None` until two looks in a row find the same content.
    pub fn look(&mut self) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        self.seen.of(read_private(&self.path))
    }

    /// Whether this content is in use.
    pub fn is_in_use(&self, content: &[u8]) -> bool {
        self.in_use == hash(content)
    }

    /// Notes that this content is in use now.
    pub fn put_in_use(&mut self, content: &[u8]) {
        self.in_use = hash(content);
    }

    /// Treats no content as in use, so that the next look takes up whatever it finds.
    pub fn invalidate(&mut self) {
        self.in_use.clear();
    }
}

fn hash(content: &[u8]) -> Vec<u8> {
    digest(&SHA256, content).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::mpsc::channel, thread, time::Duration};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::secret_files::create_private;

    #[test]
    fn a_pipe_in_place_of_the_file_is_refused_without_waiting_for_a_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clients.json");
        create_private(&path, b"{}").expect("written");
        let (mut file, _) = WatchedFile::open(&path).expect("our file");
        fs::remove_file(&path).expect("our file");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let (sender, read) = channel();
        thread::spawn(move || {
            sender.send(file.look().map(|_| ()).map_err(|error| error.to_string()))
        });
        let said = read
            .recv_timeout(Duration::from_secs(10))
            .expect("an answer at once");
        assert!(
            said.expect_err("no file")
                .contains("it is not a regular file")
        );
    }

    #[test]
    fn content_counts_once_two_looks_have_found_the_same() {
        let mut settled = Settled::default();
        let looks = [
            Ok("half"),
            Ok("whole"),
            Ok("whole"),
            Ok("whole"),
            Err(()),
            Ok("whole"),
            Ok("whole"),
            Ok(""),
        ];
        let counted = looks.map(|found| settled.of(found));
        let expected = [
            Ok(None),
            Ok(None),
            Ok(Some("whole")),
            Ok(Some("whole")),
            Err(()),
            Ok(None),
            Ok(Some("whole")),
        ];
        assert_eq!(counted[..7], expected);
        assert_eq!(
            counted[7],
            Ok(None),
            "an editor leaves a file empty for a moment"
        );
    }
}
