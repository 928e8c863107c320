//! Finds the business user of a login: the user to whom the person is bound, the user whom a
//! password or a phone number proves, or a new user.

use chrono::{DateTime, Utc};
use wxmint_ids::{Person, UnionId, UserId};
use wxmint_store::{AttemptId, BindingState, Bound, Generation, Store, StoreError, short_digest};
use wxmint_telemetry::Metrics;

use super::bind_tickets::keep_ticket;
use super::exchanged_login::ExchangedLogin;
use super::operator::release_unionid;
use super::{
    Attempt, Binder, FreePlace, LoginError, LoginPolicy, Operator, Result, SettledState,
    Unavailable, UnionIdLink, UserIds,
};
use crate::accounts::{Accepts, Accounts, Named};

/// The outcome of [`Bind::link`].
#[must_use = "a user whose other user is blocked must not be let in"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkOutcome {
    /// The user may log in, even if the unionid is linked to another user.
    Linked,
    /// Another user of the unionid is blocked, so this user may not log in either.
    Blocked,
}

/// Finds the user of a person, and binds the person to the user.
#[derive(Clone, Copy)]
pub(super) struct Bind<'a> {
    pub(super) store: &'a Store,
    pub(super) accounts: &'a dyn Accounts,
    pub(super) policy: &'a LoginPolicy,
    pub(super) ids: &'a UserIds,
    pub(super) metrics: &'a Metrics,
}

impl Bind<'_> {
    /// The steps of a binding of this person, for one request.
    pub(super) fn binder<'b>(
        &'b self,
        person: &'b Person,
        unionid: Option<&'b UnionId>,
        attempt: &'b AttemptId,
    ) -> Binder<'b> {
        Binder {
            store: self.store,
            person,
            unionid,
            attempt,
            per_user: self.policy.bindings_per_user,
        }
    }

    /// Finds the user to whom the person is bound, or binds the person to the `candidate`, whose
    /// credentials were checked, or else to a new user.
    pub(super) async fn bind(
        &self,
        exchanged: &ExchangedLogin,
        candidate: Option<Named>,
        attempt: &mut Attempt<'_>,
    ) -> Result<Bound> {
        let ExchangedLogin {
            person,
            unionid,
            state,
            ..
        } = exchanged;
        let binder = self.binder(person, unionid.as_ref(), &attempt.id);
        let settled = binder.settle(state.clone()).await?;
        let bound = match candidate {
            Some(candidate) => binder.bind(&candidate, settled).await?,
            None if self.ids.are_computed() => {
                let bound = match settled {
                    SettledState::Free { .. } if self.ids.are_of_openids() => None,
                    // A user bound before ids were computed stays the person's user in every app.
                    settled => binder.bind_unasked(settled, async |_| Ok(None)).await?,
                };
                bound.ok_or_else(|| self.ids.refusal(unionid.as_ref()))?
            }
            None => {
                let make =
                    async |place: FreePlace<'_>| self.make_user(person, &place, attempt.now).await;
                let Some(bound) = binder.bind_unasked(settled, make).await? else {
                    let ticket = keep_ticket(&self.store.tickets, exchanged).await?;
                    return Err(LoginError::BindingRequired(ticket));
                };
                bound
            }
        };
        attempt.audit_context.user = Some(bound.user.clone());
        if !matches!(state, BindingState::Bound(_)) {
            let new_user = bound.new_for == Some(attempt.id.mark());
            attempt.audit_context.bound = Some(new_user);
            tracing::info!(
                user = bound.user.as_str(),
                app = person.app.as_str(),
                new_user,
                "binding made"
            );
        }
        match bound.generation {
            // The login stored a session key before it found the block.
            Generation::Computed if bound.blocked => {
                self.store.sessions.delete_keys(person, None).await?;
            }
            Generation::Computed => {}
            Generation::Numbered(_) => {
                if self.link(&binder, &bound).await? == LinkOutcome::Blocked {
                    return Err(LoginError::Blocked);
                }
            }
        }
        Ok(bound)
    }

    /// Links the unionid to the user. If it is already linked to another user, the conflict is
    /// logged and counted. If that other user is blocked, this user's tokens are revoked, because
    /// the person may have become a second user before WeChat named the unionid.
    #[expect(
        clippy::cognitive_complexity,
        reason = "each log macro counts as several branches"
    )]
    pub(super) async fn link(
        &self,
        binder: &Binder<'_>,
        bound: &Bound,
    ) -> Result<LinkOutcome, StoreError> {
        let user = bound.user.as_str();
        let is_blocked =
            async |user: &UserId| Ok(self.store.revocations.user_state(user).await?.blocked);
        if let Some(unionid) = binder
            .unionid
            .filter(|unionid| bound.unionid.as_ref() != Some(unionid))
            && let Some(computed) = self
                .ids
                .of_unionid(unionid)
                .filter(|computed| *computed != bound.user)
            && (Operator { store: self.store }).knows(&computed).await?
        {
            self.store
                .union_ids
                .share(unionid, &[&computed, &bound.user])
                .await?;
        }
        match (binder.link(bound, is_blocked).await?, binder.unionid) {
            (UnionIdLink::Conflict(other), _) => {
                self.metrics.unionid_conflicts.inc();
                let other = other.as_str();
                tracing::warn!(
                    user,
                    other,
                    "one unionid, two users: both are kept; see wxmint bindings export"
                );
                if bound.blocked {
                    Operator { store: self.store }.end(&bound.user).await?;
                }
            }
            (UnionIdLink::Blocked(other), _) => {
                tracing::info!(
                    user,
                    other = other.as_str(),
                    "the user of this unionid is blocked"
                );
                if !bound.shared {
                    // Tokens that were issued before WeChat named the unionid may still be valid.
                    Operator { store: self.store }
                        .revoke_in_app(&bound.user, &binder.person.app)
                        .await?;
                    self.store
                        .bindings
                        .note_shared(binder.person, &bound.user)
                        .await?;
                }
                return Ok(LinkOutcome::Blocked);
            }
            (UnionIdLink::Gone, Some(unionid)) => {
                release_unionid(self.store, unionid, &bound.user).await?;
            }
            _ => {}
        }
        if bound.unionid.is_some()
            && binder
                .unionid
                .is_some_and(|unionid| bound.unionid.as_ref() != Some(unionid))
        {
            let app = binder.person.app.as_str();
            tracing::info!(
                user,
                app,
                "WeChat names another unionid for this person than before"
            );
        }
        Ok(LinkOutcome::Linked)
    }

    /// Creates a user, unless the backend can ask for credentials and either
    /// `WXMINT_AUTO_PROVISION` is off or the person has removed a binding before.
    async fn make_user(
        &self,
        person: &Person,
        place: &FreePlace<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<UserId>, Unavailable> {
        let can_ask = self.accounts.accepts() != Accepts::Nothing;
        if can_ask && (place.dissolved || !self.policy.auto_provision) {
            return Ok(None);
        }
        Ok(Some(
            self.accounts
                .new_user(&person.app, &new_user_key(person, place), now)
                .await?
                .user,
        ))
    }
}

