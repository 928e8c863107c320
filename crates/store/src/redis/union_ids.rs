//! The users to whom unionids are linked.

use std::{collections::HashMap, rc::Rc};

use redis::Value;
use wxmint_ids::{UnionId, UserId, packed};
use wxmint_redis_link::{Call, RedisClient};

use super::{name, replace};
use crate::{Result, UNPROVEN_LINK_KEPT};

/// The links from unionids to users, and the users who are in conflict about a unionid. The links
/// have keys of their own: a Redis Cluster keeps them in other slots than the persons and the
/// users.
#[derive(Clone)]
pub struct UnionIds {
    link: Rc<RedisClient>,
}

impl UnionIds {
    pub(super) fn new(link: Rc<RedisClient>) -> Self {
        Self { link }
    }

    /// The user that a unionid is linked to. Links it to `candidate` if it is not linked. That link
    /// expires after [`UNPROVEN_LINK_KEPT`], because the candidate may never get a person, and then
    /// no erasure would find the link.
    pub async fn claim(
        &self,
        unionid: &UnionId,
        candidate: Option<&UserId>,
    ) -> Result<Option<UserId>> {
        let key = name::union(unionid);
        let Some(candidate) = candidate else {
            let user: Option<Vec<u8>> =
                self.link.run("claim_unionid", Call::of("GET", key)).await?;
            return Ok(user.as_deref().map(packed::read_user).transpose()?);
        };
        let claim = Call::of("SET", &key).arg(packed::user(candidate)).arg("NX");
        let claim = claim
            .arg("EX")
            .arg(UNPROVEN_LINK_KEPT.as_secs())
            .cmd("GET")
            .arg(&key);
        let (_, held): (Value, Option<Vec<u8>>) =
            self.link.run_confirmed("claim_unionid", claim).await?;
        Ok(held.as_deref().map(packed::read_user).transpose()?)
    }

    /// Links a unionid to `to`, without expiry, if it is linked to `from` or `to` or not at all.
    /// Returns the user that it is linked to now.
    pub async fn relink(&self, unionid: &UnionId, from: &UserId, to: &UserId) -> Result<UserId> {
        let script = replace(
            &name::union(unionid),
            &packed::user(from),
            &packed::user(to),
        );
        let held: Option<Vec<u8>> = self.link.run_confirmed("move_unionid", script).await?;
        let held = held.as_deref().map(packed::read_user).transpose()?;
        Ok(held
            .filter(|held| held != from)
            .unwrap_or_else(|| to.clone()))
    }

    /// Notes that these users are in conflict about a unionid. Returns all users that are noted so.
    pub async fn share(&self, unionid: &UnionId, users: &[&UserId]) -> Result<Vec<UserId>> {
        let key = name::shared(unionid);
        if !users.is_empty() {
            let noted = users.iter().fold(Call::of("HSET", &key), |call, user| {
                call.arg(packed::user(user)).arg("")
            });
            self.link
                .run_confirmed::<u64>("share_unionid", noted)
                .await?;
        }
        let shared: HashMap<Vec<u8>, Value> = self
            .link
            .run("share_unionid", Call::of("HGETALL", &key))
            .await?;
        Ok(shared
            .keys()
            .map(|user| packed::read_user(user))
            .collect::<Result<_, _>>()?)
    }

    /// Erases the link of a unionid to this user, and the note that this user is in conflict about
    /// it. Returns whether it was linked to this user.
    pub async fn erase(&self, unionid: &UnionId, user: &UserId) -> Result<bool> {
        let user = packed::user(user);
        let script = replace(&name::union(unionid), &user, b"")
            .cmd("HDEL")
            .arg(name::shared(unionid))
            .arg(&user);
        let (held, _): (Option<Vec<u8>>, Value) =
            self.link.run_confirmed("erase_unionid", script).await?;
        Ok(held == Some(user))
    }
}
