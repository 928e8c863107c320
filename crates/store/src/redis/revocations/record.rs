//! Revocations in Redis: in the slot of the user's list, where this service looks them up, and in
//! the stream, from which verifiers learn of them.

use std::{collections::HashMap, rc::Rc, time::Duration};

use futures_util::future::{try_join, try_join_all};
use redis::Value;
use wxmint_ids::{AppId, Person, UserId};
use wxmint_keys::token::Issued;
use wxmint_redis_link::scan::{Page, Place, Slots};
use wxmint_redis_link::{Call, RedisClient};

use super::stream::KEY_REVOCATIONS_KEPT;
use super::{ClientTokens, NOTE_KEPT, RevocationStream, TokenLives};
use crate::redis::bindings::{Bindings, admission};
use crate::redis::clocks::{APART, StoreClock};
use crate::redis::{name, script};
use crate::{Generation, REVOCATIONS_KEPT, Result, Revocation, StoreError};

/// The value of a token's revocation that has been added to the stream, but may not have reached
/// replicas.
const ADDED: &str = "added";
/// The value of a token's revocation that is in the stream, also at replicas.
const PUBLISHED: &str = "told";

/// The owner of a token, and whether the token has been revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenState {
    /// The token has not been revoked. It was issued to one of these persons: those of its user in
    /// its app, each with the generation of the binding.
    People(Vec<(Person, Generation)>),
    /// All tokens of its user were revoked, and this one with them. `published`: whether the
    /// revocation is in the stream, so that a repetition has nothing left to do.
    RevokedWithUser { published: bool },
    /// The token itself was revoked, or all tokens of its user in its app were. `published`:
    /// whether the revocation of the token itself is in the stream.
    Revoked { published: bool },
}

impl TokenState {
    /// Whether the token was revoked, and a repetition has nothing left to do.
    pub fn is_published(&self) -> bool {
        matches!(
            self,
            Self::RevokedWithUser { published: true } | Self::Revoked { published: true }
        )
    }
}

/// Whether a user is blocked, and up to when the user's tokens are revoked. Also for users without
/// persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserState {
    pub blocked: bool,
    /// All tokens that the user was issued up to this second are revoked. Kept until all of them
    /// have expired.
    pub revoked_before: Option<i64>,
    /// Whether that revocation is in the stream, where verifiers learn of it.
    pub published: bool,
}

/// The revocations of tokens, and what they depend on: the date of a token, and the block of a
/// user.
///
/// A revocation is written where [`Self::token_state`] finds it, then into the stream. It is
/// answered once replicas have both, unless a login made it. A repetition performs the missing
/// steps. No part of it expires by the store's clock, or may be evicted:
/// [`RevocationStream::purge`] purges it. While the store's clock is more than a minute ahead of
/// this machine's, no revocation is made.
///
/// The user's list is in the slot of the user's revocations, and a block is a field of the list. So
/// one round trip finds the persons to whom a token may belong and whether the token was revoked,
/// and one script blocks a user and revokes the user's tokens.
#[derive(Clone)]
pub struct Revocations {
    link: Rc<RedisClient>,
    clock: StoreClock,
    bindings: Bindings,
    stream: RevocationStream,
    lives: TokenLives,
    clients: ClientTokens,
}

impl Revocations {
    pub(in crate::redis) fn new(
        link: Rc<RedisClient>,
        clock: StoreClock,
        bindings: Bindings,
        stream: RevocationStream,
        lives: TokenLives,
        clients: ClientTokens,
    ) -> Self {
        Self {
            link,
            clock,
            bindings,
            stream,
            lives,
            clients,
        }
    }

