//! This process remembers the latest events: the logins of the last hour, by mini program and outcome, and the last
//! events of users, which are found by user and by request id. Both are in memory alone: they end with the process, and
//! other processes have their own.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::{sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use wxmint_ids::{AppId, Person, UserId};

use super::audit::{Event, now};

pub(super) const OK: &str = "ok";
/// The events of one room, in about 2.5 MB.
const MOST: usize = 8192;
const MOST_TOLD: usize = 100;

#[derive(Default)]
pub struct Recent {
    hour: Mutex<Hour>,
    /// The last has what is nobody's.
    rooms: [Mutex<Room>; 6],
}

/// How much each minute of an hour had. Minutes are counted from its beginning by a clock that nobody sets.
struct Hour {
    begun: Instant,
    minutes: BTreeMap<u64, Counts>,
}

/// By mini program and outcome.
type Counts = HashMap<(Option<AppId>, &'static str), u32>;

/// Events of one kind. Each kind has a room of its own, so that many of one kind make no other forgotten.
type Room = VecDeque<Noted>;

struct Noted {
    whose: Whose,
    request_id: Option<String>,
    event: UserEvent,
}

/// The user or person whom an event is about. A person belongs to the user to whom they are bound when somebody asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    User(UserId),
    Person(Person),
    /// A stranger whom WeChat has not named.
    Nobody,
}

/// Something that happened to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UserEvent {
    #[serde(serialize_with = "seconds")]
    #[schema(value_type = i64)]
    pub at: DateTime<Utc>,
    /// `login`, `bind`, `logout`, `unbind`; `device_approval`, the login of a page; or what an operator did: `end`,
    /// `block`, `unblock`, `unbind`, `forget`.
    #[schema(value_type = String, example = "login")]
    pub event: &'static str,
    #[schema(required, value_type = Option<String>)]
    pub appid: Option<AppId>,
    /// `ok`, or the code of the refusal.
    #[schema(value_type = String, example = "ok")]
    pub outcome: &'static str,
    /// The name of the operator's secret.
    #[schema(required, value_type = Option<String>)]
    pub by: Option<Arc<str>>,
}

/// The last events of a user, as far as this process knows them.
#[derive(Serialize, ToSchema)]
pub struct UserEvents {
    /// From then on, the list has every event that this process has seen, or the newest 100 of them.
    known_since: i64,
    /// Newest first.
    events: Vec<UserEvent>,
}

/// The logins of the last hour, as far as this process has answered them.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastHour {
    /// When the first minute of `logins` began.
    since: i64,
    logins: Vec<OutcomeByMinute>,
    /// By mini program.
    apps: Vec<LoginsOfApp>,
}

/// How many logins ended so.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct OutcomeByMinute {
    /// `ok`, or the code of the refusal.
    #[schema(value_type = String, example = "ok")]
    outcome: &'static str,
    /// Oldest first; at most 60. The last minute is not over.
    minutes: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct LoginsOfApp {
    /// Null for logins that named no mini program of this process.
    #[schema(required, value_type = Option<String>)]
    appid: Option<AppId>,
    ok: u64,
    refused: u64,
}

impl Default for Hour {
    fn default() -> Self {
        Self { begun: Instant::now(), minutes: BTreeMap::new() }
    }
}

impl Recent {
    /// Counts a login of an app that is configured.
    pub(super) fn count(&self, app: Option<AppId>, outcome: &'static str) {
        self.hour.lock().count(Instant::now(), app, outcome);
    }

    /// Notes what became of a request, for whoever looks up the user, the person or the request.
    pub fn note(&self, event: &Event, person: Option<Person>, outcome: &'static str) {
        let whose = event.user.clone().map_or_else(|| person.map_or(Whose::Nobody, Whose::Person), Whose::User);
        let appid = event.app.clone().or_else(|| event.client.as_ref().map(|client| client.0.clone()));
        let by = event.by.as_deref().map(Arc::from);
        let noted = UserEvent { at: now(), event: event.activity.code(), appid, outcome, by };
        self.keep(whose, event.origin.request_id.clone(), noted);
    }

