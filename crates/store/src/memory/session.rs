//! Ends of tokens, and session keys, in memory.

use std::{collections::HashSet, mem, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use wxmint_ids::UserId;

use super::{Memory, micros};
use crate::{
    AttemptId, COMPUTED, ExchangeOrder, ExchangedKey, FAILURES_WINDOW, KeptSession, KeyOf, MAX_FAILURES, Opening,
    PREVIOUS_KEY_TTL, Person, Result, Sealed, Sessions, Tried,
};

pub(super) struct StoredTries {
    failed: u32,
    under_way: HashSet<AttemptId>,
    until: DateTime<Utc>,
}

pub(super) struct StoredSession {
    pub(super) current: ExchangedKey,
    pub(super) previous: Option<ExchangedKey>,
    pub(super) until: DateTime<Utc>,
    /// The user of a person without a binding, whose user id was computed.
    pub(super) owner: Option<UserId>,
}

impl StoredSession {
    pub(super) fn exchanged_at(&self) -> DateTime<Utc> {
        self.current.0.began_at()
    }

    /// If the current exchange began after `now`, the clock has stepped back since, and the place of the new one is
    /// behind it. An exchange that is repeated has its place already.
    pub(super) fn placed(&self, (order, key): ExchangedKey, now: DateTime<Utc>) -> ExchangedKey {
        let current = &self.current.0;
        if order > *current || current.micros <= micros(now) {
            return (order, key);
        }
        let kept = [Some(&self.current), self.previous.as_ref()].into_iter().flatten();
        let own = kept.map(|(kept, _)| kept).find(|kept| kept.attempt == order.attempt).cloned();
        (own.unwrap_or_else(|| ExchangeOrder::new(current.micros + 1, &order.attempt)), key)
    }

    /// A key that WeChat gives again pushes out none but itself; and the one before, if its time is over.
    pub(super) fn keep(&mut self, exchange: ExchangedKey, until: DateTime<Utc>) {
        let is_repeated = exchange.1.is_same_secret(&self.current.1);
        if exchange.0 > self.current.0 {
            let lasts = Duration::from_micros(exchange.0.micros - self.current.0.micros) < PREVIOUS_KEY_TTL;
            let replaced = mem::replace(&mut self.current, exchange);
            self.previous = if is_repeated { self.previous.take().filter(|_| lasts) } else { Some(replaced) };
        } else if exchange.0 < self.current.0
            && !is_repeated
            && self.previous.as_ref().is_none_or(|(order, _)| exchange.0 > *order)
        {
            self.previous = Some(exchange);
        }
        self.until = until;
    }
}

#[async_trait(?Send)]
impl Sessions for Memory {
    async fn open(&self, person: &Person, user: &UserId, attempt: &AttemptId) -> Result<Opening> {
        let (now, mut shelves) = self.open();
        let is_bound = shelves.bindings.get(person).is_some_and(|binding| binding.is_bound_to(user));
        if !is_bound && shelves.owner(person, now) != Some(user) {
            return Ok(Opening::NotBound);
        }
        shelves.tries.retain(|_, tries| tries.until > now);
        let fresh = StoredTries { failed: 0, under_way: HashSet::new(), until: now };
        let tries = shelves.tries.entry(person.clone()).or_insert(fresh);
        if tries.failed + tries.under_way.len() as u32 >= MAX_FAILURES && !tries.under_way.contains(attempt) {
            return Ok(Opening::Busy);
        }
        tries.under_way.insert(attempt.clone());
        if tries.failed == 0 {
            tries.until = now + FAILURES_WINDOW;
        }
        let keys = shelves.kept_keys(person, now);
        let order = ExchangeOrder::new(micros(now), attempt);
        Ok(Opening::Keys(KeptSession { keys, order }))
    }

    async fn close(&self, person: &Person, tried: Tried, attempt: &AttemptId) -> Result<bool> {
        let (now, mut shelves) = self.open();
        let Some(tries) = shelves.tries.get_mut(person).filter(|tries| tries.until > now) else { return Ok(false) };
        if !tries.under_way.remove(attempt) || tried != Tried::Failed {
            return Ok(false);
        }
        tries.failed += 1;
        if tries.failed == 1 {
            tries.until = now + FAILURES_WINDOW;
        }
        let dropped = tries.failed >= MAX_FAILURES;
        if dropped {
            shelves.tries.remove(person);
            shelves.drop_keys(person);
        }
        Ok(dropped)
    }

    async fn keep_session_key(&self, person: &Person, generation: u64, key: &ExchangedKey, of: KeyOf) -> Result<()> {
        let (now, mut shelves) = self.open();
        let may_have = shelves.bindings.get(person).is_some_and(|binding| binding.may_have_session(generation));
        let may_have = may_have || generation == COMPUTED && shelves.owner(person, now).is_some();
        let has_session = shelves.sessions.get(person).filter(|session| session.until > now);
        let has_session = has_session.is_some_and(|session| session.owner.is_none() || !session.current.1.is_nothing());
        if may_have && (of != KeyOf::Reset || has_session) {
            shelves.keep_key(person, key.clone(), now, self.session_ttl);
        }
        if may_have
            && let KeyOf::Login(at) = of
            && let Some(binding) = shelves.bindings.get_mut(person)
        {
            binding.note_login(at);
        }
        Ok(())
    }

    async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()> {
        if let Some(session) = self.shelves().sessions.get_mut(person) {
            let keys = [Some(&mut session.current), session.previous.as_mut()];
            for (_, key) in keys.into_iter().flatten().filter(|(_, key)| key == old) {
                *key = new.clone();
            }
        }
        Ok(())
    }

    async fn forget(&self, person: &Person) -> Result<()> {
        self.shelves().drop_keys(person);
        Ok(())
    }

    async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>> {
        let (now, shelves) = self.open();
        Ok(shelves.last_login(person, now))
    }
}
