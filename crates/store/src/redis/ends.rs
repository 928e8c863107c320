//! The ends of tokens in Redis: beside the user's list, where this service looks, and in the stream, for verifiers.

use std::{collections::HashMap, time::Duration};

use futures_util::future::{try_join, try_join_all};
use redis::Value;
use wxmint_ids::{AppId, ClientId, Person, UserId};
use wxmint_verify::MAX_LEEWAY;

use super::clocks::{APART, too_far_ahead};
use super::stream::KEY_ENDS_KEPT;
use super::{Call, NOTE_KEPT, Store, name, packed, script, session::change_session, unreadable};
use crate::{COMPUTED, Issued, REVOCATIONS_KEPT, Result, Revocation, StoreError, TokenState, UserState};

/// The value of a token's end that is in the stream: perhaps not at replicas, and there too.
const ADDED: &str = "added";
const TOLD: &str = "told";

/// An end is written where [`Store::token_state`] finds it, then into the stream. It is answered once replicas have
/// both, unless a login has made it. A repetition takes the steps that are missing. Nothing of it expires by the
/// store's clock or may be evicted: [`Store::forget_ends`] deletes it. While the store's clock is more than a minute
/// ahead of this machine's, no end is made.
/// A user may have tokens of a client, which were approved through this app, until this second.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedClient {
    pub client: AppId,
    pub app: AppId,
    pub until: i64,
}

impl Store {
    /// Finds the owner of a token, and whether it has been ended.
    pub async fn token_state(&self, token: &Issued) -> Result<TokenState> {
        let Issued { user, app, id, issued_at, .. } = token;
        let fields = ["before".to_owned(), "untold:before".to_owned(), format!("app:{app}")];
        // The list comes first. If it was read just before an end, the end is found all the same.
        let asked = Call::of("HGETALL", name::user(user));
        let asked = asked.cmd("HMGET").arg(name::ends(user)).arg(&fields).cmd("GET").arg(name::ended(user, id));
        type Found = (HashMap<Vec<u8>, Vec<u8>>, [Option<i64>; 3], Option<String>);
        let (people, [before, untold, app_first], own): Found = self.link.run("token_state", asked).await?;
        // A block outlives what is known of ends.
        let is_blocked = people.get(b"block".as_slice()).is_some_and(|block| block.ends_with(b" on"));
        if is_blocked || before.is_some_and(|before| *issued_at <= before) {
            return Ok(TokenState::RevokedWithUser { told: untold.is_none() });
        }
        if own.is_some() || app_first.is_some_and(|first| *issued_at < first) {
            return Ok(TokenState::Revoked { told: own.is_some_and(|state| state == TOLD) });
        }
        let of_app = people.iter().filter_map(|(person, decision)| admission(person, decision, app).transpose());
        of_app.collect::<Result<_>>().map(TokenState::People)
    }

    /// Dates the token of a login: with `issued_at`, the second of the login, or with the first one after it that no
    /// end names. An end names such a second if it was made in the very second of the login, or the store's clock has
    /// stepped back since. Whatever ends the user's tokens later ends this one too. If the date is after `latest`,
    /// nothing is noted. Once it is the second of the login, the next logins of the person need not ask. `None` if the
    /// user is blocked: the end that belongs to the block would not name the token.
    pub async fn date_token(&self, person: &Person, token: &Issued, latest: i64) -> Result<Option<i64>> {
        let date = self.date_of_client(token, latest).await?;
        if date == Some(token.issued_at) {
            self.link.later(script::NOTE_NOT_ENDED.on(&[&name::binding(person)]).arg(date));
        }
        Ok(date)
    }

    /// The same for a token that the person's next logins say nothing of.
    pub async fn date_of_client(&self, token: &Issued, latest: i64) -> Result<Option<i64>> {
        let script = change_ends(&token.user, "date").arg(token.app.as_str()).arg(token.issued_at).arg(latest);
        let Some(date) = self.link.run("date_token", script).await? else { return Ok(None) };
        self.confirm_date(token, date, latest).await.map(Some)
    }

    /// The second of a token that is given now without a login: whatever ends the tokens of the user from here on names
    /// it, also if the store's clock steps back. `first`: the token that came with the login. The token lives for
    /// `life`, and the note of it a little longer.
    pub async fn date_renewal(&self, first: &Issued, life: Duration) -> Result<i64> {
        let kept = 2 * life.as_secs() + NOTE_KEPT.as_secs();
        let script = self.ending(&first.user, "renew", Some(first.issued_at)).await?.arg(kept);
        unless_ahead(self.link.run_confirmed("date_renewal", script).await?)
    }

