//! Whether strangers can read or change a file of secrets.

use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::{io, path::Path};

use rustix::process::geteuid;

use super::FileError;

/// The rights to write of everybody except the owner.
const WRITE: u32 = 0o022;
/// Where Docker, Compose and Podman mount secrets.
const OF_CONTAINERS: &str = "/run/secrets";
/// The mounts of this process (proc(5)).
const MOUNTS: &str = "/proc/self/mountinfo";

/// The error if the mode gives one of these `rights`, and nothing else keeps strangers away.
pub fn exposed(path: &Path, rights: u32) -> io::Result<Option<FileError>> {
    let file = fs::metadata(path)?;
    let mode = file.permissions().mode() & 0o777;
    let own = geteuid().as_raw();
    let is_exposed = mode & rights != 0
        && !is_of_kubelet(path)
        && !is_of_root_for_a_group(&file, mode, own)
        && !is_mounted_for_this(path, &file, mode, own);
    let is_ours = own == 0 || own == file.uid();
    Ok(is_exposed.then(|| FileError::Exposed {
        path: path.to_owned(),
        mode,
        is_ours,
    }))
}

/// Whether the file is part of a mounted Secret. Its folder contains the link `..data`, which the
/// kubelet swaps. Kubernetes sets owner, group and mode, and the pod decides who may read it.
fn is_of_kubelet(path: &Path) -> bool {
    path.parent()
        .is_some_and(|folder| folder.join("..data").is_symlink())
}

/// Whether root lets one group read the file, and this process is in that group. Packages and
/// systemd install secrets in this way. The group `root` does not count, because no service has it
/// for its own.
fn is_of_root_for_a_group(file: &Metadata, mode: u32, own: u32) -> bool {
    mode & 0o037 == 0 && file.uid() == 0 && (own != 0 || file.gid() != 0)
}

/// Whether the file was mounted into this process' container, where no other user is and its mode
/// cannot be changed.
fn is_mounted_for_this(path: &Path, file: &Metadata, mode: u32, own: u32) -> bool {
    let Ok(path) = fs::canonicalize(path) else {
        return false;
    };
    let is_kept = path.starts_with(OF_CONTAINERS) && file.uid() == 0 && own != 0;
    let is_mounted =
        || fs::read_to_string(MOUNTS).is_ok_and(|mounts| is_read_only_mount(&mounts, &path));
    mode & WRITE == 0 && (is_kept || is_mounted())
}

/// Whether the last mount at `path` is of this one file or folder, and read-only.
fn is_read_only_mount(mounts: &str, path: &Path) -> bool {
    let options = mounts
        .lines()
        .rfind(|line| {
            let place = line.split(' ').nth(4);
            place.is_some_and(|place| Path::new(place) == path)
        })
        .and_then(|line| line.split(' ').nth(5));
    options.is_some_and(|options| options.split(',').any(|option| option == "ro"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::chown;

    use super::{super::read_private, *};

    #[test]
    fn a_file_that_anybody_but_its_owner_may_use_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        fs::write(&path, "a secret").expect("written");
        let read_as = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            read_private(&path)
                .map(|content| content.to_vec())
                .map_err(|error| error.with_cure(None))
        };
        for mode in [0o600, 0o400, 0o700] {
            assert_eq!(read_as(mode), Ok(b"a secret".to_vec()), "{mode:o}");
        }
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601] {
            let refused = read_as(mode).expect_err("exposed");
            assert!(
                refused.contains(&format!(
                    "(mode {mode:04o}); run: chmod 600 {}",
                    path.display()
                )),
                "{refused}"
            );
        }
        std::os::unix::fs::symlink("elsewhere", folder.path().join("..data")).expect("a link");
        assert!(
            read_as(0o640).is_ok(),
            "of a mounted Secret the pod decides"
        );
    }

    #[test]
    fn a_file_of_root_that_one_group_may_read_is_taken_and_no_wider_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        fs::write(&path, "a secret").expect("written");
        // Only root can give files away.
        if chown(&path, Some(0), Some(65_534)).is_err() {
            return;
        }
        for (mode, taken) in [
            (0o640, true),
            (0o440, true),
            (0o660, false),
            (0o644, false),
            (0o641, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
            assert_eq!(read_private(&path).is_ok(), taken, "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        chown(&path, Some(65_534), Some(65_534)).expect("root");
        assert!(
            read_private(&path).is_err(),
            "another user than root can change it"
        );
        let file = |uid, gid| {
            chown(&path, Some(uid), Some(gid)).expect("root");
            fs::metadata(&path).expect("there")
        };
        assert!(
            is_of_root_for_a_group(&file(0, 65_532), 0o640, 65_532)
                && is_of_root_for_a_group(&file(0, 0), 0o440, 9)
        );
        assert!(
            !is_of_root_for_a_group(&file(0, 0), 0o640, 0),
            "chmod is possible, and right"
        );
    }

    #[test]
    fn a_file_that_is_a_read_only_mount_is_known_by_the_last_one_at_its_place() {
        let mounts = "36 35 98:0 / / rw,relatime - overlay overlay rw\n\
                      40 36 8:1 /x /run/secrets/a ro,relatime - ext4 /dev/sda rw\n\
                      41 36 8:1 /x /run/secrets/b rw,relatime - ext4 /dev/sda ro\n\
                      42 36 8:1 /x /keys/c ro - ext4 /dev/sda rw\n\
                      43 36 8:1 /y /keys/c rw - ext4 /dev/sda rw\n\
                      44 36 8:1 /etc /etc ro - ext4 /dev/sda rw\n";
        for (path, is) in [
            ("/run/secrets/a", true),
            ("/run/secrets/b", false),
            ("/run/secrets/ab", false),
            ("/keys/c", false),
            ("/etc/wxmint/keys.json", false),
            ("/", false),
        ] {
            assert_eq!(is_read_only_mount(mounts, Path::new(path)), is, "{path}");
        }
    }
}
