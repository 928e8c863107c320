//! The store in Redis: one server, a primary that Sentinels watch, or a Cluster. Each operation
//! takes one round trip. A script touches the keys of one hash slot, so that it also runs on a
//! Cluster. The link repeats calls and confirmed writes across a failover; docs/decisions/0016 has
//! the reasons.

pub(crate) mod access_tokens;
pub(crate) mod bindings;
pub(crate) mod clocks;
pub(crate) mod codes;
pub(crate) mod erasures;
pub mod limits;
pub(crate) mod login_records;
pub(crate) mod name;
pub(crate) mod revocations;
mod script;
pub(crate) mod sessions;
pub(crate) mod texts;
pub(crate) mod tickets;
pub(crate) mod unbindings;
pub(crate) mod union_ids;
pub mod walk;

use std::{cell::RefCell, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use redis::Value;
use wxmint_ids::{Person, Platform};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::{Call, Observer, Reason, RedisClient, slot_of};

use self::access_tokens::AccessTokenLeases;
use self::bindings::{Bindings, DRAWN};
pub use self::clocks::{APART as CLOCKS_APART, FAR as CLOCK_IS_FAR};
use self::clocks::{SteppedBack, StoreClock};
use self::codes::Codes;
use self::erasures::Erasures;
use self::limits::{EarlierParts, RateLimits};
use self::login_records::LoginRecords;
use self::revocations::clients::ClientTokens;
use self::revocations::lives::{NotedLife, TokenLives};
use self::revocations::record::Revocations;
use self::revocations::stream::RevocationStream;
use self::script::{flag, replace};
use self::sessions::Sessions;
use self::texts::KeptTexts;
use self::tickets::Tickets;
use self::unbindings::Unbindings;
use self::union_ids::UnionIds;
use crate::{
    AttemptId, ExchangeTimestamp, Lives, LoginRecord, RateLimitKey, Result, Revocation,
    UnboundPolicy, limits::Rate,
};

/// Where Redis is, what the process knows about the clock of Redis, and the revocations that the
/// process has added to the stream. A process makes one and clones it.
#[derive(Clone)]
pub struct StoreAccess {
    /// Where Redis is and how to log in.
    pub link: wxmint_redis_link::RedisAccess,
    stepped_back: SteppedBack,
    made: Arc<Mutex<Vec<Revocation>>>,
}

impl StoreAccess {
    /// Access to the Redis of `link`, about whose clock nothing is known yet.
    pub fn new(link: wxmint_redis_link::RedisAccess) -> Self {
        Self {
            link,
            stepped_back: SteppedBack::default(),
            made: Arc::default(),
        }
    }

    /// Access to an empty Redis in memory, whose clock is `clock`. Needs the feature `memory`.
    #[cfg(any(test, feature = "memory"))]
    pub fn in_memory(clock: fn() -> DateTime<Utc>) -> Self {
        Self::new(wxmint_redis_link::RedisAccess::to(
            crate::memory::Memory::new(clock),
            wxmint_redis_link::Confirm::Replicas(0),
        ))
    }
}

/// The limit of the write probe, which is never reached. The probe's keys expire after this period
/// and an eighth of it.
const TRIAL: Rate = Rate {
    burst: u32::MAX,
    period: Duration::from_secs(5),
};

/// The store of one worker thread: a link to one Redis, and the values over it. Each value has the
/// operations of one subject. It is a cheap clone, so a use case holds the values that it needs.
///
/// The thread must run its tasks in a `LocalSet`, as actix-web's workers do: a task on the runtime
/// itself would wake the `LocalSet` once more for each answer of Redis.
#[derive(Clone)]
pub struct Store {
    /// The client of Redis, for checks of Redis itself, and for modules that keep other values
    /// there.
    pub link: Rc<RedisClient>,
    /// The clocks of this machine and of Redis.
    pub clock: StoreClock,
    /// The rate limits.
    pub limits: RateLimits,
    /// The claims of login codes.
    pub codes: Codes,
    /// The records of logins.
    pub logins: LoginRecords,
    /// The user of each person, and the persons of each user.
    pub bindings: Bindings,
    /// The users to whom unionids are linked.
    pub union_ids: UnionIds,
    /// Session keys.
    pub sessions: Sessions,
    /// Bind tickets.
    pub tickets: Tickets,
    /// The steps of an unbinding that also revoke tokens.
    pub unbindings: Unbindings,
    /// Erases all kinds of a person's data at once.
    pub erasures: Erasures,
    /// Revocations of tokens, and blocks of users.
    pub revocations: Revocations,
    /// The stream from which verifiers learn of revocations.
    pub revocation_stream: RevocationStream,
    /// The lives of tokens.
    pub token_lives: TokenLives,
    /// The clients that have tokens of a user.
    pub client_tokens: ClientTokens,
    /// Access tokens at WeChat, which all replicas share.
    pub access_tokens: AccessTokenLeases,
    /// Texts that doors keep here.
    pub texts: KeptTexts,
    session_ttl: Duration,
    caches: Caches,
}

/// Facts about the store that this worker thread remembers. All values of a store share them.
#[derive(Clone)]
struct Caches {
    earlier: EarlierParts,
    /// The life of tokens that was noted last, in which Redis, and when.
    noted_life: Rc<RefCell<Option<NotedLife>>>,
    /// The lives of tokens that the store had when it was last read.
    known_lives: Rc<RefCell<Lives>>,
    made: Arc<Mutex<Vec<Revocation>>>,
}

/// One value belongs to one worker thread. A step that is repeated with the same `attempt` gives
/// the same answer.
impl Store {
    /// Connects at the first use. Session keys expire after `session_ttl`; bindings are dated by
    /// `clock`.
    pub fn new(
        access: &StoreAccess,
        session_ttl: Duration,
        clock: fn() -> DateTime<Utc>,
        observer: impl Observer + 'static,
    ) -> Self {
        let link = Rc::new(RedisClient::new(&access.link, observer));
        let clock = StoreClock::new(Rc::clone(&link), clock, Arc::clone(&access.stepped_back));
        let caches = Caches {
            earlier: Rc::default(),
            noted_life: Rc::default(),
            known_lives: Rc::default(),
            made: Arc::clone(&access.made),
        };
        Self::over(link, clock, session_ttl, caches)
    }

    /// The values over one link.
    fn over(
        link: Rc<RedisClient>,
        clock: StoreClock,
        session_ttl: Duration,
        caches: Caches,
    ) -> Self {
        let limits = RateLimits::new(
            Rc::clone(&link),
            clock.clone(),
            EarlierParts::clone(&caches.earlier),
        );
        let codes = Codes::new(Rc::clone(&link), clock.clone(), limits.clone());
        let bindings = Bindings::new(Rc::clone(&link), clock.clone());
        let sessions = Sessions::new(
            Rc::clone(&link),
            clock.clone(),
            bindings.clone(),
            session_ttl,
        );
        let texts = KeptTexts::new(Rc::clone(&link));
        let token_lives = TokenLives::new(
            Rc::clone(&link),
            clock.clone(),
            texts.clone(),
            Rc::clone(&caches.noted_life),
            Rc::clone(&caches.known_lives),
        );
        let client_tokens = ClientTokens::new(Rc::clone(&link), clock.clone());
        let revocation_stream = RevocationStream::new(
            Rc::clone(&link),
            clock.clone(),
            token_lives.clone(),
            client_tokens.clone(),
            Arc::clone(&caches.made),
        );
        let revocations = Revocations::new(
            Rc::clone(&link),
            clock.clone(),
            bindings.clone(),
            revocation_stream.clone(),
            token_lives.clone(),
            client_tokens.clone(),
        );
        let logins = LoginRecords::new(
            Rc::clone(&link),
            clock.clone(),
            bindings.clone(),
            session_ttl,
        );
        Self {
            logins,
            unbindings: Unbindings::new(
                Rc::clone(&link),
                bindings.clone(),
                sessions.clone(),
                revocations.clone(),
            ),
            revocations,
            revocation_stream,
            token_lives,
            client_tokens,
            sessions,
            texts,
            union_ids: UnionIds::new(Rc::clone(&link)),
            erasures: Erasures::new(Rc::clone(&link), bindings.clone()),
            bindings,
            clock,
            limits,
            codes,
            tickets: Tickets::new(Rc::clone(&link)),
            access_tokens: AccessTokenLeases::new(Rc::clone(&link)),
            link,
            session_ttl,
            caches,
        }
    }

    /// The same connection, with bindings dated `instant`.
    pub fn at(&self, instant: DateTime<Utc>) -> Self {
        Self::over(
            Rc::clone(&self.link),
            self.clock.at(instant),
            self.session_ttl,
            self.caches.clone(),
        )
    }

    /// Write probe: performs a login's writes on each primary, with the same commands and script,
    /// for an openid that no person has.
    pub async fn try_a_login(&self) -> Result<(), Reason> {
        let stranger = |number: u32| {
            Some(Person {
                platform: Platform::WeChat,
                app: "wxmint-readiness".parse().ok()?,
                openid: number.to_string().parse().ok()?,
            })
        };
        for (primary, _) in self.link.all_primaries().await? {
            // The openids of WeChat are longer than these numbers.
            let has = |person: &Person| primary.has(slot_of(name::session(person).as_bytes()));
            let Some(person) = (0..100_000).filter_map(stranger).find(has) else {
                continue;
            };
            let (tries, meter) = (
                name::tries(&person),
                RateLimitKey::of_person(&person, "names", "", TRIAL),
            );
            let order = ExchangeTimestamp::new(self.clock.redis_micros(), &AttemptId::new([0; 16]));
            let (session_key, if_unbound) = (Sealed::nothing(), UnboundPolicy::Counted);
            let record = self.logins.recording(&LoginRecord {
                person,
                session_key,
                order,
                rate: TRIAL,
                if_unbound,
            });
            let claim = record
                .cmd("SET")
                .arg(tries)
                .arg("")
                .arg("NX")
                .arg("EX")
                .arg(TRIAL.period.as_secs());
            self.link
                .run::<Value>(
                    "try_a_login",
                    claim.and(self.limits.counter(&meter).counting()),
                )
                .await?;
        }
        Ok(())
    }
}
