//! Reads files again while the process runs: keys, vault keys, AppSecrets, users, operators'
//! secrets, the URL of Redis.

use std::{fmt::Display, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use chrono::{DateTime, Utc};
use wxmint_http::Readiness;
use wxmint_keys::{KeyRing, KeySet, RevokedKey, StoredKeys, vault::Vault};
use wxmint_store::{Store, StoreAccess};
use wxmint_telemetry::Metrics;
use wxmint_telemetry::audit::{Activity, Event};

use super::{Issuer, health::check_redis};
use crate::accounts::{FileAccounts, UsersFile};
use crate::findings::Status;
use crate::oauth::{MAKE_CLIENTS, clients::Clients};
use crate::revocation::revoked_keys::{check_replacement, publisher};
use crate::secret_files::{MAKE_USERS, Settled, WatchedFile};
use crate::{admin::AdminTokens, apps::Apps, clock::now};

/// How often each file is looked at. Two looks in a row must find the same, so a change counts
/// within 4 s.
const INTERVAL: Duration = Duration::from_secs(2);

/// Watches every file that the settings name, for as long as the process runs.
pub(super) fn watch_files(issuer: &Arc<Issuer>) {
    if let Some(mut file) = issuer.key_file.clone() {
        let keys = Arc::clone(&issuer.keys);
        let mut publish = publisher(issuer.store().revocations);
        let mut signs = None;
        publish(&keys.set().revoked);
        watch(issuer, "keys", "key file", async move || {
            let reloaded = reload_keys(&keys, &mut file, &mut publish);
            tell_which_signs(&keys, &mut signs);
            reloaded
        });
    }
    if let Some(mut file) = issuer.vault_file.clone() {
        let vault = Arc::clone(&issuer.vault);
        watch(issuer, "vault", "vault key file", async move || {
            reload_vault(&vault, &mut file, now())
        });
    }
    if let Some((mut file, tokens)) = issuer.admin_tokens.clone() {
        tokens.hold_keys();
        watch(
            issuer,
            "admin_tokens",
            "file of admin tokens",
            async move || {
                reload(&mut file, None, AdminTokens::parse, |read| {
                    tracing::info!(tokens = read.count(), "the admin tokens were read again");
                    tokens.swap(read);
                })
            },
        );
    }
    if let Some((mut file, users)) = issuer.users.clone() {
        watch(issuer, "users", "users file", async move || {
            reload_users(&users, &mut file)
        });
    }
    watch_clients(issuer);
    watch_apps(issuer);
    watch_redis_url(issuer);
}

fn watch_clients(issuer: &Arc<Issuer>) {
    let Some(oauth) = issuer.oauth.clone() else {
        return;
    };
    oauth.hold_keys();
    let Some(mut file) = oauth.file.clone() else {
        return;
    };
    let longest = issuer.settings.token_ttl;
    let user_ids = issuer.settings.user_ids;
    let owner = Arc::clone(issuer);
    watch(issuer, "clients", "file of clients", async move || {
        let parse = |content: &[u8]| Clients::parse(content, longest)?.fitting(user_ids);
        reload(&mut file, Some(MAKE_CLIENTS), parse, |read| {
            tracing::info!(
                clients = read.iter().count(),
                "the file of clients was read again"
            );
            oauth.replace(read, || {
                for open in &owner.doors {
                    open.door.client_is_gone();
                }
            });
        })
    });
}

fn watch_apps(issuer: &Issuer) {
    let tell = |to: &Metrics, apps: &Apps| {
        to.apps_are(apps.iter().map(|app| (app.id.clone(), app.kind.name())));
    };
    tell(&issuer.metrics, &issuer.apps.all());
    if !issuer.apps.may_change() {
        return;
    }
    let apps = Arc::clone(&issuer.apps);
    let metrics = issuer.metrics.clone();
    watch(issuer, "apps", "file of an AppSecret", async move || {
        let before = apps.all();
        let reloaded = apps.reload();
        let after = apps.all();
        if before
            .iter()
            .any(|app| after.choose(Some(&app.id), None).is_err())
        {
            metrics.app_is_gone();
        }
        // The other files are in use even if one of them has a fault.
        if !Arc::ptr_eq(&before, &after) {
            tell(&metrics, &after);
        }
        reloaded
    });
}

/// Looks every 2 s. `what` is the label in the metrics, and `name` the name in the log.
///
/// `reload` reads the files, and puts their content in use if it has changed. It returns whether it
/// has, and logs the change; `None` until two reads in a row agree. An error changes nothing. The
/// next look tries again even if the file is the same, because keys may have been refused only
/// while the clock of this machine was slow.
pub(crate) fn watch(
    issuer: &Issuer,
    what: &'static str,
    name: &'static str,
    mut reload: impl AsyncFnMut() -> Result<Option<bool>, String> + 'static,
) {
    let metrics = issuer.metrics.clone();
    let readiness = issuer.readiness.clone();
    actix_web::rt::spawn(async move {
        loop {
            let reloaded = reload().await.transpose();
            if let Some(reloaded) = reloaded {
                tell(what, name, reloaded, &metrics, &readiness);
            }
            actix_web::rt::time::sleep(INTERVAL).await;
        }
    });
}

/// Reports the outcome to the log, the metrics, the audit and `/readyz`. The warning at `/readyz`
/// keeps a fault from being reported twice.
fn tell(
    what: &'static str,
    name: &'static str,
    found: Result<bool, String>,
    metrics: &Metrics,
    readiness: &Readiness,
) {
    let fault = found
        .as_ref()
        .err()
        .map(|reason| format!("the changed {name} cannot be used: {reason}"));
    let is_news = readiness.warns(name, fault.as_deref());
    match &found {
        Ok(false) | Err(_) if !is_news => return,
        Ok(_) if is_news => tracing::info!("the {name} can be used again"),
        Ok(_) => {}
        Err(reason) => tracing::error!(
            reason,
            "the changed {name} cannot be used; keeping the previous {what}"
        ),
    }
    metrics.reloaded(what, if found.is_ok() { "ok" } else { "refused" });
    let refused = found.err().map(Into::into);
    Event {
        activity: Activity::RELOAD,
        what: Some(what),
        refused,
        ..Event::default()
    }
    .tell();
}

fn reload_keys(
    keys: &KeyRing,
    file: &mut WatchedFile,
    publish: impl FnOnce(&[RevokedKey]),
) -> Result<Option<bool>, String> {
    let Some(content) = file.look().map_err(|error| error.with_cure(None))? else {
        return Ok(None);
    };
    if file.is_in_use(&content) {
        return Ok(Some(false));
    }
    let stored = StoredKeys::parse(&content).map_err(|error| error.to_string())?;
    // Revokes keys even if the file is refused below, because an emergency must not wait until
    // another mistake is corrected.
    publish(&stored.revoked);
    let set = stored.check().map_err(|error| error.to_string())?;
    check_replacement(&keys.set(), &set, &file.path, now())?;
    let kids = || {
        keys.set()
            .lives
            .iter()
            .map(|life| life.kid.clone())
            .collect::<Vec<_>>()
    };
    let before = kids();
    keys.swap(set, now()).map_err(|error| error.to_string())?;
    file.put_in_use(&content);
    let after = kids();
    let added = without(&after, &before);
    let removed = without(&before, &after);
    tracing::info!(added, removed, "the keys were read again");
    if let Some(kid) = signs_unread(&before, &keys.set(), now()) {
        tracing::warn!(
            kid,
            "this key signs at once, before verifiers have read it, and they refuse its tokens until then: give a key \
             that you add by hand an nbf of at least WXMINT_KEY_PREPUBLISH from now"
        );
    }
    let note = Some(format!("added: {added}; removed: {removed}"));
    Event {
        activity: Activity::KEY_CHANGE,
        note,
        ..Event::default()
    }
    .tell();
    Ok(Some(true))
}

/// The kid that signs although the previous set, with the kids `before`, did not publish it. `None`
/// if a key of that set was revoked, because then another key has to sign at once.
fn signs_unread(before: &[String], set: &KeySet, now: DateTime<Utc>) -> Option<String> {
    let kid = set.signing(now).ok()?.public().kid();
    let has_revoked = set
        .revoked
        .iter()
        .any(|revoked| before.contains(&revoked.kid));
    (!has_revoked && !before.iter().any(|it| it == kid)).then(|| kid.to_owned())
}

fn without(these: &[String], those: &[String]) -> String {
    these
        .iter()
        .filter(|kid| !those.contains(kid))
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Logs the kid of the signing key if it has changed. `told` is the kid that was logged last.
fn tell_which_signs(keys: &KeyRing, told: &mut Option<String>) {
    let now = now();
    let signs = keys
        .set()
        .signing(now)
        .map(|key| key.public().kid().to_owned())
        .ok();
    if *told != signs {
        match &signs {
            Some(kid) => tracing::info!(kid, "this key signs"),
            None => {
                tracing::error!("no key signs by the clock of this machine; see: wxmint keys list");
            }
        }
        let note = Some(format!(
            "this key signs: {}",
            signs.as_deref().unwrap_or("none")
        ));
        Event {
            activity: Activity::KEY_CHANGE,
            note,
            ..Event::default()
        }
        .tell();
        *told = signs;
    }
}

/// Reads the vault keys again if the file has changed, or if the time has come from which another
/// of its keys seals.
fn reload_vault(
    current: &ArcSwap<Vault>,
    file: &mut WatchedFile,
    now: DateTime<Utc>,
) -> Result<Option<bool>, String> {
    if current.load().changes_at().is_some_and(|at| at <= now) {
        file.invalidate();
    }
    reload(file, None, Vault::parse, |vault| {
        let vault = vault.at(now);
        let line = vault.sealing_line();
        let next = vault.changes_at().map(tracing::field::display);
        tracing::info!(line, next, "the vault keys were read again");
        current.store(Arc::new(vault));
    })
}

fn reload_users(accounts: &FileAccounts, file: &mut WatchedFile) -> Result<Option<bool>, String> {
    // An empty file is probably being written, unless there were no users before.
    let may_be_empty = accounts.count() == 0;
    let parse = |content: &[u8]| UsersFile::parse_in_use(content, may_be_empty);
    reload(file, Some(MAKE_USERS), parse, |users| {
        accounts.swap(&users);
        tracing::info!(users = accounts.count(), "the users file was read again");
    })
}

/// Puts the content of a file in use if it has changed. `make` is the command that makes such a
/// file.
pub(crate) fn reload<T, E: Display>(
    file: &mut WatchedFile,
    make: Option<&str>,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
    put_in_use: impl FnOnce(T),
) -> Result<Option<bool>, String> {
    let Some(content) = file.look().map_err(|error| error.with_cure(make))? else {
        return Ok(None);
    };
    if file.is_in_use(&content) {
        return Ok(Some(false));
    }
    put_in_use(parse(&content).map_err(|error| format!("{}: {error}", file.path.display()))?);
    file.put_in_use(&content);
    Ok(Some(true))
}

/// A new URL is put in use once the Redis there takes logins and can be trusted with bindings.
/// Until then the previous URL may still be right, because an operator cannot change the file and
/// Redis at the same moment.
fn watch_redis_url(issuer: &Issuer) {
    let settings = issuer.settings.store.clone();
    let access = issuer.redis.link.clone();
    let (Some(_), Some(file)) = (&settings.url, settings.url_file.clone()) else {
        return;
    };
    let ttl = issuer.settings.session_key_ttl;
    let mut seen = Settled::default();
    watch(issuer, "redis_url", "URL of Redis", async move || {
        let Some(url) = settings.read_again(&file, &mut seen)? else {
            return Ok(None);
        };
        if *access.url() == url {
            return Ok(Some(false));
        }
        let there = Store::new(&StoreAccess::new(access.by(url.clone())), ttl, now, ());
        let of_url = |wrong: &dyn Display| format!("with the URL in {}: {wrong}", file.display());
        let found = check_redis(&there)
            .await
            .map_err(|reason| of_url(&reason))?;
        if let Some(fault) = found.iter().find(|finding| finding.status == Status::Fault) {
            return Err(of_url(fault));
        }
        access.replace(url);
        tracing::info!("the URL of Redis was read again");
        Ok(Some(true))
    });
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use chrono::TimeDelta;

    use std::{fs, os::unix::fs::PermissionsExt};

    use wxmint_verify::Algorithm;

    use super::*;
    use crate::secret_files::create_private;
    use wxmint_keys::PrivateJwk;

    #[test]
    fn a_changed_users_file_is_in_use_and_a_broken_one_leaves_the_last_good_one() {
        const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQxNmJ5dGVzIQ$pGCDROzX6H47uHvxZs2bGTaqTm0MTaXaAqHKUY0Y65s";
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("users");
        let write = |content: &str| {
            let _ = fs::remove_file(&path);
            create_private(&path, content.as_bytes()).expect("written");
        };
        write(&format!("alice {HASH} u-1\n"));
        let (mut file, content) = WatchedFile::open(&path).expect("our file");
        let accounts = FileAccounts::new(&UsersFile::parse(&content).expect("users"), 1, false);
        let mut reload = || (reload_users(&accounts, &mut file), accounts.count());
        assert_eq!(reload(), (Ok(Some(false)), 1));
        write(&format!("alice {HASH} u-1\nbob {HASH} u-2\n"));
        assert_eq!(
            [reload(), reload(), reload()],
            [(Ok(None), 1), (Ok(Some(true)), 2), (Ok(Some(false)), 2)]
        );

        write(&format!(
            "alice {HASH} u-1\nbob {HASH} u-2\ncarol {HASH} u-10"
        ));
        assert_eq!(reload().0, Ok(None), "half of it may be there");
        let said = reload().0.expect_err("of u-1023, cut");
        assert!(
            said.contains("users: does not end with a line break"),
            "{said}"
        );
        write("");
        assert_eq!(reload(), (Ok(None), 2));
        let said = reload().0.expect_err("somebody may be writing it");
        assert!(
            said.contains("users: is empty; a comment alone (`# nobody`) takes all users away"),
            "{said}"
        );
        write(&format!("alice {HASH} u-1\nhunter2\n"));
        assert_eq!(reload(), (Ok(None), 2));
        for look in ["first", "next"] {
            let said = reload().0.expect_err(look);
            assert!(
                said.contains("users: line 2: must be a user name") && !said.contains("hunter2"),
                "{said}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("our file");
        assert!(reload().0.expect_err("exposed").contains("run: chmod 600"));
        fs::remove_file(&path).expect("our file");
        assert!(
            reload()
                .0
                .expect_err("gone")
                .contains("make it with: wxmint users add NAME --users")
        );
        assert_eq!(reload().1, 2, "the last good ones");
        for (content, read_again) in [("# nobody\n", true), ("", true), ("", false)] {
            write(content);
            assert_eq!(
                [reload(), reload()].last(),
                Some(&(Ok(Some(read_again)), 0)),
                "{content:?}"
            );
        }
    }

    #[test]
    fn a_changed_key_file_is_put_in_use_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let key = |hours| {
            PrivateJwk::generate(Algorithm::EdDsa, now() + TimeDelta::hours(hours)).expect("a key")
        };
        let (signing, next) = (key(-1), key(1));
        create_private(
            &path,
            &StoredKeys::of(std::slice::from_ref(&signing)).content(),
        )
        .expect("written");
        let (mut file, content) = WatchedFile::open(&path).expect("our file");
        let set = StoredKeys::parse(&content)
            .and_then(|stored| stored.check())
            .expect("a set");
        let keys = KeyRing::new(set, now()).expect("a ring");
        fs::remove_file(&path).expect("our file");
        create_private(&path, &StoredKeys::of(&[signing, next]).content()).expect("written");
        let mut reload = || reload_keys(&keys, &mut file, |_| ());
        assert_eq!(
            [reload(), reload(), reload()],
            [Ok(None), Ok(Some(true)), Ok(Some(false))]
        );
        assert_eq!(keys.set().lives.len(), 2);
    }

    /// Otherwise the log and `/readyz` would say that it can be used, while the old keys sign.
    #[test]
    fn a_refused_key_file_is_refused_again_at_each_look_until_it_is_mended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let key = |hours| {
            PrivateJwk::generate(Algorithm::EdDsa, now() + TimeDelta::hours(hours)).expect("a key")
        };
        let (signing, other) = (key(-1), key(-2));
        let file_of = |keys: &[PrivateJwk]| -> serde_json::Value {
            serde_json::from_slice(&StoredKeys::of(keys).content()).expect("JSON")
        };
        let write = |content: &str| {
            let _ = fs::remove_file(&path);
            create_private(&path, content.as_bytes()).expect("written");
        };
        let right = file_of(std::slice::from_ref(&signing));
        write(&right.to_string());
        let (mut file, content) = WatchedFile::open(&path).expect("our file");
        let set = StoredKeys::parse(&content)
            .and_then(|stored| stored.check())
            .expect("a set");
        let keys = KeyRing::new(set, now()).expect("a ring");
        let mut reload = || reload_keys(&keys, &mut file, |_| ());

        let (mut damaged, mut early) = (right.clone(), right.clone());
        damaged["keys"][0]["kid"] = "another".into();
        early["keys"][0]["nbf"] = (now() + TimeDelta::hours(1)).timestamp().into();
        for (wrong, why) in [
            ("{".to_owned(), "not a JWK Set"),
            (r#"{"keys":[]}"#.to_owned(), "has no key"),
            (damaged.to_string(), "thumbprint"),
            (file_of(&[other]).to_string(), "is missing, which signs"),
            (early.to_string(), "no key may sign yet"),
        ] {
            write(&wrong);
            assert_eq!(reload(), Ok(None), "half of it may be there");
            for _ in 0..3 {
                let refused = reload().expect_err(why);
                assert!(refused.contains(why), "{refused}");
            }
            write(&right.to_string());
            assert_eq!([reload(), reload()], [Ok(None), Ok(Some(false))], "{why}");
        }
        assert_eq!(
            keys.set().signing(now()).map(|key| key.public().kid()),
            Ok(signing.kid())
        );
    }

    /// An emergency must not wait until another mistake of the file is corrected.
    #[test]
    fn a_revoked_key_is_published_although_the_file_is_refused_for_another_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keys.json");
        let key = |hours| {
            PrivateJwk::generate(Algorithm::EdDsa, now() + TimeDelta::hours(hours)).expect("a key")
        };
        let (signing, stolen) = (key(-1), key(-2));
        create_private(
            &path,
            &StoredKeys::of([stolen.clone(), signing.clone()].as_slice()).content(),
        )
        .expect("written");
        let (mut file, content) = WatchedFile::open(&path).expect("our file");
        let set = StoredKeys::parse(&content)
            .and_then(|stored| stored.check())
            .expect("a set");
        let keys = KeyRing::new(set, now()).expect("a ring");

        // The file lacks the stolen key, and by mistake also the key that signs.
        let mut changed: serde_json::Value =
            serde_json::from_slice(&StoredKeys::of([key(1)].as_slice()).content()).expect("JSON");
        changed["revoked"] = serde_json::json!([{"kid": stolen.kid(), "at": now().timestamp()}]);
        fs::remove_file(&path).expect("our file");
        create_private(&path, changed.to_string().as_bytes()).expect("written");
        let mut told = Vec::new();
        let mut reload = || {
            reload_keys(&keys, &mut file, |revoked| {
                told.extend(revoked.iter().map(|key| key.kid.clone()));
            })
        };
        assert_eq!(reload(), Ok(None));
        reload().expect_err("the key that signs is missing");
        assert_eq!(told, [stolen.kid()]);
        assert_eq!(keys.set().lives.len(), 2, "the keys in use stay");
    }

    #[test]
    fn a_key_that_signs_before_verifiers_have_read_it_is_named_unless_another_was_revoked() {
        let key = |seconds| {
            PrivateJwk::generate(Algorithm::EdDsa, now() + TimeDelta::seconds(seconds))
                .expect("a key")
        };
        let (old, by_hand, in_time) = (key(-100), key(-1), key(1000));
        let [old_kid, hand_kid] = [&old, &by_hand].map(|key| key.kid().to_owned());
        let named = |keys: &[&PrivateJwk], revoked: bool| {
            let keys: Vec<_> = keys.iter().map(|&key| key.clone()).collect();
            let mut file: serde_json::Value =
                serde_json::from_slice(&StoredKeys::of(keys.as_slice()).content()).expect("JSON");
            if revoked {
                file["revoked"] = serde_json::json!([{"kid": old_kid, "at": now().timestamp()}]);
            }
            let stored = StoredKeys::parse(file.to_string().as_bytes()).expect("a file");
            signs_unread(
                std::slice::from_ref(&old_kid),
                &stored.check().expect("a set"),
                now(),
            )
        };
        assert_eq!(named(&[&old, &by_hand], false), Some(hand_kid));
        assert_eq!(named(&[&old, &in_time], false), None);
        assert_eq!(named(&[&by_hand], true), None, "keys retire --now");
    }

    #[test]
    fn a_fault_is_counted_once_and_its_end_too() {
        let found = [
            Ok(false),
            Err("line 1"),
            Err("line 1"),
            Err("line 2"),
            Ok(false),
            Ok(true),
            Ok(false),
            Err("line 1"),
        ];
        let counts = [
            (0, 0, 0),
            (0, 1, 1),
            (0, 1, 1),
            (0, 2, 1),
            (1, 2, 0),
            (2, 2, 0),
            (2, 2, 0),
            (2, 3, 1),
        ];
        let (metrics, readiness) = (Metrics::default(), Readiness::starting(""));
        readiness.ready();
        for (found, (ok, refused, gauge)) in found.into_iter().zip(counts) {
            tell(
                "users",
                "users file",
                found.map_err(str::to_owned),
                &metrics,
                &readiness,
            );
            let warnings = found
                .err()
                .map(|fault| format!("the changed users file cannot be used: {fault}"));
            assert_eq!(readiness.check(), Ok(warnings.into_iter().collect()));
            let text = metrics.exposition([]);
            let has = |line: String, count| count == 0 || text.lines().any(|found| found == line);
            assert!(
                has(
                    format!("wxmint_reloads_total{{what=\"users\",outcome=\"ok\"}} {ok}"),
                    ok
                ),
                "{text}"
            );
            assert!(
                has(
                    format!("wxmint_reloads_total{{what=\"users\",outcome=\"refused\"}} {refused}"),
                    refused
                ),
                "{text}"
            );
            assert!(
                has(
                    format!("wxmint_reload_refused{{what=\"users\"}} {gauge}"),
                    refused
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn a_waiting_key_seals_when_its_time_comes_and_the_file_has_not_changed() {
        let folder =
            std::env::temp_dir().join(format!("wxmint-watched-vault-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("vault.key");
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let [new, old] = [2, 1].map(|byte| STANDARD.encode([byte; 32]));
        create_private(
            &path,
            format!("{new} {}\n{old}\n", at(100).to_rfc3339()).as_bytes(),
        )
        .expect("written");

        let (mut file, content) = WatchedFile::open(&path).expect("our file");
        let current = ArcSwap::from_pointee(Vault::parse(&content).expect("a vault").at(at(80)));
        for (seconds, changed, line) in [
            (90, false, 2),
            (99, false, 2),
            (100, true, 1),
            (101, false, 1),
        ] {
            assert_eq!(
                reload_vault(&current, &mut file, at(seconds)),
                Ok(Some(changed)),
                "at {seconds}"
            );
            assert_eq!(current.load().sealing_line(), line, "at {seconds}");
        }

        // A file that is empty when the time comes is not put in use.
        let (mut file, content) = WatchedFile::open(&path).expect("our file");
        let current = ArcSwap::from_pointee(Vault::parse(&content).expect("a vault").at(at(80)));
        std::fs::write(&path, "").expect("emptied");
        assert_eq!(reload_vault(&current, &mut file, at(100)), Ok(None));
        assert!(
            reload_vault(&current, &mut file, at(101)).is_err(),
            "it is refused, and told"
        );
        std::fs::remove_dir_all(folder).expect("removed");
    }
}
