//! The results, as a table and as JSON.

use std::{collections::BTreeMap, fmt};

use serde_json::{Value, json};

use crate::spread::Spread;

/// A measured value.
struct Measure {
    key: &'static str,
    name: &'static str,
    decimals: usize,
    /// The target: the value should be at most this.
    goal: Option<f64>,
}

/// The measures of one scenario.
struct Section {
    title: &'static str,
    measures: &'static [Measure],
}

const fn measure(
    key: &'static str,
    name: &'static str,
    decimals: usize,
    goal: Option<f64>,
) -> Measure {
    Measure {
        key,
        name,
        decimals,
        goal,
    }
}

const SECTIONS: [Section; 16] = [
    Section {
        title: "Beside the plain handler, in the same run",
        measures: &[
            measure(
                "ratio.plain_saturated",
                "a login, saturated, times the plain handler",
                2,
                Some(1.0),
            ),
            measure(
                "ratio.plain_whole",
                "the same, with what Redis uses",
                2,
                Some(1.12),
            ),
            measure(
                "ratio.plain_paced",
                "a login at 500 a second, times the plain handler",
                2,
                Some(1.05),
            ),
            measure(
                "plain.saturated_us",
                "the plain handler, saturated, CPU µs a login",
                1,
                None,
            ),
            measure(
                "plain.whole_us",
                "the plain handler and Redis, CPU µs a login",
                1,
                None,
            ),
            measure(
                "saturated.whole_us",
                "wxmint and Redis, CPU µs a login",
                1,
                None,
            ),
            measure(
                "plain.paced_us",
                "the plain handler at 500 a second, CPU µs a login",
                1,
                None,
            ),
            measure(
                "plain.peak_mb",
                "the plain handler's peak memory, MB",
                1,
                None,
            ),
        ],
    },
    Section {
        title: "Beside the bare limit, in the same run",
        measures: &[
            measure(
                "ratio.saturated",
                "a login, saturated, times the bare limit",
                2,
                Some(1.35),
            ),
            measure(
                "ratio.paced",
                "a login at 500 a second, times the bare limit",
                2,
                Some(1.4),
            ),
            measure(
                "ratio.p99_more_ms",
                "p99 at 500 a second, ms more than the bare limit",
                2,
                Some(0.2),
            ),
            measure("ratio.first", "a first login, times a login", 2, Some(1.5)),
            measure(
                "ratio.first_unionid",
                "a first login with a unionid, times a login",
                2,
                Some(2.0),
            ),
            measure("ratio.userdata", "user data, times a login", 2, Some(1.2)),
            measure(
                "ratio.sidecar_first",
                "sidecar, first sight, times one signature check",
                2,
                Some(1.2),
            ),
            measure(
                "bare.saturated_us",
                "the bare limit, saturated, CPU µs a login",
                1,
                None,
            ),
            measure(
                "bare.paced_us",
                "the bare limit at 500 a second, CPU µs a login",
                1,
                None,
            ),
            measure("bare.peak_mb", "the bare limit's peak memory, MB", 1, None),
        ],
    },
    Section {
        title: "Logins, saturated: 64 connections, no upstream delay",
        measures: &[
            measure("saturated.rate", "logins a second", 0, None),
            measure("saturated.cpu_us", "CPU µs a login", 1, None),
            measure("saturated.p50_ms", "p50, ms", 2, None),
            measure("saturated.p99_ms", "p99, ms", 2, None),
            measure("saturated.peak_mb", "peak memory, MB", 1, Some(20.0)),
        ],
    },
    Section {
        title: "Logins, 500 a second, 50 ms upstream delay",
        measures: &[
            measure("paced.rate", "logins a second", 0, None),
            measure("paced.cpu_us", "CPU µs a login", 1, None),
            measure("paced.p50_ms", "p50, ms", 2, None),
            measure("paced.p99_ms", "p99, ms", 2, None),
            measure("paced.p50_added_ms", "p50 added, ms", 2, None),
            measure("paced.p99_added_ms", "p99 added, ms", 2, None),
            measure("paced.peak_mb", "peak memory, MB", 1, Some(20.0)),
        ],
    },
    Section {
        title: "First logins, saturated: each makes and binds a user",
        measures: &[
            measure("first.rate", "logins a second, no unionid", 0, None),
            measure("first.cpu_us", "CPU µs a login, no unionid", 1, None),
            measure(
                "first_unionid.rate",
                "logins a second, with a unionid",
                0,
                None,
            ),
            measure(
                "first_unionid.cpu_us",
                "CPU µs a login, with a unionid",
                1,
                None,
            ),
        ],
    },
    Section {
        title: "User ids computed of openids, saturated, with what Redis uses",
        measures: &[
            measure(
                "ratio.computed",
                "a login, times one where user ids are drawn",
                2,
                Some(1.0),
            ),
            measure(
                "ratio.computed_first",
                "a first login, times a login",
                2,
                Some(1.1),
            ),
            measure(
                "computed.whole_us",
                "wxmint and Redis, CPU µs a login",
                1,
                None,
            ),
            measure(
                "computed.first_whole_us",
                "wxmint and Redis, CPU µs a first login",
                1,
                None,
            ),
        ],
    },
    Section {
        title: "Logins, 500 a second, and 200 wrong passwords a second",
        measures: &[
            measure(
                "passwords.p50_ms",
                "p50 of logins without a password, ms",
                2,
                None,
            ),
            measure(
                "passwords.p99_ms",
                "p99 of logins without a password, ms",
                2,
                None,
            ),
            measure(
                "passwords.p99_alone_ms",
                "the same before the passwords came, ms",
                2,
                None,
            ),
            measure(
                "passwords.p99_added_ms",
                "p99 added by the passwords, ms",
                2,
                Some(5.0),
            ),
            measure("passwords.checked", "passwords checked a second", 0, None),
            measure("passwords.peak_mb", "peak memory, MB", 1, None),
        ],
    },
    Section {
        title: "User data of 1 KiB opened, saturated: 32 connections",
        measures: &[
            measure("userdata.rate", "requests a second", 0, None),
            measure("userdata.cpu_us", "CPU µs a request", 1, None),
            measure("userdata.p50_ms", "p50, ms", 2, None),
            measure("userdata.p99_ms", "p99, ms", 2, None),
        ],
    },
    Section {
        title: "JWKS, saturated: 32 connections",
        measures: &[
            measure("jwks.rate", "requests a second", 0, None),
            measure("jwks.cpu_us", "CPU µs a request", 1, Some(15.0)),
            measure("jwks.p50_ms", "p50, ms", 2, None),
            measure("jwks.p99_ms", "p99, ms", 2, None),
        ],
    },
    Section {
        title: "Scan to log in: 1,000 pages that poll every 2 s",
        measures: &[
            measure("polls.cpu_us", "wxmint, CPU µs a poll", 1, None),
            measure("polls.redis_us", "Redis, CPU µs a poll", 1, None),
            measure("polls.cores", "both, cores", 3, None),
            measure("polls.p99_ms", "p99, ms", 2, None),
            measure(
                "ratio.door",
                "a login with the door, times one without",
                2,
                Some(1.02),
            ),
        ],
    },
    Section {
        title: "A third-party platform with 2,000 merchants",
        measures: &[
            measure(
                "platform.first_s",
                "until all are known from WeChat's list, the first time, s",
                2,
                None,
            ),
            measure(
                "platform.again_s",
                "the same after a restart, from Redis, s",
                2,
                None,
            ),
            measure(
                "platform.rest_us",
                "at rest: wxmint, CPU µs a second",
                0,
                None,
            ),
            measure(
                "platform.rest_without_us",
                "the same without a platform",
                0,
                None,
            ),
            measure(
                "platform.rest_redis_us",
                "at rest: Redis, CPU µs a second more",
                0,
                None,
            ),
            measure("platform.memory_mb", "wxmint's memory, MB more", 1, None),
            measure("platform.redis_bytes", "Redis, bytes a merchant", 0, None),
            measure(
                "platform.login_us",
                "a login of a merchant's app, CPU µs",
                1,
                None,
            ),
            measure(
                "ratio.merchant",
                "the same, times a login of an own app",
                2,
                None,
            ),
        ],
    },
    Section {
        title: "10,000 revocations, read once: pages, and security event tokens by polling",
        measures: &[
            measure("feeds.pages_bytes", "pages: bytes a revocation", 1, None),
            measure(
                "feeds.pages_cpu_us",
                "pages: wxmint, CPU µs a revocation",
                2,
                None,
            ),
            measure(
                "feeds.pages_redis_us",
                "pages: Redis, CPU µs a revocation",
                2,
                None,
            ),
            measure("feeds.events_bytes", "events: bytes a revocation", 1, None),
            measure(
                "feeds.events_cpu_us",
                "events: wxmint, CPU µs a revocation",
                2,
                None,
            ),
            measure(
                "feeds.events_redis_us",
                "events: Redis, CPU µs a revocation",
                2,
                None,
            ),
        ],
    },
    Section {
        title: "Verifying a token, saturated: 64 connections",
        measures: &[
            measure(
                "sidecar_first.rate",
                "sidecar, first sight: requests a second",
                0,
                None,
            ),
            measure(
                "sidecar_first.cpu_us",
                "sidecar, first sight: CPU µs a request",
                1,
                None,
            ),
            measure(
                "sidecar_first.p99_ms",
                "sidecar, first sight: p99, ms",
                2,
                None,
            ),
            measure(
                "sidecar_cached.rate",
                "sidecar, remembered: requests a second",
                0,
                None,
            ),
            measure(
                "sidecar_cached.cpu_us",
                "sidecar, remembered: CPU µs a request",
                1,
                Some(8.0),
            ),
            measure(
                "sidecar_cached.p99_ms",
                "sidecar, remembered: p99, ms",
                2,
                None,
            ),
            measure(
                "envoy_bare.rate",
                "Envoy without JWT: requests a second",
                0,
                None,
            ),
            measure(
                "envoy_bare.cpu_us",
                "Envoy without JWT: CPU µs a request",
                1,
                None,
            ),
            measure("envoy_bare.p99_ms", "Envoy without JWT: p99, ms", 2, None),
            measure(
                "envoy_jwt.rate",
                "Envoy jwt_authn: requests a second",
                0,
                None,
            ),
            measure(
                "envoy_jwt.cpu_us",
                "Envoy jwt_authn: CPU µs a request",
                1,
                None,
            ),
            measure("envoy_jwt.p99_ms", "Envoy jwt_authn: p99, ms", 2, None),
            measure(
                "envoy_cached.rate",
                "Envoy jwt_authn, its cache: requests a second",
                0,
                None,
            ),
            measure(
                "envoy_cached.cpu_us",
                "Envoy jwt_authn, its cache: CPU µs a request",
                1,
                None,
            ),
            measure(
                "envoy_cached.p99_ms",
                "Envoy jwt_authn, its cache: p99, ms",
                2,
                None,
            ),
        ],
    },
    Section {
        title: "The sidecar's memory over a million distinct tokens",
        measures: &[
            measure("million.early_mb", "after 200,000, MB", 1, None),
            measure("million.late_mb", "after a million, MB", 1, None),
        ],
    },
    Section {
        title: "Start",
        measures: &[
            measure("start.ready_ms", "until /readyz is 200, ms", 1, Some(15.0)),
            measure("start.jwks_ms", "until the JWKS answers, ms", 1, Some(20.0)),
        ],
    },
    Section {
        title: "This machine",
        measures: &[
            measure(
                "machine.mint_us",
                "one ES256 token alone, µs (12.4 where the others were)",
                1,
                None,
            ),
            measure(
                "machine.check_us",
                "one ES256 signature checked alone, µs",
                1,
                None,
            ),
            measure(
                "machine.exchange_us",
                "the stand-in at 500 a second, CPU µs a request",
                1,
                None,
            ),
        ],
    },
];

