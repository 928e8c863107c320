//! The store of the demo. It lies in memory and is lost with the process. The Redis scripts must behave the same.

mod access_token;
mod binding;
mod ends;
mod erasure;
mod list;
mod session;
mod ticket;

use std::any::{Any, TypeId};
use std::collections::{BTreeSet, HashMap};
use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};
use wxmint_ids::{AppId, LoginCode, UnionId, UserId};

use crate::limits::{Counted, Counts, Rate, TooMany};
use crate::{
    AttemptId, Binding, BindingState, Bound, CLAIM_TTL, COMPUTED, Claim, Computed, Decision, ExchangeOrder,
    ExchangedKey, LIFE_HOLDS, LimitKey, LoginRecord, Meter, Newcomer, PREVIOUS_KEY_TTL, Person, Recorded, Result,
    Sealed, Store, StoredIn, Ticket,
};

/// The kind by which logins of a person are counted.
const LOGINS: &str = "logins";

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
    sessions: HashMap<Person, session::StoredSession>,
    bindings: HashMap<Person, binding::StoredBinding>,
    users: HashMap<UserId, list::StoredList>,
    unionids: HashMap<UnionId, Link>,
    /// The users in conflict.
    shared: HashMap<UnionId, BTreeSet<UserId>>,
    tickets: HashMap<Ticket, ticket::StoredTicket>,
    /// Until when a user may have a token: the user, the client, and the app through which it was approved.
    client_tokens: HashMap<(UserId, AppId, AppId), i64>,
    cells: HashMap<LimitKey, CountedEvents>,
    tries: HashMap<Person, session::StoredTries>,
    ends: HashMap<UserId, ends::StoredEnds>,
    stream: ends::StoredStream,
    access_tokens: HashMap<AppId, access_token::Slot>,
    id_key: Option<String>,
    /// Doors keep this here, by its type.
    of_others: HashMap<TypeId, Box<dyn Any + Send>>,
    last_micros: u64,
}

struct CountedEvents {
    counts: Counts,
    until: DateTime<Utc>,
}

/// The user whom a unionid is linked to, until when if not for good.
struct Link {
    user: UserId,
    until: Option<DateTime<Utc>>,
}

struct ClaimedCode {
    by: AttemptId,
    until: DateTime<Utc>,
}

impl Memory {
    /// An empty store that tells the time by `clock` and keeps session keys for `session_ttl`.
    pub fn new(clock: fn() -> DateTime<Utc>, session_ttl: Duration) -> Self {
        Self { shelves: Arc::default(), clock, session_ttl }
    }

    /// The time, and a value of a door, which is empty at first.
    pub fn shelf<T: Default + Send + 'static>(&self) -> (DateTime<Utc>, MappedMutexGuard<'_, T>) {
        let (now, shelves) = self.open();
        let own = MutexGuard::map(shelves, |shelves| {
            let shelf = shelves.of_others.entry(TypeId::of::<T>()).or_insert_with(|| Box::<T>::default());
            shelf.downcast_mut().expect("it is found by its type")
        });
        (now, own)
    }

    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock()
    }

    /// With the time.
    fn open(&self) -> (DateTime<Utc>, MutexGuard<'_, Shelves>) {
        ((self.clock)(), self.shelves())
    }
}

