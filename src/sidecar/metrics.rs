//! The sidecar's metrics. The values of labels are constants, or the issuers of the settings.

use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info};
use prometheus_client::registry::{Registry, Unit};
use wxmint_verify::peer::{FetchOutcome, Peer, Watcher};

/// How a request was answered. `no_keys`: there are no keys to verify the token with, or they are
/// too old. `stale_ends`: the token is valid, but the known revocations are too old.
pub(super) type Outcome = &'static str;

const OUTCOMES: [Outcome; 6] = [
    "verified",
    "remembered",
    "no_token",
    "refused",
    "no_keys",
    "stale_ends",
];

type Labels<const N: usize, V = String> = [(&'static str, V); N];

/// Clones share the counts.
#[derive(Clone, Default)]
pub(super) struct SidecarMetrics {
    pub(super) verifications: Family<Labels<1, Outcome>, Counter>,
    fetches: Family<Labels<2>, Counter>,
    refused_pages: Family<Labels<2>, Counter>,
}

impl SidecarMetrics {
    pub(super) fn exposition(&self, peer: &Peer, remembered: usize) -> String {
        let mut registry = Registry::with_prefix("wxmint");
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        // Registered with 0 before they happen, so that the first time is an increase.
        for outcome in OUTCOMES {
            drop(self.verifications.get_or_create(&[("outcome", outcome)]));
        }
        let help = "Requests on /verify, by how they were answered";
        registry.register("sidecar_verifications", help, self.verifications.clone());
        let tokens: Gauge = Gauge::default();
        tokens.set(remembered as i64);
        registry.register(
            "sidecar_remembered_tokens",
            "Tokens that need no signature check the next time",
            tokens,
        );
        registry.register(
            "jwks_fetches",
            "Fetches of an issuer's keys, by outcome",
            self.fetches.clone(),
        );
        let (keys, age) = gauges(
            peer.known()
                .map(|known| (known.issuer, known.keys, known.keys_age)),
        );
        registry.register("jwks_keys", "Keys of an issuer that are in use", keys);
        let help = "Time since an issuer's keys were last fetched; absent before they were";
        registry.register_with_unit("jwks_age", help, Unit::Seconds, age);
        let help = "Pages of an issuer's revocation feed that were not received or not accepted, by reason";
        let followed = peer.known().filter(|known| known.revocations.is_some());
        for known in followed {
            drop(self.refused_pages(known.issuer, "no_answer"));
        }
        registry.register(
            "revocations_refused_pages",
            help,
            self.refused_pages.clone(),
        );
        let (held, age) =
            gauges(peer.known().filter_map(|known| {
                Some((known.issuer, known.revocations?, known.revocations_age))
            }));
        registry.register(
            "revocations_held",
            "Revocations of an issuer's tokens that are held",
            held,
        );
        let help = "Age of what is known of an issuer's revocations; absent before the feed was read to its end";
        registry.register_with_unit("revocations_age", help, Unit::Seconds, age);
        let mut text = String::new();
        let complete = encode(&mut text, &registry);
        debug_assert!(complete.is_ok(), "writing to a String does not fail");
        text
    }

    fn refused_pages(&self, issuer: &str, reason: &str) -> Counter {
        self.refused_pages
            .get_or_create(&[("issuer", issuer.to_owned()), ("reason", reason.to_owned())])
            .clone()
    }
}

type Gauges = (
    Family<Labels<1>, Gauge>,
    Family<Labels<1>, Gauge<f64, std::sync::atomic::AtomicU64>>,
);

/// The gauges for how many things of each issuer there are, and how old they are.
fn gauges<'a>(of_issuers: impl Iterator<Item = (&'a str, usize, Option<Duration>)>) -> Gauges {
    let (counts, ages) = Gauges::default();
    for (issuer, count, age) in of_issuers {
        let issuer = [("issuer", issuer.to_owned())];
        counts.get_or_create(&issuer).set(count as i64);
        if let Some(age) = age {
            ages.get_or_create(&issuer).set(age.as_secs_f64());
        }
    }
    (counts, ages)
}

impl Watcher for SidecarMetrics {
    fn fetched(&self, issuer: &str, outcome: FetchOutcome) {
        let outcome = match outcome {
            FetchOutcome::Changed => "changed",
            FetchOutcome::Unchanged => "unchanged",
            FetchOutcome::Failed => "failed",
        };
        self.fetches
            .get_or_create(&[
                ("issuer", issuer.to_owned()),
                ("outcome", outcome.to_owned()),
            ])
            .inc();
    }

    fn page_refused(&self, issuer: &str, reason: &'static str) {
        self.refused_pages(issuer, reason).inc();
    }
}
