//! `wxmint users list`

use std::path::Path;

use serde_json::json;

use super::{Failure, print, read};
use crate::accounts::User;

pub(super) fn run(path: &Path, as_json: bool) -> Result<(), Failure> {
    let file = read(path)?;
    if as_json {
        print(file.users().map(machine_readable).collect::<serde_json::Value>());
        return Ok(());
    }
    for user in file.users() {
        let tab = if user.claims.claims.is_empty() { "" } else { "\t" };
        print(format_args!("{}\t{}\t{}{tab}{}", user.name.as_str(), user.id, state(user), user.claims.text));
    }
    Ok(())
}

fn state(user: &User) -> &'static str {
    if user.disabled { "disabled" } else { "enabled" }
}

fn machine_readable(user: &User) -> serde_json::Value {
    let mut shown = json!({ "name": user.name.as_str(), "user_id": user.id, "state": state(user) });
    if !user.claims.claims.is_empty() {
        shown["claims"] = json!(user.claims.claims);
    }
    shown
}
