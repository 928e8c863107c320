//! A file of secrets that is read again while the process runs.

use std::{
    fs, io,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::{FileError, read_private};

/// A file, and the hash of the content that is in use. Content is compared and not dates, because Kubernetes swaps a link.
#[derive(Debug, Clone)]
pub struct WatchedFile {
    path: PathBuf,
    in_use: Vec<u8>,
}

impl WatchedFile {
    /// Reads the file for the first time, and takes its content as the one in use.
    pub fn open(path: &Path) -> Result<(Self, Zeroizing<Vec<u8>>), FileError> {
        let content = read_private(path)?;
        Ok((Self { path: path.to_owned(), in_use: hash(&content) }, content))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn read(&self) -> Result<Zeroizing<Vec<u8>>, FileError> {
        // Opening a pipe waits for a writer, and this thread serves requests.
        if fs::metadata(&self.path).is_ok_and(|found| found.file_type().is_fifo()) {
            let source = io::Error::other("it is a pipe, which cannot be read again");
            return Err(FileError::Io { path: self.path.clone(), source });
        }
        read_private(&self.path)
    }

    /// Reads the file again. `None` if its content is the one in use.
    pub fn changed(&self) -> Result<Option<Zeroizing<Vec<u8>>>, FileError> {
        self.read().map(|content| Some(content).filter(|content| !self.is_in_use(content)))
    }

    pub fn is_in_use(&self, content: &[u8]) -> bool {
        self.in_use == hash(content)
    }

    pub fn put_in_use(&mut self, content: &[u8]) {
        self.in_use = hash(content);
    }
}

fn hash(content: &[u8]) -> Vec<u8> {
    digest(&SHA256, content).as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc::channel, thread, time::Duration};

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use crate::secret_files::create_private;

    #[test]
    fn a_pipe_in_place_of_the_file_is_refused_without_waiting_for_a_writer() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("clients.json");
        create_private(&path, b"{}").expect("written");
        let (file, _) = WatchedFile::open(&path).expect("our file");
        fs::remove_file(&path).expect("our file");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let (sender, read) = channel();
        thread::spawn(move || sender.send(file.changed().map(|_| ()).map_err(|error| error.to_string())));
        let said = read.recv_timeout(Duration::from_secs(10)).expect("an answer at once");
        assert!(said.expect_err("no file").contains("it is a pipe, which cannot be read again"));
    }
}
