//! `wxmint users revoke|block|unblock|show|erase USER_ID`, `export-blocks` and `import-blocks`: what an operator can do
//! to users, in the Redis of `wxmint serve`.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};
use wxmint_http::run_to_end;
use wxmint_ids::UserId;
use wxmint_store::{CLOCKS_APART, ErasedPerson, NUMBERS_KEPT, StoreError, TICKET_TTL};
use wxmint_telemetry::audit::{Activity, Event, Origin};

use super::{Failure, print, say};
use crate::cli::at_redis::{self, at_first, audited, open, retry, walk_all};
use crate::cli::output::{confirm, json};
use crate::login::{Erased, Operator, Unavailable};

pub(super) fn revoke(user: &UserId) -> Result<(), Failure> {
    let done = act("end", user, async |operator| Ok(operator.end(user).await?));
    done.map(|()| print(format_args!("{user}: all tokens are revoked")))
}

pub(super) fn block(user: &UserId) -> Result<(), Failure> {
    let done = act("block", user, async |operator| {
        Ok(operator.block(user).await?)
    });
    done.map(|()| print(format_args!("{user}: blocked, and all tokens are revoked")))
}

pub(super) fn unblock(user: &UserId) -> Result<(), Failure> {
    let done = act("unblock", user, async |operator| {
        Ok(operator.unblock(user).await?)
    });
    done.map(|()| {
        print(format_args!(
            "{user}: may log in again; tokens that were revoked stay so"
        ));
    })
}

pub(super) fn show(user: &UserId) -> Result<(), Failure> {
    let shown = act("show", user, async |operator| {
        Ok(operator.show(user).await?)
    });
    shown.map(|shown| print(json(&shown)))
}

pub(super) fn erase(user: &UserId, yes: bool) -> Result<(), Failure> {
    if !yes {
        say(format_args!(
            "This revokes all tokens of {user}, and erases every WeChat identity of the user. Nothing brings them back."
        ));
    }
    confirm(yes, format_args!("erase {user}"))?;
    let erased = act("forget", user, async |operator| {
        operator.erase_user(user).await
    })?;
    report(user, &erased);
    let stays = format!(
        "somebody was bound to {user} meanwhile, and that binding stays. To erase it too, run the same command again."
    );
    if erased.complete {
        Ok(())
    } else {
        Err(Failure::unfinished(stays))
    }
}

fn report(user: &UserId, erased: &Erased) {
    let Erased {
        dissolved,
        of_people,
        unionids,
        elsewhere: left,
        ..
    } = erased;
    let ErasedPerson {
        bindings,
        session_keys,
        counters,
    } = of_people;
    print(format_args!("{user}: all tokens are revoked"));
    print(format_args!("dissolved: {dissolved} bindings"));
    print(format_args!(
        "erased: {bindings} records of bindings, {session_keys} session keys, {unionids} links of unionids, {counters} counts"
    ));
    if *left > 0 {
        print(format_args!(
            "stays: {left} people who have left and belong to another user, or have logged in again"
        ));
    }
    let [numbers, tickets] = [NUMBERS_KEPT, TICKET_TTL].map(|time| time.as_secs() / 60);
    print(format_args!(
        "stays for {numbers} min: the numbers of the erased bindings, under the openid"
    ));
    print(format_args!(
        "stays for {tickets} min at most: bind tickets that were given out"
    ));
    print(
        "stays until the tokens have expired: that they were revoked, and which clients had some, under the user id",
    );
    print(
        "stays: a block of the user; audit and other logs, which hold user ids; Redis' own files, backups and exports until \
         you replace them",
    );
}

pub(super) fn export_blocks() -> Result<(), Failure> {
    let redis = open()?;
    let mut blocked = BTreeSet::new();
    let add = |user| {
        blocked.insert(user);
        Ok(())
    };
    run_to_end(walk_all(
        async |from| redis.revocations.walk_blocked(from).await,
        add,
    ))?;
    for user in &blocked {
        print(json!({"user_id": user}));
    }
    say(format_args!("exported {} blocked users", blocked.len()));
    Ok(())
}

