//! The steps of the binding protocol in memory. The scripts in `redis/lua` must behave the same.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, Utc};
use wxmint_ids::{UnionId, UserId};

use super::{Link, Memory};
use crate::{
    Binding, BindingState, Bindings, Bound, COMPUTED, Decision, Ends, Erasure, Intent, IntentOutcome, Person, Result,
    UNPROVEN_LINK_KEPT,
};

#[derive(Default)]
pub(super) struct StoredBinding {
    generation: u64,
    /// Whether the last binding was dissolved by its owner.
    dissolved: bool,
    state: State,
    /// The rest of what is stored of a binding.
    bound_at: DateTime<Utc>,
    /// The user whose block was noted last, the number of that change, and whether it is a block.
    block: Option<(UserId, u64, bool)>,
    /// Noted when the session key was forgotten.
    pub(super) last_login: Option<DateTime<Utc>>,
    /// Whether nothing but the number is left.
    erased: bool,
    /// See [`Erasure::left_by`].
    pub(super) left: BTreeMap<UserId, BTreeSet<UnionId>>,
}

#[derive(Clone, Default)]
enum State {
    #[default]
    Free,
    Intended(Intent),
    Bound(Bound),
    /// Since this second.
    Leaving(UserId, i64),
}

impl StoredBinding {
    pub(super) fn is_bound_to(&self, wanted: &UserId) -> bool {
        matches!(&self.state, State::Bound(bound) if bound.user == *wanted)
    }

    /// Erases all but the number, if the person is free. Returns whether there was anything else.
    pub(super) fn erase(&mut self) -> Option<bool> {
        let State::Free = self.state else { return None };
        let erased = !self.erased && self.generation > 0;
        let left = mem::take(&mut self.left);
        *self = Self { generation: self.generation, erased: true, left, ..Self::default() };
        Some(erased)
    }

    /// Whether the person was never bound, and has dissolved nothing.
    pub(super) fn is_newcomer(&self) -> bool {
        matches!(self.state, State::Free) && self.generation == 0 && !self.dissolved
    }

    pub(super) fn is_bound(&self) -> bool {
        matches!(self.state, State::Bound(_))
    }

    /// Whether a session key may be kept for the binding of this generation.
    pub(super) fn may_have_session(&self, generation: u64) -> bool {
        let State::Bound(bound) = &self.state else { return false };
        self.generation == generation && !self.is_blocked(&bound.user)
    }

    fn is_blocked(&self, user: &UserId) -> bool {
        self.block.as_ref().is_some_and(|(of, _, blocked)| of == user && *blocked)
    }

    pub(super) fn note_login(&mut self, at: DateTime<Utc>) {
        if self.is_bound() {
            self.last_login = self.last_login.max(Some(at));
        }
    }

    /// Writes the intent, if the person is free and has this generation.
    pub(super) fn intend(&mut self, generation: u64, intent: &Intent) {
        if matches!(self.state, State::Free) && self.generation == generation {
            self.generation += 1;
            self.erased = false;
            self.state = State::Intended(intent.clone());
        }
    }

    pub(super) fn binding_state(&self) -> BindingState {
        let generation = self.generation;
        match &self.state {
            State::Free => BindingState::Free { generation, dissolved: self.dissolved },
            State::Intended(intent) => BindingState::Intended { generation, intent: intent.clone() },
            State::Bound(bound) => {
                BindingState::Bound(Bound { blocked: self.is_blocked(&bound.user), ..bound.clone() })
            }
            State::Leaving(user, since) => BindingState::Leaving { generation, user: user.clone(), since: *since },
        }
    }

    /// Notes whether the user is blocked, if the person is this user's and no later change is noted. Whether it did.
    pub(super) fn note_block(&mut self, user: &UserId, number: u64, blocked: bool) -> bool {
        let of_user = match &self.state {
            State::Bound(bound) => bound.user == *user,
            State::Intended(intent) => intent.user == *user,
            State::Free | State::Leaving(..) => false,
        };
        let held = self.block.as_ref().filter(|(of, ..)| of == user).map_or(0, |(_, held, _)| *held);
        let is_noted = of_user && held <= number;
        if is_noted {
            self.block = Some((user.clone(), number, blocked));
        }
        is_noted
    }

    pub(super) fn whole(&self, person: &Person) -> Option<Binding> {
        let State::Bound(Bound { user, unionid, others, conflict, .. }) = self.state.clone() else { return None };
        let (person, others) = (person.clone(), others.into_iter().collect());
        Some(Binding { person, user, unionid, others, conflict, bound_at: self.bound_at })
    }

