//! Shows the metrics what other crates report: the calls of Redis, WeChat and other platforms, the
//! state of Redis, and the signing keys. `wxmint_telemetry` does not know those crates, so that the
//! HTTP server compiles without them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use wxmint_ids::{AppId, Platform};
use wxmint_keys::rotation::{KeyLife, states};
use wxmint_platforms::PlatformError;
use wxmint_redis_link::State;
use wxmint_telemetry::{Metrics, RedisState, ShownKey, WeChatOutcome};
use wxmint_wechat::CallError;

/// Counts and times calls, and makes them steps of the request.
pub(crate) struct CallMetrics(pub(crate) Metrics);

impl wxmint_redis_link::Observer for CallMetrics {
    fn call_ended(&self, call: &'static str, answered: bool, took: Duration) {
        self.0.redis_call_ended(call, answered, took);
    }
}

impl wxmint_wechat::Observer for CallMetrics {
    fn call_ended(
        &self,
        api: &'static str,
        app: &AppId,
        error: Option<&CallError>,
        took: Duration,
    ) {
        self.0.wechat_call_ended(api, app, outcome(error), took);
    }
}

impl wxmint_platforms::Observer for CallMetrics {
    fn call_ended(
        &self,
        platform: Platform,
        app: &AppId,
        error: Option<&PlatformError>,
        took: Duration,
    ) {
        let error = error.map(PlatformError::label);
        self.0.platform_call_ended(platform, app, error, took);
    }
}

fn outcome(error: Option<&CallError>) -> WeChatOutcome {
    match error {
        None => WeChatOutcome::Ok,
        Some(error @ CallError::Refused { .. }) => WeChatOutcome::Errcode(error.label()),
        Some(error) => WeChatOutcome::Failed(error.label()),
    }
}

/// Sets the metrics of Redis to this state.
pub(crate) fn show_redis(metrics: &Metrics, state: &State) {
    metrics.redis_is(&RedisState {
        primaries: state.primaries.clone(),
        all_answer: state.all_answer,
        slots: state.slots,
        wanted: state.wanted,
        clock_difference: state.clock_difference,
        evicted: state.evicted,
    });
}

/// Sets the metrics of the signing keys to their state at `now`. Verifiers reject the keys that are
/// `revoked`.
pub(crate) fn show_keys(
    metrics: &Metrics,
    keys: &[KeyLife],
    revoked: &[String],
    now: DateTime<Utc>,
) {
    let mut shown = Vec::new();
    for (key, state) in keys.iter().zip(states(keys, now)) {
        let is_revoked = revoked.contains(&key.kid);
        shown.push(ShownKey {
            kid: key.kid.clone(),
            algorithm: key.algorithm.name(),
            state: if is_revoked {
                "revoked".to_owned()
            } else {
                state.to_string()
            },
            nbf: key.nbf,
            exp: key.exp,
        });
    }
    metrics.keys_are(&shown, now);
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use wxmint_keys::SIGNED_WITH;
    use wxmint_wechat::{Observer, Verdict};

    use super::*;

    fn refused(errcode: i64) -> CallError {
        CallError::Refused {
            errcode,
            errmsg: String::new(),
            verdict: Verdict::Unknown,
        }
    }

    #[test]
    fn an_errcode_is_counted_by_itself_if_it_is_known_and_a_failure_by_its_kind() {
        let metrics = Metrics::default();
        let observer = CallMetrics(metrics.clone());
        let app = "wx0123456789abcdef".parse::<AppId>().expect("an AppID");
        let observe = |error: Option<&CallError>| {
            observer.call_ended("code2session", &app, error, Duration::from_millis(3));
        };
        observe(None);
        observe(Some(&refused(40029)));
        observe(Some(&refused(999_999)));
        observe(Some(&CallError::SnapshotUser));
        let printed = metrics.exposition([]);
        for series in [
            r#"wxmint_wechat_request_duration_seconds_count{api="code2session"} 4"#,
            r#"wxmint_wechat_errcodes_total{api="code2session",errcode="40029",app="wx0123456789abcdef"} 1"#,
            r#"wxmint_wechat_errcodes_total{api="code2session",errcode="other",app="wx0123456789abcdef"} 1"#,
            r#"wxmint_wechat_failures_total{api="code2session",kind="snapshot_user"} 1"#,
        ] {
            assert!(printed.contains(series), "{series}:\n{printed}");
        }
    }

    #[test]
    fn a_key_is_shown_in_its_state_and_a_revoked_key_as_revoked() {
        let metrics = Metrics::default();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1);
        let key = |kid: &str, nbf| KeyLife {
            kid: kid.to_owned(),
            algorithm: SIGNED_WITH[0],
            nbf,
            exp: None,
        };
        let keys = [
            key("old", now - TimeDelta::hours(2)),
            key("present", now - TimeDelta::hours(1)),
            key("next", now + TimeDelta::hours(1)),
        ];
        show_keys(&metrics, &keys, &["old".to_owned()], now);
        let printed = metrics.exposition([]);
        for (kid, state, age) in [
            ("old", "revoked", "7200.0"),
            ("present", "signing", "3600.0"),
            ("next", "published", "-3600.0"),
        ] {
            let alg = SIGNED_WITH[0].name();
            let series = format!(
                r#"wxmint_key_age_seconds{{kid="{kid}",alg="{alg}",state="{state}"}} {age}"#
            );
            assert!(printed.contains(&series), "{series}:\n{printed}");
        }
    }
}
