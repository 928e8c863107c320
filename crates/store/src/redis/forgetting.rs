//! Deletes the ends that nobody needs any more. They do not expire by themselves, because a clock of Redis that is
//! ahead for a moment would bring ended tokens back, and because a full Redis evicts what expires first.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use redis::Value;
use wxmint_ids::UserId;

use super::{Call, Redis, clocks::APART, ends::change_ends, name, stream::Entry};
use crate::{Ended, Result, ends::CLOCKS_DIFFER};

impl Redis {
    pub(super) async fn forget_oldest(&self, most: usize) -> Result<usize> {
        let Some((horizon, entries)) = self.needless_ends(most).await? else { return Ok(0) };
        let Some((last, _)) = entries.last() else { return Ok(0) };
        let (mut of_users, mut notes) = (BTreeMap::<UserId, Vec<String>>::new(), Vec::new());
        for (_, (_, end)) in &entries {
            match end.parse() {
                Ok(Ended::User { user, .. } | Ended::UserInApp { user, .. }) => _ = of_users.entry(user).or_default(),
                Ok(Ended::Token { id, user, .. }) => {
                    let key = name::ended(&user, &id);
                    of_users.entry(user).or_default().push(key);
                }
                Ok(Ended::Key { kid }) => notes.push(name::ended_key(&kid)),
                // A later version wrote it, and has to forget it.
                Err(()) => {}
            }
        }
        let of_user = of_users.iter().map(|(user, tokens)| {
            let script = change_ends(user, "forget").arg(horizon);
            self.link.run::<Value>("forget_ends", deleting(script, tokens))
        });
        try_join_all(of_user).await?;
        // Last, because an entry that is gone leads to no user.
        let trimmed = deleting(Call::at(name::STREAM), &notes);
        let trimmed = trimmed.cmd("XTRIM").arg(name::STREAM).arg("MINID").arg(next(last));
        self.link.run::<Value>("forget_ends", trimmed).await?;
        Ok(entries.len())
    }

    /// The first second that is still needed, and the oldest entries from before it.
    async fn needless_ends(&self, most: usize) -> Result<Option<(i64, Vec<Entry>)>> {
        let (second, keep, mut entries) = self.read_stream("forget_ends", "-", "+", most).await?;
        if entries.is_empty() || (second - (self.clock)().timestamp()).abs() > APART.num_seconds() {
            return Ok(None);
        }
        let horizon = second - (keep + CLOCKS_DIFFER).as_secs() as i64;
        let is_needless = |id: &str| millis(id).is_some_and(|millis| millis < horizon * 1_000);
        entries.truncate(entries.iter().take_while(|(id, _)| is_needless(id)).count());
        Ok(Some((horizon, entries)))
    }
}

fn deleting(call: Call, keys: &[String]) -> Call {
    keys.iter().fold(call, |call, key| call.cmd("DEL").arg(key))
}

fn millis(id: &str) -> Option<i64> {
    id.split_once('-')?.0.parse().ok()
}

/// The first id after an entry's.
fn next(id: &str) -> String {
    let (millis, sequence) = id.split_once('-').unwrap_or((id, "0"));
    format!("{millis}-{}", sequence.parse::<u64>().unwrap_or_default().saturating_add(1))
}