#[async_trait(?Send)]
impl Store for Memory {
    fn place(&self) -> StoredIn<'_> {
        StoredIn::Memory(self)
    }

    async fn note_life(&self, life: Duration) -> Result<()> {
        let until = (self.clock)().timestamp() + (life + LIFE_HOLDS).as_secs() as i64;
        self.shelves().stream.lives.insert(life.as_secs(), until);
        Ok(())
    }

    async fn claim_code(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId, meter: &Meter) -> Result<Claim> {
        let (now, mut shelves) = self.open();
        if let Err(refused) = shelves.count(meter.key.clone(), meter.rate, now) {
            return Ok(Claim::Limited(refused));
        }
        shelves.codes.retain(|_, claimed| claimed.until > now);
        let claim = ClaimedCode { by: attempt.clone(), until: now + CLAIM_TTL };
        let claimed = shelves.codes.entry((app.clone(), code.clone())).or_insert(claim);
        if claimed.by != *attempt {
            return Ok(Claim::Taken);
        }
        // Strictly increasing, because two claims of one process never happen at the same time.
        shelves.last_micros = micros(now).max(shelves.last_micros + 1);
        Ok(Claim::Granted(ExchangeOrder::new(shelves.last_micros, attempt)))
    }

    async fn release_code(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId) -> Result<()> {
        let key = (app.clone(), code.clone());
        let mut shelves = self.shelves();
        if shelves.codes.get(&key).is_some_and(|claimed| claimed.by == *attempt) {
            shelves.codes.remove(&key);
        }
        Ok(())
    }

    async fn record_login(&self, record: &LoginRecord) -> Result<Recorded> {
        let (now, mut shelves) = self.open();
        let is_newcomer = shelves.bindings.get(&record.person).is_none_or(binding::StoredBinding::is_newcomer);
        if is_newcomer && record.newcomer == Newcomer::Told {
            return Ok(Recorded::Newcomer);
        }
        let has_session = shelves.sessions.get(&record.person).is_some_and(|session| session.until > now);
        let computed = if let Newcomer::Computed(computed) = &record.newcomer { Some(computed) } else { None };
        let counted = shelves.count(LimitKey::of_person(&record.person, LOGINS, ""), record.rate, now);
        let binding = shelves.bindings.entry(record.person.clone()).or_default();
        let intent = if let Newcomer::Intended(intent) = &record.newcomer { Some(intent) } else { None };
        if let Some(intent) = intent.filter(|_| is_newcomer && counted.is_ok()) {
            binding.intend(0, intent);
        }
        let mut state = binding.binding_state();
        let owner = computed.filter(|_| matches!(state, BindingState::Free { .. }));
        let keeps_key = owner.is_some()
            || has_session
            || match &state {
                BindingState::Bound(bound) => !bound.blocked,
                BindingState::Intended { intent: held, .. } => intent.is_some_and(|own| own.user == held.user),
                BindingState::Free { .. } | BindingState::Leaving { .. } => false,
            };
        if keeps_key {
            let key = (record.order.clone(), record.session_key.clone());
            shelves.keep_key(&record.person, key, now, self.session_ttl);
        }
        if let Some(computed) = owner {
            state = BindingState::Bound(shelves.see(record, computed, !has_session));
        }
        let recorded = Recorded::Counted { state, at: record.order.began_at(), may_be_ended: true, keeps_key };
        Ok(counted.map_or_else(Recorded::Limited, |_| recorded))
    }

    async fn binding(&self, person: &Person) -> Result<Option<Binding>> {
        let (now, shelves) = self.open();
        let bound = shelves.bindings.get(person).and_then(|stored| stored.whole(person));
        let at = shelves.last_login(person, now);
        Ok(bound.or_else(|| Some(Binding::computed(person, shelves.owner(person, now)?.clone(), at))))
    }

    async fn id_key(&self, own: Option<&str>) -> Result<Option<String>> {
        let held = &mut self.shelves().id_key;
        *held = held.take().or(own.map(str::to_owned));
        Ok(held.clone())
    }

    async fn session_keys(&self, person: &Person) -> Result<Vec<Sealed>> {
        Ok(self.shelves().kept_keys(person, (self.clock)()))
    }

    async fn count(&self, meter: &Meter) -> Result<Result<Counted, TooMany>> {
        let now = (self.clock)();
        Ok(self.shelves().count(meter.key.clone(), meter.rate, now))
    }

    async fn uncount(&self, meter: &Meter, counted: Counted) -> Result<()> {
        if let Some(events) = self.shelves().cells.get_mut(&meter.key) {
            events.counts.give_back(counted);
        }
        Ok(())
    }
}

fn micros(at: DateTime<Utc>) -> u64 {
    at.timestamp_micros().max(0) as u64
}

