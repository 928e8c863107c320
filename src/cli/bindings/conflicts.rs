//! `wxmint bindings conflicts`

use std::collections::{BTreeMap, BTreeSet};

use wxmint_ids::Person;
use wxmint_store::{Binding, Redis, walk::Found};

use super::{Failure, patiently, print, say, walk_all};
use crate::cli::output;

const ADVICE: &str = "Each of these people is bound to one user, and their unionid belongs to another. Both users \
    stay and can log in; in a new app the person becomes the second one. To make them one: merge the users in your own \
    system, let the person end the binding (DELETE /binding), then import a line that binds the person to the other \
    user (docs/user-ids.md).";

const COLUMNS: [&str; 5] = ["appid", "openid", "user_id", "unionid", "unionid_stands_for"];

/// A person whose unionid belongs to another user, column by column.
type Conflict = [String; COLUMNS.len()];

pub(super) async fn run(redis: &Redis, as_json: bool) -> Result<(), Failure> {
    // By app and openid.
    let mut conflicts = BTreeSet::new();
    let add = async |found| {
        if let Found::Bound(binding) = found {
            conflicts.extend(conflict_of(redis, binding).await?);
        }
        Ok(())
    };
    walk_all(async |from| redis.walk(from).await, add).await?;
    if conflicts.is_empty() {
        say("no conflicts");
    } else if as_json {
        let named = |conflict: Conflict| COLUMNS.into_iter().zip(conflict).collect::<BTreeMap<_, _>>();
        conflicts.into_iter().map(|conflict| output::json(&named(conflict))).for_each(print);
    } else {
        output::table(COLUMNS, conflicts.into_iter()).into_iter().for_each(print);
        say(ADVICE);
    }
    Ok(())
}

/// Reads again whose the unionid is, because the conflict may have been resolved since the person's last login.
async fn conflict_of(redis: &Redis, binding: Binding) -> Result<Option<Conflict>, Failure> {
    let Binding { person: Person { app, openid }, user, unionid: Some(unionid), conflict: Some(_), .. } = binding
    else {
        return Ok(None);
    };
    let stands_for = patiently(async || redis.claim_unionid(&unionid, None).await).await?;
    let [openid, unionid] = [openid.as_str(), unionid.as_str()].map(str::to_owned);
    let other = stands_for.filter(|other| *other != user);
    Ok(other.map(|other| [app.to_string(), openid, user.to_string(), unionid, other.to_string()]))
}
