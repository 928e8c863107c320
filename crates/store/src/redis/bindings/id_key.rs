//! The mode of user ids, which all replicas must agree on.

use wxmint_redis_link::Call;

use super::Bindings;
use crate::Result;
use crate::redis::{name, script};

/// The stored mode of user ids ([`Bindings::id_key`]) if user ids are drawn at random.
pub const DRAWN: &str = "random";

impl Bindings {
    /// The stored mode of user ids: [`DRAWN`], or the kind and the fingerprint of the id key from
    /// which they are computed. Stores `own` if there is none yet, or if it is [`DRAWN`]: replicas
    /// that draw user ids yield to replicas that compute them.
    pub async fn id_key(&self, own: Option<&str>) -> Result<Option<String>> {
        let held: Option<String> = self
            .link
            .run("id_key", Call::of("GET", name::ID_KEY))
            .await?;
        let yields = |held: &Option<String>| held.as_deref().is_none_or(|held| held == DRAWN);
        let Some(own) = own.filter(|own| yields(&held) && held.as_deref() != Some(*own)) else {
            return Ok(held);
        };
        let replaced = script::replace(name::ID_KEY, DRAWN.as_bytes(), own.as_bytes());
        let held: Option<String> = self.link.run_confirmed("id_key", replaced).await?;
        Ok(if yields(&held) {
            Some(own.to_owned())
        } else {
            held
        })
    }
}
