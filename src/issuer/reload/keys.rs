//! Reads the key file again, ends what a key has signed that was taken away, and logs which key signs.

use std::{rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};

use super::Watched;
use crate::{
    http::now,
    keys::{KeyRing, KeySet},
    secret_files::WatchedFile,
    store::Store,
    verify::MAX_LEEWAY,
};

/// How long to wait before the end of a key is written again, if the store did not take it.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct WatchedKeys {
    keys: Arc<KeyRing>,
    file: WatchedFile,
    store: Rc<dyn Store>,
    /// The kid that signed at the last look.
    signs: Option<String>,
}

impl WatchedKeys {
    pub(super) fn new(keys: Arc<KeyRing>, file: WatchedFile, store: Rc<dyn Store>) -> Self {
        Self { keys, file, store, signs: None }
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
        let (before, taken) = (self.kids(), taken_away(self.keys.at(now()).set(), &set, now()));
        self.keys.swap(set, now()).map_err(|error| error.to_string())?;
        self.file.put_in_use(&content);
        for kid in taken {
            actix_web::rt::spawn(end_key(Rc::clone(&self.store), kid));
        }
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

/// The keys of `before` that may have signed and are not visible any more, although their time has not passed: somebody has
/// retired them at once.
fn taken_away(before: &KeySet, after: &KeySet, now: DateTime<Utc>) -> Vec<String> {
    let may_have_signed = before.lives().iter().filter(|life| life.nbf <= now + MAX_LEEWAY);
    let in_time = may_have_signed.filter(|life| life.exp.is_none_or(|exp| exp > now));
    let taken = in_time.filter(|life| after.visible(now).all(|key| key.kid() != life.kid));
    taken.map(|life| life.kid.clone()).collect()
}

/// Tells verifiers that whatever the key has signed is void. Every replica does so, until the store has taken it.
async fn end_key(store: Rc<dyn Store>, kid: String) {
    while let Err(error) = store.end_key(&kid).await {
        tracing::error!(kid, %error, "verifiers have not been told yet that this key was retired; trying again");
        actix_web::rt::time::sleep(AGAIN).await;
    }
    tracing::warn!(kid, "this key was retired before its time: verifiers refuse whatever it has signed");
}

fn without(these: &[String], those: &[String]) -> String {
    these.iter().filter(|kid| !those.contains(kid)).map(String::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::{
        keys::{PrivateJwk, StoredKeys},
        verify::Algorithm,
    };

    #[test]
    fn a_key_is_taken_away_if_it_may_have_signed_and_leaves_before_its_time() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let key = |hours| PrivateJwk::generate(Algorithm::EdDsa, now + TimeDelta::hours(hours)).expect("a key");
        let [old, signing, next] = [-2, -1, 1].map(key);
        let content = |keys: &[&PrivateJwk], exp: Option<i64>| {
            let keys: Vec<_> = keys.iter().map(|&key| key.clone()).collect();
            let mut file: serde_json::Value = serde_json::from_slice(&StoredKeys::content_of(&keys)).expect("JSON");
            if let Some(hours) = exp {
                file["keys"][0]["exp"] = (now + TimeDelta::hours(hours)).timestamp().into();
            }
            KeySet::parse(file.to_string().as_bytes()).expect("a set")
        };
        let kid = |set: &KeySet, place: usize| set.lives()[place].kid.clone();
        let whole = content(&[&old, &signing, &next], Some(1));
        assert_eq!(taken_away(&whole, &whole, now), Vec::<String>::new());
        assert_eq!(taken_away(&whole, &content(&[&signing, &next], None), now), [kid(&whole, 0)], "a retired key");
        assert_eq!(taken_away(&whole, &content(&[&old, &next], Some(1)), now), [kid(&whole, 1)], "the signing key");
        assert_eq!(taken_away(&whole, &content(&[&old, &signing], Some(1)), now), Vec::<String>::new(), "unused");
        let expired = content(&[&old, &signing, &next], Some(-1));
        assert_eq!(taken_away(&expired, &content(&[&signing, &next], None), now), Vec::<String>::new(), "cleaned up");
        assert_eq!(taken_away(&whole, &expired, now), [kid(&whole, 0)], "its exp was moved into the past");
    }
}
