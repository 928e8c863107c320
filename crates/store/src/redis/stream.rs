//! The stream of ends: verifiers read it page by page, and the ends that nobody needs any more are deleted.

use std::collections::{BTreeMap, HashMap};
use std::{mem, time::Duration, time::Instant as Moment};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use futures_util::future::try_join_all;
use redis::Value;
use wxmint_ids::UserId;

use super::ends::{change_ends, unless_ahead};
use super::{Call, Redis, clocks::APART, name, script, unreadable};
use crate::ends::{CLOCKS_DIFFER, kept};
use crate::{ENDS_KEPT, Ended, ReadEnds, Result};

/// An entry of the stream: its id, its one field, and the end.
type Entry = (String, (String, String));

/// A part of the stream, behind the second in which it was read, and how long ends had to be kept then.
type Part = (i64, Duration, Vec<Entry>);

impl Redis {
    /// Reads at most `most` ends of the stream after `cursor`, or from the oldest end if `cursor` is empty. `None` if
    /// the stream does not have this cursor, or no longer.
    pub async fn ends_after(&self, cursor: &str, most: usize) -> Result<Option<ReadEnds>> {
        if cursor.is_empty() {
            let part = self.read_stream("ends_after", "-", "+", most + 1).await?;
            return self.page(part, cursor, most).map(Some);
        }
        let Some((id, _)) = cursor.split_once('.').filter(|(id, _)| stream_id(id).is_some()) else { return Ok(None) };
        // A cursor that is not in the stream costs next to nothing.
        let (_, _, named) = self.read_stream("ends_after", id, id, 1).await?;
        if named.first().is_none_or(|entry| cursor_of(entry) != cursor) {
            return Ok(None);
        }
        let (second, keep, mut entries) = self.read_stream("ends_after", id, "+", most + 2).await?;
        // It may have been trimmed meanwhile, or lost in a failover, and then the first entry is another one.
        if entries.first().is_none_or(|entry| cursor_of(entry) != cursor) {
            return Ok(None);
        }
        entries.remove(0);
        self.page((second, keep, entries), cursor, most).map(Some)
    }

    /// With a `note`, a key and the options of its SET, an end is put there once as long as that is kept. Returns
    /// whether it was put there now.
    pub(super) async fn put_into_stream(
        &self,
        ended: &Ended,
        note: Option<(String, &[&str])>,
        confirmed: bool,
    ) -> Result<bool> {
        let keys = [name::STREAM].into_iter().chain(note.as_ref().map(|(key, _)| &**key));
        let script = script::PUBLISH_END.on(&keys.collect::<Vec<_>>()).arg(ended.to_string());
        let script = script.arg((self.clock)().timestamp()).arg(APART.num_seconds());
        let script = script.arg(note.as_ref().map(|(_, life)| *life).unwrap_or_default());
        let is_added = unless_ahead(self.link.write("publish_end", script, confirmed).await?)?;
        if is_added {
            self.made.lock().push(ended.clone());
        }
        Ok(is_added)
    }

    /// The ends that all workers have put into the stream since the last call.
    pub fn take_made(&self) -> Vec<Ended> {
        mem::take(&mut self.made.lock())
    }

    async fn read_stream(&self, step: &'static str, from: &str, to: &str, count: usize) -> Result<Part> {
        let asked = Call::at(name::STREAM).cmd("TIME").cmd("HGETALL").arg(name::LIVES);
        let asked = asked.cmd("XRANGE").arg(name::STREAM).arg(from).arg(to).arg("COUNT").arg(count);
        type Answer = ((u64, u64), HashMap<u64, i64>, Vec<Entry>);
        let sent = Moment::now();
        let (time, lives, entries): Answer = self.link.run(step, asked).await?;
        // So each process knows within seconds that the clock has stepped back.
        let second = (self.clocks.told(sent, time) / 1_000_000) as i64;
        Ok((second, kept(lives, second), entries))
    }

