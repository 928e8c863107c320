//! Builds the issuer: the state that all workers share, and the state of each worker thread.

use std::{io, num::NonZero, path::Path, sync::Arc, thread};

use arc_swap::ArcSwap;
use chrono::TimeDelta;
use wxmint_keys::{
    KeyRing, KeySet,
    token::{Minter, RequestSigner},
    vault::{Vault, VaultError},
};
use wxmint_store::{Memory, Redis, RedisAccess, Store};
use wxmint_upstream::{HttpClientError, Tls};
use wxmint_verify::Verifier;
use wxmint_wechat::WeChat;

use super::{
    caller,
    device::{CurrentClients, load_clients},
    examine::{APPS, UNREADABLE, unusable_file, unusable_keys},
    revocations::FeedPages,
    routes::check_login_paths,
};
use crate::{
    accounts::{Accounts, Auto, FileAccounts, ServiceAccounts, UsersFile},
    admin::{AdminTokens, CurrentAdminTokens},
    apps::CurrentApps,
    clients::Clients,
    clock::now,
    findings::Finding,
    http::{Readiness, TrustedProxies},
    login::{LoginPolicy, LoginWorker},
    secret_files::{FileError, MAKE_KEYS, MAKE_USERS, MAKE_VAULT_KEY, WatchedFile},
    settings::{AccountsSource, Settings},
    telemetry::Metrics,
};

