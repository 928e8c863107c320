//! Requests of a person with a token. The token alone decides whose session key is used: it acts on
//! the binding under which it was issued, and nothing else in a request names a person.

use wxmint_ids::{AppId, Person, Phone, PhoneCode, UserId};
use wxmint_keys::{token::Issued, vault::Sealed};
use wxmint_store::{AttemptId, Generation, RateLimitKey, StoreError, TokenState, short_digest};
use wxmint_verify::{Claims, Verified};
use wxmint_wechat::{ByToken, SessionKey};

use super::issuance::binding_tag;
use super::limits::{CHECK, LOGOUTS, PHONE, RESET, UNBINDINGS};
use super::{
    LoginError, LoginWorker, OPENID, Operator, Result, is_of_client, operator::release_unionid,
};
use crate::accounts::Accepts;

/// The person and user of a valid token, for one request.
pub struct TokenHolder {
    pub person: Person,
    /// The generation of the binding that the token was issued under.
    pub(super) generation: Generation,
    pub user: UserId,
    pub(super) attempt: AttemptId,
}

impl LoginWorker {
    /// Finds the person to whom the token was issued. Refuses a revoked token, and a token whose
    /// binding is gone.
    pub async fn token_holder(&self, token: &Verified<Claims>) -> Result<TokenHolder> {
        self.token_holder_in(token, self.store.token_state(&issued(token)).await?)
    }

