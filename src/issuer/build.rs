//! Builds the issuer: the state that all workers share, and the state of each worker thread.

use std::{sync::Arc, thread};

use arc_swap::ArcSwap;
use wxmint_http::{Readiness, TrustedProxies};
use wxmint_identities::PeerKeys;
use wxmint_keys::token::{Minter, RequestSigner};
use wxmint_keys::{KeyRing, KeySet, vault::Vault};
use wxmint_store::{Redis, RedisAccess};
use wxmint_telemetry::Metrics;
use wxmint_upstream::Tls;
use wxmint_wechat::WeChat;

use super::door::Doors;
use super::named::{
    IssuerStartError, key_ring, load_admin_tokens, load_apps, load_keys, load_user_ids, load_users, load_vault,
    open_redis,
};
use super::{caller, door, feed_pages::FeedPages, routes::check_login_paths, state::Issuer};
use crate::accounts::{Accounts, Auto, ServiceAccounts};
use crate::clock::now;
use crate::login::{LoginPolicy, LoginWorker};
use crate::settings::{AccountsSource, Settings};

impl Issuer {
    /// Reads and checks everything that the settings name, except Redis and WeChat, which may become reachable later.
    /// Tells all faults at once.
    pub fn from_settings(settings: Settings, doors: Doors) -> Result<Self, IssuerStartError> {
        let mut faults = IssuerStartError::default();
        let (keys, vault) = (faults.take(load_keys(&settings)), faults.take(load_vault(&settings)));
        let (key_file, keys) = keys.unzip();
        let (vault_file, vault) = vault.unzip();
        Ok(Self { key_file, vault_file, ..Self::of(settings, (keys, vault), doors, faults)? })
    }

    /// With keys that were made for this process.
    pub fn new(settings: Settings, keys: KeySet, vault: Vault, doors: Doors) -> Result<Self, IssuerStartError> {
        let keys = key_ring(&settings, keys)?;
        Self::of(settings, (Some(keys), Some(vault)), doors, IssuerStartError::default())
    }

    /// Adds whatever else cannot be used to the `faults` of the keys.
    fn of(
        settings: Settings,
        (keys, vault): (Option<KeyRing>, Option<Vault>),
        rows: Doors,
        mut faults: IssuerStartError,
    ) -> Result<Self, IssuerStartError> {
        let admin_tokens = faults.take(load_admin_tokens(&settings));
        let (apps, users) = (faults.take(load_apps(&settings)), faults.take(load_users(&settings)));
        let redis = faults.take(open_redis(&settings));
        let tokens = admin_tokens.as_ref().and_then(Option::as_ref).map(|(_, tokens)| tokens);
        let doors = door::open(rows, &settings, tokens, &mut faults);
        let (_, ids) = (faults.take(check_login_paths(&settings, rows)), faults.take(load_user_ids(&settings)));
        let (Some(keys), Some(vault), Some(admin_tokens), Some(apps), Some(users), Some(redis), Some(ids), true) =
            (keys, vault, admin_tokens, apps, users, redis, ids, faults.findings.is_empty())
        else {
            return Err(faults);
        };
        let (keys, issuer, audience) = (Arc::new(keys), settings.issuer.as_str().to_owned(), settings.audience.clone());
        let minter = Minter::new(issuer, audience, settings.token_typ, settings.token_ttl, Arc::clone(&keys));
        let issuer = Self {
            verifier: caller::verifier(&settings, settings.audience.clone()),
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
            metrics: Metrics::default(),
            readiness: Readiness::starting("the store has not answered yet"),
            tls: Tls::reaching(
                settings.jwks_peers.iter().chain(settings.accounts.url()).chain([&settings.wechat_url]),
            )?,
            peers: settings.jwks_peers.iter().map(PeerKeys::at).collect(),
            workers: thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            redis,
            memory: RedisAccess::in_memory(now),
            proxies: TrustedProxies(settings.trusted_proxies.clone()),
            pages: FeedPages::default(),
            settings,
        };
        // Each worker builds its own later, when errors can no longer be reported.
        issuer.login_worker()?;
        Ok(issuer)
    }

    pub(super) fn store(&self) -> Redis {
        let in_memory = || Redis::new(&self.memory, self.settings.session_key_ttl, now, ());
        self.redis().unwrap_or_else(in_memory)
    }

    /// The same, where the store is Redis.
    pub(crate) fn redis(&self) -> Option<Redis> {
        let access = self.redis.as_ref()?;
        Some(Redis::new(access, self.settings.session_key_ttl, now, self.metrics.clone()))
    }

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

    /// The login of one worker thread, with an HTTP client and a Redis connection of its own: shared ones cost twice
    /// the CPU when the load is light.
    pub(crate) fn login_worker(&self) -> Result<LoginWorker, IssuerStartError> {
        let Settings { wechat_url, wechat_proxy, .. } = &self.settings;
        Ok(LoginWorker {
            apps: Arc::clone(&self.apps),
            wechat: WeChat::new(wechat_url, wechat_proxy.as_ref(), &self.tls, self.workers, self.metrics.clone())?,
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
            ids: Arc::clone(&self.ids),
            metrics: self.metrics.clone(),
            exchange: self.doors.iter().find_map(|open| Arc::clone(&open.door).exchange()),
        })
    }
}
