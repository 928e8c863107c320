//! Keys that were revoked before they expired: publishes these revocations, and obeys those that
//! others have published.
//!
//! A key is revoked only if the key file names it in `revoked`. A key that is merely missing is not
//! revoked: the file may be the wrong one for a moment, and no later file could make valid again
//! what the key has signed.

use std::{path::Path, time::Duration};

use chrono::{DateTime, Utc};
use wxmint_keys::{KeyRing, KeySet, RevokedKey};
use wxmint_store::{Result, Revocations};
use wxmint_verify::{MAX_LEEWAY, PublicKey};

use crate::findings::{Finding, Message};

/// How long to wait before a key's revocation is written again, if the store did not take it.
const AGAIN: Duration = Duration::from_secs(1);
/// The log has the first failure, and then one in this many.
const LOGGED: u32 = 30;

/// Publishes the revocations that a key file names, each once. The feed may lack even an old
/// revocation, because perhaps no replica was running when the key was revoked.
pub(crate) fn publisher(revocations: Revocations) -> impl FnMut(&[RevokedKey]) {
    let mut published = Vec::new();
    move |noted| {
        for key in noted.iter().filter(|key| !published.contains(*key)) {
            actix_web::rt::spawn(revoke_key(revocations.clone(), key.kid.clone(), AGAIN));
        }
        published = noted.to_vec();
    }
}

/// Tells verifiers to refuse whatever the key has signed. Every replica tries until the store has
/// taken the revocation, with this pause between two tries.
async fn revoke_key(revocations: Revocations, kid: String, pause: Duration) {
    for failed in 0_u32.. {
        match revocations.revoke_key(&kid).await {
            Ok(false) => return,
            Ok(true) => break,
            Err(error) if failed.is_multiple_of(LOGGED) => {
                tracing::error!(kid, %error, "verifiers have not been told yet that this key was retired; trying again");
            }
            Err(_) => {}
        }
        actix_web::rt::time::sleep(pause).await;
    }
    tracing::warn!(
        kid,
        "this key was retired before its time: verifiers refuse whatever it has signed"
    );
}

/// Refuses a set that lacks a key which signs, or whose tokens may still be valid, unless the set
/// itself revokes the key, or the feed has its revocation. Refuses a set that brings back a revoked
/// key.
pub(crate) fn check_replacement(
    before: &KeySet,
    after: &KeySet,
    path: &Path,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let signing = before
        .signing(now)
        .map(|key| key.public().kid())
        .unwrap_or_default();
    // Another replica's clock may be ahead.
    let may_have_signed = before
        .lives
        .iter()
        .filter(|life| life.nbf <= now + MAX_LEEWAY);
    let mut in_time = may_have_signed
        .filter(|life| life.exp.is_none_or(|exp| exp > now))
        .map(|life| &*life.kid);
    let is_missing = |kid: &str| {
        after.visible(now).all(|key| key.kid() != kid)
            && after.revoked.iter().all(|revoked| revoked.kid != kid)
    };
    if let Some(kid) = in_time.find(|kid| is_missing(kid) && !before.is_revoked(kid)) {
        let role = if kid == signing {
            "signs"
        } else {
            "has signed tokens that may still be valid"
        };
        return Err(format!(
            "key {kid} is missing, which {role}: if this is the wrong file, put the previous one back; if every token of this key is \
             to be refused, run: {}",
            revoke_by_hand(kid, path)
        ));
    }
    let is_back = |revoked: &&RevokedKey| after.lives.iter().any(|life| life.kid == revoked.kid);
    match before.revoked.iter().find(is_back) {
        Some(RevokedKey { kid, .. }) => Err(format!(
            "key {kid} is back although it was revoked, so that verifiers refuse what it signs; take it out again, run: {}",
            revoke_by_hand(kid, path)
        )),
        None => Ok(()),
    }
}

