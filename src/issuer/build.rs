//! Builds the issuer: reads and checks what the settings name, or says why it cannot start; then
//! the state that all workers share, and the state of each worker thread.

use std::{convert::Infallible, io, num::NonZero, rc::Rc, sync::Arc, thread};

use arc_swap::ArcSwap;
use wxmint_http::{Readiness, TrustedProxies};
use wxmint_ids::IdKey;
use wxmint_keys::token::Minter;
use wxmint_keys::{KeyRing, KeySet, vault::Vault};
use wxmint_platforms::Platforms;
use wxmint_store::{RevocationStream, Store, StoreAccess};
use wxmint_telemetry::Metrics;
use wxmint_upstream::{HttpClientError, Tls};
use wxmint_wechat::WeChat;

use super::door::{Doors, OpenDoor};
use super::examine::{load, unusable_file, unusable_keys, unusable_vault};
use super::{caller, state::Issuer};
use crate::accounts::{Accounts, Auto, FileAccounts, ServiceAccounts, UsersFile};
use crate::admin::{AdminTokens, CurrentAdminTokens};
use crate::findings::{Finding, Message};
use crate::identities::PeerKeys;
use crate::login::{CodeExchangers, LoginParts, LoginPolicy, OtherPlatforms, UserIds};
use crate::oauth::clients::Clients;
use crate::oauth::{CLIENTS_FILE, MAKE_CLIENTS, OAuth};
use crate::observers::CallMetrics;
use crate::revocation::feed::{Feed, FeedPages};
use crate::revocation::possible_loss::{LossMonitor, OldestToken};
use crate::secret_files::{MAKE_ID_KEY, MAKE_KEYS, MAKE_USERS, MAKE_VAULT_KEY, WatchedFile};
use crate::settings::{AccountsSource, Settings};
use crate::{apps::CurrentApps, clock::now};

/// Why the issuer cannot start, with all faults at once.
#[derive(Debug, Default, thiserror::Error)]
#[error("{}", Message::lines(.findings))]
pub struct IssuerStartError {
    pub findings: Vec<Finding>,
    /// Whether a setting must be corrected, rather than the machine.
    pub is_in_settings: bool,
}

impl IssuerStartError {
    pub(crate) fn of_setting(finding: Finding) -> Self {
        Self {
            findings: vec![finding],
            is_in_settings: true,
        }
    }

    pub(crate) fn of_machine(reasons: Vec<String>) -> Self {
        let findings = reasons
            .into_iter()
            .map(|reason| Finding::fault("settings", reason, ""))
            .collect();
        Self {
            findings,
            is_in_settings: false,
        }
    }

    /// Returns the value, or collects the error so that all are reported together.
    pub(crate) fn take<T>(&mut self, result: Result<T, Self>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.findings.extend(error.findings);
                self.is_in_settings |= error.is_in_settings;
                None
            }
        }
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

impl Issuer {
    /// Reads and checks everything that the settings name, except Redis and WeChat, which may
    /// become reachable later. Reports all faults at once.
    pub fn from_settings(settings: Settings, doors: Doors) -> Result<Self, IssuerStartError> {
        let mut faults = IssuerStartError::default();
        let keys = faults.take(load_keys(&settings));
        let vault = faults.take(load_vault(&settings));
        let (key_file, keys) = keys.unzip();
        let (vault_file, vault) = vault.unzip();
        Ok(Self {
            key_file,
            vault_file,
            ..Self::of(settings, (keys, vault), doors, faults)?
        })
    }

    /// The issuer with keys that were made for this process and stand in no file.
    pub fn new(
        settings: Settings,
        keys: KeySet,
        vault: Vault,
        doors: Doors,
    ) -> Result<Self, IssuerStartError> {
        let unusable =
            |error| IssuerStartError::of_setting(unusable_keys(&settings.keys, &error, now()));
        let keys = KeyRing::new(keys, now()).map_err(unusable)?;
        Self::of(
            settings,
            (Some(keys), Some(vault)),
            doors,
            IssuerStartError::default(),
        )
    }

