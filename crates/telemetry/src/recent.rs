//! This process remembers the latest events: the logins of the last hour, by mini program and outcome, and the last
//! events of users, which are found by user and by request id. Both are in memory alone: they end with the process, and
//! other processes have their own.

mod hour;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Instant};

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use wxmint_ids::{AppId, Person, UserId};

pub use self::hour::{Counts, Hour, LoginsOfApp, OutcomeByMinute, first};
use super::audit::{Event, now};

const OK: &str = "ok";
/// The events of one room, in about 2.5 MB.
const MOST: usize = 8192;
const MOST_TOLD: usize = 100;

/// The memory. Minutes are counted from its beginning by a clock that nobody sets.
pub struct Recent {
    begun: Instant,
    hour: Mutex<Hour>,
    /// The last has what is nobody's.
    rooms: [Mutex<Room>; 6],
}

/// Events of one kind. Each kind has a room of its own, so that many of one kind make no other forgotten.
type Room = VecDeque<Noted>;

struct Noted {
    whose: Whose,
    request_id: Option<String>,
    event: UserEvent,
}

/// The user or person whom an event is about. A person belongs to the user whom the person is bound to when somebody
/// asks.
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

impl Default for Recent {
    fn default() -> Self {
        Self { begun: Instant::now(), hour: Mutex::default(), rooms: Default::default() }
    }
}

impl Recent {
    fn minute(&self) -> u64 {
        self.begun.elapsed().as_secs() / 60
    }

    /// Counts a login of an app that is configured.
    pub(super) fn count(&self, app: Option<AppId>, outcome: &'static str) {
        let mut hour = self.hour.lock();
        // Read now, so that no thread brings an earlier minute than the one before it.
        hour.count(self.minute(), app, outcome);
    }

    pub fn last_hour(&self, app: Option<&AppId>, now: DateTime<Utc>) -> LastHour {
        let begun = now - TimeDelta::from_std(self.begun.elapsed()).unwrap_or_default();
        let mut hour = self.hour.lock();
        let minute = self.minute();
        let (logins, apps) = hour.until(minute, app);
        LastHour { since: begun.timestamp() + 60 * first(minute) as i64, logins, apps }
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

    /// The events of a user, who has these people now.
    pub fn events_of(&self, user: &UserId, people: &[Person], now: DateTime<Utc>) -> UserEvents {
        let whose: Vec<_> = people.iter().cloned().map(Whose::Person).chain([Whose::User(user.clone())]).collect();
        let mut known_since = now - TimeDelta::from_std(self.begun.elapsed()).unwrap_or_default();
        let mut events = Vec::new();
        for room in self.rooms[..5].iter().map(Mutex::lock) {
            if let Some(oldest) = room.front().filter(|_| room.len() >= MOST) {
                known_since = known_since.max(oldest.event.at);
            }
            let own = room.iter().filter(|noted| whose.contains(&noted.whose));
            events.extend(own.map(|noted| noted.event.clone()));
        }
        // The binding comes first of one login's events.
        events.sort_by_key(|event| event.at);
        events.reverse();
        events.truncate(MOST_TOLD);
        UserEvents { known_since: known_since.timestamp(), events }
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

fn seconds<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(time.timestamp())
}
