//! The store of the demo: in the process, forgotten with it. The model that the Redis scripts are held against.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Binding, CLAIM_TTL, Claim, ClaimId, ExchangeOrder, Fitness, LoginRecord, PREVIOUS_KEY_TTL, Person, Sealed,
    SessionKeys, Store, StoreError,
};
use crate::ids::{AppId, LoginCode, UserId};

/// Shared by all workers of one process.
#[derive(Clone)]
pub struct Memory {
    shelves: Arc<Mutex<Shelves>>,
    clock: fn() -> DateTime<Utc>,
    session_ttl: Duration,
}

#[derive(Default)]
struct Shelves {
    codes: HashMap<(AppId, LoginCode), ClaimedCode>,
    sessions: HashMap<Person, StoredSession>,
    bindings: HashMap<Person, UserId>,
    last_micros: u64,
}

struct ClaimedCode {
    by: ClaimId,
    until: DateTime<Utc>,
}

struct StoredSession {
    current: (ExchangeOrder, Sealed),
    previous: Option<(ExchangeOrder, Sealed)>,
    until: DateTime<Utc>,
}

impl Memory {
    /// An empty store that tells the time by `clock` and keeps session keys for `session_ttl`.
    pub fn new(clock: fn() -> DateTime<Utc>, session_ttl: Duration) -> Self {
        Self { shelves: Arc::default(), clock, session_ttl }
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait(?Send)]
impl Store for Memory {
    async fn claim_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<Claim, StoreError> {
        let now = (self.clock)();
        let mut shelves = self.shelves();
        shelves.codes.retain(|_, claimed| claimed.until > now);
        let claimed = shelves
            .codes
            .entry((app.clone(), code.clone()))
            .or_insert_with(|| ClaimedCode { by: claim.clone(), until: now + CLAIM_TTL });
        if claimed.by != *claim {
            return Ok(Claim::Taken);
        }
        // Strictly rising, as no two claims of one process happen at once.
        shelves.last_micros = (now.timestamp_micros().max(0) as u64).max(shelves.last_micros + 1);
        Ok(Claim::Granted(ExchangeOrder::new(shelves.last_micros, claim)))
    }

    async fn release_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<(), StoreError> {
        let key = (app.clone(), code.clone());
        let mut shelves = self.shelves();
        if shelves.codes.get(&key).is_some_and(|claimed| claimed.by == *claim) {
            shelves.codes.remove(&key);
        }
        Ok(())
    }

    async fn record_login(&self, record: &LoginRecord) -> Result<Option<Binding>, StoreError> {
        let now = (self.clock)();
        let mut shelves = self.shelves();
        let exchange = (record.order.clone(), record.session_key.clone());
        let until = now + self.session_ttl;
        shelves
            .sessions
            .entry(record.person.clone())
            .and_modify(|session| session.keep(exchange.clone(), until))
            .or_insert(StoredSession { current: exchange, previous: None, until });
        let Some(candidate) = &record.user_if_unbound else {
            return Ok(shelves.bindings.get(&record.person).map(|user| Binding { user: user.clone(), new: false }));
        };
        let user = shelves.bindings.entry(record.person.clone()).or_insert_with(|| candidate.clone()).clone();
        Ok(Some(Binding { new: user == *candidate, user }))
    }

    async fn session_keys(&self, person: &Person) -> Result<Option<SessionKeys>, StoreError> {
        let now = (self.clock)();
        let shelves = self.shelves();
        let Some(session) = shelves.sessions.get(person).filter(|session| session.until > now) else {
            return Ok(None);
        };
        let replaced_at = DateTime::from_timestamp_micros(session.current.0.micros() as i64).unwrap_or_default();
        let previous = session.previous.as_ref().filter(|_| now - replaced_at < previous_key_ttl());
        Ok(Some(SessionKeys {
            current: session.current.1.clone(),
            previous: previous.map(|(_, sealed)| sealed.clone()),
        }))
    }

    async fn fitness(&self) -> Result<Fitness, StoreError> {
        Ok(Fitness::Fit)
    }
}

impl StoredSession {
    fn keep(&mut self, exchange: (ExchangeOrder, Sealed), until: DateTime<Utc>) {
        if exchange.0 > self.current.0 {
            self.previous = Some(std::mem::replace(&mut self.current, exchange));
        } else if exchange.0 < self.current.0 && self.previous.as_ref().is_none_or(|(order, _)| exchange.0 > *order) {
            self.previous = Some(exchange);
        }
        self.until = until;
    }
}

fn previous_key_ttl() -> TimeDelta {
    TimeDelta::from_std(PREVIOUS_KEY_TTL).unwrap_or(TimeDelta::MAX)
}
