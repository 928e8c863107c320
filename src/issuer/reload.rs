//! Reads the key file again when it changes, and says which key signs.

use std::{path::PathBuf, sync::Arc, time::Duration};

use aws_lc_rs::digest;

use super::Issuer;
use crate::{
    http::now,
    keys::{KeySet, read_private},
};

/// How often the file is looked at. Its content is compared and not its date: Kubernetes swaps a link, and a kilobyte is
/// read sooner than dates are understood.
const INTERVAL: Duration = Duration::from_secs(2);

/// Watches for as long as the process runs.
pub(super) async fn keep_reading(issuer: Arc<Issuer>, path: PathBuf) {
    let mut interval = actix_web::rt::time::interval(INTERVAL);
    let mut watch = Watch { issuer, path, in_use: None, told: None, signs: None };
    loop {
        watch.reload_if_changed();
        watch.tell_who_signs();
        interval.tick().await;
    }
}

/// SHA-256 of a file's content.
type Fingerprint = Vec<u8>;

struct Watch {
    issuer: Arc<Issuer>,
    path: PathBuf,
    /// Of the content in use. Nothing at first: the file may have changed since the process read it, and is read again.
    in_use: Option<Fingerprint>,
    /// Why the file was last refused, so that it is told once. It is tried again all the same: a set may be refused only
    /// because this machine's clock is slow.
    told: Option<String>,
    signs: Option<String>,
}

impl Watch {
    fn reload_if_changed(&mut self) {
        let before = self.kids();
        match self.reload() {
            Ok(None) if self.told.take().is_some() => {
                self.issuer.metrics.keys_reloaded("ok");
                tracing::info!("the key file holds again what is in use");
            }
            Ok(None) => {}
            Ok(Some(fingerprint)) => {
                let first = self.in_use.replace(fingerprint).is_none();
                let mended = self.told.take().is_some();
                let after = self.kids();
                if !first || mended || after != before {
                    self.issuer.metrics.keys_reloaded("ok");
                    let (added, removed) = (without(&after, &before), without(&before, &after));
                    tracing::info!(added, removed, "the keys were read again");
                }
            }
            Err(reason) if self.told.as_ref() == Some(&reason) => {}
            Err(reason) => {
                self.issuer.metrics.keys_reloaded("refused");
                tracing::error!(reason, "the key file has changed and is not fit to be used; the keys of before stay");
                self.told = Some(reason);
            }
        }
    }

    /// Puts the file's content in use, if it is not already.
    fn reload(&self) -> Result<Option<Fingerprint>, String> {
        let content = read_private(&self.path).map_err(|error| error.to_string())?;
        let fingerprint = digest::digest(&digest::SHA256, &content).as_ref().to_vec();
        if self.in_use.as_ref() == Some(&fingerprint) {
            return Ok(None);
        }
        let set = KeySet::parse(&content).map_err(|error| error.to_string())?;
        self.issuer.keys.swap(set, now()).map_err(|error| error.to_string())?;
        Ok(Some(fingerprint))
    }

    fn tell_who_signs(&mut self) {
        let now = now();
        let signs = self.issuer.keys.at(now).signing(now).map(|key| key.kid.clone()).ok();
        if self.signs != signs {
            tracing::info!(kid = signs, "this key signs");
            self.signs = signs;
        }
    }

    fn kids(&self) -> Vec<String> {
        self.issuer.keys.at(now()).set().lives().iter().map(|life| life.kid.clone()).collect()
    }
}

fn without(these: &[String], those: &[String]) -> String {
    these.iter().filter(|kid| !those.contains(kid)).map(String::as_str).collect::<Vec<_>>().join(" ")
}
