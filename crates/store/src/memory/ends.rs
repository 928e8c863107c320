//! The ends of tokens in memory. The scripts in `redis/lua` must behave the same.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use wxmint_ids::{AppId, ClientId, Person, TokenId, UserId};

use super::{Memory, Shelves};
use crate::ends::{CLOCKS_DIFFER, kept};
use crate::{Admission, Ended, Ends, Issued, ReadEnds, Result, TokenState, UserState};

/// The ends of a user's tokens, in seconds since 1970.
#[derive(Default)]
pub(super) struct StoredEnds {
    /// Redis keeps each under a key of its own.
    tokens: HashSet<TokenId>,
    /// The second up to which all tokens are ended.
    before: Option<i64>,
    /// The first second in which the tokens of an app are not ended.
    apps: HashMap<AppId, i64>,
    /// The latest date ahead of the clock that a token has got.
    dated: i64,
    /// The tokens of an app's latest login with `WXMINT_ONE_LOGIN`, and of the earlier ones of the very second.
    seconds: HashMap<AppId, Vec<Issued>>,
}

impl StoredEnds {
    /// Up to this second, or up to the date of a token that was dated ahead of the clock. Returns which second that is.
    pub(super) fn end_app(&mut self, app: &AppId, second: i64) -> i64 {
        let before = second.max(self.dated);
        self.end_before(app, before + 1);
        before
    }

    fn end_before(&mut self, app: &AppId, first: i64) {
        let held = self.apps.entry(app.clone()).or_insert(first);
        *held = first.max(*held);
    }

    fn date(&mut self, token: &Issued, latest: i64) -> i64 {
        let first = self.before.map_or(i64::MIN, |before| before + 1);
        let first = first.max(self.apps.get(&token.app).copied().unwrap_or(i64::MIN));
        let date = first.max(token.issued_at);
        if token.issued_at < date && date <= latest {
            self.dated = self.dated.max(date);
        }
        date
    }

    /// All tokens of the second of `newest` except the last one.
    fn earlier_of_the_second(&mut self, newest: &Issued) -> Vec<Issued> {
        let tokens = self.seconds.entry(newest.app.clone()).or_default();
        tokens.retain(|token| token.issued_at == newest.issued_at);
        if !tokens.iter().any(|token| token.id == newest.id) {
            tokens.push(newest.clone());
        }
        tokens[..tokens.len() - 1].to_vec()
    }
}

/// The stream: each end with its number and the second in which it was added.
#[derive(Default)]
pub(super) struct StoredStream {
    /// The lives of tokens in seconds, each with the second up to which such a token may be left.
    pub(super) lives: HashMap<u64, i64>,
    entries: VecDeque<(u64, i64, Ended)>,
    last: u64,
}

impl StoredStream {
    pub(super) fn add(&mut self, ended: Ended, now: i64) {
        self.last += 1;
        self.entries.push_back((self.last, now, ended));
    }

    /// Forgets the oldest ends, and the users' that stand beside them.
    fn forget(&mut self, most: usize, now: i64) -> Vec<Ended> {
        let horizon = now - (self.keep(now) + CLOCKS_DIFFER).as_secs() as i64;
        let needless = self.entries.iter().take(most).take_while(|(_, added, _)| *added < horizon).count();
        self.entries.drain(..needless).map(|(_, _, ended)| ended).collect()
    }

    fn keep(&self, now: i64) -> Duration {
        kept(self.lives.iter().map(|(life, until)| (*life, *until)), now)
    }
}