    fn token_holder_in(&self, token: &Verified<Claims>, state: TokenState) -> Result<TokenHolder> {
        let found = match state {
            TokenState::People(people)
                if people.is_empty() && is_of_client(&self.minter, token) =>
            {
                return Err(LoginError::ClientTokenNotAllowed);
            }
            TokenState::People(_) if self.ids.are_unlisted() => return Err(LoginError::NotListed),
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
            LoginError::TokenRevoked
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

    /// The phone number that a `getPhoneNumber` code stands for, which must be the asking person's
    /// own.
    pub async fn phone_number(&self, holder: &TokenHolder, code: &PhoneCode) -> Result<Phone> {
        self.count_call(&holder.person, PHONE).await?;
        self.phone_of(&holder.person, code).await
    }

    /// Whether WeChat accepts the stored session key (`checksession`). False if none is stored.
    pub async fn session_holds(&self, holder: &TokenHolder) -> Result<bool> {
        let kept = self.store.session_keys(&holder.person).await?;
        let Some((key, sealed)) = self.current_key(&holder.person, &kept).await else {
            return Ok(false);
        };
        self.count_call(&holder.person, CHECK).await?;
        let check = async |by: ByToken<'_>| by.check_session(&holder.person.openid, &key).await;
        Ok(self
            .by_session_key(&holder.person, &sealed, check)
            .await?
            .is_some())
    }

    /// Has WeChat replace the session key (`resetusersessionkey`), and stores the new one.
    pub async fn reset_session(&self, holder: &TokenHolder) -> Result<()> {
        let TokenHolder {
            person,
            generation,
            attempt,
            ..
        } = holder;
        self.count_call(person, RESET).await?;
        let (keys, order) = self.open_session(holder).await?;
        // The new key is stored at once, because WeChat no longer accepts the old one.
        let replacing = async {
            let (old, stored) = self
                .current_key(person, &keys)
                .await
                .ok_or(LoginError::NothingToReset)?;
            let ask = async |by: ByToken<'_>| by.reset_session_key(&person.openid, &old).await;
            let new = self
                .by_session_key(person, &stored, ask)
                .await?
                .ok_or(LoginError::NothingToReset)?;
            let sealed = self.vault.load_full().seal(new.expose(), person);
            Ok(self
                .store
                .keep_session_key(person, *generation, &(order, sealed), None)
                .await?)
        };
        let replaced: Result<()> = replacing.await;
        self.store.close(person, attempt, false).await?;
        replaced
    }

    async fn current_key(&self, person: &Person, kept: &[Sealed]) -> Option<(SessionKey, Sealed)> {
        self.unseal(&self.vault.load_full(), kept.first()?, person)
            .await
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
    ) -> Result<()> {
        let issued = issued(token);
        match self.store.token_state(&issued).await? {
            TokenState::Revoked { .. } if everywhere => return Err(LoginError::TokenRevoked),
            TokenState::Revoked { told: true } | TokenState::RevokedWithUser { told: true } => {
                return Ok(());
            }
            // A repetition of a request that failed.
            TokenState::Revoked { .. } | TokenState::RevokedWithUser { .. } => {}
            TokenState::People(people) => {
                *person = self.own(token, people).map(|(person, _)| person);
                let is_theirs = person.is_some()
                    || self.ids.need_no_list()
                    || is_of_client(&self.minter, token);
                if everywhere && !is_theirs {
                    return Err(LoginError::TokenRevoked);
                }
                match person {
                    Some(own) => {
                        self.count_call(own, LOGOUTS).await?;
                        self.store.forget(own, Some(issued.issued_at)).await?;
                    }
                    // A client's token names only the user. Each client has its own count, so that
                    // no client uses up the user's logouts at another one.
                    None => {
                        let whose = short_digest(&format!("{} {}", token.app, token.user.as_str()))
                            .to_string();
                        self.count(
                            &RateLimitKey::new(LOGOUTS, whose, self.policy.limit_openid),
                            OPENID,
                        )
                        .await?;
                    }
                }
                if everywhere {
                    self.store.forget_keys(&token.user, None, None).await?;
                }
            }
        }
        match everywhere {
            true => Ok(self
                .store
                .revoke_user(&issued.user, Some(issued.issued_at))
                .await?),
            false => Ok(self.store.revoke_token(&issued).await?),
        }
    }

    /// Removes the binding under which the token was issued, deletes its session key, and revokes
    /// the user's tokens of the app.
    ///
    /// A repetition after a failure goes on where the first request stopped, even if that had
    /// already revoked the token itself: then the user's list still names the token's binding as
    /// dismissed, and the person has no other binding. A computed binding is on no list by then.
    /// All that is known is that its revocation has yet to reach verifiers.
    pub async fn unbind(&self, token: &Verified<Claims>, whom: &mut Option<Person>) -> Result<()> {
        let user = &token.user;
        let app = &token.app;
        let mut state = self.store.token_state(&issued(token)).await?;
        if matches!(state, TokenState::Revoked { .. }) {
            state = match self.own(token, self.store.dismissed(user, app).await?) {
                Some(own) if self.store.binding(&own.0).await?.is_none() => {
                    TokenState::People(vec![own])
                }
                _ if self.ids.need_no_list() && self.store.finish_end_in_app(user, app).await? => {
                    return Ok(());
                }
                _ => state,
            };
        }
        let is_alive = matches!(state, TokenState::People(_));
        let holder = self.token_holder_in(token, state);
        if is_alive && self.ids.need_no_list() && matches!(holder, Err(LoginError::TokenRevoked)) {
            // The user's list was lost, and with it the person whose session key this is.
            return Ok(self.store.revoke_in_app(user, app).await?);
        }
        let TokenHolder {
            person,
            generation,
            attempt,
            ..
        } = holder?;
        *whom = Some(person.clone());
        let permit = async || self.count_call(&person, UNBINDINGS).await;
        if self
            .binder(&person, None, &attempt)
            .dissolve(user, generation, permit)
            .await?
            && let Err(error) = self.abandon(user, app).await
        {
            tracing::warn!(%error, "the list of a user who has nobody left stays");
        }
        Ok(())
    }

    /// Deletes the notes of clients that have had tokens of a user through an app, once the user's
    /// last person has left the app, because an erasure does not find a computed user whom the
    /// person has left.
    ///
    /// Also lets the records of the user expire, if this service created the user, no people are
    /// left and the user is not blocked. Only a unionid could lead to this user again, so its link
    /// is deleted first.
    pub async fn abandon(&self, user: &UserId, app: &AppId) -> Result<(), StoreError> {
        Operator { store: &self.store }
            .forget_clients(user, app)
            .await?;
        let is_left = self.accounts.accepts() == Accepts::Nothing
            && self.store.people_of(user).await? == Some(Vec::new());
        if !is_left || self.store.user_state(user).await?.blocked {
            return Ok(());
        }
        for person in self.store.ever_of(user).await? {
            let left = self.store.left_by(&person).await?;
            for unionid in left
                .iter()
                .filter(|(of, _)| of == user)
                .flat_map(|(_, unionids)| unionids)
            {
                release_unionid(&self.store, unionid, user).await?;
            }
        }
        self.store.expire_list(user).await
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
