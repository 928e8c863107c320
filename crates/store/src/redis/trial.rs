//! A write like a login's own, by which a process finds out whether Redis takes logins.

use std::time::Duration;

use redis::Value;
use wxmint_ids::{AppId, Person};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::{Primary, Reason, slot_of};

use super::{Call, Redis, name};
use crate::{AttemptId, ExchangeOrder, LimitKey, LoginRecord, Meter, Newcomer, limits::Rate};

/// Always within the limit. What is written is gone after so many seconds, and an eighth of them.
const RATE: Rate = Rate { burst: u32::MAX, period: Duration::from_secs(5) };

impl Redis {
    /// Writes at each primary what a login of a stranger writes, with the same commands and script. Nobody is the
    /// stranger.
    pub async fn try_a_login(&self) -> Result<(), Reason> {
        for (primary, _) in self.link.all_primaries().await? {
            let Some(stranger) = stranger_of(&primary) else { continue };
            self.link.run::<Value>("try_a_login", self.login_of(&stranger)).await?;
        }
        Ok(())
    }

    fn login_of(&self, stranger: &Person) -> Call {
        let order = ExchangeOrder::new(self.now_micros(), &AttemptId::new([0; 16]));
        let (person, session_key) = (stranger.clone(), Sealed::nothing());
        let record = LoginRecord { person, session_key, order, rate: RATE, newcomer: Newcomer::Counted };
        let claim = self.recording(&record, None).cmd("SET").arg(name::tries(stranger)).arg("").arg("NX");
        let mut call = claim.arg("EX").arg(RATE.period.as_secs());
        call.and(self.counting(&self.counter(&Meter { key: LimitKey::of_person(stranger, "names", ""), rate: RATE })));
        call
    }
}

/// A person whose keys lie at this primary. An openid of WeChat's is longer.
fn stranger_of(primary: &Primary) -> Option<Person> {
    let app: AppId = "wxmint-readiness".parse().ok()?;
    let has = |person: &Person| primary.has(slot_of(name::session(person).as_bytes()));
    let person = |number: u32| Some(Person { app: app.clone(), openid: number.to_string().parse().ok()? });
    (0..100_000).filter_map(person).find(has)
}
