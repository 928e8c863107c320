//! Dates the token of a login.

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_ids::{TokenId, UserId};
use wxmint_keys::token::Issued;
use wxmint_store::StoreError;
use wxmint_verify::MAX_LEEWAY;

use super::{Arrival, LoginError, LoginWorker, recipient::mark_told};

impl LoginWorker {
    /// Dates the token with the second of the login, or with the first one after it that no end of the user names. With
    /// `WXMINT_ONE_LOGIN` this ends the earlier tokens.
    ///
    /// Verifiers accept a token that is dated a minute ahead of their clocks at most, and this machine's stands for
    /// them. It expires as if it were dated with the login, because ends are kept no longer than such a token lives.
    /// A later date follows an end, which may be that of the binding itself.
    pub(super) async fn date(
        &self,
        arrival: &Arrival,
        (user, generation): (UserId, u64),
        id: TokenId,
        new_user: bool,
        now: DateTime<Utc>,
    ) -> Result<Issued, LoginError> {
        let Arrival { person, at, may_be_ended, .. } = arrival;
        // Where no list tells of a login, no end knows whether Redis was ahead then: this machine's clock counts.
        let at = if self.ids.are_unlisted() && !self.policy.one_login { now.min(*at) } else { *at };
        let token = self.minter.issued(user, person.app.clone(), id, at);
        let latest = latest(now, token.expires_at);
        if token.issued_at > latest || token.expires_at <= now.timestamp() {
            let wrong = if token.issued_at > latest { "more than a minute ahead" } else { "behind by a token's life" };
            return Err(StoreError { reason: format!("the clock of Redis is {wrong}: set it by NTP") }.into());
        }
        let date = match self.policy.one_login {
            true => self.store.end_earlier(&token, latest).await?.ok_or(LoginError::Blocked)?,
            // Nothing has ended the tokens of a user whom this login has made. `may_be_ended` is said of Redis' second.
            false if (*may_be_ended || at.timestamp() < arrival.at.timestamp()) && !new_user => {
                self.store.date_token(person, &token, latest).await?.ok_or(LoginError::Blocked)?
            }
            false => token.issued_at,
        };
        let token = dated(token, date, latest)?;
        if date > at.timestamp() {
            let mark = mark_told(person, generation);
            Box::pin(self.still_bound(&person.app, &mark, &token)).await?.ok_or(LoginError::Contended)?;
        }
        Ok(token)
    }
}

/// The latest second that verifiers accept, and before the token's `exp`.
pub(super) fn latest(now: DateTime<Utc>, expires_at: i64) -> i64 {
    (now + MAX_LEEWAY).timestamp().min(expires_at - 1)
}

pub(super) fn dated(token: Issued, date: i64, latest: i64) -> Result<Issued, LoginError> {
    let wait = Duration::from_secs(u64::try_from(date - latest).unwrap_or_default());
    if wait.is_zero() { Ok(Issued { issued_at: date, ..token }) } else { Err(LoginError::EndedAhead(wait)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_minute_ahead_of_this_machine_at_most_and_before_exp_which_it_does_not_move() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("a date");
        assert_eq!((latest(at(100), 700), latest(at(100), 110)), (160, 109));
        let [app, id, user] = ["wx1", "a", "u1"];
        let (app, id, user) =
            (app.parse().expect("an AppID"), id.parse().expect("an id"), user.parse().expect("an id"));
        let token = Issued { user, app, id, issued_at: 100, expires_at: 700 };
        for date in [100, 160] {
            assert_eq!(dated(token.clone(), date, 160).ok(), Some(Issued { issued_at: date, ..token.clone() }));
        }
        assert!(matches!(dated(token, 161, 160), Err(LoginError::EndedAhead(wait)) if wait == Duration::from_secs(1)));
    }
}
