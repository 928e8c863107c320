//! The revocations of one issuer that a verifier holds, and the lookup of a token in them.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

use super::table::{Seconds, Table, Until, UpTo};
use super::{RevocationEntry, RevocationHash};
use crate::{Claims, MAX_LEEWAY};

/// How many revocations are held before some are dropped. They are dropped only when there are a
/// sixteenth more than this, so that the search for the oldest is rare. That many take 300 MB, and
/// 330 MB during the search.
pub const MAX_HELD: usize = 10_000_000;
/// By how many seconds this machine's clock may be behind the issuer's. This machine accepts a
/// token for that much longer.
pub(super) const CLOCKS_DIFFER: Seconds = 60;

/// The parts of a token that a revocation can name. If you cache valid tokens, keep this value with
/// each: making it takes about a microsecond, and a lookup among a million revocations a third of
/// that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevocableToken {
    user: RevocationHash,
    user_in_app: RevocationHash,
    token: RevocationHash,
    key: RevocationHash,
    issued_at: i64,
}

impl RevocableToken {
    /// Computes the hashes of a verified token. `kid` names the key that verified it.
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

/// The revocations of one issuer. [`super::RevocationFeed`] adds to them while any number of
/// threads look up tokens.
pub struct RevocationSet {
    issuer: String,
    /// By the hash of a user; `users_in_apps` by the hash of a user and an app.
    users: Table<UpTo>,
    users_in_apps: Table<UpTo>,
    /// By the hash of a token's id.
    tokens: Table<Until>,
    /// By the hash of a `kid`. They are few, so they are dropped only when they expire, never for
    /// lack of room.
    keys: Table<Until>,
    /// The `iat` of the newest page that reached the end of the feed; `i64::MIN` before the first.
    known_until: AtomicI64,
    /// Until when a revocation that was dropped for lack of room may be needed; `i64::MIN` if none
    /// was dropped.
    lacking_until: AtomicI64,
}

impl RevocationSet {
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

    /// The issuer whose revocations these are.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether a revocation names the token. A user's revocation names tokens with an `iat` up to
    /// its `before`; a token issued one second later is valid.
    pub fn is_revoked(&self, token: &RevocableToken) -> bool {
        let is_before = |table: &Table<UpTo>, hash| {
            table
                .times(hash)
                .is_some_and(|up_to| i64::from(up_to.before) >= token.issued_at)
        };
        is_before(&self.users, &token.user)
            || is_before(&self.users_in_apps, &token.user_in_app)
            || self.tokens.times(&token.token).is_some()
            || self.keys.times(&token.key).is_some()
    }

    /// The number of revocations that are held.
    pub fn count(&self) -> usize {
        self.users.len() + self.users_in_apps.len() + self.tokens.len() + self.keys.len()
    }

