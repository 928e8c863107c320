//! THE login: code to token, in the order of WeChat's own diagram.
//!
//! ```text
//! mini program          wxmint              store             WeChat
//!      │   wx.login ─────────────────────────────────────────────▶│
//!      │◀───────────────────────────────────────────────── code ──│
//!      │── code ──────────▶│                  │                   │
//!      │                   │── claim code ───▶│                   │
//!      │                   │── code2Session ─────────────────────▶│
//!      │                   │◀──────────────── openid, session_key │
//!      │                   │── keep sealed ──▶│                   │
//!      │                   │◀── user id ──────│                   │
//!      │◀──────── token ───│                  │                   │
//! ```

mod access_token;
mod binding;
mod error;
mod phone;
mod unbind;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::{digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};

pub use self::{
    access_token::{AccessTokenError, AccessTokens},
    binding::{Binder, Candidate, Settled, Vacancy},
    error::LoginError,
};
use crate::{
    accounts::{Accounts, NewUserKey, Password, Username},
    ids::{AppId, LoginCode, PhoneCode, UnionId, UserId},
    limits::{Limits, LocalLimit},
    store::{
        Bound, Cell, Claim, ClaimId, CurrentVault, ExchangeOrder, Intent, LoginRecord, Meter, Person, Recorded,
        Standing, Store, StoreError, Ticket, TicketHolder,
    },
    telemetry::Metrics,
    token::{AccessToken, MintError, Minter, TokenId},
    wechat::{App, CallError, CurrentApps, Session, WeChat},
};

/// What a mini program asks for.
#[derive(Debug)]
pub struct LoginRequest {
    /// Which app; may be left out where there is only one.
    pub app: Option<AppId>,
    /// The app that the Referer names, which anybody can forge: a hint for choosing among those that there are.
    pub app_hint: Option<AppId>,
    /// What shows which WeChat identity is asking.
    pub proof: Proof,
    /// What shows which business user is asking.
    pub identity: Identity,
}

/// What shows which WeChat identity is asking.
#[derive(Debug)]
pub enum Proof {
    /// The code of `wx.login`.
    Code(LoginCode),
    /// What an earlier login gave in place of its code.
    Ticket(Ticket),
}

/// What shows which business user is asking.
#[derive(Debug)]
pub enum Identity {
    /// Nothing: the WeChat identity is to be known already.
    Nothing,
    /// Name and password.
    Password(Username, Password),
    /// The code of the button `getPhoneNumber`.
    Phone(PhoneCode),
}

/// What it gets.
#[derive(Debug)]
pub struct LoggedIn {
    /// Proves to every peer who is asking.
    pub token: AccessToken,
    /// How long the token lives.
    pub expires_in: Duration,
    /// The token's `sub`.
    pub user: UserId,
    /// Which app.
    pub app: AppId,
    /// Whether this login made the user. True once.
    pub new_user: bool,
}

/// All that a login needs, for one worker thread.
pub struct Login {
    /// The mini programs that this service speaks for.
    pub apps: Arc<CurrentApps>,
    /// Exchanges codes.
    pub wechat: WeChat,
    /// Keeps claims, session keys and bindings.
    pub store: Box<dyn Store>,
    /// Seals session keys.
    pub vault: Arc<CurrentVault>,
    /// Knows the business users.
    pub accounts: Box<dyn Accounts>,
    /// How people are bound to users.
    pub policy: Policy,
    /// Counts while the store is away.
    pub local_limit: Arc<LocalLimit>,
    /// Signs tokens.
    pub minter: Arc<Minter>,
    /// Counts.
    pub metrics: Metrics,
}

/// How people are bound to users, and how often they may try.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Whether an unbound person gets a new user, where one could be asked for a password.
    pub auto_provision: bool,
    /// How many people of one app a user may have.
    pub bindings_per_user: u32,
    /// How often.
    pub limits: Limits,
}

/// Where a request comes from, and when.
struct Visit<'a> {
    address: &'a str,
    meter: Meter,
    now: DateTime<Utc>,
}

/// Who has come, as WeChat says, and where they stand.
struct Arrival {
    person: Person,
    unionid: Option<UnionId>,
    standing: Standing,
}

impl Login {
    /// Turns a login code into a token: one claim, one question to WeChat, one record, one signature. `address` is what
    /// the client's logins are counted under.
    pub async fn login(
        &self,
        request: LoginRequest,
        address: &str,
        now: DateTime<Utc>,
    ) -> Result<LoggedIn, LoginError> {
        self.check_accepted(&request.identity)?;
        let claim = new_claim()?;
        let visit = Visit {
            address,
            meter: Meter { cell: Cell::Address(address.to_owned()), rate: self.policy.limits.ip },
            now,
        };
        let arrival = match &request.proof {
            Proof::Code(code) => {
                let apps = self.apps.all();
                let app = apps.choose(request.app.as_ref(), request.app_hint.as_ref())?;
                let order = self.claim(app, code, &claim, &visit).await?;
                let session = self.exchange(app, code, &claim).await?;
                self.record(app, session, order, &claim, now).await?
            }
            Proof::Ticket(ticket) => self.redeem(ticket, request.app.as_ref(), &claim, &visit).await?,
        };
        let candidate = self.identify(&arrival, request.identity, &claim).await?;
        let bound = self.bind(&arrival, candidate, &claim, now).await?;

        let id = TokenId::random().map_err(MintError::Key)?;
        let app = arrival.person.app;
        let token = self.minter.mint(&bound.user, &app, &id, now)?;
        Ok(LoggedIn { token, expires_in: self.minter.ttl(), user: bound.user, app, new_user: bound.new })
    }

