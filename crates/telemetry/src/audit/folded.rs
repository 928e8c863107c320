//! Folds events that strangers can cause without limit: such events are written as counts.

use std::{collections::HashMap, mem, sync::LazyLock};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;

use super::{Activity, Event, Origin, is_on, now, write};

pub(super) static FOLDED: LazyLock<Folded> = LazyLock::new(|| Folded(Mutex::default()));

/// How many kinds of events are counted separately, in about 10 MB. Further refusals are counted
/// together, by their reason. Successes (logouts) have as much room again, so that refused
/// strangers cannot displace their details.
const MOST: usize = 10_000;

pub(super) struct Folded(Mutex<HashMap<String, Kind>>);

/// The number and times of several events that are written as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Several {
    pub(super) count: u32,
    pub(super) first: DateTime<Utc>,
    pub(super) last: DateTime<Utc>,
}

impl Event {
    /// Writes an event that `who` can cause without limit: at once if it is the first of its kind,
    /// otherwise once a minute with the count.
    pub fn tell_bounded(self, who: &str) {
        if !is_on() {
            return;
        }
        let now = now();
        if let Some(event) = &FOLDED.admit(who, self, now) {
            write(event, now);
        }
    }
}

/// The events of one reason from one client or person.
struct Kind {
    /// When an event was written last.
    told: DateTime<Utc>,
    /// The folded event that waits to be written.
    held: Option<Event>,
}

impl Folded {
    /// Returns the event if it is to be written now.
    pub(super) fn admit(&self, who: &str, mut event: Event, now: DateTime<Utc>) -> Option<Event> {
        let mut kinds = self.0.lock();
        let mut key = key(&event, who);
        let most = if event.refused.is_some() {
            MOST
        } else {
            2 * MOST
        };
        if kinds.len() >= most && !kinds.contains_key(&key) {
            if event.refused.is_none() {
                return Some(event);
            }
            let Event {
                activity,
                refused,
                limit,
                ..
            } = event;
            key = format!("{activity:?} {refused:?} {limit:?}");
            event = Event {
                refused,
                limit,
                ..Event::new(activity, Origin::default())
            };
        }
        let kind = kinds.entry(key).or_insert(Kind {
            told: DateTime::<Utc>::MIN_UTC,
            held: None,
        });
        if kind.held.is_none() && is_over(kind.told, now) {
            kind.told = now;
            return Some(event);
        }
        kind.held = Some(match kind.held.take() {
            None => Event {
                several: Some(Several {
                    count: 1,
                    first: now,
                    last: now,
                }),
                ..event
            },
            Some(held) => both(held, event, now),
        });
        None
    }

    /// The folded events whose minute is over. Drops kinds without a folded event.
    pub(super) fn due(&self, now: DateTime<Utc>) -> Vec<Event> {
        let mut kinds = self.0.lock();
        kinds.retain(|_, kind| kind.held.is_some() || !is_over(kind.told, now));
        let over = kinds.values_mut().filter(|kind| is_over(kind.told, now));
        over.filter_map(|kind| {
            mem::replace(
                kind,
                Kind {
                    told: now,
                    held: None,
                },
            )
            .held
        })
        .collect()
    }
}

/// Folds one more event into those that wait. Drops the members that differ, so that nobody is
/// charged with another's act. Request and trace are those of the last event.
fn both(earlier: Event, event: Event, now: DateTime<Utc>) -> Event {
    fn common<T: PartialEq>(earlier: Option<T>, value: Option<T>) -> Option<T> {
        value.filter(|value| earlier.as_ref() == Some(value))
    }
    let address = common(earlier.origin.address, event.origin.address);
    Event {
        origin: Origin {
            address,
            ..event.origin
        },
        subject: common(earlier.subject, event.subject),
        user: common(earlier.user, event.user),
        app: common(earlier.app, event.app),
        platform: common(earlier.platform, event.platform),
        app_kind: common(earlier.app_kind, event.app_kind),
        client: common(earlier.client, event.client),
        person: common(earlier.person, event.person),
        several: earlier.several.map(|all| Several {
            count: all.count.saturating_add(1),
            last: now,
            ..all
        }),
        ..event
    }
}

fn is_over(told: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - told).abs() >= TimeDelta::minutes(1)
}

