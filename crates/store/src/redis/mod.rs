//! The store in Redis: one server, a primary that Sentinels watch, or a Cluster. Each operation takes one round trip. A
//! script touches the keys of one hash slot, so that it also runs on a Cluster. The link carries calls and confirmed
//! writes through a failover; docs/decisions/0016 has the reasons.

pub(crate) mod access_token;
mod binding;
pub(crate) mod clocks;
pub(crate) mod ends;
pub(crate) mod erasure;
pub mod limits;
mod login;
pub(crate) mod name;
mod script;
pub(crate) mod session;
pub(crate) mod stored;
pub(crate) mod stream;
pub(crate) mod ticket;
pub mod walk;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use redis::Value;
use wxmint_ids::{Person, packed};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::{Call, Confirm, Observer, Reason, RedisClient, RedisUrl, slot_of};

pub use self::clocks::{APART as CLOCKS_APART, FAR as CLOCK_IS_FAR};
use self::clocks::{Clocks, SteppedBack};
use self::limits::EarlierParts;
pub use self::script::unreadable;
use self::script::{flag, replace};
use crate::memory::Memory;
use crate::{
    AttemptId, ExchangeTimestamp, Lives, LoginRecord, RateLimitKey, Result, Revocation, UnboundPolicy, limits::Rate,
};

/// The word of the store where user ids are drawn.
pub const DRAWN: &str = "random";

/// Where Redis is, what the process knows of its clock, and the ends that it has put there. A process makes one.
#[derive(Clone)]
pub struct StoreAccess {
    pub link: wxmint_redis_link::RedisAccess,
    stepped_back: SteppedBack,
    made: Arc<Mutex<Vec<Revocation>>>,
}

impl StoreAccess {
    pub fn new(link: wxmint_redis_link::RedisAccess) -> Self {
        Self { link, stepped_back: SteppedBack::default(), made: Arc::default() }
    }

    /// To a Redis in memory, which is empty and tells the time by `clock`.
    pub fn in_memory(clock: fn() -> DateTime<Utc>) -> Self {
        Self::new(wxmint_redis_link::RedisAccess::to(Memory::new(clock), Confirm::Replicas(0)))
    }
}

/// How long a token without a login is noted after it has expired: later ends name it also after the clock of Redis has
/// stepped back.
const NOTE_KEPT: Duration = Duration::from_secs(60 * 60);
/// A trial is always within the limit. What is written is gone after so many seconds, and an eighth of them.
const TRIAL: Rate = Rate { burst: u32::MAX, period: Duration::from_secs(5) };

/// A connection to one Redis, for one worker thread, which runs its tasks in a `LocalSet` as actix-web's do. A task of
/// the runtime would wake that set once more for each answer of Redis.
#[derive(Clone)]
pub struct Store {
    /// The way to Redis, for checks of Redis itself, and for whoever keeps something of its own there.
    pub link: Rc<RedisClient>,
    session_ttl: Duration,
    clock: Rc<dyn Fn() -> DateTime<Utc>>,
    clocks: Clocks,
    earlier: EarlierParts,
    /// The life of tokens that was noted last, where, and when.
    noted_life: Rc<RefCell<Option<NotedLife>>>,
    /// The lives that the store knew when it was asked last.
    known_lives: Rc<RefCell<Lives>>,
    made: Arc<Mutex<Vec<Revocation>>>,
}

type NotedLife = (Arc<RedisUrl>, Duration, DateTime<Utc>);

/// One value belongs to one worker thread. A step that is repeated with the same `attempt` answers the same again.
impl Store {
    /// Connects at the first use. Session keys are stored for `session_ttl`; `clock` dates bindings.
    pub fn new(
        access: &StoreAccess,
        session_ttl: Duration,
        clock: fn() -> DateTime<Utc>,
        observer: impl Observer + 'static,
    ) -> Self {
        let clocks = Clocks { stepped_back: Arc::clone(&access.stepped_back), ..Clocks::default() };
        let (link, clock, made) =
            (Rc::new(RedisClient::new(&access.link, observer)), Rc::new(clock), Arc::clone(&access.made));
        let (earlier, noted_life, known_lives) = (Rc::default(), Rc::default(), Rc::default());
        Self { link, session_ttl, clock, clocks, earlier, noted_life, known_lives, made }
    }

    /// By the clock of this machine.
    pub fn now(&self) -> DateTime<Utc> {
        (self.clock)()
    }

