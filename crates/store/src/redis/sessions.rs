//! How session keys are stored and used. A session has a line for each of the two latest exchanges;
//! `session.lua` describes the form.

use std::{ops::Range, rc::Rc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use wxmint_ids::{AppId, Person, UserId, packed};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::scan::{Place, Slots};
use wxmint_redis_link::{Call, RedisClient};

use super::{Bindings, StoreClock, flag, name, script};
use crate::{AttemptId, ExchangeTimestamp, Generation, Result};

/// How long a replaced session key stays usable, for data that was encrypted just before a login.
pub const PREVIOUS_KEY_TTL: Duration = Duration::from_mins(10);
/// After this many failures of one person within [`FAILURES_WINDOW`] the session key is deleted.
/// Encrypted data has no MAC, so each failure might reveal something about it.
pub const MAX_FAILURES: u32 = 8;
/// The window in which failures are counted. It begins with the first failure.
pub const FAILURES_WINDOW: Duration = Duration::from_mins(10);

/// The bytes of a line that order its exchange: microseconds since 1970 in 52 bits, and 4 random
/// bits of the attempt, which distinguish two exchanges in one microsecond.
const ORDER: Range<usize> = 0..7;
/// The bytes of a line that say until when its login counts for the limit, in quarters of a second
/// since 2020; 0 if it does not count. They suffice until 2054.
const TILL: Range<usize> = 7..11;
/// A quarter of a second, in microseconds.
const QUARTER: u64 = 250_000;
/// The quarters of a second from 1970 to 2020.
const SINCE_2020: u64 = 1_577_836_800 * 4;

/// A sealed session key, and when the exchange that brought it began.
pub type ExchangedKey = (ExchangeTimestamp, Sealed);

/// The answer to a request to try a person's session keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The stored keys, newest first: at most two, the current and the previous one. And the
    /// timestamp for a session key that replaces them now. The caller must end the try with
    /// [`Sessions::close`].
    Keys(Vec<Sealed>, ExchangeTimestamp),
    /// The person is not bound to this user.
    NotBound,
    /// Failures and tries in progress have reached [`MAX_FAILURES`].
    Busy,
}

/// The letter in front of a session's owner.
const OWNER: &[u8] = b"u";
/// The bytes of a session's owner: a packed UUID.
const OWNER_LEN: usize = 17;

/// The session keys of persons. A key is stored with the binding for which its login brought it,
/// and is given out only to that binding's user: one script reads the binding and the session.
#[derive(Clone)]
pub struct Sessions {
    link: Rc<RedisClient>,
    clock: StoreClock,
    bindings: Bindings,
    session_ttl: Duration,
}

impl Sessions {
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

    /// The current session key, if there is one, followed by the key that it replaced less than
    /// [`PREVIOUS_KEY_TTL`] ago.
    pub async fn keys(&self, person: &Person) -> Result<Vec<Sealed>> {
        let key = name::session(person);
        let asked = Call::at(&key).cmd("TIME").cmd("GET").arg(&key);
        let ((seconds, micros), session): ((u64, u32), Option<Vec<u8>>) =
            self.link.run("session_keys", asked).await?;
        Ok(usable(
            &session.unwrap_or_default(),
            Duration::new(seconds, micros * 1000),
        ))
    }

    /// Begins a try with the session keys of a person who is bound to `user`.
    pub async fn open(
        &self,
        person: &Person,
        user: &UserId,
        attempt: &AttemptId,
    ) -> Result<Opening> {
        let script = try_keys("open", person, attempt)
            .arg(packed::user(user))
            .arg(owner_text(user));
        let (word, seconds, micros, session): (String, u64, u64, Vec<u8>) =
            self.link.run("open", script).await?;
        let now = Duration::from_secs(seconds) + Duration::from_micros(micros);
        let order = ExchangeTimestamp::new(now.as_micros() as u64, attempt);
        match word.as_str() {
            "not bound" => Ok(Opening::NotBound),
            "busy" => Ok(Opening::Busy),
            _ => self
                .clock
                .usable(&order)
                .map(|()| Opening::Keys(usable(&session, now), order)),
        }
    }

