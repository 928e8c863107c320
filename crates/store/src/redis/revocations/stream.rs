//! Revocations, and the stream from which verifiers learn of them, page by page. Each revocation
//! has a date, and is purged only by that date.

use std::collections::{BTreeMap, BTreeSet};
use std::{fmt, mem, rc::Rc, sync::Arc, time::Duration, time::Instant as Moment};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use redis::Value;
use wxmint_ids::{AppId, TokenId, UserId};
use wxmint_redis_link::{Call, RedisClient};
use wxmint_verify::revocations::{RevocationEntry, RevocationHash};
use wxmint_verify::{LONGEST_LIFE, MAX_LEEWAY};

use super::record::{change_revocations, unless_ahead};
use super::{ClientTokens, Lives, NOTE_KEPT, TokenLives};
use crate::redis::clocks::{APART, StoreClock};
use crate::redis::{name, script};
use crate::{Result, StoreError};

/// How long a revocation is needed at most: until no verifier can accept a token that was issued
/// before it, whatever life tokens have.
pub const REVOCATIONS_KEPT: Duration = LONGEST_LIFE
    .saturating_add(MAX_LEEWAY)
    .saturating_add(Duration::from_secs(1));
/// How long the revocation of a key is needed: until the key's last token has expired. A replica
/// may have signed that token a little later, and by another clock. A thief of the key can sign at
/// any time, but by then no verifier uses a JWK Set that contains the key.
pub(crate) const KEY_REVOCATIONS_KEPT: Duration =
    LONGEST_LIFE.saturating_add(Duration::from_mins(5));
/// How much longer than its date a revocation stays in the store, in seconds: the leeway of
/// verifiers, plus the difference that clocks may have. A verifier that has just started, and whose
/// clock is behind the store's, still accepts the token until then.
const KEPT_AFTER: i64 = 2 * MAX_LEEWAY.as_secs() as i64;
/// How much earlier than a cursor to continue if the cursor's entry is gone, in milliseconds. The
/// entry may have been lost in a failover, and the clocks of primaries differ.
const LOOKED_FOR_FROM: u64 = 5 * 60 * 1_000;

/// A revocation: verifiers must no longer accept these tokens. Times are seconds since 1970 by the
/// store's clock. `until` is when the last of these tokens expires. `Display` writes the form in
/// the stream; its fields are separated by blanks, which no id contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// A user's tokens with `iat` not after `before`.
    User {
        user: UserId,
        before: i64,
        until: i64,
    },
    /// A user's tokens of one app with `iat` not after `before`.
    UserInApp {
        user: UserId,
        app: AppId,
        before: i64,
        until: i64,
    },
    /// One token.
    Token {
        id: TokenId,
        user: UserId,
        expires_at: i64,
    },
    /// All tokens that this key has signed.
    Key { kid: String, until: i64 },
}

/// The form of a revocation in the stream: its date stands between `head` and `tail`.
pub(in crate::redis) struct Form {
    pub(in crate::redis) head: String,
    pub(in crate::redis) tail: String,
}

impl Form {
    /// The form without the date, which identifies the revocation.
    pub(in crate::redis) fn name(&self) -> String {
        [self.head.as_str(), &self.tail].concat()
    }
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Form { head, tail } = self.form();
        write!(f, "{head}{}{tail}", self.until())
    }
}

