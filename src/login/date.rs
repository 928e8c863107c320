//! Dates the token of a login.

use std::{ops::Range, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_verify::MAX_LEEWAY;

use super::{Arrival, LoginError, LoginWorker};
use crate::{
    ids::{TokenId, UserId},
    store::Issued,
};

impl LoginWorker {
    /// Dates the token with the second of the login, or with the first one after it that no end of the user names. With
    /// `WXMINT_ONE_LOGIN` this ends the earlier tokens.
    ///
    /// Verifiers accept a token that is dated a minute ahead at most. It expires as if it were dated with the login, because ends
    /// are kept no longer than such a token lives.
    pub(super) async fn date(
        &self,
        arrival: &Arrival,
        user: UserId,
        id: TokenId,
        new_user: bool,
        now: DateTime<Utc>,
    ) -> Result<Issued, LoginError> {
        let Arrival { person, at, may_be_ended, .. } = arrival;
        let Range { start: issued_at, end: expires_at } = self.minter.life(*at);
        let token = Issued { user, app: person.app.clone(), id, issued_at, expires_at };
        let latest = ((*at).max(now) + MAX_LEEWAY).timestamp().min(expires_at - 1);
        let date = match self.policy.one_login {
            true => self.store.end_earlier(&token, latest).await?,
            // Nothing has ended the tokens of a user whom this login has made.
            false if *may_be_ended && !new_user => self.store.date_token(person, &token, latest).await?,
            false => issued_at,
        };
        match u64::try_from(date - latest) {
            Ok(seconds @ 1..) => Err(LoginError::EndedAhead(Duration::from_secs(seconds))),
            _ => Ok(Issued { issued_at: date, ..token }),
        }
    }
}