    /// Ends one token until its `exp` and the leeway of verifiers have passed.
    pub async fn revoke_token(&self, token: &Issued) -> Result<()> {
        self.end_one(token, true).await
    }

    /// Ends all tokens that a user was issued up to and in this second of the store's clock, or up to the last login of
    /// one of the user's people, if the clock has stepped back since. With the `iat` of the token that asks for it,
    /// this changes nothing if that token has been ended in this way already, so that a repetition does not end newer
    /// tokens.
    pub async fn revoke_user(&self, user: &UserId, asked_at: Option<i64>) -> Result<()> {
        let script = self.ending(user, "user", None).await?.arg(asked_at);
        let unpublished = unless_ahead(self.link.run_confirmed("revoke_user", script).await?)?;
        self.publish(user, "before", unpublished, |before| Revocation::User {
            user: user.clone(),
            before,
            until: before,
        })
        .await
    }

    /// Ends all tokens that a user was issued in one app up to and in this second, as [`Store::revoke_user`] takes it.
    pub async fn revoke_in_app(&self, user: &UserId, app: &AppId) -> Result<()> {
        // First, because the phone cannot repeat what has ended its own token.
        self.end_clients_of(user, app, None).await?;
        self.end_in_one_app(user, app, None).await
    }

    /// Puts an end of the user's tokens in one app into the stream that was made before Redis failed, if there is one.
    pub async fn finish_end_in_app(&self, user: &UserId, app: &AppId) -> Result<bool> {
        let asked = Call::of("HGET", name::ends(user)).arg(format!("untold:app:{app}"));
        let Some(second): Option<i64> = self.link.run("revoke_in_app", asked).await? else { return Ok(false) };
        self.end_clients_of(user, app, Some(second)).await?;
        let ended = Revocation::UserInApp { user: user.clone(), app: app.clone(), before: second, until: second };
        self.record_revocation(&ended).await?;
        self.publish_app(user, app, Some(second)).await.map(|()| true)
    }

    /// Dates the token of a login, as [`Store::date_token`] does, and ends the tokens that its user was issued in its
    /// app before: those of earlier seconds, and of the token's own second all for which this was called before. So of
    /// logins at the same time one token is left. Waits for no replica: what a failover takes back leaves an older
    /// token alive until the next login, and one frozen replica would keep everybody out. A login whose end Redis
    /// refuses, or does not answer, is refused too.
    pub async fn revoke_earlier(&self, newest: &Issued, latest: i64) -> Result<Option<i64>> {
        let Issued { user, app, id, issued_at, expires_at } = newest;
        let script = script::REVOKE_EARLIER.on(&[name::ends(user), name::user(user), name::clients(user)]);
        let script = script.arg(app.as_str()).arg(*issued_at).arg(latest).arg(id.as_str()).arg(*expires_at);
        let life = self.longest_life().as_secs() as i64;
        let script = script.arg(life);
        let answer: Option<(i64, Vec<(String, i64)>)> = self.link.run("revoke_earlier", script).await?;
        let Some((date, earlier)) = answer else { return Ok(None) };
        if self.confirm_date(newest, date, latest).await? > latest {
            return Ok(Some(date));
        }
        let before = date - 1;
        let ended = Revocation::UserInApp { user: user.clone(), app: app.clone(), before, until: before };
        let (until, _) = self.put_into_stream(&ended, None, false).await?;
        if until > date + life {
            // Another replica has begun to issue tokens that live for longer than this process knew.
            let script = published(user, &format!("app:{app}"), before, until);
            self.link.run::<Value>("revoke_earlier", script).await?;
        }
        let end = async |(id, expires_at): (String, i64)| {
            let id = id.parse().map_err(|_| unreadable("a user's ends"))?;
            self.end_one(&Issued { id, expires_at, ..newest.clone() }, false).await
        };
        try_join_all(earlier.into_iter().map(end)).await?;
        Ok(Some(date))
    }

    /// Ends whatever a key has signed. Its entry of the stream has a date; the note of it here stays for good, because
    /// a key file of before may come back at any time, and there are few. Returns whether the stream lacked this end: a
    /// repetition adds nothing.
    pub async fn revoke_key(&self, kid: &str) -> Result<bool> {
        let until = (self.clock)().timestamp() + KEY_ENDS_KEPT.as_secs() as i64;
        let ended = Revocation::Key { kid: kid.to_owned(), until };
        let (_, is_added) = self.put_into_stream(&ended, Some((name::ended_key(kid), &["NX"])), true).await?;
        Ok(is_added)
    }

