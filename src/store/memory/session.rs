//! What is done with session keys in memory.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{
    super::{
        Bearer, ClaimId, ExchangeOrder, FAILURES_WINDOW, Issued, KeptSession, MAX_FAILURES, Opening, Person, Sealed,
        Sessions, StoreError, Tried,
    },
    Memory,
};
use crate::ids::{AppId, TokenId, UserId};

pub(super) struct StoredTries {
    failed: u32,
    under_way: HashSet<ClaimId>,
    until: DateTime<Utc>,
}

#[derive(Default)]
pub(super) struct StoredRevocations {
    /// Each with its expiry.
    tokens: HashMap<TokenId, i64>,
    /// All that were issued up to and in this second.
    before: Option<i64>,
}

#[async_trait(?Send)]
impl Sessions for Memory {
    async fn bearer(&self, token: &Issued, app: &AppId) -> Result<Bearer, StoreError> {
        let shelves = self.shelves();
        let revoked = shelves.revoked.get(&token.user).is_some_and(|revoked| {
            revoked.tokens.contains_key(&token.id) || revoked.before.is_some_and(|before| token.issued_at <= before)
        });
        if revoked {
            return Ok(Bearer::Revoked);
        }
        let people = shelves.users.get(&token.user).into_iter().flat_map(|list| list.admitted());
        Ok(Bearer::People(people.filter(|person| person.app == *app).cloned().collect()))
    }

    async fn revoke(&self, token: &Issued, everywhere: bool, _: Duration) -> Result<(), StoreError> {
        let now = (self.clock)().timestamp();
        let mut shelves = self.shelves();
        let revoked = shelves.revoked.entry(token.user.clone()).or_default();
        revoked.tokens.retain(|_, expires_at| *expires_at >= now);
        match everywhere {
            true => revoked.before = revoked.before.max(Some(now)),
            false => drop(revoked.tokens.insert(token.id.clone(), token.expires_at)),
        }
        Ok(())
    }

    async fn open(&self, person: &Person, user: &UserId, claim: &ClaimId) -> Result<Opening, StoreError> {
        let now = (self.clock)();
        let mut shelves = self.shelves();
        if !shelves.bindings.get(person).is_some_and(|binding| binding.is_bound_to(user)) {
            return Ok(Opening::NotBound);
        }
        shelves.tries.retain(|_, tries| tries.until > now);
        let fresh = StoredTries { failed: 0, under_way: HashSet::new(), until: now };
        let tries = shelves.tries.entry(person.clone()).or_insert(fresh);
        if tries.failed + tries.under_way.len() as u32 >= MAX_FAILURES && !tries.under_way.contains(claim) {
            return Ok(Opening::Busy);
        }
        tries.under_way.insert(claim.clone());
        if tries.failed == 0 {
            tries.until = now + FAILURES_WINDOW;
        }
        let kept = shelves.kept_keys(person, now);
        let keys = kept.into_iter().flat_map(|keys| [Some(keys.current), keys.previous]).flatten().collect();
        let order = ExchangeOrder::new(now.timestamp_micros().max(0) as u64, claim);
        Ok(Opening::Keys(KeptSession { keys, order }))
    }

    async fn close(&self, person: &Person, tried: Tried, claim: &ClaimId) -> Result<bool, StoreError> {
        let now = (self.clock)();
        let mut shelves = self.shelves();
        let Some(tries) = shelves.tries.get_mut(person).filter(|tries| tries.until > now) else { return Ok(false) };
        if !tries.under_way.remove(claim) || tried != Tried::Failed {
            return Ok(false);
        }
        tries.failed += 1;
        if tries.failed == 1 {
            tries.until = now + FAILURES_WINDOW;
        }
        let dropped = tries.failed >= MAX_FAILURES;
        if dropped {
            shelves.tries.remove(person);
            shelves.sessions.remove(person);
        }
        Ok(dropped)
    }

    async fn keep_session_key(
        &self,
        person: &Person,
        sealed: &Sealed,
        order: &ExchangeOrder,
    ) -> Result<(), StoreError> {
        let until = (self.clock)() + self.session_ttl;
        self.shelves().keep_key(person, (order.clone(), sealed.clone()), until);
        Ok(())
    }

    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<(), StoreError> {
        if let Some(session) = self.shelves().sessions.get_mut(person) {
            let keys = [Some(&mut session.current), session.previous.as_mut()];
            for (_, key) in keys.into_iter().flatten().filter(|(_, key)| key == old) {
                *key = new.clone();
            }
        }
        Ok(())
    }

    async fn forget(&self, person: &Person) -> Result<(), StoreError> {
        self.shelves().sessions.remove(person);
        Ok(())
    }
}
