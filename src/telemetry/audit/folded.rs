//! Events that strangers can cause without end are told as counts, and a limit that has refused somebody is told when it lets
//! them in again.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Activity, Event, Origin, Several, now, write};

pub(super) static FOLDED: LazyLock<Folded> = LazyLock::new(|| Folded(Mutex::default()));

/// So many kinds are told apart, in about 10 MB. Further ones are counted together, by their reason.
const MOST: usize = 10_000;
/// For so long after a limit lets in again is it remembered whom the limit has refused.
const LIMIT_KEPT: TimeDelta = TimeDelta::hours(1);

pub(super) struct Folded(Mutex<HashMap<String, Kind>>);

/// Events of one reason, by one client or person.
struct Kind {
    /// When one was told last.
    told: DateTime<Utc>,
    first: DateTime<Utc>,
    count: u32,
    /// The last of those that wait to be told.
    held: Option<Event>,
    /// Until when it is remembered whom a limit has refused.
    kept: Option<DateTime<Utc>>,
}

impl Folded {
    /// The event, if it is to be told now.
    pub(super) fn admit(&self, who: &str, mut event: Event, now: DateTime<Utc>) -> Option<Event> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = key(&event, who);
        if kinds.len() >= MOST && !kinds.contains_key(&key) {
            let Event { activity, refused, limit, .. } = event;
            key = format!("{activity:?} {refused:?} {limit:?}");
            event = Event { refused, limit, ..Event::new(activity, Origin::default()) };
        }
        let told = DateTime::<Utc>::MIN_UTC;
        let kind = kinds.entry(key).or_insert(Kind { told, first: now, count: 0, held: None, kept: None });
        kind.kept = event.until.map(|until| until + LIMIT_KEPT);
        kind.count = kind.count.saturating_add(1);
        if kind.held.is_none() && is_over(kind.told, now) {
            kind.told = now;
            return Some(event);
        }
        let several = match kind.held.take().and_then(|held| held.several) {
            Some(several) => Several { count: several.count.saturating_add(1), last: now, ..several },
            None => Several { count: 1, first: now, last: now },
        };
        kind.held = Some(Event { several: Some(several), ..event });
        None
    }

    /// What waits and whose minute is over.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Vec<Event> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut due = Vec::new();
        kinds.retain(|_, kind| {
            if !is_over(kind.told, now) {
                return true;
            }
            match kind.held.take() {
                Some(held) => {
                    kind.told = now;
                    due.push(held);
                    true
                }
                None => kind.kept.is_some_and(|kept| now < kept),
            }
        });
        due
    }

    /// Forgets that the limit has refused `who`. What waits is told first.
    fn let_in(
        &self,
        limit: &'static str,
        who: impl FnOnce() -> String,
        event: impl FnOnce() -> Event,
    ) -> Option<[Option<Event>; 2]> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kinds.is_empty() {
            return None;
        }
        let kind = kinds.remove(&limit_key(limit, &who()))?;
        let several = Some(Several { count: kind.count, first: kind.first, last: kind.told });
        let event = Event { activity: Activity::LetIn, limit: Some(limit), several, ..event() };
        Some([kind.held, Some(event)])
    }
}

/// Tells the first request of `who` that this limit admits after it has refused some. `event` names the request.
pub fn let_in(limit: &'static str, who: impl FnOnce() -> String, event: impl FnOnce() -> Event) {
    let told = FOLDED.let_in(limit, who, event);
    told.into_iter().flatten().flatten().for_each(|event| write(&event, now()));
}

fn is_over(told: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now.signed_duration_since(told) >= TimeDelta::minutes(1)
}

fn key(event: &Event, who: &str) -> String {
    match event.limit {
        Some(limit) => limit_key(limit, who),
        None => format!("{:?} {:?} {who}", event.activity, event.refused),
    }
}

fn limit_key(limit: &str, who: &str) -> String {
    format!("limit {limit} {who}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(limit: Option<&'static str>, until: Option<DateTime<Utc>>) -> Event {
        Event { refused: Some("code".into()), limit, until, ..Event::new(Activity::Login, Origin::default()) }
    }

    #[test]
    fn each_kind_is_told_at_once_and_then_once_a_minute_with_the_count() {
        let (folded, at) = (Folded(Mutex::default()), |seconds| DateTime::from_timestamp(seconds, 0).expect("a date"));
        let admitted = |who, seconds| folded.admit(who, refused(None, None), at(seconds)).is_some();
        assert_eq!(
            [admitted("a", 0), admitted("a", 1), admitted("b", 2), admitted("a", 59)],
            [true, false, true, false]
        );
        assert!(folded.due(at(59)).is_empty());
        let due = folded.due(at(60));
        let told = due.iter().map(|event| event.several.expect("a count")).collect::<Vec<_>>();
        assert_eq!(told, [Several { count: 2, first: at(1), last: at(59) }]);
        assert!(!admitted("a", 61), "at most one a minute");
        assert_eq!([folded.due(at(120)).len(), folded.due(at(200)).len()], [1, 0]);
        assert!(folded.0.lock().expect("not poisoned").is_empty());
    }

    #[test]
    fn refusals_without_number_take_bounded_memory_and_are_counted_all_the_same() {
        let (folded, now) = (Folded(Mutex::default()), DateTime::UNIX_EPOCH);
        let told =
            (0..MOST + 50).filter(|who| folded.admit(&who.to_string(), refused(None, None), now).is_some()).count();
        assert_eq!(told, MOST + 1);
        let due = folded.due(now + TimeDelta::minutes(1));
        assert_eq!((due.len(), due[0].several.map(|several| several.count)), (1, Some(49)));
    }

    #[test]
    fn a_limit_is_remembered_for_an_hour_after_it_lets_in_again() {
        let (folded, now) = (Folded(Mutex::default()), DateTime::UNIX_EPOCH);
        let until = now + TimeDelta::hours(2);
        assert!(folded.admit("a", refused(Some("ip"), Some(until)), now).is_some());
        let is_known = |minutes| {
            folded.due(now + TimeDelta::minutes(minutes));
            !folded.0.lock().expect("not poisoned").is_empty()
        };
        assert_eq!([179, 180].map(is_known), [true, false]);
        assert!(folded.let_in("ip", || "a".into(), || refused(None, None)).is_none());
    }
}
