//! The store in Redis: one server, a primary that Sentinels watch, or a Cluster. Each operation takes one round trip. A script
//! touches the keys of one hash slot, so that it also runs on a Cluster.
//!
//! How a call survives a failover: `link` sends it, `route` finds the new primary, `server` makes the connection anew. How a
//! binding survives it: `Link::run_confirmed` and `confirm`. docs/decisions/0016 has the reasons.

mod access;
mod access_token;
mod binding;
mod clocks;
mod ends;
mod erasure;
mod meter;
mod record;
mod session;
mod stored_binding;
mod ticket;
pub mod walk;

use std::{
    cell,
    fmt::Display,
    rc::Rc,
    sync::{Arc, LazyLock},
    time::{Duration, Instant as Moment},
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use redis::Value;
use wxmint_ids::{AppId, LoginCode, TokenId, UnionId, UserId};
use wxmint_redis_link::{Call, Link, RedisUrl, Script};

pub use self::{
    access::{Observer, RedisAccess},
    clocks::FAR as CLOCK_IS_FAR,
};
use self::{
    binding::stored_binding,
    clocks::Clocks,
    meter::{EarlierParts, sortable},
    record::Lines,
    walk::{Found, found},
};
use super::{
    AttemptId, Binding, CLAIM_TTL, Cell, Claim, ExchangeOrder, LoginRecord, Meter, Person, PersonalCall, Recorded,
    Result, SessionKeys, Store, StoreError, Ticket, short_digest,
};
use crate::limits::{Counted, TooMany};

/// A script with the shared functions in front of it.
macro_rules! script {
    ($($name:literal),+) => {
        LazyLock::new(|| Script::new(concat!($(include_str!(concat!("lua/", $name, ".lua"))),+)))
    };
}
use script;

static REPLACE: LazyLock<Script> = script!("replace");

/// Gives a key another value for good, unless it holds one that is not `expected`; no `new` value deletes it. Answers the value
/// before.
fn replace(key: &dyn Display, expected: &str, new: &str) -> Call {
    let mut script = REPLACE.on(&[key]);
    script.arg(expected).arg(new);
    script
}

/// A boolean, as the scripts take it.
fn flag(value: bool) -> &'static str {
    if value { "1" } else { "" }
}

/// A value that this version did not write.
fn unreadable(what: &'static str) -> StoreError {
    StoreError { reason: format!("{what} in Redis cannot be read: mend or delete it") }
}

/// A connection to one Redis, for one worker thread, which runs its tasks in a `LocalSet` as actix-web's do. A task of the
/// runtime would wake that set once more for each answer of Redis.
#[derive(Clone)]
pub struct Redis {
    link: Rc<Link>,
    session_ttl: Duration,
    clock: Rc<dyn Fn() -> DateTime<Utc>>,
    clocks: Clocks,
    earlier: EarlierParts,
    /// The life of tokens that was noted last, where, and when.
    noted_life: Rc<cell::RefCell<Option<NotedLife>>>,
    access: RedisAccess,
}

type NotedLife = (Arc<RedisUrl>, Duration, DateTime<Utc>);

impl Redis {
    /// Connects at the first use. Session keys are stored for `session_ttl`; `clock` dates bindings.
    pub fn new(
        access: &RedisAccess,
        session_ttl: Duration,
        clock: fn() -> DateTime<Utc>,
        observer: impl Observer + Clone + 'static,
    ) -> Self {
        let clocks = Clocks::new(Arc::clone(&access.stepped_back), observer.clone());
        let link = Rc::new(Link::new(&access.link, observer));
        Self {
            link,
            session_ttl,
            clock: Rc::new(clock),
            clocks,
            earlier: EarlierParts::default(),
            noted_life: Rc::default(),
            access: access.clone(),
        }
    }

    /// The way to Redis, for checks of Redis itself.
    pub fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// The same connection, with bindings dated `instant`.
    pub fn at(&self, instant: DateTime<Utc>) -> Self {
        Self { clock: Rc::new(move || instant), ..self.clone() }
    }
}

/// The names of keys. Braces are hash tags: a Cluster keeps keys with the same tag in one slot. The tag begins at the first
/// `{` and ends at the next `}`; of the texts that are put in braces, a user id alone may have braces itself.
mod name {
    use std::fmt::{self, Display};

    use super::*;

