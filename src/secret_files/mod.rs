//! Files that hold secrets. They are written with mode 0600, and refused if others can read them.

mod exposure;
mod watched;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use zeroize::Zeroizing;

pub use self::exposure::exposed;
pub use self::watched::{Settled, WatchedFile};

use crate::findings::Message;

/// Why a secret file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{path}: {source}", path = .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} exists already and is not overwritten", path = .0.display())]
    Exists(PathBuf),
    /// `is_ours` is true if this user can change the mode.
    #[error("{path} can be read by others (mode {mode:04o})", path = .path.display())]
    Exposed {
        path: PathBuf,
        mode: u32,
        is_ours: bool,
    },
}

impl FileError {
    /// Says what to do, if anything is certain to help. `make` is the command that makes a missing
    /// file, without its path. The advice names a backup first, because a new file cannot open or
    /// verify what the lost one sealed or signed.
    pub fn cure(&self, make: Option<&str>) -> Option<Message> {
        match self {
            Self::Io { path, source } if source.kind() == io::ErrorKind::NotFound => {
                match path.parent() {
                    Some(folder) if folder.parent().is_some() && !folder.exists() => {
                        Some(message!(make_its_folder_first, folder.display()))
                    }
                    _ => make.map(|make| message!(restore_it_or_make_it, make, path.display())),
                }
            }
            Self::Exposed {
                path,
                is_ours: true,
                ..
            } => Some(message!(run_chmod_600, path.display())),
            // This user cannot change the file.
            Self::Exposed { path, .. } => Some(message!(
                run_as_root_chown_chmod_600,
                geteuid().as_raw(),
                path.display()
            )),
            _ => None,
        }
    }

    /// The error, followed by [`Self::cure`].
    pub fn with_cure(&self, make: Option<&str>) -> Message {
        [Some(self.into()), self.cure(make)]
            .into_iter()
            .flatten()
            .collect()
    }
}

in_chinese! {
    &FileError:
        io @ FileError::Io { .. } => "{io}",
        FileError::Exists(path) => "{} 已存在，没有覆盖" [path.display()],
        FileError::Exposed { path, mode, .. } => "{} 可以被其他用户读取（权限 {mode:04o}）" [path.display()];
}

/// The text that the Kubernetes manifests contain where only the operator knows the value.
pub const PLACEHOLDER: &str = "REPLACE-ME";

/// The commands that make such files; the path of the file follows.
pub const MAKE_KEYS: &str = "wxmint keys generate --keys";
pub const MAKE_USERS: &str = "wxmint users add NAME --users";
pub const MAKE_ID_KEY: &str = "wxmint keys id-key";
pub const MAKE_VAULT_KEY: &str = "umask 077; openssl rand -base64 32 >";

/// An invisible character that editors on Windows put before a text in UTF-8.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// The one value in a file, without the byte order mark and the line breaks that editors put around
/// it.
pub fn one_value(text: &str) -> &str {
    text.trim_start_matches(BYTE_ORDER_MARK)
        .trim_end_matches(['\n', '\r'])
}

/// Reads a secret file, unless others can read or change it.
pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let failed = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut content = read_file(path, u64::MAX).map_err(failed)?;
    if str::from_utf8(&content).is_ok_and(|text| text.starts_with(BYTE_ORDER_MARK)) {
        content.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    exposed(path, 0o077)
        .map_err(failed)?
        .map_or(Ok(content), Err)
}

/// Reads no more than the first `most` bytes of a file.
pub fn read_file(path: &Path, most: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    // Checked first, because opening a pipe waits for a writer.
    let found = fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // Has room beyond the end, so that the buffer never grows, which would leave a part of the
    // secret behind.
    let mut content = Zeroizing::new(Vec::with_capacity(found.len().min(most) as usize + 32));
    File::open(path)?.take(most).read_to_end(&mut content)?;
    Ok(content)
}

/// Writes a new secret file with mode 0600 and returns once it is on the disk. It never overwrites
/// a file, because a lost secret cannot be made again.
pub fn create_private(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_new(path, content)
        .map(drop)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
            _ => FileError::Io {
                path: path.to_owned(),
                source,
            },
        })
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let written = file.write_all(content).and_then(|()| file.sync_all());
    // Half a secret is useless and would block the next attempt.
    written
        .inspect_err(|_| _ = fs::remove_file(path))
        .map(|()| file)
}

/// An exclusive lock on replacing a file, held until dropped. The lock is on a second file beside
/// it, because each replacement puts a new file in place of the old one.
pub struct Held {
    path: PathBuf,
    _lock: File,
}