    fn settle(&mut self, outcome: IntentOutcome, at: DateTime<Utc>) {
        let State::Intended(intent) = &self.state else { return };
        self.state = match outcome {
            IntentOutcome::Dropped => {
                self.block = None;
                self.left.entry(intent.user.clone()).or_default();
                State::Free
            }
            IntentOutcome::Bound { new_for, unionid } => {
                (self.dissolved, self.bound_at) = (false, at);
                let (generation, user, others) = (self.generation, intent.user.clone(), unionid.into_iter().collect());
                let (unionid, conflict, shared, blocked) = (None, None, false, false);
                State::Bound(Bound { generation, user, unionid, others, conflict, shared, new_for, blocked })
            }
        };
    }
}

#[async_trait(?Send)]
impl Bindings for Memory {
    async fn binding_state(&self, person: &Person) -> Result<BindingState> {
        let (now, mut shelves) = self.open();
        if let Some(user) = shelves.owner(person, now) {
            return Ok(BindingState::Bound(Bound::computed(user.clone())));
        }
        Ok(shelves.bindings.entry(person.clone()).or_default().binding_state())
    }

    async fn intend(&self, person: &Person, generation: u64, intent: &Intent) -> Result<BindingState> {
        let mut shelves = self.shelves();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        binding.intend(generation, intent);
        Ok(binding.binding_state())
    }

    async fn admit(&self, person: &Person, generation: u64, intent: &Intent, per_app: u32) -> Result<Decision> {
        let mut shelves = self.shelves();
        let list = shelves.users.entry(intent.user.clone()).or_default();
        match list.decided.get(person) {
            Some((decided, decision)) if *decided == generation => return Ok(*decision),
            Some((decided, _)) if *decided > generation => return Ok(Decision::Dismissed),
            _ if generation <= list.erased(person) => return Ok(Decision::Dismissed),
            _ => {}
        }
        let decision = list.decide(person, intent.by_unionid, per_app);
        list.decided.insert(person.clone(), (generation, decision));
        Ok(decision)
    }

    async fn settle(
        &self,
        person: &Person,
        generation: u64,
        user: &UserId,
        outcome: IntentOutcome,
    ) -> Result<BindingState> {
        let shelves = &mut *self.shelves();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        if binding.generation == generation && matches!(&binding.state, State::Intended(own) if own.user == *user) {
            if outcome == IntentOutcome::Dropped {
                shelves.sessions.remove(person);
            }
            binding.settle(outcome, (self.clock)().trunc_subsecs(3));
        }
        Ok(binding.binding_state())
    }

    async fn leave(&self, person: &Person, bound: &Bound) -> Result<BindingState> {
        if bound.generation == COMPUTED {
            self.end_in_app(&bound.user, &person.app).await?;
            self.strike_off(&bound.user, person).await?;
            self.shelves().sessions.remove(person);
            return self.binding_state(person).await;
        }
        let now = (self.clock)();
        let shelves = &mut *self.shelves();
        let now = shelves.last_login(person, now).map_or(now, |login| login.max(now)).timestamp();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        if binding.generation == bound.generation && binding.is_bound_to(&bound.user) {
            if let State::Bound(Bound { user, unionid, others, .. }) = mem::take(&mut binding.state) {
                binding.left.entry(user).or_default().extend(others.into_iter().chain(unionid));
            }
            (binding.state, binding.block) = (State::Leaving(bound.user.clone(), now), None);
            binding.last_login = None;
            shelves.sessions.remove(person);
        }
        Ok(binding.binding_state())
    }

    async fn dismiss(&self, user: &UserId, person: &Person, generation: u64, since: i64) -> Result<()> {
        let now = (self.clock)().timestamp();
        let mut shelves = self.shelves();
        let list = shelves.users.entry(user.clone()).or_default();
        match list.decided.get(person) {
            Some((decided, _)) if *decided > generation => return Ok(()),
            Some((_, Decision::Dismissed)) => return Ok(()),
            _ if generation <= list.erased(person) => return Ok(()),
            _ => list.decided.insert(person.clone(), (generation, Decision::Dismissed)),
        };
        shelves.end_in_app(user, &person.app, since, now);
        Ok(())
    }