fn key(event: &Event, who: &str) -> String {
    let Activity(class, .., code) = event.activity;
    match event.limit {
        Some(limit) => format!("{class} {code} limit {limit} {who}"),
        None => format!("{class} {code} {:?} {who}", event.refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Event {
        Event {
            refused: Some("code".into()),
            ..Event::new(Activity::LOGIN, Origin::default())
        }
    }

    #[test]
    fn each_kind_is_told_at_once_and_then_once_a_minute_with_the_count() {
        let (folded, at) = (Folded(Mutex::default()), |seconds| {
            DateTime::from_timestamp(seconds, 0).expect("a date")
        });
        let admitted = |who, seconds| folded.admit(who, refused(), at(seconds)).is_some();
        assert_eq!(
            [
                admitted("a", 0),
                admitted("a", 1),
                admitted("b", 2),
                admitted("a", 59)
            ],
            [true, false, true, false]
        );
        assert!(folded.due(at(59)).is_empty());
        let due = folded.due(at(60));
        let told = due
            .iter()
            .map(|event| event.several.expect("a count"))
            .collect::<Vec<_>>();
        assert_eq!(
            told,
            [Several {
                count: 2,
                first: at(1),
                last: at(59)
            }]
        );
        assert!(!admitted("a", 61), "at most one a minute");
        assert_eq!(
            [folded.due(at(120)).len(), folded.due(at(200)).len()],
            [1, 0]
        );
        assert!(folded.0.lock().is_empty());
        assert_eq!([admitted("c", 7200), admitted("c", 7201)], [true, false]);
        assert_eq!(
            folded.due(at(3600)).len(),
            1,
            "the clock was set back by an hour"
        );
    }

    /// A client that guesses a secret thirty times for alice and then once for bob has not guessed
    /// thirty-one times for bob.
    #[test]
    fn an_event_of_several_names_only_what_they_have_in_common() {
        let (folded, now) = (Folded(Mutex::default()), DateTime::UNIX_EPOCH);
        for (user, person, app_kind) in [
            ("mei", "a", None),
            ("alice", "a", None),
            ("alice", "b", None),
            ("bob", "b", Some("website")),
        ] {
            let origin = Origin {
                address: Some("192.0.2.1".into()),
                ..Origin::default()
            };
            folded.admit(
                "a",
                Event {
                    user: user.parse().ok(),
                    person: Some(person.to_owned()),
                    app_kind,
                    origin,
                    ..refused()
                },
                now,
            );
        }
        let [event] = &folded.due(now + TimeDelta::minutes(1))[..] else {
            panic!("one event")
        };
        assert_eq!(event.several.map(|several| several.count), Some(3));
        assert_eq!(
            (&event.user, event.app_kind, event.origin.address.as_deref()),
            (&None, None, Some("192.0.2.1"))
        );
        assert_eq!(event.person, None, "they were two persons");
    }

    #[test]
    fn refusals_of_one_limit_are_counted_apart_by_what_was_refused() {
        let (folded, now) = (Folded(Mutex::default()), DateTime::UNIX_EPOCH);
        for activity in [Activity::LOGIN, Activity::LOGOUT] {
            let event = Event {
                activity,
                limit: Some("ip"),
                ..refused()
            };
            assert!(
                folded.admit("a", event, now).is_some(),
                "the first is told at once"
            );
        }
    }

    #[test]
    fn refusals_without_number_take_bounded_memory_and_are_counted_all_the_same() {
        let (folded, now) = (Folded(Mutex::default()), DateTime::UNIX_EPOCH);
        let told = (0..MOST + 50)
            .filter(|who| folded.admit(&who.to_string(), refused(), now).is_some())
            .count();
        assert_eq!(told, MOST + 1);
        let due = folded.due(now + TimeDelta::minutes(1));
        assert_eq!(
            (due.len(), due[0].several.map(|several| several.count)),
            (1, Some(49))
        );
    }

    /// Otherwise a thief could cause thousands of refusals of strangers, and then revoke or unbind
    /// without a name in the audit log.
    #[test]
    fn what_succeeds_keeps_its_name_however_many_strangers_are_refused() {
        let (folded, now) = (Folded(Mutex::default()), DateTime::UNIX_EPOCH);
        for who in 0..MOST + 50 {
            folded.admit(&who.to_string(), refused(), now);
        }
        let logout = || Event {
            user: "u-1".parse().ok(),
            ..Event::new(Activity::LOGOUT, Origin::default())
        };
        for token in 0..MOST + 50 {
            let told = folded
                .admit(&format!("token {token}"), logout(), now)
                .expect("told at once");
            assert!(told.user.is_some());
        }
        assert!(
            folded.admit("token 1", logout(), now).is_none(),
            "repeated, it is folded all the same"
        );
        assert!(folded.0.lock().len() <= 2 * MOST + 1);
        let due = folded.due(now + TimeDelta::minutes(1));
        assert!(
            due.iter()
                .filter(|event| event.activity == Activity::LOGOUT)
                .all(|event| event.user.is_some())
        );
    }
}
