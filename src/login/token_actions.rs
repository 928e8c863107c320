//! Requests of a person with a token. The token alone decides whose session key is used: it acts on
//! the binding under which it was issued, and nothing else in a request names a person.

use wxmint_ids::{Person, UserId};
use wxmint_keys::token::{Issued, Minter};
use wxmint_store::{
    AttemptId, Bindings, Generation, RateLimitKey, Revocations, Sessions, TokenState, short_digest,
};
use wxmint_verify::{Claims, Verified};

use super::bind::Bind;
use super::issuance::binding_tag;
use super::limits::{LOGOUTS, UNBINDINGS};
use super::{DesertedUsers, LoginLimits, OPENID, TokenActionError, UserIds, is_of_client};

/// The person and user of a valid token, for one request.
pub struct TokenHolder {
    pub person: Person,
    /// The generation of the binding that the token was issued under.
    pub(super) generation: Generation,
    pub user: UserId,
    pub(super) attempt: AttemptId,
}

/// Requests of whoever holds a token.
#[derive(Clone, Copy)]
pub struct TokenActions<'a> {
    pub(super) revocations: &'a Revocations,
    pub(super) bindings: &'a Bindings,
    pub(super) sessions: &'a Sessions,
    pub(super) minter: &'a Minter,
    pub(super) ids: &'a UserIds,
    pub(super) limits: LoginLimits<'a>,
    pub(super) bind: Bind<'a>,
    pub(super) deserted_users: DesertedUsers<'a>,
}

