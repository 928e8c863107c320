//! The world that the simulator plays: apps, people, and the codes that phones were given.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::{
    access_tokens::AccessTokens,
    apps::{AppChange, ShownApp, Terms},
    call::Endpoint,
    faults::Faults,
    journal::Journal,
    state::{alphanumeric, lock, random},
};
use crate::ids::AppId;

/// A code is good for so long.
const CODE_LIFE: TimeDelta = TimeDelta::minutes(5);
/// A code is remembered for so long, to be told "used" or "expired", not that it matters which.
const CODE_REMEMBERED: TimeDelta = TimeDelta::minutes(15);
/// Old codes are not looked for below this number.
const MANY_CODES: usize = 100_000;
/// Codes that were never minted are counted up to this number of them.
const MANY_STRANGERS: usize = 10_000;

/// A mini program that the simulator knows.
#[derive(Clone)]
pub struct App {
    /// Its AppID.
    pub id: AppId,
    /// Its AppSecret at first, as the caller of the API must send it.
    pub secret: String,
    /// Whether code2Session gives a unionid at first, as it does for apps of an Open Platform account.
    pub unionid: bool,
}

/// Why a text is not an [`App`]. The text is not repeated.
#[derive(Debug, thiserror::Error)]
#[error(
    "must be APPID:SECRET or APPID:SECRET:no-unionid, for example wx0123456789abcdef:00112233445566778899aabbccddeeff"
)]
pub struct InvalidApp;

impl FromStr for App {
    type Err = InvalidApp;

    /// Reads `APPID:SECRET` or `APPID:SECRET:no-unionid`.
    fn from_str(text: &str) -> Result<Self, InvalidApp> {
        let mut parts = text.split(':');
        let id = parts.next().and_then(|id| id.parse().ok()).ok_or(InvalidApp)?;
        let secret = parts.next().filter(|secret| !secret.is_empty()).ok_or(InvalidApp)?.to_owned();
        let unionid = match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some("no-unionid"), None) => false,
            _ => return Err(InvalidApp),
        };
        Ok(Self { id, secret, unionid })
    }
}

/// What may be chosen about a [`World`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Of the draws by which faults with a probability fall. Codes and keys are random whatever the seed: a code that
    /// came again after a restart would rightly be refused as used.
    pub seed: u64,
    /// The life of an access token; one beyond what a clock can count becomes a day.
    pub access_token_ttl: Duration,
    /// Added to each of WeChat's answers.
    pub latency: Duration,
    /// Whether requests are journalled.
    pub journal: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 0, access_token_ttl: Duration::from_secs(7200), latency: Duration::ZERO, journal: true }
    }
}

/// All that the simulator knows. Shared by its listeners and their threads.
pub struct World {
    pub(super) apps: Vec<App>,
    pub(super) terms: Terms,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) access_tokens: Mutex<AccessTokens>,
    state: Mutex<State>,
    requests: [AtomicU64; Endpoint::ALL.len()],
    exchanges_ok: AtomicU64,
}

/// What changes, under one lock that is held for look-ups only.
struct State {
    people: Vec<Person>,
    by_name: HashMap<String, usize>,
    by_openid: HashMap<String, (usize, usize)>,
    codes: HashMap<String, Code>,
    forget_codes_at: usize,
    strangers: HashMap<String, u32>,
}

struct Person {
    name: String,
    phone: String,
    blocked: bool,
    /// One for each app, in the order of the apps.
    accounts: Vec<Account>,
}

#[derive(Clone)]
struct Account {
    openid: String,
    /// Given only where the app's terms say so.
    unionid: String,
    session_key: Option<String>,
    /// The one that the last exchange has killed.
    previous_session_key: Option<String>,
}

struct Code {
    purpose: Purpose,
    person: usize,
    app: usize,
    minted: DateTime<Utc>,
    sent: u32,
    spent: bool,
}

/// What a code is for. One is not good for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Login,
    Phone,
}

/// Why a code is not exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeRefusal {
    /// Never minted, expired, another app's, or of another purpose.
    Invalid,
    Used,
    Blocked,
    /// Not of the person whose openid was given.
    OtherPerson,
}