#[async_trait(?Send)]
impl Ends for Memory {
    async fn token_state(&self, token: &Issued) -> Result<TokenState> {
        let shelves = self.shelves();
        if shelves.is_blocked(&token.user) {
            return Ok(TokenState::EndedWithUser { told: true });
        }
        if let Some(ends) = shelves.ends.get(&token.user) {
            if ends.before.is_some_and(|before| token.issued_at <= before) {
                return Ok(TokenState::EndedWithUser { told: true });
            }
            let with_app = ends.apps.get(&token.app).is_some_and(|first| token.issued_at < *first);
            let told = ends.tokens.contains(&token.id);
            if with_app || told {
                return Ok(TokenState::Ended { told });
            }
        }
        let people = shelves.users.get(&token.user).into_iter().flat_map(|list| list.admissions());
        let of_app = people.filter(|(person, _)| person.app == token.app);
        Ok(TokenState::People(
            of_app.map(|(person, generation)| Admission { person: person.clone(), generation }).collect(),
        ))
    }

    async fn date_token(&self, _: &Person, token: &Issued, latest: i64) -> Result<Option<i64>> {
        let mut shelves = self.shelves();
        if shelves.is_blocked(&token.user) {
            return Ok(None);
        }
        Ok(Some(shelves.ends.entry(token.user.clone()).or_default().date(token, latest)))
    }

    async fn end_token(&self, token: &Issued) -> Result<()> {
        let now = (self.clock)().timestamp();
        let mut shelves = self.shelves();
        let ends = shelves.ends.entry(token.user.clone()).or_default();
        if ends.tokens.insert(token.id.clone()) {
            let Issued { id, user, expires_at, .. } = token.clone();
            shelves.stream.add(Ended::Token { id, user, expires_at }, now);
        }
        Ok(())
    }

    async fn end_user(&self, user: &UserId, asked_at: Option<i64>) -> Result<()> {
        let (now, mut shelves) = self.open();
        let now = shelves.latest_second_of(user, now);
        let held = shelves.ends.entry(user.clone()).or_default();
        if asked_at.is_none() || held.before < asked_at {
            let before = now.max(held.dated).max(asked_at.unwrap_or_default()).max(held.before.unwrap_or_default());
            held.before = Some(before);
            shelves.stream.add(Ended::User { user: user.clone(), before }, now);
        }
        Ok(())
    }

    async fn end_in_app(&self, user: &UserId, app: &AppId) -> Result<()> {
        let (now, mut shelves) = self.open();
        let last = shelves.latest_second_of(user, now);
        shelves.end_in_app(user, app, last, now.timestamp());
        Ok(())
    }

    async fn end_earlier(&self, newest: &Issued, latest: i64) -> Result<Option<i64>> {
        let Issued { user, app, .. } = newest;
        let (date, earlier) = {
            let now = (self.clock)().timestamp();
            let mut shelves = self.shelves();
            if shelves.is_blocked(user) {
                return Ok(None);
            }
            let ends = shelves.ends.entry(user.clone()).or_default();
            let date = ends.date(newest, latest);
            if date > latest {
                return Ok(Some(date));
            }
            ends.end_before(app, date);
            let earlier = ends.earlier_of_the_second(&Issued { issued_at: date, ..newest.clone() });
            let ended = Ended::UserInApp { user: user.clone(), app: app.clone(), before: date - 1 };
            shelves.stream.add(ended, now);
            (date, earlier)
        };
        for token in &earlier {
            self.end_token(token).await?;
        }
        Ok(Some(date))
    }

    async fn end_key(&self, kid: &str) -> Result<bool> {
        let (now, ended) = ((self.clock)().timestamp(), Ended::Key { kid: kid.to_owned() });
        let stream = &mut self.shelves().stream;
        let is_new = stream.entries.iter().all(|(_, _, other)| *other != ended);
        if is_new {
            stream.add(ended, now);
        }
        Ok(is_new)
    }

    async fn ended_keys(&self, kids: &[String]) -> Result<Vec<String>> {
        let stream = &self.shelves().stream;
        let is_ended = |kid: &&String| {
            stream.entries.iter().any(|(_, _, ended)| matches!(ended, Ended::Key { kid: ended } if ended == *kid))
        };
        Ok(kids.iter().filter(is_ended).cloned().collect())
    }