    fn keep(&self, whose: Whose, request_id: Option<String>, event: UserEvent) {
        let room = match (&event, &whose) {
            (UserEvent { by: Some(_), .. }, _) => 0,
            (_, Whose::Nobody) => 5,
            (UserEvent { event: "logout" | "unbind", outcome: OK, .. }, _) => 1,
            (UserEvent { outcome: OK, .. }, _) => 2,
            (_, Whose::User(_)) => 3,
            (_, Whose::Person(_)) => 4,
        };
        let mut room = self.rooms[room].lock();
        if room.len() >= MOST {
            room.pop_front();
        }
        room.push_back(Noted { whose, request_id, event });
    }

    pub fn last_hour(&self, app: Option<&AppId>, now: DateTime<Utc>) -> LastHour {
        self.hour.lock().until((Instant::now(), now), app)
    }

    /// The events of a user, who has these people now.
    pub fn events_of(&self, user: &UserId, people: &[Person], now: DateTime<Utc>) -> UserEvents {
        let whose: Vec<_> = people.iter().cloned().map(Whose::Person).chain([Whose::User(user.clone())]).collect();
        let mut known_since = self.hour.lock().since(0, (Instant::now(), now));
        let mut events = Vec::new();
        for room in self.rooms[..5].iter().map(Mutex::lock) {
            if let Some(oldest) = room.front().filter(|_| room.len() >= MOST) {
                known_since = known_since.max(oldest.event.at.timestamp());
            }
            events.extend(room.iter().filter(|noted| whose.contains(&noted.whose)).map(|noted| noted.event.clone()));
        }
        // The binding comes first of one login's events.
        events.sort_by_key(|event| event.at);
        events.reverse();
        events.truncate(MOST_TOLD);
        UserEvents { known_since, events }
    }

    /// The events of the request with this id, and whom each is about.
    pub fn of_request(&self, id: &str) -> Vec<(Whose, UserEvent)> {
        let mut events = Vec::new();
        for room in self.rooms.iter().map(Mutex::lock) {
            let own = room.iter().filter(|noted| noted.request_id.as_deref() == Some(id));
            events.extend(own.map(|noted| (noted.whose.clone(), noted.event.clone())));
        }
        events.truncate(MOST_TOLD);
        events
    }
}

impl Hour {
    fn count(&mut self, at: Instant, app: Option<AppId>, outcome: &'static str) {
        let minute = self.minute(at);
        if !self.minutes.contains_key(&minute) {
            self.begin(at);
        }
        *self.minutes.entry(minute).or_default().entry((app, outcome)).or_default() += 1;
    }

    fn minute(&self, at: Instant) -> u64 {
        (at - self.begun).as_secs() / 60
    }

    /// The second in which a minute began.
    fn since(&self, minute: u64, (at, now): (Instant, DateTime<Utc>)) -> i64 {
        (now - TimeDelta::from_std(at - self.begun).unwrap_or_default()).timestamp() + 60 * minute as i64
    }

    /// Forgets what was before the hour that ends now. Returns the first minute of that hour.
    fn begin(&mut self, at: Instant) -> u64 {
        let first = self.minute(at).saturating_sub(59);
        self.minutes.retain(|of, _| *of >= first);
        first
    }

    /// The hour that ends now.
    fn until(&mut self, now: (Instant, DateTime<Utc>), app: Option<&AppId>) -> LastHour {
        let (minute, first) = (self.minute(now.0), self.begin(now.0));
        let (mut by_outcome, mut by_app) = (BTreeMap::new(), BTreeMap::new());
        for (of, counts) in &self.minutes {
            let wanted = counts.iter().filter(|((appid, _), _)| app.is_none_or(|app| appid.as_ref() == Some(app)));
            for ((appid, outcome), count) in wanted {
                let minutes = by_outcome.entry(*outcome).or_insert_with(|| vec![0; (minute - first + 1) as usize]);
                minutes[(of - first) as usize] += u64::from(*count);
                let of_app = by_app.entry(appid).or_insert(LoginsOfApp { appid: appid.clone(), ok: 0, refused: 0 });
                *(if *outcome == OK { &mut of_app.ok } else { &mut of_app.refused }) += u64::from(*count);
            }
        }
        let logins = by_outcome.into_iter().map(|(outcome, minutes)| OutcomeByMinute { outcome, minutes });
        LastHour { since: self.since(first, now), logins: logins.collect(), apps: by_app.into_values().collect() }
    }
}

fn seconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.timestamp())
}
