//! Claims of login codes, so that one replica alone sends a code to WeChat, once.

use std::{rc::Rc, time::Duration, time::Instant as Moment};

use redis::Value;
use wxmint_ids::{AppId, LoginCode};
use wxmint_redis_link::RedisClient;

use super::{Call, StoreClock, name, replace};
use crate::limits::{LimitError, TooMany};
use crate::{AttemptId, ExchangeTimestamp, RateLimitKey, RateLimits, Result};

/// How long a claimed code is remembered: twice as long as WeChat accepts the code.
pub const CLAIM_TTL: Duration = Duration::from_mins(10);

/// The answer to [`Codes::claim`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// This request may send the code to WeChat, once.
    Granted(ExchangeTimestamp),
    /// Another request, perhaps on another replica, has claimed this code.
    Taken,
    /// Too many logins from this address. The code is not claimed.
    Limited(TooMany),
}

/// The claims of login codes. A claim counts a login of its address in the same round trip.
#[derive(Clone)]
pub struct Codes {
    link: Rc<RedisClient>,
    clock: StoreClock,
    limits: RateLimits,
}

impl Codes {
    pub(super) fn new(link: Rc<RedisClient>, clock: StoreClock, limits: RateLimits) -> Self {
        Self {
            link,
            clock,
            limits,
        }
    }

    /// Counts a login from an address, and claims `code`, so that only one replica sends it to
    /// WeChat, once.
    pub async fn claim(
        &self,
        app: &AppId,
        code: &LoginCode,
        attempt: &AttemptId,
        meter: &RateLimitKey,
    ) -> Result<Claim> {
        let counter = self.limits.counter(meter);
        let key = name::code(app, code);
        let own = attempt.to_string();
        let claiming = Call::of("SET", &key)
            .arg(&own)
            .arg("NX")
            .arg("EX")
            .arg(CLAIM_TTL.as_secs())
            .cmd("TIME");
        type Claimed = (Option<String>, (u64, u64));
        let sent = Moment::now();
        let answers = self
            .link
            .run_both("claim_code", counter.counting(), claiming)
            .await?;
        let (counted, (set, time)): (Value, Claimed) = answers;
        let micros = self.clock.note_reading(sent, time);
        let is_claimed = if set.is_some() {
            true
        } else {
            // A repetition by the same attempt is granted again.
            let asked = Call::of("GET", &key);
            let holder: Option<String> = self.link.run("claim_code", asked).await?;
            holder == Some(own)
        };
        let order = ExchangeTimestamp::new(micros, attempt);
        let claim = match self.limits.decide(&counter, counted).await {
            Err(LimitError::Store(error)) => return Err(error),
            Err(LimitError::TooMany(refused)) => Ok(Claim::Limited(refused)),
            Ok(_) if !is_claimed => Ok(Claim::Taken),
            Ok(_) => self.clock.usable(&order).map(|()| Claim::Granted(order)),
        };
        if is_claimed && !matches!(claim, Ok(Claim::Granted(_))) {
            self.release(app, code, attempt).await?;
        }
        claim
    }

    /// Releases a claimed code. Call it only if the code was certainly not sent.
    pub async fn release(&self, app: &AppId, code: &LoginCode, attempt: &AttemptId) -> Result<()> {
        Ok(self
            .link
            .run(
                "release_code",
                replace(&name::code(app, code), attempt.to_string().as_bytes(), b""),
            )
            .await?)
    }
}
