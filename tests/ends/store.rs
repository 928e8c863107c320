//! The store as plain data: what `src/store/redis/ends.rs` and its scripts do, one function for each script.

use std::{collections::BTreeMap, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wxmint::store::{ENDS_KEPT, ENDS_PUBLISHED, Ended};

use crate::rules::Rules;

/// Milliseconds since 1970 by the true clock, unless it says whose.
pub(crate) type Millis = i64;
pub(crate) const SECOND: Millis = 1_000;

/// A user's ends, by the names that they have in Redis.
#[derive(Clone, Default)]
struct Record {
    fields: BTreeMap<String, i64>,
    /// By the store's clock.
    expires: Millis,
}

/// An entry of the stream.
#[derive(Clone)]
struct Entry {
    /// Milliseconds and a number within them.
    id: (Millis, u64),
    end: String,
}

/// Everything that a failover may take back.
#[derive(Clone, Default)]
pub(crate) struct State {
    ends: BTreeMap<usize, Record>,
    /// By user and person: the generation, and whether they are admitted.
    lists: BTreeMap<(usize, usize), (u64, bool)>,
    blocked: BTreeMap<usize, bool>,
    stream: Vec<Entry>,
    stream_expires: Millis,
    last_id: (Millis, u64),
}

/// What a script that ends something answers, and whether it changed anything but marks.
pub(crate) struct Recorded {
    /// The second to be published, if the end is not in the stream yet.
    pub(crate) unpublished: Option<i64>,
    pub(crate) changed: bool,
}

#[derive(PartialEq, Eq)]
pub(crate) enum TokenState {
    Valid,
    EndedWithUser,
    Ended,
}

/// A part of the stream.
pub(crate) struct Read {
    pub(crate) ends: Vec<Ended>,
    pub(crate) cursor: String,
    pub(crate) more: bool,
}

fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).expect("some days")
}

impl State {
    /// What has expired by the store's clock is gone.
    pub(crate) fn expire(&mut self, now: Millis) {
        self.ends.retain(|_, record| record.expires > now);
        if self.stream_expires <= now {
            (self.stream, self.last_id) = (Vec::new(), (0, 0));
        }
    }

    pub(crate) fn admit(&mut self, user: usize, person: usize, generation: u64) {
        self.lists.insert((user, person), (generation, true));
    }

    pub(crate) fn has_admitted(&self, user: usize, person: usize, generation: u64) -> bool {
        self.lists.get(&(user, person)) == Some(&(generation, true))
    }

    pub(crate) fn set_blocked(&mut self, user: usize, blocked: bool) {
        self.blocked.insert(user, blocked);
    }

    pub(crate) fn is_blocked(&self, user: usize) -> bool {
        self.blocked.get(&user) == Some(&true)
    }

    /// `token_state.lua`
    pub(crate) fn token_state(&self, user: usize, app: &str, id: &str, iat: i64) -> TokenState {
        let field = |name: &str| self.ends.get(&user).and_then(|record| record.fields.get(name)).copied();
        if field("before").is_some_and(|before| iat <= before) {
            return TokenState::EndedWithUser;
        }
        let with_app = field(&format!("app:{app}")).is_some_and(|first| iat < first);
        if with_app || field(id).is_some() { TokenState::Ended } else { TokenState::Valid }
    }

    /// `end_token.lua`
    pub(crate) fn end_token(&mut self, user: usize, id: &str, until: i64, now: Millis, rules: &Rules) -> Recorded {
        let second = now.div_euclid(SECOND);
        let fields = &mut self.record(user, now).fields;
        fields.retain(|name, held| name == "before" || name.contains(':') || *held >= second);
        let changed = !fields.contains_key(id);
        if changed {
            fields.insert(id.to_owned(), until);
            fields.insert(format!("untold:{id}"), until);
        }
        self.recorded(user, id, changed, rules)
    }

    /// `end_user.lua`
    pub(crate) fn end_user(&mut self, user: usize, asked_at: Option<i64>, now: Millis, rules: &Rules) -> Recorded {
        let fields = &mut self.record(user, now).fields;
        let held = fields.get("before").copied().unwrap_or(-1);
        let changed = asked_at.is_none_or(|asked_at| held < asked_at || !rules.a_repetition_ends_nothing_newer);
        if changed {
            let before = held.max(asked_at.unwrap_or(0)).max(now.div_euclid(SECOND));
            fields.insert("before".into(), before);
            fields.insert("untold:before".into(), before);
        }
        self.recorded(user, "before", changed, rules)
    }

