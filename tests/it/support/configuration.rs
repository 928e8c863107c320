//! The environment of a `wxmint serve`: complete and right, until a test changes something.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::{collections::BTreeMap, io::Write, process::Command};

use tempfile::TempDir;
use wxmint_keys::{PrivateJwk, StoredKeys};

use super::{Ended, WXMINT, wxmint};

pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const APPID: &str = "wx0123456789abcdef";
pub(crate) const APP_SECRET: &str = "00112233445566778899aabbccddeeff";
/// A second mini program, of the same owner.
pub(crate) const OTHER_APPID: &str = "wxfedcba9876543210";
pub(crate) const OTHER_SECRET: &str = "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf";
/// For a test of what a thread knows by itself. Connections take turns at the threads of a service.
pub(crate) const ONE_THREAD: (&str, &str) = ("THREADS", "1");
/// base64 of 32 bytes.
const VAULT_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";

pub(crate) struct Configuration {
    environment: BTreeMap<String, String>,
    folder: TempDir,
}

impl Configuration {
    /// With keys of its own, and nothing at Redis' and WeChat's addresses.
    pub(crate) fn new(algorithm: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (keys, vault) = (
            folder.path().join("keys.json"),
            folder.path().join("vault.key"),
        );
        generate_keys(&keys, algorithm);
        write_private(&vault, VAULT_KEY);
        let mut configuration = Self {
            environment: BTreeMap::new(),
            folder,
        };
        configuration.set_all([
            ("WXMINT_ISSUER", ISSUER),
            ("WXMINT_APPID", APPID),
            ("WXMINT_APP_SECRET", APP_SECRET),
            ("WXMINT_REDIS_URL", "redis://127.0.0.1:1"),
            ("WXMINT_WECHAT_URL", "http://127.0.0.1:1"),
            ("WXMINT_KEYS", &keys.to_string_lossy()),
            ("WXMINT_VAULT_KEY_FILE", &vault.to_string_lossy()),
            ("WXMINT_LISTEN", "127.0.0.1:0"),
            ("WXMINT_ADMIN_LISTEN", "127.0.0.1:0"),
            // All tests come from one address, and many ask for one person again and again.
            ("WXMINT_LIMIT_IP", "1000000/1s"),
            ("WXMINT_LIMIT_OPENID", "1000000/1s"),
            ("WXMINT_PHONE_NUMBERS_PER_PERSON", "1000"),
        ]);
        configuration
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn set_all<N: AsRef<str>, V: AsRef<str>>(
        &mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) {
        variables
            .into_iter()
            .for_each(|(name, value)| self.set(name.as_ref(), value.as_ref()));
    }

    pub(crate) fn unset(&mut self, name: &str) {
        self.environment.remove(name);
    }

    pub(crate) fn value(&self, name: &str) -> &str {
        &self.environment[name]
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The lines of a `.env` with this environment.
    pub(crate) fn lines(&self) -> String {
        self.environment
            .iter()
            .map(|(name, value)| format!("{name}='{value}'\n"))
            .collect()
    }

    /// `wxmint serve`, with this environment and nothing of ours.
    pub(crate) fn command(&self) -> Command {
        self.command_of(&["serve"])
    }

    /// Another command of wxmint, in the same way.
    pub(crate) fn command_of(&self, words: &[&str]) -> Command {
        let mut command = wxmint();
        if self.get(ONE_THREAD.0).is_some() {
            // It has as many as there are cores.
            let status = fs::read_to_string("/proc/self/status").expect("Linux");
            let cores = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
                .expect("cores");
            let first = cores.trim().split(['-', ',']).next().expect("a core");
            command = Command::new("taskset");
            command.args(["--cpu-list", first, WXMINT]).current_dir("/");
        }
        command.args(words).env_clear().envs(&self.environment);
        command
    }

    /// Runs `wxmint serve` with settings that it refuses; returns what it says of them.
    pub(crate) async fn refused(&self) -> String {
        let outcome = self.run().await;
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        outcome.stderr
    }

    /// Runs `wxmint serve` where it should not come up, to its end.
    pub(crate) async fn run(&self) -> Ended {
        Ended::within_patience(&mut self.command()).await
    }
}

/// A folder of AppSecrets as an operator makes it.
pub(crate) fn apps_folder(apps: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (id, secret) in apps {
        write_private(&folder.path().join(id), &format!("{secret}\n"));
    }
    folder
}

/// As `wxmint keys generate` does, without a process for each test bed.
fn generate_keys(path: &Path, algorithm: &str) {
    let algorithm = algorithm.parse().expect("an algorithm");
    let keys =
        StoredKeys::of([PrivateJwk::generate(algorithm, wxmint::clock::now()).expect("a key")]);
    write_private(path, str::from_utf8(&keys.content()).expect("JSON"));
}

/// As an operator replaces a file: all at once.
pub(crate) fn replace(path: &Path, content: &str) {
    let beside = path.with_file_name(".new");
    write_private(&beside, content);
    fs::rename(beside, path).expect("renamed");
}

pub(crate) fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("our file");
}

/// A file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &str) {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .expect("a new file");
    assert!(fs::metadata(path).is_ok());
}