impl Revocation {
    /// Parses the form in the stream; `None` if this version does not know it.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text.split(' ').collect::<Vec<_>>()[..] {
            ["sub", before, until, user] => Self::User {
                user: user.parse().ok()?,
                before: before.parse().ok()?,
                until: until.parse().ok()?,
            },
            ["app", before, until, app, user] => Self::UserInApp {
                user: user.parse().ok()?,
                app: app.parse().ok()?,
                before: before.parse().ok()?,
                until: until.parse().ok()?,
            },
            ["jti", expires_at, id, user] => Self::Token {
                id: id.parse().ok()?,
                user: user.parse().ok()?,
                expires_at: expires_at.parse().ok()?,
            },
            ["kid", until, kid] => Self::Key {
                kid: kid.to_owned(),
                until: until.parse().ok()?,
            },
            _ => return None,
        })
    }

    pub(in crate::redis) fn form(&self) -> Form {
        let (head, tail) = match self {
            Self::User { user, before, .. } => (format!("sub {before} "), format!(" {user}")),
            Self::UserInApp {
                user, app, before, ..
            } => (format!("app {before} "), format!(" {app} {user}")),
            Self::Token { id, user, .. } => ("jti ".into(), format!(" {id} {user}")),
            Self::Key { kid, .. } => ("kid ".into(), format!(" {kid}")),
        };
        Form { head, tail }
    }

    /// The entry of the issuer's revocation feed, which has hashes in place of ids.
    pub fn published(&self, iss: &str) -> RevocationEntry {
        match *self {
            Self::User {
                ref user,
                before,
                until,
            } => RevocationEntry::User {
                user: RevocationHash::of_user(iss, user),
                before,
                until,
            },
            Self::UserInApp {
                ref user,
                ref app,
                before,
                until,
            } => RevocationEntry::UserInApp {
                user_in_app: RevocationHash::of_user_in_app(iss, user, app),
                before,
                until,
            },
            Self::Token {
                ref id,
                expires_at: until,
                ..
            } => RevocationEntry::Token {
                token: RevocationHash::of_token(iss, id),
                until,
            },
            Self::Key { ref kid, until } => RevocationEntry::Key {
                kid: kid.clone(),
                until,
            },
        }
    }

    /// When the last token that the revocation names expires.
    pub fn until(&self) -> i64 {
        match *self {
            Self::User { until, .. } | Self::UserInApp { until, .. } | Self::Key { until, .. } => {
                until
            }
            Self::Token { expires_at, .. } => expires_at,
        }
    }

    /// The same revocation with another date. The date of a token's revocation is always the
    /// token's `exp`.
    pub(in crate::redis) fn dated(mut self, date: i64) -> Self {
        match &mut self {
            Self::User { until, .. } | Self::UserInApp { until, .. } | Self::Key { until, .. } => {
                *until = date;
            }
            Self::Token { .. } => {}
        }
        self
    }

    /// Whether a verifier may still accept a token that it names at that second.
    pub fn is_needed(&self, second: i64) -> bool {
        second <= self.until().saturating_add(MAX_LEEWAY.as_secs() as i64)
    }
}

/// A page of the stream of revocations, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRevocations {
    /// The date for the page: when it was read, by the store's clock, corrected by
    /// `Clocks::page_time`.
    pub at: DateTime<Utc>,
    /// The revocations, without those that have expired.
    pub revocations: Vec<Revocation>,
    /// The lives of tokens that may be left.
    pub lives: Lives,
    /// The cursor from which to continue; empty if the stream is empty. It is opaque to the reader.
    pub cursor: String,
    /// Whether the stream has more entries after this page.
    pub more: bool,
}

/// An entry of the stream: its id, the name of its one field, and the revocation.
type Entry = (String, (String, String));

/// The key of a note that a revocation was added to the stream, and the options of its SET.
type Note<'a> = (String, &'a [&'a str]);

/// A part of the stream as it was read, with the second of Redis and the lives at that time.
struct Part {
    second: i64,
    lives: Lives,
    entries: Vec<Entry>,
}

/// The outcome of a step of [`RevocationStream::purge`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purged {
    /// The number of entries that were purged.
    pub revocations: usize,
    /// The id from which to continue; `None` at the end of the stream.
    pub next: Option<String>,
}

/// Chooses the length of a page of at most so many entries, if the stream has more.
type Length = fn(&[Entry], usize) -> usize;

