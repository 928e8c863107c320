//! Computes the user of a person from who the person is and the id key, so that nothing has to be remembered. A binding
//! from before wins, because its user keeps the id.
//!
//! All processes must compute with one key. They compare its fingerprint through the store, and a process that finds
//! another one there logs nobody in.

use parking_lot::Mutex;
use wxmint_ids::{AppId, IdKey, IdKind, Person, UnionId};
use wxmint_store::{ALONE, AttemptId, Computed, Intent, LoginRecord, Newcomer, Store, StoreError};

use super::{BindError, LoginError, LoginWorker};
use crate::accounts::{Named, NewUserKey};
use crate::findings::{Finding, Said};
use chrono::{DateTime, Utc};

/// How user ids come about: they are drawn and bound, or computed.
pub struct UserIds {
    key: Option<(IdKind, IdKey)>,
    /// Whether people are noted on their users' lists.
    listed: bool,
    agreement: Mutex<Agreement>,
}

/// The store has said this of the id key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Agreement {
    /// Whether it has once named this process's key.
    was_own: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Unknown,
    /// It names this process's key. Perhaps people have bindings.
    Own {
        beside_bindings: bool,
    },
    Other,
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

    /// The kind and the fingerprint of the key, as the store holds them.
    pub fn own(&self) -> Option<String> {
        self.key.as_ref().map(|(kind, key)| format!("{} {}", kind.name(), key.fingerprint()))
    }

    /// Compares the key with that of the store. Returns what keeps people from logging in. A store that holds none is
    /// told this one if it was the store's before, or if the process `has_waited` for others to tell theirs: so a wrong
    /// key does not get into a store that was emptied.
    pub async fn compare(&self, store: &dyn Store, has_waited: bool) -> Result<Option<Finding>, StoreError> {
        let before = *self.agreement.lock();
        let may_tell = before.was_own || has_waited && before.state == State::Unknown;
        let own = self.own();
        let held = store.id_key(own.as_deref().filter(|_| may_tell)).await?;
        let (state, found) = judge(own.as_deref(), held.as_deref());
        // Somebody has emptied the store: what was known before holds.
        let state = if held.is_none() { before.state } else { state };
        let was_own = before.was_own || matches!(state, State::Own { .. });
        *self.agreement.lock() = Agreement { was_own, state };
        Ok(found.filter(|_| !matches!(state, State::Own { .. })))
    }

    /// The way to record somebody who may have no binding.
    pub fn newcomer(
        &self,
        person: &Person,
        unionid: Option<&UnionId>,
        has_credentials: bool,
    ) -> Result<Newcomer, LoginError> {
        let state = self.agreement.lock().state;
        let user = match (&self.key, state, unionid) {
            (_, State::Other, _) | (Some(_), State::Unknown, _) => return Err(not_agreed()),
            (None, ..) => return Ok(if has_credentials { Newcomer::Counted } else { Newcomer::Told }),
            (Some((IdKind::OpenId, key)), ..) => key.of_openid(person),
            (Some((IdKind::UnionId, key)), _, Some(unionid)) => key.of_unionid(unionid),
            // Counted, and then refused, unless there is a binding.
            (Some((IdKind::UnionId, _)), _, None) => return Ok(Newcomer::Counted),
        };
        let beside_bindings = state == State::Own { beside_bindings: true };
        let told = beside_bindings && !self.are_of_openids();
        Ok(Newcomer::Computed(Computed { user, listed: self.listed, beside_bindings, told }))
    }

    fn are_of_openids(&self) -> bool {
        matches!(self.key, Some((IdKind::OpenId, _)))
    }

    /// Why somebody without a binding has no computed user.
    pub(super) fn refusal(&self, unionid: Option<&UnionId>) -> LoginError {
        match unionid {
            None if !self.are_of_openids() => LoginError::UnionIdMissing,
            // A binding that was half made or half dissolved is finished now.
            _ => BindError::Contended.into(),
        }
    }
}