impl TokenActions<'_> {
    /// Finds the person to whom the token was issued. Refuses a revoked token, and a token whose
    /// binding is gone.
    pub async fn token_holder(
        &self,
        token: &Verified<Claims>,
    ) -> Result<TokenHolder, TokenActionError> {
        let state = self.revocations.token_state(&issued(token)).await?;
        self.token_holder_in(token, state)
    }

    fn token_holder_in(
        &self,
        token: &Verified<Claims>,
        state: TokenState,
    ) -> Result<TokenHolder, TokenActionError> {
        let found = match state {
            TokenState::People(people) if people.is_empty() && is_of_client(self.minter, token) => {
                return Err(TokenActionError::ClientTokenNotAllowed);
            }
            TokenState::People(_) if self.ids.are_unlisted() => {
                return Err(TokenActionError::NotListed);
            }
            TokenState::People(people) => self
                .own(token, people)
                .ok_or("the binding that it was issued under is gone"),
            TokenState::Revoked { .. } => Err("it was logged out, or its binding was dissolved"),
            TokenState::RevokedWithUser { .. } => Err("its user was logged out everywhere"),
        };
        let (person, generation) = found.map_err(|reason| {
            bounded!(
                info,
                reason,
                reason,
                user = token.user.as_str(),
                "token refused"
            );
            TokenActionError::TokenRevoked
        })?;
        Ok(TokenHolder {
            person,
            generation,
            user: token.user.clone(),
            attempt: AttemptId::random(),
        })
    }

    /// The one of the user's people in the app to whom the token was issued.
    fn own(
        &self,
        token: &Verified<Claims>,
        people: Vec<(Person, Generation)>,
    ) -> Option<(Person, Generation)> {
        let is_of = |person: &Person, generation| {
            self.minter
                .is_marked(&token.id, &binding_tag(person, generation))
        };
        // A person who was bound to the computed user later is listed with the generation of that
        // binding, although the token names `Computed`.
        people.into_iter().find(|(person, generation)| {
            is_of(person, *generation) || is_of(person, Generation::Computed)
        })
    }

    /// Revokes a token, or all of the user's tokens, and deletes the session keys: the token's own,
    /// unless a later login of the person has replaced it, or all. May be repeated with the same
    /// token; after a complete request, a repetition costs one look-up. Sets `person` to the person
    /// to whom the token was issued, if that is still known.
    pub async fn log_out(
        &self,
        token: &Verified<Claims>,
        everywhere: bool,
        person: &mut Option<Person>,
    ) -> Result<(), TokenActionError> {
        let issued = issued(token);
        match self.revocations.token_state(&issued).await? {
            TokenState::Revoked { .. } if everywhere => return Err(TokenActionError::TokenRevoked),
            TokenState::Revoked { published: true }
            | TokenState::RevokedWithUser { published: true } => {
                return Ok(());
            }
            // A repetition of a request that failed.
            TokenState::Revoked { .. } | TokenState::RevokedWithUser { .. } => {}
            TokenState::People(people) => {
                *person = self.own(token, people).map(|(person, _)| person);
                let is_theirs =
                    person.is_some() || self.ids.need_no_list() || is_of_client(self.minter, token);
                if everywhere && !is_theirs {
                    return Err(TokenActionError::TokenRevoked);
                }
                match person {
                    Some(own) => {
                        self.limits.count_call(own, LOGOUTS).await?;
                        self.sessions
                            .delete_keys(own, Some(issued.issued_at))
                            .await?;
                    }
                    // A client's token names only the user. Each client has its own count, so that
                    // no client uses up the user's logouts at another one.
                    None => {
                        let whose = short_digest(&format!("{} {}", token.app, token.user.as_str()))
                            .to_string();
                        self.limits
                            .count(
                                &RateLimitKey::new(LOGOUTS, whose, self.limits.policy.limit_openid),
                                OPENID,
                            )
                            .await?;
                    }
                }
                if everywhere {
                    self.sessions
                        .delete_keys_of(&token.user, None, None)
                        .await?;
                }
            }
        }
        match everywhere {
            true => Ok(self
                .revocations
                .revoke_user(&issued.user, Some(issued.issued_at))
                .await?),
            false => Ok(self.revocations.revoke_token(&issued).await?),
        }
    }

    /// Removes the binding under which the token was issued, deletes its session key, and revokes
    /// the user's tokens of the app.
    ///
    /// A repetition after a failure goes on where the first request stopped, even if that had
    /// already revoked the token itself: then the user's list still names the token's binding as
    /// unlisted, and the person has no other binding. A computed binding is on no list by then.
    /// All that is known is that its revocation has yet to reach verifiers.
    pub async fn unbind(
        &self,
        token: &Verified<Claims>,
        whom: &mut Option<Person>,
    ) -> Result<(), TokenActionError> {
        let user = &token.user;
        let app = &token.app;
        let mut state = self.revocations.token_state(&issued(token)).await?;
        if matches!(state, TokenState::Revoked { .. }) {
            state = match self.own(token, self.bindings.unbound_people(user, app).await?) {
                Some(own) if self.bindings.find(&own.0).await?.is_none() => {
                    TokenState::People(vec![own])
                }
                _ if self.ids.need_no_list()
                    && self.revocations.finish_revocation_in_app(user, app).await? =>
                {
                    return Ok(());
                }
                _ => state,
            };
        }
        let is_alive = matches!(state, TokenState::People(_));
        let holder = self.token_holder_in(token, state);
        if is_alive
            && self.ids.need_no_list()
            && matches!(holder, Err(TokenActionError::TokenRevoked))
        {
            // The user's list was lost, and with it the person whose session key this is.
            return Ok(self.revocations.revoke_in_app(user, app).await?);
        }
        let TokenHolder {
            person,
            generation,
            attempt,
            ..
        } = holder?;
        *whom = Some(person.clone());
        let permit = async || {
            self.limits
                .count_call(&person, UNBINDINGS)
                .await
                .map_err(TokenActionError::from)
        };
        if self
            .bind
            .binder(&person, None, &attempt)
            .unbind_if(user, generation, permit)
            .await?
            && let Err(error) = self.deserted_users.expire(user, app).await
        {
            tracing::warn!(%error, "the list of a user who has nobody left stays");
        }
        Ok(())
    }
}

/// The claims by which a token can be revoked.
pub fn issued(token: &Verified<Claims>) -> Issued {
    Issued {
        user: token.user.clone(),
        app: token.app.clone(),
        id: token.id.clone(),
        issued_at: token.issued_at.timestamp(),
        expires_at: token.expires_at.timestamp(),
    }
}