    fn page(&self, (second, keep, mut entries): Part, after: &str, most: usize) -> Result<ReadEnds> {
        let at = DateTime::from_timestamp(second, 0).ok_or_else(|| unreadable("the time"))?;
        let at = self.clocks.page_time(at, (self.clock)());
        let more = entries.len() > most;
        entries.truncate(most);
        let cursor = entries.last().map_or_else(|| after.to_owned(), cursor_of);
        // An end that a later version wrote must not keep verifiers from the others.
        let ends = entries.iter().filter_map(|(id, (_, end))| {
            let unread = || tracing::warn!(id, "this version cannot read an entry of wxmint:ended");
            Ended::read(end).ok_or_else(unread).ok()
        });
        Ok(ReadEnds { at, keep, ends: ends.collect(), cursor, more })
    }

    /// Forgets at most so many of the oldest ends, of which no token can be left. Returns how many there were; none
    /// while the store's clock is more than a minute from this machine's. Ends do not expire by themselves, because a
    /// clock of Redis that is ahead for a moment would bring ended tokens back, and because a full Redis evicts what
    /// expires first.
    pub async fn forget_ends(&self, most: usize) -> Result<usize> {
        let (second, keep, mut entries) = self.read_stream("forget_ends", "-", "+", most).await?;
        // The first second that is still needed.
        let horizon = second - (keep + CLOCKS_DIFFER).as_secs() as i64;
        // An entry leads to records, which may name later seconds and go first.
        let oldest = ((horizon - 60) * 1_000).max(0) as u64;
        let is_needless = |id: &str| stream_id(id).is_some_and(|(millis, _)| millis < oldest);
        entries.truncate(entries.iter().take_while(|(id, _)| is_needless(id)).count());
        let Some((last, _)) = entries.last() else { return Ok(0) };
        if (second - (self.clock)().timestamp()).abs() > APART.num_seconds() {
            return Ok(0);
        }
        let mut of_users = BTreeMap::<UserId, Vec<String>>::new();
        for (_, (_, end)) in &entries {
            match Ended::read(end) {
                Some(Ended::User { user, .. } | Ended::UserInApp { user, .. }) => _ = of_users.entry(user).or_default(),
                Some(Ended::Token { id, user, .. }) => {
                    let key = name::ended(&user, &id);
                    of_users.entry(user).or_default().push(key);
                }
                // A key file of before may come back at any time. What a later version wrote, that has to forget.
                Some(Ended::Key { .. }) | None => {}
            }
        }
        let of_user = of_users.iter().map(|(user, tokens)| {
            let script = change_ends(user, "forget").arg(horizon).arg(2 * ENDS_KEPT.as_secs());
            let all = tokens.iter().fold(script, |call, key| call.cmd("DEL").arg(key));
            self.link.run::<Value>("forget_ends", all)
        });
        try_join_all(of_user).await?;
        // Last, because an entry that is gone leads to no user.
        let (millis, sequence) = stream_id(last).unwrap_or_default();
        let first_left = format!("{millis}-{}", sequence.saturating_add(1));
        let trimmed = Call::at(name::STREAM).cmd("XTRIM").arg(name::STREAM).arg("MINID").arg(first_left);
        self.link.run::<Value>("forget_ends", trimmed).await?;
        Ok(entries.len())
    }
}

/// The milliseconds since 1970 in which an entry was put there, and its number among theirs.
fn stream_id(id: &str) -> Option<(u64, u64)> {
    let (millis, sequence) = id.split_once('-').filter(|_| id.len() <= 41)?;
    Some((millis.parse().ok()?, sequence.parse().ok()?))
}

/// Names an entry by its id and its content, because after a failover that lost entries another may have its id.
fn cursor_of((id, (_, end)): &Entry) -> String {
    format!("{id}.{}", URL_SAFE_NO_PAD.encode(&digest(&SHA256, end.as_bytes()).as_ref()[..6]))
}
