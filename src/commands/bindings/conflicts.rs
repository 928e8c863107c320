//! `wxmint bindings conflicts`

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Failure, check, patiently, print, say, walk_all};
use crate::{
    commands::output,
    ids::{AppId, OpenId, UserId},
    store::{Binding, Bindings, Redis, walk::Found},
};

const ADVICE: &str = "Each of these people is bound to one user, and their unionid belongs to another. Both users \
    stay and can log in; in a new app the person becomes the second one. To make them one: merge the users in your own \
    system, let the person end the binding (DELETE /binding), then import a line that binds the person to the other \
    user (docs/bindings.md).";

/// A person whose unionid belongs to another user.
#[derive(Serialize)]
struct Conflict {
    appid: AppId,
    openid: String,
    user_id: UserId,
    unionid: String,
    unionid_stands_for: UserId,
}

impl Conflict {
    fn cells(&self) -> [String; 5] {
        let Self { appid, openid, user_id, unionid, unionid_stands_for } = self;
        [appid.to_string(), openid.clone(), user_id.to_string(), unionid.clone(), unionid_stands_for.to_string()]
    }
}

type Conflicts = BTreeMap<(AppId, OpenId), Conflict>;

pub(super) async fn run(redis: &Redis, as_json: bool) -> Result<(), Failure> {
    check(redis).await?;
    let conflicts: Vec<Conflict> = find(redis).await?.into_values().collect();
    match conflicts.as_slice() {
        [] => say("no conflicts"),
        some if as_json => some.iter().map(output::json).for_each(print),
        some => {
            let headings = ["appid", "openid", "user_id", "unionid", "unionid_stands_for"];
            output::table(headings, some.iter().map(Conflict::cells)).into_iter().for_each(print);
            say(ADVICE);
        }
    }
    Ok(())
}

async fn find(redis: &Redis) -> Result<Conflicts, Failure> {
    let mut conflicts = Conflicts::new();
    let add = async |found| {
        let Found::Bound(binding) = found else { return Ok(()) };
        if let Some(conflict) = conflict_of(redis, &binding).await? {
            conflicts.insert((binding.person.app, binding.person.openid), conflict);
        }
        Ok(())
    };
    walk_all(redis, add).await?;
    Ok(conflicts)
}

/// Reads again whose the unionid is, because the conflict may have been resolved since the person's last login.
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
