//! Computes the user of a person from who the person is and the id key, so that nothing has to be remembered. A binding
//! from before wins, because its user keeps the id.

use chrono::{DateTime, Utc};
use futures_util::future::join;
use parking_lot::Mutex;
use wxmint_findings::Finding;
use wxmint_ids::{AppId, IdKey, IdKind, Person, UnionId, UserId};
use wxmint_store::{
    AttemptId, BindingState, COMPUTED, Computed, Intent, LoginRecord, Newcomer, Recorded, Redis, StoreError,
};

use super::{LoginError, LoginWorker};
use crate::accounts::{Named, NewUserKey};

/// How user ids come about: they are drawn and bound, or computed with a key. Processes compare their keys through the
/// store, and one that finds another key there computes no user ids.
pub struct UserIds {
    /// `None`: they are drawn.
    key: Option<(IdKind, IdKey)>,
    /// Whether people are noted on their users' lists.
    listed: bool,
    agreement: Mutex<Agreement>,
}

#[derive(Clone, Copy, Default)]
struct Agreement {
    /// Whether the store has once named this process's key.
    was_own: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    Own,
    Other,
}

/// Why nobody may log in at this process. Otherwise people could get other user ids.
#[derive(Debug, PartialEq, Eq)]
enum Disagreement {
    /// The store does not name a key yet.
    NotCompared,
    /// It names another key of the same kind.
    Key,
    /// Its user ids are of another kind.
    Kind,
}

impl UserIds {
    pub fn new(key: Option<(IdKind, IdKey)>, listed: bool) -> Self {
        Self { key, listed, agreement: Mutex::default() }
    }

    pub fn are_computed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a user's people cannot be found.
    pub(super) fn are_unlisted(&self) -> bool {
        self.are_computed() && !self.listed
    }

    pub(super) fn are_of_openids(&self) -> bool {
        matches!(self.key, Some((IdKind::OpenId, _)))
    }

    /// The kind and the fingerprint of the key, as the store holds them.
    pub fn word(&self) -> Option<String> {
        self.key.as_ref().map(|(kind, key)| format!("{} {}", kind.name(), key.fingerprint()))
    }

    /// Compares the key with that of the store. Returns what keeps people from logging in.
    pub async fn compare(&self, store: &Redis, has_waited: bool) -> Result<Option<Finding>, StoreError> {
        let own = self.word();
        let held = store.id_key(own.as_deref().filter(|_| self.may_tell(has_waited))).await?;
        let (held, disagreement) = (held.as_deref(), self.hear(held.as_deref()));
        let other =
            said!(redis_knows_other_user_ids, held.unwrap_or("another kind"), own.as_deref().unwrap_or("random"));
        Ok(disagreement.map(|why| match why {
            Disagreement::NotCompared => {
                Finding::fault("user_ids", said!(id_key_not_compared_yet), said!(wait_for_id_key))
            }
            Disagreement::Key => Finding::fault("user_ids", other, said!(restore_id_key)),
            Disagreement::Kind => Finding::fault("user_ids", other, said!(ids_of_all_people_would_change)),
        }))
    }

    /// Whether a store that names no key is to be told this one: if it was the store's before, or if the process
    /// `has_waited` for others to tell theirs. So a wrong key does not get into a store that was emptied.
    fn may_tell(&self, has_waited: bool) -> bool {
        let Agreement { was_own, state } = *self.agreement.lock();
        was_own || has_waited && state == State::Unknown
    }

    /// Takes the word that the store holds.
    fn hear(&self, held: Option<&str>) -> Option<Disagreement> {
        let mut agreement = self.agreement.lock();
        let (state, disagreement) = judge(self.word().as_deref(), held);
        // If somebody has emptied the store, what was known before holds.
        if held.is_some() {
            agreement.state = state;
        }
        agreement.was_own |= state == State::Own;
        match agreement.state {
            State::Own => None,
            State::Unknown => disagreement,
            State::Other => Some(disagreement.unwrap_or(Disagreement::Kind)),
        }
    }

    /// Whether the store's word is this process's, or neither has one.
    fn are_agreed(&self) -> bool {
        self.agreement.lock().state == if self.are_computed() { State::Own } else { State::Unknown }
    }

    /// The way to record somebody who may have no binding.
    pub fn newcomer(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        has_credentials: bool,
    ) -> Result<Newcomer, LoginError> {
        if !self.are_agreed() {
            let reason = "the id key of this process is not the one that the store names: see wxmint doctor".into();
            return Err(StoreError { reason }.into());
        }
        let user = match &self.key {
            Some((IdKind::OpenId, key)) => Some(key.of_openid(person)),
            Some((IdKind::UnionId, key)) => unionid.map(|unionid| key.of_unionid(unionid)),
            None => None,
        };
        Ok(match user {
            Some(user) => Newcomer::Computed(Computed { user, listed: self.listed }),
            // A person without a unionid is counted, and then refused, unless there is a binding.
            None if has_credentials || self.are_computed() => Newcomer::Counted,
            None => Newcomer::Told,
        })
    }

    /// Why somebody without a binding has no computed user: otherwise a binding that was half made or half dissolved is
    /// finished now.
    pub(super) fn refusal(&self, unionid: Option<&UnionId>) -> LoginError {
        let is_unnamed = unionid.is_none() && !self.are_of_openids();
        if is_unnamed { LoginError::UnionIdMissing } else { LoginError::Contended }
    }
}