    /// Those of these keys that the stream calls ended.
    pub async fn ended_keys(&self, kids: &[String]) -> Result<Vec<String>> {
        if kids.is_empty() {
            return Ok(Vec::new());
        }
        let asked = kids.iter().fold(Call::at(name::STREAM), |call, kid| call.cmd("GET").arg(name::ended_key(kid)));
        let notes: Vec<Option<String>> = self.link.run("ended_keys", asked).await?;
        Ok(kids.iter().zip(notes).filter(|(_, note)| note.is_some()).map(|(kid, _)| kid.clone()).collect())
    }

    /// Blocks a user's list, which then admits nobody, and in the same step ends all of the user's tokens up to the
    /// second of the list's primary; or lifts the block. Returns the number of this change, for
    /// [`Store::confirm_block`]. [`Store::revoke_user`] ends what other primaries have dated, and tells verifiers.
    pub async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<u64> {
        let script = if blocked { self.ending(user, "block", Some(0)).await? } else { change_ends(user, "unblock") };
        unless_ahead(self.link.run("set_blocked", script).await?)
    }

    /// Returns once a replica has the change of this number, unless a failover has lost it.
    pub async fn confirm_block(&self, user: &UserId, number: u64) -> Result<()> {
        let asked = Call::of("HGET", name::user(user)).arg("block");
        let held: Option<String> = self.link.run_confirmed("set_blocked", asked).await?;
        let is_kept = held.and_then(|held| held.split(' ').next()?.parse::<u64>().ok()) >= Some(number);
        if is_kept { Ok(()) } else { Err(StoreError { reason: "a failover has lost the block".into() }) }
    }

    /// A step with three seconds: up to `last`, or up to now.
    async fn ending(&self, user: &UserId, step: &str, last: Option<i64>) -> Result<Call> {
        let latest = if let Some(last) = last { last } else { self.latest_second_of(user).await? };
        Ok(change_ends(user, step).arg(latest).arg((self.clock)().timestamp()).arg(APART.num_seconds()))
    }

    /// Notes beside a person, where each login finds it, whether the person's user is blocked, unless the person is of
    /// another user or a change with a greater `number` is noted. Answered once a replica has it.
    pub async fn note_block(&self, person: &Person, user: &UserId, number: u64, blocked: bool) -> Result<()> {
        let script = change_session(person, "block").arg(packed::user(user)).arg(number);
        Ok(self.link.run_confirmed("note_block", script.arg(if blocked { "on" } else { "off" })).await?)
    }

    /// Whether a user is blocked, and up to when all of the user's tokens are ended. An unknown user is not blocked.
    pub async fn user_state(&self, user: &UserId) -> Result<UserState> {
        let asked = Call::of("HGET", name::user(user)).arg("block").cmd("HMGET").arg(name::ends(user));
        let asked = asked.arg(&["before", "untold:before"]);
        let (block, [revoked_before, untold]): (Option<String>, [_; 2]) = self.link.run("user_state", asked).await?;
        Ok(UserState { blocked: block.is_some_and(|it| it.ends_with("on")), revoked_before, told: untold.is_none() })
    }

    /// By how many seconds the store's clock is ahead of this machine's; negative if it is behind. While it is more
    /// than a minute ahead, nobody logs in, and no end is made.
    pub async fn clock_ahead(&self) -> Result<i64> {
        let (seconds, now) = (self.present_seconds(name::STREAM).await?, (self.clock)().timestamp());
        Ok(seconds.into_iter().map(|second| second - now).max_by_key(|ahead| ahead.abs()).unwrap_or_default())
    }

    /// Makes an end again.
    pub async fn restore_revocation(&self, ended: &Revocation) -> Result<()> {
        let Revocation::Key { kid, .. } = ended else {
            self.record_revocation(ended).await?;
            return self.put_into_stream_again(ended, None).await;
        };
        self.put_into_stream_again(ended, Some((name::ended_key(kid), &["KEEPTTL"]))).await
    }

    /// Whether the record of an end has been lost, or is an older one, that the stream still has.
    pub async fn lacks_revocation(&self, ended: &Revocation) -> Result<bool> {
        let held = |user| Call::of("HGET", name::ends(user));
        let (asked, least) = match ended {
            Revocation::User { user, before, .. } => (held(user).arg("before"), *before),
            Revocation::UserInApp { user, app, before, .. } => (held(user).arg(format!("app:{app}")), *before + 1),
            Revocation::Token { id, user, .. } => {
                let asked = Call::of("GET", name::ended(user, id));
                return Ok(self.link.run::<Option<Vec<u8>>>("lacks_revocation", asked).await?.is_none());
            }
            Revocation::Key { .. } => return Ok(false),
        };
        Ok(self.link.run::<Option<i64>>("lacks_revocation", asked).await?.is_none_or(|held| held < least))
    }

