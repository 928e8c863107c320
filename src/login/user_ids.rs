//! Computes the user of a person from who the person is and the id key, so that nothing has to be remembered. A binding
//! from before wins, because its user keeps the id.

use chrono::{DateTime, Utc};
use futures_util::future::join;
use wxmint_findings::Finding;
use wxmint_ids::{AgreedKey, AppId, Disagreement, IdKey, IdKind, Person, UnionId, UserId};
use wxmint_store::{
    AttemptId, BindingState, COMPUTED, Computed, Intent, LoginRecord, Newcomer, Recorded, Redis, StoreError,
};

use super::{LoginError, LoginWorker};
use crate::accounts::{Named, NewUserKey};

/// How user ids come about: they are drawn and bound, or computed.
pub struct UserIds {
    key: AgreedKey,
    /// Whether people are noted on their users' lists.
    listed: bool,
}

impl UserIds {
    pub fn new(key: Option<(IdKind, IdKey)>, listed: bool) -> Self {
        Self { key: AgreedKey::new(key), listed }
    }

    pub fn are_computed(&self) -> bool {
        self.key.kind().is_some()
    }

    /// Whether a user's people cannot be found.
    pub(super) fn are_unlisted(&self) -> bool {
        self.are_computed() && !self.listed
    }

    /// The kind and the fingerprint of the key.
    pub fn word(&self) -> Option<String> {
        self.key.word()
    }

    /// Compares the key with that of the store. Returns what keeps people from logging in.
    pub async fn compare(&self, store: &Redis, has_waited: bool) -> Result<Option<Finding>, StoreError> {
        let own = self.word();
        let held = store.id_key(own.as_deref().filter(|_| self.key.may_tell(has_waited))).await?;
        let (held, disagreement) = (held.as_deref(), self.key.hear(held.as_deref()));
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

    /// The way to record somebody who may have no binding.
    pub fn newcomer(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        has_credentials: bool,
    ) -> Result<Newcomer, LoginError> {
        if !self.key.is_agreed() {
            let reason = "the id key of this process is not the one that the store names: see wxmint doctor".into();
            return Err(StoreError { reason }.into());
        }
        Ok(match self.key.user(person, unionid) {
            Some(user) => Newcomer::Computed(Computed { user, listed: self.listed }),
            // A person without a unionid is counted, and then refused, unless there is a binding.
            None if has_credentials || self.are_computed() => Newcomer::Counted,
            None => Newcomer::Told,
        })
    }

    fn are_of_openids(&self) -> bool {
        self.key.kind() == Some(IdKind::OpenId)
    }

    /// Why somebody without a binding has no computed user: otherwise a binding that was half made or half dissolved is
    /// finished now.
    pub(super) fn refusal(&self, unionid: Option<&UnionId>) -> LoginError {
        let is_unnamed = unionid.is_none() && !self.are_of_openids();
        if is_unnamed { LoginError::UnionIdMissing } else { LoginError::Contended }
    }
}

impl LoginWorker {
    /// Whether logins in the app need a unionid.
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
                match self.store.leave(&record.person, bound).await? {
                    BindingState::Free { dissolved: false, .. } => {
                        Newcomer::Intended(Intent { user, made: true, by_unionid: true })
                    }
                    // A person who has left the bound user stays apart.
                    _ => record.newcomer.clone(),
                }
            }
            _ => return Ok(recorded),
        };
        Ok(self.store.record_login(record).await?)
    }

    /// The user to whom the unionid stands, where the same unionid computes users.
    async fn holder(&self, unionid: Option<&UnionId>) -> Result<Option<UserId>, StoreError> {
        match unionid.filter(|_| self.ids.are_computed() && !self.ids.are_of_openids()) {
            Some(unionid) => self.store.claim_unionid(unionid, None).await,
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