/// The idempotency key with which the account backend creates a user. Concurrent first logins with
/// one unionid have the same key, and so does a login that is repeated because its answer was lost.
/// If the unionid's former user has no bindings left, the key is a different one, because otherwise
/// the backend would return that user again. The key is a hash, which reveals nothing about the
/// person.
fn new_user_key(person: &Person, place: &FreePlace<'_>) -> String {
    let whose = match (place.unionid, place.deserted) {
        (Some(unionid), None) => format!("user of unionid {}", scoped(unionid)),
        (Some(unionid), Some(user)) => format!("user of unionid {} after {user}", scoped(unionid)),
        (None, _) => format!(
            "user of {}{}:{}:{}",
            person.platform.prefix(),
            person.app,
            person.openid.as_str(),
            Generation::number_of_last(place.generation)
        ),
    };
    short_digest(&whose).to_string()
}

/// The unionid with its platform and its scope, so that equal texts of two platforms differ.
fn scoped(unionid: &UnionId) -> String {
    unionid.scope().prefix() + unionid.as_str()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wxmint_ids::{Platform, UnionId, UnionScope};

    use super::*;

    #[test]
    fn the_people_of_a_unionid_have_one_idempotency_key_and_others_one_of_their_own() {
        let person = |app: &str, openid: &str| Person {
            platform: Platform::WeChat,
            app: app.parse().expect("an AppID"),
            openid: openid.parse().expect("an openid"),
        };
        let lin = person("wx1", "lin");
        let mei = person("wx1", "mei");
        let elsewhere = person("wx2", "lin");
        let one: UnionId = "u1".parse().expect("a unionid");
        let other: UnionId = "u2".parse().expect("a unionid");
        let left: UserId = "left".parse().expect("a user id");
        let key = |person, generation: Option<Generation>, unionid, deserted| {
            new_user_key(
                person,
                &FreePlace {
                    generation,
                    dissolved: generation.is_some(),
                    unionid,
                    deserted,
                },
            )
        };
        let keys = [
            key(&lin, None, None, None),
            key(&lin, Some(Generation::from_number(1)), None, None),
            key(&mei, None, None, None),
            key(&elsewhere, None, None, None),
            key(&lin, None, Some(&one), None),
            key(&lin, None, Some(&other), None),
            key(&lin, None, Some(&one), Some(&left)),
        ];
        assert_eq!(keys.iter().collect::<HashSet<_>>().len(), keys.len());
        assert_eq!(key(&elsewhere, None, Some(&one), None), keys[4]);
    }

    #[test]
    fn equal_unionids_and_openids_of_two_platforms_have_other_idempotency_keys() {
        let mut keys = HashSet::new();
        for platform in [Platform::WeChat, Platform::Douyin, Platform::Qq] {
            let person = Person {
                platform,
                app: "wx1".parse().expect("an AppID"),
                openid: "lin".parse().expect("an openid"),
            };
            let scope = UnionScope::new(platform, "shops").expect("a scope");
            let unionid = UnionId::new(scope, "u1").expect("a unionid");
            for unionid in [None, Some(&unionid)] {
                let place = FreePlace {
                    generation: None,
                    dissolved: false,
                    unionid,
                    deserted: None,
                };
                assert!(keys.insert(new_user_key(&person, &place)), "{platform}");
            }
        }
    }
}