    /// The time since the newest page that reached the end of the feed, by the `iat` that the
    /// issuer wrote; `None` before the first. If that `iat` is more than 60 s ahead of `now`, this
    /// machine's clock has stepped back, and the next pages are refused. The distance then counts
    /// as the age, which grows until a page is accepted.
    pub fn age(&self, now: DateTime<Utc>) -> Option<TimeDelta> {
        let known_until = self.known_until.load(Ordering::Acquire);
        let age = now - DateTime::from_timestamp(known_until, 0)?;
        if age < -TimeDelta::seconds(CLOCKS_DIFFER.into()) {
            let so_far_behind = known_until + 2 * age.num_seconds();
            // This fails if a page was accepted meanwhile, whose newer date then stays.
            let _ = self.known_until.compare_exchange(
                known_until,
                so_far_behind,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            return Some(-age);
        }
        Some(age.max(TimeDelta::zero()))
    }

    /// Whether a revocation was dropped for lack of room although it may still name a token that
    /// has not expired.
    pub fn lacks(&self, now: DateTime<Utc>) -> bool {
        now.timestamp() < self.lacking_until.load(Ordering::Acquire)
    }

    pub(super) fn has_revoked_key(&self, kid: &str) -> bool {
        self.keys
            .times(&RevocationHash::of(&self.issuer, kid))
            .is_some()
    }

    /// Adds a revocation unless it has expired. If its hash is held already, the later times count.
    pub(super) fn add(&self, entry: &RevocationEntry, expiry: Expiry) {
        let (RevocationEntry::User { until, .. }
        | RevocationEntry::UserInApp { until, .. }
        | RevocationEntry::Token { until, .. }
        | RevocationEntry::Key { until, .. }) = *entry;
        let until = seconds(until);
        if !expiry.needs(until) {
            return;
        }
        match *entry {
            RevocationEntry::User { user, before, .. } => self.users.put(
                user,
                UpTo {
                    before: seconds(before),
                    until,
                },
            ),
            RevocationEntry::UserInApp {
                user_in_app,
                before,
                ..
            } => {
                self.users_in_apps.put(
                    user_in_app,
                    UpTo {
                        before: seconds(before),
                        until,
                    },
                );
            }
            RevocationEntry::Token { token, .. } => self.tokens.put(token, Until(until)),
            RevocationEntry::Key { ref kid, .. } => self
                .keys
                .put(RevocationHash::of(&self.issuer, kid), Until(until)),
        }
    }

    pub(super) fn purge_expired(&self, expiry: Expiry) {
        self.users.retain(|until| expiry.needs(until));
        self.users_in_apps.retain(|until| expiry.needs(until));
        self.tokens.retain(|until| expiry.needs(until));
        self.keys.retain(|until| expiry.needs(until));
    }

    /// Drops revocations until `most` are left. It drops from the largest of the three tables
    /// (users, users in apps, tokens) the revocations that expire first. So an attacker who causes
    /// many revocations of one kind, which is easy by logging out, displaces revocations of that
    /// kind, eventually his own, but no blocked users and no keys.
    pub(super) fn keep_newest(&self, most: usize) {
        while self.count() > most
            && let Some(dropped) = self.drop_of_the_largest_kind(self.count() - most)
        {
            let lacking_until = i64::from(dropped) + MAX_LEEWAY.as_secs() as i64;
            self.lacking_until
                .fetch_max(lacking_until, Ordering::AcqRel);
        }
    }

    fn drop_of_the_largest_kind(&self, count: usize) -> Option<Seconds> {
        let (users, in_apps, tokens) = (
            self.users.len(),
            self.users_in_apps.len(),
            self.tokens.len(),
        );
        match users.max(in_apps).max(tokens) {
            most if most == tokens => self.tokens.drop_oldest(count),
            most if most == in_apps => self.users_in_apps.drop_oldest(count),
            _ => self.users.drop_oldest(count),
        }
    }

    /// Notes that the feed was read to its end at `iat`. A page that is replayed changes nothing,
    /// because the greatest `iat` counts.
    pub(super) fn known_until(&self, iat: i64) {
        self.known_until.fetch_max(iat, Ordering::AcqRel);
    }
}

/// Decides which revocations have expired: all tokens that they name have expired.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    now: Seconds,
}

impl Expiry {
    /// `now` is the issuer's time, in seconds since 1970.
    pub(super) fn at(now: i64) -> Self {
        Self { now: seconds(now) }
    }

    /// Whether a verifier may still accept a token that expires at `until`: the leeway counts from
    /// `until`, by the verifier's clock, which may be behind the issuer's.
    fn needs(self, until: Seconds) -> bool {
        until.saturating_add(MAX_LEEWAY.as_secs() as Seconds + CLOCKS_DIFFER) > self.now
    }
}

/// A time after 2106 counts as 2106, and one before 1970 as 1970.
fn seconds(time: i64) -> Seconds {
    Seconds::try_from(time.max(0)).unwrap_or(Seconds::MAX)
}
