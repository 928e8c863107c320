//! What the process holds, and what each of its worker threads holds of its own.

use std::{io, num::NonZero, path::PathBuf, sync::Arc, thread};

use chrono::TimeDelta;

use super::bearer;
use crate::{
    accounts::{Accounts, Auto, FileAccounts, ServiceAccounts, UsersError, UsersFile},
    http::{Readiness, TrustedProxies, now},
    keys::{KeyRing, KeySet},
    limits::LocalLimit,
    login::{self, Policy},
    secret_files::{FileError, MAKE_KEYS, MAKE_VAULT_KEY, read_private},
    settings::{AccountsSource, Settings, StoreUrl},
    store::{Memory, Redis, Store, StoreError},
    telemetry::Metrics,
    token::{Minter, RequestSigner},
    upstream::{self, Tls},
    vault::{CurrentVault, Vault, VaultError},
    verify::KeyError,
    verify::Verifier,
    wechat::{AppFaults, CurrentApps, WeChat},
};

/// Why the issuer cannot start. Says what to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key file cannot be read.
    #[error("WXMINT_KEYS: {}", .0.or_make(MAKE_KEYS))]
    KeyFile(FileError),
    /// The key file's content.
    #[error("WXMINT_KEYS: {path}: {source}", path = .path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// The vault key file cannot be read.
    #[error("WXMINT_VAULT_KEY_FILE: {}", .0.or_make(MAKE_VAULT_KEY))]
    VaultFile(FileError),
    /// The vault key file's content.
    #[error("WXMINT_VAULT_KEY_FILE: {path}: {source}", path = .path.display())]
    Vault {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: VaultError,
    },
    /// The users file.
    #[error("WXMINT_ACCOUNTS: {0}")]
    Users(#[from] UsersError),
    /// The files of AppSecrets.
    #[error("WXMINT_APPS_DIR: {0}")]
    Apps(#[from] AppFaults),
    /// Several at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n        "))]
    Several(Vec<StartError>),
    /// A client of another service.
    #[error(transparent)]
    Upstream(#[from] upstream::StartError),
    /// The client for Redis.
    #[error("WXMINT_REDIS_URL: {0}")]
    Store(#[from] StoreError),
    /// An address cannot be listened on.
    #[error("{variable}: cannot listen on {address}: {source}")]
    Listen {
        /// The setting.
        variable: &'static str,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The servers ended by themselves.
    #[error("the HTTP server failed: {0}")]
    Server(#[from] io::Error),
}

/// What all workers share: immutable, but for numbers and the latch.
pub struct Issuer {
    pub(super) settings: Settings,
    pub(super) keys: Arc<KeyRing>,
    pub(super) apps: Arc<CurrentApps>,
    /// The key file, where there is one to read again.
    pub(super) watched: Option<PathBuf>,
    /// Where users come from a file.
    pub(super) users: Option<FileAccounts>,
    pub(super) metrics: Metrics,
    pub(super) readiness: Readiness,
    pub(super) workers: u32,
    pub(super) verifier: Verifier,
    pub(super) minter: Arc<Minter>,
    pub(super) vault: Arc<CurrentVault>,
    tls: Tls,
    /// One for all workers, where the store is the process itself.
    memory: Memory,
    pub(super) proxies: TrustedProxies,
    local_limit: Arc<LocalLimit>,
}

impl StartError {
    /// All of them as one.
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

    /// Whether a setting names something that is wrong, rather than the machine being in the way.
    pub fn is_in_settings(&self) -> bool {
        match self {
            Self::Several(several) => several.iter().any(Self::is_in_settings),
            Self::Upstream(_) | Self::Users(UsersError::NoThreads(_)) | Self::Listen { .. } | Self::Server(_) => false,
            _ => true,
        }
    }
}

impl Issuer {
    /// Reads and tests everything that the settings name, but for Redis and WeChat, which may come later.
    pub fn from_settings(settings: Settings) -> Result<Self, StartError> {
        match (load_keys(&settings), load_vault(&settings), load_apps(&settings), check_users(&settings)) {
            (Ok(keys), Ok(vault), Ok(_), Ok(())) => {
                let watched = Some(settings.keys.clone());
                Ok(Self { watched, ..Self::new(settings, keys, vault)? })
            }
            (keys, vault, apps, users) => Err(StartError::all([keys.err(), vault.err(), apps.err(), users.err()])),
        }
    }

    /// With keys that are already there.
    pub fn new(settings: Settings, keys: KeySet, vault: Vault) -> Result<Self, StartError> {
        let lead = TimeDelta::from_std(settings.keys_lead).unwrap_or(TimeDelta::MAX);
        let unusable = |source| StartError::Keys { path: settings.keys.clone(), source };
        let keys = Arc::new(KeyRing::new(keys, lead, now()).map_err(unusable)?);
        let (issuer, audience) = (settings.issuer.as_str().to_owned(), settings.audience.clone());
        let minter = Minter::new(issuer, audience, settings.token_typ, settings.token_ttl, Arc::clone(&keys));
        let issuer = Self {
            verifier: bearer::verifier(&settings),
            minter: Arc::new(minter),
            vault: Arc::new(CurrentVault::new(vault)),
            keys,
            apps: Arc::new(load_apps(&settings)?),
            watched: None,
            users: open_users(&settings)?,
            metrics: Metrics::default(),
            readiness: Readiness::starting("the store has not answered yet"),
            tls: Tls::from_system()?,
            workers: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            memory: Memory::new(now, settings.session_key_ttl),
            proxies: TrustedProxies::new(settings.trusted_proxies.clone()),
            local_limit: Arc::default(),
            settings,
        };
        issuer.apps.warn_of_unusual();
        // Each worker makes its own later, where nobody could be told of a failure.
        issuer.login()?;
        Ok(issuer)
    }

    /// The store in memory, for the demo, which shows what lies in it. Empty if the settings name another.
    pub fn memory(&self) -> Memory {
        self.memory.clone()
    }

    /// A connection of its own to the store.
    pub(super) fn store(&self) -> Result<Box<dyn Store>, StartError> {
        Ok(match &self.settings.store {
            StoreUrl::Memory => Box::new(self.memory.clone()),
            StoreUrl::Redis(url) => {
                Box::new(Redis::new(url, self.settings.session_key_ttl, now, self.metrics.clone())?)
            }
        })
    }

    fn accounts(&self) -> Result<Box<dyn Accounts>, StartError> {
        Ok(match &self.settings.accounts {
            AccountsSource::Auto => Box::new(Auto),
            AccountsSource::File(_) => Box::new(self.users.clone().expect("opened by `new`, from the same settings")),
            AccountsSource::Service(base) => {
                let issuer = self.settings.issuer.as_str().to_owned();
                let signer = RequestSigner::new(issuer, base.as_str().trim_end_matches('/').into(), self.keys.clone());
                Box::new(ServiceAccounts::new(base, &self.tls, self.workers, signer, self.metrics.clone(), now)?)
            }
        })
    }

    /// The login of one worker thread, with an HTTP client and a Redis connection of its own: shared ones cost twice
    /// the CPU when the load is light.
    fn login(&self) -> Result<login::Worker, StartError> {
        Ok(login::Worker {
            apps: Arc::clone(&self.apps),
            wechat: WeChat::new(&self.settings.wechat_url, &self.tls, self.workers, self.metrics.clone())?,
            store: self.store()?,
            vault: Arc::clone(&self.vault),
            accounts: self.accounts()?,
            policy: Policy {
                auto_provision: self.settings.auto_provision,
                bindings_per_user: self.settings.bindings_per_user,
                limits: self.settings.limits,
            },
            local_limit: Arc::clone(&self.local_limit),
            minter: Arc::clone(&self.minter),
            metrics: self.metrics.clone(),
        })
    }
}

/// One worker thread's part.
pub(super) struct Worker {
    pub(super) issuer: Arc<Issuer>,
    pub(super) login: login::Worker,
}

impl Worker {
    pub(super) fn new(issuer: &Arc<Issuer>) -> Result<Self, StartError> {
        Ok(Self { issuer: Arc::clone(issuer), login: issuer.login()? })
    }
}

fn load_keys(settings: &Settings) -> Result<KeySet, StartError> {
    let content = read_private(&settings.keys).map_err(StartError::KeyFile)?;
    KeySet::parse(&content).map_err(|source| StartError::Keys { path: settings.keys.clone(), source })
}

fn open_users(settings: &Settings) -> Result<Option<FileAccounts>, UsersError> {
    let AccountsSource::File(path) = &settings.accounts else { return Ok(None) };
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let users = FileAccounts::open(path, cores, settings.auto_provision)?;
    tracing::info!(users = users.len(), hashing_mebibytes = users.hashing_mebibytes(), "users come from a file");
    Ok(Some(users))
}

fn check_users(settings: &Settings) -> Result<(), StartError> {
    match &settings.accounts {
        AccountsSource::File(path) => Ok(UsersFile::read(path).map(drop)?),
        _ => Ok(()),
    }
}

fn load_apps(settings: &Settings) -> Result<CurrentApps, StartError> {
    Ok(CurrentApps::read(settings.apps.clone())?)
}

fn load_vault(settings: &Settings) -> Result<Vault, StartError> {
    let content = read_private(&settings.vault_key_file).map_err(StartError::VaultFile)?;
    let vault = Vault::parse(&content);
    let vault = vault.map_err(|source| StartError::Vault { path: settings.vault_key_file.clone(), source })?;
    Ok(vault.at(now()))
}
