//! Computes the user of a person from who the person is and the id key, so that nothing has to be remembered. A binding
//! from before wins, because its user keeps the id.

mod agreement;

use futures_util::future::join;
use parking_lot::Mutex;
use wxmint_ids::{AppId, IdKey, IdKind, Person, UnionId, UserId};
use wxmint_store::{BindingState, COMPUTED, Computed, Intent, LoginRecord, Newcomer, Recorded, StoreError};

use self::agreement::Agreement;
use super::{Attempt, LoginError, LoginWorker, Result};
use crate::accounts::Named;

/// How user ids come about: they are drawn and bound, or computed with a key. Processes compare their keys through the
/// store, and one that finds another key there computes no user ids.
pub struct UserIds {
    /// `None`: they are drawn.
    key: Option<(IdKind, IdKey)>,
    /// Whether people are noted on their users' lists.
    listed: bool,
    agreement: Mutex<Agreement>,
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

    /// Whether the store's word is this process's, or neither has one.
    fn are_agreed(&self) -> bool {
        self.agreement.lock().heard.unwrap_or(!self.are_computed())
    }

    /// Asked before a code is spent, and again before somebody is recorded.
    pub(super) fn check_agreed(&self) -> Result<()> {
        let reason = || "the id key of this process is not the one that the store names: see wxmint doctor".into();
        if self.are_agreed() { Ok(()) } else { Err(StoreError { reason: reason() }.into()) }
    }

    /// The user of a person of whom nothing need be known.
    pub(crate) fn of_openid(&self, person: &Person) -> Option<UserId> {
        self.key.as_ref().filter(|_| self.are_of_openids()).map(|(_, key)| key.of_openid(person))
    }

    /// The way to record somebody who may have no binding.
    pub fn newcomer(&self, person: &Person, unionid: Option<&UnionId>, has_credentials: bool) -> Result<Newcomer> {
        self.check_agreed()?;
        Ok(match self.of_openid(person).or_else(|| self.of_unionid(unionid?)) {
            Some(user) => Newcomer::Computed(Computed { user, listed: self.listed }),
            // A person without a unionid is counted, and then refused, unless there is a binding.
            None if has_credentials || self.are_computed() => Newcomer::Counted,
            None => Newcomer::Told,
        })
    }

    pub(super) fn of_unionid(&self, unionid: &UnionId) -> Option<UserId> {
        if let Some((IdKind::UnionId, key)) = &self.key { Some(key.of_unionid(unionid)) } else { None }
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
    /// who has a computed user while the same human is bound in another app. A newcomer becomes that other user. Who
    /// was told the computed one, or has left the other, stays apart, and [`Binder::link`](super::Binder::link) tells.
    pub(super) async fn record_login(
        &self,
        record: &mut LoginRecord,
        unionid: Option<&UnionId>,
        attempt: &Attempt<'_>,
    ) -> Result<Recorded> {
        let (recorded, holder) = join(self.store.record_login(record), self.holder(unionid)).await;
        let (recorded, holder) = (recorded?, holder?);
        match (&recorded, holder) {
            (Recorded::Newcomer, _) => record.newcomer = self.meet(&record.person, unionid, attempt).await?,
            (Recorded::Counted { state: BindingState::Bound(bound), .. }, Some(user))
                if bound.generation == COMPUTED
                    && bound.user != user
                    && !bound.blocked
                    && self.store.people_of(&user).await?.is_some_and(|people| !people.is_empty()) =>
            {
                let (person, computed) = (&record.person, &bound.user);
                let BindingState::Free { generation, dissolved } = self.store.stored_state(person).await? else {
                    return Ok(self.store.record_login(record).await?);
                };
                let is_new = bound.new_for.is_some() && !dissolved;
                let user = if is_new { user } else { computed.clone() };
                let intent = Intent { user, made: is_new, by_unionid: is_new };
                let state = self.store.intend(person, generation, &intent).await?;
                Box::pin(self.binder(person, unionid, &attempt.id).settle(state)).await?;
                self.store.strike_off(computed, person).await?;
                if is_new {
                    record.newcomer = Newcomer::Intended(intent);
                }
            }
            _ => return Ok(recorded),
        }
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
    async fn meet(&self, person: &Person, unionid: Option<&UnionId>, attempt: &Attempt<'_>) -> Result<Newcomer> {
        // A newcomer who will be refused is counted first.
        if unionid.is_none() && self.need_unionid(&person.app) {
            return Ok(Newcomer::Counted);
        }
        let Named { user, .. } = self.accounts.new_user("", attempt.now).await?;
        Ok(Newcomer::Intended(self.binder(person, unionid, &attempt.id).intent_for(user, unionid, None).await?))
    }
}