    /// Reports whatever else cannot be used together with the `faults` of the keys.
    fn of(
        settings: Settings,
        (keys, vault): (Option<KeyRing>, Option<Vault>),
        rows: Doors,
        mut faults: IssuerStartError,
    ) -> Result<Self, IssuerStartError> {
        let admin_tokens = faults.take(load_admin_tokens(&settings));
        let apps = faults.take(load_apps(&settings));
        let users = faults.take(load_users(&settings));
        let oauth = faults.take(load_clients(&settings));
        let redis = faults.take(open_redis(&settings));
        let tokens = admin_tokens
            .as_ref()
            .and_then(Option::as_ref)
            .map(|(_, tokens)| tokens);
        let mut doors = Vec::new();
        for row in rows {
            if let Some(Some(door)) = faults.take((row.open)(&settings, tokens)) {
                doors.push(OpenDoor { row, door });
            }
        }
        let ids = faults.take(load_user_ids(&settings));
        let (
            Some(keys),
            Some(vault),
            Some(admin_tokens),
            Some(apps),
            Some(users),
            Some(oauth),
            Some(redis),
            Some(ids),
            true,
        ) = (
            keys,
            vault,
            admin_tokens,
            apps,
            users,
            oauth,
            redis,
            ids,
            faults.findings.is_empty(),
        )
        else {
            return Err(faults);
        };
        let keys = Arc::new(keys);
        let issuer = settings.issuer.as_str().to_owned();
        let audience = settings.audience.clone();
        let minter = Minter::new(
            issuer,
            audience,
            settings.token_typ,
            settings.token_ttl,
            Arc::clone(&keys),
        );
        let stand_in = settings.other_platforms_url.as_ref();
        let other_platform = Platforms::reached(stand_in, apps.all().iter());
        let reached = settings
            .jwks_peers
            .iter()
            .chain(settings.accounts.url())
            .chain([&settings.wechat_url])
            .chain(&other_platform);
        let issuer = Self {
            verifier: caller::verifier(&settings, settings.audience.clone()),
            oldest_token: OldestToken::default(),
            minter: Arc::new(minter),
            vault: Arc::new(ArcSwap::from_pointee(vault)),
            keys,
            apps: Arc::new(apps),
            ids: Arc::new(ids),
            key_file: None,
            vault_file: None,
            rows,
            doors,
            admin_tokens,
            users,
            oauth,
            metrics: Metrics::default(),
            readiness: Readiness::starting("the store has not answered yet"),
            tls: Tls::reaching(reached)?,
            peers: settings.jwks_peers.iter().map(PeerKeys::at).collect(),
            workers: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            redis: or_in_memory(redis),
            proxies: TrustedProxies(settings.trusted_proxies.clone()),
            pages: Arc::new(FeedPages::default()),
            settings,
        };
        // Each worker builds its own later, when errors can no longer be reported. So one is built
        // here.
        issuer.login_parts()?;
        Ok(issuer)
    }

    /// The same issuer with another way to the store. To be called before anything is asked there.
    pub fn with_redis(self, redis: StoreAccess) -> Self {
        Self { redis, ..self }
    }

    pub(super) fn store(&self) -> Store {
        let ttl = self.settings.session_key_ttl;
        match self.settings.store.url {
            Some(_) => Store::new(&self.redis, ttl, now, self.call_metrics()),
            None => Store::new(&self.redis, ttl, now, ()),
        }
    }

    /// The observer of the calls of Redis and WeChat.
    fn call_metrics(&self) -> CallMetrics {
        CallMetrics(self.metrics.clone())
    }

    pub(super) fn loss_monitor(&self) -> LossMonitor {
        LossMonitor::new(
            Arc::clone(&self.keys),
            self.oldest_token.clone(),
            self.metrics.clone(),
            self.readiness.clone(),
            self.settings.store.url.is_some(),
        )
    }

