//! A users file, as `wxmint users` writes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, write_private, wxmint};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
/// As `wxmint users add` has once hashed it, which takes long.
const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$kZxt+G/yRlvSTinARHQ53Q$OvnXyLXEzcrG/F40FhJqvRM+qEa0ZpBSU9nnXkf7XaY";
pub(crate) const WRONG_PASSWORD: &str = "incorrect horse battery staple";

pub(crate) struct UsersFile(TempDir);

impl UsersFile {
    /// Each with [`PASSWORD`] and the user id `id-of-NAME`.
    pub(crate) fn of(names: &[&str]) -> Self {
        let file = Self(tempfile::tempdir().expect("a folder"));
        let lines: String = names
            .iter()
            .map(|name| format!("{name}\t{HASH}\tid-of-{name}\n"))
            .collect();
        write_private(&file.path(), &lines);
        file
    }

    pub(crate) fn add(&self, name: &str, user_id: &str) {
        Ended::of(
            &mut users_command(&self.path(), &["add", name, "--user-id", user_id]),
            &format!("{PASSWORD}\n"),
        )
        .expect_success();
    }

    /// `wxmint users WORDS`.
    pub(crate) fn change(&self, words: &[&str]) {
        Ended::of(&mut users_command(&self.path(), words), "").expect_success();
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("users")
    }

    pub(crate) fn setting(&self) -> String {
        format!("file:{}", self.path().display())
    }
}

/// `wxmint users WORDS --users FILE`, with nothing of our environment.
pub(crate) fn users_command(file: &Path, words: &[&str]) -> Command {
    let mut command = wxmint();
    command
        .arg("users")
        .args(words)
        .arg("--users")
        .arg(file)
        .env_clear();
    command
}

/// The fields of a login beside its code, for somebody who knows the password of `name`.
pub(crate) fn password_of(name: &str) -> Value {
    json!({"username": name, "password": PASSWORD})
}

/// The same for somebody who does not.
pub(crate) fn wrong_password_of(name: &str) -> Value {
    json!({"username": name, "password": WRONG_PASSWORD})
}
