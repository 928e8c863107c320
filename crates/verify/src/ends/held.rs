//! The ends of one issuer that a verifier holds, and the question whether one of them names a token.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use super::table::{Seconds, Table, Until, UpTo};
use super::{RevocationEntry, RevocationHash};
use crate::{Claims, MAX_LEEWAY};

/// How many ends are held at least, if so many are needed. A sixteenth more is held before the oldest are
/// dropped, so that they are seldom searched for. That many take 300 MB, and 330 MB while the oldest are searched for.
pub const MAX_HELD: usize = 10_000_000;
/// By how many seconds this machine's clock may be behind the issuer's. It accepts a token for so much longer.
pub(super) const CLOCKS_DIFFER: Seconds = 60;

/// The parts of a token that an end can name. Make it once and keep it with a token that is remembered as valid: making
/// it takes about a microsecond, and asking with it a third of that while a million ends are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endable {
    user: RevocationHash,
    user_in_app: RevocationHash,
    token: RevocationHash,
    key: RevocationHash,
    issued_at: i64,
}

impl Endable {
    /// `kid` is that of the key that verified the token.
    pub fn of(issuer: &str, claims: &Claims, kid: &str) -> Self {
        Self {
            user: RevocationHash::of_user(issuer, &claims.user),
            user_in_app: RevocationHash::of_user_in_app(issuer, &claims.user, &claims.app),
            token: RevocationHash::of_token(issuer, &claims.id),
            key: RevocationHash::of(issuer, kid),
            issued_at: claims.issued_at.timestamp(),
        }
    }
}

/// The ends of one issuer. [`super::Feed`] adds to them while any number of threads ask.
pub struct Ends {
    issuer: String,
    /// By user, and by user and app.
    users: Table<UpTo>,
    users_in_apps: Table<UpTo>,
    /// By token.
    tokens: Table<Until>,
    /// By the hash of a `kid`. They are few, and are dropped by their dates alone.
    keys: Table<Until>,
    /// `iat` of the newest page after which there were no more; `i64::MIN` before the first.
    known_until: AtomicI64,
    /// Until when an end that was dropped for lack of room may be needed.
    lacking_until: AtomicI64,
}

impl Ends {
    pub(super) fn of(issuer: &str) -> Self {
        Self {
            issuer: issuer.to_owned(),
            users: Table::empty(),
            users_in_apps: Table::empty(),
            tokens: Table::empty(),
            keys: Table::empty(),
            known_until: AtomicI64::new(i64::MIN),
            lacking_until: AtomicI64::new(i64::MIN),
        }
    }

    /// The issuer whose ends they are.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether an end names the token. A token whose `iat` is one second after BEFORE is valid again.
    pub fn has_ended(&self, token: &Endable) -> bool {
        let is_before =
            |table: &Table<UpTo>, hash| table.times(hash).is_some_and(|end| i64::from(end.before) >= token.issued_at);
        is_before(&self.users, &token.user)
            || is_before(&self.users_in_apps, &token.user_in_app)
            || self.tokens.times(&token.token).is_some()
            || self.keys.times(&token.key).is_some()
    }

    /// The number of ends that are held.
    pub fn count(&self) -> usize {
        self.users.len() + self.users_in_apps.len() + self.tokens.len() + self.keys.len()
    }

    /// The time since the newest page after which there were no more ends, by the issuer's clock; `None` before the
    /// first. If that page is further ahead than clocks differ, this machine's clock has stepped back, and the next
    /// pages are refused. What is known counts as that old then, and ever older until a page is accepted.
    pub fn age(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let known_until = self.known_until.load(Ordering::Acquire);
        let age = now - DateTime::from_timestamp(known_until, 0)?;
        if age < -TimeDelta::seconds(CLOCKS_DIFFER.into()) {
            let so_far_behind = known_until + 2 * age.num_seconds();
            // Fails if a page was accepted meanwhile.
            let _ = self.known_until.compare_exchange(known_until, so_far_behind, Ordering::AcqRel, Ordering::Relaxed);
            return Some(-age);
        }
        Some(age.max(TimeDelta::zero()))
    }

    /// Whether an end was dropped for lack of room although it may still name a valid token.
    pub fn lacks(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() < self.lacking_until.load(Ordering::Acquire)
    }

    pub(super) fn has_revoked_key(&self, kid: &str) -> bool {
        self.keys.times(&RevocationHash::of(&self.issuer, kid)).is_some()
    }

    /// Ends that could be forgotten at once are not added, and those that are held merge by the later times.
    pub(super) fn add(&self, end: &RevocationEntry, forget: &Forget) {
        let (RevocationEntry::User { until, .. }
        | RevocationEntry::UserInApp { until, .. }
        | RevocationEntry::Token { until, .. }
        | RevocationEntry::Key { until, .. }) = *end;
        let until = seconds(until);
        if !forget.needs(until) {
            return;
        }
        match *end {
            RevocationEntry::User { user, before, .. } => self.users.put(user, UpTo { before: seconds(before), until }),
            RevocationEntry::UserInApp { user_in_app, before, .. } => {
                self.users_in_apps.put(user_in_app, UpTo { before: seconds(before), until });
            }
            RevocationEntry::Token { token, .. } => self.tokens.put(token, Until(until)),
            RevocationEntry::Key { ref kid, .. } => self.keys.put(RevocationHash::of(&self.issuer, kid), Until(until)),
        }
    }

    pub(super) fn forget(&self, forget: &Forget) {
        self.users.retain(|until| forget.needs(until));
        self.users_in_apps.retain(|until| forget.needs(until));
        self.tokens.retain(|until| forget.needs(until));
        self.keys.retain(|until| forget.needs(until));
    }

    /// Drops ends until `most` are left: of the kind of which most are held, those that are needed for the shortest
    /// time. So whoever makes many ends of one kind, which is easy with logouts, pushes out neither blocked users nor
    /// keys, and sooner or later his own ends.
    pub(super) fn keep_newest(&self, most: usize) {
        while self.count() > most
            && let Some(dropped) = self.drop_of_the_largest_kind(self.count() - most)
        {
            let lacking_until = i64::from(dropped) + MAX_LEEWAY.as_secs() as i64;
            self.lacking_until.fetch_max(lacking_until, Ordering::AcqRel);
        }
    }

    fn drop_of_the_largest_kind(&self, count: usize) -> Option<Seconds> {
        let (users, in_apps, tokens) = (self.users.len(), self.users_in_apps.len(), self.tokens.len());
        match users.max(in_apps).max(tokens) {
            most if most == tokens => self.tokens.drop_oldest(count),
            most if most == in_apps => self.users_in_apps.drop_oldest(count),
            _ => self.users.drop_oldest(count),
        }
    }

    /// A page that is played again never makes the knowledge look younger, nor older.
    pub(super) fn known_until(&self, iat: i64) {
        self.known_until.fetch_max(iat, Ordering::AcqRel);
    }
}

/// Tells which ends are no longer needed, because every token that they name has expired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Forget {
    now: Seconds,
}

impl Forget {
    /// `now` is the issuer's.
    pub(super) fn at(now: i64) -> Self {
        Self { now: seconds(now) }
    }

    /// A verifier refuses the last token when the leeway after its `exp` has passed by its own clock.
    fn needs(&self, until: Seconds) -> bool {
        until.saturating_add(MAX_LEEWAY.as_secs() as Seconds + CLOCKS_DIFFER) > self.now
    }
}

/// A time after 2106 counts as 2106, and one before 1970 as 1970.
fn seconds(time: i64) -> Seconds {
    Seconds::try_from(time.max(0)).unwrap_or(Seconds::MAX)
}
