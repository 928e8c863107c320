//! Reads again what lies in files and may change while the process runs: keys, vault keys, AppSecrets,
//! users.

mod apps;
mod keys;
mod users;
mod vault;

use std::time::Duration;

pub(super) use self::{keys::WatchedKeys, vault::WatchedVault};
use crate::telemetry::Metrics;

/// How often a file is looked at. Its content is compared and not its date: Kubernetes swaps a link, and a kilobyte is
/// read sooner than dates are understood.
const INTERVAL: Duration = Duration::from_secs(2);

/// Something in files that is put in use again when they change.
pub(super) trait Watched {
    /// In metrics.
    const WHAT: &'static str;
    /// What the log says when a file is not fit to be used, before the reason.
    const REFUSED: &'static str;
    /// And when it is again.
    const MENDED: &'static str;

    /// Puts what lies there in use, if it is not already; whether it was put. Says itself what has changed. An error
    /// changes nothing. It is tried again all the same: keys may be refused only because this machine's clock is slow.
    fn reload(&mut self) -> Result<bool, String>;

    /// After each look.
    fn looked(&mut self) {}
}

/// Watches for as long as the process runs.
pub(super) async fn keep_reading(watched: impl Watched, metrics: Metrics) {
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut watch = Watch { watched, metrics, told: None };
    loop {
        watch.look();
        interval.tick().await;
    }
}

struct Watch<W> {
    watched: W,
    metrics: Metrics,
    /// Why it was last refused, so that it is told once.
    told: Option<String>,
}

impl<W: Watched> Watch<W> {
    fn look(&mut self) {
        match self.watched.reload() {
            Ok(changed) => self.accepted(changed),
            Err(reason) if self.told.as_ref() == Some(&reason) => {}
            Err(reason) => self.refused(reason),
        }
        self.watched.looked();
    }

    fn accepted(&mut self, changed: bool) {
        let mended = self.told.take().is_some();
        if mended {
            tracing::info!("{}", W::MENDED);
        }
        if mended || changed {
            self.metrics.reloaded(W::WHAT, "ok");
        }
    }

    fn refused(&mut self, reason: String) {
        self.metrics.reloaded(W::WHAT, "refused");
        tracing::error!(reason, "{}", W::REFUSED);
        self.told = Some(reason);
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// What the next looks find.
    struct Script(Vec<Result<bool, &'static str>>);

    impl Watched for Script {
        const WHAT: &'static str = "users";
        const REFUSED: &'static str = "refused";
        const MENDED: &'static str = "mended";

        fn reload(&mut self) -> Result<bool, String> {
            self.0.remove(0).map_err(str::to_owned)
        }
    }

    #[test]
    fn a_fault_is_counted_once_and_its_end_too() {
        let found =
            vec![Ok(false), Err("line 1"), Err("line 1"), Err("line 2"), Ok(false), Ok(true), Ok(false), Err("line 1")];
        let counts = [(0, 0, 0), (0, 1, 1), (0, 1, 1), (0, 2, 1), (1, 2, 0), (2, 2, 0), (2, 2, 0), (2, 3, 1)];
        let mut watch = Watch { watched: Script(found), metrics: Metrics::default(), told: None };
        for (ok, refused, gauge) in counts {
            watch.look();
            let text = watch.metrics.exposition(&[], DateTime::UNIX_EPOCH);
            let has = |line: String, count| count == 0 || text.lines().any(|found| found == line);
            assert!(has(format!("wxmint_reloads_total{{what=\"users\",outcome=\"ok\"}} {ok}"), ok), "{text}");
            assert!(
                has(format!("wxmint_reloads_total{{what=\"users\",outcome=\"refused\"}} {refused}"), refused),
                "{text}"
            );
            assert!(has(format!("wxmint_reload_refused{{what=\"users\"}} {gauge}"), refused), "{text}");
        }
    }
}