impl LoginWorker {
    pub(super) fn need_unionid(&self, app: &AppId) -> bool {
        !self.ids.are_of_openids() && self.apps.all().need_unionid(app)
    }

    /// Records a login. It is recorded once more for a newcomer, with the intent to bind the person, and for a person
    /// who has a computed user while the same human is bound in another app.
    pub(super) async fn record_login(
        &self,
        record: &mut LoginRecord,
        unionid: Option<&UnionId>,
        attempt: &AttemptId,
        now: DateTime<Utc>,
    ) -> Result<Recorded, LoginError> {
        let (recorded, holder) = join(self.store.record_login(record), self.holder(unionid)).await;
        let (recorded, holder) = (recorded?, holder?);
        record.newcomer = match (&recorded, holder) {
            (Recorded::Newcomer, _) => self.meet(&record.person, unionid, attempt, now).await?,
            (Recorded::Counted { state: BindingState::Bound(bound), .. }, Some(user))
                if bound.generation == COMPUTED
                    && self.store.people_of(&user).await?.is_some_and(|people| !people.is_empty()) =>
            {
                if self.store.user_state(&user).await?.blocked {
                    // The login has kept a session key.
                    self.store.forget(&record.person).await?;
                    return Err(LoginError::Blocked);
                }
                // A person who has left the bound user stays apart.
                if self.store.has_dissolved(&record.person).await? {
                    return Ok(recorded);
                }
                Box::pin(self.store.leave(&record.person, bound)).await?;
                Newcomer::Intended(Intent { user, made: true, by_unionid: true })
            }
            _ => return Ok(recorded),
        };
        Ok(self.store.record_login(record).await?)
    }

    /// The user to whom the unionid stands, where the same unionid computes users.
    async fn holder(&self, unionid: Option<&UnionId>) -> Result<Option<UserId>, StoreError> {
        match unionid.filter(|_| self.ids.are_computed() && !self.ids.are_of_openids()) {
            Some(unionid) => Box::pin(self.store.claim_unionid(unionid, None)).await,
            None => Ok(None),
        }
    }

    /// How to record somebody of whom the store knows nothing. Nobody needs to be asked: the login is recorded together
    /// with the intent to bind the newcomer.
    async fn meet(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        attempt: &AttemptId,
        now: DateTime<Utc>,
    ) -> Result<Newcomer, LoginError> {
        // A newcomer who will be refused is counted first.
        if unionid.is_none() && self.need_unionid(&person.app) {
            return Ok(Newcomer::Counted);
        }
        let Named { user, .. } = self.accounts.new_user(&NewUserKey(String::new()), now).await?;
        Ok(Newcomer::Intended(self.binder(person, unionid, attempt).intent_for(user, unionid, None).await?))
    }
}

fn judge(own: Option<&str>, held: Option<&str>) -> (State, Option<Disagreement>) {
    let Some(held) = held else { return (State::Unknown, own.map(|_| Disagreement::NotCompared)) };
    let kind = |text: &str| text.split(' ').next().map(str::to_owned);
    match own {
        Some(own) if own == held => (State::Own, None),
        Some(own) if kind(own) == kind(held) => (State::Other, Some(Disagreement::Key)),
        _ => (State::Other, Some(Disagreement::Kind)),
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};

    use super::*;

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let [own, other, kind] = ["openid 1", "openid 2", "unionid 1"];
        for (settings, held, state, disagreement) in [
            (Some("openid 1"), None, State::Unknown, Some(Disagreement::NotCompared)),
            (Some("openid 1"), Some(own), State::Own, None),
            (Some("openid 1"), Some(other), State::Other, Some(Disagreement::Key)),
            (Some("openid 1"), Some(kind), State::Other, Some(Disagreement::Kind)),
            (None, Some(own), State::Other, Some(Disagreement::Kind)),
            (None, None, State::Unknown, None),
        ] {
            assert_eq!(judge(settings, held), (state, disagreement), "{settings:?} {held:?}");
        }
    }

    #[test]
    fn what_was_agreed_holds_while_the_store_names_no_key_and_only_who_has_waited_tells_a_key_at_first() {
        let key = |byte| IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
        let [right, wrong] = [1, 2].map(|byte| UserIds::new(Some((IdKind::OpenId, key(byte))), true));
        assert_eq!((right.may_tell(false), right.may_tell(true), right.are_agreed()), (false, true, false));
        assert_eq!(right.hear(right.word().as_deref()), None);
        assert_eq!((right.hear(None), right.are_agreed(), right.may_tell(false)), (None, true, true));
        assert_eq!(wrong.hear(right.word().as_deref()), Some(Disagreement::Key));
        assert_eq!((wrong.hear(None), wrong.are_agreed()), (Some(Disagreement::NotCompared), false));
        assert!(!wrong.may_tell(true), "it knows better");
        let drawn = UserIds::new(None, false);
        assert_eq!((drawn.hear(None), drawn.are_agreed()), (None, true));
        assert_eq!(drawn.hear(right.word().as_deref()), Some(Disagreement::Kind));
        assert_eq!((drawn.hear(None), drawn.are_agreed()), (Some(Disagreement::Kind), false));
        // The doctor looks too, so that looks are no time: others may compute user ids, and have not told the key yet.
        assert_eq!((drawn.hear(None), drawn.are_agreed()), (Some(Disagreement::Kind), false), "however often it looks");
        assert_eq!(wrong.hear(None), Some(Disagreement::NotCompared));
        assert!(!wrong.may_tell(true));
    }
}
