//! The people of the simulator, and the codes of their phones.

use std::collections::{BTreeMap, HashMap, HashSet};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};

use super::apps::{App, Kind, identifier};
use super::call::Refusal;
use super::encrypt_keys::EncryptKeys;
use super::other_platforms;
use super::state::{alphanumeric, random};

const CODE_LIFE: TimeDelta = TimeDelta::minutes(5);
const CODE_LIFE_AT_KUAISHOU: TimeDelta = TimeDelta::minutes(10);
/// How long a code is remembered, so that WeChat answers that it is used or expired, and not that
/// it is unknown.
const CODE_REMEMBERED: TimeDelta = TimeDelta::minutes(15);
/// The code was never minted, has expired, or belongs to another app or another purpose.
const INVALID_CODE: Refusal = Refusal(40029);
/// If there are fewer codes than this, none are dropped.
const MANY_CODES: usize = 100_000;
/// How many codes that were never minted are counted.
const MANY_STRANGERS: usize = 10_000;

/// All people and codes. A person and an app are their indexes.
#[derive(Default)]
pub(super) struct People {
    pub(super) all: Vec<Person>,
    by_name: HashMap<String, usize>,
    by_openid: HashMap<String, (usize, usize)>,
    codes: HashMap<String, Code>,
    forget_codes_at: usize,
    /// Codes of pages that were opened without a component. No component can exchange these codes.
    pub(super) of_no_component: HashSet<String>,
    /// Codes that arrived but were not minted here, and how often each arrived.
    strangers: HashMap<String, u32>,
}

pub(super) struct Person {
    pub(super) name: String,
    pub(super) phone: String,
    pub(super) blocked: bool,
    /// An account for each app, in the order of the apps.
    pub(super) accounts: Vec<Account>,
}

#[derive(Clone)]
pub(super) struct Account {
    pub(super) openid: String,
    pub(super) unionid: String,
    pub(super) session_key: Option<String>,
    /// The key that the last exchange replaced.
    pub(super) previous_session_key: Option<String>,
    /// The keys of the person's messages, the newest last.
    pub(super) encrypt_keys: EncryptKeys,
}

struct Code {
    purpose: Purpose,
    person: usize,
    app: usize,
    minted: DateTime<Utc>,
    life: TimeDelta,
    sent: u32,
    spent: bool,
}

/// The only purpose for which a code works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Login,
    Phone,
    Oauth2(Scope),
}

/// The scope that a page has asked for. `Snapshot` marks a page that WeChat shows as a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    Base,
    UserInfo,
    Login,
    /// WeChat shows the page as a snapshot, with a virtual person.
    Snapshot,
}

impl People {
    /// The person with this name. Creates the person if the name is new.
    pub(super) fn named(&mut self, name: &str, apps: &[App]) -> usize {
        if let Some(person) = self.by_name.get(name) {
            return *person;
        }
        let number = self.all.len();
        let person = Person::new(name, apps);
        for (app, account) in person.accounts.iter().enumerate() {
            self.by_openid.insert(account.openid.clone(), (number, app));
        }
        self.all.push(person);
        self.by_name.insert(name.to_owned(), number);
        number
    }

    /// Makes a new code for the phone of the person with this name.
    pub(super) fn mint_code(
        &mut self,
        purpose: Purpose,
        name: &str,
        app: usize,
        apps: &[App],
        minted: DateTime<Utc>,
    ) -> String {
        let person = self.named(name, apps);
        let kind = apps[app].kind;
        let code = other_platforms::code_with_letters_of(kind, alphanumeric(32));
        let life = if kind == Kind::Kuaishou {
            CODE_LIFE_AT_KUAISHOU
        } else {
            CODE_LIFE
        };
        self.codes.insert(
            code.clone(),
            Code {
                purpose,
                person,
                app,
                minted,
                life,
                sent: 0,
                spent: false,
            },
        );
        code
    }

    /// Counts a code that arrived at an exchange.
    pub(super) fn code_arrived(&mut self, code: &str) {
        if let Some(known) = self.codes.get_mut(code) {
            known.sent += 1;
        } else if self.strangers.len() < MANY_STRANGERS || self.strangers.contains_key(code) {
            *self.strangers.entry(code.to_owned()).or_default() += 1;
        }
    }

