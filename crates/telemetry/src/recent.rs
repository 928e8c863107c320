//! This process remembers the latest events: the logins of the last hour, by mini program and outcome, and the last
//! events of users, which are found by user and by request id. Both are in memory alone: they end with the process, and
//! other processes have their own.

#[cfg(test)]
mod tests;
mod told;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::{sync::Arc, time::Instant};

use parking_lot::Mutex;
use wxmint_ids::{AppId, Person, UserId};

pub use self::told::{LastHour, UserEvent, UserEvents};
use super::audit::{Event, now};

pub(super) const OK: &str = "ok";
/// The events of one room, in about 2.5 MB.
const MOST: usize = 8192;

/// The memory. Minutes are counted from its beginning by a clock that nobody sets.
pub struct Recent {
    begun: Instant,
    hour: Mutex<Hour>,
    /// The last has what is nobody's.
    rooms: [Mutex<Room>; 6],
}

/// How many logins each minute of an hour had.
#[derive(Default)]
pub struct Hour(BTreeMap<u64, Counts>);

/// By mini program and outcome.
pub type Counts = HashMap<(Option<AppId>, &'static str), u32>;

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
        self.hour.lock().count(self.minute(), app, outcome);
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
}

impl Hour {
    pub fn count(&mut self, minute: u64, app: Option<AppId>, outcome: &'static str) {
        if !self.0.contains_key(&minute) {
            self.forget_before(first(minute));
        }
        *self.0.entry(minute).or_default().entry((app, outcome)).or_default() += 1;
    }

    fn forget_before(&mut self, minute: u64) {
        self.0.retain(|of, _| *of >= minute);
    }
}

/// The first minute of the hour that ends with this one.
pub fn first(minute: u64) -> u64 {
    minute.saturating_sub(59)
}
