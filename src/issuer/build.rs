//! Builds the issuer: the state that all workers share, and the state of each worker thread.

use std::{io, num::NonZero, path::PathBuf, sync::Arc, thread};

use chrono::TimeDelta;
use wxmint_verify::{KeyError, Verifier};

use super::{
    admin_tokens::{AdminTokens, BadAdminTokens, CurrentAdminTokens},
    api::Documents,
    caller,
    revocations::{Feed, MadePages},
};
use crate::{
    accounts::{Accounts, Auto, FileAccounts, ServiceAccounts, UsersError, UsersFile},
    http::{Readiness, TrustedProxies, now},
    keys::{KeyRing, KeySet},
    login::{self, LoginPolicy},
    secret_files::{FileError, MAKE_KEYS, MAKE_VAULT_KEY, WatchedFile},
    settings::{AccountsSource, Settings, StoreSettings, StoreUrl},
    store::{Memory, Redis, RedisAccess, Store},
    telemetry::Metrics,
    token::{Minter, RequestSigner},
    upstream::{self, Tls},
    vault::{CurrentVault, Vault, VaultError},
    wechat::{AppFaults, CurrentApps, WeChat},
};

/// Why the issuer cannot start. Says what to mend.
#[derive(Debug, thiserror::Error)]
pub enum IssuerStartError {
    #[error("WXMINT_KEYS: {}", .0.or_make(MAKE_KEYS))]
    KeyFile(FileError),
    #[error("WXMINT_KEYS: {path}: {1}", path = .0.display())]
    Keys(PathBuf, KeyError),
    #[error("WXMINT_VAULT_KEY_FILE: {}", .0.or_make(MAKE_VAULT_KEY))]
    VaultFile(FileError),
    #[error("WXMINT_VAULT_KEY_FILE: {path}: {1}", path = .0.display())]
    Vault(PathBuf, VaultError),
    #[error("WXMINT_ADMIN_TOKENS_FILE: {0}")]
    AdminTokensFile(FileError),
    #[error("WXMINT_ADMIN_TOKENS_FILE: {path}: {1}", path = .0.display())]
    AdminTokens(PathBuf, BadAdminTokens),
    #[error("WXMINT_ACCOUNTS: {0}")]
    Users(#[from] UsersError),
    #[error("WXMINT_APPS_DIR: {0}")]
    Apps(#[from] AppFaults),
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n        "))]
    Several(Vec<IssuerStartError>),
    #[error(transparent)]
    Upstream(#[from] upstream::HttpClientError),
    /// A file for TLS to Redis.
    #[error("{0}")]
    Redis(String),
    #[error("{variable}: cannot listen on {address}: {source}")]
    Listen { variable: &'static str, address: std::net::SocketAddr, source: io::Error },
    #[error("the HTTP server failed: {0}")]
    Server(#[from] io::Error),
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
    pub(super) users: Option<FileAccounts>,
    pub(super) metrics: Metrics,
    pub(super) readiness: Readiness,
    pub(super) workers: u32,
    pub(super) verifier: Verifier,
    pub(super) minter: Arc<Minter>,
    pub(super) vault: Arc<CurrentVault>,
    tls: Tls,
    /// `None` if the settings ask for the store in memory.
    pub(super) redis: Option<RedisAccess>,
    /// The store of all workers, if the settings ask for the store in memory.
    memory: Memory,
    pub(super) proxies: TrustedProxies,
    pub(super) documents: Documents,
    pub(super) pages: MadePages,
}

impl IssuerStartError {
    pub(crate) fn all(errors: impl IntoIterator<Item = Option<Self>>) -> Self {
        let mut all = Vec::new();
        for error in errors.into_iter().flatten() {
            match error {
                Self::Several(several) => all.extend(several),
                one => all.push(one),
            }
        }
        if all.len() == 1 { all.remove(0) } else { Self::Several(all) }
    }

    /// Whether a setting must be corrected, rather than the machine.
    pub fn is_in_settings(&self) -> bool {
        match self {
            Self::Several(several) => several.iter().any(Self::is_in_settings),
            Self::Upstream(_) | Self::Listen { .. } | Self::Server(_) => false,
            _ => true,
        }
    }
}

impl Issuer {
    /// Reads and checks everything that the settings name, except Redis and WeChat, which may become reachable later.
    pub fn from_settings(settings: Settings) -> Result<Self, IssuerStartError> {
        let (keys, vault, tokens) = (load_keys(&settings), load_vault(&settings), load_admin_tokens(&settings));
        let redis = open_redis(&settings);
        match (keys, vault, tokens, load_apps(&settings), check_users(&settings)) {
            (Ok((key_file, keys)), Ok((vault_file, vault)), Ok(admin_tokens), Ok(_), Ok(())) if redis.is_ok() => {
                let (key_file, vault_file) = (Some(key_file), Some(vault_file));
                Ok(Self { key_file, vault_file, admin_tokens, ..Self::new(settings, keys, vault)? })
            }
            (keys, vault, tokens, apps, users) => {
                let redis = redis.err();
                Err(IssuerStartError::all([keys.err(), vault.err(), tokens.err(), apps.err(), users.err(), redis]))
            }
        }
    }

    pub fn new(settings: Settings, keys: KeySet, vault: Vault) -> Result<Self, IssuerStartError> {
        let lead = TimeDelta::from_std(settings.keys_lead).unwrap_or(TimeDelta::MAX);
        let unusable = |error| IssuerStartError::Keys(settings.keys.clone(), error);
        let keys = Arc::new(KeyRing::new(keys, lead, now()).map_err(unusable)?);
        let (issuer, audience) = (settings.issuer.as_str().to_owned(), settings.audience.clone());
        let minter = Minter::new(issuer, audience, settings.token_typ, settings.token_ttl, Arc::clone(&keys));
        let issuer = Self {
            verifier: caller::verifier(&settings),
            minter: Arc::new(minter),
            vault: Arc::new(CurrentVault::new(vault)),
            keys,
            apps: Arc::new(load_apps(&settings)?),
            key_file: None,
            vault_file: None,
            admin_tokens: None,
            users: open_users(&settings)?,
            metrics: Metrics::default(),
            readiness: Readiness::starting("the store has not answered yet"),
            tls: Tls::from_system()?,
            workers: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            redis: open_redis(&settings)?,
            memory: Memory::new(now, settings.session_key_ttl),
            proxies: TrustedProxies::new(settings.trusted_proxies.clone()),
            documents: Documents::default(),
            pages: MadePages::default(),
            settings,
        };
        issuer.apps.warn_of_unusual();
        // Each worker builds its own later, when errors can no longer be reported.
        issuer.login()?;
        Ok(issuer)
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
    pub(super) fn store(&self) -> Result<Box<dyn Store>, IssuerStartError> {
        Ok(match &self.redis {
            None => Box::new(self.memory.clone()),
            Some(access) => Box::new(Redis::new(access, self.settings.session_key_ttl, now, self.metrics.clone())),
        })
    }

    fn accounts(&self) -> Result<Box<dyn Accounts>, IssuerStartError> {
        Ok(match &self.settings.accounts {
            AccountsSource::Auto => Box::new(Auto),
            AccountsSource::File(_) => Box::new(self.users.clone().expect("opened by `new`, from the same settings")),
            AccountsSource::Service(base) => {
                let issuer = self.settings.issuer.as_str().to_owned();
                let signer = RequestSigner::new(issuer, base.as_str().trim_end_matches('/').into(), self.keys.clone());
                let service = ServiceAccounts::new(base, &self.tls, self.workers, signer, self.metrics.clone(), now)?;
                match self.settings.accounts_check {
                    true => Box::new(service.asking_at_each_login(base)),
                    false => Box::new(service),
                }
            }
        })
    }

    /// The login of one worker thread, with an HTTP client and a Redis connection of its own: shared ones cost twice
    /// the CPU when the load is light.
    fn login(&self) -> Result<login::Worker, IssuerStartError> {
        Ok(login::Worker {
            apps: Arc::clone(&self.apps),
            wechat: WeChat::new(&self.settings.wechat_url, &self.tls, self.workers, self.metrics.clone())?,
            store: self.store()?,
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

pub(super) struct Worker {
    pub(super) issuer: Arc<Issuer>,
    pub(super) login: login::Worker,
    pub(super) feed: Feed,
}

impl Worker {
    pub(super) fn new(issuer: &Arc<Issuer>) -> Result<Self, IssuerStartError> {
        Ok(Self { issuer: Arc::clone(issuer), login: issuer.login()?, feed: Feed::default() })
    }
}

fn load_keys(settings: &Settings) -> Result<(WatchedFile, KeySet), IssuerStartError> {
    let (file, content) = WatchedFile::open(&settings.keys).map_err(IssuerStartError::KeyFile)?;
    let keys = KeySet::parse(&content);
    Ok((file, keys.map_err(|error| IssuerStartError::Keys(settings.keys.clone(), error))?))
}

fn load_admin_tokens(settings: &Settings) -> Result<Option<(WatchedFile, CurrentAdminTokens)>, IssuerStartError> {
    let Some(path) = &settings.admin_tokens_file else { return Ok(None) };
    let (file, content) = WatchedFile::open(path).map_err(IssuerStartError::AdminTokensFile)?;
    let tokens = AdminTokens::parse(&content).map_err(|error| IssuerStartError::AdminTokens(path.clone(), error))?;
    Ok(Some((file, CurrentAdminTokens::new(tokens))))
}

fn open_users(settings: &Settings) -> Result<Option<FileAccounts>, UsersError> {
    let AccountsSource::File(path) = &settings.accounts else { return Ok(None) };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let users = FileAccounts::open(path, cores, settings.auto_provision)?;
    tracing::info!(users = users.len(), hashing_mebibytes = users.hashing_mebibytes(), "users come from a file");
    Ok(Some(users))
}

fn open_redis(settings: &Settings) -> Result<Option<RedisAccess>, IssuerStartError> {
    let StoreSettings { url: StoreUrl::Redis(url), tls, confirm, .. } = &settings.store else { return Ok(None) };
    Ok(Some(RedisAccess::new(url.clone(), tls.clone(), *confirm).map_err(IssuerStartError::Redis)?))
}

fn check_users(settings: &Settings) -> Result<(), IssuerStartError> {
    match &settings.accounts {
        AccountsSource::File(path) => Ok(UsersFile::read(path).map(drop)?),
        _ => Ok(()),
    }
}

fn load_apps(settings: &Settings) -> Result<CurrentApps, IssuerStartError> {
    Ok(CurrentApps::read(settings.apps.clone())?)
}

fn load_vault(settings: &Settings) -> Result<(WatchedFile, Vault), IssuerStartError> {
    let (file, content) = WatchedFile::open(&settings.vault_key_file).map_err(IssuerStartError::VaultFile)?;
    let vault = Vault::parse(&content);
    let vault = vault.map_err(|error| IssuerStartError::Vault(settings.vault_key_file.clone(), error))?;
    Ok((file, vault.at(now())))
}
