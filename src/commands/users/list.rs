//! `wxmint users list`

use std::path::Path;

use serde_json::json;

use super::Failure;
use crate::accounts::{User, UsersFile};

#[expect(clippy::print_stdout, reason = "a command that prints to people")]
pub(super) fn run(path: &Path, as_json: bool) -> Result<(), Failure> {
    let file = UsersFile::read(path)?;
    if as_json {
        println!("{}", file.users().map(machine_readable).collect::<serde_json::Value>());
        return Ok(());
    }
    for user in file.users() {
        println!("{}\t{}\t{}", user.name.as_str(), user.id, state(user));
    }
    Ok(())
}

fn state(user: &User) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

fn machine_readable(user: &User) -> serde_json::Value {
    json!({ "name": user.name.as_str(), "user_id": user.id, "state": state(user) })
}
