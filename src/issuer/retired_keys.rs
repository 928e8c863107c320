//! Ends whatever a key has signed that was taken out of the key file before its time.

use std::{rc::Rc, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_verify::MAX_LEEWAY;

use crate::{
    keys::{EndedKey, KeySet},
    store::{ENDS_PUBLISHED, Store},
};

/// How long to wait before the end of a key is written again, if the store did not take it.
const AGAIN: Duration = Duration::from_secs(1);

/// The keys of `before` that may have signed and are not visible any more, although their time has not passed: somebody has
/// retired them at once.
pub(super) fn taken_away(before: &KeySet, after: &KeySet, now: DateTime<Utc>) -> Vec<String> {
    let may_have_signed = before.lives().iter().filter(|life| life.nbf <= now + MAX_LEEWAY);
    let in_time = may_have_signed.filter(|life| life.exp.is_none_or(|exp| exp > now));
    let taken = in_time.filter(|life| after.visible(now).all(|key| key.kid() != life.kid));
    taken.map(|life| life.kid.clone()).collect()
}

/// The keys that the file itself calls retired before their time, as long as a token of theirs can be left. Their ends may not
/// be in the feed yet: perhaps no replica was running when they were retired.
pub(super) fn noted_in(set: &KeySet, now: DateTime<Utc>) -> Vec<String> {
    let is_kept = |key: &&EndedKey| key.at() + ENDS_PUBLISHED > now;
    set.ended().iter().filter(is_kept).map(|key| key.kid.clone()).collect()
}

/// Tells verifiers that whatever the key has signed is void. Every replica does so, until the store has taken it.
pub(super) async fn end_key(store: Rc<dyn Store>, kid: String) {
    let is_new = loop {
        match store.end_key(&kid).await {
            Ok(is_new) => break is_new,
            Err(error) => {
                tracing::error!(kid, %error, "verifiers have not been told yet that this key was retired; trying again");
                actix_web::rt::time::sleep(AGAIN).await;
            }
        }
    };
    if is_new {
        tracing::warn!(kid, "this key was retired before its time: verifiers refuse whatever it has signed");
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::keys::{PrivateJwk, StoredKeys};
    use wxmint_verify::Algorithm;

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
    #[test]
    fn the_file_names_the_keys_that_ended_for_as_long_as_the_feed_keeps_them() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let key = PrivateJwk::generate(Algorithm::EdDsa, now).expect("a key");
        let mut file: serde_json::Value = serde_json::from_slice(&StoredKeys::content_of(&[key])).expect("JSON");
        let at = |ago: TimeDelta| (now - ago).timestamp();
        let forgotten = TimeDelta::from_std(ENDS_PUBLISHED).expect("a month");
        file["ended"] = serde_json::json!([
            {"kid": "old", "at": at(forgotten)},
            {"kid": "new", "at": at(TimeDelta::zero())},
            {"kid": "by another clock", "at": at(-TimeDelta::minutes(1))},
        ]);
        let set = KeySet::parse(file.to_string().as_bytes()).expect("a set");
        assert_eq!(noted_in(&set, now), ["new", "by another clock"]);
        assert_eq!(set.visible(now).count(), 1, "the others are not published");
    }
}