/// Blocks the users of an export. Users that are blocked already stay blocked, and nobody is
/// unblocked. May be run again.
pub(super) fn import_blocks(path: &Path) -> Result<(), Failure> {
    let text =
        fs::read_to_string(path).map_err(|error| Failure::usage(error).at(path.display()))?;
    let users = listed(&text)
        .map_err(|wrong| Failure::usage(format_args!("{wrong} {FORM}")).at(path.display()))?;
    audited(async |operator| {
        for user in &users {
            noted(
                "block",
                user,
                retry(async || operator.block(user).await)
                    .await
                    .map_err(Failure::from),
            )?;
        }
        Ok(())
    })?;
    print(format_args!("blocked {} users", users.len()));
    Ok(())
}

const FORM: &str = r#"must be {"user_id":"…"}; nobody was blocked"#;

fn listed(text: &str) -> Result<Vec<UserId>, String> {
    let lines = text
        .trim_start_matches('\u{feff}')
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    let users: Vec<_> = lines
        .map(|(line, at)| user_of(line).ok_or(format!("line {at}")))
        .collect::<Result<_, _>>()?;
    // An error, because an empty file may be a truncated export.
    if users.is_empty() {
        Err("is empty: an export of 0 users needs no import; a line".into())
    } else {
        Ok(users)
    }
}

fn user_of(line: &str) -> Option<UserId> {
    let line = serde_json::from_str::<Value>(line).ok()?;
    line["user_id"].as_str()?.parse().ok()
}

/// Acts on a user, and audits the act. If Redis does not answer at all, the act fails at once. If
/// Redis stops answering during the act, the step is retried for some seconds.
fn act<T>(
    action: &'static str,
    user: &UserId,
    step: impl AsyncFn(&Operator<'_>) -> Result<T, Unavailable>,
) -> Result<T, Failure> {
    let unreachable = |error: StoreError| {
        Failure::unfinished(format_args!(
            "WXMINT_REDIS_URL: nothing was done: {error}. Run the same command again when this is mended."
        ))
    };
    let (known, done, ahead) = audited(async |operator| {
        let steps = async {
            let known = at_first(async || operator.knows(user).await)
                .await
                .map_err(unreachable)?;
            let done = retry(async || step(operator).await).await?;
            Ok((
                known,
                done,
                operator.store.clock.ahead().await.unwrap_or_default(),
            ))
        };
        noted(action, user, steps.await)
    })?;
    if !known {
        let block = if action == "block" {
            " The block holds for whoever logs in as this user."
        } else {
            ""
        };
        say(format_args!(
            "note: nothing was known of {user}: no list of people, no block, no revocation.{block}"
        ));
    }
    if -ahead > CLOCKS_APART.num_seconds() {
        say(format_args!(
            "note: the clock of Redis is {} s behind this machine's. Where WXMINT_USER_INDEX is false, tokens that Redis dated \
             later than now are not revoked: set both clocks by NTP, and run the same command again.",
            -ahead
        ));
    }
    Ok(done)
}

fn noted<T>(
    action: &'static str,
    user: &UserId,
    outcome: Result<T, Failure>,
) -> Result<T, Failure> {
    let activity = Activity::changing_account(action).unwrap_or(Activity::request(action));
    at_redis::noted(
        Event {
            user: Some(user.clone()),
            ..Event::new(activity, Origin::default())
        },
        outcome,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_blocked_users_has_one_at_least_and_each_line_is_one() {
        let listed = |text| listed(text).map(|users| users.len());
        assert_eq!(
            listed("\u{feff}{\"user_id\":\"a\"}\n\n{\"user_id\":\"b\"}\n"),
            Ok(2)
        );
        for empty in ["", "\n \n"] {
            assert!(
                listed(empty).is_err_and(|wrong| wrong.starts_with("is empty")),
                "{empty:?}"
            );
        }
        assert_eq!(
            listed("{\"user_id\":\"a\"}\n\n{\"user\":\"b\"}\n"),
            Err("line 3".into())
        );
    }
}