    async fn set_free(&self, person: &Person, generation: u64, user: &UserId) -> Result<BindingState> {
        let mut shelves = self.shelves();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        if binding.generation == generation && matches!(&binding.state, State::Leaving(left, _) if left == user) {
            (binding.state, binding.dissolved) = (State::Free, true);
        }
        Ok(binding.binding_state())
    }

    async fn people_of(&self, user: &UserId) -> Result<Option<Vec<Person>>> {
        let shelves = self.shelves();
        let Some(list) = shelves.users.get(user) else { return Ok(None) };
        Ok((!list.decided.is_empty()).then(|| list.admitted().cloned().collect()))
    }

    async fn claim_unionid(&self, unionid: &UnionId, candidate: Option<&UserId>) -> Result<Option<UserId>> {
        let (now, mut shelves) = self.open();
        shelves.unionids.retain(|_, link| link.until.is_none_or(|until| until > now));
        if let Some(candidate) = candidate {
            let link = || Link { user: candidate.clone(), until: Some(now + UNPROVEN_LINK_KEPT) };
            shelves.unionids.entry(unionid.clone()).or_insert_with(link);
        }
        Ok(shelves.unionids.get(unionid).map(|link| link.user.clone()))
    }

    async fn move_unionid(&self, unionid: &UnionId, from: &UserId, to: &UserId) -> Result<UserId> {
        let mut shelves = self.shelves();
        let link = shelves.unionids.entry(unionid.clone()).or_insert_with(|| Link { user: to.clone(), until: None });
        if link.user == *from || link.user == *to {
            *link = Link { user: to.clone(), until: None };
        }
        Ok(link.user.clone())
    }

    async fn note_unionid(&self, person: &Person, user: &UserId, unionid: &UnionId) -> Result<bool> {
        let mut shelves = self.shelves();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        let State::Bound(bound) = &mut binding.state else { return Ok(false) };
        if bound.user == *user && bound.unionid.as_ref() != Some(unionid) {
            bound.others.insert(unionid.clone());
        }
        Ok(bound.user == *user)
    }

    async fn share_unionid(&self, unionid: &UnionId, users: &[&UserId]) -> Result<Vec<UserId>> {
        let mut shelves = self.shelves();
        let shared = shelves.shared.entry(unionid.clone()).or_default();
        shared.extend(users.iter().map(|user| (*user).clone()));
        Ok(shared.iter().cloned().collect())
    }

    async fn note_shared(&self, person: &Person, user: &UserId) -> Result<()> {
        let mut shelves = self.shelves();
        if let Some(State::Bound(bound)) = shelves.bindings.get_mut(person).map(|binding| &mut binding.state) {
            bound.shared |= bound.user == *user;
        }
        Ok(())
    }

    async fn link_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
        conflict: Option<&UserId>,
    ) -> Result<Option<bool>> {
        let mut shelves = self.shelves();
        let binding = shelves.bindings.entry(person.clone()).or_default();
        let State::Bound(bound) = &mut binding.state else { return Ok(None) };
        if bound.user != *user {
            return Ok(None);
        }
        bound.others.extend(bound.unionid.replace(unionid.clone()));
        bound.others.remove(unionid);
        let news = conflict.is_some() && bound.conflict.as_ref() != conflict;
        bound.conflict = conflict.cloned();
        Ok(Some(news))
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, time::Duration};

    use super::*;

    thread_local! {
        static SECOND: Cell<i64> = const { Cell::new(0) };
    }

    #[tokio::test]
    async fn a_link_to_a_user_without_people_expires_unless_it_is_confirmed() {
        let clock = || DateTime::from_timestamp(SECOND.get(), 0).expect("a date");
        let (store, unionid) = (Memory::new(clock, Duration::from_secs(60)), "n1".parse().expect("a unionid"));
        let [one, other]: [UserId; 2] = ["user-1", "user-2"].map(|user| user.parse().expect("a user id"));
        assert_eq!(store.claim_unionid(&unionid, Some(&one)).await, Ok(Some(one.clone())));
        SECOND.set(3599);
        assert_eq!(store.claim_unionid(&unionid, None).await, Ok(Some(one.clone())));
        SECOND.set(3600);
        assert_eq!(store.claim_unionid(&unionid, Some(&other)).await, Ok(Some(other.clone())));
        assert_eq!(store.move_unionid(&unionid, &other, &other).await, Ok(other.clone()), "confirmed");
        SECOND.set(9999);
        assert_eq!(store.claim_unionid(&unionid, Some(&one)).await, Ok(Some(other)));
    }
}
