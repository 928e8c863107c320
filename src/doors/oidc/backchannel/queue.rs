//! The queues of logouts in Redis: one sorted set for each client, scored by when each logout is
//! due. Also the cursor up to which the stream of revocations has been read.

use std::time::Duration;

use futures_util::future::try_join_all;
use redis::Value;
use wxmint_ids::{AppId, ClientId};
use wxmint_redis_link::Call;
use wxmint_store::{Revocation, Store, StoreError};
use wxmint_verify::LONGEST_LIFE;

use super::super::family;
use super::GIVEN_UP_AFTER;
use crate::clock::now;
use crate::oauth::clients::Client;

/// How many logouts are sent to a site at the same time.
pub(super) const AT_ONCE: usize = 8;
/// How many logouts can wait for a site. Beyond that, the logouts that are due last are dropped. So
/// a dead site costs Redis a megabyte at most.
const MOST_WAITING: u64 = 10_000;
/// How long a queue stays after its last change, for a site whose address was removed.
const KEPT: Duration = Duration::from_secs(2 * GIVEN_UP_AFTER.unsigned_abs());
/// How many revocations are read at once.
const PAGE: usize = 500;
const CURSOR: &str = "wxmint:oidc:logout-cursor";

/// A revoked login of a user at a client; all of the user's logins if there is no `sid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::doors::oidc) struct Logout {
    /// When it was queued, in seconds since 1970.
    pub(in crate::doors::oidc) since: i64,
    pub(in crate::doors::oidc) user: String,
    pub(in crate::doors::oidc) sid: Option<String>,
}

impl Logout {
    /// The text in the queue: the fields, separated by blanks. No id contains a blank.
    fn written(&self) -> String {
        let sid = self
            .sid
            .iter()
            .map(|sid| format!(" {sid}"))
            .collect::<String>();
        format!("{} {}{sid}", self.since, self.user)
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let since = parts.next()?.parse().ok()?;
        let user = parts.next()?.to_owned();
        let sid = parts.next().map(str::to_owned);
        Some(Self { since, user, sid })
    }
}

/// Queues a logout for a client.
pub(in crate::doors::oidc) async fn queue(
    store: &Store,
    client: &AppId,
    logout: &Logout,
) -> Result<(), StoreError> {
    let key = family::key("logouts", client);
    let call = Call::of("ZADD", &key)
        .arg(logout.since)
        .arg(logout.written());
    let call = call.cmd("EXPIRE").arg(&key).arg(KEPT.as_secs());
    // Logouts that the site has not accepted are due later than others, and are dropped first.
    let call = call
        .cmd("ZREMRANGEBYRANK")
        .arg(&key)
        .arg(MOST_WAITING)
        .arg(-1);
    let (_, _, dropped): (Value, Value, u64) =
        store.link.run_confirmed("queue_logout", call).await?;
    if dropped > 0 {
        let client_id = client.as_str();
        bounded!(
            warn,
            &format!("logouts dropped {client_id}"),
            client_id,
            "too many logouts wait for a site"
        );
    }
    Ok(())
}

pub(super) struct Queue(String);

impl Queue {
    pub(super) fn of(client: &ClientId) -> Self {
        Self(family::key("logouts", client))
    }

    /// Up to [`AT_ONCE`] due logouts, the earliest first.
    pub(super) async fn due(&self, store: &Store, now: i64) -> Result<Vec<Logout>, StoreError> {
        let asked = Call::of("ZRANGE", &self.0)
            .arg("-inf")
            .arg(now)
            .arg("BYSCORE")
            .arg("LIMIT")
            .arg(0)
            .arg(AT_ONCE);
        let due: Vec<String> = store.link.run("due_logouts", asked).await?;
        Ok(due.iter().filter_map(|text| Logout::read(text)).collect())
    }

    pub(super) async fn remove(&self, store: &Store, logout: &Logout) -> Result<(), StoreError> {
        let removed = Call::of("ZREM", &self.0).arg(logout.written());
        store.link.run::<Value>("due_logouts", removed).await?;
        Ok(())
    }