/// What code2Session gives.
pub(super) struct Session {
    pub(super) session_key: String,
    pub(super) openid: String,
    pub(super) unionid: Option<String>,
}

/// A person's phone, as one of its mini programs sees it.
pub(super) struct Phone {
    pub(super) openid: String,
    pub(super) unionid: String,
    pub(super) number: String,
    pub(super) session_key: Option<String>,
    pub(super) previous_session_key: Option<String>,
}

/// A person as the control side shows them.
#[derive(Serialize)]
pub(super) struct ShownPerson {
    name: String,
    phone: String,
    blocked: bool,
    apps: BTreeMap<String, ShownAccount>,
}

#[derive(Serialize)]
struct ShownAccount {
    openid: String,
    unionid: Option<String>,
    session_key: Option<String>,
}

/// What `GET /_simulator/stats` answers.
#[derive(Serialize)]
pub(super) struct Stats {
    requests: BTreeMap<&'static str, u64>,
    exchanges_ok: u64,
    /// How often each code was sent that was sent more than once.
    exchanges_by_code: BTreeMap<String, u32>,
}

impl World {
    /// A world with these apps and nobody in it. `seed` is that of [`Options`].
    pub fn new(apps: Vec<App>, seed: u64) -> Arc<Self> {
        Self::with_options(apps, Options { seed, ..Options::default() })
    }

    /// As [`World::new`], with all that may be chosen.
    pub fn with_options(apps: Vec<App>, options: Options) -> Arc<Self> {
        let life = TimeDelta::from_std(options.access_token_ttl).unwrap_or(TimeDelta::days(1));
        let state = State {
            people: Vec::new(),
            by_name: HashMap::new(),
            by_openid: HashMap::new(),
            codes: HashMap::new(),
            forget_codes_at: MANY_CODES,
            strangers: HashMap::new(),
        };
        Arc::new(Self {
            terms: Terms::of(&apps),
            apps,
            faults: Faults::new(options.seed, options.latency),
            journal: Journal::new(options.journal),
            access_tokens: Mutex::new(AccessTokens::new(life)),
            state: Mutex::new(state),
            requests: Default::default(),
            exchanges_ok: AtomicU64::new(0),
        })
    }

    /// The place of the app in the list, which is its number everywhere else.
    pub(super) fn app(&self, id: &str) -> Option<usize> {
        self.apps.iter().position(|app| app.id.as_str() == id)
    }

    /// Changes which secrets of an app are taken, and whether it gives unionids.
    pub(super) fn change_app(&self, app: usize, change: AppChange) -> ShownApp {
        self.terms.change(app, self.apps[app].id.as_str(), change)
    }

    /// Counts a request, and the code that it carries to code2Session.
    pub(super) fn arrived(&self, endpoint: Endpoint, login_code: Option<&str>) {
        self.requests[endpoint as usize].fetch_add(1, Ordering::Relaxed);
        let (Endpoint::Code2Session, Some(code)) = (endpoint, login_code) else { return };
        let mut state = lock(&self.state);
        if let Some(known) = state.codes.get_mut(code) {
            known.sent += 1;
        } else if state.strangers.len() < MANY_STRANGERS || state.strangers.contains_key(code) {
            *state.strangers.entry(code.to_owned()).or_default() += 1;
        }
    }

    /// Gives a phone `names.len()` codes, one for each name; who was never seen before comes into being.
    pub(super) fn mint_codes(
        &self,
        purpose: Purpose,
        names: &[String],
        app: usize,
        minted: DateTime<Utc>,
    ) -> Vec<String> {
        let mut state = lock(&self.state);
        state.forget_old_codes(crate::http::now());
        let mint = |name: &String| {
            let person = state.person(name, &self.apps);
            let code = alphanumeric(32);
            state.codes.insert(code.clone(), Code { purpose, person, app, minted, sent: 0, spent: false });
            code
        };
        names.iter().map(mint).collect()
    }

    /// A login code of this person for the first app.
    pub fn login_code(&self, person: &str) -> String {
        self.mint_codes(Purpose::Login, &[person.to_owned()], 0, crate::http::now()).remove(0)
    }