    /// Finds the owner of a token, and whether the token has been revoked.
    pub async fn token_state(&self, token: &Issued) -> Result<TokenState> {
        let Issued {
            user,
            app,
            id,
            issued_at,
            ..
        } = token;
        let fields = [
            "before".to_owned(),
            "untold:before".to_owned(),
            format!("app:{app}"),
        ];
        // The list is read first, so that a revocation that is made between the reads is found.
        let asked = Call::of("HGETALL", name::user(user));
        let asked = asked
            .cmd("HMGET")
            .arg(name::revocations(user))
            .arg(&fields)
            .cmd("GET")
            .arg(name::revoked_token(user, id));
        type Found = (HashMap<Vec<u8>, Vec<u8>>, [Option<i64>; 3], Option<String>);
        let (people, [before, unpublished, app_first], own): Found =
            self.link.run("token_state", asked).await?;
        // A block stays after the revocations have been purged.
        let is_blocked = people
            .get(b"block".as_slice())
            .is_some_and(|block| block.ends_with(b" on"));
        if is_blocked || before.is_some_and(|before| *issued_at <= before) {
            return Ok(TokenState::RevokedWithUser {
                published: unpublished.is_none(),
            });
        }
        if own.is_some() || app_first.is_some_and(|first| *issued_at < first) {
            return Ok(TokenState::Revoked {
                published: own.is_some_and(|state| state == PUBLISHED),
            });
        }
        let of_app = people
            .iter()
            .filter_map(|(person, decision)| admission(person, decision, app).transpose());
        of_app.collect::<Result<_>>().map(TokenState::People)
    }

    /// Dates the token of a login: with `issued_at`, the second of the login, or with the first
    /// later second that no revocation covers. A revocation covers the second of the login if it
    /// was made in that very second, or if the store's clock has stepped back since. Later
    /// revocations of the user's tokens cover this token too. If the date is after `latest`,
    /// nothing is noted. If the date is the second of the login, the person's next logins need not
    /// call this. `None` if the user is blocked, because the revocation that came with the block
    /// would not cover the token.
    pub async fn date_token(
        &self,
        person: &Person,
        token: &Issued,
        latest: i64,
    ) -> Result<Option<i64>> {
        let date = self.date_of_client(token, latest).await?;
        if date == Some(token.issued_at) {
            self.bindings.note_not_revoked(person, token.issued_at);
        }
        Ok(date)
    }

    /// As [`Self::date_token`], for a token that does not belong to a login of the person.
    pub async fn date_of_client(&self, token: &Issued, latest: i64) -> Result<Option<i64>> {
        let script = change_revocations(&token.user, "date")
            .arg(token.app.as_str())
            .arg(token.issued_at)
            .arg(latest);
        let Some(date) = self.link.run("date_token", script).await? else {
            return Ok(None);
        };
        self.confirm_date(token, date, latest).await.map(Some)
    }

    /// The second for a token that is issued now without a login. Later revocations of the user's
    /// tokens cover that second, even if the store's clock steps back. `first`: the token that was
    /// issued at the login. The new token lives for `life`, and the note of its date a little
    /// longer.
    pub async fn date_renewal(&self, first: &Issued, life: Duration) -> Result<i64> {
        let kept = 2 * life.as_secs() + NOTE_KEPT.as_secs();
        let script = self
            .revoking(&first.user, "renew", Some(first.issued_at))
            .await?
            .arg(kept);
        unless_ahead(self.link.run_confirmed("date_renewal", script).await?)
    }

    /// Revokes one token, until its `exp` and the leeway of verifiers have passed.
    pub async fn revoke_token(&self, token: &Issued) -> Result<()> {
        self.revoke_one(token, true).await
    }

    /// Revokes all tokens that a user was issued up to and in this second of the store's clock, or
    /// up to the last login of one of the user's persons, if the clock has stepped back since.
    /// `asked_at`: the `iat` of the token with which the request came. If this revocation already
    /// covers that token, nothing changes, so that a repetition does not revoke newer tokens.
    pub async fn revoke_user(&self, user: &UserId, asked_at: Option<i64>) -> Result<()> {
        let script = self.revoking(user, "user", None).await?.arg(asked_at);
        let unpublished = unless_ahead(self.link.run_confirmed("revoke_user", script).await?)?;
        self.publish(user, "before", unpublished, |before| Revocation::User {
            user: user.clone(),
            before,
            until: before,
        })
        .await
    }

