//! Everything that has happened so far, as an observer sees it who may look between any two steps.

use std::collections::{BTreeMap, BTreeSet};

use wxmint_ids::{Person, UnionId, UserId};
use wxmint_store::{BindingState, Generation, Store};

use super::world::parse;
use crate::stepping::Step;

#[derive(Debug, Clone)]
pub(crate) struct Past {
    pub(crate) generation: Generation,
    pub(crate) user: UserId,
    /// By the count of steps.
    pub(crate) made: u64,
    pub(crate) ended: Option<u64>,
}

/// A step concerned this, which was so before.
pub(crate) enum Looked {
    Person {
        person: Person,
        before: BindingState,
    },
    List {
        user: UserId,
        before: Option<Vec<Person>>,
    },
    /// The user for whom a unionid stood.
    Holder {
        unionid: UnionId,
        before: Option<UserId>,
    },
    Elsewhere,
}

#[derive(Default)]
pub(crate) struct Books {
    pub(crate) people: Vec<Person>,
    pub(crate) now: u64,
    pub(super) states: BTreeMap<String, BindingState>,
    pub(super) pasts: BTreeMap<String, Vec<Past>>,
    /// Those of each user who ever had any.
    pub(crate) lists: BTreeMap<UserId, Vec<Person>>,
    pub(crate) holders: BTreeMap<UnionId, UserId>,
    /// With those from whom a unionid was taken.
    pub(crate) ever_held: BTreeSet<(UnionId, UserId)>,
    /// By an operator.
    pub(crate) blocked: BTreeSet<UserId>,
    /// Users who may have been made for a login with a phone number.
    pub(crate) by_phone: BTreeSet<UserId>,
    /// Users of whom somebody was told that they are new.
    pub(crate) told_new: BTreeSet<UserId>,
}

impl Books {
    pub(crate) fn binding_state(&self, person: &Person) -> BindingState {
        let state = self.states.get(person.openid.as_str()).cloned();
        state.unwrap_or(BindingState::Free {
            generation: None,
            dissolved: false,
        })
    }

    pub(crate) fn pasts(&self, person: &Person) -> &[Past] {
        self.pasts
            .get(person.openid.as_str())
            .map_or(&[], Vec::as_slice)
    }

    /// The user to whom a person is bound.
    pub(crate) fn user_of(&self, person: &Person) -> Option<UserId> {
        match self.binding_state(person) {
            BindingState::Bound(bound) => Some(bound.user),
            _ => None,
        }
    }

    /// Whether the user once had people, and has left them all.
    pub(crate) fn is_deserted(&self, user: &UserId) -> bool {
        self.lists.get(user).is_some_and(Vec::is_empty)
    }

    /// How many others of the person's app are on the user's list.
    pub(crate) fn others(&self, user: &UserId, person: &Person) -> usize {
        let other = |one: &&Person| one.app == person.app && *one != person;
        self.lists
            .get(user)
            .map_or(0, |list| list.iter().filter(other).count())
    }

    /// Looks again at what a step may have changed, whose name stands in braces in the step's key.
    pub(crate) async fn look(&mut self, store: &Store, step: &Step) -> Looked {
        self.now += 1;
        let key = step.key();
        let Some((kind, name)) = key.split_once('{') else {
            return Looked::Elsewhere;
        };
        let name = name.split('}').next().unwrap_or_default();
        match kind {
            "wxmint:user:" => {
                let user: UserId = parse(name.into());
                let people = store.bindings.people_of(&user).await.expect("a list");
                let before = people.and_then(|people| self.lists.insert(user.clone(), people));
                Looked::List { user, before }
            }
            "wxmint:union:" => {
                let unionid: UnionId = parse(name.into());
                let holder = store
                    .union_ids
                    .claim(&unionid, None)
                    .await
                    .expect("a holder");
                self.ever_held
                    .extend(holder.clone().map(|holder| (unionid.clone(), holder)));
                let before = holder.and_then(|holder| self.holders.insert(unionid.clone(), holder));
                Looked::Holder { unionid, before }
            }
            _ => {
                let person = self
                    .people
                    .iter()
                    .find(|person| name.ends_with(person.openid.as_str()));
                let person = person.expect("whose steps are of this world").clone();
                let before = self.binding_state(&person);
                let state = store.bindings.state(&person).await.expect("a standing");
                self.keep(&person, state);
                Looked::Person { person, before }
            }
        }
    }

    fn keep(&mut self, person: &Person, state: BindingState) {
        let name = person.openid.as_str().to_owned();
        let pasts = self.pasts.entry(name.clone()).or_default();
        let bound = if let BindingState::Bound(bound) = &state {
            Some(bound)
        } else {
            None
        };
        let (current, now) = (bound.map(|bound| bound.generation), self.now);
        pasts
            .iter_mut()
            .filter(|past| Some(past.generation) != current)
            .for_each(|past| {
                past.ended.get_or_insert(now);
            });
        if let Some(bound) = bound
            && pasts
                .last()
                .is_none_or(|past| past.generation != bound.generation)
        {
            pasts.push(Past {
                generation: bound.generation,
                user: bound.user.clone(),
                made: now,
                ended: None,
            });
        }
        self.states.insert(name, state);
    }
}
