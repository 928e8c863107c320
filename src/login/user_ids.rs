//! Computes a person's user id from the openid or the unionid and the id key, so that no binding
//! has to be stored. A binding that was made before takes precedence, because its user keeps the
//! id.

use futures_util::future::join;
use parking_lot::Mutex;
use wxmint_findings::Finding;
use wxmint_ids::{AppId, IdKey, IdKind, Person, UnionId, UserId};
use wxmint_store::{
    BindingState, DRAWN, Generation, Intent, LoginRecord, Recorded, Store, StoreError,
    UnboundPolicy,
};

use super::{Attempt, LoginError, LoginWorker, Result};
use crate::accounts::Named;

/// How user ids are made: drawn and bound, or computed with a key. Processes compare this through
/// the store. A process that finds another way or another key there logs nobody in.
pub struct UserIds {
    /// `None` if user ids are drawn.
    key: Option<(IdKind, IdKey)>,
    /// Whether people are noted on their users' lists.
    listed: bool,
    /// Whether other processes may use the same store. A store in memory belongs to one process.
    has_peers: bool,
    agreement: Mutex<Agreement>,
}

#[derive(Clone, Copy, Default)]
struct Agreement {
    /// Whether the store has ever held this process's fingerprint.
    was_own: bool,
    /// Whether the last fingerprint in the store was this process's; `None` if the store has not
    /// held one yet.
    last_match: Option<bool>,
    /// Whether the store has ever answered.
    has_answered: bool,
}

impl UserIds {
    /// `key` is `None` if user ids are drawn.
    pub fn new(key: Option<(IdKind, IdKey)>, listed: bool, has_peers: bool) -> Self {
        Self {
            key,
            listed,
            has_peers,
            agreement: Mutex::default(),
        }
    }

    /// Whether user ids are computed. Otherwise they are drawn and bound.
    pub fn are_computed(&self) -> bool {
        self.key.is_some()
    }

    /// Whether a user's people cannot be found.
    pub(super) fn are_unlisted(&self) -> bool {
        self.are_computed() && !self.listed
    }

    /// Whether a person who is not on the user's list can have a valid token of the user. Computed
    /// user ids need no list: it may be lost, or may not be kept at all. If user ids are drawn, all
    /// people who are bound to the user are on the list.
    pub(super) fn need_no_list(&self) -> bool {
        self.are_computed()
    }

    /// Whether user ids are computed from openids.
    pub(super) fn are_of_openids(&self) -> bool {
        matches!(self.key, Some((IdKind::OpenId, _)))
    }

    /// Whether user ids are computed from unionids.
    fn are_of_unionids(&self) -> bool {
        matches!(self.key, Some((IdKind::UnionId, _)))
    }

    /// Compares if the process has not done so since its start, because the first login may come
    /// before the first comparison.
    pub(super) async fn ask_first(&self, store: &Store) -> Result<()> {
        if !self.agreement.lock().has_answered {
            Box::pin(self.compare(store, false)).await?;
        }
        Ok(())
    }

    /// Fails unless the store's fingerprint is this process's. Checked before a code is spent, and
    /// again before a login is recorded.
    pub(super) fn check_agreed(&self) -> Result<(), StoreError> {
        let is_agreed = self.agreement.lock().last_match == Some(true);
        if is_agreed {
            Ok(())
        } else {
            Err(StoreError::OtherIdKey)
        }
    }

    /// Whether this process has not yet seen a fingerprint in the store, so that other processes
    /// may publish theirs first.
    pub fn wait_for_others(&self) -> bool {
        self.agreement.lock().last_match.is_none()
    }

    /// The user id computed from the openid; `None` unless ids come from openids.
    pub(crate) fn of_openid(&self, person: &Person) -> Option<UserId> {
        self.key
            .as_ref()
            .filter(|_| self.are_of_openids())
            .map(|(_, key)| key.of_openid(person))
    }

