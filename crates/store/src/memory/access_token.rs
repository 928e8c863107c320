//! Access tokens in memory.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wxmint_ids::AppId;

use super::Memory;
use crate::{
    AccessTokenShelf, AttemptId, FAILED_PAUSE, Fingerprint, KeptToken, Lent, Result, TokenLife, UNRENEWED_PAUSE,
};

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
        let (now, mut shelves) = self.open();
        let slot = shelves.access_tokens.entry(app.clone()).or_default();
        let good = slot.token.as_ref().filter(|token| token.expires > now && bad != Some(&token.kept.fingerprint));
        let lent = |token: &Stored| (token.kept.clone(), (token.expires - now).to_std().unwrap_or_default());
        if let Some((kept, life)) = good.filter(|token| token.renew_from > now).map(lent) {
            return Ok(Lent::Token(kept, life));
        }
        let good = good.map(lent);
        // One that ends later than a lease can was given before the clock stepped back.
        let is_held =
            |held: &&Lease| held.until > now && held.until <= now + lease && held.by.as_ref() != Some(attempt);
        let held = slot.lease.as_ref().filter(is_held);
        if let Some(held) = held {
            let none = if held.by.is_some() { Lent::Wait } else { Lent::Failed };
            return Ok(good.map_or(none, |(kept, life)| Lent::Token(kept, life)));
        }
        slot.lease = Some(Lease { by: Some(attempt.clone()), renews: good.is_some(), until: now + lease });
        Ok(good.map_or(Lent::Fetch, |(kept, life)| Lent::Renew(kept, life)))
    }

    async fn keep_access_token(
        &self,
        app: &AppId,
        attempt: &AttemptId,
        kept: &KeptToken,
        life: TokenLife,
    ) -> Result<()> {
        let (now, mut shelves) = self.open();
        let slot = shelves.access_tokens.entry(app.clone()).or_default();
        if slot.is_held_by(attempt) {
            let (renew_from, expires) = (now + life.renew_in, now + life.expires_in);
            *slot = Slot { token: Some(Stored { kept: kept.clone(), renew_from, expires }), lease: None };
        }
        Ok(())
    }

    async fn give_up_access_token(&self, app: &AppId, attempt: &AttemptId) -> Result<()> {
        let (now, mut shelves) = self.open();
        let slot = shelves.access_tokens.entry(app.clone()).or_default();
        if slot.is_held_by(attempt) {
            let renews = slot.lease.take().is_some_and(|lease| lease.renews);
            match &mut slot.token {
                Some(token) if renews => token.renew_from = now + UNRENEWED_PAUSE,
                _ => slot.lease = Some(Lease { by: None, renews: false, until: now + FAILED_PAUSE }),
            }
        }
        Ok(())
    }
}
