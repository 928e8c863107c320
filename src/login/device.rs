//! Scan to log in: a page asks, the person's phone says yes, and the page has a token (RFC 8628). An approval is a login whose
//! token goes to another device.
//!
//! ```text
//! page                  wxmint                    phone
//!   │── who may come in? ─▶│                         │
//!   │◀─ device code, user code, number ──│           │
//!   │          (the phone scans the user code)       │
//!   │                      │◀── who asks? ───────────│
//!   │                      │◀── code, number ────────│   a login, as in login.rs
//!   │── device code ──────▶│                         │
//!   │◀──────────── token ──│                         │
//! ```

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use wxmint_ids::{AppId, DeviceCode, Person, UserCode};
use wxmint_keys::token::{ExtraClaims, Minter, SignedToken};
use wxmint_store::{
    Admission, Approver, BindingState, Cell, Decided, DeviceRequest, FoundDevice, Grant, Issued, Meter, Opened,
    PersonalCall, Poll, StoreError, TokenState, limits::TooMany,
};
use wxmint_verify::{Claims, Verified};
use wxmint_wechat::Scene;

use super::{Asking, BindError, Entrant, IP, LoginError, LoginRequest, LoginTrail, LoginWorker, worker::new_attempt};
use crate::{
    apps::UnknownApp,
    clients::{Client, Clients},
};

/// The limit of open requests of an address. No variable sets it.
const OPEN_REQUESTS: &str = "open_requests";
/// The limit of mini-program codes of one request. No variable sets it.
const PICTURES: &str = "pictures";
/// How often a user code is drawn anew that another request has.
const MOST_DRAWS: usize = 5;

/// Why a phone's request was refused.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// It never was, has expired, was denied, or is used up.
    #[error("there is no such request of a page, or not any more")]
    Gone,
    #[error("the request is for the people of another mini program, or the code is another person's")]
    NotYours,
    /// The field `match` is missing.
    #[error("the number is missing that the page shows")]
    NoNumber,
    #[error("the number is not the one that the page shows")]
    WrongNumber,
    #[error(transparent)]
    Failed(#[from] LoginError),
}

impl From<StoreError> for DeviceError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a phone sends to approve a request.
pub struct Approval<'a> {
    pub code: &'a UserCode,
    /// As in a login.
    pub login: LoginRequest,
    /// The number that the person has chosen.
    pub number: Option<String>,
    /// Whose token it shows, if it shows one.
    pub asking: Option<&'a Asking>,
    /// Of the phone, as limits count it.
    pub address: &'a str,
}

/// What a page gets that has asked for a token.
pub enum Fetched {
    Token { token: SignedToken, issued: Issued },
    Not(Poll),
}

/// The page's side.
impl LoginWorker {
    /// Opens a request of a page. `address` is the page's, as limits count it. A back end's visitors are counted apart from
    /// everybody else, because a back end can name any address.
    pub async fn ask_phone(
        &self,
        client: &Client,
        address: &str,
        user_agent: &str,
    ) -> Result<(DeviceCode, DeviceRequest), LoginError> {
        let apps = self.apps.all();
        apps.choose(Some(&client.app), None)?;
        if apps.choose(Some(&client.id), None).is_ok() {
            // Ends of the one would be ends of the other.
            return Err(UnknownApp::NotConfigured.into());
        }
        let counted_by = if client.is_back_end() { format!("{} {address}", client.id) } else { address.to_owned() };
        self.count_by(Cell::Devices(counted_by.clone())).await?;
        let request = DeviceRequest {
            client: client.id.clone(),
            app: client.app.clone(),
            address: address.to_owned(),
            counted_by,
            user_agent: user_agent.to_owned(),
            numbers: if client.matches { Some(draw_numbers()?) } else { None },
        };
        for _ in 0..MOST_DRAWS {
            let code = DeviceCode::random().map_err(|_| LoginError::NoRandomness)?;
            match self.store.open_device(&code, &request).await? {
                Opened::Open => return Ok((code, request)),
                Opened::Collides => {}
                Opened::TooMany(refused) => return Err(LoginError::too_many(OPEN_REQUESTS)(refused)),
            }
        }
        Err(LoginError::Contended)
    }