/// The stream of revocations, from which verifiers learn of them. It is read page by page, and
/// purged together with the records of the revocations in it.
#[derive(Clone)]
pub struct RevocationStream {
    link: Rc<RedisClient>,
    clock: StoreClock,
    lives: TokenLives,
    clients: ClientTokens,
    made: Arc<Mutex<Vec<Revocation>>>,
}

impl RevocationStream {
    pub(in crate::redis) fn new(
        link: Rc<RedisClient>,
        clock: StoreClock,
        lives: TokenLives,
        clients: ClientTokens,
        made: Arc<Mutex<Vec<Revocation>>>,
    ) -> Self {
        Self {
            link,
            clock,
            lives,
            clients,
            made,
        }
    }

    /// Reads at most `most` revocations after `cursor`, or from the oldest if `cursor` is empty.
    /// `None` if the stream does not have this cursor, or no longer.
    pub async fn after(&self, cursor: &str, most: usize) -> Result<Option<ReadRevocations>> {
        self.part_after(cursor, most, |_, most| most).await
    }

    /// As [`Self::after`], but with common page boundaries: unless it is the last page,
    /// a page has at least half of `most` entries, and ends where the pages of other readers end,
    /// whatever cursors they began with.
    pub async fn page(&self, cursor: &str, most: usize) -> Result<Option<ReadRevocations>> {
        self.part_after(cursor, most, where_readers_meet).await
    }

    /// As [`Self::after`], but also `None` if the cursor's entry was purged. For a
    /// caller that wants to know whether the stream is still the same.
    pub async fn after_entry(&self, cursor: &str, most: usize) -> Result<Option<ReadRevocations>> {
        if !cursor.is_empty() {
            let Some(place) = Place::read(cursor) else {
                return Ok(None);
            };
            let Part { entries, .. } = self
                .read_stream("revocations_after", place.id, place.id, 1)
                .await?;
            if entries
                .first()
                .is_none_or(|entry| cursor_of(entry) != cursor)
            {
                return Ok(None);
            }
        }
        self.after(cursor, most).await
    }

    async fn part_after(
        &self,
        cursor: &str,
        most: usize,
        length: Length,
    ) -> Result<Option<ReadRevocations>> {
        if cursor.is_empty() {
            let part = self
                .read_stream("revocations_after", "-", "+", most + 1)
                .await?;
            return self.to_page(part, cursor, most, length).map(Some);
        }
        let Some(place) = Place::read(cursor) else {
            return Ok(None);
        };
        // This read is cheap, so that an invalid cursor costs little.
        let Part {
            second,
            entries: named,
            ..
        } = self
            .read_stream("revocations_after", place.id, place.id, 1)
            .await?;
        match named.first() {
            Some(entry) if cursor_of(entry) == cursor => {}
            // The entry's date has passed, so it was purged. It may also have been lost in a
            // failover, after which other entries may have slightly earlier ids. So continue a
            // little earlier: a verifier may get some revocations twice.
            None if place.until.saturating_add(KEPT_AFTER)
                < second.min(self.clock.now().timestamp()) =>
            {
                let from = format!("{}-0", place.millis.saturating_sub(LOOKED_FOR_FROM));
                let part = self
                    .read_stream("revocations_after", &from, "+", most + 1)
                    .await?;
                return self.to_page(part, cursor, most, length).map(Some);
            }
            _ => return Ok(None),
        }
        let mut part = self
            .read_stream("revocations_after", place.id, "+", most + 2)
            .await?;
        // If the entry was purged meanwhile, or lost in a failover, the first entry is another one.
        if part
            .entries
            .first()
            .is_none_or(|entry| cursor_of(entry) != cursor)
        {
            return Ok(None);
        }
        part.entries.remove(0);
        self.to_page(part, cursor, most, length).map(Some)
    }

