//! Who has tokens of clients, in memory.

use async_trait::async_trait;
use wxmint_ids::{AppId, ClientId, UserId};

use super::{Memory, Shelves};
use crate::{ClientTokens, Ended, Issued, Result};

#[async_trait(?Send)]
impl ClientTokens for Memory {
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
        let of_client =
            shelves.client_tokens.iter().filter(|((_, of, _), until)| of == client.in_tokens() && **until >= from);
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
