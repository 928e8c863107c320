//! The records of logins, which are steps of several subjects in one script.

use std::{rc::Rc, time::Duration};

use chrono::{DateTime, Utc};
use redis::Value;
use wxmint_ids::{Person, UserId, packed};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::{Call, RedisClient};

use super::bindings::stored::{StoredBinding, stored_binding};
use super::limits::{Rate, TooMany};
use super::sessions::{line, micros, owner_text, quarter};
use super::{Bindings, StoreClock, flag, name, script};
use crate::{BindingState, Bound, ExchangeTimestamp, Generation, Intent, Result, StoreError};

/// The values that a login writes, in one atomic step.
#[derive(Debug, Clone)]
pub struct LoginRecord {
    pub person: Person,
    /// The session key that the exchange brought.
    pub session_key: Sealed,
    /// When the exchange of the code began.
    pub order: ExchangeTimestamp,
    /// How often one person may log in.
    pub rate: Rate,
    /// How to record a person who has no binding.
    pub if_unbound: UnboundPolicy,
}

/// How to record a person who was never bound, and so has never unbound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnboundPolicy {
    /// Counts the login, as for bound persons.
    Counted,
    /// Records nothing, and answers [`Recorded::Unbound`].
    ReportOnly,
    /// Counts the login and begins to bind the person, but not if the person has unbound: a record
    /// that is repeated or arrives late must not undo the unbinding.
    Intended(Intent),
    /// Counts the login and answers the computed user. A person who has a binding is answered the
    /// binding's user.
    Computed {
        user: UserId,
        /// Whether to note the person on the user's list, so that the user's persons can be found.
        listed: bool,
    },
}

/// The outcome of recording a login. The session key of a bound person is stored even if the limit
/// is reached, because WeChat no longer accepts the old one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// The login is counted.
    Counted {
        state: BindingState,
        /// When the exchange began, by the store's clock. This is the token's `iat`, because a
        /// revocation of the person's tokens covers the last stored exchange, even if the clock has
        /// stepped back by then.
        at: DateTime<Utc>,
        /// Whether a revocation may name a token that is dated `at`. If so,
        /// [`Revocations::date_token`](crate::Revocations::date_token) decides.
        may_be_revoked: bool,
        /// The generation of the binding with which the session key is stored, also of a binding
        /// that this record begins. Session keys are stored only for persons with a binding or a
        /// computed user, so the erasure of a person is final until a login binds the person again,
        /// even if logins were in progress.
        kept_for: Option<Generation>,
    },
    Limited(TooMany),
    /// Nothing is recorded: see [`UnboundPolicy::ReportOnly`].
    Unbound,
    /// Nothing is recorded, because the person's session belongs to another user than the one that
    /// [`UnboundPolicy::Computed`] names.
    OtherUser,
}

/// The answer about a computed user's list: its fields `block`, `ended` and `floor`, and the day on
/// which the person was last seen; then the number of all fields. All fields but the first three
/// are persons.
type SeenUser = (
    (Option<Vec<u8>>, Option<i64>, Option<u64>, Option<Vec<u8>>),
    usize,
);

const A_DAY: u64 = 86_400;

/// The records of logins. One script counts the login of a person, reads the binding or begins it,
/// and stores the session key: so a login waits for Redis twice, once for the claim of its code and
/// once for its record. If bindings were kept elsewhere, a login would wait once more.
#[derive(Clone)]
pub struct LoginRecords {
    link: Rc<RedisClient>,
    clock: StoreClock,
    bindings: Bindings,
    session_ttl: Duration,
}

impl LoginRecords {
    pub(super) fn new(
        link: Rc<RedisClient>,
        clock: StoreClock,
        bindings: Bindings,
        session_ttl: Duration,
    ) -> Self {
        Self {
            link,
            clock,
            bindings,
            session_ttl,
        }
    }

    /// Counts the person's login and returns the state of the person's binding. Stores the session
    /// key if the person is bound or is bound by this record, unless a later exchange has stored
    /// one.
    pub async fn record(&self, record: &LoginRecord) -> Result<Recorded> {
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
