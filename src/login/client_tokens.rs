//! Tokens that are issued to a client in place of the app. At this issuer, such a token can only
//! log out.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use wxmint_ids::{AppId, ClientId, Person};
use wxmint_keys::token::{Issued, Minter};
use wxmint_store::{BindingState, Bound, Generation, TokenState, short_digest};
use wxmint_verify::{Claims, Verified};

use super::issuance::{binding_tag, dated, latest};
use super::{Admission, LoginError, LoginWorker, Result};

/// The tag of a person without a binding, because the user id is computed. An unbinding revokes the
/// user's tokens of the app, so there is no binding to look up.
const OF_COMPUTED: &str = "computed";

impl LoginWorker {
    /// The token that this minter may sign for the client, dated like that of a login.
    /// Clients verify tokens with third-party libraries, some of which refuse an `iat` that is
    /// ahead of their clock. So if the clock of Redis is ahead, the token is dated with this
    /// machine's second, unless a revocation covers that second. With `WXMINT_SINGLE_SESSION` the
    /// clock of Redis counts even then, because the order of the dates decides which login stays
    /// valid, and one clock must make that order.
    pub async fn issue(
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
        let at = if self.policy.single_session {
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
        let dates = [&of_app, &token].map(|token| self.store.date_of_client(token, latest));
        let dates = try_join_all(dates)
            .await?
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .ok_or(LoginError::Blocked)?;
        let date = dates.into_iter().max().unwrap_or(token.issued_at);
        // A revocation written since the login applies to it. A revocation dated in the future
        // predates a clock step.
        if date > logged_in_at && date <= (self.store.now_micros() / 1_000_000) as i64 + 1 {
            return Err(LoginError::Contended);
        }
        token = dated(token, date, latest)?;
        // A revocation of the app's tokens finds this note, and then covers the token. A revocation
        // between the login and the note does not, so it is looked for below. An unbinding first
        // removes the binding and then revokes the noted tokens: either the check below finds the
        // binding gone, or the unbinding finds the note.
        self.store.note_client_token(&token, app).await?;
        let dated = match self.policy.single_session {
            true => self
                .store
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
            Err(LoginError::Contended)
        }
    }

    /// The binding with this tag, under which a client's token was issued. `None` if the binding is
    /// gone, or if the token or the tokens of the app have been revoked since.
    pub async fn still_bound(
        &self,
        app: &AppId,
        mark: &str,
        token: &Issued,
    ) -> Result<Option<Bound>> {
        let of_app = Issued {
            app: app.clone(),
            ..token.clone()
        };
        let (state, of_client) = (
            self.store.token_state(&of_app).await?,
            self.store.token_state(token).await?,
        );
        let (TokenState::People(people), TokenState::People(_)) = (state, of_client) else {
            return Ok(None);
        };
        if self.minter.has_revoked_all(token, &client_tag(&token.app)) {
            return Ok(None);
        }
        if mark == OF_COMPUTED {
            return Ok(Some(Bound::computed(token.user.clone())));
        }
        let is_own = |(person, generation): &(Person, Generation)| {
            recipient_tag(person, *generation) == mark
        };
        let Some((person, generation)) = people.into_iter().find(is_own) else {
            return Ok(None);
        };
        let BindingState::Bound(bound) = self.store.binding_state(&person).await? else {
            return Ok(None);
        };
        Ok(Some(bound).filter(|bound| {
            bound.generation == generation && bound.user == token.user && !bound.blocked
        }))
    }
}

/// Whether the token was issued to a client, even one that its file no longer names.
pub fn is_of_client(minter: &Minter, token: &Verified<Claims>) -> bool {
    minter.is_marked(&token.id, &client_tag(&token.app))
}

/// The tag of a binding, for records that must not reveal the openid.
pub(super) fn recipient_tag(person: &Person, generation: Generation) -> String {
    match generation {
        Generation::Computed => OF_COMPUTED.into(),
        Generation::Numbered(_) => short_digest(&binding_tag(person, generation)).to_string(),
    }
}

/// The tag of a client's tokens. It has a space, so that it cannot be the tag of a binding.
pub fn client_tag(client: &AppId) -> String {
    format!("client {client}")
}
