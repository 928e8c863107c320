//! Records a login in the store: counts the person, finds the binding, and stores the session key.
//! If the store does not know the person, the login is recorded with the intent to bind the person.

use arc_swap::ArcSwap;
use futures_util::future::join;
use wxmint_ids::{Person, UnionId, UserId};
use wxmint_keys::vault::{Sealed, Vault};
use wxmint_store::{
    BindingState, Bindings, Generation, Intent, LoginRecord, LoginRecords, Recorded, StoreError,
    UnboundPolicy, UnionIds,
};
use wxmint_wechat::App;

use super::bind::Bind;
use super::exchange::ExchangedCode;
use super::exchanged_login::ExchangedLogin;
use super::{Attempt, LimitReached, LoginError, LoginPolicy, OPENID, Result, Unavailable, UserIds};
use crate::accounts::{Accepts, Accounts, Named};
use crate::apps::CurrentApps;

/// Records logins.
pub(super) struct LoginRecorder<'a> {
    pub(super) apps: &'a CurrentApps,
    pub(super) logins: &'a LoginRecords,
    pub(super) bindings: &'a Bindings,
    pub(super) union_ids: &'a UnionIds,
    pub(super) vault: &'a ArcSwap<Vault>,
    pub(super) accounts: &'a dyn Accounts,
    pub(super) policy: &'a LoginPolicy,
    pub(super) ids: &'a UserIds,
    pub(super) bind: Bind<'a>,
}

impl LoginRecorder<'_> {
    /// The second round trip counts the person, finds the binding, and stores the session key
    /// beside it.
    pub(super) async fn record(
        &self,
        app: &App,
        exchanged: ExchangedCode,
        attempt: &mut Attempt<'_>,
    ) -> Result<ExchangedLogin> {
        let ExchangedCode { session, order } = exchanged;
        let person = Person {
            platform: app.platform(),
            app: app.id.clone(),
            openid: session.openid,
        };
        attempt.audit_context.person = Some(person.clone());
        let has_credentials = self.accounts.accepts() != Accepts::Nothing;
        let session_key = match &session.session_key {
            Some(key) => self.vault.load_full().seal(key.expose(), &person),
            None => Sealed::nothing(),
        };
        let mut record = LoginRecord {
            session_key,
            if_unbound: self
                .ids
                .if_unbound(&person, session.unionid.as_ref(), has_credentials)?,
            person,
            order,
            rate: self.policy.limit_openid,
        };
        let recorded = self
            .record_login(&mut record, session.unionid.as_ref(), attempt)
            .await?;
        let (state, at, may_be_revoked, kept_for) = match recorded {
            Recorded::Counted {
                state,
                at,
                may_be_revoked,
                kept_for,
            } => (state, at, may_be_revoked, kept_for),
            Recorded::Limited(refused) => {
                return Err(LimitReached {
                    limit: OPENID,
                    refused,
                }
                .into());
            }
            Recorded::Unbound => return Err(Unavailable::Contended.into()),
            Recorded::OtherUser => return Err(self.other_user(&record.person, attempt).await),
        };
        // A later revocation of a person who is on no list cannot know that Redis' clock was ahead.
        // Use the earlier clock.
        let began = if self.ids.need_no_list() {
            attempt.now.min(at)
        } else {
            at
        };
        let LoginRecord {
            person,
            order,
            session_key,
            ..
        } = record;
        Ok(ExchangedLogin {
            person,
            unionid: session.unionid,
            state,
            key: (order, session_key),
            kept_for,
            at: began,
            may_be_revoked: may_be_revoked || began.timestamp() < at.timestamp(),
        })
    }

    /// Records a login. It is recorded a second time in two cases: for an unbound person, with the
    /// intent to bind, and for a person with a computed user whose unionid is bound to another user
    /// in another app. If the computed user is new, the person becomes that other user. A person
    /// who has got the computed id before, or who has removed a binding, keeps the computed user,
    /// and [`Binder::link`](super::Binder::link) reports the conflict.
    async fn record_login(
        &self,
        record: &mut LoginRecord,
        unionid: Option<&UnionId>,
        attempt: &Attempt<'_>,
    ) -> Result<Recorded> {
        let (recorded, holder) = join(self.logins.record(record), self.holder(unionid)).await;
        let recorded = recorded?;
        let holder = holder?;
        match (&recorded, holder) {
            (Recorded::Unbound, _) => {
                record.if_unbound = self.meet(&record.person, unionid, attempt).await?;
            }
            (
                Recorded::Counted {
                    state: BindingState::Bound(bound),
                    ..
                },
                Some(user),
            ) if bound.generation == Generation::Computed
                && bound.user != user
                && !bound.blocked
                && self
                    .bindings
                    .people_of(&user)
                    .await?
                    .is_some_and(|people| !people.is_empty()) =>
            {
                let person = &record.person;
                let computed = &bound.user;
                let BindingState::Free {
                    generation,
                    dissolved,
                } = self.bindings.stored_state(person).await?
                else {
                    return Ok(self.logins.record(record).await?);
                };
                let is_new = bound.new_for.is_some() && !dissolved;
                let user = if is_new { user } else { computed.clone() };
                let intent = Intent {
                    user,
                    made: is_new,
                    by_unionid: is_new,
                };
                let state = self.bindings.intend(person, generation, &intent).await?;
                Box::pin(self.bind.binder(person, unionid, &attempt.id).settle(state)).await?;
                self.bindings.remove_from_list(computed, person).await?;
                if is_new {
                    record.if_unbound = UnboundPolicy::Intended(intent);
                }
            }
            _ => return Ok(recorded),
        }
        Ok(self.logins.record(record).await?)
    }

    /// Why a login is refused if the person's session belongs to another computed user. The id keys
    /// have been compared, so WeChat must have named another unionid than before, and the user id
    /// would change.
    async fn other_user(&self, person: &Person, attempt: &mut Attempt<'_>) -> LoginError {
        if !self.ids.are_of_unionids() {
            return StoreError::OtherUserId.into();
        }
        let bound = match self.bindings.state(person).await {
            Ok(BindingState::Bound(bound)) => bound,
            Ok(_) => return Unavailable::Contended.into(),
            Err(error) => return error.into(),
        };
        attempt.audit_context.user = Some(bound.user.clone());
        LoginError::UnionIdChanged {
            user: bound.user,
            app: person.app.clone(),
        }
    }

    /// The user to whom the unionid is linked; `None` unless user ids are computed from unionids.
    async fn holder(&self, unionid: Option<&UnionId>) -> Result<Option<UserId>, StoreError> {
        match unionid.filter(|_| self.ids.are_of_unionids()) {
            Some(unionid) => Box::pin(self.union_ids.claim(unionid, None)).await,
            None => Ok(None),
        }
    }

    /// How to record a person whom the store does not know. No credentials are needed, so the login
    /// is recorded together with the intent to bind the person.
    async fn meet(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        attempt: &Attempt<'_>,
    ) -> Result<UnboundPolicy> {
        // A person who will be refused is counted first.
        if unionid.is_none() && self.ids.need_unionid(&person.app, &self.apps.all()) {
            return Ok(UnboundPolicy::Counted);
        }
        let Named { user, .. } = self.accounts.new_user(&person.app, "", attempt.now).await?;
        Ok(UnboundPolicy::Intended(
            self.bind
                .binder(person, unionid, &attempt.id)
                .intent_for(user, unionid, None)
                .await?,
        ))
    }
}
