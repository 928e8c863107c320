//! Access tokens in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    super::{
        AccessTokenShelf, AttemptId, FAILED_PAUSE, Fingerprint, KeptToken, Lent, Result, TokenLife, UNRENEWED_PAUSE,
    },
    Memory,
};
use crate::ids::AppId;

#[derive(Default)]
pub(super) struct Slot {
    token: Option<Stored>,
    lease: Option<Lease>,
}

struct Stored {
    kept: KeptToken,
    renew_from: DateTime<Utc>,
    expires: DateTime<Utc>,
}

struct Lease {
    /// `None` after a fetch that failed.
    by: Option<AttemptId>,
    /// Whether there was a good token when the lease was given.
    renews: bool,
    until: DateTime<Utc>,
}

impl Slot {
    fn lend(&mut self, attempt: &AttemptId, bad: Option<&Fingerprint>, lease: Duration, now: DateTime<Utc>) -> Lent {
        let good = self.token.as_ref().filter(|token| token.expires > now && bad != Some(&token.kept.fingerprint));
        let lent = |token: &Stored| (token.kept.clone(), (token.expires - now).to_std().unwrap_or_default());
        if let Some((kept, life)) = good.filter(|token| token.renew_from > now).map(lent) {
            return Lent::Token(kept, life);
        }
        let good = good.map(lent);
        let held = self.lease.as_ref().filter(|held| held.until > now && held.by.as_ref() != Some(attempt));
        if let Some(held) = held {
            let none = if held.by.is_some() { Lent::Wait } else { Lent::Failed };
            return good.map_or(none, |(kept, life)| Lent::Token(kept, life));
        }
        self.lease = Some(Lease { by: Some(attempt.clone()), renews: good.is_some(), until: now + lease });
        good.map_or(Lent::Fetch, |(kept, life)| Lent::Renew(kept, life))
    }

    fn keep(&mut self, attempt: &AttemptId, kept: &KeptToken, life: TokenLife, now: DateTime<Utc>) {
        if self.is_held_by(attempt) {
            let (renew_from, expires) = (now + life.renew_in, now + life.expires_in);
            *self = Self { token: Some(Stored { kept: kept.clone(), renew_from, expires }), lease: None };
        }
    }

    fn give_up(&mut self, attempt: &AttemptId, now: DateTime<Utc>) {
        if !self.is_held_by(attempt) {
            return;
        }
        let renewed = self.lease.take().is_some_and(|lease| lease.renews);
        match &mut self.token {
            Some(token) if renewed => token.renew_from = now + UNRENEWED_PAUSE,
            _ => self.lease = Some(Lease { by: None, renews: false, until: now + FAILED_PAUSE }),
        }
    }

    fn is_held_by(&self, attempt: &AttemptId) -> bool {
        self.lease.as_ref().is_some_and(|lease| lease.by.as_ref() == Some(attempt))
    }
}

#[async_trait(?Send)]
impl AccessTokenShelf for Memory {
    async fn lend_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        bad: Option<&Fingerprint>,
        lease: Duration,
    ) -> Result<Lent> {
        let now = (self.clock)();
        Ok(self.shelves().access_tokens.entry(app.clone()).or_default().lend(attempt, bad, lease, now))
    }

    async fn keep_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        token: &KeptToken,
        life: TokenLife,
    ) -> Result<()> {
        let now = (self.clock)();
        self.shelves().access_tokens.entry(app.clone()).or_default().keep(attempt, token, life, now);
        Ok(())
    }

    async fn give_up_access_token(&self, app: &AppId, attempt: &AttemptId) -> Result<()> {
        let now = (self.clock)();
        self.shelves().access_tokens.entry(app.clone()).or_default().give_up(attempt, now);
        Ok(())
    }
}