    /// Revokes all tokens that a user was issued in one app up to and in this second; see
    /// [`Self::revoke_user`].
    pub async fn revoke_in_app(&self, user: &UserId, app: &AppId) -> Result<()> {
        // The tokens of clients come first, because the phone cannot repeat the request once its
        // own token is revoked.
        self.revoke_clients_of(user, app, None).await?;
        self.revoke_in_one_app(user, app, None).await
    }

    /// Adds a revocation of the user's tokens in one app to the stream, if one was made there
    /// before Redis failed. Returns whether there was one.
    pub async fn finish_revocation_in_app(&self, user: &UserId, app: &AppId) -> Result<bool> {
        let asked = Call::of("HGET", name::revocations(user)).arg(format!("untold:app:{app}"));
        let Some(second): Option<i64> = self.link.run("revoke_in_app", asked).await? else {
            return Ok(false);
        };
        self.revoke_clients_of(user, app, Some(second)).await?;
        let revocation = Revocation::UserInApp {
            user: user.clone(),
            app: app.clone(),
            before: second,
            until: second,
        };
        self.record(&revocation).await?;
        self.publish_app(user, app, Some(second))
            .await
            .map(|()| true)
    }

    /// Dates the token of a login, as [`Self::date_token`] does, and revokes the tokens that its
    /// user was issued in its app before: those of earlier seconds, and those of the same second
    /// for which this was called before. So one token is left of several logins at the same time.
    /// Does not wait for replicas, because one frozen replica would prevent all logins, and a
    /// failover that loses the revocation only leaves an older token valid until the next login. If
    /// Redis refuses the revocation or does not answer, the login fails too.
    pub async fn revoke_earlier(&self, newest: &Issued, latest: i64) -> Result<Option<i64>> {
        let Issued {
            user,
            app,
            id,
            issued_at,
            expires_at,
        } = newest;
        let script = script::REVOKE_EARLIER.on(&[
            name::revocations(user),
            name::user(user),
            name::clients(user),
        ]);
        let script = script
            .arg(app.as_str())
            .arg(*issued_at)
            .arg(latest)
            .arg(id.as_str())
            .arg(*expires_at);
        let life = self.lives.longest().as_secs() as i64;
        let script = script.arg(life);
        let answer: Option<(i64, Vec<(String, i64)>)> =
            self.link.run("revoke_earlier", script).await?;
        let Some((date, earlier)) = answer else {
            return Ok(None);
        };
        if self.confirm_date(newest, date, latest).await? > latest {
            return Ok(Some(date));
        }
        let before = date - 1;
        let revocation = Revocation::UserInApp {
            user: user.clone(),
            app: app.clone(),
            before,
            until: before,
        };
        let (until, _) = self.stream.put(&revocation, None, false).await?;
        if until > date + life {
            // Another replica has begun to issue tokens with a longer life than this process knew.
            let script = published(user, &format!("app:{app}"), before, until);
            self.link.run::<Value>("revoke_earlier", script).await?;
        }
        let revoke = async |(id, expires_at): (String, i64)| {
            let id = id
                .parse()
                .map_err(|_| StoreError::Damaged("a user's revocations"))?;
            self.revoke_one(
                &Issued {
                    id,
                    expires_at,
                    ..newest.clone()
                },
                false,
            )
            .await
        };
        try_join_all(earlier.into_iter().map(revoke)).await?;
        Ok(Some(date))
    }

    /// Revokes a signing key. Its entry in the stream expires, but the note of it here stays
    /// forever, because an old key file may come back at any time, and such notes are few. Returns
    /// whether the revocation was added to the stream now; a repetition adds nothing.
    pub async fn revoke_key(&self, kid: &str) -> Result<bool> {
        let until = self.clock.now().timestamp() + KEY_REVOCATIONS_KEPT.as_secs() as i64;
        let revocation = Revocation::Key {
            kid: kid.to_owned(),
            until,
        };
        let (_, is_added) = self
            .stream
            .put(&revocation, Some((name::revoked_key(kid), &["NX"])), true)
            .await?;
        Ok(is_added)
    }