    /// Ends the try of `attempt`. `failed`: none of the keys decrypted the data; failures are
    /// counted. Returns whether this failure deleted the session keys; a repetition returns false.
    pub async fn close(&self, person: &Person, attempt: &AttemptId, failed: bool) -> Result<bool> {
        Ok(self
            .link
            .run(
                "close",
                try_keys("close", person, attempt).arg(flag(failed)),
            )
            .await?)
    }

    /// Stores a session key with the person's binding of this `generation`, unless a later exchange
    /// has stored one. Stores nothing if that binding is gone or its user is blocked. `login`: the
    /// date of the login's token, because a bind ticket is redeemed after its exchange began.
    /// `None` for a key that WeChat gave in place of another one: it is stored only if a session
    /// key is stored, because a logout may have come meanwhile.
    pub async fn keep(
        &self,
        person: &Person,
        generation: Generation,
        (order, sealed): &ExchangedKey,
        login: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let script = change_session(person, "keep")
            .arg(generation.number())
            .arg(line(order, 0, sealed));
        let script = script
            .arg(self.session_ttl.as_secs())
            .arg(flag(login.is_none()));
        Ok(self
            .link
            .run(
                "keep_session_key",
                script.arg(login.map_or(0, |at| at.timestamp())),
            )
            .await?)
    }

    /// Replaces a sealed session key by the same key under a newer vault key, if it is still
    /// stored.
    pub async fn reseal(&self, person: &Person, old: &Sealed, new: &Sealed) -> Result<()> {
        Ok(self
            .link
            .run(
                "reseal",
                change_session(person, "reseal")
                    .arg(old.as_bytes())
                    .arg(new.as_bytes()),
            )
            .await?)
    }

    /// Deletes the session keys. With the second of a login, only if no later login has brought a
    /// key. If the person is bound, the time of the last login stays with the binding.
    pub async fn delete_keys(&self, person: &Person, login: Option<i64>) -> Result<()> {
        Ok(self
            .link
            .run(
                "delete_session_key",
                change_session(person, "forget").arg(login),
            )
            .await?)
    }

    /// Deletes the session keys of the user's persons, in one app or in all apps, except those of
    /// `except`. Their next logins then check for revocations.
    pub async fn delete_keys_of(
        &self,
        user: &UserId,
        app: Option<&AppId>,
        except: Option<&Person>,
    ) -> Result<()> {
        let mut people = self.bindings.people_of(user).await?.unwrap_or_default();
        people.retain(|person| app.is_none_or(|app| person.app == *app) && Some(person) != except);
        for person in &people {
            self.delete_keys(person, None).await?;
        }
        Ok(())
    }

    /// Up to three sealed session keys and their persons. Needs the right to `SCAN`.
    pub async fn some_keys(&self) -> Result<Vec<(Person, Sealed)>> {
        const ENOUGH: usize = 3;
        let page = self
            .link
            .keys_like("wxmint:{*}:session", &Place::default(), Slots::MayBeMoving)
            .await?;
        let people = page
            .found
            .iter()
            .take(ENOUGH)
            .map(|key| name::person_of(key, "session"))
            .collect::<Result<Vec<_>>>()?;
        let keys = try_join_all(people.iter().map(|person| self.keys(person))).await?;
        Ok(people
            .into_iter()
            .zip(keys)
            .filter_map(|(person, keys)| Some((person, keys.into_iter().next()?)))
            .collect())
    }
}