    /// A password that nobody looks at would be a surprise.
    fn check_accepted(&self, identity: &Identity) -> Result<(), LoginError> {
        let accepts = self.accounts.accepts();
        match identity {
            Identity::Password(..) if !accepts.passwords => Err(LoginError::NotAccepted("password")),
            Identity::Phone(_) if !accepts.phones => Err(LoginError::NotAccepted("phone_code")),
            _ => Ok(()),
        }
    }

    /// The first round trip: the address is counted, and the code is ours alone.
    async fn claim(
        &self,
        app: &App,
        code: &LoginCode,
        claim: &ClaimId,
        visit: &Visit<'_>,
    ) -> Result<ExchangeOrder, LoginError> {
        match self.first(visit, self.store.claim_code(&app.id, code, claim, &visit.meter)).await? {
            Claim::Granted(order) => Ok(order),
            Claim::Taken => Err(LoginError::CodeUsed),
            Claim::Limited(refused) => Err(refused.into()),
        }
    }

    /// The first question to the store. While it does not answer, the address is counted here, so that what cannot be
    /// served is at least not asked for without end.
    async fn first<T>(
        &self,
        visit: &Visit<'_>,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, LoginError> {
        let Visit { address, meter, now } = visit;
        self.local_limit.check(address, meter.rate, *now)?;
        let answer = asked.await;
        if answer.is_err() {
            self.local_limit.admit(address, meter.rate, *now)?;
        }
        Ok(answer?)
    }

    /// Asks WeChat. A code that provably was not sent is given back, so that the same request can be made again when
    /// WeChat is there.
    async fn exchange(&self, app: &App, code: &LoginCode, claim: &ClaimId) -> Result<Session, LoginError> {
        let exchanged = self.wechat.code2session(app, code).await;
        if let Err(CallError::NotSent { .. }) = &exchanged
            && let Err(error) = self.store.release_code(&app.id, code, claim).await
        {
            tracing::warn!(%error, "a login code that was not sent could not be given back");
        }
        Ok(exchanged?)
    }

    /// The second round trip: the session key is kept, the person counted, and the binding found.
    async fn record(
        &self,
        app: &App,
        session: Session,
        order: ExchangeOrder,
        claim: &ClaimId,
        now: DateTime<Utc>,
    ) -> Result<Arrival, LoginError> {
        let person = Person { app: app.id.clone(), openid: session.openid };
        let record = LoginRecord {
            session_key: self.vault.keys().seal(&session.session_key, &person)?,
            intent: self.intent_at_once(session.unionid.as_ref(), now).await?,
            person,
            order,
            rate: self.policy.limits.openid,
        };
        match self.store.record_login(&record, claim).await? {
            Recorded::Limited(refused) => Err(refused.into()),
            Recorded::Standing(standing) => Ok(Arrival { person: record.person, unionid: session.unionid, standing }),
        }
    }

    /// Where nobody can be asked and no other app may know the person, a new user is written down with the login.
    async fn intent_at_once(
        &self,
        unionid: Option<&UnionId>,
        now: DateTime<Utc>,
    ) -> Result<Option<Intent>, LoginError> {
        if unionid.is_some() || self.accounts.accepts().anything() {
            return Ok(None);
        }
        let named = self.accounts.new_user(&NewUserKey(String::new()), now).await?;
        Ok(Some(Intent { user: named.user, made: named.made, by_unionid: false }))
    }

    /// In place of a code and its exchange. Where `app` is named, another app's ticket is none.
    async fn redeem(
        &self,
        ticket: &Ticket,
        app: Option<&AppId>,
        claim: &ClaimId,
        visit: &Visit<'_>,
    ) -> Result<Arrival, LoginError> {
        self.first(visit, self.store.count(&visit.meter)).await??;
        let holder = self.store.take_ticket(ticket, claim).await?;
        let holder = holder.filter(|holder| app.is_none_or(|app| *app == holder.person.app));
        let TicketHolder { person, unionid } = holder.ok_or(LoginError::TicketInvalid)?;
        self.apps.all().choose(Some(&person.app), None)?;
        let standing = self.store.standing(&person, claim).await?;
        Ok(Arrival { person, unionid, standing })
    }

