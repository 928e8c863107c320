//! The issuance: a dated token for its recipient, which is the app of the login or a client.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use wxmint_ids::{AppId, ClientId, Person};
use wxmint_keys::token::{Issued, Minter};
use wxmint_store::{BindingState, Bound, Generation, Store, StoreError, TokenState};
use wxmint_verify::MAX_LEEWAY;

use super::client_tokens::{OF_COMPUTED, client_tag, recipient_tag};
use super::exchanged_login::ExchangedLogin;
use super::{Admission, Attempt, LoginError, Result, Unavailable};

/// Dates tokens.
#[derive(Clone, Copy)]
pub struct Issuance<'a> {
    pub(crate) store: &'a Store,
    pub(crate) minter: &'a Minter,
    /// Whether a login revokes the user's earlier tokens (`WXMINT_SINGLE_SESSION`).
    pub(crate) single_session: bool,
}

impl Issuance<'_> {
    /// Fails if no key can sign now, so that no code or ticket is used up in vain. Notes the
    /// lifetime of this process's tokens in the store, so that revocations are kept longer than the
    /// tokens live.
    pub(super) async fn prepare(&self, now: DateTime<Utc>) -> Result<(), Unavailable> {
        self.minter.check(now)?;
        Ok(self.store.token_lives.note(self.minter.ttl()).await?)
    }

    /// The token of a login for its app. It is dated with the second of the login. If a revocation
    /// of the user covers that second, the first later second that none covers is used. With
    /// `WXMINT_SINGLE_SESSION` this revokes the earlier tokens.
    ///
    /// Verifiers accept an `iat` at most one minute ahead of their clocks; this machine's clock
    /// stands for theirs. The `exp` is computed from the second of the login even if the `iat` is
    /// later, because revocations are kept no longer than such a token lives. A later `iat` means
    /// that something was revoked, perhaps with the binding itself, so the binding is looked up
    /// again.
    pub(super) async fn date_for_app(
        &self,
        exchanged: &ExchangedLogin,
        bound: Bound,
        attempt: &Attempt<'_>,
    ) -> Result<Issued> {
        let now = attempt.now;
        let ExchangedLogin {
            person,
            at,
            may_be_revoked,
            ..
        } = exchanged;
        let Bound {
            user,
            generation,
            new_for,
            ..
        } = bound;
        let id = self
            .minter
            .token_id(&binding_tag(person, generation), now)?;
        // A user with a computed id may have existed before, so a revocation may cover this token.
        let was_made = new_for == Some(attempt.id.mark()) && generation != Generation::Computed;
        let token = self.minter.issued(user, person.app.clone(), id, *at);
        let latest = latest(now, token.expires_at);
        if token.issued_at > latest {
            let seconds = token.issued_at - now.timestamp();
            return Err(StoreError::ClockAhead { seconds }.into());
        }
        if token.expires_at <= now.timestamp() {
            return Err(StoreError::ClockBehind.into());
        }
        let date = match self.single_session {
            true => {
                self.store
                    .revocations
                    .revoke_earlier(&token, latest)
                    .await?
            }
            // A user whom this login has created has no revocations.
            false if *may_be_revoked && !was_made => {
                self.store
                    .revocations
                    .date_token(person, &token, latest)
                    .await?
            }
            false => Some(token.issued_at),
        };
        let Some(date) = date else {
            // A failover may have lost the block in the person's record. Without a session, the
            // next login comes to this check again.
            self.store.sessions.delete_keys(person, None).await?;
            return Err(LoginError::Blocked);
        };
        let token = dated(token, date, latest)?;
        if date > at.timestamp() {
            // After a revocation in this second the date is the next second, and until then a
            // verifier without leeway refuses the token. Wait for it.
            let ahead = (date * 1_000_000).saturating_sub_unsigned(self.store.clock.redis_micros());
            if (1..=2_000_000).contains(&ahead) {
                Box::pin(tokio::time::sleep(Duration::from_micros(
                    ahead.unsigned_abs(),
                )))
                .await;
            }
            let mark = recipient_tag(person, generation);
            Box::pin(self.still_bound(&person.app, &mark, &token))
                .await?
                .ok_or(Unavailable::Contended)?;
        }
        Ok(token)
    }

    /// How many seconds a token of the app is still valid. Its dates come from the clock of Redis,
    /// which may be behind.
    pub(super) fn expires_in(&self, issued: &Issued, now: DateTime<Utc>) -> u64 {
        let left = u64::try_from(issued.expires_at - now.timestamp().max(issued.issued_at))
            .unwrap_or_default();
        left.min(self.minter.ttl().as_secs())
    }

    /// The token that this minter may sign for the client. It is dated like that of a login. Clients
    /// verify tokens with third-party libraries, some of which refuse an `iat` that is ahead of
    /// their clock. So if the clock of Redis is ahead, the token is dated with this
    /// machine's second, unless a revocation covers that second. With `WXMINT_SINGLE_SESSION` the
    /// clock of Redis counts even then, because the order of the dates decides which login stays
    /// valid, and one clock must make that order.
    pub async fn date_for_client(
        &self,
        ClientId(client): &ClientId,
        minter: &Minter,
        admission: &Admission,
        now: DateTime<Utc>,
    ) -> Result<Issued> {
        let Admission {
            exchanged, bound, ..
        } = admission;
        let app = &exchanged.person.app;
        let id = minter.token_id(&client_tag(client), now)?;
        let logged_in_at = exchanged.at.timestamp();
        let at = if self.single_session {
            exchanged.at
        } else {
            exchanged.at.min(now)
        };
        let mut token = minter.issued(bound.user.clone(), client.clone(), id, at);
        let latest = latest(now, token.expires_at);
        let of_app = Issued {
            app: app.clone(),
            ..token.clone()
        };
        let dates =
            [&of_app, &token].map(|token| self.store.revocations.date_of_client(token, latest));
        let dates = try_join_all(dates)
            .await?
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(LoginError::Blocked)?;
        let date = dates.into_iter().max().unwrap_or(token.issued_at);
        // A revocation written since the login applies to it. A revocation dated in the future
        // predates a clock step.
        if date > logged_in_at && date <= (self.store.clock.redis_micros() / 1_000_000) as i64 + 1 {
            return Err(Unavailable::Contended.into());
        }
        token = dated(token, date, latest)?;
        // A revocation of the app's tokens finds this note, and then covers the token. A revocation
        // between the login and the note does not, so it is looked for below. An unbinding first
        // removes the binding and then revokes the noted tokens: either the check below finds the
        // binding gone, or the unbinding finds the note.
        self.store.client_tokens.note(&token, app).await?;
        let dated = match self.single_session {
            true => self
                .store
                .revocations
                .revoke_earlier(&token, token.issued_at)
                .await?
                .ok_or(LoginError::Blocked)?,
            false => token.issued_at,
        };
        let is_alive = dated == token.issued_at
            && self
                .still_bound(app, &admission.mark(), &token)
                .await?
                .is_some();
        if is_alive {
            Ok(token)
        } else {
            Err(Unavailable::Contended.into())
        }
    }

    /// The binding with this tag, under which a client's token was issued. `None` if the binding is
    /// gone, or if the token or the tokens of the app have been revoked since.
    pub async fn still_bound(
        &self,
        app: &AppId,
        mark: &str,
        token: &Issued,
    ) -> Result<Option<Bound>, StoreError> {
        let of_app = Issued {
            app: app.clone(),
            ..token.clone()
        };
        let state = self.store.revocations.token_state(&of_app).await?;
        let of_client = self.store.revocations.token_state(token).await?;
        let (TokenState::People(people), TokenState::People(_)) = (state, of_client) else {
            return Ok(None);
        };
        if self.minter.has_revoked_all(token, &client_tag(&token.app)) {
            return Ok(None);
        }
        if mark == OF_COMPUTED {
            return Ok(Some(Bound::computed(token.user.clone())));
        }
        let own = people
            .into_iter()
            .find(|(person, generation)| recipient_tag(person, *generation) == mark);
        let Some((person, generation)) = own else {
            return Ok(None);
        };
        let BindingState::Bound(bound) = self.store.bindings.state(&person).await? else {
            return Ok(None);
        };
        Ok(Some(bound).filter(|bound| {
            bound.generation == generation && bound.user == token.user && !bound.blocked
        }))
    }
}