    /// A phone code of this person for the first app.
    pub fn phone_code(&self, person: &str) -> String {
        self.mint_codes(Purpose::Phone, &[person.to_owned()], 0, crate::http::now()).remove(0)
    }

    /// Exchanges a login code: a new session_key, and the old one is dead.
    pub(super) fn exchange(&self, code: &str, app: usize, now: DateTime<Utc>) -> Result<Session, CodeRefusal> {
        let (session_key, gives_unionid) = (random_key(), self.terms.gives_unionid(app));
        let mut state = lock(&self.state);
        let person = state.spend(code, Purpose::Login, app, None, now)?;
        let account = &mut state.people[person].accounts[app];
        account.renew(session_key.clone());
        self.exchanges_ok.fetch_add(1, Ordering::Relaxed);
        let unionid = gives_unionid.then(|| account.unionid.clone());
        Ok(Session { session_key, openid: account.openid.clone(), unionid })
    }

    /// Exchanges a phone code for the phone number. An `openid` must be that of the person who pressed the button.
    pub(super) fn phone_number(
        &self,
        code: &str,
        app: usize,
        openid: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<String, CodeRefusal> {
        let mut state = lock(&self.state);
        let person = state.spend(code, Purpose::Phone, app, openid, now)?;
        Ok(state.people[person].phone.clone())
    }

    /// The session_key of the person with this openid in the app; the outer `None` when there is no such person.
    pub(super) fn session_key(&self, openid: &str, app: usize) -> Option<Option<String>> {
        let state = lock(&self.state);
        let (person, of_app) = *state.by_openid.get(openid)?;
        (of_app == app).then(|| state.people[person].accounts[app].session_key.clone())
    }

    /// Puts a new session_key in place of `old`, unless that has been replaced meanwhile.
    pub(super) fn renew_session_key(&self, openid: &str, old: &str) -> Option<String> {
        let mut state = lock(&self.state);
        let (person, app) = *state.by_openid.get(openid)?;
        let account = &mut state.people[person].accounts[app];
        if account.session_key.as_deref() != Some(old) {
            return None;
        }
        account.renew(random_key());
        account.session_key.clone()
    }

    /// The phone of a person, who comes into being if need be.
    pub(super) fn phone(&self, name: &str, app: usize) -> Phone {
        let mut state = lock(&self.state);
        let person = state.person(name, &self.apps);
        let person = &state.people[person];
        let Account { openid, unionid, session_key, previous_session_key } = person.accounts[app].clone();
        Phone { openid, unionid, number: person.phone.clone(), session_key, previous_session_key }
    }

    /// Blocks or unblocks a person, gives them a phone number, or only brings them into being.
    pub(super) fn change_person(&self, name: &str, blocked: Option<bool>, phone: Option<String>) -> ShownPerson {
        let mut state = lock(&self.state);
        let person = state.person(name, &self.apps);
        let person = &mut state.people[person];
        person.blocked = blocked.unwrap_or(person.blocked);
        if let Some(phone) = phone {
            person.phone = phone;
        }
        self.show(person)
    }

    /// All people, in the order in which they came into being.
    pub(super) fn people(&self) -> Vec<ShownPerson> {
        lock(&self.state).people.iter().map(|person| self.show(person)).collect()
    }

    fn show(&self, person: &Person) -> ShownPerson {
        let accounts = self.apps.iter().zip(&person.accounts).enumerate().map(|(number, (app, account))| {
            let Account { openid, unionid, session_key, .. } = account;
            let unionid = self.terms.gives_unionid(number).then(|| unionid.clone());
            let shown = ShownAccount { openid: openid.clone(), unionid, session_key: session_key.clone() };
            (app.id.as_str().to_owned(), shown)
        });
        ShownPerson {
            name: person.name.clone(),
            phone: person.phone.clone(),
            blocked: person.blocked,
            apps: accounts.collect(),
        }
    }

    /// What was asked since the start or the last reset.
    pub(super) fn stats(&self) -> Stats {
        let counted = |endpoint: Endpoint| self.requests[endpoint as usize].load(Ordering::Relaxed);
        let state = lock(&self.state);
        let known = state.codes.iter().map(|(code, known)| (code, known.sent));
        let strangers = state.strangers.iter().map(|(code, sent)| (code, *sent));
        let repeated = known.chain(strangers).filter(|(_, sent)| *sent > 1);
        Stats {
            requests: Endpoint::ALL.iter().map(|endpoint| (endpoint.path(), counted(*endpoint))).collect(),
            exchanges_ok: self.exchanges_ok.load(Ordering::Relaxed),
            exchanges_by_code: repeated.map(|(code, sent)| (code.clone(), sent)).collect(),
        }
    }

    /// Forgets journal, stats, codes and faults. People, their session keys, access tokens and
    /// what was changed about apps stay.
    pub(super) fn reset(&self) {
        self.faults.replace(Vec::new());
        self.journal.clear();
        let mut state = lock(&self.state);
        state.codes.clear();
        state.strangers.clear();
        state.forget_codes_at = MANY_CODES;
        self.requests.iter().chain([&self.exchanges_ok]).for_each(|count| count.store(0, Ordering::Relaxed));
    }
}

impl State {
    /// The number of the person with this name.
    fn person(&mut self, name: &str, apps: &[App]) -> usize {
        if let Some(person) = self.by_name.get(name) {
            return *person;
        }
        let number = self.people.len();
        let person = Person::new(name, apps);
        for (app, account) in person.accounts.iter().enumerate() {
            self.by_openid.insert(account.openid.clone(), (number, app));
        }
        self.people.push(person);
        self.by_name.insert(name.to_owned(), number);
        number
    }