    /// Adds a revocation to the stream. With a `note`, it is added only once while the note exists.
    /// The revocation of a user's tokens is dated by the last token that may be left, by the lives
    /// in the store, but not before the date that it already has. Returns its date in the stream,
    /// and whether it was added now.
    pub(in crate::redis) async fn put(
        &self,
        revocation: &Revocation,
        note: Option<Note<'_>>,
        confirmed: bool,
    ) -> Result<(i64, bool)> {
        let before = match revocation {
            Revocation::User { before, .. } | Revocation::UserInApp { before, .. } => Some(*before),
            Revocation::Token { .. } | Revocation::Key { .. } => None,
        };
        self.put_dated(revocation, before, note, confirmed).await
    }

    /// As [`Self::put`], with the date that the revocation already has.
    pub(in crate::redis) async fn put_again(
        &self,
        revocation: &Revocation,
        note: Option<Note<'_>>,
    ) -> Result<()> {
        self.put_dated(revocation, None, note, true).await.map(drop)
    }

    async fn put_dated(
        &self,
        revocation: &Revocation,
        before: Option<i64>,
        note: Option<Note<'_>>,
        confirmed: bool,
    ) -> Result<(i64, bool)> {
        let keys = [name::STREAM, name::LIVES]
            .into_iter()
            .chain(note.as_ref().map(|(key, _)| &**key));
        let Form { head, tail } = revocation.form();
        let before = before.map(|second| second.to_string()).unwrap_or_default();
        let script = script::PUBLISH_REVOCATION
            .on(&keys.collect::<Vec<_>>())
            .arg(head)
            .arg(tail)
            .arg(revocation.until());
        let script = script.arg(before).arg(LONGEST_LIFE.as_secs());
        let script = script
            .arg(self.clock.now().timestamp())
            .arg(APART.num_seconds());
        let script = script.arg(note.as_ref().map(|(_, life)| *life).unwrap_or_default());
        let answer: (Option<i64>, i64, bool) = self
            .link
            .write("publish_revocation", script, confirmed)
            .await?;
        let (ahead, date, is_added) = answer;
        unless_ahead((ahead, ()))?;
        if is_added {
            self.made.lock().push(revocation.clone().dated(date));
        }
        Ok((date, is_added))
    }

    /// The revocations that all workers have added to the stream since the last call.
    pub fn take_made(&self) -> Vec<Revocation> {
        mem::take(&mut self.made.lock())
    }

    async fn read_stream(
        &self,
        step: &'static str,
        from: &str,
        to: &str,
        count: usize,
    ) -> Result<Part> {
        let asked = Call::at(name::STREAM)
            .cmd("TIME")
            .cmd("HGETALL")
            .arg(name::LIVES);
        let asked = asked
            .cmd("XRANGE")
            .arg(name::STREAM)
            .arg(from)
            .arg(to)
            .arg("COUNT")
            .arg(count);
        type Answer = ((u64, u64), BTreeMap<u64, i64>, Vec<Entry>);
        let sent = Moment::now();
        let (time, lives, entries): Answer = self.link.run(step, asked).await?;
        // By this reading each process notices within seconds that the clock has stepped back.
        let second = (self.clock.note_reading(sent, time) / 1_000_000) as i64;
        let lives = Lives::from(lives);
        self.lives.learn(lives.clone());
        Ok(Part {
            second,
            lives,
            entries,
        })
    }

    fn to_page(
        &self,
        Part {
            second,
            lives,
            mut entries,
        }: Part,
        after: &str,
        most: usize,
        length: Length,
    ) -> Result<ReadRevocations> {
        let at = DateTime::from_timestamp(second, 0).ok_or(StoreError::Damaged("the time"))?;
        let at = self.clock.page_time(at);
        let more = entries.len() > most;
        entries.truncate(if more { length(&entries, most) } else { most });
        let cursor = entries.last().map_or_else(|| after.to_owned(), cursor_of);
        // A revocation that a later version wrote is skipped, so that verifiers still get the
        // others.
        let revocations = entries.iter().filter_map(|(id, (_, revocation))| {
            let unread =
                || tracing::warn!(id, "this version cannot read an entry of wxmint:revoked");
            Revocation::read(revocation).ok_or_else(unread).ok()
        });
        // The earlier of both clocks counts, because one of them may be ahead.
        let present = second.min(at.timestamp());
        let revocations = revocations
            .filter(|revocation| revocation.until().saturating_add(KEPT_AFTER) >= present);
        Ok(ReadRevocations {
            at,
            revocations: revocations.collect(),
            lives,
            cursor,
            more,
        })
    }