    /// The keys among `kids` that were revoked.
    pub async fn revoked_keys(&self, kids: &[String]) -> Result<Vec<String>> {
        if kids.is_empty() {
            return Ok(Vec::new());
        }
        let asked = kids.iter().fold(Call::at(name::STREAM), |call, kid| {
            call.cmd("GET").arg(name::revoked_key(kid))
        });
        let notes: Vec<Option<String>> = self.link.run("ended_keys", asked).await?;
        Ok(kids
            .iter()
            .zip(notes)
            .filter(|(_, note)| note.is_some())
            .map(|(kid, _)| kid.clone())
            .collect())
    }

    /// Blocks a user's list, which then admits no person, and in the same step revokes all of the
    /// user's tokens up to the present second of the list's primary; or lifts the block. Returns
    /// the number of this change, for [`Self::confirm_block`]. Call [`Self::revoke_user`]
    /// afterwards: it revokes tokens that other primaries have dated, and adds the revocation to
    /// the stream.
    pub async fn set_blocked(&self, user: &UserId, blocked: bool) -> Result<u64> {
        let script = if blocked {
            self.revoking(user, "block", Some(0)).await?
        } else {
            change_revocations(user, "unblock")
        };
        unless_ahead(self.link.run("set_blocked", script).await?)
    }

    /// Returns once a replica has the change with this number. Fails if a failover has lost it.
    pub async fn confirm_block(&self, user: &UserId, number: u64) -> Result<()> {
        let asked = Call::of("HGET", name::user(user)).arg("block");
        let held: Option<String> = self.link.run_confirmed("set_blocked", asked).await?;
        let is_kept =
            held.and_then(|held| held.split(' ').next()?.parse::<u64>().ok()) >= Some(number);
        if is_kept {
            Ok(())
        } else {
            Err(StoreError::LostInFailover("the block"))
        }
    }

    /// A step of `change_revocations.lua` that takes three seconds. It covers tokens up to `last`,
    /// or up to now.
    async fn revoking(&self, user: &UserId, step: &str, last: Option<i64>) -> Result<Call> {
        let latest = if let Some(last) = last {
            last
        } else {
            self.latest_second_of(user).await?
        };
        Ok(change_revocations(user, step)
            .arg(latest)
            .arg(self.clock.now().timestamp())
            .arg(APART.num_seconds()))
    }

    /// The second up to which tokens of a user may be dated: the present second, or the last
    /// exchange of one of the user's persons, if that is later. It is later if a clock of Redis has
    /// stepped back, even if no process has seen the step.
    async fn latest_second_of(&self, user: &UserId) -> Result<i64> {
        let (now, people) = try_join(
            self.clock.latest_second(&name::user(user)),
            self.bindings.people_of(user),
        )
        .await?;
        let bindings = try_join_all(
            people
                .iter()
                .flatten()
                .map(|person| self.bindings.find(person)),
        )
        .await?;
        let logins = bindings.into_iter().filter_map(|bound| bound?.last_login);
        Ok(logins.map(|login| login.timestamp()).fold(now, i64::max))
    }

    /// Waits for replicas if a token is dated after its login, so that later revocations cover it
    /// even after a failover. Fails if a failover has lost the date.
    pub(crate) async fn confirm_date(&self, token: &Issued, date: i64, latest: i64) -> Result<i64> {
        if token.issued_at < date && date <= latest {
            let asked = Call::of("HGET", name::revocations(&token.user)).arg("dated");
            let noted: Option<i64> = self.link.run_confirmed("date_token", asked).await?;
            if noted.is_none_or(|noted| noted < date) {
                return Err(StoreError::LostInFailover("the date of a token"));
            }
        }
        Ok(date)
    }

