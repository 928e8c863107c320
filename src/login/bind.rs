//! Finds the user to whom a person is bound, makes one, or asks for credentials.

use chrono::{DateTime, Utc};

use super::{Arrival, Binder, LoginError, Vacancy, Worker};
use crate::{
    accounts::{Admission, Named, NewUserKey},
    ids::{Person, UserId},
    store::{AttemptId, BindingState, Bound, Ticket, TicketHolder, short_digest},
    token::ExtraClaims,
};

impl Worker {
    /// Finds or makes the binding. A person who is bound costs no call.
    pub(super) async fn bind(
        &self,
        arrival: &Arrival,
        candidate: Option<Named>,
        attempt: &AttemptId,
        now: DateTime<Utc>,
    ) -> Result<Bound, LoginError> {
        let Arrival { person, unionid, state, .. } = arrival;
        let binder = self.binder(person, unionid.as_ref(), attempt);
        let settled = binder.settle(state.clone()).await?;
        let bound = match candidate {
            Some(candidate) => binder.bind(&candidate, settled).await?,
            None => {
                let make = async |vacancy: Vacancy<'_>| self.make_user(person, &vacancy, now).await;
                match binder.bind_unasked(settled, make).await? {
                    Some(bound) => bound,
                    None => return Err(self.ask(arrival).await?),
                }
            }
        };
        if !matches!(state, BindingState::Bound(_)) {
            let (user, app) = (bound.user.as_str(), person.app.as_str());
            tracing::info!(user, app, new_user = bound.new, "binding made");
        }
        self.link(&binder, &bound).await?;
        Ok(bound)
    }

    /// Returns the claims that the account backend adds to the token. Refuses a user who is blocked, or whom the account
    /// backend does not let log in any more.
    pub(super) async fn admit(&self, bound: &Bound) -> Result<ExtraClaims, LoginError> {
        let user = bound.user.as_str();
        if bound.blocked {
            tracing::info!(user, "the user is blocked");
            return Err(LoginError::UserShutOut);
        }
        match self.accounts.admits(&bound.user).await? {
            Admission::Admitted(claims) => Ok(claims),
            Admission::Refused => {
                tracing::info!(user, "the account backend does not let this user log in");
                Err(LoginError::UserShutOut)
            }
        }
    }

    /// Links the unionid to the user. If it is linked to another user, the conflict is logged and counted.
    pub(crate) async fn link(&self, binder: &Binder<'_>, bound: &Bound) -> Result<(), LoginError> {
        if let Some(other) = binder.link(bound).await? {
            self.metrics.unionid_in_conflict();
            tracing::warn!(
                user = bound.user.as_str(),
                other = other.as_str(),
                "one unionid, two users: both are kept; see wxmint bindings conflicts"
            );
        }
        Ok(())
    }

    /// Creates a user, unless the backend can ask for credentials and either `WXMINT_AUTO_PROVISION` is off or the person
    /// has dissolved a binding.
    async fn make_user(
        &self,
        person: &Person,
        vacancy: &Vacancy<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<UserId>, LoginError> {
        let can_ask = self.accounts.accepts().anything();
        if can_ask && (vacancy.dissolved || !self.policy.auto_provision) {
            return Ok(None);
        }
        let named = self.accounts.new_user(&new_user_key(person, vacancy), now).await?;
        Ok(Some(named.user))
    }

    /// Asks for credentials. The ticket replaces the login code, which has been used.
    async fn ask(&self, arrival: &Arrival) -> Result<LoginError, LoginError> {
        let ticket = Ticket::random().map_err(|_| LoginError::NoRandomness)?;
        let Arrival { person, unionid, unkept, .. } = arrival;
        let holder = TicketHolder { person: person.clone(), unionid: unionid.clone(), key: unkept.clone() };
        self.store.keep_ticket(&ticket, &holder).await?;
        Ok(LoginError::BindingRequired(ticket))
    }
}

/// The idempotency key under which the account backend makes a user. Racing first logins of one unionid have the same key,
/// and so has a login that is repeated because its answer was lost. If the unionid's user has dissolved all bindings the key
/// is another one, because the backend would return that user again. The key is a hash, which tells nothing about the person.
fn new_user_key(person: &Person, vacancy: &Vacancy<'_>) -> NewUserKey {
    let whose = match (vacancy.unionid, vacancy.deserted) {
        (Some(unionid), None) => format!("user of unionid {}", unionid.as_str()),
        (Some(unionid), Some(user)) => format!("user of unionid {} after {user}", unionid.as_str()),
        (None, _) => format!("user of {}:{}:{}", person.app, person.openid.as_str(), vacancy.generation),
    };
    NewUserKey(short_digest(&whose).to_string())
}