/// Why the issuer cannot start: each finding says what to mend.
#[derive(Debug, thiserror::Error)]
#[error("{}", .findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n        "))]
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

    pub(crate) fn all(errors: impl IntoIterator<Item = Option<Self>>) -> Self {
        let mut all = Self::of_machine(Vec::new());
        for error in errors.into_iter().flatten() {
            all.findings.extend(error.findings);
            all.is_in_settings |= error.is_in_settings;
        }
        all
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

pub struct Issuer {
    pub(super) settings: Settings,
    pub(super) keys: Arc<KeyRing>,
    pub(super) apps: Arc<CurrentApps>,
    /// The file that the keys came from; `None` if they were made for this process.
    pub(super) key_file: Option<WatchedFile>,
    /// The same for the vault keys.
    pub(super) vault_file: Option<WatchedFile>,
    /// The secrets of operators, and their file. Without them the admin listener has no paths about users.
    pub(super) admin_tokens: Option<(WatchedFile, CurrentAdminTokens)>,
    /// The users, if they come from a file.
    pub(super) users: Option<(WatchedFile, FileAccounts)>,
    pub(super) metrics: Metrics,
    pub(super) readiness: Readiness,
    pub(super) workers: u32,
    /// Who may ask for a scan. Without them the paths for it are not there.
    pub(super) clients: Option<CurrentClients>,
    pub(super) clients_file: Option<WatchedFile>,
    pub(super) verifier: Verifier,
    pub(super) minter: Arc<Minter>,
    pub(super) vault: Arc<ArcSwap<Vault>>,
    tls: Tls,
    /// `None` if the settings ask for the store in memory.
    pub(super) redis: Option<RedisAccess>,
    /// The store of all workers, if the settings ask for the store in memory.
    memory: Memory,
    pub(super) proxies: TrustedProxies,
    pub(super) pages: FeedPages,
}

impl Issuer {
    /// Reads and checks everything that the settings name, except Redis and WeChat, which may become reachable later. Tells all
    /// faults at once.
    pub fn from_settings(settings: Settings) -> Result<Self, IssuerStartError> {
        match (load_keys(&settings), load_vault(&settings), Named::load(&settings)) {
            (Ok((key_file, keys)), Ok((vault_file, vault)), Ok(named)) => {
                let (key_file, vault_file) = (Some(key_file), Some(vault_file));
                Ok(Self { key_file, vault_file, ..Self::of(settings, keys, vault, named)? })
            }
            (keys, vault, named) => Err(IssuerStartError::all([keys.err(), vault.err(), named.err()])),
        }
    }

    /// With keys that were made for this process.
    pub fn new(settings: Settings, keys: KeySet, vault: Vault) -> Result<Self, IssuerStartError> {
        let named = Named::load(&settings)?;
        Self::of(settings, keys, vault, named)
    }

    fn of(settings: Settings, keys: KeySet, vault: Vault, named: Named) -> Result<Self, IssuerStartError> {
        let lead = TimeDelta::from_std(settings.keys_lead).unwrap_or(TimeDelta::MAX);
        let found = |error| IssuerStartError::of_setting(unusable_keys(&settings.keys, &error, now()));
        let keys = Arc::new(KeyRing::new(keys, lead, now()).map_err(found)?);
        let (issuer, audience) = (settings.issuer.as_str().to_owned(), settings.audience.clone());
        let minter = Minter::new(issuer, audience, settings.token_typ, settings.token_ttl, Arc::clone(&keys));
        let (clients_file, clients) = named.clients.unzip();
        let issuer = Self {
            verifier: caller::verifier(&settings),
            minter: Arc::new(minter),
            vault: Arc::new(ArcSwap::from_pointee(vault)),
            keys,
            apps: Arc::new(named.apps),
            key_file: None,
            vault_file: None,
            clients: clients.map(|clients| Arc::new(ArcSwap::from_pointee(clients))),
            clients_file,
            admin_tokens: named.admin_tokens,
            users: named.users,
            metrics: Metrics::default(),
            readiness: Readiness::starting("the store has not answered yet"),
            tls: Tls::reaching(settings.accounts.url().into_iter().chain([&settings.wechat_url]))?,
            workers: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            redis: named.redis,
            memory: Memory::new(now, settings.session_key_ttl),
            proxies: TrustedProxies::new(settings.trusted_proxies.clone()),
            pages: FeedPages::default(),
            settings,
        };
        issuer.apps.warn_of_unusual();
        if let Some((_, users)) = &issuer.users {
            let (users, hashing_mebibytes) = (users.count(), users.hashing_mebibytes());
            tracing::info!(users, hashing_mebibytes, "users come from a file");
        }
        // Each worker builds its own later, when errors can no longer be reported.
        issuer.login_worker()?;
        Ok(issuer)
    }

    /// With clients that no file names, which the demo has. They have the audience of the settings.
    pub fn with_clients(self, clients: Clients) -> Self {
        Self { clients: Some(Arc::new(ArcSwap::from_pointee(clients))), ..self }
    }

    /// The store in memory, whose content the demo shows. It stays empty if the settings name another store.
    pub fn memory(&self) -> Memory {
        self.memory.clone()
    }

    /// The keys in use, which the demo rotates.
    pub fn keys(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys)
    }

    /// Opens a new connection to the store.
    pub(super) fn store(&self) -> Box<dyn Store> {
        match self.redis() {
            None => Box::new(self.memory.clone()),
            Some(redis) => Box::new(redis),
        }
    }

    /// The same, where the store is Redis.
    pub(super) fn redis(&self) -> Option<Redis> {
        let access = self.redis.as_ref()?;
        Some(Redis::new(access, self.settings.session_key_ttl, now, self.metrics.clone()))
    }

    /// A new client of the account backend.
    pub fn accounts(&self) -> Result<Box<dyn Accounts>, IssuerStartError> {
        Ok(match &self.settings.accounts {
            AccountsSource::Auto => Box::new(Auto),
            AccountsSource::File(_) => {
                let (_, users) = self.users.clone().expect("read from the same settings");
                Box::new(users)
            }
            AccountsSource::Service(base) => {
                let issuer = self.settings.issuer.as_str().to_owned();
                let signer = RequestSigner::new(issuer, base.as_str().trim_end_matches('/').into(), self.keys.clone());
                let (metrics, check) = (self.metrics.clone(), self.settings.accounts_check);
                Box::new(ServiceAccounts::new(base, &self.tls, self.workers, signer, metrics, now, check)?)
            }
        })
    }

    fn wechat(&self) -> Result<WeChat, HttpClientError> {
        let Settings { wechat_url, wechat_proxy, .. } = &self.settings;
        WeChat::new(wechat_url, wechat_proxy.as_ref(), &self.tls, self.workers, self.metrics.clone())
    }

    /// The login of one worker thread, with an HTTP client and a Redis connection of its own: shared ones cost twice
    /// the CPU when the load is light.
    pub(super) fn login_worker(&self) -> Result<LoginWorker, IssuerStartError> {
        Ok(LoginWorker {
            apps: Arc::clone(&self.apps),
            wechat: self.wechat()?,
            store: self.store(),
            vault: Arc::clone(&self.vault),
            accounts: self.accounts()?,
            policy: LoginPolicy {
                auto_provision: self.settings.auto_provision,
                bindings_per_user: self.settings.bindings_per_user,
                one_login: self.settings.one_login,
                limits: self.settings.limits,
            },
            minter: Arc::clone(&self.minter),
            metrics: self.metrics.clone(),
        })
    }
}

pub(super) struct IssuerWorker {
    pub(super) issuer: Arc<Issuer>,
    pub(super) login: LoginWorker,
}