/// Identifies a binding. Its parts are separated by colons, which neither an AppID nor an openid
/// can hold.
pub(super) fn binding_tag(person: &Person, generation: Generation) -> String {
    format!("{}:{}:{generation}", person.app, person.openid.as_str())
}

/// The latest `iat` that verifiers accept at `now` and that is before the token's `exp`, in seconds
/// since 1970.
pub(super) fn latest(now: DateTime<Utc>, expires_at: i64) -> i64 {
    (now + MAX_LEEWAY).timestamp().min(expires_at - 1)
}

/// The token with the `iat` that the store chose. Fails if that is later than `latest`.
pub(super) fn dated(token: Issued, date: i64, latest: i64) -> Result<Issued> {
    let wait = Duration::from_secs(u64::try_from(date - latest).unwrap_or_default());
    if wait.is_zero() {
        Ok(Issued {
            issued_at: date,
            ..token
        })
    } else {
        Err(LoginError::RevokedAhead(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_minute_ahead_of_this_machine_at_most_and_before_exp_which_it_does_not_move() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("a date");
        assert_eq!((latest(at(100), 700), latest(at(100), 110)), (160, 109));
        let token = Issued {
            user: "u1".parse().expect("an id"),
            app: "wx1".parse().expect("an AppID"),
            id: "a".parse().expect("an id"),
            issued_at: 100,
            expires_at: 700,
        };
        for date in [100, 160] {
            assert_eq!(
                dated(token.clone(), date, 160).ok(),
                Some(Issued {
                    issued_at: date,
                    ..token.clone()
                })
            );
        }
        assert!(
            matches!(dated(token, 161, 160), Err(LoginError::RevokedAhead(wait)) if wait == Duration::from_secs(1))
        );
    }
}
