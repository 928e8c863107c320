//! The steps of each login, in their order: its app, its credentials, whether its user may log in,
//! its token's date.

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, ClientId, Person, TokenId, UnionId, UserId};
use wxmint_keys::token::{ExtraClaims, Issued};
use wxmint_store::{
    AttemptId, BindingState, Bound, ExchangedKey, Generation, RateLimitKey, StoreError,
    short_digest,
};
use wxmint_verify::MAX_LEEWAY;
use wxmint_wechat::App;

use super::{
    CodeExchanger, IP, Identity, LoginError, LoginWorker, Result, USERNAME,
    client_tokens::recipient_tag, worker::NAMES,
};
use crate::accounts::{Accepts, Named, Password, Username};
use crate::apps::Apps;

/// The facts about a login, for its audit event. They are filled in step by step, so that a refused
/// login has those that were found before its refusal.
#[derive(Debug, Default)]
pub struct AuditContext {
    pub app: Option<AppId>,
    pub person: Option<Person>,
    /// The client that gets the token in place of the app.
    pub client: Option<ClientId>,
    pub user: Option<UserId>,
    /// `Some` if this login bound the person: whether it also created the user.
    pub bound: Option<bool>,
}

/// A login in progress: its sender, its time, and the facts that were found so far.
pub struct Attempt<'a> {
    pub(crate) id: AttemptId,
    /// The client's address, by which logins are limited.
    pub(crate) address: &'a str,
    pub(crate) audit_context: &'a mut AuditContext,
    pub(crate) now: DateTime<Utc>,
}

/// The person whom WeChat has named, and the state of the person's binding.
pub(super) struct ExchangedLogin {
    pub(super) person: Person,
    pub(super) unionid: Option<UnionId>,
    pub(super) state: BindingState,
    /// The code's session key.
    pub(super) key: ExchangedKey,
    /// The generation of the binding under which the session key is stored already; `None` if it is
    /// not stored yet.
    pub(super) kept_for: Option<Generation>,
    /// When the code was claimed or the ticket redeemed, by the store's clock.
    pub(super) at: DateTime<Utc>,
    /// Whether a revocation may cover a token that is dated `at`.
    pub(super) may_be_ended: bool,
}

impl ExchangedLogin {
    pub(super) fn bound(&self) -> Option<&Bound> {
        if let BindingState::Bound(bound) = &self.state {
            Some(bound)
        } else {
            None
        }
    }
}

/// Whether a login without credentials needs no further step: [`Binder::link`](super::Binder::link)
/// would ask the store nothing, and answer [`UnionIdLink::Known`](super::UnionIdLink::Known).
pub(super) fn is_settled(bound: &Bound, unionid: Option<&UnionId>) -> bool {
    let is_linked = unionid.is_none_or(|unionid| bound.unionid.as_ref() == Some(unionid));
    is_linked && !bound.shared && bound.conflict.is_none() && !bound.blocked
}

/// A login that has passed all checks: the person may have a token, for the app or for a client.
pub struct Admitted {
    pub(super) exchanged: ExchangedLogin,
    pub(super) bound: Bound,
    /// The claims of the account backend.
    pub extra: ExtraClaims,
}

impl LoginWorker {
    /// Refuses credentials that the account backend does not accept, because a password that is
    /// silently ignored would surprise the client.
    pub(super) fn check_accepted(&self, identity: &Identity) -> Result<()> {
        let accepts = self.accounts.accepts();
        match identity {
            Identity::Password(..) if accepts == Accepts::Nothing => {
                Err(LoginError::NotAccepted("password"))
            }
            Identity::Phone(_) if accepts != Accepts::PasswordsAndPhones => {
                Err(LoginError::NotAccepted("phone_code"))
            }
            _ => Ok(()),
        }
    }