    /// Whether a user is blocked, and up to when all of the user's tokens are revoked. An unknown
    /// user is not blocked.
    pub async fn user_state(&self, user: &UserId) -> Result<UserState> {
        let asked = Call::of("HGET", name::user(user))
            .arg("block")
            .cmd("HMGET")
            .arg(name::revocations(user));
        let asked = asked.arg(&["before", "untold:before"]);
        let (block, [revoked_before, unpublished]): (Option<String>, [_; 2]) =
            self.link.run("user_state", asked).await?;
        Ok(UserState {
            blocked: block.is_some_and(|it| it.ends_with("on")),
            revoked_before,
            published: unpublished.is_none(),
        })
    }

    /// The blocked users on the page that begins at `from`.
    pub async fn walk_blocked(&self, from: &Place) -> Result<Page<UserId>> {
        let page = self
            .link
            .keys_like("wxmint:user:{*}", from, Slots::MayBeMoving)
            .await?;
        let users: Vec<_> = page
            .found
            .iter()
            .filter_map(|key| name::user_of(key))
            .collect();
        let states = try_join_all(users.iter().map(|user| self.user_state(user))).await?;
        let blocked = users
            .into_iter()
            .zip(states)
            .filter(|(_, state)| state.blocked)
            .map(|(user, _)| user);
        Ok(page.with(blocked.collect()))
    }

    /// Writes a revocation again that the store has lost.
    pub async fn restore(&self, revocation: &Revocation) -> Result<()> {
        let Revocation::Key { kid, .. } = revocation else {
            self.record(revocation).await?;
            return self.stream.put_again(revocation, None).await;
        };
        self.stream
            .put_again(revocation, Some((name::revoked_key(kid), &["KEEPTTL"])))
            .await
    }

    /// Whether the record of a revocation is missing, or covers less, although the stream still has
    /// the revocation.
    pub async fn lacks(&self, revocation: &Revocation) -> Result<bool> {
        let held = |user| Call::of("HGET", name::revocations(user));
        let (asked, least) = match revocation {
            Revocation::User { user, before, .. } => (held(user).arg("before"), *before),
            Revocation::UserInApp {
                user, app, before, ..
            } => (held(user).arg(format!("app:{app}")), *before + 1),
            Revocation::Token { id, user, .. } => {
                let asked = Call::of("GET", name::revoked_token(user, id));
                return Ok(self
                    .link
                    .run::<Option<Vec<u8>>>("lacks_revocation", asked)
                    .await?
                    .is_none());
            }
            Revocation::Key { .. } => return Ok(false),
        };
        Ok(self
            .link
            .run::<Option<i64>>("lacks_revocation", asked)
            .await?
            .is_none_or(|held| held < least))
    }

    /// Writes only the record of a revocation, not its entry in the stream.
    pub async fn record(&self, revocation: &Revocation) -> Result<()> {
        let restored = |user: &UserId, field: String, second: i64| {
            change_revocations(user, "restore")
                .arg(field)
                .arg(second)
                .arg(REVOCATIONS_KEPT.as_secs())
        };
        let record = match revocation {
            Revocation::User { user, before, .. } => restored(user, "before".into(), *before),
            Revocation::UserInApp {
                user, app, before, ..
            } => restored(user, format!("app:{app}"), *before + 1),
            Revocation::Token { id, user, .. } => script::CHANGE_REVOCATIONS
                .on(&[&name::revoked_token(user, id)])
                .arg("token"),
            Revocation::Key { kid, until } => Call::of("SET", name::revoked_key(kid)).arg(*until),
        };
        Ok(self
            .link
            .run_confirmed::<Value>("restore_revocation", record)
            .await
            .map(drop)?)
    }

    /// Revokes the user's tokens of the clients that were approved through this app, up to `last`,
    /// or up to now.
    pub(in crate::redis) async fn revoke_clients_of(
        &self,
        user: &UserId,
        app: &AppId,
        last: Option<i64>,
    ) -> Result<()> {
        for client in self.clients.clients_through(user, app).await? {
            self.revoke_in_one_app(user, &client, last).await?;
        }
        Ok(())
    }

