//! The laws that must hold when all requests have ended, and everybody has logged in once more.

use wxmint_ids::{UnionId, UserId};
use wxmint_store::{BindingState, Bound};

use super::world::{World, parse};
use crate::{Held, hold};

impl World<'_> {
    pub(super) fn check_at_rest(&self, before: &[BindingState]) -> Held {
        for (who, person) in self.books.people.iter().enumerate() {
            let (name, state) = (person.openid.as_str(), self.books.binding_state(person));
            match (&before[who], &state) {
                (BindingState::Bound(old), BindingState::Bound(new)) if old.user == new.user => {}
                (BindingState::Bound(_), _) => {
                    return Err(format!("{name} has lost a binding by logging in"));
                }
                (_, BindingState::Bound(_) | BindingState::Free { .. }) => {}
                _ => return Err(format!("{name} is left half done")),
            }
            if let BindingState::Bound(bound) = state {
                self.check_link(who, &bound)?;
            }
            self.check_keys(who)?;
        }
        (0..self.setup.humans).try_for_each(|human| self.check_one_user(human))?;
        self.check_told_new()
    }

    fn check_link(&self, who: usize, bound: &Bound) -> Held {
        let unionid = unionid(who / self.setup.apps);
        let revealed = self.revealed.contains(&who);
        let holder = self.books.holders.get(&unionid);
        let linked = bound.unionid.as_ref();
        let is_linked = linked.is_none_or(|linked| *linked == unionid);
        hold(
            is_linked && (revealed == linked.is_some() || self.barred.contains(&who)),
            || "a binding is not linked with its unionid".into(),
        )?;
        hold(!revealed || holder.is_some(), || {
            "a unionid stands for nobody".into()
        })
    }

    /// An app whose logins have no session keys keeps none.
    fn check_keys(&self, who: usize) -> Held {
        let keys = self
            .runtime
            .block_on(self.stores[0].sessions.keys(&self.books.people[who]))
            .expect("session keys");
        let may_be_there = !self.setup.keyless[who % self.setup.apps];
        hold(keys.is_empty() || may_be_there, || {
            "a session key is kept where WeChat gives none".into()
        })
    }

    /// First logins of one unionid, racing or not, end with the user whom it stands for. Only who came before WeChat
    /// had named the unionid may be another user, and stays so, and once it is named the other one is noted.
    fn check_one_user(&self, human: usize) -> Held {
        if self.untypical.contains(&human) {
            return Ok(());
        }
        let holder = self.books.holders.get(&unionid(human));
        for who in (0..self.setup.apps).map(|app| human * self.setup.apps + app) {
            let BindingState::Bound(bound) = self.books.binding_state(&self.books.people[who])
            else {
                continue;
            };
            let is_another = holder != Some(&bound.user);
            hold(!is_another || self.unnamed.contains(&who), || {
                format!(
                    "human {human} has become {}, and the unionid stands for {holder:?}",
                    bound.user
                )
            })?;
            let conflict = self.conflict_of(who);
            let is_right = if is_another && bound.unionid.is_some() {
                conflict.is_some()
            } else {
                conflict.is_none()
            };
            let is_holder = conflict.is_none_or(|other| Some(&other) == holder);
            hold(is_right && (self.setup.blocks || is_holder), || {
                format!(
                    "{} and {holder:?} are one human, and that is not noted right",
                    bound.user
                )
            })?;
        }
        Ok(())
    }

    fn conflict_of(&self, who: usize) -> Option<UserId> {
        let binding = self
            .runtime
            .block_on(self.stores[0].bindings.find(&self.books.people[who]))
            .expect("a binding");
        binding.and_then(|binding| binding.conflict)
    }

    /// Where nothing went wrong and nobody did more than log in, each new user was announced.
    fn check_told_new(&self) -> Held {
        let bound = self
            .books
            .people
            .iter()
            .filter_map(|person| self.books.user_of(person));
        let untold =
            bound.filter(|user| self.backend.has_made(user) && !self.books.told_new.contains(user));
        let untold: Vec<_> = untold.filter(|_| self.undisturbed).collect();
        hold(untold.is_empty(), || {
            format!("nobody was told that {untold:?} are new")
        })
    }
}

fn unionid(human: usize) -> UnionId {
    parse(format!("union-{human}"))
}