    /// Draws the mini-program code of an open request. `None` if there is no such request.
    pub async fn picture(
        &self,
        code: &UserCode,
        clients: &Clients,
        address: &str,
    ) -> Result<Option<Vec<u8>>, LoginError> {
        self.count_by(Cell::DeviceTries(address.to_owned())).await?;
        let Some(found) = self.store.find_device(code, None).await?.filter(|found| found.approver.is_none()) else {
            return Ok(None);
        };
        let Some(client) = of_request(clients, &found.request) else { return Ok(None) };
        if !self.store.count_picture(code).await? {
            return Err(LoginError::too_many(PICTURES)(TooMany { retry_after: found.expires_in }));
        }
        let scene = code.to_string();
        let draw = async |app: &_, token: &_| {
            let scene = Scene::new(&scene, client.page.as_deref(), client.env_version);
            self.wechat.mini_program_code(app, token, scene).await
        };
        let drawn = self.by_access_token(&client.app, &new_attempt()?, draw).await;
        if drawn.is_err() {
            self.store.uncount_picture(code).await?;
        }
        drawn.map(Some)
    }

    async fn count_by(&self, cell: Cell) -> Result<(), LoginError> {
        let meter = Meter { cell, rate: self.policy.limits.ip };
        self.store.count(&meter).await?.map(drop).map_err(LoginError::too_many(IP))
    }

    /// Gives the page its token, once. Whoever asks again with the same code may have stolen it, so the token is ended. `address`:
    /// of who asks, as limits count it.
    pub async fn fetch_token(
        &self,
        code: &DeviceCode,
        client: &Client,
        address: &str,
        now: DateTime<Utc>,
    ) -> Result<Fetched, LoginError> {
        self.apps.all().choose(Some(&client.app), None)?;
        let attempt = new_attempt()?;
        let poll = async || self.store.poll_device(code, &client.id, &client.app, &attempt).await;
        // An answer that was lost must not cost the page its token.
        let polled = match poll().await {
            Ok(polled) => polled,
            Err(_) => poll().await?,
        };
        let Grant { token: issued, claims } = match polled {
            Poll::Granted(grant) => grant,
            Poll::Repeated(token) => {
                if matches!(self.store.token_state(&token).await?, TokenState::People(_)) {
                    self.store.end_token(&token).await?;
                }
                return Ok(Fetched::Not(Poll::Repeated(token)));
            }
            Poll::Unknown => {
                self.count_by(Cell::DeviceTries(address.to_owned())).await?;
                return Ok(Fetched::Not(Poll::Unknown));
            }
            other => return Ok(Fetched::Not(other)),
        };
        if issued.expires_at <= now.timestamp() {
            return Ok(Fetched::Not(Poll::Expired));
        }
        // What has ended the user since the approval has ended this token too.
        if !matches!(self.store.token_state(&issued).await?, TokenState::People(_)) {
            return Ok(Fetched::Not(Poll::Denied));
        }
        let Issued { user, app, id, issued_at, expires_at } = &issued;
        let life = *issued_at..*expires_at;
        let token = self.minter_of(client).mint(user, app, id, &claims_of(&claims), life, now)?;
        Ok(Fetched::Token { token, issued })
    }

