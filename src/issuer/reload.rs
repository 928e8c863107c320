//! Reads files again while the process runs: the keys, the vault keys, the AppSecrets and the users.

mod admin_tokens;
mod keys;
mod vault;

use std::{sync::Arc, time::Duration};

use self::{admin_tokens::WatchedAdminTokens, keys::WatchedKeys, vault::WatchedVault};
use super::Issuer;
use crate::{
    accounts::FileAccounts,
    telemetry::Metrics,
    wechat::{CurrentApps, Reloaded},
};

/// How often each file is read.
const INTERVAL: Duration = Duration::from_secs(2);

/// The content of files, which replaces what is in use when it changes.
trait Watched {
    /// The label `what` of the metrics.
    const WHAT: &'static str;
    /// The log line for content that cannot be used; the reason stands in a field.
    const REFUSED: &'static str;
    /// The log line for the first content that can be used again.
    const MENDED: &'static str;

    /// Reads the files, and puts their content in use if it has changed. Returns whether it has, and logs the change.
    ///
    /// An error changes nothing. The next look tries again even if the file is the same, because keys may have been refused
    /// only while the clock of this machine was slow.
    fn reload(&mut self) -> Result<bool, String>;

    fn looked(&mut self) {}
}

/// Watches every file that the settings name, for as long as the process runs.
pub(super) fn watch_files(issuer: &Issuer) {
    if let (Some(file), Ok(store)) = (issuer.key_file.clone(), issuer.store()) {
        watch(WatchedKeys::new(Arc::clone(&issuer.keys), file, store.into()), issuer);
    }
    if let Some(file) = issuer.vault_file.clone() {
        watch(WatchedVault::new(Arc::clone(&issuer.vault), file), issuer);
    }
    if let Some((file, tokens)) = issuer.admin_tokens.clone() {
        watch(WatchedAdminTokens::new(tokens, file), issuer);
    }
    if let Some(users) = issuer.users.clone() {
        watch(users, issuer);
    }
    if issuer.apps.may_change() {
        watch(Arc::clone(&issuer.apps), issuer);
    }
}

fn watch(watched: impl Watched + 'static, issuer: &Issuer) {
    let mut watch = Watch { watched, metrics: issuer.metrics.clone(), told: None };
    actix_web::rt::spawn(async move {
        let mut interval = actix_web::rt::time::interval(INTERVAL);
        loop {
            watch.look();
            interval.tick().await;
        }
    });
}

struct Watch<W> {
    watched: W,
    metrics: Metrics,
    /// The reason of the last refusal, so that it is logged once.
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

impl Watched for Arc<CurrentApps> {
    const WHAT: &'static str = "apps";
    const REFUSED: &'static str = "a changed AppSecret file cannot be used; keeping its previous AppSecret";
    const MENDED: &'static str = "all AppSecret files can be used again";

    fn reload(&mut self) -> Result<bool, String> {
        CurrentApps::reload(self).map(|reloaded| reloaded == Reloaded::Changed)
    }
}

impl Watched for FileAccounts {
    const WHAT: &'static str = "users";
    const REFUSED: &'static str = "the changed users file cannot be used; keeping the previous users";
    const MENDED: &'static str = "the users file can be used again";

    fn reload(&mut self) -> Result<bool, String> {
        let changed = FileAccounts::reload(self).map_err(|error| error.to_string())?;
        if changed {
            let (users, hashing_mebibytes) = (self.len(), self.hashing_mebibytes());
            tracing::info!(users, hashing_mebibytes, "the users file was read again");
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    /// The results of the next looks.
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