/// An exchange as a line of a session, preceded by its length. `till`: until when the login counts,
/// in quarters of a second since 2020.
pub(super) fn line(order: &ExchangeTimestamp, till: u64, sealed: &Sealed) -> Vec<u8> {
    let place = order.micros << 4 | u64::from(order.mark.0 & 15);
    let (till, sealed) = (u32::try_from(till).unwrap_or(u32::MAX), sealed.as_bytes());
    let length = (TILL.end + sealed.len()) as u16;
    [
        &length.to_be_bytes()[..],
        &place.to_be_bytes()[1..],
        &till.to_be_bytes(),
        sealed,
    ]
    .concat()
}

/// The first quarter of a second that is not before this time, which is in microseconds since 1970.
pub(super) fn quarter(micros: u64) -> u64 {
    micros.div_ceil(QUARTER).saturating_sub(SINCE_2020)
}

/// The time of a quarter, in microseconds since 1970.
pub(super) fn micros(quarter: u64) -> u64 {
    (quarter + SINCE_2020) * QUARTER
}

/// The owner of a session, as it follows the lines.
pub(super) fn owner_text(user: &UserId) -> Vec<u8> {
    [OWNER, &packed::user(user)].concat()
}

/// The owner of a session: the computed user of a person without a binding.
pub(super) fn owner(session: &[u8]) -> Option<UserId> {
    packed::read_user(lines(session).1.strip_prefix(OWNER)?.get(..OWNER_LEN)?).ok()
}

/// The lines, and the text that follows them. Its first byte cannot be the first byte of a line's
/// length.
fn lines(mut session: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut lines = Vec::new();
    while let Some(([high @ 0..32, low], rest)) = session.split_first_chunk() {
        let Some((line, others)) = rest.split_at_checked(u16::from_be_bytes([*high, *low]).into())
        else {
            break;
        };
        lines.push(line);
        session = others;
    }
    (lines, session)
}

/// The stored session keys, each with the time of its exchange in microseconds since 1970, the
/// latest first.
pub(super) fn stored_keys(session: &[u8]) -> Vec<(u64, Sealed)> {
    let key = |line: &[u8]| {
        let (order, sealed) = line.get(ORDER).zip(line.get(TILL.end..))?;
        let place = order
            .iter()
            .fold(0, |place, byte| place << 8 | u64::from(*byte));
        Some((place >> 4, Sealed::from_stored(sealed.to_vec())))
    };
    lines(session).0.into_iter().map_while(key).collect()
}

/// The keys that may still be used, newest first. The previous key may be used for
/// [`PREVIOUS_KEY_TTL`] after it was replaced. `now`: since 1970.
pub(super) fn usable(session: &[u8], now: Duration) -> Vec<Sealed> {
    let keys = stored_keys(session);
    let latest = keys
        .first()
        .map(|(micros, _)| Duration::from_micros(*micros))
        .unwrap_or_default();
    let usable = if now.saturating_sub(latest) < PREVIOUS_KEY_TTL {
        2
    } else {
        1
    };
    keys.into_iter()
        .take(usable)
        .map(|(_, sealed)| sealed)
        .filter(|sealed| !sealed.is_nothing())
        .collect()
}

/// The second in which the last stored exchange began.
pub(super) fn exchanged(session: &[u8]) -> Option<DateTime<Utc>> {
    stored_keys(session)
        .first()
        .and_then(|(micros, _)| DateTime::from_timestamp((micros / 1_000_000) as i64, 0))
}

pub(super) fn change_session(person: &Person, step: &str) -> Call {
    script::CHANGE_SESSION
        .on(&[name::binding, name::session, name::logins].map(|key| key(person)))
        .arg(step)
}

fn try_keys(step: &str, person: &Person, attempt: &AttemptId) -> Call {
    let script = script::TRY
        .on(&[name::binding, name::session, name::logins, name::tries].map(|key| key(person)));
    script
        .arg(step)
        .arg(MAX_FAILURES)
        .arg(FAILURES_WINDOW.as_secs())
        .arg(attempt.to_string())
}