    /// `end_earlier.lua`
    pub(crate) fn end_earlier(&mut self, user: usize, app: &str, iat: i64, now: Millis, rules: &Rules) -> Recorded {
        let held = self.record(user, now).fields.get(&format!("app:{app}")).copied().unwrap_or(-1);
        if held < iat {
            self.end_app(user, app, (iat, iat - 1), now);
        }
        self.recorded(user, &format!("app:{app}"), held < iat, rules)
    }

    /// `dismiss.lua`
    pub(crate) fn dismiss(
        &mut self,
        (user, person): (usize, usize),
        generation: u64,
        app: &str,
        now: Millis,
        rules: &Rules,
    ) -> Recorded {
        let (decided, admitted) = self.lists.get(&(user, person)).copied().unwrap_or((0, true));
        if decided > generation {
            return Recorded { unpublished: None, changed: false };
        }
        if admitted {
            let second = now.div_euclid(SECOND);
            self.end_app(user, app, (second, second), now);
            self.lists.insert((user, person), (generation, false));
        }
        self.record(user, now);
        self.recorded(user, &format!("app:{app}"), admitted, rules)
    }

    /// `end_app.lua`
    fn end_app(&mut self, user: usize, app: &str, (first, before): (i64, i64), now: Millis) {
        let fields = &mut self.record(user, now).fields;
        for (name, second) in [(format!("app:{app}"), first), (format!("untold:app:{app}"), before)] {
            let held = fields.entry(name).or_insert(second);
            *held = second.max(*held);
        }
    }

    fn record(&mut self, user: usize, now: Millis) -> &mut Record {
        let record = self.ends.entry(user).or_default();
        record.expires = now + millis(ENDS_KEPT);
        record
    }

    fn recorded(&self, user: usize, name: &str, changed: bool, rules: &Rules) -> Recorded {
        let untold = self.ends.get(&user).and_then(|record| record.fields.get(&format!("untold:{name}"))).copied();
        Recorded { unpublished: untold.filter(|_| changed || rules.marks_what_is_untold), changed }
    }

    /// `publish_end.lua`. Redis trims whole parts of the stream, so `trims` is sometimes false.
    pub(crate) fn publish(&mut self, end: &Ended, trims: bool, now: Millis) {
        if trims {
            self.stream.retain(|entry| entry.id.0 >= now - millis(ENDS_PUBLISHED));
        }
        let (last, number) = self.last_id;
        self.last_id = if now > last { (now, 0) } else { (last, number + 1) };
        self.stream.push(Entry { id: self.last_id, end: end.to_string() });
        self.stream_expires = now + millis(ENDS_PUBLISHED);
    }

    /// `note_published.lua`
    pub(crate) fn note_published(&mut self, user: usize, name: &str, second: i64) {
        let name = format!("untold:{name}");
        if let Some(record) = self.ends.get_mut(&user)
            && record.fields.get(&name) == Some(&second)
        {
            record.fields.remove(&name);
        }
    }

    /// Whether the stream has this cursor.
    pub(crate) fn has(&self, cursor: &str, rules: &Rules) -> bool {
        !rules.a_cursor_must_exist || self.stream.iter().any(|entry| entry.cursor(rules) == cursor)
    }

    /// The ends after `cursor`. `None` if the stream does not begin with it.
    pub(crate) fn read(&self, cursor: &str, most: usize, rules: &Rules) -> Option<Read> {
        let mut entries: Vec<&Entry> = self.stream.iter().collect();
        if !cursor.is_empty() {
            let from = id_of(cursor);
            entries.retain(|entry| entry.id > from || rules.a_cursor_must_exist && entry.id == from);
            let begins_with_it = entries.first().is_some_and(|entry| entry.cursor(rules) == cursor);
            match () {
                () if begins_with_it => drop(entries.remove(0)),
                () if !rules.a_cursor_must_exist => {}
                () if rules.the_second_read_looks_too || entries.is_empty() => return None,
                () => drop(entries.remove(0)),
            }
        }
        let more = entries.len() > most;
        entries.truncate(most);
        Some(Read {
            cursor: entries.last().map_or_else(|| cursor.to_owned(), |entry| entry.cursor(rules)),
            ends: entries.iter().map(|entry| entry.end.parse().expect("an end")).collect(),
            more,
        })
    }
}

impl Entry {
    /// `cursor_of`
    fn cursor(&self, rules: &Rules) -> String {
        let content = digest(&SHA256, self.end.as_bytes());
        let content = if rules.a_cursor_has_a_hash { &content.as_ref()[..6] } else { &[] };
        format!("{}-{}.{}", self.id.0, self.id.1, URL_SAFE_NO_PAD.encode(content))
    }
}

fn id_of(cursor: &str) -> (Millis, u64) {
    let (id, _) = cursor.split_once('.').expect("a hash");
    let (millis, number) = id.split_once('-').expect("two numbers");
    (millis.parse().expect("a number"), number.parse().expect("a number"))
}