    /// Signs the tokens of a client, which have its audience and its life.
    fn minter_of(&self, client: &Client) -> Minter {
        let audience = (!client.audience.is_empty()).then(|| client.audience.clone());
        self.minter.with(audience, client.token_ttl)
    }
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
        self.count_call(&asking.person, PersonalCall::Device).await?;
        let found = self.store.find_device(code, Some(&asking.person.app)).await?;
        let found = found.filter(|found| found.approver.is_none()).ok_or(DeviceError::Gone)?;
        *client = Some(found.request.client.clone());
        if found.request.app == asking.person.app { Ok(found) } else { Err(DeviceError::NotYours) }
    }

    pub async fn deny(&self, asking: &Asking, code: &UserCode, client: &mut Option<AppId>) -> Result<(), DeviceError> {
        self.look_at(asking, code, client).await?;
        if self.store.deny_device(code).await? { Ok(()) } else { Err(DeviceError::Gone) }
    }

    /// Logs the person in, and grants the token to the page. A person who has approved a request may repeat it, because answers
    /// are lost.
    pub async fn approve(
        &self,
        approval: Approval<'_>,
        clients: &Clients,
        trail: &mut LoginTrail,
        now: DateTime<Utc>,
    ) -> Result<(), DeviceError> {
        let Approval { code, login, number, asking, address } = approval;
        // Counted first, because whoever asks learns whether there is such a request.
        match asking {
            Some(Asking { person, user, .. }) => {
                (trail.app, trail.person, trail.user) =
                    (Some(person.app.clone()), Some(person.clone()), Some(user.clone()));
                self.count_call(person, PersonalCall::Device).await?;
            }
            None => self.count_by(Cell::DeviceTries(address.to_owned())).await?,
        }
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
        // Otherwise the page has just fetched the token of the same person's approval before this one, or somebody has denied.
        let is_done = approved || self.store.claim_device(code, &person, number.as_deref()).await? == Decided::Approved;
        if is_done { Ok(()) } else { Err(DeviceError::Gone) }
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

    /// Notes the token where ends of the app find it, and then looks whether one has come since the login: it may have come before
    /// the note. The token has the second of the login, so that every later end names it.
    ///
    /// An unbinding takes the binding away first and ends the noted tokens then, so one of the two is seen here or sees the note.
    async fn note(&self, person: &Person, generation: u64, token: &Issued) -> Result<(), LoginError> {
        self.store.note_client_token(token, &person.app).await?;
        let dated = match self.policy.one_login {
            true => self.store.end_earlier(token, token.issued_at).await?,
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

/// Whether the token was issued to a client, which may be in the file no more.
pub fn is_of_client(minter: &Minter, token: &Verified<Claims>) -> bool {
    minter.is_marked(&token.id, &mark_of_client(&token.app))
}

/// What marks the tokens of a client. No mark of a binding has a blank.
fn mark_of_client(client: &AppId) -> String {
    format!("client {client}")
}

/// The client of a request, unless it has left the file, or is of another mini program now.
fn of_request<'c>(clients: &'c Clients, request: &DeviceRequest) -> Option<&'c Client> {
    clients.get(&request.client).filter(|client| client.app == request.app)
}

/// As they were checked when the approval was made.
fn claims_of(json: &str) -> ExtraClaims {
    let claims = serde_json::from_str::<Map<String, Value>>(json).unwrap_or_default();
    claims.try_into().unwrap_or_default()
}

/// Three different numbers of two digits, and which of them the page shows.
fn draw_numbers() -> Result<([String; 3], String), LoginError> {
    let mut numbers = Vec::new();
    while numbers.len() < 3 {
        // 180 is twice 90: each number is as likely as another.
        let drawn = draw()?;
        let number = (10 + drawn % 90).to_string();
        if drawn < 180 && !numbers.contains(&number) {
            numbers.push(number);
        }
    }
    let right = loop {
        match draw()? {
            drawn @ 0..252 => break numbers[usize::from(drawn % 3)].clone(),
            _ => continue,
        }
    };
    Ok((numbers.try_into().expect("three"), right))
}

fn draw() -> Result<u8, LoginError> {
    let mut byte = [0];
    rand::fill(&mut byte).map_err(|_| LoginError::NoRandomness)?;
    Ok(byte[0])
}
