//! Which users have tokens that were issued to a client in place of the app.

use async_trait::async_trait;
use wxmint_ids::{AppId, ClientId, UserId};

use super::{Issued, Result};

#[async_trait(?Send)]
pub trait ClientTokens {
    /// Notes that a user has a token of a client, which was approved through this app: so an end in the app ends it
    /// too, and so does an end of the client.
    async fn note_client_token(&self, token: &Issued, app: &AppId) -> Result<()>;

    /// Users who may have a token of this client, each with the second up to which one is kept, from such a second on
    /// and in the order of these seconds. At most `most`.
    async fn users_of_client(&self, client: &ClientId, from: i64, most: usize) -> Result<Vec<(UserId, i64)>>;
}