impl Shelves {
    fn keep_key(&mut self, person: &Person, exchange: ExchangedKey, now: DateTime<Utc>, ttl: Duration) {
        let until = now + ttl;
        self.sessions
            .entry(person.clone())
            .and_modify(|session| session.keep(session.placed(exchange.clone(), now), until))
            .or_insert(session::StoredSession { current: exchange, previous: None, until, owner: None });
    }

    fn see(&mut self, record: &LoginRecord, computed: &Computed, begins: bool) -> Bound {
        let (LoginRecord { person, order, .. }, Computed { user, listed, .. }) = (record, computed);
        self.sessions.entry(person.clone()).and_modify(|session| session.owner = Some(user.clone()));
        let list = self.users.entry(user.clone()).or_default();
        let (blocked, seen) = (list.is_blocked(), list.decided.contains_key(person));
        if *listed && !blocked {
            list.decided.insert(person.clone(), (COMPUTED, Decision::Admitted { first: false }));
        }
        let is_new = if *listed { !seen } else { begins };
        Bound { new_for: is_new.then(|| order.attempt.mark()), blocked, ..Bound::computed(user.clone()) }
    }

    /// The user of a person without a binding, whose user id was computed.
    fn owner(&self, person: &Person, now: DateTime<Utc>) -> Option<&UserId> {
        let is_free = |binding: &binding::StoredBinding| matches!(binding.binding_state(), BindingState::Free { .. });
        let session = self.sessions.get(person).filter(|session| session.until > now)?;
        session.owner.as_ref().filter(|_| self.bindings.get(person).is_none_or(is_free))
    }

    /// If the person is bound, the time of the last login stays with the binding. A session with an owner stays.
    fn drop_keys(&mut self, person: &Person) {
        if let Some(session) = self.sessions.get_mut(person).filter(|session| session.owner.is_some()) {
            (session.current.1, session.previous) = (Sealed::nothing(), None);
            return;
        }
        if let (Some(session), Some(binding)) = (self.sessions.remove(person), self.bindings.get_mut(person)) {
            binding.note_login(session.exchanged_at());
        }
    }

    fn is_blocked(&self, user: &UserId) -> bool {
        self.users.get(user).is_some_and(|list| list.is_blocked())
    }

    fn last_login(&self, person: &Person, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let noted = self.bindings.get(person).filter(|binding| binding.is_bound()).map(|binding| binding.last_login);
        let session = self.sessions.get(person).filter(|session| session.until > now);
        let second = session.map(|session| session.exchanged_at()).max(noted.flatten());
        second.filter(|_| noted.is_some() || self.owner(person, now).is_some())
    }

    /// The present second, or the last login of one of the user's people, if the clock has stepped back since.
    fn latest_second_of(&self, user: &UserId, now: DateTime<Utc>) -> i64 {
        let people = self.users.get(user).into_iter().flat_map(|list| list.admissions());
        let logins = people.filter_map(|(person, _)| self.last_login(person, now));
        logins.fold(now, DateTime::max).timestamp()
    }

    fn kept_keys(&self, person: &Person, now: DateTime<Utc>) -> Vec<Sealed> {
        let Some(session) = self.sessions.get(person).filter(|session| session.until > now) else { return Vec::new() };
        let replaced_at = DateTime::from_timestamp_micros(session.current.0.micros as i64).unwrap_or_default();
        let previous = session.previous.as_ref().filter(|_| now < replaced_at + PREVIOUS_KEY_TTL);
        let keys = [Some(&session.current), previous].into_iter().flatten().map(|(_, sealed)| sealed);
        keys.filter(|sealed| !sealed.is_nothing()).cloned().collect()
    }

    fn count(&mut self, key: LimitKey, rate: Rate, now: DateTime<Utc>) -> Result<Counted, TooMany> {
        self.cells.retain(|_, events| events.until > now);
        let events = self.cells.entry(key).or_insert_with(|| CountedEvents { counts: Counts::default(), until: now });
        let counted = rate.admit(&mut events.counts, micros(now))?;
        events.until = now + rate.life();
        Ok(counted)
    }
}