    /// Revokes the user's tokens of one app or client, up to `last`, or up to now.
    pub(in crate::redis) async fn revoke_in_one_app(
        &self,
        user: &UserId,
        app: &AppId,
        last: Option<i64>,
    ) -> Result<()> {
        let script = self
            .revoking(user, "app", last)
            .await?
            .arg(app.as_str())
            .arg(last);
        let unpublished = unless_ahead(self.link.run_confirmed("revoke_in_app", script).await?)?;
        self.publish_app(user, app, unpublished).await
    }

    /// Revokes a single token. With `confirmed`, waits until replicas have the revocation.
    async fn revoke_one(&self, token: &Issued, confirmed: bool) -> Result<()> {
        let key = name::revoked_token(&token.user, &token.id);
        let revoking = script::CHANGE_REVOCATIONS.on(&[&key]).arg("token");
        let state: String = self.link.write("revoke_token", revoking, confirmed).await?;
        if state != PUBLISHED && (confirmed || state != ADDED) {
            let Issued {
                id,
                user,
                expires_at,
                ..
            } = token.clone();
            self.put_once(
                &Revocation::Token {
                    id,
                    user,
                    expires_at,
                },
                confirmed,
            )
            .await?;
            // If this value is lost, a repetition only adds another entry to the stream.
            let mark = Call::of("SET", &key)
                .arg(if confirmed { PUBLISHED } else { ADDED })
                .arg("XX");
            _ = self.link.run::<Value>("revoke_token", mark).await;
        }
        Ok(())
    }

    /// Adds a revocation to the stream, unless the same one was added in the last minute:
    /// simultaneous requests make the same revocation, and verifiers need to read it only once.
    /// Returns the date that it has in the stream.
    async fn put_once(&self, revocation: &Revocation, confirmed: bool) -> Result<i64> {
        let note = name::put(&revocation.form().name());
        self.stream
            .put(revocation, Some((note, &["NX", "EX", "60"])), confirmed)
            .await
            .map(|(date, _)| date)
    }

    pub(in crate::redis) async fn publish_app(
        &self,
        user: &UserId,
        app: &AppId,
        unpublished: Option<i64>,
    ) -> Result<()> {
        let revocation_up_to = |before| Revocation::UserInApp {
            user: user.clone(),
            app: app.clone(),
            before,
            until: before,
        };
        self.publish(user, &format!("app:{app}"), unpublished, revocation_up_to)
            .await
    }

    /// Adds a revocation that covers `unsent` to the stream, if there is one that is not there yet.
    /// `name` is its field in the user's record.
    async fn publish(
        &self,
        user: &UserId,
        name: &str,
        unsent: Option<i64>,
        revocation_up_to: impl Fn(i64) -> Revocation,
    ) -> Result<()> {
        let Some(second) = unsent else { return Ok(()) };
        let until = self.put_once(&revocation_up_to(second), true).await?;
        // This write must be confirmed: if a failover undid it, the revocation would count as
        // missing from the stream forever.
        Ok(self
            .link
            .run_confirmed("note_published", published(user, name, second, until))
            .await?)
    }
}

pub(in crate::redis) fn change_revocations(user: &UserId, step: &str) -> Call {
    script::CHANGE_REVOCATIONS
        .on(&[
            name::revocations(user),
            name::user(user),
            name::clients(user),
        ])
        .arg(step)
}

/// Notes in the user's record that a revocation is in the stream, with its date.
fn published(user: &UserId, name: &str, second: i64, until: i64) -> Call {
    change_revocations(user, "published")
        .arg(format!("untold:{name}"))
        .arg(second)
        .arg(until)
}

/// The answer of a script, or the error that the clock of Redis is too far ahead.
pub(in crate::redis) fn unless_ahead<T>((ahead, answer): (Option<i64>, T)) -> Result<T> {
    match ahead {
        Some(seconds) => Err(StoreError::ClockAhead { seconds }),
        None => Ok(answer),
    }
}
