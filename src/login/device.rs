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
    Approver, BindingState, Cell, Decided, DeviceRequest, FoundDevice, Grant, Issued, Meter, Opened, PersonalCall,
    Poll, StoreError, TokenState, limits::TooMany,
};
use wxmint_verify::{Claims, Verified};
use wxmint_wechat::Scene;

use super::{
    Asking, BindError, Entrant, IP, LoginError, LoginRequest, LoginTrail, LoginWorker,
    date::{dated, latest},
    worker::new_attempt,
};
use crate::clients::{Client, Clients};

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
    /// Opens a request of a page. `address` is the page's, as limits count it.
    pub async fn ask_phone(
        &self,
        client: &Client,
        address: &str,
        user_agent: &str,
    ) -> Result<(DeviceCode, DeviceRequest), LoginError> {
        self.apps.all().choose(Some(&client.app), None)?;
        self.count_device(address).await?;
        let request = DeviceRequest {
            client: client.id.clone(),
            app: client.app.clone(),
            address: address.to_owned(),
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
        self.count_device(address).await?;
        let Some(found) = self.store.find_device(code, None).await?.filter(|found| found.approver.is_none()) else {
            return Ok(None);
        };
        let Some(client) = clients.get(&found.request.client) else { return Ok(None) };
        if !self.store.count_picture(code).await? {
            return Err(LoginError::too_many(PICTURES)(TooMany { retry_after: found.expires_in }));
        }
        let scene = code.to_string();
        let draw = async |app: &_, token: &_| {
            let scene = Scene::new(&scene, client.page.as_deref(), client.env_version);
            self.wechat.mini_program_code(app, token, scene).await
        };
        self.by_access_token(&found.request.app, &new_attempt()?, draw).await.map(Some)
    }

    async fn count_device(&self, address: &str) -> Result<(), LoginError> {
        let meter = Meter { cell: Cell::Devices(address.to_owned()), rate: self.policy.limits.ip };
        self.store.count(&meter).await?.map(drop).map_err(LoginError::too_many(IP))
    }

    /// Gives the page its token, once. Whoever asks again with the same code may have stolen it, so the token is ended.
    pub async fn fetch_token(
        &self,
        code: &DeviceCode,
        client: &Client,
        now: DateTime<Utc>,
    ) -> Result<Fetched, LoginError> {
        let Grant { token: issued, claims } = match self.store.poll_device(code, &client.id).await? {
            Poll::Granted(grant) => grant,
            Poll::Repeated(token) => {
                self.store.end_token(&token).await?;
                return Ok(Fetched::Not(Poll::Repeated(token)));
            }
            other => return Ok(Fetched::Not(other)),
        };
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
    pub async fn look_at(&self, asking: &Asking, code: &UserCode) -> Result<FoundDevice, DeviceError> {
        self.count_call(&asking.person, PersonalCall::Device).await?;
        let found = self.store.find_device(code, Some(&asking.person.app)).await?;
        let found = found.filter(|found| found.approver.is_none()).ok_or(DeviceError::Gone)?;
        if found.request.app == asking.person.app { Ok(found) } else { Err(DeviceError::NotYours) }
    }

    pub async fn deny(&self, asking: &Asking, code: &UserCode) -> Result<FoundDevice, DeviceError> {
        let found = self.look_at(asking, code).await?;
        if self.store.deny_device(code).await? { Ok(found) } else { Err(DeviceError::Gone) }
    }

    /// Logs the person in, and grants the token to the page. A person who has approved a request may repeat it, because answers
    /// are lost. Returns the client.
    pub async fn approve(
        &self,
        approval: Approval<'_>,
        clients: &Clients,
        trail: &mut LoginTrail,
        now: DateTime<Utc>,
    ) -> Result<AppId, DeviceError> {
        let Approval { code, login, number, asking, address } = approval;
        // Counted first, because whoever asks learns whether there is such a request.
        match asking {
            Some(Asking { person, user, .. }) => {
                (trail.app, trail.person, trail.user) =
                    (Some(person.app.clone()), Some(person.clone()), Some(user.clone()));
                self.count_call(person, PersonalCall::Device).await?;
            }
            None => self.count_device(address).await?,
        }
        let found = self.store.find_device(code, None).await?.ok_or(DeviceError::Gone)?;
        let DeviceRequest { client, app, numbers, .. } = found.request;
        if asking.is_some_and(|asking| asking.person.app != app)
            || login.app.as_ref().is_some_and(|wanted| *wanted != app)
        {
            return Err(DeviceError::NotYours);
        }
        if let (Some(approver), Some(asking)) = (&found.approver, asking) {
            return if *approver == Approver::of(&asking.person) { Ok(client) } else { Err(DeviceError::Gone) };
        }
        let policy = clients.get(&client).ok_or(DeviceError::Gone)?;
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
            Decided::Approved => return Ok(client),
            Decided::WrongNumber => return Err(DeviceError::WrongNumber),
            Decided::Gone => return Err(DeviceError::Gone),
        }
        let grant = self.grant(policy, entrant, now).await?;
        let approved = self.store.approve_device(code, &person, &grant).await?;
        // Otherwise the page has just fetched the token of the same person's approval before this one, or somebody has denied.
        let is_done = approved || self.store.claim_device(code, &person, number.as_deref()).await? == Decided::Approved;
        if is_done { Ok(client) } else { Err(DeviceError::Gone) }
    }

    /// The token that the client may fetch, dated with this login.
    async fn grant(&self, client: &Client, entrant: Entrant, now: DateTime<Utc>) -> Result<Grant, LoginError> {
        let (Entrant { arrival, bound, extra }, minter) = (entrant, self.minter_of(client));
        let id = minter.token_id(&mark_of_client(&client.id), now)?;
        let life = minter.life(arrival.at);
        let token =
            Issued { user: bound.user, app: client.id.clone(), id, issued_at: life.start, expires_at: life.end };
        let token = self.date_for_client(&arrival.person, bound.generation, token, arrival.at, now).await?;
        let claims = serde_json::to_string(&extra).expect("a map of JSON values is JSON");
        Ok(Grant { token, claims })
    }

    /// Dates the token, and then looks whether the binding is still there: an unbinding that did not see the note of this token
    /// began before the note, and has taken the binding away.
    async fn date_for_client(
        &self,
        person: &Person,
        generation: u64,
        token: Issued,
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Issued, LoginError> {
        let latest = latest(at, now, token.expires_at);
        let date = self.store.date_client_token(&token, &person.app, latest, self.policy.one_login).await?;
        match self.store.binding_state(person).await? {
            BindingState::Bound(bound) if bound.generation == generation && bound.user == token.user => {
                dated(token, date, latest)
            }
            _ => Err(BindError::Contended.into()),
        }
    }

    /// Whether the token was issued to a client, which may be in the file no more.
    pub(super) fn is_of_client(&self, token: &Verified<Claims>) -> bool {
        self.minter.is_marked(&token.id, &mark_of_client(&token.app))
    }
}

/// What marks the tokens of a client. No mark of a binding has a blank.
fn mark_of_client(client: &AppId) -> String {
    format!("client {client}")
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
