//! The ends of tokens in Redis: beside the user's list, where this service looks, and in the stream, for verifiers.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use futures_util::future::try_join_all;

use super::{
    super::{
        Admission, ENDS_KEPT, ENDS_PUBLISHED, Ended, Ends, Issued, ReadEnds, Result, TokenState, UserState,
        ends::{LIFE_HOLDS, LIFE_NOTED_EVERY, kept},
    },
    Redis, Script,
    binding::person_of,
    name, script, unreadable,
};
use crate::{
    ids::{AppId, Person, UserId},
    verify::{LONGEST_LIFE, MAX_LEEWAY},
};

static NOTE_LIFE: LazyLock<Script> = script!("note_life");
static TOKEN_STATE: LazyLock<Script> = script!("token_state");
static END_TOKEN: LazyLock<Script> = script!("end_token");
static END_USER: LazyLock<Script> = script!("end_user");
static END_EARLIER: LazyLock<Script> = script!("end_app", "end_earlier");
static SET_BLOCKED: LazyLock<Script> = script!("set_blocked");
static NOTE_BLOCK: LazyLock<Script> = script!("note_block");
static END_KEY: LazyLock<Script> = script!("end_key", "publish_end");
static PUBLISH_END: LazyLock<Script> = script!("publish_end");
static NOTE_PUBLISHED: LazyLock<Script> = script!("note_published");

/// The value of a token's end that is in the stream. Before, it is another one.
const TOLD: &str = "told";

#[async_trait(?Send)]
impl Ends for Redis {
    async fn note_life(&self, life: Duration) -> Result<()> {
        let (now, generation) = ((self.clock)(), self.access.generation());
        if self.access.has_noted(life, now, LIFE_NOTED_EVERY) {
            return Ok(());
        }
        let mut script = NOTE_LIFE.on(&[&name::LIVES]);
        script.arg(life.as_secs()).arg(LIFE_HOLDS.as_secs()).arg((ENDS_PUBLISHED + LIFE_HOLDS).as_secs());
        self.link.run::<u8>("note_life", &script).await?;
        self.access.note(life, generation, now);
        Ok(())
    }

    async fn token_state(&self, token: &Issued) -> Result<TokenState> {
        let user = &token.user;
        let mut script = TOKEN_STATE.on(&[&name::user(user), &name::ends(user), &name::ended(user, &token.id)]);
        script.arg(token.issued_at).arg(token.app.as_str());
        let answer: Vec<String> = self.link.run("token_state", &script).await?;
        let told = answer.get(1).is_some_and(|told| told == "1");
        match answer.split_first() {
            Some((word, people)) if word == "people" => {
                people.chunks(2).map(admission).collect::<Result<_, _>>().map(TokenState::People)
            }
            Some((word, _)) if word == "ended with user" => Ok(TokenState::EndedWithUser { told }),
            _ => Ok(TokenState::Ended { told }),
        }
    }

    async fn end_token(&self, token: &Issued) -> Result<()> {
        let key = name::ended(&token.user, &token.id);
        let mut script = END_TOKEN.on(&[&key]);
        // Longer than by the leeway by as much as clocks may differ.
        script.arg((token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64) * 1_000);
        let state: String = self.link.run_confirmed("end_token", &script).await?;
        if state != TOLD {
            self.put_into_stream(&Ended::Token { id: token.id.clone(), expires_at: token.expires_at }).await?;
            // A mark that is lost costs a repetition another entry of the stream.
            let key = key.to_string();
            self.link.tell(&key, redis::cmd("SET").arg(&key).arg(TOLD).arg("XX").arg("KEEPTTL").clone()).await;
        }
        Ok(())
    }

    async fn end_user(&self, user: &UserId, asked_at: Option<i64>) -> Result<()> {
        let mut script = END_USER.on(&[&name::ends(user)]);
        script.arg(asked_at.map(|second| second.to_string()).unwrap_or_default()).arg(ENDS_KEPT.as_secs());
        script.arg(self.latest_second().await?);
        let unpublished: String = self.link.run_confirmed("end_user", &script).await?;
        self.publish(user, "before", &unpublished, |before| Ended::User { user: user.clone(), before }).await
    }

