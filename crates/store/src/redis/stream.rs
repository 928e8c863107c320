//! The ends of tokens, and the stream that tells verifiers of them: it is read page by page, and the ends that nobody
//! needs any more are deleted.

use std::collections::{BTreeMap, HashMap};
use std::{mem, time::Duration, time::Instant as Moment};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use derive_more::Display;
use futures_util::future::try_join_all;
use redis::Value;
use wxmint_ids::{AppId, TokenId, UserId};
use wxmint_verify::ends::{End, EndHash};
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use super::ends::{change_ends, unless_ahead};
use super::{Call, Redis, clocks::APART, name, script, unreadable};
use crate::Result;

/// How long an end is remembered at most: until no verifier can accept a token from before it, whatever life tokens
/// have. It is forgotten sooner once [`super::Redis::note_life`] has noted a life: the longest one is a second shorter.
pub const ENDS_KEPT: Duration = LONGEST_LIFE.saturating_add(MAX_LEEWAY).saturating_add(Duration::from_secs(1));
/// Names the second since which ends may be missing, for as long as a token can be left that they would name.
pub const DOUBTED_SINCE: &str = "wxmint:{wxmint:ended}:doubt";
/// How much longer an end stays in the store than verifiers keep it: by as much as clocks may differ, because a
/// verifier that starts with nothing and whose clock is behind the store's still accepts tokens then.
const CLOCKS_DIFFER: Duration = MAX_LEEWAY;

/// Verifiers must no longer accept these tokens. Times are seconds since 1970 by the store's clock. It displays in its
/// form in the stream. No id contains a blank.
#[derive(Debug, Display, Clone, PartialEq, Eq)]
pub enum Ended {
    /// A user's tokens with `iat` not after `before`.
    #[display("sub {before} {user}")]
    User { user: UserId, before: i64 },
    /// A user's tokens of one app with `iat` not after `before`.
    #[display("app {before} {app} {user}")]
    UserInApp { user: UserId, app: AppId, before: i64 },
    #[display("jti {expires_at} {id} {user}")]
    Token { id: TokenId, user: UserId, expires_at: i64 },
    /// Whatever this key has signed.
    #[display("kid {kid}")]
    Key { kid: String },
}

impl Ended {
    /// Reads the form in the stream.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text.split(' ').collect::<Vec<_>>()[..] {
            ["sub", before, user] => Self::User { user: user.parse().ok()?, before: before.parse().ok()? },
            ["app", before, app, user] => {
                Self::UserInApp { user: user.parse().ok()?, app: app.parse().ok()?, before: before.parse().ok()? }
            }
            ["jti", expires_at, id, user] => {
                Self::Token { id: id.parse().ok()?, user: user.parse().ok()?, expires_at: expires_at.parse().ok()? }
            }
            ["kid", kid] => Self::Key { kid: kid.to_owned() },
            _ => return None,
        })
    }

    /// The form for verifiers of this issuer, which names nobody.
    pub fn published(&self, iss: &str) -> End {
        match *self {
            Self::User { ref user, before } => End::User { user: EndHash::of_user(iss, user), before },
            Self::UserInApp { ref user, ref app, before } => {
                End::UserInApp { user_in_app: EndHash::of_user_in_app(iss, user, app), before }
            }
            Self::Token { ref id, expires_at: expires, .. } => {
                End::Token { token: EndHash::of_token(iss, id), expires }
            }
            Self::Key { ref kid } => End::Key { kid: kid.clone() },
        }
    }

    /// The second from which no token can be left that it names. `keep`: see [`ReadEnds::keep`]. `None` for a key.
    pub fn needed_until(&self, keep: Duration) -> Option<i64> {
        match self {
            Self::User { before, .. } | Self::UserInApp { before, .. } => Some(before + keep.as_secs() as i64),
            Self::Token { expires_at, .. } => Some(expires_at + MAX_LEEWAY.as_secs() as i64),
            Self::Key { .. } => None,
        }
    }
}

/// A part of the stream of ends, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadEnds {
    /// When it was read, by the store's clock.
    pub at: DateTime<Utc>,
    pub ends: Vec<Ended>,
    /// How long an end must be kept: for the longest life of tokens that may be left, and the leeway of verifiers.
    pub keep: Duration,
    /// Where to go on; empty if the stream is empty. To the reader it is any text.
    pub cursor: String,
    /// Whether the stream goes on.
    pub more: bool,
}

/// An entry of the stream: its id, its one field, and the end.
type Entry = (String, (String, String));

