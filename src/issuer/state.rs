//! The state that all workers share, and that of one worker. Routes and doors take these, and these take none of them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use derive_more::Deref;
use wxmint_http::{Readiness, TrustedProxies};
use wxmint_identities::PeerKeys;
use wxmint_keys::{KeyRing, token::Minter, vault::Vault};
use wxmint_store::RedisAccess;
use wxmint_telemetry::Metrics;
use wxmint_upstream::Tls;
use wxmint_verify::Verifier;

use super::{feed_pages::FeedPages, named::Named};
use crate::{login::LoginWorker, secret_files::WatchedFile, settings::Settings};

#[derive(Deref)]
pub struct Issuer {
    pub(crate) settings: Settings,
    /// The settings name this beside the keys.
    #[deref]
    pub(crate) named: Named,
    pub(crate) keys: Arc<KeyRing>,
    /// The file that the keys came from; `None` if they were made for this process.
    pub(super) key_file: Option<WatchedFile>,
    pub(super) vault_file: Option<WatchedFile>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    pub(super) workers: u32,
    pub(super) verifier: Verifier,
    pub(crate) minter: Arc<Minter>,
    pub(crate) vault: Arc<ArcSwap<Vault>>,
    pub(super) tls: Tls,
    pub(super) peers: Vec<PeerKeys>,
    /// The store of all workers, if the settings ask for the store in memory, whose content the demo shows. Otherwise
    /// it stays empty.
    pub(crate) memory: RedisAccess,
    pub(super) proxies: TrustedProxies,
    pub(super) pages: FeedPages,
}

pub(crate) struct IssuerWorker {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) login: LoginWorker,
}
