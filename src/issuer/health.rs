//! Whether logins can be taken: no key in use is revoked, and Redis has the right clock, takes a
//! write like a login's at the start and after each new connection, and has the fingerprint of the
//! id key.

use std::time::{Duration, Instant};
use std::{mem, sync::Arc};

use chrono::{DateTime, Utc};
use wxmint_http::Readiness;
use wxmint_redis_link::{Cause, Reason, RedisUrl};
use wxmint_store::{Store, StoreError};

use super::Issuer;
use super::examine::leaves_early;
use crate::clock::now;
use crate::findings::{Finding, Status};
use crate::login::UserIds;
use crate::observers::show_redis;
use crate::redis_checks::{self, own_clock};
use crate::revocation::revoked_keys::learn_revoked_keys;

const INTERVAL: Duration = Duration::from_secs(2);
/// One look in this many examines all of Redis.
const LOOKS: usize = 5;
/// Within this time, a process that had agreed before publishes the fingerprint of the id key again
/// in a store that was emptied.
const IDS_INTERVAL: Duration = Duration::from_secs(1);
/// How long an empty store must have answered before a process publishes there the fingerprint of
/// its own key, or that user ids are drawn. Other processes may have agreed before, and come first.
const OTHERS_FIRST: Duration = Duration::from_secs(3);

/// How many looks in a row must have found no Redis before a warning says so. One lost answer is no
/// outage.
const UNANSWERED_LOOKS: usize = 2;
/// The console looks for its first words (`src/admin/console/watch.js`).
const LOGINS_FAIL: &str = "logins fail: Redis does not answer";

/// Follows the state of the store. If Redis is gone, the process stays ready, because otherwise all
/// replicas would become unready at once. A warning says that nobody can log in.
pub(super) async fn follow_store(issuer: Arc<Issuer>) {
    let redis = issuer.store();
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut tried = None;
    let mut clock = Status::Ok;
    let mut unanswered = 0;
    for look in 0.. {
        interval.tick().await;
        issuer.judge_revoked_keys(&redis).await;
        if issuer.settings.store.url.is_none() {
            continue;
        }
        // Failed calls have logged why.
        match redis.clock.ahead().await {
            Ok(ahead) => {
                unanswered = 0;
                judge_clock(&issuer, ahead, &mut clock);
                try_connection(&issuer.readiness, &redis, &mut tried, look % LOOKS == 0).await;
            }
            Err(_) => unanswered += 1,
        }
        issuer.readiness.warns(
            "logins",
            (unanswered >= UNANSWERED_LOOKS).then_some(LOGINS_FAIL),
        );
        if look % LOOKS == 0 {
            look_at_all(&issuer, &redis).await;
        }
    }
}

impl Issuer {
    /// Learns which keys in use, or of peers, were revoked. Returns a fault if a key in use is
    /// revoked.
    pub(super) async fn learn_revoked_keys(
        &self,
        store: &Store,
        now: DateTime<Utc>,
    ) -> Result<Option<Finding>, StoreError> {
        let of_peers = self.keys_of_peers(now);
        learn_revoked_keys(
            &self.keys,
            &of_peers,
            &self.settings.keys,
            &store.revocations,
            now,
        )
        .await
    }

    /// Learns the revoked keys again, and decides whether the process is ready.
    ///
    /// While the signing key is revoked, or no key signs, the process is not ready, because
    /// verifiers refuse what it signs: tokens, and the pages of the feed. Replicas whose file is
    /// right go on. If another key is revoked, tokens are good, and an unready process would take
    /// the JWKS from verifiers for nothing: this is a warning. A process that starts is not ready
    /// in either case, so that a rollout of a wrong file stops at its first replica.
    #[expect(
        clippy::cognitive_complexity,
        reason = "the macros of the log count as branches"
    )]
    async fn judge_revoked_keys(&self, store: &Store) {
        let now = now();
        // A failed call has logged why.
        let Ok(found) = self.learn_revoked_keys(store, now).await else {
            return;
        };
        let keys = self.keys.set();
        let found = found.map(|finding| finding.to_string());
        let unfit = match keys.signing(now) {
            Ok(key) => found
                .as_deref()
                .filter(|_| keys.is_revoked(key.public().kid())),
            Err(_) => Some("no key signs by the clock of this machine: see wxmint keys list"),
        };
        self.readiness.unfit("keys", unfit);
        if self.readiness.warns("keys", found.as_deref()) {
            match found {
                Some(reason) => tracing::error!(reason, "a key in use is revoked"),
                None => tracing::info!("no key in use is revoked any more"),
            }
        }
        let early = leaves_early(&keys, &self.settings.keys, self.settings.token_ttl, now);
        let early = early.map(|finding| finding.to_string());
        let has_changed = self.readiness.warns("keys_early", early.as_deref());
        if has_changed && let Some(reason) = early {
            tracing::warn!(reason, "tokens will outlive the key that has signed them");
        }
    }
}

