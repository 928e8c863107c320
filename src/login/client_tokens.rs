//! Tokens that are issued to a client in place of the app. Its holder can log out with it, and nothing else here.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use wxmint_ids::{AppId, ClientId, Person, UserId};
use wxmint_keys::token::{Issued, Minter};
use wxmint_store::{BindingState, Bound, COMPUTED, TokenState, short_digest};
use wxmint_verify::{Claims, Verified};

use super::steps::{binding_tag, dated, latest};
use super::{Admitted, LoginError, LoginWorker, Result};

/// The mark of whoever has no binding, because the user was computed: what ends bindings ends the app's tokens.
const OF_COMPUTED: &str = "computed";

impl Admitted {
    pub fn person(&self) -> &Person {
        &self.exchanged.person
    }

    pub fn user(&self) -> &UserId {
        &self.bound.user
    }

    pub fn mark(&self) -> String {
        recipient_tag(&self.exchanged.person, self.bound.generation)
    }
}

impl LoginWorker {
    /// The token that the client may have signed by this minter, dated as that of a login is (`steps.rs`). Clients
    /// verify tokens by libraries of others, some of which refuse an `iat` that is ahead of their clock. So a Redis
    /// that is ahead dates it with this machine's second, unless an end names that. With `WXMINT_SINGLE_SESSION` it does
    /// not, because the order of dates decides which login is left, and one clock must make it.
    pub async fn issue(
        &self,
        ClientId(client): &ClientId,
        minter: &Minter,
        admitted: &Admitted,
        now: DateTime<Utc>,
    ) -> Result<Issued> {
        let Admitted { exchanged, bound, .. } = admitted;
        let app = &exchanged.person.app;
        let id = minter.token_id(&client_tag(client), now)?;
        let logged_in_at = exchanged.at.timestamp();
        let at = if self.policy.single_session { exchanged.at } else { exchanged.at.min(now) };
        let mut token = minter.issued(bound.user.clone(), client.clone(), id, at);
        let latest = latest(now, token.expires_at);
        let of_app = Issued { app: app.clone(), ..token.clone() };
        let dates = [&of_app, &token].map(|token| self.store.date_of_client(token, latest));
        let dates = try_join_all(dates).await?.into_iter().collect::<Option<Vec<_>>>().ok_or(LoginError::Blocked)?;
        let date = dates.into_iter().max().unwrap_or(token.issued_at);
        // An end since the login, or in its second, is meant for it. One that is ahead of the clock is of before.
        if date > logged_in_at && date <= (self.store.now_micros() / 1_000_000) as i64 + 1 {
            return Err(LoginError::Contended);
        }
        token = dated(token, date, latest)?;
        // Ends of the app find the note. One may have come between the login and the note; every later one names the
        // token. An unbinding takes the binding away first and ends the noted tokens then, so one of the two is seen
        // below or sees the note.
        self.store.note_client_token(&token, app).await?;
        let dated = match self.policy.single_session {
            true => self.store.revoke_earlier(&token, token.issued_at).await?.ok_or(LoginError::Blocked)?,
            false => token.issued_at,
        };
        let is_alive = dated == token.issued_at && self.still_bound(app, &admitted.mark(), &token).await?.is_some();
        if is_alive { Ok(token) } else { Err(LoginError::Contended) }
    }

    /// The binding with this mark, through which the token of a client was issued, if nothing has ended it, the token
    /// or the tokens of the app since.
    pub async fn still_bound(&self, app: &AppId, mark: &str, token: &Issued) -> Result<Option<Bound>> {
        let of_app = Issued { app: app.clone(), ..token.clone() };
        let (state, of_client) = (self.store.token_state(&of_app).await?, self.store.token_state(token).await?);
        let (TokenState::People(people), TokenState::People(_)) = (state, of_client) else { return Ok(None) };
        if self.minter.has_revoked_all(token, &client_tag(&token.app)) {
            return Ok(None);
        }
        if mark == OF_COMPUTED {
            return Ok(Some(Bound::computed(token.user.clone())));
        }
        let is_own = |(person, generation): &(Person, u64)| recipient_tag(person, *generation) == mark;
        let Some((person, generation)) = people.into_iter().find(is_own) else { return Ok(None) };
        let BindingState::Bound(bound) = self.store.binding_state(&person).await? else { return Ok(None) };
        Ok(Some(bound).filter(|bound| bound.generation == generation && bound.user == token.user && !bound.blocked))
    }
}

/// Whether the token was issued to a client, which may be in its file no more.
pub fn is_of_client(minter: &Minter, token: &Verified<Claims>) -> bool {
    minter.is_marked(&token.id, &client_tag(&token.app))
}

/// The mark of a binding for whoever keeps it: it does not tell the openid.
pub(super) fn recipient_tag(person: &Person, generation: u64) -> String {
    if generation == COMPUTED { OF_COMPUTED.into() } else { short_digest(&binding_tag(person, generation)).to_string() }
}

/// The mark of the tokens of a client. No mark of a binding has a blank.
pub fn client_tag(client: &AppId) -> String {
    format!("client {client}")
}
