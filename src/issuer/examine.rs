//! The findings on the files that the settings name: why they cannot be used, or what they hold. At start, and for
//! `wxmint doctor`.

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use wxmint_keys::KeySet;
use wxmint_store::Redis;
use wxmint_verify::KeyError;

use super::{Issuer, door::OpenDoor};
use crate::{
    findings::{Finding, count},
    secret_files::MAKE_KEYS,
};

/// A key signs for 30 days, unless the rotation was told otherwise. One that has signed for so long was forgotten.
const OLD: TimeDelta = TimeDelta::days(365);
pub(super) const UNREADABLE: &str = "correct the path, or let the user of this process read the file";
pub(super) const APPS: &str = "name each file there by its AppID, write into it the AppSecret that WeChat shows and nothing else, and remove other files";

/// The content of a file is wrong. The error says what would be right.
pub(crate) fn unusable_file(name: &'static str, variable: &str, path: &Path, error: impl Display) -> Finding {
    Finding::fault(name, format!("{variable}: {}: {error}", path.display()), "correct the file")
}

pub(super) fn unusable_keys(path: &Path, error: &KeyError, now: DateTime<Utc>) -> Finding {
    let is_early = |earliest: &str| earliest.parse::<DateTime<Utc>>().is_ok_and(|earliest| earliest > now);
    let (error, advice) = match error {
        KeyError::NoneSigning { earliest } if is_early(earliest) => {
            (error.to_string(), "correct the clock of this machine, or wait until then".to_owned())
        }
        KeyError::NoneSigning { .. } => ("each key of the set has expired".into(), anew(path)),
        error => (error.to_string(), format!("restore the file from its backup, or {}", anew(path))),
    };
    Finding::fault("keys", format!("WXMINT_KEYS: {}: {error}", path.display()), advice)
}

fn anew(path: &Path) -> String {
    format!("move the file away and run: {MAKE_KEYS} {} (everybody logs in again)", path.display())
}

/// The command that ends a key, also one that the file does not have.
pub(super) fn end_by_hand(kid: &str, path: &Path) -> String {
    format!("wxmint keys retire {kid} --now --keys {} (in Kubernetes: --secret NAMESPACE/NAME)", path.display())
}

/// The key to mend first of those in use that were ended.
pub(super) fn ended_keys(kids: &[String], path: &Path) -> Option<Finding> {
    let kid = kids.first()?;
    let found =
        format!("{} has key {kid}, which was revoked: verifiers refuse every token that it signs", path.display());
    Some(Finding::fault("keys", found, format!("take it out of the file; run: {}", end_by_hand(kid, path))))
}

impl Issuer {
    /// The findings on the files of an issuer that can start, and of what they have to do with Redis.
    pub async fn examine(&self, redis: Option<&Redis>, now: DateTime<Utc>) -> Vec<Finding> {
        let settings = &self.settings;
        let named = [&settings.keys, &settings.vault_key_file].into_iter();
        let named = named.map(PathBuf::as_path).chain(settings.admin_tokens_file.as_deref());
        let of_doors = self.doors.iter().filter_map(|open| open.door.file());
        let named = named.chain(of_doors);
        let named: Vec<_> = named.map(|path| path.display().to_string()).collect();
        let files = Finding::ok("files", format!("read, and not exposed to other users: {}", named.join(", ")));
        let mut found = vec![files, self.examine_keys(redis, now).await, self.examine_vault(redis).await];
        for OpenDoor { door, .. } in &self.doors {
            found.extend(door.examine(self, redis).await);
        }
        found
    }

    async fn examine_keys(&self, redis: Option<&Redis>, now: DateTime<Utc>) -> Finding {
        let found = keys(self.keys.at(now).set(), &self.settings.keys, now);
        let Some(redis) = redis else { return found };
        match self.learn_ended_keys(redis, now).await {
            Ok(ended) => ended.unwrap_or(found),
            Err(_) => Finding {
                found: format!("{}; whether one was revoked is in Redis, which did not answer", found.found),
                ..found
            },
        }
    }

    async fn examine_vault(&self, redis: Option<&Redis>) -> Finding {
        let mut sealed = Ok(Vec::new());
        if let Some(redis) = redis {
            sealed = redis.some_session_keys().await;
            if sealed.is_err() {
                sealed = redis.some_session_keys().await;
            }
        }
        let is_told = sealed.is_ok();
        let sealed = sealed.unwrap_or_default();
        let (vault, file) = (self.vault.load_full(), self.settings.vault_key_file.display());
        let (closed, tried) =
            (sealed.iter().filter(|(person, key)| vault.open(key, person).is_err()).count(), sealed.len());
        match closed {
            0 => {
                let opens = match is_told {
                    true => format!("opens {tried} of {tried} session keys tried in Redis"),
                    false => "no session key was tried, because Redis did not answer".to_owned(),
                };
                Finding::ok("vault", format!("the key of line {} seals; {opens}", vault.sealing_line()))
            }
            closed => Finding::warning(
                "vault",
                format!(
                    "{closed} of {tried} session keys tried in Redis do not open: another vault key has sealed them, so that \
                     user data fails until these people log in again"
                ),
                format!("put the earlier vault key into {file} as its last line, from the backup or another replica"),
            ),
        }
    }

    /// How many users the users file has, if they come from one.
    pub fn users(&self) -> Option<usize> {
        self.users.as_ref().map(|(_, users)| users.count())
    }
}

fn keys(set: &KeySet, path: &Path, now: DateTime<Utc>) -> Finding {
    let signing = match set.signing(now) {
        Ok(key) => key.public(),
        Err(error) => return unusable_keys(path, &error, now),
    };
    let next = set.lives().iter().find(|life| life.nbf > now);
    let next =
        next.map(|next| format!("; {} from {} on", next.kid, next.nbf.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let since = set.lives().iter().find(|life| life.kid == signing.kid()).map_or(now, |life| life.nbf);
    if next.is_none() && now - since > OLD {
        return Finding::warning(
            "keys",
            format!(
                "{} has signed for {} days, and no other key is published",
                signing.kid(),
                (now - since).num_days()
            ),
            format!("run: wxmint keys rotate --keys {} (every 10 minutes, by a job: docs/keys.md)", path.display()),
        );
    }
    let (kid, algorithm, next) = (signing.kid(), signing.algorithm(), next.unwrap_or_default());
    Finding::ok("keys", format!("{}; {kid} signs ({algorithm}){next}", count(set.lives().len(), "key")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_set_without_a_key_that_signs_has_expired_or_is_early() {
        let error = |nbf| KeyError::NoneSigning { earliest: at(nbf).to_rfc3339() };
        let [early, expired] = [200, 50].map(|nbf| unusable_keys(Path::new("k"), &error(nbf), at(100)));
        assert!(early.advice.contains("clock"), "{early:?}");
        assert!(expired.found.contains("expired") && expired.advice.contains("keys generate --keys k"), "{expired:?}");
    }
}
