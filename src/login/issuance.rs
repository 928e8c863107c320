//! Dates the token of a login.

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_ids::{Person, TokenId, UserId};
use wxmint_keys::token::Issued;
use wxmint_store::{Generation, StoreError};
use wxmint_verify::MAX_LEEWAY;

use super::client_tokens::recipient_tag;
use super::exchanged_login::ExchangedLogin;
use super::{LoginError, LoginWorker, Result};

impl LoginWorker {
    /// Notes the lifetime of this process's tokens in the store, so that revocations are kept
    /// longer than the tokens live.
    pub(crate) async fn note_life(&self) -> Result<(), StoreError> {
        self.store.note_life(self.minter.ttl()).await
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