    /// The revocation feed of one worker thread, which reads `stream`.
    pub(super) fn feed(&self, stream: RevocationStream) -> Feed {
        Feed {
            issuer: self.settings.issuer.as_str().to_owned(),
            keys: Arc::clone(&self.keys),
            minter: Arc::clone(&self.minter),
            vault: Arc::clone(&self.vault),
            pages: Arc::clone(&self.pages),
            proxies: self.proxies.clone(),
            stream,
        }
    }

    /// The account backend, for one worker thread.
    pub fn accounts(&self) -> Result<Box<dyn Accounts>, IssuerStartError> {
        Ok(match &self.settings.accounts {
            AccountsSource::Auto => Box::new(Auto),
            AccountsSource::File(_) => {
                Box::new(self.users.clone().expect("read from the same settings").1)
            }
            AccountsSource::Service(base) => {
                let minter = Arc::clone(&self.minter);
                let metrics = self.metrics.clone();
                let workers = self.workers;
                let check = self.settings.accounts_check;
                Box::new(ServiceAccounts::new(
                    base, &self.tls, workers, minter, metrics, now, check,
                )?)
            }
        })
    }

    /// The parts of the login of one worker thread, with an HTTP client and a Redis connection of its own:
    /// shared ones cost twice the CPU when the load is light.
    pub(crate) fn login_parts(&self) -> Result<LoginParts, IssuerStartError> {
        let Settings {
            wechat_url,
            wechat_proxy,
            other_platforms_url,
            ..
        } = &self.settings;
        Ok(LoginParts {
            apps: Arc::clone(&self.apps),
            wechat: WeChat::new(
                wechat_url,
                wechat_proxy.as_ref(),
                &self.tls,
                self.workers,
                self.call_metrics(),
            )?,
            store: self.store(),
            vault: Arc::clone(&self.vault),
            accounts: self.accounts()?,
            policy: LoginPolicy {
                auto_provision: self.settings.auto_provision,
                bindings_per_user: self.settings.bindings_per_user,
                single_session: self.settings.single_session,
                limit_ip: self.settings.limit_ip,
                limit_openid: self.settings.limit_openid,
                limit_username: self.settings.limit_username,
                limit_open_requests: self.settings.limit_open_requests,
                phone_numbers_per_person: self.settings.phone_numbers_per_person,
                phone_numbers_per_app: self.settings.phone_numbers_per_app,
            },
            minter: Arc::clone(&self.minter),
            ids: Arc::clone(&self.ids),
            metrics: self.metrics.clone(),
            exchangers: CodeExchangers {
                components: self
                    .doors
                    .iter()
                    .filter_map(|open| Arc::clone(&open.door).exchanger())
                    .collect(),
                other_platforms: Rc::new(OtherPlatforms(Platforms::new(
                    other_platforms_url.as_ref(),
                    wechat_proxy.as_ref(),
                    &self.tls,
                    self.workers,
                    now,
                    self.call_metrics(),
                )?)),
            },
        })
    }
}

fn load_keys(settings: &Settings) -> Result<(WatchedFile, KeyRing), IssuerStartError> {
    load(
        "WXMINT_KEYS",
        &settings.keys,
        Some(MAKE_KEYS),
        |content| KeyRing::new(KeySet::parse(content)?, now()),
        |error| unusable_keys(&settings.keys, &error, now()),
    )
}

fn load_vault(settings: &Settings) -> Result<(WatchedFile, Vault), IssuerStartError> {
    let path = &settings.vault_key_file;
    let (file, vault) = load(
        "WXMINT_VAULT_KEY_FILE",
        path,
        Some(MAKE_VAULT_KEY),
        Vault::parse,
        |error| unusable_vault(path, &error),
    )?;
    Ok((file, vault.at(now())))
}

fn load_admin_tokens(
    settings: &Settings,
) -> Result<Option<(WatchedFile, CurrentAdminTokens)>, IssuerStartError> {
    let Some(path) = &settings.admin_tokens_file else {
        return Ok(None);
    };
    let (file, tokens) = load(
        "WXMINT_ADMIN_TOKENS_FILE",
        path,
        None,
        AdminTokens::parse,
        |error| unusable_file("files", "WXMINT_ADMIN_TOKENS_FILE", path, error),
    )?;
    Ok(Some((
        file,
        CurrentAdminTokens::new(tokens, settings.issuer.as_str()),
    )))
}