    /// How to record a login of a person who may have no binding.
    pub fn if_unbound(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        has_credentials: bool,
    ) -> Result<UnboundPolicy> {
        self.check_agreed()?;
        Ok(
            match self.of_openid(person).or_else(|| self.of_unionid(unionid?)) {
                Some(user) => UnboundPolicy::Computed {
                    user,
                    listed: self.listed,
                },
                // A person without a unionid is counted, and then refused, unless there is a binding.
                None if has_credentials || self.are_computed() => UnboundPolicy::Counted,
                None => UnboundPolicy::ReportOnly,
            },
        )
    }

    pub(super) fn of_unionid(&self, unionid: &UnionId) -> Option<UserId> {
        if let Some((IdKind::UnionId, key)) = &self.key {
            Some(key.of_unionid(unionid))
        } else {
            None
        }
    }

    /// Why a person without a binding has no computed user: WeChat named no unionid. Otherwise a
    /// half-made or half-removed binding was finished just now, and the client tries again.
    pub(super) fn refusal(&self, unionid: Option<&UnionId>) -> LoginError {
        let is_unnamed = unionid.is_none() && !self.are_of_openids();
        if is_unnamed {
            LoginError::UnionIdMissing
        } else {
            LoginError::Contended
        }
    }

    /// The text that the store holds, here called the fingerprint: the kind and the fingerprint of
    /// the id key, or [`DRAWN`].
    pub fn key_fingerprint(&self) -> String {
        self.key.as_ref().map_or_else(
            || DRAWN.to_owned(),
            |(kind, key)| format!("{kind} {}", key.fingerprint()),
        )
    }

    /// Compares this process's fingerprint with that of the store, and publishes it if it may.
    /// Returns what keeps people from logging in.
    pub async fn compare(
        &self,
        store: &Store,
        has_waited: bool,
    ) -> Result<Option<Finding>, StoreError> {
        let own = Some(self.key_fingerprint()).filter(|_| self.may_publish(has_waited));
        Ok(self.on_stored_fingerprint(store.id_key(own.as_deref()).await?.as_deref()))
    }

    /// Whether to publish our fingerprint in a store that has none: if the store held it before, or
    /// if the process `has_waited` for others to publish theirs. So no wrong fingerprint gets into
    /// a store that was emptied. A process that draws user ids, and has seen that others compute
    /// them, publishes nothing from then on.
    fn may_publish(&self, has_waited: bool) -> bool {
        let Agreement {
            was_own,
            last_match,
            ..
        } = *self.agreement.lock();
        match last_match {
            Some(is_own) => is_own || was_own && self.are_computed(),
            None => has_waited || !self.has_peers,
        }
    }

    /// Takes note of the fingerprint that the store holds. If it is a different one, returns why
    /// nobody may log in at this process: people could get other user ids.
    fn on_stored_fingerprint(&self, held: Option<&str>) -> Option<Finding> {
        let own = self.key_fingerprint();
        // A process that draws user ids yields to those that compute them, so [`DRAWN`] says
        // nothing here.
        let held = held.filter(|held| *held != DRAWN || !self.are_computed());
        let mut agreement = self.agreement.lock();
        agreement.has_answered = true;
        // If somebody has emptied the store, what was known before holds.
        if let Some(held) = held {
            let is_own = own == held;
            agreement.last_match = Some(is_own);
            agreement.was_own |= is_own;
        }
        if agreement.last_match == Some(true) {
            return None;
        }
        let kind = |word: &str| word.split(' ').next().map(str::to_owned);
        let other = message!(
            redis_knows_other_user_ids,
            held.unwrap_or("another kind"),
            own.as_str()
        );
        let (found, advice) = match held {
            None if self.are_computed() || agreement.last_match.is_none() => {
                (message!(id_key_not_compared_yet), message!(wait_for_id_key))
            }
            Some(held) if kind(&own) == kind(held) => (other, message!(restore_id_key)),
            _ => (other, message!(ids_of_all_people_would_change)),
        };
        Some(Finding::fault("user_ids", found, advice))
    }
}

impl LoginWorker {
    pub(super) fn need_unionid(&self, app: &AppId) -> bool {
        !self.ids.are_of_openids() && self.apps.all().need_unionid(app)
    }

