//! The access tokens of `stable_token`: all callers share a token, which is renewed in its last
//! minutes. A caller can force a new token a limited number of times.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;

use super::{call::Refusal, state::alphanumeric};

/// How long before a token's expiry its successor is issued. Both are valid in this time.
const OVERLAP: TimeDelta = TimeDelta::minutes(5);
/// A forced refresh has no effect within this time after another.
const FORCED_APART: TimeDelta = TimeDelta::seconds(30);
const FORCED_PER_DAY: usize = 20;
/// How long a token is remembered after its expiry. Later it counts as invalid and not as expired.
const REMEMBERED: TimeDelta = TimeDelta::hours(1);

/// All access tokens of all apps. An app is its index in the list.
#[derive(Default)]
pub(super) struct AccessTokens {
    life: TimeDelta,
    issued: Vec<Issued>,
    forced: Vec<(usize, DateTime<Utc>)>,
}

struct Issued {
    app: usize,
    value: String,
    expires: DateTime<Utc>,
}

/// The reason why an access token identifies no app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bad {
    Unknown,
    Expired,
}

impl From<Bad> for Refusal {
    fn from(bad: Bad) -> Self {
        Self(match bad {
            Bad::Unknown => 40001,
            Bad::Expired => 42001,
        })
    }
}

impl AccessTokens {
    pub(super) fn new(life: TimeDelta) -> Self {
        Self {
            life,
            issued: Vec::new(),
            forced: Vec::new(),
        }
    }

    /// The app's token and its remaining seconds. `None` if refreshes were forced too often today.
    pub(super) fn issue(
        &mut self,
        app: usize,
        force: bool,
        now: DateTime<Utc>,
    ) -> Option<(String, i64)> {
        if force && !self.force(app, now) {
            return None;
        }
        let overlap = OVERLAP.min(self.life / 2);
        let fresh = |token: &&Issued| token.app == app && token.expires - now > overlap;
        if let Some(token) = self.issued.iter().find(fresh) {
            return Some((token.value.clone(), (token.expires - now).num_seconds()));
        }
        Some(self.add(app, now))
    }

    /// Issues a new token even if there is a valid one, as for a third-party platform. The earlier
    /// tokens stay valid for the overlap.
    pub(super) fn issue_new(&mut self, app: usize, now: DateTime<Utc>) -> (String, i64) {
        let of_app = self.issued.iter_mut().filter(|token| token.app == app);
        of_app.for_each(|token| token.expires = token.expires.min(now + OVERLAP));
        self.add(app, now)
    }

    fn add(&mut self, app: usize, now: DateTime<Utc>) -> (String, i64) {
        self.issued.retain(|token| now - token.expires < REMEMBERED);
        let value = alphanumeric(136);
        self.issued.push(Issued {
            app,
            value: value.clone(),
            expires: now + self.life,
        });
        (value, self.life.num_seconds())
    }

    /// Drops the app's tokens, unless that happened a moment ago. `false` if it happened too often
    /// today.
    fn force(&mut self, app: usize, now: DateTime<Utc>) -> bool {
        self.forced.retain(|(_, at)| now - *at < TimeDelta::days(1));
        let of_app = || self.forced.iter().filter(|(forced, _)| *forced == app);
        if of_app().any(|(_, at)| now - *at < FORCED_APART) {
            return true;
        }
        if of_app().count() >= FORCED_PER_DAY {
            return false;
        }
        self.forced.push((app, now));
        self.issued.retain(|token| token.app != app);
        true
    }

    /// Invalidates the tokens of one app, or of all apps, before they expire. Returns their number.
    pub(super) fn end(&mut self, app: Option<usize>, how: Bad, now: DateTime<Utc>) -> usize {
        let concerned =
            |token: &Issued| token.expires > now && app.is_none_or(|app| token.app == app);
        let ended = self.issued.iter().filter(|token| concerned(token)).count();
        match how {
            Bad::Unknown => self.issued.retain(|token| !concerned(token)),
            Bad::Expired => self
                .issued
                .iter_mut()
                .filter(|token| concerned(token))
                .for_each(|token| token.expires = now),
        }
        ended
    }

    /// The app that a token was issued to.
    pub(super) fn app(&self, value: &str, now: DateTime<Utc>) -> Result<usize, Bad> {
        let token = self
            .issued
            .iter()
            .find(|token| token.value == value)
            .ok_or(Bad::Unknown)?;
        if now < token.expires {
            Ok(token.app)
        } else {
            Err(Bad::Expired)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now;

    const LIFE: TimeDelta = TimeDelta::hours(2);

    #[test]
    fn callers_share_a_token_until_its_last_five_minutes_and_then_both_are_good() {
        let (mut tokens, start) = (AccessTokens::new(LIFE), now());
        let (first, expires_in) = tokens.issue(0, false, start).expect("a token");
        assert_eq!(expires_in, 7200);
        let later = start + TimeDelta::minutes(100);
        assert_eq!(tokens.issue(0, false, later), Some((first.clone(), 1200)));

        let last_minutes = start + TimeDelta::minutes(116);
        let (second, _) = tokens.issue(0, false, last_minutes).expect("a token");
        assert_ne!(first, second);
        assert_eq!(
            (
                tokens.app(&first, last_minutes),
                tokens.app(&second, last_minutes)
            ),
            (Ok(0), Ok(0))
        );
        assert_eq!(tokens.app(&first, start + LIFE), Err(Bad::Expired));
    }

    #[test]
    fn tokens_are_ended_before_their_time() {
        let (mut tokens, now) = (AccessTokens::new(LIFE), now());
        for (bad, other_app) in [(Bad::Unknown, 1), (Bad::Expired, 2)] {
            let [(ours, _), (theirs, _)] =
                [0, other_app].map(|app| tokens.issue(app, false, now).expect("a token"));
            assert_eq!(tokens.end(Some(0), bad, now), 1);
            assert_eq!(
                (tokens.app(&ours, now), tokens.app(&theirs, now)),
                (Err(bad), Ok(other_app))
            );
            assert_ne!(tokens.issue(0, false, now).expect("a token").0, ours);
        }
        assert_eq!(tokens.end(None, Bad::Unknown, now), 3);
    }

    #[test]
    fn a_forced_refresh_kills_the_old_token_but_not_within_30_seconds_nor_21_times_a_day() {
        let (mut tokens, mut now) = (AccessTokens::new(LIFE), now());
        let (old, _) = tokens.issue(0, false, now).expect("a token");
        let (other_app, _) = tokens.issue(1, false, now).expect("a token");
        let (forced, _) = tokens.issue(0, true, now).expect("a token");
        assert_eq!(tokens.app(&old, now), Err(Bad::Unknown));
        assert_eq!(tokens.app(&other_app, now), Ok(1));
        let (again, _) = tokens
            .issue(0, true, now + TimeDelta::seconds(29))
            .expect("a token");
        assert_eq!(again, forced);
        for _ in 1..20 {
            now += TimeDelta::seconds(30);
            assert!(tokens.issue(0, true, now).is_some());
        }
        assert_eq!(tokens.issue(0, true, now + TimeDelta::seconds(30)), None);
    }
}