    /// Purges the revocations whose date has passed, among at most `most` entries of the stream,
    /// beginning at its start or at `from`. Purges none while the store's clock differs from this
    /// machine's by more than a minute. Revocations do not expire in Redis, because if the clock of
    /// Redis were ahead for a moment, revoked tokens would become valid again, and because a full
    /// Redis evicts keys that expire.
    pub async fn purge(&self, from: Option<&str>, most: usize) -> Result<Purged> {
        let Part {
            second,
            lives,
            entries,
            ..
        } = self
            .read_stream("purge_revocations", from.unwrap_or("-"), "+", most)
            .await?;
        let own = self.clock.now().timestamp();
        if (second - own).abs() > APART.num_seconds() {
            return Ok(Purged {
                revocations: 0,
                next: None,
            });
        }
        let next = entries
            .last()
            .filter(|_| entries.len() == most)
            .and_then(|(id, _)| id_after(id));
        let present = second.min(own) - KEPT_AFTER;
        let over: Vec<_> = entries
            .iter()
            .filter(|entry| until(entry) < present)
            .collect();
        let (mut users, mut tokens) = (
            BTreeSet::<UserId>::new(),
            BTreeMap::<UserId, Vec<String>>::new(),
        );
        for (_, (_, revocation)) in &over {
            match Revocation::read(revocation) {
                Some(Revocation::User { user, .. } | Revocation::UserInApp { user, .. }) => {
                    _ = users.insert(user);
                }
                Some(Revocation::Token { id, user, .. }) => {
                    let key = name::revoked_token(&user, &id);
                    tokens.entry(user).or_default().push(key);
                }
                // The note of a revoked key stays, because an old key file may come back at any
                // time.
                Some(Revocation::Key { .. }) | None => {}
            }
        }
        let of_tokens = tokens.iter().map(async |(user, keys)| {
            let deleted = Call::at(&name::user(user)).cmd("DEL").arg(keys);
            self.link
                .run::<Value>("purge_revocations", deleted)
                .await
                .map(drop)
                .map_err(StoreError::from)
        });
        try_join_all(of_tokens).await?;
        let of_users = users.iter().map(async |user| {
            match self.purge_record(user, present, &lives).await? {
                // The record is still needed, but the purged entry will not lead to the user again.
                Some(needed) => self.note_kept(user, Some(needed), 0).await,
                None => Ok(()),
            }
        });
        try_join_all(of_users).await?;
        // The entries are deleted last, because a repetition finds the remaining records by them.
        if !over.is_empty() {
            let ids: Vec<_> = over.iter().map(|(id, _)| id).collect();
            let deleted = Call::at(name::STREAM)
                .cmd("XDEL")
                .arg(name::STREAM)
                .arg(ids);
            self.link.run::<Value>("purge_revocations", deleted).await?;
        }
        Ok(Purged {
            revocations: over.len(),
            next,
        })
    }