    async fn end_earlier(&self, newest: &Issued) -> Result<()> {
        let Issued { user, app, id, issued_at, expires_at } = newest;
        let mut script = END_EARLIER.on(&[&name::ends(user)]);
        script.arg(app.as_str()).arg(*issued_at).arg(ENDS_KEPT.as_secs()).arg(id.as_str()).arg(*expires_at);
        let answer: Vec<String> = self.link.run_confirmed("end_earlier", &script).await?;
        let (unpublished, earlier) = answer.split_first().ok_or_else(|| unreadable("a user's ends"))?;
        self.publish_app(user, app, unpublished).await?;
        let earlier = earlier.chunks(2).map(|token| of_the_same_second(newest, token));
        let earlier = earlier.collect::<Result<Vec<_>>>()?;
        try_join_all(earlier.iter().map(|token| self.end_token(token))).await.map(drop)
    }

    async fn end_key(&self, kid: &str) -> Result<bool> {
        let mut script = END_KEY.on(&[&name::STREAM, &name::LIVES, &name::ended_key(kid)]);
        script.text(Ended::Key { kid: kid.to_owned() }).arg(LONGEST_LIFE.as_secs()).arg(MAX_LEEWAY.as_secs());
        script.arg(ENDS_PUBLISHED.as_secs());
        let kept: u64 = self.link.run_confirmed("publish_end", &script).await?;
        Ok(kept > 0)
    }

    async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<u64> {
        let mut script = SET_BLOCKED.on(&[&name::user(user)]);
        script.arg(on_or_off(blocked));
        self.link.run_confirmed("set_blocked", &script).await
    }

    async fn note_block(&self, person: &Person, user: &UserId, number: u64, blocked: bool) -> Result<()> {
        let mut script = NOTE_BLOCK.on(&[&name::binding(person)]);
        script.arg(user.as_str()).arg(number).arg(on_or_off(blocked));
        self.link.run_confirmed("note_block", &script).await
    }

    async fn user_state(&self, user: &UserId) -> Result<UserState> {
        let (key, mut asked) = (name::user(user).to_string(), redis::pipe());
        asked.hget(&key, "block").hget(name::ends(user).to_string(), "before");
        let (block, ended_before): (Option<String>, Option<i64>) = self.link.query("user_state", &key, &asked).await?;
        let blocked = block.is_some_and(|block| block.ends_with(on_or_off(true)));
        Ok(UserState { blocked, ended_before })
    }

    async fn ends_after(&self, cursor: &str, most: usize) -> Result<Option<ReadEnds>> {
        if cursor.is_empty() {
            let (when, entries) = self.read_stream("-", "+", most + 1).await?;
            return read_ends(when, entries, cursor, most).map(Some);
        }
        let Some((id, _)) = cursor.split_once('.').filter(|(id, _)| is_stream_id(id)) else { return Ok(None) };
        // A cursor that is not in the stream costs next to nothing.
        let (_, named) = self.read_stream(id, id, 1).await?;
        if named.first().is_none_or(|entry| cursor_of(entry) != cursor) {
            return Ok(None);
        }
        let (when, mut entries) = self.read_stream(id, "+", most + 2).await?;
        // It may have been trimmed meanwhile, or lost in a failover, and then the first entry is another one.
        if entries.first().is_none_or(|entry| cursor_of(entry) != cursor) {
            return Ok(None);
        }
        entries.remove(0);
        read_ends(when, entries, cursor, most).map(Some)
    }
}

/// An entry of the stream: its id, its one field, and the end.
type Entry = (String, (String, String));

/// When the stream was read, and how long ends had to be kept then.
struct When {
    second: i64,
    keep: Duration,
}

