//! The world that the simulator plays: all of its state, and the changes to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::access_tokens::AccessTokens;
use super::alipay::Keys;
use super::apps::{App, AppChange, Terms};
use super::call::{Endpoint, Refusal};
use super::command::Options;
use super::faults::Faults;
use super::journal::Journal;
use super::mini_program_codes::CallsInMinute;
use super::now;
use super::oauth2::Grants;
use super::people::{Account, People, Person, Purpose};
use super::platform::Component;

/// All state of the simulator, shared by its listeners and their threads.
pub struct World {
    pub(super) apps: Vec<App>,
    pub(super) terms: Terms,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
    pub(super) access_tokens: Mutex<AccessTokens>,
    pub(super) code_calls: Mutex<CallsInMinute>,
    pub(super) people: Mutex<People>,
    pub(super) grants: Mutex<Grants>,
    pub(super) component: Option<Arc<Component>>,
    /// The keys of the apps of Alipay, each made when it is needed first.
    pub(super) alipay_keys: Mutex<HashMap<usize, Arc<Keys>>>,
    requests: [AtomicU64; Endpoint::ALL.len()],
    pub(super) exchanges_ok: AtomicU64,
}

/// The answer of code2Session.
pub(super) struct Session {
    pub(super) session_key: String,
    pub(super) openid: String,
    pub(super) unionid: Option<String>,
}

impl World {
    /// A world with these apps and no people. All options but `seed` have their defaults.
    pub fn new(apps: Vec<App>, seed: u64) -> Arc<Self> {
        Self::with_options(
            apps,
            Options {
                seed,
                ..Options::default()
            },
        )
    }

    /// A world with these apps, these options and no people.
    pub fn with_options(apps: Vec<App>, options: Options) -> Arc<Self> {
        let life = TimeDelta::from_std(options.access_token_ttl).unwrap_or(TimeDelta::days(1));
        Arc::new(Self {
            terms: Terms::new(&apps),
            apps,
            faults: Faults::new(options.seed, options.latency),
            journal: Journal::new(!options.no_journal),
            access_tokens: Mutex::new(AccessTokens::new(life)),
            code_calls: Mutex::default(),
            people: Mutex::default(),
            grants: Mutex::default(),
            component: options
                .platform
                .map(|platform| Component::new(platform, options.push_to, life)),
            alipay_keys: Mutex::default(),
            requests: Default::default(),
            exchanges_ok: AtomicU64::new(0),
        })
    }

    /// The number of the app: its index in the list.
    pub(super) fn app(&self, id: &str) -> Option<usize> {
        self.apps.iter().position(|app| app.id.as_str() == id)
    }

    /// Changes an app. Returns the app as the control API shows it.
    pub(super) fn change_app(&self, app: usize, change: AppChange) -> Value {
        let mut shown = self.terms.change(app, self.apps[app].id.as_str(), change);
        shown["app_key"] = self.app_key(app).into();
        shown
    }

    /// Counts a request, and the code that it carries to an exchange.
    pub(super) fn arrived(&self, endpoint: Endpoint, login_code: Option<&str>) {
        self.requests[endpoint as usize].fetch_add(1, Ordering::Relaxed);
        let exchanges = matches!(
            endpoint,
            Endpoint::Code2Session
                | Endpoint::Oauth2
                | Endpoint::ComponentCode2Session
                | Endpoint::ComponentOauth2
        ) || endpoint.is_of_other_platform();
        if let (true, Some(code)) = (exchanges, login_code) {
            self.people.lock().code_arrived(code);
        }
    }

    pub(super) fn mint_codes(
        &self,
        purpose: Purpose,
        names: &[String],
        app: usize,
        minted: DateTime<Utc>,
    ) -> Vec<String> {
        let mut people = self.people.lock();
        people.forget_old_codes(now());
        names
            .iter()
            .map(|name| people.mint_code(purpose, name, app, &self.apps, minted))
            .collect()
    }

    /// Exchanges a login code for a new `session_key`. The earlier key becomes invalid, unless the
    /// app repeats keys.
    pub(super) fn exchange(
        &self,
        code: &str,
        app: usize,
        now: DateTime<Utc>,
    ) -> Result<Session, Refusal> {
        let mut people = self.people.lock();
        let (person, _) =
            people.spend(code, |purpose| purpose == Purpose::Login, app, None, now)?;
        let account = &mut people.all[person].accounts[app];
        self.exchanges_ok.fetch_add(1, Ordering::Relaxed);
        let term = self.terms.of(app);
        let held = account
            .session_key
            .clone()
            .filter(|_| term.repeats_session_keys);
        let session_key = held.unwrap_or_else(|| account.renew_session_key());
        Ok(Session {
            session_key,
            openid: account.openid.clone(),
            unionid: term.given_unionid(&account.unionid),
        })
    }