    /// Purges the records that were needed for longer than their entries in the stream, and the
    /// notes of the users' clients, of at most `most` users. Returns the number of users that were
    /// examined.
    pub async fn purge_kept_records(&self, most: usize) -> Result<usize> {
        let asked = Call::at(name::KEPT)
            .cmd("TIME")
            .cmd("HGETALL")
            .arg(name::LIVES)
            .cmd("ZRANGE")
            .arg(name::KEPT);
        let own = self.clock.now().timestamp();
        let asked = asked
            .arg("-inf")
            .arg(own - KEPT_AFTER - 1)
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(most)
            .arg("WITHSCORES");
        type Answer = ((i64, u64), BTreeMap<u64, i64>, Vec<(String, f64)>);
        let ((second, _), lives, users): Answer = self.link.run("purge_revocations", asked).await?;
        if (second - own).abs() > APART.num_seconds() {
            return Ok(0);
        }
        let lives = Lives::from(lives);
        let present = second.min(own) - KEPT_AFTER;
        let of_user = users.iter().map(async |(user, noted)| {
            let user = user
                .parse()
                .map_err(|_| StoreError::Damaged("the users whose records are kept"))?;
            let of_clients = self.purge_old_clients(&user, present).await?;
            let of_record = self.purge_record(&user, present, &lives).await?;
            self.note_kept(&user, of_record.max(of_clients), *noted as i64)
                .await
        });
        try_join_all(of_user).await?;
        Ok(users.len())
    }

    /// Purges the record of a user's revocations, or returns until when it is needed.
    async fn purge_record(
        &self,
        user: &UserId,
        present: i64,
        lives: &Lives,
    ) -> Result<Option<i64>> {
        // The note of a renewed token's date is kept as long as the token, with a margin in case a
        // clock is ahead.
        let note = 2 * lives.longest(present).as_secs() + NOTE_KEPT.as_secs();
        let script = change_revocations(user, "forget")
            .arg(present)
            .arg(REVOCATIONS_KEPT.as_secs())
            .arg(note);
        Ok(self.link.run("purge_revocations", script).await?)
    }

    /// Purges the notes of clients whose tokens have expired. Returns when the last token of the
    /// other clients expires.
    async fn purge_old_clients(&self, user: &UserId, present: i64) -> Result<Option<i64>> {
        let (old, left): (Vec<_>, Vec<_>) = self
            .clients
            .clients_of(user)
            .await?
            .into_iter()
            .partition(|noted| noted.until < present);
        if !old.is_empty() {
            self.clients.delete(user, &old).await?;
        }
        Ok(left.iter().map(|noted| noted.until).max())
    }

    async fn note_kept(&self, user: &UserId, until: Option<i64>, noted: i64) -> Result<()> {
        let script = script::KEEP_RECORDS.on(&[name::KEPT]).arg(user.as_str());
        let until = until.map(|until| until.to_string()).unwrap_or_default();
        Ok(self
            .link
            .run::<u64>("purge_revocations", script.arg(until).arg(noted))
            .await
            .map(drop)?)
    }
}

/// A parsed cursor: the id of an entry, and its date.
struct Place<'a> {
    id: &'a str,
    millis: u64,
    /// The date of the revocation.
    until: i64,
}

impl<'a> Place<'a> {
    fn read(cursor: &'a str) -> Option<Self> {
        let (id, rest) = cursor.split_once('.')?;
        let (until, _) = rest.split_once('.')?;
        Some(Self {
            id,
            millis: stream_id(id)?.0,
            until: until.parse().ok()?,
        })
    }
}

/// A page ends after the entry with the greatest weight in its second half. A reader that begins
/// elsewhere has much of that half in its own second half, so its page mostly ends there too. So
/// few entries of a stream are page boundaries of any reader.
fn where_readers_meet(entries: &[Entry], most: usize) -> usize {
    let second_half =
        (most / 2..most).filter_map(|index| Some((weight(entries.get(index)?), index + 1)));
    second_half.max().map_or(most, |(_, length)| length)
}

/// The pseudorandom weight of an entry, the same for every reader.
fn weight((id, _): &Entry) -> [u8; 8] {
    let mut weight = [0; 8];
    weight.copy_from_slice(&digest(&SHA256, id.as_bytes()).as_ref()[..8]);
    weight
}