    /// Who the business says that is. Looked at after WeChat accepted the code, so that each guess costs a fresh one.
    async fn identify(
        &self,
        arrival: &Arrival,
        identity: Identity,
        claim: &ClaimId,
    ) -> Result<Option<Candidate>, LoginError> {
        match identity {
            Identity::Nothing => Ok(None),
            Identity::Password(name, password) => {
                self.check_password(&arrival.person, &name, &password).await.map(Some)
            }
            Identity::Phone(code) => self.user_of_phone(&arrival.person, &code, claim).await.map(Some),
        }
    }

    /// Each attempt is counted before it is looked at, so that many at once are as many, and given back if it was right.
    async fn check_password(
        &self,
        person: &Person,
        name: &Username,
        password: &Password,
    ) -> Result<Candidate, LoginError> {
        let cell = Cell::Attempts(person.clone(), digest_of(name));
        let attempt = Meter { cell, rate: self.policy.limits.username };
        self.store.count(&attempt).await??;
        let checked = self.accounts.check_password(name, password).await;
        if !matches!(checked, Ok(None)) {
            self.store.uncount(&attempt).await?;
        }
        match checked? {
            Some(user) => Ok(Candidate { user, made: false }),
            None => Err(LoginError::InvalidCredentials),
        }
    }

    /// Finds or makes the binding. For a person who is bound this asks nobody.
    async fn bind(
        &self,
        arrival: &Arrival,
        candidate: Option<Candidate>,
        claim: &ClaimId,
        now: DateTime<Utc>,
    ) -> Result<Bound, LoginError> {
        let Arrival { person, unionid, standing } = arrival;
        let (unionid, per_user) = (unionid.as_ref(), self.policy.bindings_per_user);
        let binder = Binder { store: &*self.store, person, unionid, claim, per_user };
        let settled = binder.settle(standing.clone()).await?;
        let bound = match candidate {
            Some(candidate) => binder.bind(&candidate, settled).await?,
            None => {
                let make = async |vacancy: Vacancy<'_>| self.make_user(person, &vacancy, now).await;
                match binder.bind_unasked(settled, make).await? {
                    Some(bound) => bound,
                    None => return Err(self.ask(arrival).await?),
                }
            }
        };
        if !matches!(standing, Standing::Bound(_)) {
            let (user, app) = (bound.user.as_str(), person.app.as_str());
            tracing::info!(user, app, new_user = bound.new, "binding made");
        }
        self.link(&binder, &bound).await?;
        Ok(bound)
    }

    /// Lets the unionid stand for the user, and reports where it stands for another.
    async fn link(&self, binder: &Binder<'_>, bound: &Bound) -> Result<(), LoginError> {
        if let Some(other) = binder.link(bound).await? {
            self.metrics.unionid_in_conflict();
            tracing::warn!(
                user = bound.user.as_str(),
                other = other.as_str(),
                "one unionid, two users: both are kept; see wxmint bindings conflicts"
            );
        }
        Ok(())
    }

    /// A new user for an unbound person, if people get one unasked. Who has dissolved a binding is asked, where anybody
    /// can be asked.
    async fn make_user(
        &self,
        person: &Person,
        vacancy: &Vacancy<'_>,
        now: DateTime<Utc>,
    ) -> Result<Option<UserId>, LoginError> {
        let can_ask = self.accounts.accepts().anything();
        if can_ask && (vacancy.dissolved || !self.policy.auto_provision) {
            return Ok(None);
        }
        let named = self.accounts.new_user(&new_user_key(person, vacancy), now).await?;
        Ok(Some(named.user))
    }

    /// Asks who the person is, with a ticket that stands for the code just spent.
    async fn ask(&self, arrival: &Arrival) -> Result<LoginError, LoginError> {
        let ticket = Ticket::random().map_err(|_| LoginError::NoRandomness)?;
        let holder = TicketHolder { person: arrival.person.clone(), unionid: arrival.unionid.clone() };
        self.store.keep_ticket(&ticket, &holder).await?;
        Ok(LoginError::BindingRequired(ticket))
    }
}

fn new_claim() -> Result<ClaimId, LoginError> {
    let mut bits = [0; 16];
    rand::fill(&mut bits).map_err(|_| LoginError::NoRandomness)?;
    Ok(ClaimId::new(bits))
}

/// The same for whoever asks for the same new user: the racing first logins of one unionid, and a login that is repeated
/// because its answer was lost. Another one where the unionid's user has left all of their people: by the same key the
/// backend would name that user again. Tells the account backend nothing about the person.
fn new_user_key(person: &Person, vacancy: &Vacancy<'_>) -> NewUserKey {
    NewUserKey(short_digest(&match (vacancy.unionid, vacancy.deserted) {
        (Some(unionid), None) => format!("user of unionid {}", unionid.as_str()),
        (Some(unionid), Some(user)) => format!("user of unionid {} after {user}", unionid.as_str()),
        (None, _) => format!("user of {}:{}:{}", person.app, person.openid.as_str(), vacancy.generation),
    }))
}

/// By which failed passwords are counted: what differs in case or by spaces is one name.
fn digest_of(name: &Username) -> String {
    short_digest(&name.as_str().to_lowercase())
}

fn short_digest(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16])
}
