//! The key file, and which of its keys signs.

use std::{path::PathBuf, sync::Arc};

use aws_lc_rs::digest;

use super::Watched;
use crate::{
    http::now,
    keys::{KeyRing, KeySet},
    secret_files::read_private,
};

/// SHA-256 of a file's content.
type Fingerprint = Vec<u8>;

pub(in crate::issuer) struct WatchedKeys {
    keys: Arc<KeyRing>,
    path: PathBuf,
    /// Of the content in use. Nothing at first: the file may have changed since the process read it, and is read again.
    in_use: Option<Fingerprint>,
    signs: Option<String>,
}

impl WatchedKeys {
    pub(in crate::issuer) fn new(keys: Arc<KeyRing>, path: PathBuf) -> Self {
        Self { keys, path, in_use: None, signs: None }
    }

    fn kids(&self) -> Vec<String> {
        self.keys.at(now()).set().lives().iter().map(|life| life.kid.clone()).collect()
    }
}

impl Watched for WatchedKeys {
    const WHAT: &'static str = "keys";
    const REFUSED: &'static str = "the key file has changed and is not fit to be used; the keys of before stay";
    const MENDED: &'static str = "the key file holds again what is in use";

    fn reload(&mut self) -> Result<bool, String> {
        let content = read_private(&self.path).map_err(|error| error.to_string())?;
        let fingerprint = digest::digest(&digest::SHA256, &content).as_ref().to_vec();
        if self.in_use.as_ref() == Some(&fingerprint) {
            return Ok(false);
        }
        let set = KeySet::parse(&content).map_err(|error| error.to_string())?;
        let before = self.kids();
        self.keys.swap(set, now()).map_err(|error| error.to_string())?;
        let after = self.kids();
        let first = self.in_use.replace(fingerprint).is_none();
        let changed = !first || after != before;
        if changed {
            let (added, removed) = (without(&after, &before), without(&before, &after));
            tracing::info!(added, removed, "the keys were read again");
        }
        Ok(changed)
    }

    fn looked(&mut self) {
        let now = now();
        let signs = self.keys.at(now).signing(now).map(|key| key.kid.clone()).ok();
        if self.signs != signs {
            tracing::info!(kid = signs, "this key signs");
            self.signs = signs;
        }
    }
}

fn without(these: &[String], those: &[String]) -> String {
    these.iter().filter(|kid| !those.contains(kid)).map(String::as_str).collect::<Vec<_>>().join(" ")
}
