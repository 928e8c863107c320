//! Tokens that are issued to a client in place of the app. Its holder can log out with such a token, and nothing else
//! here.

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, ClientId, Person};
use wxmint_keys::token::{ExtraClaims, Minter, SignedToken};
use wxmint_store::{Admission, BindingState, COMPUTED, Issued, TokenState};
use wxmint_verify::{Claims, Verified};

use super::{Admitted, BindError, LoginError, LoginWorker};

/// The client that a token is issued to.
pub struct Recipient<'a> {
    pub client: &'a ClientId,
    /// Empty: that of the settings.
    pub audience: &'a [String],
    /// `None`: that of the settings.
    pub token_ttl: Option<Duration>,
}

impl Admitted {
    pub fn person(&self) -> &Person {
        &self.arrival.person
    }

    pub fn claims(&self) -> &ExtraClaims {
        &self.extra
    }
}

impl LoginWorker {
    /// The token that the recipient may have signed, dated with this login.
    pub async fn issue(
        &self,
        recipient: &Recipient<'_>,
        admitted: &Admitted,
        now: DateTime<Utc>,
    ) -> Result<Issued, LoginError> {
        let (Admitted { arrival, bound, .. }, minter) = (admitted, self.minter_of(recipient));
        let id = minter.token_id(&mark_of_client(&recipient.client.0), now)?;
        let life = minter.life(arrival.at);
        let (user, app) = (bound.user.clone(), recipient.client.0.clone());
        let token = Issued { user, app, id, issued_at: life.start, expires_at: life.end };
        self.note(&arrival.person, bound.generation, &token).await?;
        Ok(token)
    }

    /// Notes the token where ends of the app find it, and then looks whether one has come since the login: it may have
    /// come before the note. The token has the second of the login, so that every later end names it.
    ///
    /// An unbinding takes the binding away first and ends the noted tokens then, so one of the two is seen here or sees
    /// the note.
    async fn note(&self, person: &Person, generation: u64, token: &Issued) -> Result<(), LoginError> {
        self.store.note_client_token(token, &person.app).await?;
        let dated = match self.policy.one_login {
            true => self.store.end_earlier(token, token.issued_at).await?.ok_or(LoginError::Blocked)?,
            false => token.issued_at,
        };
        let of_app = Issued { app: person.app.clone(), ..token.clone() };
        let (state, of_client) = (self.store.token_state(&of_app).await?, self.store.token_state(token).await?);
        let binding = self.store.binding_state(person).await?;
        let is_bound = matches!(binding, BindingState::Bound(bound)
            if bound.generation == generation && bound.user == token.user && !bound.blocked);
        let own = Admission { person: person.clone(), generation };
        let is_admitted =
            matches!(state, TokenState::People(people) if generation == COMPUTED || people.contains(&own));
        let is_alive = dated == token.issued_at && matches!(of_client, TokenState::People(_));
        if is_bound && is_admitted && is_alive { Ok(()) } else { Err(BindError::Contended.into()) }
    }

    pub fn sign_for(
        &self,
        recipient: &Recipient<'_>,
        token: &Issued,
        claims: &ExtraClaims,
        now: DateTime<Utc>,
    ) -> Result<SignedToken, LoginError> {
        let Issued { user, app, id, issued_at, expires_at } = token;
        Ok(self.minter_of(recipient).mint(user, app, id, claims, *issued_at..*expires_at, now)?)
    }

    /// Signs the tokens of a client, which have its audience and its life.
    fn minter_of(&self, recipient: &Recipient<'_>) -> Minter {
        let audience = (!recipient.audience.is_empty()).then(|| recipient.audience.to_vec());
        self.minter.with(audience, recipient.token_ttl)
    }
}

/// Whether the token was issued to a client, which may be in its file no more.
pub fn is_of_client(minter: &Minter, token: &Verified<Claims>) -> bool {
    minter.is_marked(&token.id, &mark_of_client(&token.app))
}

/// The mark of the tokens of a client. No mark of a binding has a blank.
fn mark_of_client(client: &AppId) -> String {
    format!("client {client}")
}