    /// Delays the logout until the second `due`. If another replica has sent it meanwhile, the site
    /// is told again.
    pub(super) async fn put_off(
        &self,
        store: &Store,
        logout: &Logout,
        due: i64,
    ) -> Result<(), StoreError> {
        let call = Call::of("ZADD", &self.0).arg(due).arg(logout.written());
        let call = call.cmd("EXPIRE").arg(&self.0).arg(KEPT.as_secs());
        let _: (Value, Value) = store.link.run("due_logouts", call).await?;
        Ok(())
    }

    /// How many waiting logouts were queued before this second.
    pub(super) async fn late(&self, store: &Store, before: i64) -> Result<usize, StoreError> {
        let waiting: Vec<String> = store
            .link
            .run(
                "due_logouts",
                Call::of("ZRANGE", &self.0).arg(0).arg(MOST_WAITING),
            )
            .await?;
        let read = waiting.iter().filter_map(|text| Logout::read(text));
        Ok(read.filter(|logout| logout.since < before).count())
    }
}

/// The position up to which the stream of revocations has been read.
pub(super) struct Cursor(String);

impl Cursor {
    /// Reads the stored position. If there is none, reading begins with the oldest revocation.
    pub(super) async fn read(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(store.texts.get(CURSOR).await?.unwrap_or_default()))
    }

    /// Queues what is new for these clients, and stores the position. If the stored position is
    /// lost, sites are told again.
    pub(super) async fn go_on(
        mut self,
        store: &Store,
        clients: &[&Client],
    ) -> Result<Self, StoreError> {
        loop {
            let read = match store.revocation_stream.after(&self.0, PAGE).await? {
                Some(read) => read,
                // The stream does not have this position, or no longer.
                None => match store.revocation_stream.after("", PAGE).await? {
                    Some(read) => read,
                    None => return Ok(self),
                },
            };
            try_join_all(
                read.revocations
                    .iter()
                    .map(|revocation| queue_logouts(store, clients, revocation)),
            )
            .await?;
            if read.cursor != self.0 {
                store.texts.keep(CURSOR, &read.cursor, LONGEST_LIFE).await?;
            }
            self.0 = read.cursor;
            if !read.more {
                return Ok(self);
            }
        }
    }
}

/// Queues a revocation of all logins of a user, or of all logins of a user at one client. The
/// revocation of a single login queues itself, and the revocation of a key revokes no login.
async fn queue_logouts(
    store: &Store,
    clients: &[&Client],
    revocation: &Revocation,
) -> Result<(), StoreError> {
    let (user, at, before) = match revocation {
        Revocation::User { user, before, .. } => (user, None, *before),
        Revocation::UserInApp {
            user, app, before, ..
        } => (user, Some(app), *before),
        Revocation::Token { .. } | Revocation::Key { .. } => return Ok(()),
    };
    let since = now().timestamp();
    // A logout this old would already have been dropped.
    if before < since - GIVEN_UP_AFTER {
        return Ok(());
    }
    for client in clients
        .iter()
        .filter(|client| at.is_none_or(|app| *app == client.id.0))
    {
        let Some(receiver) = &client.logout_receiver else {
            continue;
        };
        let list = family::key("families", format_args!("{}:{user}", client.id));
        let asked = Call::of("ZRANGE", &list).arg(0).arg(-1).arg("WITHSCORES");
        let listed: Vec<(String, f64)> = store.link.run("logins_of_client", asked).await?;
        for sid in revoked_logins(&listed, before, receiver.needs_sid) {
            queue(
                store,
                &client.id.0,
                &Logout {
                    since,
                    user: user.to_string(),
                    sid,
                },
            )
            .await?;
        }
    }
    Ok(())
}