fn load_clients(settings: &Settings) -> Result<Option<Arc<OAuth>>, IssuerStartError> {
    let Some(path) = settings.door_files.get(CLIENTS_FILE) else {
        return Ok(None);
    };
    let parse =
        |content: &[u8]| Clients::parse(content, settings.token_ttl)?.fitting(settings.user_ids);
    let (file, clients) = load(CLIENTS_FILE, path, Some(MAKE_CLIENTS), parse, |error| {
        unusable_file("clients", CLIENTS_FILE, path, error)
    })?;
    Ok(Some(Arc::new(OAuth::new(
        clients,
        Some(file),
        settings.issuer.as_str(),
    ))))
}

fn load_users(
    settings: &Settings,
) -> Result<Option<(WatchedFile, FileAccounts)>, IssuerStartError> {
    let AccountsSource::File(path) = &settings.accounts else {
        return Ok(None);
    };
    let (file, users) = load(
        "WXMINT_ACCOUNTS",
        path,
        Some(MAKE_USERS),
        // A user who is disabled in the file would be let in without it.
        |content| UsersFile::parse_in_use(content, !settings.auto_provision),
        |error| unusable_file("accounts", "WXMINT_ACCOUNTS", path, error),
    )?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let users = FileAccounts::new(&users, cores, settings.auto_provision);
    tracing::info!(users = users.count(), "users come from a file");
    Ok(Some((file, users)))
}

fn load_apps(settings: &Settings) -> Result<CurrentApps, IssuerStartError> {
    CurrentApps::read(settings.apps.clone()).map_err(|error| {
        let found = message!("WXMINT_APPS_DIR: {}", error);
        IssuerStartError::of_setting(Finding::fault("files", found, message!(name_each_file)))
    })
}

fn load_user_ids(settings: &Settings) -> Result<UserIds, IssuerStartError> {
    let named = settings.user_ids.zip(settings.id_key_file.as_ref());
    let has_peers = settings.store.url.is_some();
    let Some((kind, path)) = named else {
        return Ok(UserIds::new(None, false, has_peers));
    };
    let variable = "WXMINT_ID_KEY_FILE";
    // Read once, because this key does not change.
    let (_, key) = load(variable, path, Some(MAKE_ID_KEY), IdKey::parse, |error| {
        Finding {
            advice: message!(restore_id_key),
            ..unusable_file("user_ids", variable, path, Message::from(error))
        }
    })?;
    Ok(UserIds::new(
        Some((kind, key)),
        settings.user_index,
        has_peers,
    ))
}

/// The Redis of the settings, or the store in memory if they name none.
#[cfg(feature = "memory")]
fn or_in_memory(redis: Option<StoreAccess>) -> StoreAccess {
    redis.unwrap_or_else(|| StoreAccess::in_memory(now))
}

/// The Redis of the settings. This program has no store in memory.
#[cfg(not(feature = "memory"))]
fn or_in_memory(redis: Option<StoreAccess>) -> StoreAccess {
    redis.expect("the settings refuse `memory:` in a program without the feature `memory`")
}

/// `None` if the settings ask for the store in memory.
pub fn open_redis(settings: &Settings) -> Result<Option<StoreAccess>, IssuerStartError> {
    if let Some((_, key)) = &settings.store.tls.client {
        // Read for the advice on how to correct it, which the link cannot give.
        load(
            "WXMINT_REDIS_KEY_FILE",
            key,
            None,
            |_| Ok(()),
            |never: Infallible| match never {},
        )?;
    }
    Ok(settings
        .store
        .redis()
        .map_err(|error| {
            IssuerStartError::of_setting(Finding::fault("files", error, message!(correct_path)))
        })?
        .map(StoreAccess::new))
}
