//! A write like a login's own, by which a process finds out whether Redis takes logins.

use redis::Value;
use wxmint_ids::{AppId, OpenId, Person};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::{Error, Primary, slot_of};

use super::stored::{line, quarter};
use super::{Call, Redis, name, script};
use crate::{AttemptId, ExchangeOrder};

/// The written key is gone after so many microseconds.
const LIFE: u64 = 5_000_000;

impl Redis {
    /// Writes at each primary what a login of a stranger writes, with the same commands and script. Nobody is the
    /// stranger.
    pub async fn try_a_login(&self) -> Result<(), Error> {
        for (primary, _) in self.link.all_primaries().await? {
            let Some(stranger) = stranger_of(&primary) else { continue };
            self.link.run::<Value>("try_a_login", self.login_of(&stranger)).await?;
        }
        Ok(())
    }

    fn login_of(&self, stranger: &Person) -> Call {
        let now = self.now_micros();
        let order = ExchangeOrder::new(now, &AttemptId::new([0; 16]));
        let call = script::RECORD_LOGIN.on(&name::all(stranger, [name::binding, name::session, name::logins]));
        let call = call.arg(line(&order, quarter(now + LIFE), &Sealed::nothing())).arg(LIFE / 1_000_000);
        // Always within the limit, and counted for as long as the cell lives.
        let call = call.arg(format!("{} {LIFE}", u32::MAX)).arg("");
        let (claim, cell) = (name::tries(stranger), name::limit_of(stranger, "names"));
        let call = call.cmd("SET").arg(&claim).arg("").arg("NX").arg("PX").arg(LIFE / 1_000);
        let call = call.cmd("HINCRBY").arg(&cell).arg("0").arg(1).cmd("PEXPIRE").arg(&cell).arg(LIFE / 1_000);
        call.cmd("HDEL").arg(&cell).arg("1").cmd("HGETALL").arg(&cell)
    }
}

/// A person whose keys lie at this primary. An openid of WeChat's is longer.
fn stranger_of(primary: &Primary) -> Option<Person> {
    let app: AppId = "wxmint-readiness".parse().ok()?;
    let has = |person: &Person| {
        let slot = slot_of(name::session(person).as_bytes());
        primary.slots.iter().any(|slots| slots.contains(&slot))
    };
    let people = (0..100_000).filter_map(|number| {
        let openid: OpenId = number.to_string().parse().ok()?;
        Some(Person { app: app.clone(), openid })
    });
    people.into_iter().find(has)
}