/// For metrics, and for a warning where something is missing that logins can do without for a
/// while.
async fn look_at_all(issuer: &Issuer, redis: &Store) {
    let state = redis.link.state().await.unwrap_or_default();
    show_redis(&issuer.metrics, &state);
    if state.primaries.is_empty() && state.slots.is_none() {
        // No primary answers, so it is unknown whether anything is still missing.
        return;
    }
    let lacks = redis_checks::lacks(&state)
        .into_iter()
        .filter(|finding| finding.status != Status::Ok);
    let warning = lacks
        .map(|finding| finding.to_string())
        .reduce(|all, next| all + "; " + &next);
    if issuer.readiness.warns("redis", warning.as_deref()) {
        match warning {
            Some(warning) => tracing::warn!("{warning}"),
            None => tracing::info!("what was missing in Redis is there again"),
        }
    }
}

/// While the clock of Redis is more than a minute ahead of this machine's, the process is not
/// ready, because it can neither date a token nor revoke one. A clock that is behind causes only a
/// warning, even if it is behind by the lifetime of a token, so that nobody can log in: otherwise
/// all processes would become unready at once, and take the JWKS and the feed with them. `before`
/// is the previous finding, so that the log says each once.
fn judge_clock(
    Issuer {
        readiness, metrics, ..
    }: &Issuer,
    ahead: i64,
    before: &mut Status,
) {
    let found = own_clock(-ahead as f64, Duration::MAX);
    if found.status != Status::Ok {
        metrics.clock_skew_exceeded.inc();
    }
    let told = |status| (found.status == status).then(|| found.to_string());
    readiness.unfit("clock", told(Status::Fault).as_deref());
    readiness.warns("clock", told(Status::Warning).as_deref());
    if mem::replace(before, found.status) != found.status {
        match found.status {
            Status::Ok => tracing::info!("the clocks of Redis and this machine agree"),
            _ => tracing::error!("{found}"),
        }
    }
}

/// A Redis that answers on a new connection and takes no writes, such as a former primary, or may
/// lose bindings, makes the process not ready until that is mended. `tried` is the connection on
/// which all was well. On that connection only a changed eviction policy is looked for, because
/// otherwise all replicas would become unready at once when the memory is full.
async fn try_connection(
    readiness: &Readiness,
    redis: &Store,
    tried: &mut Option<(u64, Arc<RedisUrl>)>,
    again: bool,
) {
    let current = redis.link.connections_made();
    let is_tried = tried.as_ref() == Some(&current);
    let found = match is_tried {
        true if !again => return,
        true => redis_checks::fitness(&redis.link, now().timestamp(), Status::Warning).await,
        false => {
            // A URL that is put back counts its connections anew.
            *tried = None;
            check_redis(redis).await
        }
    };
    let refused = match found {
        Ok(found) => found
            .into_iter()
            .find(|finding| finding.status == Status::Fault)
            .map(|fault| fault.to_string()),
        Err(reason) if is_tried || is_gone(reason.cause) => return,
        Err(reason) => Some(reason.to_string()),
    };
    *tried = refused.is_none().then_some(current);
    tell(readiness, "redis", refused, "Redis takes logins again");
}

/// Keeps the process unready while there is a reason. The log has each reason once, and its end.
fn tell(readiness: &Readiness, about: &'static str, unfit: Option<String>, mended: &str) {
    if readiness.unfit(about, unfit.as_deref()) {
        match unfit {
            Some(reason) => tracing::error!(reason, "not ready to take logins"),
            None => tracing::info!("{mended}"),
        }
    }
}