    /// Records a login. It is recorded a second time in two cases: for an unbound person, with the
    /// intent to bind, and for a person with a computed user whose unionid is bound to another user
    /// in another app. If the computed user is new, the person becomes that other user. A person
    /// who has got the computed id before, or who has removed a binding, keeps the computed user,
    /// and [`Binder::link`](super::Binder::link) reports the conflict.
    pub(super) async fn record_login(
        &self,
        record: &mut LoginRecord,
        unionid: Option<&UnionId>,
        attempt: &Attempt<'_>,
    ) -> Result<Recorded> {
        let (recorded, holder) = join(self.store.record_login(record), self.holder(unionid)).await;
        let (recorded, holder) = (recorded?, holder?);
        match (&recorded, holder) {
            (Recorded::Unbound, _) => {
                record.if_unbound = self.meet(&record.person, unionid, attempt).await?
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
                    .store
                    .people_of(&user)
                    .await?
                    .is_some_and(|people| !people.is_empty()) =>
            {
                let (person, computed) = (&record.person, &bound.user);
                let BindingState::Free {
                    generation,
                    dissolved,
                } = self.store.stored_state(person).await?
                else {
                    return Ok(self.store.record_login(record).await?);
                };
                let is_new = bound.new_for.is_some() && !dissolved;
                let user = if is_new { user } else { computed.clone() };
                let intent = Intent {
                    user,
                    made: is_new,
                    by_unionid: is_new,
                };
                let state = self.store.intend(person, generation, &intent).await?;
                Box::pin(self.binder(person, unionid, &attempt.id).settle(state)).await?;
                self.store.strike_off(computed, person).await?;
                if is_new {
                    record.if_unbound = UnboundPolicy::Intended(intent);
                }
            }
            _ => return Ok(recorded),
        }
        Ok(self.store.record_login(record).await?)
    }

    /// Why a login is refused if the person's session belongs to another computed user. The id keys
    /// have been compared, so WeChat must have named another unionid than before, and the user id
    /// would change.
    pub(super) async fn other_user(
        &self,
        person: &Person,
        attempt: &mut Attempt<'_>,
    ) -> Result<LoginError> {
        if !self.ids.are_of_unionids() {
            return Ok(StoreError::OtherUserId.into());
        }
        let BindingState::Bound(bound) = self.store.binding_state(person).await? else {
            return Ok(LoginError::Contended);
        };
        attempt.audit_context.user = Some(bound.user.clone());
        Ok(LoginError::UnionIdChanged {
            user: bound.user,
            app: person.app.clone(),
        })
    }

    /// The user to whom the unionid is linked; `None` unless user ids are computed from unionids.
    async fn holder(&self, unionid: Option<&UnionId>) -> Result<Option<UserId>, StoreError> {
        match unionid.filter(|_| self.ids.are_of_unionids()) {
            Some(unionid) => Box::pin(self.store.claim_unionid(unionid, None)).await,
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
        if unionid.is_none() && self.need_unionid(&person.app) {
            return Ok(UnboundPolicy::Counted);
        }
        let Named { user, .. } = self.accounts.new_user("", attempt.now).await?;
        Ok(UnboundPolicy::Intended(
            self.binder(person, unionid, &attempt.id)
                .intent_for(user, unionid, None)
                .await?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD as STANDARD};
    use wxmint_findings::Message;
    use wxmint_ids::{IdKey, IdKind};

    use super::*;

    /// The advice for the fingerprint that the store holds.
    fn advice(ids: &UserIds, held: Option<&str>) -> Option<Message> {
        ids.on_stored_fingerprint(held)
            .map(|finding| finding.advice)
    }

    fn are_agreed(ids: &UserIds) -> bool {
        ids.check_agreed().is_ok()
    }

    fn computing(kind: IdKind, byte: u8) -> UserIds {
        let key = IdKey::parse(STANDARD.encode([byte; 32]).as_bytes()).expect("a key");
        UserIds::new(Some((kind, key)), true, true)
    }

    fn drawing() -> UserIds {
        UserIds::new(None, false, true)
    }

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let word = |kind, byte| computing(kind, byte).key_fingerprint();
        let own = word(IdKind::OpenId, 1);
        for (is_computed, held, judged) in [
            (true, None, Some(message!(wait_for_id_key))),
            (true, Some(own.clone()), None),
            (
                true,
                Some(word(IdKind::OpenId, 2)),
                Some(message!(restore_id_key)),
            ),
            (
                true,
                Some(word(IdKind::UnionId, 1)),
                Some(message!(ids_of_all_people_would_change)),
            ),
            (
                true,
                Some(DRAWN.to_owned()),
                Some(message!(wait_for_id_key)),
            ),
            (
                false,
                Some(own),
                Some(message!(ids_of_all_people_would_change)),
            ),
            (false, Some(DRAWN.to_owned()), None),
            (false, None, Some(message!(wait_for_id_key))),
        ] {
            let ids = if is_computed {
                computing(IdKind::OpenId, 1)
            } else {
                drawing()
            };
            assert_eq!(
                advice(&ids, held.as_deref()),
                judged,
                "{is_computed} {held:?}"
            );
            assert_eq!(are_agreed(&ids), judged.is_none(), "{is_computed} {held:?}");
        }
    }

    #[test]
    fn what_was_agreed_holds_while_the_store_has_no_word_and_only_who_has_waited_tells_one_at_first()
     {
        let [right, wrong] = [1, 2].map(|byte| computing(IdKind::OpenId, byte));
        assert_eq!(
            (
                right.may_publish(false),
                right.may_publish(true),
                are_agreed(&right)
            ),
            (false, true, false)
        );
        assert_eq!(advice(&right, Some(&right.key_fingerprint())), None);
        assert_eq!(
            (
                advice(&right, None),
                are_agreed(&right),
                right.may_publish(false)
            ),
            (None, true, true)
        );
        assert_eq!(
            (
                advice(&right, Some(DRAWN)),
                are_agreed(&right),
                right.may_publish(false)
            ),
            (None, true, true)
        );
        assert_eq!(
            advice(&wrong, Some(&right.key_fingerprint())),
            Some(message!(restore_id_key))
        );
        assert_eq!(
            (advice(&wrong, None), are_agreed(&wrong)),
            (Some(message!(wait_for_id_key)), false)
        );
        assert!(!wrong.may_publish(true), "it knows better");
        // The number of looks does not matter: the doctor looks too, so looks do not measure time.
        for _ in 0..2 {
            assert_eq!(advice(&wrong, None), Some(message!(wait_for_id_key)));
            assert!(!wrong.may_publish(true));
        }
    }

    #[test]
    fn who_draws_user_ids_waits_like_who_computes_them_and_yields_to_them_for_good() {
        let right = computing(IdKind::OpenId, 1);
        let drawn = drawing();
        assert_eq!(
            (
                drawn.may_publish(false),
                drawn.may_publish(true),
                are_agreed(&drawn)
            ),
            (false, true, false)
        );
        for _ in 0..2 {
            assert_eq!(
                (advice(&drawn, None), are_agreed(&drawn)),
                (Some(message!(wait_for_id_key)), false)
            );
        }
        assert_eq!(
            (advice(&drawn, Some(DRAWN)), are_agreed(&drawn)),
            (None, true)
        );
        assert_eq!(
            (
                advice(&drawn, None),
                are_agreed(&drawn),
                drawn.may_publish(false)
            ),
            (None, true, true)
        );
        assert_eq!(
            advice(&drawn, Some(&right.key_fingerprint())),
            Some(message!(ids_of_all_people_would_change))
        );
        assert_eq!(
            (advice(&drawn, None), are_agreed(&drawn)),
            (Some(message!(ids_of_all_people_would_change)), false)
        );
        assert!(
            !drawn.may_publish(true),
            "others compute user ids, and may not have told the key again yet"
        );
        // A store in memory belongs to one process.
        assert!(UserIds::new(None, false, false).may_publish(false));
    }
}