    /// The codes that arrived more than once, each with its count.
    pub(super) fn repeated_codes(&self) -> BTreeMap<String, u32> {
        let known = self.codes.iter().map(|(code, known)| (code, known.sent));
        let strangers = self.strangers.iter().map(|(code, sent)| (code, *sent));
        known
            .chain(strangers)
            .filter(|(_, sent)| *sent > 1)
            .map(|(code, sent)| (code.clone(), sent))
            .collect()
    }

    pub(super) fn forget_codes(&mut self) {
        (self.codes, self.strangers, self.of_no_component) = Default::default();
    }

    /// Spends a code. Returns the person for whom it was minted. If `openid` is given, it must be
    /// that person's.
    pub(super) fn spend(
        &mut self,
        code: &str,
        purpose: impl Fn(Purpose) -> bool,
        app: usize,
        openid: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(usize, Purpose), Refusal> {
        let code = self.codes.get_mut(code).ok_or(INVALID_CODE)?;
        if !purpose(code.purpose) || code.app != app {
            return Err(INVALID_CODE);
        }
        if code.spent {
            return Err(Refusal(40163));
        }
        if now - code.minted >= code.life {
            return Err(INVALID_CODE);
        }
        let person = &self.all[code.person];
        if person.blocked {
            return Err(Refusal(if matches!(code.purpose, Purpose::Oauth2(_)) {
                50002
            } else {
                40226
            }));
        }
        if openid.is_some_and(|openid| openid != person.accounts[app].openid) {
            return Err(Refusal(40003));
        }
        code.spent = true;
        Ok((code.person, code.purpose))
    }

    /// The account with this openid, and the number of its app.
    pub(super) fn account(&mut self, openid: &str) -> Option<(usize, &mut Account)> {
        let (person, app) = *self.by_openid.get(openid)?;
        Some((app, &mut self.all[person].accounts[app]))
    }

    /// Drops old codes, which bounds the memory of a load test that runs for hours.
    pub(super) fn forget_old_codes(&mut self, now: DateTime<Utc>) {
        if self.codes.len() >= self.forget_codes_at {
            self.codes
                .retain(|_, code| now - code.minted < CODE_REMEMBERED);
            self.of_no_component
                .retain(|code| self.codes.contains_key(code));
            self.forget_codes_at = MANY_CODES.max(2 * self.codes.len());
        }
    }
}

impl Person {
    /// The ids and the phone number are derived from the name, so that a person is the same after a
    /// restart.
    fn new(name: &str, apps: &[App]) -> Self {
        let account = |app: &App| {
            let of_wechat = || {
                let openid = identifier(&format!("openid\0{}\0{name}", app.id));
                [openid, identifier(&format!("unionid\0{name}"))]
            };
            let [openid, unionid] = other_platforms::ids(app, name).unwrap_or_else(of_wechat);
            Account {
                openid,
                unionid,
                session_key: None,
                previous_session_key: None,
                encrypt_keys: EncryptKeys::default(),
            }
        };
        let hash = digest::digest(&digest::SHA256, format!("phone\0{name}").as_bytes());
        let digits = hash
            .as_ref()
            .iter()
            .take(8)
            .map(|byte| char::from(b'0' + byte % 10));
        Self {
            name: name.to_owned(),
            phone: "138".chars().chain(digits).collect(),
            blocked: false,
            accounts: apps.iter().map(account).collect(),
        }
    }
}

impl Account {
    /// Gives the account a new `session_key`. The old key becomes invalid.
    pub(super) fn renew_session_key(&mut self) -> String {
        let session_key = STANDARD.encode(random::<16>());
        self.previous_session_key = self.session_key.replace(session_key.clone());
        session_key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::now;

    #[test]
    fn of_a_code_that_is_forgotten_nothing_is_left() {
        let (mut people, now) = (People::default(), now());
        let app = "wx1:secret:official_account".parse().expect("an app");
        let code = people.mint_code(
            Purpose::Oauth2(Scope::Base),
            "lin",
            0,
            &[app],
            now - CODE_REMEMBERED,
        );
        people.of_no_component.insert(code);
        people.forget_old_codes(now);
        assert!(people.codes.is_empty() && people.of_no_component.is_empty());
    }
}
