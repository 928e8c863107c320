//! The findings on the files that the settings name, at the start and for `wxmint doctor`.

use std::{fmt::Display, path::Path, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryFutureExt;
use wxmint_keys::rotation::{CLOCK_SKEW, KeyLife, LEEWAY};
use wxmint_keys::{KeySet, vault::VaultError};
use wxmint_store::{Store, StoreError};
use wxmint_verify::KeyError;

use super::{Issuer, IssuerStartError, door::OpenDoor};
use crate::clock::date;
use crate::findings::{Finding, Message, Status, count, cure_of_vault};
use crate::identities::examine;
use crate::secret_files::{MAKE_KEYS, WatchedFile};

/// Keys sign for 30 days, unless the rotation was told otherwise. After this time, the rotation was
/// probably forgotten.
const OLD: TimeDelta = TimeDelta::days(365);

/// Reads the file that a variable names for the first time. `unusable` says what is wrong with the
/// content.
pub(crate) fn load<T, E>(
    variable: &str,
    path: &Path,
    make: Option<&str>,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
    unusable: impl FnOnce(E) -> Finding,
) -> Result<(WatchedFile, T), IssuerStartError> {
    let (file, content) = WatchedFile::open(path).map_err(|error| {
        let cure = error.cure(make).unwrap_or_else(|| message!(correct_path));
        IssuerStartError::of_setting(Finding::fault(
            "files",
            message!("{}: {}", variable, Message::from(&error)),
            cure,
        ))
    })?;
    Ok((
        file,
        parse(&content).map_err(|error| IssuerStartError::of_setting(unusable(error)))?,
    ))
}

/// The finding that the content of a file is wrong. The error says what would be right.
pub(crate) fn unusable_file(
    name: &'static str,
    variable: &str,
    path: &Path,
    error: impl Display,
) -> Finding {
    Finding::fault(
        name,
        message!("{}: {}: {}", variable, path.display(), error),
        message!(correct_file),
    )
}

pub(super) fn unusable_vault(path: &Path, error: &VaultError) -> Finding {
    Finding {
        advice: cure_of_vault(error),
        ..unusable_file("vault", "WXMINT_VAULT_KEY_FILE", path, Message::from(error))
    }
}

pub(super) fn unusable_keys(path: &Path, error: &KeyError, now: DateTime<Utc>) -> Finding {
    let (error, advice) = match error {
        KeyError::NoneSigning { earliest }
            if earliest
                .parse::<DateTime<Utc>>()
                .is_ok_and(|earliest| earliest > now) =>
        {
            (Message::from(error), message!(correct_clock))
        }
        KeyError::NoneSigning { .. } => (message!(each_key_of_set_has_expired), anew(path)),
        error => (Message::from(error), message!(restore_it_or, anew(path))),
    };
    Finding {
        advice,
        ..unusable_file("keys", "WXMINT_KEYS", path, error)
    }
}

fn anew(path: &Path) -> Message {
    message!(move_it_away_and_run, MAKE_KEYS, path.display())
}

impl Issuer {
    /// The findings on the files of an issuer that can start, and on how they fit the content of
    /// Redis.
    pub async fn examine(&self, redis: Option<&Store>, now: DateTime<Utc>) -> Vec<Finding> {
        let settings = &self.settings;
        let named = [&settings.keys, &settings.vault_key_file]
            .into_iter()
            .chain(&settings.admin_tokens_file);
        let named = named
            .chain(settings.door_files.values())
            .map(|path| path.display().to_string());
        let files = Finding::ok(
            "files",
            message!(files_are_read, named.collect::<Vec<_>>().join(", ")),
        );
        let mut found = vec![
            files,
            self.examine_keys(redis, now).await,
            self.examine_vault(redis).await,
        ];
        found.push(self.examine_user_ids(redis).await);
        found.extend(self.loss_monitor().examine(redis).await);
        if let Some((_, tokens)) = &self.admin_tokens {
            found.extend(tokens.examine().await);
        }
        let clients = self.clients();
        found.extend(examine("clients", clients.identities()).await);
        for OpenDoor { door, .. } in &self.doors {
            found.extend(door.examine(self, redis).await);
        }
        found
    }

    async fn examine_keys(&self, redis: Option<&Store>, now: DateTime<Utc>) -> Finding {
        let set = &self.keys.set();
        let path = &self.settings.keys;
        let found = leaves_early(set, path, self.settings.token_ttl, now)
            .unwrap_or_else(|| keys(set, path, now));
        let Some(redis) = redis else { return found };
        match self.learn_revoked_keys(redis, now).await {
            Ok(revoked) => revoked.unwrap_or(found),
            Err(_) => sure(
                false,
                Finding {
                    found: message!(revoked_ones_are_unknown, found.found),
                    ..found
                },
            ),
        }
    }

    async fn examine_vault(&self, redis: Option<&Store>) -> Finding {
        let sealed = match redis {
            Some(redis) => {
                redis
                    .sessions
                    .some_keys()
                    .or_else(|_| redis.sessions.some_keys())
                    .await
            }
            None => Ok(Vec::new()),
        };
        let vault = self.vault.load_full();
        let file = self.settings.vault_key_file.display();
        let (is_answered, opens) = match &sealed {
            Ok(sealed) => (true, message!(all_session_keys_open, sealed.len())),
            // A missing right to search for session keys is no fault, because no login needs it.
            Err(error) => (
                matches!(error, StoreError::NotPermitted(_)),
                message!(no_session_key_was_tried),
            ),
        };
        let sealed = sealed.unwrap_or_default();
        match sealed
            .iter()
            .filter(|(person, key)| vault.open(key, person).is_err())
            .count()
        {
            0 => sure(
                is_answered,
                Finding::ok(
                    "vault",
                    message!(key_of_line_seals, vault.sealing_line(), opens),
                ),
            ),
            closed => {
                let found = message!(session_keys_do_not_open, closed, sealed.len());
                Finding::warning("vault", found, message!(put_earlier_vault_key_into, file))
            }
        }
    }

    /// Reports the fingerprint of the id key, which replicas compare, and how many people have
    /// computed user ids.
    async fn examine_user_ids(&self, redis: Option<&Store>) -> Finding {
        let mut compared = Ok(None);
        let mut people = None;
        if let Some(redis) = redis {
            compared = self.ids.agreement.compare(&redis.bindings, false).await;
            people = redis.bindings.some_people().await.ok();
        }
        let own = self.ids.agreement.own.as_str();
        let found = match people {
            Some((computed, bound)) => message!(user_ids_are, own, computed, bound),
            None => message!(user_ids_are_not_counted, own),
        };
        let is_answered = compared.is_ok();
        match compared
            .unwrap_or_default()
            .filter(|fault| fault.advice != message!(wait_for_id_key))
        {
            Some(fault) => Finding {
                found: message!("{}; {}", fault.found, found),
                ..fault
            },
            None => sure(is_answered, Finding::ok("user_ids", found)),
        }
    }
}

/// Makes a finding a warning if Redis, which knows more about it, gave no answer.
fn sure(is_answered: bool, found: Finding) -> Finding {
    if is_answered || found.status > Status::Ok {
        return found;
    }
    Finding::warning(found.name, found.found, message!(mend_that_first))
}

/// The first key that leaves the JWKS too soon, because a rotation was told a shorter lifetime of
/// tokens than `serve`.
pub(super) fn leaves_early(
    set: &KeySet,
    path: &Path,
    token_ttl: Duration,
    now: DateTime<Utc>,
) -> Option<Finding> {
    let retention = TimeDelta::from_std(token_ttl).ok()? + LEEWAY + CLOCK_SKEW;
    let early = set.lives.windows(2).find_map(|pair| {
        let exp = pair[0].exp?;
        let owed = pair[1].nbf + retention;
        // A key that was retired at once may have signed between these two.
        let follows = set.revoked.iter().all(|revoked| revoked.at() < pair[1].nbf);
        (exp < owed && now < owed && follows).then_some((&pair[0].kid, exp))
    });
    let (kid, exp) = early?;
    let seconds = token_ttl.as_secs();
    let advice = message!(run_keys_rotate_with_token_ttl, seconds, path.display());
    Some(Finding::warning(
        "keys",
        message!(key_leaves_early, kid, date(exp), seconds),
        advice,
    ))
}

fn keys(set: &KeySet, path: &Path, now: DateTime<Utc>) -> Finding {
    let signing = match set.signing(now) {
        Ok(key) => key.public(),
        Err(error) => return unusable_keys(path, &error, now),
    };
    let next = set.lives.iter().find(|life| life.nbf > now);
    let next = next.map(|next| message!(key_signs_from, next.kid, date(next.nbf)));
    let life = set
        .lives
        .iter()
        .find(|life| life.kid == signing.kid())
        .filter(|_| next.is_none());
    let forgotten = life.and_then(|KeyLife { kid, nbf, exp, .. }| match exp {
        Some(exp) => Some(message!(key_leaves_alone, kid, date(*exp))),
        None => {
            (now - nbf > OLD).then(|| message!(has_signed_for_days, kid, (now - nbf).num_days()))
        }
    });
    if let Some(forgotten) = forgotten {
        return Finding::warning("keys", forgotten, message!(run_keys_rotate, path.display()));
    }
    let kid = signing.kid();
    let algorithm = signing.algorithm();
    let next = next.unwrap_or_default();
    let keys = count(set.lives.len(), ["key", "个密钥"]);
    Finding::ok(
        "keys",
        message!(keys_and_which_signs, keys, kid, algorithm, next),
    )
}

#[cfg(test)]
mod tests {
    use wxmint_keys::{PrivateJwk, StoredKeys};
    use wxmint_verify::Algorithm;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    /// A key file in which the first key has this `exp`.
    fn file(keys: &[PrivateJwk], exp: Option<i64>) -> serde_json::Value {
        let mut file: serde_json::Value =
            serde_json::from_slice(&StoredKeys::of(keys).content()).expect("JSON");
        file["keys"][0]["exp"] = exp.into();
        file
    }

    #[test]
    fn a_key_that_leaves_or_is_old_needs_a_successor() {
        let key = PrivateJwk::generate(Algorithm::EdDsa, at(0)).expect("a key");
        let next = PrivateJwk::generate(Algorithm::EdDsa, at(40_000_000)).expect("a key");
        for (keys, exp, now, says) in [
            (vec![&key], None, 100, "signs (EdDSA)"),
            (vec![&key], None, 40_000_000, "has signed for 462 days"),
            (
                vec![&key],
                Some(50_000_000_i64),
                100,
                "leaves the JWKS at 1971-08-02T16:53:20Z, and no other key is published",
            ),
            (vec![&key, &next], Some(50_000_000), 100, " on"),
        ] {
            let keys: Vec<_> = keys.into_iter().cloned().collect();
            let set = KeySet::parse(file(&keys, exp).to_string().as_bytes()).expect("a set");
            let found = super::keys(&set, Path::new("k"), at(now));
            assert!(found.found.contains(says), "{found:?}");
            assert_eq!(
                found.advice.contains("keys rotate --keys k"),
                found.status == Status::Warning
            );
        }
    }

    #[test]
    fn a_key_leaves_early_until_its_last_token_has_expired_unless_it_was_revoked() {
        let [key, next, gone] = [at(0), at(1000), at(2000)]
            .map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, nbf).expect("a key"));
        let token_ttl = Duration::from_mins(1);
        let owed = 1060 + (LEEWAY + CLOCK_SKEW).num_seconds();
        for (exp, now, revoked, is_early) in [
            (Some(owed - 1), 1000, None, true),
            (Some(owed - 1), owed - 1, None, true),
            (Some(owed - 1), owed, None, false),
            (Some(owed), 1000, None, false),
            (None, 1000, None, false),
            // A key that was retired once the next one had begun may have signed between these two.
            (Some(owed - 1), 1000, Some(999), true),
            (Some(owed - 1), 1000, Some(1000), false),
        ] {
            let mut file = file(&[key.clone(), next.clone()], exp);
            file["revoked"] = revoked
                .iter()
                .map(|at| serde_json::json!({"kid": gone.kid(), "at": at}))
                .collect();
            let set = KeySet::parse(file.to_string().as_bytes()).expect("a set");
            let found = leaves_early(&set, Path::new("k"), token_ttl, at(now));
            assert_eq!(found.is_some(), is_early, "{exp:?} {now} {revoked:?}");
            let Some(Finding { found, advice, .. }) = found else {
                continue;
            };
            assert!(
                found.contains(key.kid()) && advice.contains("--token-ttl 60s"),
                "{found}: {advice}"
            );
        }
    }

    #[test]
    fn a_set_without_a_key_that_signs_has_expired_or_is_early() {
        let error = |nbf| KeyError::NoneSigning {
            earliest: at(nbf).to_rfc3339(),
        };
        let [early, expired] =
            [200, 50].map(|nbf| unusable_keys(Path::new("k"), &error(nbf), at(100)));
        assert!(early.advice.contains("clock"), "{early:?}");
        assert!(
            expired.found.contains("expired") && expired.advice.contains("keys generate --keys k"),
            "{expired:?}"
        );
    }
}