/// The values of each measure, in the order of measurement.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<&'static str, Vec<f64>>);

impl Report {
    /// Adds one value of the measure `key`.
    pub(crate) fn add(&mut self, key: &'static str, value: f64) {
        self.0.entry(key).or_default().push(value);
    }

    /// Adds the latest value of `key` divided by that of `other`, if `other` was measured too.
    pub(crate) fn compare(&mut self, ratio: &'static str, key: &str, other: &str) {
        let last = |key| self.0.get(key).and_then(|values| values.last().copied());
        if let Some((one, other)) = last(key).zip(last(other)) {
            self.add(ratio, one / other);
        }
    }

    /// The median of a measure, if there is one.
    pub(crate) fn median(&self, key: &str) -> Option<f64> {
        self.0.get(key).map(|values| Spread::of(values).median)
    }

    /// Every measure with its spread and its values.
    pub(crate) fn to_json(&self) -> Value {
        let entry = |(key, values): (&&'static str, &Vec<f64>)| {
            let Spread { median, min, max } = Spread::of(values);
            (
                key.to_string(),
                json!({"median": median, "min": min, "max": max, "values": values}),
            )
        };
        Value::Object(self.0.iter().map(entry).collect())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Section { title, measures } in &SECTIONS {
            let taken: Vec<_> = measures
                .iter()
                .filter_map(|measure| Some((measure, self.0.get(measure.key)?)))
                .collect();
            if taken.is_empty() {
                continue;
            }
            writeln!(
                f,
                "\n{title:<58}{:>10}{:>20}{:>8}",
                "median", "min – max", "goal"
            )?;
            for (
                Measure {
                    name,
                    decimals,
                    goal,
                    ..
                },
                values,
            ) in taken
            {
                let Spread { median, min, max } = Spread::of(values);
                let range = format!("{min:.decimals$} – {max:.decimals$}");
                let goal = goal.map(|goal| format!("≤ {goal}")).unwrap_or_default();
                writeln!(f, "  {name:<56}{median:>10.decimals$}{range:>20}{goal:>8}")?;
            }
        }
        Ok(())
    }
}
