//! The store in Redis. Each operation is one round trip: a script over keys of one hash slot, so that a Cluster can
//! hold them.

mod link;

use std::{fmt, str::FromStr, sync::LazyLock, time::Duration};

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::Script;
use zeroize::Zeroizing;

use self::link::Link;
use super::{
    Binding, CLAIM_TTL, Claim, ClaimId, ExchangeOrder, Fitness, LoginRecord, PREVIOUS_KEY_TTL, Person, Sealed,
    SessionKeys, Store, StoreError,
};
use crate::{
    ids::{AppId, LoginCode},
    telemetry::Metrics,
};

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));
static RECORD_LOGIN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("record_login.lua")));
static SESSION_KEYS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("session_keys.lua")));

/// A `redis://` URL that was checked. May hold a password, and does not print.
#[derive(Clone)]
pub struct RedisUrl(Zeroizing<String>);

impl FromStr for RedisUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("redis://") {
            return Err("must be redis://[user:password@]host:port[/db]".into());
        }
        // The library's own message may quote the URL.
        redis::Client::open(text).map_err(|_| "must be redis://[user:password@]host:port[/db]".to_owned())?;
        Ok(Self(text.to_owned().into()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// A connection to one Redis, for one worker thread.
pub struct Redis {
    link: Link,
    session_ttl: Duration,
    clock: fn() -> chrono::DateTime<chrono::Utc>,
}

impl Redis {
    /// Connects when first used. Session keys are kept for `session_ttl`; `clock` dates bindings.
    pub fn new(
        url: &RedisUrl,
        session_ttl: Duration,
        clock: fn() -> chrono::DateTime<chrono::Utc>,
        metrics: Metrics,
    ) -> Result<Self, StoreError> {
        Ok(Self { link: Link::new(&url.0, metrics)?, session_ttl, clock })
    }
}

/// The names of design.md's table "Redis". Braces are hash tags.
mod name {
    use super::*;

    /// The code itself is not stored: for its ten minutes it would be a credential.
    pub(super) fn code(app: &AppId, code: &LoginCode) -> String {
        let hash = digest::digest(&digest::SHA256, format!("{app}:{}", code.as_str()).as_bytes());
        format!("wxmint:code:{{{}}}", URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]))
    }

    pub(super) fn session(person: &Person) -> String {
        format!("wxmint:{{{}:{}}}:session", person.app, person.openid.as_str())
    }

    pub(super) fn binding(person: &Person) -> String {
        format!("wxmint:{{{}:{}}}:binding", person.app, person.openid.as_str())
    }
}

#[async_trait(?Send)]
impl Store for Redis {
    async fn claim_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<Claim, StoreError> {
        let mut script = CLAIM.key(name::code(app, code));
        script.arg(claim.as_str()).arg(CLAIM_TTL.as_secs());
        let (granted, seconds, micros): (u8, u64, u64) = self.link.run("claim_code", &script).await?;
        if granted == 0 {
            return Ok(Claim::Taken);
        }
        Ok(Claim::Granted(ExchangeOrder::new(seconds * 1_000_000 + micros, claim)))
    }

    async fn release_code(&self, app: &AppId, code: &LoginCode, claim: &ClaimId) -> Result<(), StoreError> {
        let mut script = RELEASE.key(name::code(app, code));
        script.arg(claim.as_str());
        self.link.run("release_code", &script).await
    }

    async fn record_login(&self, record: &LoginRecord) -> Result<Option<Binding>, StoreError> {
        let mut script = RECORD_LOGIN.key(name::session(&record.person));
        script
            .key(name::binding(&record.person))
            .arg(record.order.as_str())
            .arg(record.session_key.as_bytes())
            .arg(self.session_ttl.as_secs())
            .arg(record.user_if_unbound.as_ref().map_or("", |user| user.as_str()))
            .arg(record.unionid.as_ref().map_or("", |unionid| unionid.as_str()))
            .arg((self.clock)().timestamp_millis());
        let bound: Option<String> = self.link.run("record_login", &script).await?;
        let Some(bound) = bound else { return Ok(None) };
        let user = bound
            .parse()
            .map_err(|error| StoreError { reason: format!("a stored user id {error}: mend the binding") })?;
        Ok(Some(Binding { new: record.user_if_unbound.as_ref() == Some(&user), user }))
    }

    async fn session_keys(&self, person: &Person) -> Result<Option<SessionKeys>, StoreError> {
        let mut script = SESSION_KEYS.key(name::session(person));
        script.arg(PREVIOUS_KEY_TTL.as_millis() as u64);
        let kept: Vec<Vec<u8>> = self.link.run("session_keys", &script).await?;
        let mut kept = kept.into_iter().map(Sealed::from_stored);
        Ok(kept.next().map(|current| SessionKeys { current, previous: kept.next() }))
    }

    async fn fitness(&self) -> Result<Fitness, StoreError> {
        let info = self.link.info("memory").await?;
        let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).unwrap_or("unknown").trim();
        if policy.starts_with("allkeys-") {
            return Ok(Fitness::Unfit(format!(
                "Redis has maxmemory-policy {policy}, which may evict bindings, and they are nowhere else; \
                 run: CONFIG SET maxmemory-policy noeviction (or volatile-ttl)"
            )));
        }
        Ok(Fitness::Fit)
    }
}