impl Redis {
    pub(super) async fn publish_app(&self, user: &UserId, app: &AppId, unpublished: &str) -> Result<()> {
        let ended = |before| Ended::UserInApp { user: user.clone(), app: app.clone(), before };
        self.publish(user, &format!("app:{app}"), unpublished, ended).await
    }

    /// Puts an end into the stream, unless `unpublished` is empty. The user's ends call it `name`.
    async fn publish(
        &self,
        user: &UserId,
        name: &str,
        unpublished: &str,
        ended: impl FnOnce(i64) -> Ended,
    ) -> Result<()> {
        if unpublished.is_empty() {
            return Ok(());
        }
        let second = unpublished.parse().map_err(|_| unreadable("the end of a token"))?;
        let kept = self.put_into_stream(&ended(second)).await?;
        let mut script = NOTE_PUBLISHED.on(&[&name::ends(user)]);
        script.arg(name).arg(unpublished).arg(kept);
        self.link.run("note_published", &script).await
    }

    /// Returns for how many seconds the stream keeps it.
    async fn put_into_stream(&self, ended: &Ended) -> Result<u64> {
        let mut script = PUBLISH_END.on(&[&name::STREAM, &name::LIVES]);
        script.text(ended).arg(LONGEST_LIFE.as_secs()).arg(MAX_LEEWAY.as_secs());
        self.link.run_confirmed("publish_end", &script).await
    }

    async fn read_stream(&self, from: &str, to: &str, count: usize) -> Result<(When, Vec<Entry>)> {
        let mut commands = redis::pipe();
        commands.cmd("TIME").hgetall(name::LIVES);
        commands.cmd("XRANGE").arg(name::STREAM).arg(from).arg(to).arg("COUNT").arg(count);
        type Answer = ((i64, i64), HashMap<u64, i64>, Vec<Entry>);
        let ((second, _), lives, entries): Answer = self.link.query("ends_after", name::STREAM, &commands).await?;
        Ok((When { second, keep: kept(lives, second) }, entries))
    }
}

fn is_stream_id(text: &str) -> bool {
    let number = |text: &str| text.len() <= 20 && text.parse::<u64>().is_ok();
    text.split_once('-').is_some_and(|(millis, sequence)| number(millis) && number(sequence))
}

/// Names an entry by its id and its content, because after a failover that has lost entries another one may have its id.
fn cursor_of((id, (_, end)): &Entry) -> String {
    format!("{id}.{}", URL_SAFE_NO_PAD.encode(&digest(&SHA256, end.as_bytes()).as_ref()[..6]))
}

fn read_ends(when: When, mut entries: Vec<Entry>, after: &str, most: usize) -> Result<ReadEnds> {
    let more = entries.len() > most;
    entries.truncate(most);
    let cursor = entries.last().map_or_else(|| after.to_owned(), cursor_of);
    // An end that a later version wrote must not keep verifiers from the others.
    let ends = entries.iter().filter_map(|(id, (_, end))| {
        end.parse().inspect_err(|()| tracing::warn!(id, "this version cannot read an entry of wxmint:ended")).ok()
    });
    Ok(ReadEnds {
        at: DateTime::from_timestamp(when.second, 0).ok_or_else(|| unreadable("the time"))?,
        keep: when.keep,
        ends: ends.collect(),
        cursor,
        more,
    })
}

fn of_the_same_second(newest: &Issued, token: &[String]) -> Result<Issued> {
    let [id, expires_at] = token else { return Err(unreadable("a user's ends")) };
    let (Ok(id), Ok(expires_at)) = (id.parse(), expires_at.parse()) else { return Err(unreadable("a user's ends")) };
    Ok(Issued { id, expires_at, ..newest.clone() })
}

fn on_or_off(blocked: bool) -> &'static str {
    if blocked { "on" } else { "off" }
}

fn admission(entry: &[String]) -> Result<Admission> {
    let [person, generation] = entry else { return Err(unreadable("a user's list")) };
    let generation = generation.parse().map_err(|_| unreadable("a user's list"))?;
    Ok(Admission { person: person_of(person)?, generation })
}