/// Learns which keys in use, or of peers, the feed revokes, so that this process refuses their
/// tokens like every verifier that follows the feed. Returns a fault if a key in use is revoked.
/// `path`: the file of the keys in use. If the store does not answer, the known revocations stay.
pub(crate) async fn learn_revoked_keys(
    keys: &KeyRing,
    of_peers: &[PublicKey],
    path: &Path,
    revocations: &Revocations,
    now: DateTime<Utc>,
) -> Result<Option<Finding>> {
    let set = keys.set();
    let kids: Vec<_> = set
        .visible(now)
        .chain(of_peers)
        .map(|key| key.kid().to_owned())
        .collect();
    keys.note_revoked(&revocations.revoked_keys(&kids).await?);
    let set = keys.set();
    let Some(kid) = set
        .visible(now)
        .map(PublicKey::kid)
        .find(|kid| set.is_revoked(kid))
    else {
        return Ok(None);
    };
    let cure = message!(take_it_out_run, revoke_by_hand(kid, path));
    Ok(Some(Finding::fault(
        "keys",
        message!(key_is_revoked, path.display(), kid),
        cure,
    )))
}

/// The command that revokes a key, even one that the file does not have.
fn revoke_by_hand(kid: &str, path: &Path) -> Message {
    message!(keys_retire_now, kid, path.display())
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use chrono::TimeDelta;
    use futures_util::future::join;
    use wxmint_store::{Revocation, Store, StoreAccess};
    use wxmint_verify::Algorithm;

    use super::*;
    use crate::clock::now;
    use wxmint_keys::{PrivateJwk, StoredKeys};

    /// Counts the calls that have failed.
    #[derive(Clone, Default)]
    struct Failed(Rc<Cell<u32>>);

    impl wxmint_redis_link::Observer for Failed {
        fn call_ended(&self, _: &'static str, is_answered: bool, _: Duration) {
            self.0.update(|failed| failed + u32::from(!is_answered));
        }
    }

    /// Until then the thief's tokens are accepted, however long Redis is away.
    #[actix_web::test]
    async fn a_revoked_key_is_published_however_often_the_store_has_not_taken_it() {
        const FEED: &str = "wxmint:revoked";
        let (failed, life) = (Failed::default(), Duration::from_hours(1));
        let access = StoreAccess::in_memory(now);
        let store = Store::new(&access, life, now, failed.clone());
        // Nothing can be added to a text.
        store.texts.keep(FEED, "no feed", life).await.expect("kept");
        let is_over = Cell::new(false);
        let publishes = async {
            revoke_key(store.revocations.clone(), "stolen".into(), Duration::ZERO).await;
            is_over.set(true);
        };
        let is_mended = async {
            while failed.0.get() <= 3 * LOGGED {
                assert!(!is_over.get(), "given up after {} times", failed.0.get());
                tokio::task::yield_now().await;
            }
            store.texts.delete(FEED).await.expect("gone");
        };
        join(publishes, is_mended).await;
        let feed = store.revocation_stream.after("", 10).await.expect("read");
        let names: Vec<_> = feed.expect("the oldest").revocations;
        assert!(
            matches!(&names[..], [Revocation::Key { kid, .. }] if kid == "stolen"),
            "{names:?}"
        );
    }

    #[test]
    fn a_set_may_lack_a_key_only_if_it_was_revoked_or_no_token_of_it_can_be_left() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let key = |seconds| {
            PrivateJwk::generate(Algorithm::EdDsa, now + TimeDelta::seconds(seconds))
                .expect("a key")
        };
        // A replica whose clock is as far ahead as is allowed has signed with `soon`. No replica
        // has signed with `later`.
        let [old, signing, soon, later] = [-7200, -3600, 60, 61].map(key);
        let file = |keys: &[&PrivateJwk], exp: Option<i64>, revoked: &[&PrivateJwk]| {
            let keys: Vec<_> = keys.iter().map(|&key| key.clone()).collect();
            let mut file: serde_json::Value =
                serde_json::from_slice(&StoredKeys::of(keys.as_slice()).content()).expect("JSON");
            if let Some(seconds) = exp {
                file["keys"][0]["exp"] = (now + TimeDelta::seconds(seconds)).timestamp().into();
            }
            file["revoked"] = revoked
                .iter()
                .map(|key| serde_json::json!({"kid": key.kid(), "at": 0}))
                .collect::<Vec<_>>()
                .into();
            KeySet::parse(file.to_string().as_bytes()).expect("a set")
        };
        let check = |before: &KeySet, after: &KeySet| {
            let refused = check_replacement(before, after, Path::new("/keys.json"), now).err();
            refused.map(|reason| reason.split(',').next().unwrap_or_default().to_owned())
        };
        let missing = |key: &PrivateJwk| Some(format!("key {} is missing", key.kid()));
        let whole = file(&[&old, &signing, &soon, &later], Some(1), &[]);
        for (after, refused, what) in [
            (
                file(&[&old, &signing, &soon, &later], Some(1), &[]),
                None,
                "nothing changes",
            ),
            (
                file(&[&signing, &soon, &later], None, &[]),
                missing(&old),
                "it has signed",
            ),
            (
                file(&[&old, &soon, &later], Some(1), &[]),
                missing(&signing),
                "it signs",
            ),
            (
                file(&[&old, &signing, &later], Some(1), &[]),
                missing(&soon),
                "it may have signed",
            ),
            (
                file(&[&old, &signing, &soon], Some(1), &[]),
                None,
                "it has not signed",
            ),
            (
                file(&[&old, &signing, &soon, &later], Some(0), &[]),
                missing(&old),
                "its exp is in the past",
            ),
            (
                file(&[&soon, &later, &signing], None, &[&old]),
                None,
                "it was revoked",
            ),
            (
                file(&[&later], None, &[&signing]),
                missing(&old),
                "another one was revoked",
            ),
        ] {
            assert_eq!(check(&whole, &after), refused, "{what}");
        }
        let only = file(&[&signing, &soon, &later], None, &[]);
        let in_feed = |key: &PrivateJwk| {
            let ring = KeyRing::new(whole.clone(), now).expect("a ring");
            ring.note_revoked(&[key.kid().to_owned()]);
            check_replacement(&ring.set(), &only, Path::new(""), now)
        };
        assert!(
            in_feed(&old).is_ok() && in_feed(&signing).is_err(),
            "another replica has revoked it"
        );
        let expired = file(&[&old, &signing], Some(0), &[]);
        assert_eq!(
            check(&expired, &file(&[&signing], None, &[])),
            None,
            "it expires at this moment"
        );
        let (without, with) = (
            file(&[&signing], None, &[&old]),
            file(&[&old, &signing], Some(1), &[]),
        );
        assert_eq!(
            check(&without, &with),
            Some(format!("key {} is back although it was revoked", old.kid()))
        );
        assert_eq!(
            check(&without, &file(&[&old, &signing], Some(1), &[&old])),
            None,
            "it is still revoked"
        );
    }

    #[test]
    fn the_line_says_whether_the_missing_key_signs_and_which_command_revokes_it() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let [old, signing] = [-2, -1].map(|hours| {
            PrivateJwk::generate(Algorithm::EdDsa, now + TimeDelta::hours(hours)).expect("a key")
        });
        let set =
            |keys: &[PrivateJwk]| KeySet::parse(&StoredKeys::of(keys).content()).expect("a set");
        let both = set(&[old.clone(), signing.clone()]);
        for (missing, left, role) in [
            (&old, &signing, "has signed tokens that"),
            (&signing, &old, "signs: if"),
        ] {
            let after = set(std::slice::from_ref(left));
            let path = Path::new("/keys.json");
            let reason = check_replacement(&both, &after, path, now).expect_err("it is missing");
            let command = format!(
                "run: wxmint keys retire {} --now --keys /keys.json (",
                missing.kid()
            );
            assert!(
                reason.contains(role) && reason.contains(&command),
                "{reason}"
            );
        }
    }
}