    /// The same connection, with bindings dated `instant`.
    pub fn at(&self, instant: DateTime<Utc>) -> Self {
        Self { clock: Rc::new(move || instant), ..self.clone() }
    }

    /// The store's word for how user ids come about: [`DRAWN`], or the id key with which they are computed. It is `own`
    /// from now on if it was none, or if it was that they are drawn: who draws user ids yields to who computes them.
    pub async fn id_key(&self, own: Option<&str>) -> Result<Option<String>> {
        let held: Option<String> = self.link.run("id_key", Call::of("GET", name::ID_KEY)).await?;
        let yields = |held: &Option<String>| held.as_deref().is_none_or(|held| held == DRAWN);
        let Some(own) = own.filter(|own| yields(&held) && held.as_deref() != Some(*own)) else { return Ok(held) };
        let replaced = script::replace(name::ID_KEY, DRAWN.as_bytes(), own.as_bytes());
        let held: Option<String> = self.link.run_confirmed("id_key", replaced).await?;
        Ok(if yields(&held) { Some(own.to_owned()) } else { held })
    }

    /// Keeps a text of a door's for a time, at a key of its own. The steps for these texts are commands on one key,
    /// so that replicas agree without a script: of those who want to be the first at a key, one is.
    pub async fn keep(&self, key: &str, text: &str, life: Duration) -> Result<()> {
        Ok(self.link.run("keep_text", keeping(key, text, life)).await?)
    }

    /// Keeps the first text, and returns it once replicas have it. A repetition with the same text finds its own.
    pub async fn keep_first(&self, key: &str, text: &str, life: Duration) -> Result<String> {
        let claimed = keeping(key, text, life).arg("NX").cmd("GET").arg(key);
        let (_, held): (Value, Option<String>) = self.link.run_confirmed("keep_text", claimed).await?;
        // A text that has expired since is nobody's.
        Ok(held.unwrap_or_default())
    }

    pub async fn kept(&self, key: &str) -> Result<Option<String>> {
        Ok(self.link.run("kept_text", Call::of("GET", key)).await?)
    }

    pub async fn discard(&self, key: &str) -> Result<()> {
        Ok(self.link.run_confirmed::<u64>("discard_text", Call::of("DEL", key)).await.map(drop)?)
    }

    /// Discards a text, if it is this one.
    pub async fn discard_own(&self, key: &str, text: &str) -> Result<()> {
        Ok(self.link.run("discard_text", replace(key, text.as_bytes(), b"")).await?)
    }

    /// Puts a text in the place of the one `before`, for the rest of that one's time. Answered once replicas have it.
    /// Returns whether the key holds it now: a repetition finds its own.
    pub async fn replace_kept(&self, key: &str, before: &str, text: &str) -> Result<bool> {
        let replaced = script::REPLACE_KEPT.on(&[key]).arg(before).arg(text);
        Ok(self.link.run_confirmed("keep_text", replaced).await?)
    }

    /// Writes at each primary what a login of a stranger writes, with the same commands and script. Nobody is the
    /// stranger.
    pub async fn try_a_login(&self) -> Result<(), Reason> {
        let stranger = |number: u32| {
            Some(Person { app: "wxmint-readiness".parse().ok()?, openid: number.to_string().parse().ok()? })
        };
        for (primary, _) in self.link.all_primaries().await? {
            // An openid of WeChat's is longer.
            let has = |person: &Person| primary.has(slot_of(name::session(person).as_bytes()));
            let Some(person) = (0..100_000).filter_map(stranger).find(has) else { continue };
            let (tries, meter) = (name::tries(&person), RateLimitKey::of_person(&person, "names", "", TRIAL));
            let order = ExchangeTimestamp::new(self.now_micros(), &AttemptId::new([0; 16]));
            let (session_key, if_unbound) = (Sealed::nothing(), UnboundPolicy::Counted);
            let record = self.recording(&LoginRecord { person, session_key, order, rate: TRIAL, if_unbound });
            let claim = record.cmd("SET").arg(tries).arg("").arg("NX").arg("EX").arg(TRIAL.period.as_secs());
            self.link.run::<Value>("try_a_login", claim.and(self.counting(&self.counter(&meter)))).await?;
        }
        Ok(())
    }
}

fn keeping(key: &str, text: &str, life: Duration) -> Call {
    Call::of("SET", key).arg(text).arg("EX").arg(life.as_secs().max(1))
}
