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
    let mut watch = Watch { issuer, path, seen: None, signs: None };
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
    /// What was found when the file was last looked at, fit or not, so that one fault is told once. Nothing at first:
    /// the file may have changed since the process read it, and is read again.
    seen: Option<Result<Fingerprint, String>>,
    signs: Option<String>,
}

impl Watch {
    fn look(&self) -> Result<(Fingerprint, zeroize::Zeroizing<Vec<u8>>), String> {
        let content = read_private(&self.path).map_err(|error| error.to_string())?;
        Ok((digest::digest(&digest::SHA256, &content).as_ref().to_vec(), content))
    }

    fn reload_if_changed(&mut self) {
        let found = self.look();
        let seen = found.as_ref().map(|(fingerprint, _)| fingerprint.clone()).map_err(Clone::clone);
        if self.seen.as_ref() == Some(&seen) {
            return;
        }
        let first = self.seen.replace(seen).is_none();
        let before = self.kids();
        let swapped = found.and_then(|(_, content)| {
            let set = KeySet::parse(&content).map_err(|error| error.to_string())?;
            self.issuer.keys.swap(set, now()).map_err(|error| error.to_string())
        });
        match swapped {
            Ok(()) => {
                let after = self.kids();
                if first && after == before {
                    return;
                }
                self.issuer.metrics.keys_reloaded("ok");
                let (added, removed) = (without(&after, &before), without(&before, &after));
                tracing::info!(added, removed, "the keys were read again");
            }
            Err(reason) => {
                self.issuer.metrics.keys_reloaded("refused");
                tracing::error!(reason, "the key file has changed and is not fit to be used; the keys of before stay");
            }
        }
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