    async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<u64> {
        let mut shelves = self.shelves();
        Ok(shelves.users.entry(user.clone()).or_default().set_blocked(blocked))
    }

    async fn note_block(&self, person: &Person, user: &UserId, number: u64, blocked: bool) -> Result<()> {
        let mut shelves = self.shelves();
        let is_noted =
            shelves.bindings.get_mut(person).is_some_and(|binding| binding.note_block(user, number, blocked));
        if is_noted && blocked {
            shelves.drop_keys(person);
        }
        Ok(())
    }

    async fn user_state(&self, user: &UserId) -> Result<UserState> {
        let shelves = self.shelves();
        Ok(UserState {
            blocked: shelves.is_blocked(user),
            ended_before: shelves.ends.get(user).and_then(|ends| ends.before),
        })
    }

    async fn ends_after(&self, cursor: &str, most: usize) -> Result<Option<ReadEnds>> {
        let (at, shelves) = self.open();
        let entries = &shelves.stream.entries;
        let begin = match cursor {
            "" => 0,
            _ => match entries.iter().position(|(number, ..)| number.to_string() == cursor) {
                Some(place) => place + 1,
                None => return Ok(None),
            },
        };
        let mut unread = entries.iter().skip(begin);
        let read: Vec<_> = unread.by_ref().take(most).collect();
        Ok(Some(ReadEnds {
            at,
            keep: shelves.stream.keep(at.timestamp()),
            cursor: read.last().map_or_else(|| cursor.to_owned(), |(number, ..)| number.to_string()),
            more: unread.next().is_some(),
            ends: read.into_iter().map(|(_, _, ended)| ended.clone()).collect(),
        }))
    }

    async fn clock_ahead(&self) -> Result<i64> {
        Ok(0)
    }

    async fn restore_end(&self, ended: &Ended) -> Result<()> {
        let (now, mut shelves) = self.open();
        shelves.stream.add(ended.clone(), now.timestamp());
        Ok(())
    }

    async fn forget_ends(&self, most: usize) -> Result<usize> {
        let (now, mut shelves) = self.open();
        let forgotten = shelves.stream.forget(most, now.timestamp());
        for ended in &forgotten {
            if let Ended::Token { id, user, .. } = ended
                && let Some(ends) = shelves.ends.get_mut(user)
            {
                ends.tokens.remove(id);
            }
        }
        Ok(forgotten.len())
    }

    async fn note_client_token(&self, token: &Issued, app: &AppId) -> Result<()> {
        let (now, mut shelves) = self.open();
        let noted = &mut shelves.client_tokens;
        noted.retain(|_, until| *until > now.timestamp());
        let until = noted.entry((token.user.clone(), token.app.clone(), app.clone())).or_default();
        *until = token.expires_at.max(*until);
        Ok(())
    }

    async fn users_of_client(&self, client: &ClientId, from: i64, most: usize) -> Result<Vec<(UserId, i64)>> {
        let shelves = self.shelves();
        let of_client = shelves.client_tokens.iter().filter(|((_, of, _), until)| of == &client.0 && **until >= from);
        let mut users: Vec<_> = of_client.map(|((user, ..), until)| (user.clone(), *until)).collect();
        users.sort_by_key(|(_, until)| *until);
        users.truncate(most);
        Ok(users)
    }
}

impl Shelves {
    /// Ends the user's tokens of one app, and those of the clients whose approvals came through it.
    pub(super) fn end_in_app(&mut self, user: &UserId, app: &AppId, second: i64, now: i64) {
        let of_app = self.client_tokens.keys().filter(|(of, _, through)| of == user && through == app);
        let mut ended = vec![(app.clone(), second)];
        ended.extend(of_app.map(|(_, client, _)| (client.clone(), second)));
        for (app, second) in ended {
            let before = self.ends.entry(user.clone()).or_default().end_app(&app, second);
            self.stream.add(Ended::UserInApp { user: user.clone(), app, before }, now);
        }
    }
}