impl IssuerWorker {
    pub(super) fn new(issuer: &Arc<Issuer>) -> Result<Self, IssuerStartError> {
        Ok(Self { issuer: Arc::clone(issuer), login: issuer.login_worker()? })
    }
}

/// What the settings name beside the keys.
struct Named {
    admin_tokens: Option<(WatchedFile, CurrentAdminTokens)>,
    apps: CurrentApps,
    users: Option<(WatchedFile, FileAccounts)>,
    redis: Option<RedisAccess>,
    clients: Option<(WatchedFile, Clients)>,
}

impl Named {
    fn load(settings: &Settings) -> Result<Self, IssuerStartError> {
        let loaded = (load_admin_tokens(settings), load_apps(settings), load_users(settings), open_redis(settings));
        match (loaded, load_clients(settings), check_login_paths(settings)) {
            ((Ok(admin_tokens), Ok(apps), Ok(users), Ok(redis)), Ok(clients), Ok(())) => {
                Ok(Self { admin_tokens, apps, users, redis, clients })
            }
            ((tokens, apps, users, redis), clients, paths) => {
                let errors = [tokens.err(), apps.err(), users.err(), redis.err(), clients.err(), paths.err()];
                Err(IssuerStartError::all(errors))
            }
        }
    }
}

/// The file that a variable names, and what it contains. `unusable` says what is wrong with the content.
pub(super) fn load<T, E>(
    variable: &str,
    path: &Path,
    make: Option<&str>,
    parse: impl FnOnce(&[u8]) -> Result<T, E>,
    unusable: impl FnOnce(E) -> Finding,
) -> Result<(WatchedFile, T), IssuerStartError> {
    let unreadable = |error: FileError| {
        let cure = error.cure(make).unwrap_or_else(|| UNREADABLE.to_owned());
        IssuerStartError::of_setting(Finding::fault("files", format!("{variable}: {}", error), cure))
    };
    let (file, content) = WatchedFile::open(path).map_err(unreadable)?;
    Ok((file, parse(&content).map_err(|error| IssuerStartError::of_setting(unusable(error)))?))
}

fn load_keys(settings: &Settings) -> Result<(WatchedFile, KeySet), IssuerStartError> {
    let path = &settings.keys;
    load("WXMINT_KEYS", path, Some(MAKE_KEYS), KeySet::parse, |error| unusable_keys(path, &error, now()))
}

fn load_vault(settings: &Settings) -> Result<(WatchedFile, Vault), IssuerStartError> {
    let path = &settings.vault_key_file;
    let unusable = |error: VaultError| {
        Finding::fault("vault", format!("WXMINT_VAULT_KEY_FILE: {}: {error}", path.display()), error.cure())
    };
    let (file, vault) = load("WXMINT_VAULT_KEY_FILE", path, Some(MAKE_VAULT_KEY), Vault::parse, unusable)?;
    Ok((file, vault.at(now())))
}

fn load_admin_tokens(settings: &Settings) -> Result<Option<(WatchedFile, CurrentAdminTokens)>, IssuerStartError> {
    let Some(path) = &settings.admin_tokens_file else { return Ok(None) };
    let unusable = |error: String| unusable_file("files", "WXMINT_ADMIN_TOKENS_FILE", path, error);
    let (file, tokens) = load("WXMINT_ADMIN_TOKENS_FILE", path, None, AdminTokens::parse, unusable)?;
    Ok(Some((file, CurrentAdminTokens::new(tokens))))
}

fn load_users(settings: &Settings) -> Result<Option<(WatchedFile, FileAccounts)>, IssuerStartError> {
    let AccountsSource::File(path) = &settings.accounts else { return Ok(None) };
    let unusable = |error| unusable_file("accounts", "WXMINT_ACCOUNTS", path, error);
    let (file, users) = load("WXMINT_ACCOUNTS", path, Some(MAKE_USERS), UsersFile::parse, unusable)?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    Ok(Some((file, FileAccounts::new(&users, cores, settings.auto_provision))))
}

fn load_apps(settings: &Settings) -> Result<CurrentApps, IssuerStartError> {
    let unusable =
        |error| IssuerStartError::of_setting(Finding::fault("files", format!("WXMINT_APPS_DIR: {error}"), APPS));
    CurrentApps::read(settings.apps.clone()).map_err(unusable)
}

/// `None` if the settings ask for the store in memory.
pub fn open_redis(settings: &Settings) -> Result<Option<RedisAccess>, IssuerStartError> {
    let unusable = |error| IssuerStartError::of_setting(Finding::fault("files", error, UNREADABLE));
    Ok(settings.store.redis().map_err(unusable)?.map(RedisAccess::new))
}