    /// Exchanges a phone code for the phone number. An `openid` must be that of the person who pressed the button.
    pub(super) fn phone_number(
        &self,
        code: &str,
        app: usize,
        openid: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<String, Refusal> {
        let mut people = self.people.lock();
        let (person, _) =
            people.spend(code, |purpose| purpose == Purpose::Phone, app, openid, now)?;
        Ok(people.all[person].phone.clone())
    }

    /// The `session_key` of the person with this openid in the app. The outer `None` means that there
    /// is no such person.
    #[expect(
        clippy::option_option,
        reason = "a person without a key is another answer than nobody"
    )]
    pub(super) fn session_key(&self, openid: &str, app: usize) -> Option<Option<String>> {
        let mut people = self.people.lock();
        let (of_app, account) = people.account(openid)?;
        (of_app == app).then(|| account.session_key.clone())
    }

    /// Replaces the `session_key` `old` by a new key, unless it has been replaced meanwhile.
    pub(super) fn renew_session_key(&self, openid: &str, old: &str) -> Option<String> {
        let mut people = self.people.lock();
        let (_, account) = people.account(openid)?;
        (account.session_key.as_deref() == Some(old)).then(|| account.renew_session_key())
    }

    /// A person's phone number and account in the app. The person is created if the name is new.
    pub(super) fn phone(&self, name: &str, app: usize) -> (String, Account) {
        let mut people = self.people.lock();
        let person = people.named(name, &self.apps);
        let person = &people.all[person];
        (person.phone.clone(), person.accounts[app].clone())
    }

    /// Blocks or unblocks a person, or gives them a phone number. The person is created if the name is new.
    pub(super) fn change_person(
        &self,
        name: &str,
        blocked: Option<bool>,
        phone: Option<String>,
    ) -> Value {
        let mut people = self.people.lock();
        let person = people.named(name, &self.apps);
        let person = &mut people.all[person];
        person.blocked = blocked.unwrap_or(person.blocked);
        if let Some(phone) = phone {
            person.phone = phone;
        }
        self.show(person)
    }

    /// All people, the oldest first.
    pub(super) fn people(&self) -> Vec<Value> {
        self.people
            .lock()
            .all
            .iter()
            .map(|person| self.show(person))
            .collect()
    }

    /// A person as the control API shows them.
    fn show(&self, person: &Person) -> Value {
        let accounts =
            self.apps
                .iter()
                .zip(&person.accounts)
                .enumerate()
                .map(|(number, (app, account))| {
                    let Account {
                        openid,
                        unionid,
                        session_key,
                        ..
                    } = account;
                    let unionid = self.terms.of(number).given_unionid(unionid);
                    (
                        app.id.as_str(),
                        json!({"openid": openid, "unionid": unionid, "session_key": session_key}),
                    )
                });
        let apps: BTreeMap<&str, Value> = accounts.collect();
        json!({"name": person.name, "phone": person.phone, "blocked": person.blocked, "apps": apps})
    }

    /// The counts since the start or the last reset.
    pub(super) fn stats(&self) -> Value {
        let counted = |endpoint: Endpoint| {
            (
                endpoint.path(),
                self.requests[endpoint as usize].load(Ordering::Relaxed),
            )
        };
        json!({
            "requests": BTreeMap::from(Endpoint::ALL.map(counted)),
            "exchanges_ok": self.exchanges_ok.load(Ordering::Relaxed),
            "exchanges_by_code": self.people.lock().repeated_codes(),
        })
    }

    /// Deletes the journal, stats, codes and faults. People, session keys, access tokens and the
    /// changes of apps stay.
    pub(super) fn reset(&self) {
        self.faults.replace(Vec::new());
        self.journal.clear();
        self.people.lock().forget_codes();
        *self.code_calls.lock() = CallsInMinute::default();
        self.requests
            .iter()
            .chain([&self.exchanges_ok])
            .for_each(|count| count.store(0, Ordering::Relaxed));
    }
}