impl Held {
    /// Waits until no other process holds `path`. If it is a link, the file that it points to is
    /// locked and replaced.
    pub fn wait(path: &Path) -> Result<Self, FileError> {
        Self::lock(fs::canonicalize(path).map_err(|source| FileError::Io {
            path: path.to_owned(),
            source,
        })?)
    }

    /// As [`Held::wait`]; if there is no file, creates one with `content`.
    pub fn wait_or_create(path: &Path, content: &[u8]) -> Result<Self, FileError> {
        match Self::wait(path) {
            Err(FileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            held => return held,
        }
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder).map_err(|source| FileError::Io {
            path: path.to_owned(),
            source,
        })?;
        let held = Self::lock(folder.join(path.file_name().unwrap_or_default()))?;
        // The file is created under the lock, so that a process that finds the file and waits for
        // the lock finds it complete.
        let created = create_private(&held.path, content);
        if let Err(FileError::Exists(_)) = created {
            Ok(held)
        } else {
            created.map(|()| held)
        }
    }

    fn lock(path: PathBuf) -> Result<Self, FileError> {
        let beside = beside(&path, "lock");
        let open = |is_new| {
            OpenOptions::new()
                .write(true)
                .create_new(is_new)
                .mode(0o600)
                .open(&beside)
        };
        let lock = match open(true) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(false),
            // A new lock is given to the owner of the file, who will hold it later. An existing
            // lock is not given away, because it may be a link.
            made => made.inspect(|lock| {
                if let Ok(file) = fs::metadata(&path) {
                    _ = fchown(lock, Some(file.uid()), Some(file.gid()));
                }
            }),
        };
        let lock = lock.and_then(|lock| lock.lock().map(|()| lock));
        Ok(Self {
            path,
            _lock: lock.map_err(|source| FileError::Io {
                path: beside,
                source,
            })?,
        })
    }

    /// Replaces the file's content atomically: a reader sees the old or the new content, even if
    /// this process or the machine dies. Owner and mode stay.
    pub fn replace(&self, content: &[u8]) -> Result<(), FileError> {
        let new = beside(&self.path, "new");
        // Removes the unfinished file; it is no error if there is none.
        let replaced = self
            .replace_by(&new, content)
            .inspect_err(|_| _ = fs::remove_file(&new));
        replaced.map_err(|source| FileError::Io {
            path: self.path.clone(),
            source,
        })
    }

    /// Writes the whole file `new`, with owner and mode of the present one, and puts it in its
    /// place.
    fn replace_by(&self, new: &Path, content: &[u8]) -> io::Result<()> {
        let old = fs::metadata(&self.path)?;
        // A process that died may have left this file. Under the lock, nobody else is writing it.
        let removed = fs::remove_file(new);
        removed.or_else(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                Ok(())
            } else {
                Err(error)
            }
        })?;
        let file = write_new(new, content)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        file.set_permissions(old.permissions())?;
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all()
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{ending}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder =
            std::env::temp_dir().join(format!("wxmint-file-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn the_mark_that_windows_puts_before_a_text_is_no_part_of_it() {
        let path = folder("mark").join("clients.json");
        for (content, read) in [
            ("\u{feff}{}", "{}"),
            ("{}\u{feff}", "{}\u{feff}"),
            ("\u{feff}", ""),
            ("", ""),
        ] {
            let _ = fs::remove_file(&path);
            create_private(&path, content.as_bytes()).expect("written");
            assert_eq!(
                read_private(&path).expect("ours")[..],
                *read.as_bytes(),
                "{content:?}"
            );
        }
        let values = ["\u{feff}a secret\r\n", "a secret\n", "a secret"].map(one_value);
        assert_eq!(values, ["a secret"; 3]);
    }

    #[test]
    fn what_is_no_file_is_refused_unread_and_nobody_is_told_to_change_its_mode() {
        for path in ["/dev/null", "/dev/zero", "/dev"] {
            let refused = read_private(Path::new(path)).expect_err(path);
            assert!(
                refused.to_string().contains("it is not a regular file"),
                "{path}: {refused}"
            );
            assert_eq!(refused.cure(None), None, "{path}");
        }
    }

    #[test]
    fn a_replacement_that_died_leaves_the_old_content_and_is_in_nobodys_way() {
        let folder = folder("died");
        let path = folder.join("keys.json");
        for (left, mode) in [("", 0o600), ("ne", 0o600), ("new", 0o640)] {
            fs::write(&path, "old").expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
            let held = Held::wait(&path).expect("held");
            // Everything is written beside the file until the rename.
            write_new(&beside(&path, "new"), left.as_bytes()).expect("written");
            fs::set_permissions(beside(&path, "new"), fs::Permissions::from_mode(mode))
                .expect("a mode");
            assert_eq!(
                fs::read_to_string(&path).expect("readable"),
                "old",
                "{left}"
            );
            held.replace(b"newer").expect("replaced");
            assert_eq!(fs::read_to_string(&path).expect("readable"), "newer");
            assert_eq!(
                fs::metadata(&path).expect("there").permissions().mode() & 0o777,
                0o640,
                "the mode stays"
            );
            assert!(!beside(&path, "new").exists());
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_replaced_file_keeps_its_owner_who_gets_its_lock_unless_that_was_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        create_private(&path, b"old").expect("written");
        // Only root can give files away.
        let owner = if std::os::unix::fs::chown(&path, Some(65_534), Some(65_534)).is_ok() {
            (65_534, 65_534)
        } else {
            fs::metadata(&path)
                .map(|file| (file.uid(), file.gid()))
                .expect("there")
        };
        let owner_of = |path: &Path| {
            fs::metadata(path)
                .map(|file| (file.uid(), file.gid()))
                .expect("there")
        };
        Held::wait(&path)
            .expect("held")
            .replace(b"new")
            .expect("replaced");
        assert_eq!(
            [owner_of(&path), owner_of(&beside(&path, "lock"))],
            [owner; 2]
        );

        let (ours, lock) = (folder.path().join("ours"), beside(&path, "lock"));
        create_private(&ours, b"").expect("written");
        let before = owner_of(&ours);
        fs::remove_file(&lock).expect("there");
        std::os::unix::fs::symlink(&ours, &lock).expect("a link");
        Held::wait(&path).expect("held");
        assert_eq!(
            owner_of(&ours),
            before,
            "no link makes root give away another file"
        );
    }

    #[test]
    fn a_failed_replacement_leaves_the_old_content_and_nothing_beside_it() {
        let folder = folder("failed");
        let path = folder.join("keys.json");
        fs::write(&path, "old").expect("written");
        let held = Held::wait(&path).expect("held");
        fs::create_dir(beside(&path, "new")).expect("a folder in the way");
        assert!(held.replace(b"new").is_err());
        assert_eq!(fs::read_to_string(&path).expect("readable"), "old");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_second_holder_waits_for_the_first() {
        let folder = folder("held");
        let path = folder.join("keys.json");
        fs::write(&path, "0").expect("written");
        let add = |_| {
            let held = Held::wait(&path).expect("held");
            let number: u32 = fs::read_to_string(&path)
                .expect("readable")
                .parse()
                .expect("a number");
            held.replace((number + 1).to_string().as_bytes())
                .expect("replaced");
        };
        std::thread::scope(|scope| {
            (0..16).for_each(|index| drop(scope.spawn(move || add(index))));
        });
        assert_eq!(fs::read_to_string(&path).expect("readable"), "16");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_file_that_many_create_at_once_is_created_once() {
        let folder = folder("made");
        let path = folder.join("users");
        let add = |_| {
            let held = Held::wait_or_create(&path, b"begun;").expect("held");
            let content = fs::read(&path).expect("readable");
            held.replace(&[&content[..], b"added;"].concat())
                .expect("replaced");
        };
        std::thread::scope(|scope| {
            (0..16).for_each(|index| drop(scope.spawn(move || add(index))));
        });
        assert_eq!(
            fs::read_to_string(&path).expect("readable"),
            format!("begun;{}", "added;".repeat(16))
        );
        let error = Held::wait_or_create(&folder.join("nowhere/users"), b"")
            .map(drop)
            .expect_err("no folder");
        assert!(
            error
                .with_cure(Some(MAKE_USERS))
                .to_string()
                .contains("make the folder"),
            "{error}"
        );
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_link_is_followed_and_stays_a_link() {
        let folder = folder("link");
        let (path, link) = (folder.join("real.json"), folder.join("keys.json"));
        fs::write(&path, "old").expect("written");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        Held::wait(&link)
            .expect("held")
            .replace(b"new")
            .expect("replaced");
        assert_eq!(fs::read_to_string(&path).expect("readable"), "new");
        assert!(link.is_symlink());
        fs::remove_dir_all(folder).expect("removed");
    }
}