/// The logins that a revocation of all of a user's tokens up to a second covers; a single `None` if
/// it covers all logins. `listed` has each login with the second in which it began.
fn revoked_logins(listed: &[(String, f64)], before: i64, needs_sid: bool) -> Vec<Option<String>> {
    let revoked: Vec<_> = listed
        .iter()
        .filter(|(_, begun)| *begun <= before as f64)
        .collect();
    if revoked.is_empty() {
        return Vec::new();
    }
    if !needs_sid && revoked.len() == listed.len() {
        return vec![None];
    }
    revoked
        .into_iter()
        .map(|(sid, _)| Some(sid.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::PAUSES;
    use super::*;
    use crate::doors::oidc::lists::enlist;
    use crate::doors::servers;
    use crate::oauth::clients::Clients;

    #[test]
    fn a_logout_is_read_as_it_was_written() {
        for sid in [None, Some("sid-1".to_owned())] {
            let logout = Logout {
                since: 1_796_022_793,
                user: "user-1".into(),
                sid,
            };
            assert_eq!(Logout::read(&logout.written()), Some(logout));
        }
        for wrong in ["", "x user-1", "1"] {
            assert_eq!(Logout::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_pause_doubles_and_a_site_is_given_up_after_some_tries() {
        let (mut age, mut tries) = (0, 1);
        while age < GIVEN_UP_AFTER {
            age += age.clamp(PAUSES[0], PAUSES[1]);
            tries += 1;
        }
        assert_eq!(tries, 19);
    }

    #[test]
    fn a_login_that_is_newer_than_the_revocation_goes_on() {
        let listed = [
            ("old".to_owned(), 100.0),
            ("older".to_owned(), 90.0),
            ("new".to_owned(), 110.0),
        ];
        let told = |listed: &[(String, f64)], before, needs_sid| {
            revoked_logins(listed, before, needs_sid)
                .into_iter()
                .map(|sid| sid.unwrap_or("all".into()))
                .collect::<Vec<_>>()
        };
        assert_eq!(told(&listed, 110, false), ["all"]);
        assert_eq!(told(&listed, 110, true), ["old", "older", "new"]);
        assert_eq!(told(&listed, 100, false), ["old", "older"]);
        assert!(told(&listed, 89, false).is_empty() && told(&[], 110, false).is_empty());
    }

    /// Redis fails after the stream was read. The replica that has read it may be dead by the next
    /// look.
    #[tokio::test(flavor = "local")]
    async fn a_logout_that_could_not_be_queued_is_queued_by_whichever_replica_looks_next() {
        let store = servers::memory();
        let file = r#"{"clients":[{"client_id":"grafana","name":"Grafana","appid":"wx0123456789abcdef",
            "redirect_uris":["https://grafana.example.com/cb"],"backchannel_logout_uri":"https://grafana.example.com/out"}]}"#;
        let clients = Clients::parse(file.as_bytes(), Duration::MAX).expect("clients");
        let told: Vec<_> = clients.iter().collect();
        let queue = family::key("logouts", "grafana");
        let second = now().timestamp();
        for user in ["user-1", "user-2"] {
            let list = family::key("families", format_args!("grafana:{user}"));
            enlist(&store, &list, "sid", (second - 5) as f64, LONGEST_LIFE)
                .await
                .expect("listed");
        }
        let looks = async || Cursor::read(&store).await?.go_on(&store, &told).await;
        let revokes = async |user: &str| {
            let user = user.parse().expect("a user");
            store
                .revocations
                .revoke_user(&user, None)
                .await
                .expect("revoked");
        };

        revokes("user-1").await;
        store
            .texts
            .keep(&queue, "no queue", LONGEST_LIFE)
            .await
            .expect("kept");
        assert!(looks().await.is_err(), "Redis does not take the logout");
        store.texts.delete(&queue).await.expect("gone");
        revokes("user-2").await;
        assert!(looks().await.is_ok());
        let due = Queue::of(&told[0].id)
            .due(&store, now().timestamp())
            .await
            .expect("an answer");
        let users: Vec<_> = due.iter().map(|logout| logout.user.as_str()).collect();
        assert_eq!(users, ["user-1", "user-2"]);
    }
}
