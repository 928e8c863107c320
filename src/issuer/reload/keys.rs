//! Reads the key file again, and logs which of its keys signs.

use std::sync::Arc;

use super::Watched;
use crate::{
    http::now,
    keys::{KeyRing, KeySet},
    secret_files::WatchedFile,
};

pub(super) struct WatchedKeys {
    keys: Arc<KeyRing>,
    file: WatchedFile,
    /// The kid that signed at the last look.
    signs: Option<String>,
}

impl WatchedKeys {
    pub(super) fn new(keys: Arc<KeyRing>, file: WatchedFile) -> Self {
        Self { keys, file, signs: None }
    }

    fn kids(&self) -> Vec<String> {
        self.keys.at(now()).set().lives().iter().map(|life| life.kid.clone()).collect()
    }
}

impl Watched for WatchedKeys {
    const WHAT: &'static str = "keys";
    const REFUSED: &'static str = "the changed key file cannot be used; keeping the previous keys";
    const MENDED: &'static str = "the key file can be used again";

    fn reload(&mut self) -> Result<bool, String> {
        let content = self.file.read().map_err(|error| error.to_string())?;
        if self.file.is_in_use(&content) {
            return Ok(false);
        }
        let set = KeySet::parse(&content).map_err(|error| error.to_string())?;
        let before = self.kids();
        self.keys.swap(set, now()).map_err(|error| error.to_string())?;
        self.file.put_in_use(&content);
        let after = self.kids();
        let (added, removed) = (without(&after, &before), without(&before, &after));
        tracing::info!(added, removed, "the keys were read again");
        Ok(true)
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