    macro_rules! of_person {
        ($($(#[$doc:meta])* $name:ident = $what:literal;)+) => {
            $($(#[$doc])* pub(super) fn $name(person: &Person) -> impl Display { of_person(person, $what) })+
        };
    }

    of_person! {
        binding = "binding";
        session = "session";
        /// The users whom the person has left, or who did not take the person.
        left = "left";
        tries = "limit:tries";
        logins = "limit:eighths:logins";
        /// Failed passwords for all user names: one key, so that an erasure finds it.
        attempts = "limit:eighths:names";
    }

    /// The code is stored hashed, because it is a credential for some minutes.
    pub(super) fn code(app: &AppId, code: &LoginCode) -> impl Display {
        let digest = short_digest(&[app.as_str(), code.as_str()].join(":"));
        fmt::from_fn(move |f| write!(f, "wxmint:code:{{{digest}}}"))
    }

    pub(super) fn access_token(app: &AppId) -> impl Display {
        fmt::from_fn(move |f| write!(f, "wxmint:{{{app}}}:access-token"))
    }

    pub(super) fn cell(cell: &Cell) -> impl Display {
        fmt::from_fn(move |f| match cell {
            Cell::Address(address) => write!(f, "wxmint:limit:eighths:ip:{address}"),
            Cell::Logins(person) => logins(person).fmt(f),
            Cell::Attempts(person, _) => attempts(person).fmt(f),
            Cell::Calls(person, call) => calls(person, *call).fmt(f),
            Cell::ForcedRenewals(app, seconds) => write!(f, "wxmint:{{{app}}}:limit:eighths:forced:{seconds}"),
        })
    }

    pub(super) fn calls(person: &Person, call: PersonalCall) -> impl Display {
        let what = match call {
            PersonalCall::Phone => "limit:eighths:phone",
            PersonalCall::Check => "limit:eighths:check",
            PersonalCall::Reset => "limit:eighths:reset",
            PersonalCall::EncryptKeys => "limit:eighths:encrypt-keys",
            PersonalCall::Logout => "limit:eighths:logouts",
            PersonalCall::Unbinding => "limit:eighths:unbindings",
        };
        of_person(person, what)
    }

    pub(super) fn user(user: &UserId) -> impl Display {
        // `}` at once would end an empty tag, which is none: the user's keys would lie in several slots. `%` is there twice, so
        // that no two users have one name.
        let mark = if user.as_str().starts_with(['}', '%']) { "%" } else { "" };
        fmt::from_fn(move |f| write!(f, "wxmint:user:{{{mark}{user}}}"))
    }

    /// Who has left the user's list, or was not admitted. Apart from the list, so that a token check does not read them.
    pub(super) fn gone(user: &UserId) -> impl Display {
        let list = self::user(user);
        fmt::from_fn(move |f| write!(f, "{list}:gone"))
    }

    /// The number of a person who was struck off the user's list, for a while.
    pub(super) fn struck(user: &UserId, person: &Person) -> impl Display {
        let (list, entry) = (self::user(user), binding::entry(person));
        fmt::from_fn(move |f| write!(f, "{list}:struck:{entry}"))
    }

    /// In the slot of the user's list, because one script reads both.
    pub(super) fn ends(user: &UserId) -> impl Display {
        let list = self::user(user);
        fmt::from_fn(move |f| write!(f, "{list}:ends"))
    }

    /// The end of one token. A key of its own, so that it expires by itself, and costs the same however many there are.
    pub(super) fn ended(user: &UserId, token: &TokenId) -> impl Display {
        let list = self::user(user);
        fmt::from_fn(move |f| write!(f, "{list}:ended:{token}"))
    }

    /// The stream of ends.
    pub(super) const STREAM: &str = "wxmint:ended";

    /// The lives of tokens, in the slot of the stream.
    pub(super) const LIVES: &str = "wxmint:{wxmint:ended}:lives";

    /// Notes that the end of a key is in the stream. In the slot of the stream.
    pub(super) fn ended_key(kid: &str) -> impl Display {
        fmt::from_fn(move |f| write!(f, "wxmint:{{{STREAM}}}:{kid}"))
    }

    pub(super) fn union(unionid: &UnionId) -> impl Display {
        fmt::from_fn(move |f| write!(f, "wxmint:union:{{{}}}", unionid.as_str()))
    }

    /// The ticket is stored hashed, because whoever can read Redis could otherwise redeem it.
    pub(super) fn ticket(ticket: &Ticket) -> impl Display {
        let digest = short_digest(ticket.expose());
        fmt::from_fn(move |f| write!(f, "wxmint:ticket:{{{digest}}}"))
    }

    /// All keys of a person lie in one slot.
    fn of_person<'a>(person: &'a Person, what: &'static str) -> impl Display + use<'a> {
        let parts = ["wxmint:{", person.app.as_str(), ":", person.openid.as_str(), "}:", what];
        fmt::from_fn(move |f| parts.iter().try_for_each(|part| f.write_str(part)))
    }
}

#[async_trait(?Send)]
impl Store for Redis {
    async fn claim_code(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId, meter: &Meter) -> Result<Claim> {
        let counter = self.counter(meter);
        let key = name::code(app, code).to_string();
        let (own, mut claiming) = (attempt.to_string(), Call::at(&key));
        claiming.cmd("SET").arg(&key).arg(&own).arg("NX").arg("EX").arg(CLAIM_TTL.as_secs());
        claiming.cmd("TIME");
        type Claimed = (Option<String>, (u64, u64));
        let sent = Moment::now();
        let answers = self.link.run_both("claim_code", self.counting(&counter), claiming).await?;
        let (counted, (set, time)): (Value, Claimed) = answers;
        let micros = self.clocks.told(sent, time);
        // A claim that is repeated is granted again.
        let holder = async || self.link.run::<Option<String>>("claim_code", Call::of("GET", &key)).await;
        let is_claimed = set.is_some() || holder().await? == Some(own);
        if let Err(refused) = self.decide(&counter, counted).await? {
            if is_claimed {
                self.release_code(app, code, attempt).await?;
            }
            return Ok(Claim::Limited(refused));
        }
        Ok(match is_claimed {
            true => Claim::Granted(ExchangeOrder::new(micros, attempt)),
            false => Claim::Taken,
        })
    }

    async fn release_code(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId) -> Result<()> {
        let script = replace(&name::code(app, code), &attempt.to_string(), "");
        Ok(self.link.run("release_code", script).await?)
    }

    async fn record_login(&self, record: &LoginRecord) -> Result<Recorded> {
        self.record(record).await
    }

    async fn binding(&self, person: &Person) -> Result<Option<Binding>> {
        match found(person.clone(), &self.link.run("binding", stored_binding(person)).await?)? {
            Some(Found::Bound(binding)) => Ok(Some(binding)),
            _ => Ok(None),
        }
    }

    async fn session_keys(&self, person: &Person) -> Result<Option<SessionKeys>> {
        let key = name::session(person).to_string();
        let mut asked = Call::at(&key);
        asked.cmd("TIME").cmd("LRANGE").arg(&key).arg(0).arg(-1);
        let ((seconds, micros), lines): ((u64, u32), Lines) = self.link.run("session_keys", asked).await?;
        let mut usable = lines.usable(Duration::new(seconds, micros * 1000)).into_iter();
        Ok(usable.next().map(|current| SessionKeys { current, previous: usable.next() }))
    }

    async fn count(&self, meter: &Meter) -> Result<Result<Counted, TooMany>> {
        let counter = self.counter(meter);
        let answer = self.link.run("count", self.counting(&counter)).await?;
        self.decide(&counter, answer).await
    }

    async fn uncount(&self, meter: &Meter, counted: Counted) -> Result<()> {
        self.take_back(&self.counter(meter), counted).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use wxmint_redis_link::slot_of;

    use super::*;

    #[test]
    fn the_keys_of_one_user_are_of_one_slot_and_of_no_other_user() {
        let mut names = HashSet::new();
        for first in b'!'..=b'~' {
            for rest in ["", "lin", "}", "{", "}lin}", "{lin}", "%7Dlin"] {
                let user: UserId = format!("{}{rest}", char::from(first)).parse().expect("a user id");
                let ended = name::ended(&user, &"jti".parse().expect("a token id")).to_string();
                let [list, gone, ends] =
                    [name::user(&user).to_string(), name::gone(&user).to_string(), name::ends(&user).to_string()];
                let keys = [list, gone, ends, ended];
                let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
                assert_eq!(slots.len(), 1, "{keys:?}");
                keys.into_iter().for_each(|key| assert!(names.insert(key.clone()), "{key} is of two users"));
            }
        }
    }

    #[test]
    fn the_keys_of_one_person_are_of_one_slot() {
        // An AppID and an openid have neither braces nor colons.
        for odd in ["-", "_", "0", "a", "Z"] {
            let person = Person { app: odd.parse().expect("an AppID"), openid: odd.parse().expect("an openid") };
            let calls = [PersonalCall::Phone, PersonalCall::Check, PersonalCall::Reset];
            let mut keys: Vec<String> = calls.iter().map(|call| name::calls(&person, *call).to_string()).collect();
            keys.extend([name::binding(&person).to_string(), name::session(&person).to_string()]);
            keys.extend([name::logins(&person).to_string(), name::tries(&person).to_string()]);
            keys.push(name::cell(&Cell::Attempts(person, short_digest("}{%").to_string())).to_string());
            let slots: HashSet<_> = keys.iter().map(|key| slot_of(key.as_bytes())).collect();
            assert_eq!(slots.len(), 1, "{keys:?}");
        }
    }
}