    /// Chooses by [`Apps::choose`]. An app is not called unknown as long as some apps have not been
    /// read.
    pub(crate) fn choose<'a>(
        &self,
        apps: &'a Apps,
        wanted: Option<&AppId>,
        hint: Option<&AppId>,
    ) -> Result<&'a App> {
        apps.choose(wanted, hint).map_err(|unknown| {
            // If several apps are known, the client must name one, whatever apps are still unread.
            let may_be_unread = wanted.or(hint).is_some() || apps.iter().nth(1).is_none();
            let exchange = self.exchange.as_ref().filter(|_| may_be_unread);
            exchange
                .and_then(|exchange| exchange.apps_are_unread())
                .unwrap_or_else(|| unknown.into())
        })
    }

    /// Notes the lifetime of this process's tokens in the store, so that revocations are kept
    /// longer than the tokens live.
    pub(crate) async fn note_life(&self) -> Result<(), StoreError> {
        self.store.note_life(self.minter.ttl()).await
    }

    /// The exchanger that acts for the app; `None` for an app that has an AppSecret.
    pub fn exchange_of(&self, app: &App) -> Option<&dyn CodeExchanger> {
        self.exchange.as_deref().filter(|_| app.secret.is_none())
    }

    pub(super) fn meter_of(&self, address: &str) -> RateLimitKey {
        RateLimitKey::new(IP, address, self.policy.limit_ip)
    }

    /// Checks the credentials. This happens after WeChat has accepted the code, so that each guess
    /// costs a fresh code. Returns the claims too: they are asked for before the binding is made,
    /// because a user who may not log in must not be bound.
    pub(super) async fn identify(
        &self,
        exchanged: &ExchangedLogin,
        identity: Identity,
        attempt: &mut Attempt<'_>,
    ) -> Result<Option<(Named, ExtraClaims)>> {
        let named = match identity {
            Identity::Nothing => return Ok(None),
            Identity::Password(name, password) => {
                self.check_password(&exchanged.person, &name, &password, attempt.address)
                    .await?
            }
            Identity::Phone(code) => {
                let phone = Box::pin(self.phone_of(&exchanged.person, &code)).await?;
                self.accounts
                    .user_of_phone(&phone)
                    .await?
                    .ok_or(LoginError::PhoneRefused)?
            }
        };
        attempt
            .audit_context
            .user
            .get_or_insert_with(|| named.user.clone());
        let claims = self.claims_of(&named.user).await?;
        Ok(Some((named, claims)))
    }

    /// Each attempt is counted before the password is checked, so that parallel attempts are all
    /// counted. Only a wrong password stays counted.
    async fn check_password(
        &self,
        person: &Person,
        name: &Username,
        password: &Password,
        from: &str,
    ) -> Result<Named> {
        let digest = short_digest(&name.folded()).to_string();
        let meter = RateLimitKey::of_person(person, NAMES, &digest, self.policy.limit_username);
        let counted = self
            .store
            .count(&meter)
            .await
            .map_err(LoginError::of_limit(USERNAME))?;
        let checked = self.accounts.check_password(name, password, from).await;
        if !matches!(checked, Ok(None)) {
            self.store.uncount(&meter, counted).await?;
        }
        checked?
            .map(|user| Named { user, made: false })
            .ok_or(LoginError::InvalidCredentials)
    }

    /// Returns the claims that the account backend adds to the token: the `known` ones, if they
    /// were already asked for. Refuses a user who is blocked, or whom the account backend does not
    /// let log in any more.
    pub(crate) async fn allow(
        &self,
        bound: &Bound,
        known: Option<ExtraClaims>,
    ) -> Result<ExtraClaims> {
        if bound.blocked {
            tracing::info!(user = bound.user.as_str(), "the user is blocked");
            return Err(LoginError::Blocked);
        }
        if let Some(claims) = known {
            Ok(claims)
        } else {
            self.claims_of(&bound.user).await
        }
    }

    async fn claims_of(&self, user: &UserId) -> Result<ExtraClaims> {
        self.accounts.check_login(user).await?.ok_or_else(|| {
            tracing::info!(
                user = user.as_str(),
                "the account backend does not let this user log in"
            );
            LoginError::AccountDenied
        })
    }

    /// Dates the token with the second of the login. If a revocation of the user covers that
    /// second, the first later second that none covers is used. With `WXMINT_SINGLE_SESSION` this
    /// revokes the earlier tokens.
    ///
    /// Verifiers accept an `iat` at most one minute ahead of their clocks; this machine's clock
    /// stands for theirs. The `exp` is computed from the second of the login even if the `iat` is
    /// later, because revocations are kept no longer than such a token lives. A later `iat` means
    /// that something was revoked, perhaps with the binding itself, so the binding is looked up
    /// again.
    pub(super) async fn date(
        &self,
        exchanged: &ExchangedLogin,
        (user, generation): (UserId, Generation),
        id: TokenId,
        new_user: bool,
        now: DateTime<Utc>,
    ) -> Result<Issued> {
        let ExchangedLogin {
            person,
            at,
            may_be_ended,
            ..
        } = exchanged;
        let token = self.minter.issued(user, person.app.clone(), id, *at);
        let latest = latest(now, token.expires_at);
        if token.issued_at > latest {
            let seconds = token.issued_at - now.timestamp();
            return Err(StoreError::ClockAhead { seconds }.into());
        }
        if token.expires_at <= now.timestamp() {
            return Err(StoreError::ClockBehind.into());
        }
        let date = match self.policy.single_session {
            true => self.store.revoke_earlier(&token, latest).await?,
            // A user whom this login has created has no revocations.
            false if *may_be_ended && !new_user => {
                self.store.date_token(person, &token, latest).await?
            }
            false => Some(token.issued_at),
        };
        let Some(date) = date else {
            // A failover may have lost the block in the person's record. Without a session, the
            // next login comes to this check again.
            self.store.forget(person, None).await?;
            return Err(LoginError::Blocked);
        };
        let token = dated(token, date, latest)?;
        if date > at.timestamp() {
            // After a revocation in this second the date is the next second, and until then a
            // verifier without leeway refuses the token. Wait for it.
            let ahead = (date * 1_000_000).saturating_sub_unsigned(self.store.now_micros());
            if (1..=2_000_000).contains(&ahead) {
                Box::pin(tokio::time::sleep(Duration::from_micros(
                    ahead.unsigned_abs(),
                )))
                .await;
            }
            let mark = recipient_tag(person, generation);
            Box::pin(self.still_bound(&person.app, &mark, &token))
                .await?
                .ok_or(LoginError::Contended)?;
        }
        Ok(token)
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
        Err(LoginError::EndedAhead(wait))
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
            matches!(dated(token, 161, 160), Err(LoginError::EndedAhead(wait)) if wait == Duration::from_secs(1))
        );
    }
}