/// The key of a note that an end was put into the stream, and the options of its SET.
type Note<'a> = (String, &'a [&'a str]);

/// A part of the stream, behind the second in which it was read, and how long ends had to be kept then.
type Part = (i64, Duration, Vec<Entry>);

/// How many of these entries are a part of at most so many, when the stream goes on after them.
type Length = fn(&[Entry], usize) -> usize;

impl Redis {
    /// Reads at most `most` ends of the stream after `cursor`, or from the oldest end if `cursor` is empty. `None` if
    /// the stream does not have this cursor, or no longer.
    pub async fn ends_after(&self, cursor: &str, most: usize) -> Result<Option<ReadEnds>> {
        self.part_after(cursor, most, |_, most| most).await
    }

    /// The same, but a part that ends before the stream does has at least half as many, and ends where the parts of
    /// other readers do, whatever cursors they have begun with.
    pub async fn ends_page(&self, cursor: &str, most: usize) -> Result<Option<ReadEnds>> {
        self.part_after(cursor, most, where_readers_meet).await
    }

    async fn part_after(&self, cursor: &str, most: usize, length: Length) -> Result<Option<ReadEnds>> {
        if cursor.is_empty() {
            let part = self.read_stream("ends_after", "-", "+", most + 1).await?;
            return self.page(part, cursor, most, length).map(Some);
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
        self.page((second, keep, entries), cursor, most, length).map(Some)
    }

    /// With a `note`, an end is put there once as long as that is kept. Returns whether it was put there now.
    pub(super) async fn put_into_stream(&self, ended: &Ended, note: Option<Note<'_>>, confirmed: bool) -> Result<bool> {
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

    fn page(&self, (second, keep, mut entries): Part, after: &str, most: usize, length: Length) -> Result<ReadEnds> {
        let at = DateTime::from_timestamp(second, 0).ok_or_else(|| unreadable("the time"))?;
        let at = self.clocks.page_time(at, (self.clock)());
        let more = entries.len() > most;
        entries.truncate(if more { length(&entries, most) } else { most });
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

/// Up to the entry of the greatest weight in the second half. Whoever begins elsewhere has a great part of that half
/// before it too, and then ends there as well. So of a stream, not many entries end a part of any reader's.
fn where_readers_meet(entries: &[Entry], most: usize) -> usize {
    let second_half = (most / 2..most).filter_map(|index| Some((weight(entries.get(index)?), index + 1)));
    second_half.max().map_or(most, |(_, length)| length)
}

/// Random, and the same at every reader.
fn weight((id, _): &Entry) -> [u8; 8] {
    let mut weight = [0; 8];
    weight.copy_from_slice(&digest(&SHA256, id.as_bytes()).as_ref()[..8]);
    weight
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

/// How long an end must be kept, by the lives of tokens in seconds, each with the last second of such a token.
fn kept(lives: impl IntoIterator<Item = (u64, i64)>, now: i64) -> Duration {
    let longest = lives.into_iter().filter(|(_, until)| *until >= now).map(|(life, _)| life).max();
    longest.map_or(ENDS_KEPT, |life| Duration::from_secs(life).saturating_add(MAX_LEEWAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_read_as_it_was_written() {
        let (user, app) = ("user-1".parse::<UserId>().expect("a user"), "wx0123456789abcdef".parse().expect("an app"));
        for end in [
            Ended::User { user: user.clone(), before: 1 },
            Ended::UserInApp { user: user.clone(), app, before: -2 },
            Ended::Token { id: "jti-1".parse().expect("an id"), user, expires_at: 3 },
            Ended::Key { kid: "a-kid".into() },
        ] {
            assert_eq!(Ended::read(&end.to_string()), Some(end));
        }
        for wrong in ["", "sub", "sub 1", "sub x user-1", "jti 1 a", "jti 1 a b c", "nonsense 1 x"] {
            assert_eq!(Ended::read(wrong), None, "{wrong}");
        }
    }

    fn entries(from: usize, count: usize) -> Vec<Entry> {
        (from..from + count)
            .map(|number| (format!("1795000000{number:06}-0"), (String::new(), String::new())))
            .collect()
    }

    #[test]
    fn readers_who_begin_at_different_entries_soon_read_the_same_parts() {
        let (all, most) = (40_000, 1_000);
        let mut ends = std::collections::BTreeMap::<usize, usize>::new();
        for begin in (0..20_000).step_by(997) {
            let mut from = begin;
            while from + most < all {
                let length = where_readers_meet(&entries(from, most + 1), most);
                assert!((most / 2 + 1..=most).contains(&length));
                from += length;
                *ends.entry(from).or_default() += 1;
            }
        }
        let readers = (0..20_000).step_by(997).count();
        let after = |place: usize| ends.range(place..).map(|(_, count)| *count).collect::<Vec<_>>();
        assert!(ends.len() < all / 300, "{} ends for {readers} readers", ends.len());
        assert!(after(30_000).iter().all(|count| *count == readers), "all of them have met: {:?}", after(30_000));
    }
}
