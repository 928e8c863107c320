//! Reads and checks what the settings name, before the issuer is built, and says why it cannot start.

use std::{convert::Infallible, io, num::NonZero, thread};

use chrono::TimeDelta;
use wxmint_findings::{Finding, Said};
use wxmint_ids::IdKey;
use wxmint_keys::{KeyRing, KeySet, vault::Vault};
use wxmint_store::RedisAccess;
use wxmint_upstream::HttpClientError;

use super::examine::{load, unusable_file, unusable_keys, unusable_vault};
use crate::accounts::{FileAccounts, UsersFile};
use crate::admin::{AdminTokens, CurrentAdminTokens};
use crate::secret_files::{MAKE_ID_KEY, MAKE_KEYS, MAKE_USERS, MAKE_VAULT_KEY, WatchedFile};
use crate::settings::{AccountsSource, Settings};
use crate::{apps::CurrentApps, clock::now, login::UserIds};

#[derive(Debug, Default, thiserror::Error)]
#[error("{}", Said::lines(.findings))]
pub struct IssuerStartError {
    pub findings: Vec<Finding>,
    /// Whether a setting must be corrected, rather than the machine.
    pub is_in_settings: bool,
}

impl IssuerStartError {
    pub(super) fn of_setting(finding: Finding) -> Self {
        Self { findings: vec![finding], is_in_settings: true }
    }

    pub(crate) fn of_machine(reasons: Vec<String>) -> Self {
        let findings = reasons.into_iter().map(|reason| Finding::fault("settings", reason, "")).collect();
        Self { findings, is_in_settings: false }
    }

    /// What a result holds; or takes up its faults, to tell all at once.
    pub(crate) fn take<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        let told = |error: Self| {
            self.findings.extend(error.findings);
            self.is_in_settings |= error.is_in_settings;
        };
        result.map_err(told).ok()
    }
}

impl From<HttpClientError> for IssuerStartError {
    fn from(error: HttpClientError) -> Self {
        Self::of_machine(vec![error.to_string()])
    }
}

impl From<io::Error> for IssuerStartError {
    fn from(error: io::Error) -> Self {
        Self::of_machine(vec![format!("the HTTP server failed: {error}")])
    }
}

pub(super) fn load_keys(settings: &Settings) -> Result<(WatchedFile, KeyRing), IssuerStartError> {
    let unusable = |error| unusable_keys(&settings.keys, &error, now());
    let (file, keys) = load("WXMINT_KEYS", &settings.keys, Some(MAKE_KEYS), KeySet::parse, unusable)?;
    Ok((file, key_ring(settings, keys)?))
}

pub(super) fn key_ring(settings: &Settings, keys: KeySet) -> Result<KeyRing, IssuerStartError> {
    let lead = TimeDelta::from_std(settings.keys_lead).unwrap_or(TimeDelta::MAX);
    let found = |error| IssuerStartError::of_setting(unusable_keys(&settings.keys, &error, now()));
    KeyRing::new(keys, lead, now()).map_err(found)
}

pub(super) fn load_vault(settings: &Settings) -> Result<(WatchedFile, Vault), IssuerStartError> {
    let path = &settings.vault_key_file;
    let unusable = |error| unusable_vault(path, &error);
    let (file, vault) = load("WXMINT_VAULT_KEY_FILE", path, Some(MAKE_VAULT_KEY), Vault::parse, unusable)?;
    Ok((file, vault.at(now())))
}

pub(super) fn load_admin_tokens(
    settings: &Settings,
) -> Result<Option<(WatchedFile, CurrentAdminTokens)>, IssuerStartError> {
    let Some(path) = &settings.admin_tokens_file else { return Ok(None) };
    let unusable = |error| unusable_file("files", "WXMINT_ADMIN_TOKENS_FILE", path, error);
    let (file, tokens) = load("WXMINT_ADMIN_TOKENS_FILE", path, None, AdminTokens::parse, unusable)?;
    Ok(Some((file, CurrentAdminTokens::new(tokens, settings.issuer.as_str()))))
}

pub(super) fn load_users(settings: &Settings) -> Result<Option<(WatchedFile, FileAccounts)>, IssuerStartError> {
    let AccountsSource::File(path) = &settings.accounts else { return Ok(None) };
    let unusable = |error| unusable_file("accounts", "WXMINT_ACCOUNTS", path, error);
    let (file, users) = load("WXMINT_ACCOUNTS", path, Some(MAKE_USERS), UsersFile::parse, unusable)?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let users = FileAccounts::new(&users, cores, settings.auto_provision);
    let hashing_mebibytes = users.hashing_mebibytes();
    tracing::info!(users = users.count(), hashing_mebibytes, "users come from a file");
    Ok(Some((file, users)))
}

pub(super) fn load_apps(settings: &Settings) -> Result<CurrentApps, IssuerStartError> {
    let unusable = |error: Said| {
        let found = said!("WXMINT_APPS_DIR: {}", error);
        IssuerStartError::of_setting(Finding::fault("files", found, said!(name_each_file)))
    };
    CurrentApps::read(settings.apps.clone()).map_err(unusable)
}

pub(super) fn load_user_ids(settings: &Settings) -> Result<UserIds, IssuerStartError> {
    let Some((kind, path)) = settings.user_ids.zip(settings.id_key_file.as_ref()) else {
        return Ok(UserIds::new(None, false));
    };
    let variable = "WXMINT_ID_KEY_FILE";
    let unusable = |error| {
        let found = unusable_file("user_ids", variable, path, Said::from(error));
        Finding { advice: said!(restore_id_key), ..found }
    };
    // Read once, because this key does not change.
    let (_, key) = load(variable, path, Some(MAKE_ID_KEY), IdKey::parse, unusable)?;
    Ok(UserIds::new(Some((kind, key)), settings.user_index))
}

/// `None` if the settings ask for the store in memory.
pub fn open_redis(settings: &Settings) -> Result<Option<RedisAccess>, IssuerStartError> {
    if let Some((_, key)) = &settings.store.tls.client {
        // For what mends it, which the link does not know.
        load("WXMINT_REDIS_KEY_FILE", key, None, |_| Ok(()), |never: Infallible| match never {})?;
    }
    let unusable = |error| IssuerStartError::of_setting(Finding::fault("files", error, said!(correct_path)));
    Ok(settings.store.redis().map_err(unusable)?.map(RedisAccess::new))
}
