//! Decides whether Redis may have lost revocations that are still needed, and reports it.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use wxmint_http::Readiness;
use wxmint_keys::KeyRing;
use wxmint_store::{Lives, PossibleLoss, Store, TokenLives};
use wxmint_telemetry::Metrics;
use wxmint_verify::MAX_LEEWAY;

use crate::clock::now;
use crate::findings::Finding;

/// A key that could sign for this long before the store was found empty has signed tokens, so the
/// installation is not new. A younger key proves nothing; then other signs count
/// ([`LossMonitor::had_tokens`]).
const IN_USE: TimeDelta = TimeDelta::hours(1);
/// By how many seconds a token's `iat` and the second of a possible loss may differ because of
/// clocks alone.
const CLOCKS_DIFFER: i64 = 2 * MAX_LEEWAY.as_secs() as i64;

/// The earliest `iat` of the tokens that this process was shown, in seconds since 1970: tokens were
/// issued then.
#[derive(Debug, Clone)]
pub(crate) struct OldestToken(Arc<AtomicI64>);

impl Default for OldestToken {
    /// No token was shown yet.
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MAX)))
    }
}

impl OldestToken {
    /// Notes the `iat` of a valid token.
    pub(crate) fn note(&self, issued_at: DateTime<Utc>) {
        self.0.fetch_min(issued_at.timestamp(), Ordering::Relaxed);
    }

    /// Whether a token of clearly before this second was shown.
    fn is_before(&self, second: i64) -> bool {
        let oldest = self.0.load(Ordering::Relaxed);
        oldest.saturating_add(CLOCKS_DIFFER) < second
    }
}

/// Decides whether Redis may have lost revocations that are still needed, and reports it.
pub(crate) struct LossMonitor {
    keys: Arc<KeyRing>,
    oldest_token: OldestToken,
    metrics: Metrics,
    readiness: Readiness,
    /// False for the store in memory, which is empty at each start.
    is_in_redis: bool,
    /// Whether the log already says that this Redis held nothing.
    has_logged_new: bool,
}

impl LossMonitor {
    /// `is_in_redis` is false for the store in memory.
    pub(crate) fn new(
        keys: Arc<KeyRing>,
        oldest_token: OldestToken,
        metrics: Metrics,
        readiness: Readiness,
        is_in_redis: bool,
    ) -> Self {
        Self {
            keys,
            oldest_token,
            metrics,
            readiness,
            is_in_redis,
            has_logged_new: false,
        }
    }

    /// Warns while data of Redis may be lost. If this process knows of a loss, it tells all others
    /// through the store.
    pub(super) async fn report_loss(
        &mut self,
        possible_loss: Option<PossibleLoss>,
        lives: &Lives,
        noted: &TokenLives,
    ) {
        let loss = self.loss(possible_loss, lives);
        let reason = loss
            .as_ref()
            .map(|loss| format!("{}: {}", loss.found, loss.advice));
        self.metrics.lost_revocations.set(reason.is_some().into());
        let has_changed = self.readiness.warns("revocations", reason.as_deref());
        if has_changed && let Some(reason) = reason {
            tracing::error!("{reason}");
        }
        let Some(PossibleLoss {
            since,
            is_certain: false,
        }) = possible_loss
        else {
            return;
        };
        if loss.is_some() {
            // A failed call has logged why. The next look tries again.
            let _ = noted.note_loss(since).await;
        } else if self.is_in_redis
            && now().timestamp() - since < IN_USE.num_seconds()
            && !mem::replace(&mut self.has_logged_new, true)
        {
            tracing::info!(
                "this Redis held nothing of wxmint's when it was first asked at {}, as that of a new installation: if tokens \
                 were issued before, it has lost data, see docs/redis.md#restore-redis",
                DateTime::from_timestamp(since, 0)
                    .unwrap_or_default()
                    .to_rfc3339(),
            );
        }
    }

    /// The finding, as long as revocations that Redis may have lost would still be needed.
    fn loss(&self, possible_loss: Option<PossibleLoss>, lives: &Lives) -> Option<Finding> {
        let PossibleLoss { since, is_certain } = possible_loss?;
        let needed_until = since + (lives.longest(since) + MAX_LEEWAY).as_secs() as i64;
        let may_matter = self.is_in_redis && now().timestamp() <= needed_until;
        let is_mended = self.keys.set().has_revoked_all_since(since);
        let is_lost = may_matter && !is_mended && (is_certain || self.had_tokens(since));
        is_lost.then(|| {
            Finding::warning(
                "redis.persistence",
                message!(redis_lost_data),
                message!(restore_and_revoke),
            )
        })
    }

    /// Whether tokens were issued before this second: there were earlier keys, or the key could
    /// sign for [`IN_USE`], or a token of that time was shown here. A new installation has none of
    /// these signs.
    fn had_tokens(&self, since: i64) -> bool {
        let set = self.keys.set();
        let is_in_use = set
            .lives
            .first()
            .is_some_and(|oldest| (oldest.nbf + IN_USE).timestamp() < since);
        let has_history =
            DateTime::from_timestamp(since, 0).is_some_and(|time| set.has_history(time));
        has_history || is_in_use || self.oldest_token.is_before(since)
    }

    /// [`Self::loss`] for the doctor, once a process has looked at this Redis.
    pub(crate) async fn examine(&self, redis: Option<&Store>) -> Option<Finding> {
        let lives = redis?.revocation_stream.after("", 1).await.ok()??.lives;
        self.loss(redis?.token_lives.mark().await.ok()?.1, &lives)
    }
}
