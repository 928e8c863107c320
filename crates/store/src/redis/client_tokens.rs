//! Who has tokens of clients, in Redis: a set of users for each client, and one of clients for each user.

use async_trait::async_trait;
use futures_util::future::try_join;
use wxmint_ids::{AppId, ClientId, UserId};
use wxmint_verify::MAX_LEEWAY;

use super::{Call, Redis, name, packed, script, unreadable};
use crate::{ClientTokens, Issued, Result};

#[async_trait(?Send)]
impl ClientTokens for Redis {
    async fn note_client_token(&self, token: &Issued, app: &AppId) -> Result<()> {
        let until = token.expires_at + 2 * MAX_LEEWAY.as_secs() as i64;
        let of_client =
            script::NOTE_CLIENT.on(&[&name::users_of_client(&token.app.clone().into())]).arg(packed::user(&token.user));
        let of_user = script::NOTE_CLIENT.on(&[&name::clients(&token.user)]).arg(format!("{} {app}", token.app));
        let now = (self.clock)().timestamp();
        // An end that finds no note would leave the token alive, also after a failover.
        let note = |note: Call| self.link.run_confirmed::<u8>("note_client", note.arg(until).arg(now));
        Ok(try_join(note(of_client), note(of_user)).await.map(drop)?)
    }

    async fn users_of_client(&self, client: &ClientId, from: i64, most: usize) -> Result<Vec<(UserId, i64)>> {
        let asked = Call::of("ZRANGE", name::users_of_client(client));
        let asked = asked.arg(from).arg("+inf").arg("BYSCORE").arg("LIMIT").arg(0).arg(most).arg("WITHSCORES");
        let users: Vec<(Vec<u8>, f64)> = self.link.run("users_of_client", asked).await?;
        users.iter().map(|(user, until)| Ok((packed::read_user(user)?, *until as i64))).collect()
    }
}

impl Redis {
    /// Ends the user's tokens of the clients whose approvals came through this app, up to `last`, or up to now.
    pub(super) async fn end_clients_of(&self, user: &UserId, app: &AppId, last: Option<i64>) -> Result<()> {
        let asked = Call::of("ZRANGE", name::clients(user)).arg(0).arg(-1);
        let noted: Vec<String> = self.link.run("clients_of", asked).await?;
        let of_app = noted.iter().filter_map(|note| note.split_once(' ').filter(|(_, other)| *other == app.as_str()));
        for (client, _) in of_app {
            let client = client.parse().map_err(|_| unreadable("a user's pages"))?;
            self.end_in_one_app(user, &client, last).await?;
        }
        Ok(())
    }
}
