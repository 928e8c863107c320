//! `wxmint bindings conflicts`

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Failure, check, patiently, print, progress::Progress, say};
use crate::{
    ids::{AppId, OpenId, UserId},
    store::{
        Binding, Bindings, Redis,
        walk::{Found, Page, Place, Step},
    },
};

const ADVICE: &str = "Each of these people is bound to one user, and their unionid stands for another. Both users are \
    kept and go on logging in; in a new app the person becomes the second one. To make them one: merge the users in your \
    own system, let the person end the binding (DELETE /binding), then import a line that binds them to the user who \
    stays (docs/bindings.md).";

/// A person whose unionid stands for another user.
#[derive(Serialize)]
struct Conflict {
    appid: AppId,
    openid: String,
    user_id: UserId,
    unionid: String,
    unionid_stands_for: UserId,
}

type Conflicts = BTreeMap<(AppId, OpenId), Conflict>;

pub(super) async fn run(redis: &Redis, as_json: bool) -> Result<(), Failure> {
    check(redis).await?;
    let conflicts: Vec<Conflict> = find(redis).await?.into_values().collect();
    let lines = if as_json { conflicts.iter().map(Conflict::json).collect() } else { table(&conflicts) };
    lines.iter().try_for_each(print)?;
    if conflicts.is_empty() {
        say("no conflicts");
    } else if !as_json {
        say(ADVICE);
    }
    Ok(())
}

async fn find(redis: &Redis) -> Result<Conflicts, Failure> {
    let (mut conflicts, mut place, mut keys) = (Conflicts::new(), Place::default(), 0);
    let mut progress = Progress::begin();
    loop {
        let Step::Page(Page { found, keys: seen, of, next }) = patiently(async || redis.walk(&place).await).await?
        else {
            (conflicts, place, keys) = (Conflicts::new(), Place::default(), 0);
            continue;
        };
        for found in found {
            let Found::Bound(binding) = found else { continue };
            if let Some(conflict) = conflict_of(redis, &binding).await? {
                conflicts.insert((binding.person.app, binding.person.openid), conflict);
            }
        }
        keys = (keys + seen).min(of);
        progress.tell(keys, || format!("about {keys} of {of} keys looked at"));
        match next {
            Some(next) => place = next,
            None => break,
        }
    }
    progress.clear();
    Ok(conflicts)
}

/// Whom the unionid stands for is asked again: it may be mended since the person's last login.
async fn conflict_of(redis: &Redis, binding: &Binding) -> Result<Option<Conflict>, Failure> {
    let (Some(unionid), Some(_)) = (&binding.unionid, &binding.conflict) else { return Ok(None) };
    let stands_for = patiently(async || redis.claim_unionid(unionid, None).await).await?;
    Ok(stands_for.filter(|user| *user != binding.user).map(|user| Conflict {
        appid: binding.person.app.clone(),
        openid: binding.person.openid.as_str().to_owned(),
        user_id: binding.user.clone(),
        unionid: unionid.as_str().to_owned(),
        unionid_stands_for: user,
    }))
}

/// In columns as wide as their widest value.
fn table(conflicts: &[Conflict]) -> Vec<String> {
    if conflicts.is_empty() {
        return Vec::new();
    }
    let head = ["appid", "openid", "user_id", "unionid", "unionid_stands_for"];
    let rows: Vec<[&str; 5]> = std::iter::once(head).chain(conflicts.iter().map(Conflict::row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: [usize; 5] = std::array::from_fn(width);
    let line = |row: &[&str; 5]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

impl Conflict {
    fn row(&self) -> [&str; 5] {
        [self.appid.as_str(), &self.openid, self.user_id.as_str(), &self.unionid, self.unionid_stands_for.as_str()]
    }

    fn json(&self) -> String {
        serde_json::to_string(self).expect("texts serialize")
    }
}
