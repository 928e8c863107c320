//! The store in Redis: one server, a primary that Sentinels watch, or a Cluster. Each operation takes one round trip. A
//! script touches the keys of one hash slot, so that it also runs on a Cluster.
//!
//! How a call survives a failover: `link` sends it, `route` finds the new primary, `server` makes the connection anew.
//! How a binding survives it: `Link::run_confirmed` and `confirm`. docs/decisions/0016 has the reasons.

pub(crate) mod access_token;
mod binding;
mod clocks;
mod ends;
pub(crate) mod erasure;
mod meter;
mod name;
mod record;
mod script;
pub(crate) mod session;
mod stored;
mod stream;
pub(crate) mod ticket;
mod trial;
pub mod walk;

use std::time::{Duration, Instant as Moment};
use std::{cell::RefCell, rc::Rc, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use redis::Value;
use wxmint_ids::{AppId, LoginCode, packed};
use wxmint_redis_link::{Call, Confirm, Link, RedisUrl};

pub use self::clocks::{APART as CLOCKS_APART, FAR as CLOCK_IS_FAR, Observer};
use self::clocks::{Clocks, SteppedBack, not_ahead};
use self::meter::EarlierParts;
pub use self::script::unreadable;
use self::script::{flag, replace};
use crate::memory::Memory;
use crate::{
    AttemptId, CLAIM_TTL, Claim, DOUBTED_SINCE, ENDS_KEPT, Ended, ExchangeOrder, LIFE_HOLDS, LIFE_NOTED_EVERY, Meter,
    Result,
};

/// Where Redis is, what the process knows of its clock, and the ends that it has put there. A process makes one.
#[derive(Clone)]
pub struct RedisAccess {
    pub link: wxmint_redis_link::RedisAccess,
    stepped_back: SteppedBack,
    made: Arc<Mutex<Vec<Ended>>>,
}

impl RedisAccess {
    pub fn new(link: wxmint_redis_link::RedisAccess) -> Self {
        Self { link, stepped_back: SteppedBack::default(), made: Arc::default() }
    }

    /// To a Redis in memory, which is empty and tells the time by `clock`.
    pub fn in_memory(clock: fn() -> DateTime<Utc>) -> Self {
        Self::new(wxmint_redis_link::RedisAccess::to(Memory::new(clock), Confirm::Replicas(0)))
    }
}

/// A connection to one Redis, for one worker thread, which runs its tasks in a `LocalSet` as actix-web's do. A task of
/// the runtime would wake that set once more for each answer of Redis.
#[derive(Clone)]
pub struct Redis {
    link: Rc<Link>,
    session_ttl: Duration,
    clock: Rc<dyn Fn() -> DateTime<Utc>>,
    clocks: Clocks,
    earlier: EarlierParts,
    /// The life of tokens that was noted last, where, and when.
    noted_life: Rc<RefCell<Option<NotedLife>>>,
    made: Arc<Mutex<Vec<Ended>>>,
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
        let (link, clock, made) =
            (Rc::new(Link::new(&access.link, observer)), Rc::new(clock), Arc::clone(&access.made));
        Self { link, session_ttl, clock, clocks, earlier: Rc::default(), noted_life: Rc::default(), made }
    }

    /// The way to Redis, for checks of Redis itself, and for whoever keeps something of its own there.
    pub fn link(&self) -> &Rc<Link> {
        &self.link
    }

    /// By the clock of this machine.
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// Refuses an exchange that this machine calls far ahead. Verifiers would not accept its token, and later ends
    /// would reach to it.
    fn usable(&self, order: &ExchangeOrder) -> Result<()> {
        not_ahead(order.began_at().timestamp(), (self.clock)()).map(drop)
    }

    /// The same connection, with bindings dated `instant`.
    pub fn at(&self, instant: DateTime<Utc>) -> Self {
        Self { clock: Rc::new(move || instant), ..self.clone() }
    }
}

/// One value belongs to one worker thread. A step that is repeated with the same `attempt` answers the same again.
impl Redis {
    /// Notes the life of the tokens that this process issues, before it issues any. Ends are kept as long as the
    /// longest life requires that any replica has noted, also after the setting was shortened. Costs nothing if it was
    /// noted lately. A store that knows of no life when a process begins was emptied, or is new: since when is kept as
    /// [`DOUBTED_SINCE`], before anybody notes a life.
    pub async fn note_life(&self, life: Duration) -> Result<()> {
        let (now, url) = ((self.clock)(), self.link.access.url());
        let is_fresh = |at: DateTime<Utc>| (now - at).to_std().is_ok_and(|since| since < LIFE_NOTED_EVERY);
        let is_noted = |(at_url, noted, at): &NotedLife| Arc::ptr_eq(at_url, &url) && *noted >= life && is_fresh(*at);
        if self.noted_life.borrow().as_ref().is_some_and(is_noted) {
            return Ok(());
        }
        let begins = self.noted_life.borrow().is_none();
        if begins && self.link.run::<u64>("note_life", Call::of("HLEN", name::LIVES)).await? == 0 {
            self.keep(DOUBTED_SINCE, &now.timestamp().to_string(), ENDS_KEPT).await?;
        }
        self.note_life_again(life).await
    }

    /// The same where what was noted may be lost, and the process knows what else was.
    pub async fn note_life_again(&self, life: Duration) -> Result<()> {
        let (now, script) = ((self.clock)(), script::NOTE_LIFE.on(&[name::LIVES]));
        let script = script.arg(life.as_secs()).arg(LIFE_HOLDS.as_secs()).arg(now.timestamp());
        self.link.run::<u8>("note_life", script).await?;
        self.noted_life.replace(Some((self.link.access.url(), life, now)));
        Ok(())
    }

    /// Counts a login from an address, and claims `code` so that it is sent to WeChat once across all replicas.
    pub async fn claim_code(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId, meter: &Meter) -> Result<Claim> {
        let counter = self.counter(meter);
        let key = name::code(app, code);
        let own = attempt.to_string();
        let claiming = Call::of("SET", &key).arg(&own).arg("NX").arg("EX").arg(CLAIM_TTL.as_secs()).cmd("TIME");
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
        if !is_claimed {
            return Ok(Claim::Taken);
        }
        let order = ExchangeOrder::new(micros, attempt);
        self.clocks.compare((self.clock)(), order.began_at());
        if let Err(ahead) = self.usable(&order) {
            self.release_code(app, code, attempt).await?;
            return Err(ahead);
        }
        Ok(Claim::Granted(order))
    }

    /// Releases a claimed code that provably was not sent.
    pub async fn release_code(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId) -> Result<()> {
        Ok(self.link.run("release_code", replace(&name::code(app, code), attempt.to_string().as_bytes(), b"")).await?)
    }

    /// The store's word for the id key with which user ids are computed: `own` from now on, if it held none.
    pub async fn id_key(&self, own: Option<&str>) -> Result<Option<String>> {
        let held: Option<String> = self.link.run("id_key", Call::of("GET", name::ID_KEY)).await?;
        let Some(own) = own.filter(|_| held.is_none()) else { return Ok(held) };
        let asked = Call::of("SET", name::ID_KEY).arg(own).arg("NX").cmd("GET").arg(name::ID_KEY);
        let (_, held): (Value, Option<String>) = self.link.run_confirmed("id_key", asked).await?;
        Ok(held)
    }
}
