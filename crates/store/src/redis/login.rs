//! The store's part of a login: recording the login of a person.

use std::time::Duration;

use redis::Value;
use wxmint_ids::UserId;

use super::bindings::stored::{StoredBinding, stored_binding};
use super::sessions::{line, micros, owner_text, quarter};
use super::{Call, Store, flag, name, packed, script};
use crate::limits::TooMany;
use crate::{
    BindingState, Bound, Generation, Intent, LoginRecord, Recorded, Result, StoreError,
    UnboundPolicy,
};

/// The answer about a computed user's list: its fields `block`, `ended` and `floor`, and the day on
/// which the person was last seen; then the number of all fields. All fields but the first three
/// are persons.
type SeenUser = (
    (Option<Vec<u8>>, Option<i64>, Option<u64>, Option<Vec<u8>>),
    usize,
);

const A_DAY: u64 = 86_400;

impl Store {
    /// Counts the person's login and returns the state of the person's binding. Stores the session
    /// key if the person is bound or is bound by this record, unless a later exchange has stored
    /// one.
    pub async fn record_login(&self, record: &LoginRecord) -> Result<Recorded> {
        let person = &record.person;
        let computed = if let UnboundPolicy::Computed { user, listed } = &record.if_unbound {
            Some((user, *listed))
        } else {
            None
        };
        let script = self.recording(record);
        // Read outside the script, where it would cost Redis three times as much. This is safe: a
        // revocation that is made after the read covers the second of the login.
        let (recorded, mut stored, seen): (String, StoredBinding, Option<SeenUser>) = match computed
        {
            None => {
                let script = script.cmd("HGETALL").arg(name::binding(person));
                let (recorded, stored) = self.link.run("record_login", script).await?;
                (recorded, stored, None)
            }
            Some((user, _)) => {
                let seen = Call::of("HMGET", name::user(user)).arg(&["block", "ended", "floor"]);
                let seen = seen
                    .arg(packed::person(person))
                    .cmd("HLEN")
                    .arg(name::user(user));
                let (recorded, seen) = self.link.run_both("record_login", script, seen).await?;
                (recorded, StoredBinding::default(), Some(seen))
            }
        };
        let now = self.clock.redis_micros();
        match recorded.as_str() {
            "newcomer" => return Ok(Recorded::Unbound),
            "other" => return Ok(Recorded::OtherUser),
            _ => {}
        }
        let (sign, rest) = recorded
            .split_at_checked(1)
            .ok_or(StoreError::Damaged("a limit"))?;
        let full_until = rest.trim_start_matches('b');
        let has_binding = rest.starts_with('b');
        if !full_until.is_empty() {
            let until = micros(
                full_until
                    .parse()
                    .map_err(|_| StoreError::Damaged("a limit"))?,
            );
            return Ok(Recorded::Limited(TooMany {
                retry_after: Duration::from_micros(until.saturating_sub(now)),
            }));
        }
        if has_binding {
            stored = self
                .link
                .run("record_login", stored_binding(person))
                .await?;
        }
        let has_stepped_back = self
            .clock
            .time_before_step()
            .is_some_and(|before| now <= before);
        let mut may_be_revoked = sign != "=" || has_stepped_back || stored.may_be_revoked();
        let kept_for = if sign == "-" {
            None
        } else {
            // A session without a binding has a computed user.
            Some(stored.generation()?.unwrap_or(Generation::Computed))
        };
        let mut state = self.bindings.certain(person, stored).await?;
        let at = record.order.began_at();
        if let (Some(computed), Some(seen), false) = (computed, seen, has_binding) {
            may_be_revoked =
                has_stepped_back || seen.0.1.is_some_and(|revoked| at.timestamp() <= revoked);
            state = BindingState::Bound(self.see(record, computed, seen, sign).await?);
        }
        Ok(Recorded::Counted {
            state,
            at,
            may_be_revoked,
            kept_for,
        })
    }

    pub(super) fn recording(&self, record: &LoginRecord) -> Call {
        let LoginRecord {
            person,
            session_key,
            order,
            rate,
            if_unbound,
        } = record;
        let part = rate.part_at(self.clock.redis_micros());
        // One part longer than a login counts, because another process may know the time a little
        // better.
        let longest = (rate.life() * 10 / 9).as_millis().div_ceil(250) as u64;
        let line = line(order, quarter(rate.until(part)), session_key);
        let script = script::RECORD_LOGIN.on(&[
            &name::binding(person),
            &name::session(person),
            &name::logins(person),
        ]);
        let told = if *if_unbound == UnboundPolicy::ReportOnly {
            " 1"
        } else {
            ""
        };
        let script = script
            .arg(line)
            .arg(self.session_ttl.as_secs())
            .arg(format!("{} {longest}{told}", rate.burst));
        match if_unbound {
            UnboundPolicy::Computed { user, .. } => script.arg(owner_text(user)),
            UnboundPolicy::Intended(Intent {
                user,
                made,
                by_unionid,
            }) => script
                .arg("")
                .arg(packed::user(user))
                .arg(flag(*made))
                .arg(flag(*by_unionid)),
            UnboundPolicy::Counted | UnboundPolicy::ReportOnly => script.arg(""),
        }
    }

    /// Notes on the computed user's list that the person was seen today. If the person was not on
    /// the list, the login waits for this write and fails with it: otherwise this service would
    /// refuse the token, and operations on the user would not find the person. If the person was on
    /// the list, the login does not wait, because a lost day is noted at the next login.
    async fn see(
        &self,
        record: &LoginRecord,
        (user, listed): (&UserId, bool),
        seen: SeenUser,
        sign: &str,
    ) -> Result<Bound> {
        let (LoginRecord { person, order, .. }, ((block, revoked, floor, seen), fields)) =
            (record, seen);
        let people = fields
            - [block.is_some(), revoked.is_some(), floor.is_some()]
                .into_iter()
                .filter(|it| *it)
                .count();
        let blocked = block.is_some_and(|block| block.ends_with(b"on"));
        let today = format!("{}c", order.began_at().timestamp() as u64 / A_DAY).into_bytes();
        let is_old = seen
            .as_ref()
            .is_none_or(|day| day.ends_with(b"c") && *day != today);
        if listed && !blocked && is_old {
            let script = script::CHANGE_LIST.on(&[
                &name::user(user),
                &name::gone(user),
                &name::struck(user, person),
            ]);
            let script = script
                .arg("see")
                .arg(self.session_ttl.as_secs() + A_DAY)
                .arg(packed::person(person));
            match seen {
                Some(_) => self.link.unawaited("see", script.arg(today)),
                None => drop(self.link.run::<Value>("see", script.arg(today)).await?),
            }
        }
        // A user is not new if the person has a session from before lists were kept, or if the list
        // has other persons. A repetition may repeat the first login.
        let is_new = if listed {
            people == 0 && !["=", ">"].contains(&sign)
        } else {
            sign == "+"
        };
        Ok(Bound {
            new_for: is_new.then_some(order.mark),
            blocked,
            ..Bound::computed(user.clone())
        })
    }
}