/// Whether Redis can be trusted with bindings and takes logins. Its faults must be mended first.
pub(super) async fn check_redis(redis: &Store) -> Result<Vec<Finding>, Reason> {
    let found = redis_checks::fitness(&redis.link, now().timestamp(), Status::Warning).await?;
    let refused =
        |reason: Reason| reason.after(format_args!("Redis does not take the write of a login: "));
    redis.try_a_login().await.map(|()| found).map_err(refused)
}

fn is_gone(cause: Cause) -> bool {
    use Cause::{
        Closed, Loading, NoAddress, NoAnswer, NoAnswerByTls, NoPrimaryNamed, NobodyListens,
    };
    matches!(
        cause,
        Closed | Loading | NoAddress | NoAnswer | NoAnswerByTls | NoPrimaryNamed | NobodyListens
    )
}

/// Compares with the other processes, through the store, how user ids are made. A process that
/// makes them in another way, or with another key, is not ready, and logs nobody in.
pub(super) async fn follow_user_ids(issuer: Arc<Issuer>) {
    let store = issuer.store();
    let mut answers_since = None;
    let wait = if issuer.settings.store.url.is_some() {
        OTHERS_FIRST
    } else {
        Duration::ZERO
    };
    let mut pause = Duration::ZERO;
    loop {
        actix_web::rt::time::sleep(pause).await;
        pause = IDS_INTERVAL;
        // A failed call has logged why.
        let Ok(found) = compare_ids(
            &issuer.ids,
            &store,
            &mut answers_since,
            (wait, Instant::now()),
        )
        .await
        else {
            continue;
        };
        if issuer.ids.agreement.wait_for_others() {
            // The start of the process waits for this too, and says so.
            continue;
        }
        let found = found.map(|finding| finding.to_string());
        tell(
            &issuer.readiness,
            "user_ids",
            found,
            "user ids come about as everywhere",
        );
        if !issuer.ids.are_computed() {
            // A process that draws user ids only has to notice that others begin to compute them.
            pause = 10 * IDS_INTERVAL;
        }
    }
}

/// Compares, and publishes this process's fingerprint in a store without one, once the store has
/// answered for `wait` without a break: in an outage it may have been emptied.
async fn compare_ids(
    ids: &UserIds,
    store: &Store,
    answers_since: &mut Option<Instant>,
    (wait, now): (Duration, Instant),
) -> Result<Option<Finding>, StoreError> {
    let has_waited = now.saturating_duration_since(*answers_since.get_or_insert(now)) >= wait;
    let found = ids.agreement.compare(&store.bindings, has_waited).await;
    if found.is_err() {
        *answers_since = None;
    }
    found
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use wxmint_ids::{IdKey, IdKind};
    use wxmint_store::StoreAccess;

    use super::*;

    /// The process may have a wrong key, which would give everybody another user id.
    #[actix_web::test]
    async fn after_an_outage_a_process_waits_anew_before_it_tells_an_emptied_redis_its_id_key() {
        let key = IdKey::parse(BASE64_STANDARD.encode([1; 32]).as_bytes()).expect("a key");
        let ids = UserIds::new(Some((IdKind::OpenId, key)), true, true);
        let away =
            wxmint_redis_link::RedisAccess::fixed("redis://127.0.0.1:1".parse().expect("a URL"));
        let [there, away] = [StoreAccess::in_memory(now), StoreAccess::new(away)]
            .map(|access| Store::new(&access, Duration::from_mins(1), now, ()));
        let (begun, mut answers_since) = (Instant::now(), None);
        let mut looks = async |store: &Store, seconds| {
            let at = begun + Duration::from_secs(seconds);
            let is_answered = compare_ids(&ids, store, &mut answers_since, (OTHERS_FIRST, at))
                .await
                .is_ok();
            (
                is_answered,
                there
                    .bindings
                    .id_key(None)
                    .await
                    .expect("an answer")
                    .is_some(),
            )
        };
        assert_eq!(looks(&there, 0).await, (true, false));
        assert_eq!(
            looks(&there, 2).await,
            (true, false),
            "others may have agreed"
        );
        assert_eq!(looks(&away, 3).await, (false, false));
        for seconds in [4, 6] {
            assert_eq!(
                looks(&there, seconds).await,
                (true, false),
                "{seconds} s after the start, Redis is back"
            );
        }
        assert_eq!(looks(&there, 7).await, (true, true));
    }
}
