//! `wxmint users export-blocks` and `import-blocks`: who is blocked, as NDJSON.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use wxmint_http::run_to_end;
use wxmint_ids::UserId;

use super::{Failure, print, say};
use crate::cli::at_redis::{open, patiently, walk_all};
use crate::login::Operator;

pub(super) fn export() -> Result<(), Failure> {
    let (redis, mut blocked) = (open()?, BTreeSet::new());
    let add = async |user| {
        blocked.insert(user);
        Ok(())
    };
    run_to_end(walk_all(async |from| redis.walk_blocked(from).await, add))?;
    for user in &blocked {
        print(json!({"user_id": user}));
    }
    say(format_args!("exported {} blocked users", blocked.len()));
    Ok(())
}

/// Whoever is blocked already stays so, and nobody is unblocked. May be run again.
pub(super) fn import(path: &Path) -> Result<(), Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::usage(error).at(path.display()))?;
    let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
    let read = |line: &str| serde_json::from_str::<Value>(line).ok()?["user_id"].as_str()?.parse::<UserId>().ok();
    let users = lines.map(|(line, number)| read(line).ok_or(number)).collect::<Result<Vec<_>, i32>>();
    let users = users.map_err(|number| {
        let form = r#"must be {"user_id":"…"}; nobody was blocked"#;
        Failure::usage(format_args!("{}: line {number} {form}", path.display()))
    })?;
    let redis = open()?;
    run_to_end(async {
        for user in &users {
            patiently(async || Operator { store: &redis }.block(user).await).await?;
        }
        Ok::<_, Failure>(())
    })?;
    print(format_args!("blocked {} users", users.len()));
    Ok(())
}