    /// Writes the record of an end, which the stream does not need.
    pub async fn record_revocation(&self, ended: &Revocation) -> Result<()> {
        let restored = |user: &UserId, field: String, second: i64| {
            change_ends(user, "restore").arg(field).arg(second).arg(REVOCATIONS_KEPT.as_secs())
        };
        let record = match ended {
            Revocation::User { user, before, .. } => restored(user, "before".into(), *before),
            Revocation::UserInApp { user, app, before, .. } => restored(user, format!("app:{app}"), *before + 1),
            Revocation::Token { id, user, .. } => script::CHANGE_ENDS.on(&[&name::ended(user, id)]).arg("token"),
            Revocation::Key { kid, until } => Call::of("SET", name::ended_key(kid)).arg(*until),
        };
        Ok(self.link.run_confirmed::<Value>("restore_revocation", record).await.map(drop)?)
    }

    /// Notes a token of a client that was approved through this app, so that an end in either of the two ends it.
    pub async fn note_client_token(&self, token: &Issued, app: &AppId) -> Result<()> {
        let until = token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64;
        let now = (self.clock)().timestamp();
        let of_client = script::NOTE_CLIENT.on(&[&name::users_of_client(&token.app)]).arg(packed::user(&token.user));
        let of_user = script::NOTE_CLIENT.on(&[&name::clients(&token.user)]).arg(format!("{} {app}", token.app));
        // First, because by this date the notes are found and forgotten.
        let kept = script::KEEP_RECORDS.on(&[name::KEPT]).arg(token.user.as_str()).arg(until).arg("").arg(now);
        self.link.run_confirmed::<u64>("note_client", kept).await?;
        // An end that finds no note would leave the token alive, also after a failover.
        let note = |note: Call| self.link.run_confirmed::<u8>("note_client", note);
        Ok(try_join(note(of_client.arg(until).arg(now)), note(of_user.arg(until))).await.map(drop)?)
    }

    /// The clients of which the user may have tokens.
    pub async fn clients_of(&self, user: &UserId) -> Result<Vec<NotedClient>> {
        let asked = Call::of("ZRANGE", name::clients(user)).arg(0).arg(-1).arg("WITHSCORES");
        let noted: Vec<(String, f64)> = self.link.run("clients_of", asked).await?;
        let read = |(note, until): (String, f64)| {
            let (client, app) = note.split_once(' ')?;
            Some(NotedClient { client: client.parse().ok()?, app: app.parse().ok()?, until: until as i64 })
        };
        noted.into_iter().map(|note| read(note).ok_or_else(|| unreadable("a user's pages"))).collect()
    }

    /// Takes these notes back, because all tokens that they are of have been ended. Those of later tokens stay.
    pub async fn forget_clients(&self, user: &UserId, noted: &[NotedClient]) -> Result<()> {
        let forget = |key: &str, member: &[u8], until: i64| {
            let script = script::FORGET_CLIENT.on(&[key]).arg(member).arg(until);
            self.link.run_confirmed::<u8>("forget_client", script)
        };
        for NotedClient { client, app, until } in noted {
            forget(&name::clients(user), format!("{client} {app}").as_bytes(), *until).await?;
        }
        let left = self.clients_of(user).await?;
        for NotedClient { client, until, .. } in
            noted.iter().filter(|note| !left.iter().any(|it| it.client == note.client))
        {
            forget(&name::users_of_client(client), &packed::user(user), *until).await?;
        }
        Ok(())
    }

    /// At most so many users who may have a token of a client, by the last second of each, which is `from` or later.
    pub async fn users_of_client(&self, client: &ClientId, from: i64, most: usize) -> Result<Vec<(UserId, i64)>> {
        let asked = Call::of("ZRANGE", name::users_of_client(&client.0));
        let asked = asked.arg(from).arg("+inf").arg("BYSCORE").arg("LIMIT").arg(0).arg(most).arg("WITHSCORES");
        let users: Vec<(Vec<u8>, f64)> = self.link.run("users_of_client", asked).await?;
        users.iter().map(|(user, until)| Ok((packed::read_user(user)?, *until as i64))).collect()
    }