fn judge(own: Option<&str>, held: Option<&str>) -> (State, Option<Finding>) {
    let Some(held) = held else {
        let waits = own.map(|_| Finding::fault("user_ids", said!(id_key_not_compared_yet), said!(wait_for_id_key)));
        return (State::Unknown, waits);
    };
    let fault = |advice: Said| {
        let own = own.unwrap_or("random");
        (State::Other, Some(Finding::fault("user_ids", said!(redis_knows_other_user_ids, held, own), advice)))
    };
    let words = |text: &str| text.split_once(' ').map(|(kind, key)| (kind.to_owned(), key.to_owned()));
    let (before, key) = (held.strip_suffix(ALONE).unwrap_or(held), own.and_then(words));
    match (key, words(before)) {
        _ if own == Some(before) => (State::Own { beside_bindings: before == held }, None),
        (Some((kind, _)), Some((other, _))) if kind == other => fault(said!(restore_id_key)),
        _ => fault(said!(ids_of_all_people_would_change)),
    }
}

fn not_agreed() -> LoginError {
    StoreError { reason: "the id key of this process is not the one that the store names: see wxmint doctor".into() }
        .into()
}

impl LoginWorker {
    /// Whether logins in the app need a unionid.
    pub(super) fn need_unionid(&self, app: &AppId) -> bool {
        !self.ids.are_of_openids() && self.apps.all().need_unionid(app)
    }

    /// How to record somebody of whom the store knows nothing. Nobody needs to be asked: the login is recorded together
    /// with the intent to bind the newcomer.
    pub(super) async fn meet(
        &self,
        LoginRecord { person, newcomer, .. }: &LoginRecord,
        unionid: Option<&UnionId>,
        attempt: &AttemptId,
        now: DateTime<Utc>,
    ) -> Result<Newcomer, LoginError> {
        if let Newcomer::Computed(computed) = newcomer {
            let bound = match unionid {
                Some(unionid) => self.store.claim_unionid(unionid, None).await?,
                None => None,
            };
            // The same human is bound in another app.
            return match bound {
                Some(user) if self.store.people_of(&user).await?.is_some_and(|people| !people.is_empty()) => {
                    Ok(Newcomer::Intended(Intent { user, made: true, by_unionid: true }))
                }
                _ => Ok(Newcomer::Computed(Computed { told: false, ..computed.clone() })),
            };
        }
        // A newcomer who will be refused is counted first.
        if unionid.is_none() && self.need_unionid(&person.app) {
            return Ok(Newcomer::Counted);
        }
        let Named { user, .. } = self.accounts.new_user(&NewUserKey(String::new()), now).await?;
        Ok(Newcomer::Intended(self.binder(person, unionid, attempt).intent_for(user, unionid, None).await?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_goes_on_only_beside_its_own_key_and_kind() {
        let [own, mixed, other, kind] = ["openid 1 alone", "openid 1", "openid 2 alone", "unionid 1"];
        for (settings, held, state, says) in [
            (Some("openid 1"), None, State::Unknown, "compared"),
            (Some("openid 1"), Some(own), State::Own { beside_bindings: false }, ""),
            (Some("openid 1"), Some(mixed), State::Own { beside_bindings: true }, ""),
            (Some("openid 1"), Some(other), State::Other, "back"),
            (Some("openid 1"), Some(kind), State::Other, "wxmint doctor"),
            (None, Some(own), State::Other, "wxmint doctor"),
            (None, None, State::Unknown, ""),
        ] {
            let (judged, found) = judge(settings, held);
            let found = found.map(|finding| finding.to_string()).unwrap_or_default();
            assert!(judged == state && found.contains(says), "{settings:?} {held:?}: {judged:?} {found}");
            assert_eq!(found.is_empty(), says.is_empty(), "{found}");
        }
    }
}
