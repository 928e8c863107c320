//! The phone's side: the person looks at what a page asks for, and says yes or no.

use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, Person, UserCode};
use wxmint_store::{Admission, Approver, BindingState, Decided, DeviceRequest, FoundDevice, Grant, Issued, TokenState};

use super::super::{
    Asking, BindError, Entrant, LoginError, LoginRequest, LoginTrail, LoginWorker, worker::new_attempt,
};
use super::{DeviceError, LOOKS, TRIES, mark_of_client, of_request};
use crate::clients::{Client, Clients};

/// A phone sends this to approve a request.
pub struct Approval<'a> {
    pub code: &'a UserCode,
    /// As in a login.
    pub login: LoginRequest,
    /// The number that the person has chosen.
    pub number: Option<String>,
    /// The owner of the token that it shows, if it shows one.
    pub asking: Option<&'a Asking>,
    /// The phone's address, as limits count it.
    pub address: &'a str,
}

/// The phone's side.
impl LoginWorker {
    /// Shows a request to the person whose phone has scanned its code.
    /// `client` becomes the page's, also if the person may not see the request.
    pub async fn look_at(
        &self,
        asking: &Asking,
        code: &UserCode,
        client: &mut Option<AppId>,
    ) -> Result<FoundDevice, DeviceError> {
        self.count_call(&asking.person, LOOKS).await?;
        let found = self.store.find_device(code, Some(&asking.person.app)).await?;
        let found = found.filter(|found| found.approver.is_none()).ok_or(DeviceError::Gone)?;
        *client = Some(found.request.client.clone());
        if found.request.app == asking.person.app { Ok(found) } else { Err(DeviceError::NotYours) }
    }

    pub async fn deny(&self, asking: &Asking, code: &UserCode, client: &mut Option<AppId>) -> Result<(), DeviceError> {
        self.look_at(asking, code, client).await?;
        if self.store.deny_device(code).await? { Ok(()) } else { Err(DeviceError::Gone) }
    }

    /// Logs the person in, and grants the token to the page. A person who has approved a request may repeat it, because
    /// answers are lost.
    pub async fn approve(
        &self,
        approval: Approval<'_>,
        clients: &Clients,
        trail: &mut LoginTrail,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let Approval { code, login, number, asking, address } = approval;
        self.count_approval(asking, address, trail).await?;
        let found = self.store.find_device(code, None).await?.ok_or(DeviceError::Gone)?;
        trail.client = Some(found.request.client.clone());
        let client = of_request(clients, &found.request).ok_or(DeviceError::Gone)?;
        let DeviceRequest { app, numbers, .. } = found.request;
        if asking.is_some_and(|asking| asking.person.app != app)
            || login.app.as_ref().is_some_and(|wanted| *wanted != app)
        {
            return Err(DeviceError::NotYours);
        }
        if let (Some(approver), Some(asking)) = (&found.approver, asking) {
            return if *approver == Approver::of(&asking.person) { Ok(()) } else { Err(DeviceError::Gone) };
        }
        if found.approver.is_none() && numbers.is_some() && number.is_none() {
            return Err(DeviceError::NoNumber);
        }
        let attempt = new_attempt()?;
        let login = LoginRequest { app: Some(app), ..login };
        let entrant = self.let_in(login, &attempt, address, trail, now).await?;
        if asking.is_some_and(|asking| asking.person != entrant.arrival.person) {
            return Err(DeviceError::NotYours);
        }
        let person = Approver::of(&entrant.arrival.person);
        match self.store.claim_device(code, &person, number.as_deref()).await? {
            Decided::Claimed => {}
            Decided::Approved => return Ok(()),
            Decided::WrongNumber => return Err(DeviceError::WrongNumber),
            Decided::Gone => return Err(DeviceError::Gone),
        }
        let grant = self.grant(client, entrant, now).await?;
        let approved = self.store.approve_device(code, &person, &grant).await?;
        // Otherwise the page has just fetched the token of the same person's approval before this one, or somebody has
        // denied.
        let is_done = approved || self.store.claim_device(code, &person, number.as_deref()).await? == Decided::Approved;
        if is_done { Ok(()) } else { Err(DeviceError::Gone) }
    }

    /// Counts first of all, because whoever asks learns whether there is such a request.
    async fn count_approval(
        &self,
        asking: Option<&Asking>,
        address: &str,
        trail: &mut LoginTrail,
    ) -> Result<(), LoginError> {
        let Some(Asking { person, user, .. }) = asking else {
            return self.count_by(TRIES, address).await;
        };
        (trail.app, trail.person, trail.user) = (Some(person.app.clone()), Some(person.clone()), Some(user.clone()));
        self.count_call(person, LOOKS).await
    }

    /// The token that the client may fetch, dated with this login.
    async fn grant(&self, client: &Client, entrant: Entrant, now: DateTime<Utc>) -> Result<Grant, LoginError> {
        let (Entrant { arrival, bound, extra }, minter) = (entrant, self.minter_of(client));
        let id = minter.token_id(&mark_of_client(&client.id), now)?;
        let life = minter.life(arrival.at);
        let token =
            Issued { user: bound.user, app: client.id.clone(), id, issued_at: life.start, expires_at: life.end };
        self.note(&arrival.person, bound.generation, &token).await?;
        let claims = serde_json::to_string(&extra).expect("a map of JSON values is JSON");
        Ok(Grant { token, claims })
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
        let is_admitted = matches!(state, TokenState::People(people) if people.contains(&own));
        let is_alive = dated == token.issued_at && matches!(of_client, TokenState::People(_));
        if is_bound && is_admitted && is_alive { Ok(()) } else { Err(BindError::Contended.into()) }
    }
}