    /// Ends the user's tokens of the clients whose approvals came through this app, up to `last`, or up to now.
    pub(super) async fn end_clients_of(&self, user: &UserId, app: &AppId, last: Option<i64>) -> Result<()> {
        let asked = Call::of("ZRANGE", name::clients(user)).arg(0).arg(-1);
        let noted: Vec<String> = self.link.run("clients_of", asked).await?;
        for (client, _) in noted.iter().filter_map(|note| note.split_once(' ').filter(|(_, of)| *of == app.as_str())) {
            let client = client.parse().map_err(|_| unreadable("a user's pages"))?;
            self.end_in_one_app(user, &client, last).await?;
        }
        Ok(())
    }

    /// Up to `last`, or up to now.
    pub(super) async fn end_in_one_app(&self, user: &UserId, app: &AppId, last: Option<i64>) -> Result<()> {
        let script = self.ending(user, "app", last).await?.arg(app.as_str()).arg(last);
        let unpublished = unless_ahead(self.link.run_confirmed("revoke_in_app", script).await?)?;
        self.publish_app(user, app, unpublished).await
    }

    /// `confirmed`: once replicas have the end.
    async fn end_one(&self, token: &Issued, confirmed: bool) -> Result<()> {
        let key = name::ended(&token.user, &token.id);
        let ending = script::CHANGE_ENDS.on(&[&key]).arg("token");
        let state: String = self.link.write("revoke_token", ending, confirmed).await?;
        if state != TOLD && (confirmed || state != ADDED) {
            let Issued { id, user, expires_at, .. } = token.clone();
            self.put_once(&Revocation::Token { id, user, expires_at }, confirmed).await?;
            // A mark that is lost costs a repetition another entry of the stream.
            let mark = Call::of("SET", &key).arg(if confirmed { TOLD } else { ADDED }).arg("XX");
            _ = self.link.run::<Value>("revoke_token", mark).await;
        }
        Ok(())
    }

    /// Requests at the same time make the same end, which verifiers need not read again and again.
    /// Returns the date that the end has in the stream.
    async fn put_once(&self, ended: &Revocation, confirmed: bool) -> Result<i64> {
        let note = name::put(&ended.form().name());
        self.put_into_stream(ended, Some((note, &["NX", "EX", "60"])), confirmed).await.map(|(date, _)| date)
    }

    /// The longest life of tokens that this thread knows of: its own, or that of another replica.
    fn longest_life(&self) -> Duration {
        let own = self.noted_life.borrow().as_ref().map(|(_, life, _)| *life);
        let known = self.known_lives.borrow();
        let known = known.longest((self.clock)().timestamp());
        own.map_or(known, |own| if self.known_lives.borrow().is_empty() { own } else { known.max(own) })
    }

    pub(super) async fn publish_app(&self, user: &UserId, app: &AppId, unpublished: Option<i64>) -> Result<()> {
        let ended = |before| Revocation::UserInApp { user: user.clone(), app: app.clone(), before, until: before };
        self.publish(user, &format!("app:{app}"), unpublished, ended).await
    }

    /// Puts an end into the stream, if it is not there up to this second. The user's ends call it `name`.
    async fn publish(
        &self,
        user: &UserId,
        name: &str,
        unsent: Option<i64>,
        end: impl Fn(i64) -> Revocation,
    ) -> Result<()> {
        let Some(second) = unsent else { return Ok(()) };
        let until = self.put_once(&end(second), true).await?;
        // A note that a failover brought back would call the end untold for good.
        Ok(self.link.run_confirmed("note_published", published(user, name, second, until)).await?)
    }
}

pub(super) fn change_ends(user: &UserId, step: &str) -> Call {
    script::CHANGE_ENDS.on(&[name::ends(user), name::user(user), name::clients(user)]).arg(step)
}

/// Notes beside the user that an end is in the stream, with its date.
fn published(user: &UserId, name: &str, second: i64, until: i64) -> Call {
    change_ends(user, "published").arg(format!("untold:{name}")).arg(second).arg(until)
}

/// The answer of a script, unless Redis is ahead.
pub(super) fn unless_ahead<T>((ahead, answer): (Option<i64>, T)) -> Result<T> {
    ahead.map_or(Ok(answer), |seconds| Err(too_far_ahead(seconds)))
}

/// Reads what a user's list says of one who is or was admitted in an app, in the form of `admit.lua`. `None` of others.
pub(super) fn admission(person: &[u8], decision: &[u8], app: &AppId) -> Result<Option<(Person, u64)>> {
    let generation = match (decision.split_last(), person.starts_with(&packed::app(app))) {
        (Some((b'c', _)), true) => Some(COMPUTED),
        (Some((b'+' | b'*' | b'-', text)), true) => str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        _ => return Ok(None),
    };
    let generation = generation.ok_or_else(|| unreadable("a user's list"))?;
    Ok(Some((packed::read_person(person)?, generation)))
}