    /// Spends a code and tells whose it was.
    fn spend(
        &mut self,
        code: &str,
        purpose: Purpose,
        app: usize,
        openid: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<usize, CodeRefusal> {
        let code = self.codes.get_mut(code).ok_or(CodeRefusal::Invalid)?;
        if code.purpose != purpose || code.app != app {
            return Err(CodeRefusal::Invalid);
        }
        if code.spent {
            return Err(CodeRefusal::Used);
        }
        if now - code.minted >= CODE_LIFE {
            return Err(CodeRefusal::Invalid);
        }
        let person = &self.people[code.person];
        if person.blocked {
            return Err(CodeRefusal::Blocked);
        }
        if openid.is_some_and(|openid| openid != person.accounts[app].openid) {
            return Err(CodeRefusal::OtherPerson);
        }
        code.spent = true;
        Ok(code.person)
    }

    /// Keeps a load test of hours within memory, at a cost that is spread over the codes minted.
    fn forget_old_codes(&mut self, now: DateTime<Utc>) {
        if self.codes.len() >= self.forget_codes_at {
            self.codes.retain(|_, code| now - code.minted < CODE_REMEMBERED);
            self.forget_codes_at = MANY_CODES.max(2 * self.codes.len());
        }
    }
}

impl Person {
    /// Ids and phone number follow from the name, so that a person is the same after a restart.
    fn new(name: &str, apps: &[App]) -> Self {
        let account = |app: &App| Account {
            openid: identifier(&format!("openid\0{}\0{name}", app.id)),
            unionid: identifier(&format!("unionid\0{name}")),
            session_key: None,
            previous_session_key: None,
        };
        let hash = digest::digest(&digest::SHA256, format!("phone\0{name}").as_bytes());
        let digits = hash.as_ref().iter().take(8).map(|byte| char::from(b'0' + byte % 10));
        Self {
            name: name.to_owned(),
            phone: "138".chars().chain(digits).collect(),
            blocked: false,
            accounts: apps.iter().map(account).collect(),
        }
    }
}

impl Account {
    fn renew(&mut self, session_key: String) {
        self.previous_session_key = self.session_key.replace(session_key);
    }
}

/// An openid or unionid: `o` and 27 characters that follow from what it is for.
fn identifier(of: &str) -> String {
    let hash = digest::digest(&digest::SHA256, of.as_bytes());
    let mut text = URL_SAFE_NO_PAD.encode(&hash.as_ref()[..20]);
    text.insert(0, 'o');
    text
}

fn random_key() -> String {
    STANDARD.encode(random::<16>())
}
