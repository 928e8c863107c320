//! The clients whose tokens a revocation in an app also revokes.

use std::rc::Rc;

use futures_util::future::try_join;
use wxmint_ids::{AppId, ClientId, UserId, packed};
use wxmint_keys::token::Issued;
use wxmint_redis_link::{Call, RedisClient};
use wxmint_verify::MAX_LEEWAY;

use crate::redis::{StoreClock, name, script};
use crate::{Result, StoreError};

/// A user may have tokens of this client until this second. The user approved the client through
/// this app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedClient {
    pub client: AppId,
    pub app: AppId,
    /// In seconds since 1970.
    pub until: i64,
}

/// The notes of which clients have tokens of which users.
#[derive(Clone)]
pub struct ClientTokens {
    link: Rc<RedisClient>,
    clock: StoreClock,
}

impl ClientTokens {
    pub(in crate::redis) fn new(link: Rc<RedisClient>, clock: StoreClock) -> Self {
        Self { link, clock }
    }

    /// Notes a token of a client that was approved through this app, so that a revocation in either
    /// of the two also revokes this token.
    pub async fn note(&self, token: &Issued, app: &AppId) -> Result<()> {
        let until = token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64;
        let now = self.clock.now().timestamp();
        let of_client = script::NOTE_CLIENT
            .on(&[&name::users_of_client(&token.app)])
            .arg(packed::user(&token.user));
        let of_user = script::NOTE_CLIENT
            .on(&[&name::clients(&token.user)])
            .arg(format!("{} {app}", token.app));
        // This comes first, because by this date the other two notes are found and purged.
        let kept = script::KEEP_RECORDS
            .on(&[name::KEPT])
            .arg(token.user.as_str())
            .arg(until)
            .arg("")
            .arg(now);
        self.link.run_confirmed::<u64>("note_client", kept).await?;
        // Replicas must have the notes, because a revocation that finds no note would leave the
        // token valid.
        let note = |note: Call| self.link.run_confirmed::<u8>("note_client", note);
        Ok(try_join(
            note(of_client.arg(until).arg(now)),
            note(of_user.arg(until)),
        )
        .await
        .map(drop)?)
    }

    /// The clients that may have tokens of the user.
    pub async fn clients_of(&self, user: &UserId) -> Result<Vec<NotedClient>> {
        let asked = Call::of("ZRANGE", name::clients(user))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES");
        let noted: Vec<(String, f64)> = self.link.run("clients_of", asked).await?;
        let read = |(note, until): (String, f64)| {
            let (client, app) = note.split_once(' ')?;
            Some(NotedClient {
                client: client.parse().ok()?,
                app: app.parse().ok()?,
                until: until as i64,
            })
        };
        noted
            .into_iter()
            .map(|note| read(note).ok_or(StoreError::Damaged("a user's pages")))
            .collect()
    }

    /// The clients that the user approved through this app, and that may have tokens of the user.
    pub(super) async fn clients_through(&self, user: &UserId, app: &AppId) -> Result<Vec<AppId>> {
        let asked = Call::of("ZRANGE", name::clients(user)).arg(0).arg(-1);
        let noted: Vec<String> = self.link.run("clients_of", asked).await?;
        noted
            .iter()
            .filter_map(|note| note.split_once(' ').filter(|(_, of)| *of == app.as_str()))
            .map(|(client, _)| client.parse())
            .collect::<Result<_, _>>()
            .map_err(|_| StoreError::Damaged("a user's pages"))
    }

    /// Deletes these notes, because all their tokens have been revoked. Notes of later tokens stay.
    pub async fn delete(&self, user: &UserId, noted: &[NotedClient]) -> Result<()> {
        let delete = |key: &str, member: &[u8], until: i64| {
            let script = script::FORGET_CLIENT.on(&[key]).arg(member).arg(until);
            self.link.run_confirmed::<u8>("forget_client", script)
        };
        for NotedClient { client, app, until } in noted {
            delete(
                &name::clients(user),
                format!("{client} {app}").as_bytes(),
                *until,
            )
            .await?;
        }
        let left = self.clients_of(user).await?;
        for NotedClient { client, until, .. } in noted
            .iter()
            .filter(|note| !left.iter().any(|it| it.client == note.client))
        {
            delete(&name::users_of_client(client), &packed::user(user), *until).await?;
        }
        Ok(())
    }

    /// At most `most` users that may have a token of a client, each with the last second of such a
    /// token, ordered by that second, which is `from` or later.
    pub async fn users_of(
        &self,
        client: &ClientId,
        from: i64,
        most: usize,
    ) -> Result<Vec<(UserId, i64)>> {
        let asked = Call::of("ZRANGE", name::users_of_client(&client.0));
        let asked = asked
            .arg(from)
            .arg("+inf")
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(most)
            .arg("WITHSCORES");
        let users: Vec<(Vec<u8>, f64)> = self.link.run("users_of_client", asked).await?;
        users
            .iter()
            .map(|(user, until)| Ok((packed::read_user(user)?, *until as i64)))
            .collect()
    }
}