/// Parses the id of an entry: the millisecond since 1970 in which it was added, and its number
/// within that millisecond.
fn stream_id(id: &str) -> Option<(u64, u64)> {
    let (millis, sequence) = id.split_once('-').filter(|_| id.len() <= 41)?;
    Some((millis.parse().ok()?, sequence.parse().ok()?))
}

/// The smallest id after this one.
fn id_after(id: &str) -> Option<String> {
    let (millis, sequence) = stream_id(id)?;
    Some(format!("{millis}-{}", sequence.checked_add(1)?))
}

/// The date of an entry. An entry that a later version wrote is kept as long as any revocation.
fn until((id, (_, revocation)): &Entry) -> i64 {
    let put_at = || stream_id(id).map_or(0, |(millis, _)| (millis / 1_000) as i64);
    Revocation::read(revocation).map_or_else(
        || put_at() + REVOCATIONS_KEPT.as_secs() as i64,
        |revocation| revocation.until(),
    )
}

/// The cursor of an entry: its id, its date and a hash of its content. The hash is needed because
/// after a failover that lost entries another entry may have the id. The date says when the entry
/// is purged.
fn cursor_of(entry: &Entry) -> String {
    let (id, (_, revocation)) = entry;
    let content = URL_SAFE_NO_PAD.encode(&digest(&SHA256, revocation.as_bytes()).as_ref()[..6]);
    format!("{id}.{}.{content}", until(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_read_as_it_was_written() {
        let (user, app) = (
            "user-1".parse::<UserId>().expect("a user"),
            "wx0123456789abcdef".parse().expect("an app"),
        );
        for revocation in [
            Revocation::User {
                user: user.clone(),
                before: 1,
                until: 61,
            },
            Revocation::UserInApp {
                user: user.clone(),
                app,
                before: -2,
                until: 62,
            },
            Revocation::Token {
                id: "jti-1".parse().expect("an id"),
                user,
                expires_at: 3,
            },
            Revocation::Key {
                kid: "a-kid".into(),
                until: 4,
            },
        ] {
            assert_eq!(
                Revocation::read(&revocation.to_string()).as_ref(),
                Some(&revocation)
            );
            let later = revocation.clone().dated(99);
            assert_eq!(
                later.form().name(),
                revocation.form().name(),
                "whatever its date"
            );
        }
        for wrong in [
            "",
            "sub",
            "sub 1",
            "sub 1 user-1",
            "sub x 1 user-1",
            "sub 1 x user-1",
            "kid a-kid",
            "jti 1 a",
            "jti 1 a b c",
            "nonsense 1 x",
        ] {
            assert_eq!(Revocation::read(wrong), None, "{wrong}");
        }
    }

    fn entries(from: usize, count: usize) -> Vec<Entry> {
        (from..from + count)
            .map(|number| {
                (
                    format!("1795000000{number:06}-0"),
                    (String::new(), String::new()),
                )
            })
            .collect()
    }

    #[test]
    fn readers_who_begin_at_different_entries_soon_read_the_same_parts() {
        let (all, most) = (40_000, 1_000);
        let mut revocations = std::collections::BTreeMap::<usize, usize>::new();
        for begin in (0..20_000).step_by(997) {
            let mut from = begin;
            while from + most < all {
                let length = where_readers_meet(&entries(from, most + 1), most);
                assert!((most / 2 + 1..=most).contains(&length));
                from += length;
                *revocations.entry(from).or_default() += 1;
            }
        }
        let readers = (0..20_000).step_by(997).count();
        let after = |place: usize| {
            revocations
                .range(place..)
                .map(|(_, count)| *count)
                .collect::<Vec<_>>()
        };
        assert!(
            revocations.len() < all / 300,
            "{} revocations for {readers} readers",
            revocations.len()
        );
        assert!(
            after(30_000).iter().all(|count| *count == readers),
            "all of them have met: {:?}",
            after(30_000)
        );
    }
}
