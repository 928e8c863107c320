//! The state that all workers share, and the state of one worker. Routes and doors depend on these
//! types, which know no route and no single door.

use std::sync::Arc;

use arc_swap::ArcSwap;
use wxmint_http::{Readiness, TrustedProxies};
use wxmint_keys::{KeyRing, token::Minter, vault::Vault};
use wxmint_store::StoreAccess;
use wxmint_telemetry::Metrics;
use wxmint_upstream::Tls;
use wxmint_verify::Verifier;

use super::door::{Doors, OpenDoor};
use crate::identities::PeerKeys;
use crate::login::{LoginParts, UserIds};
use crate::oauth::{OAuth, clients::Clients};
use crate::revocation::{feed::FeedPages, possible_loss::OldestToken};
use crate::{
    accounts::FileAccounts, admin::CurrentAdminTokens, apps::CurrentApps,
    secret_files::WatchedFile, settings::Settings,
};

/// The state of `wxmint serve`, which all workers share.
pub struct Issuer {
    pub(crate) settings: Settings,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) apps: Arc<CurrentApps>,
    pub(super) ids: Arc<UserIds>,
    /// The file that the keys came from; `None` if they were made for this process.
    pub(super) key_file: Option<WatchedFile>,
    pub(super) vault_file: Option<WatchedFile>,
    /// The secrets of operators, and their file. Without them the admin listener has no paths about
    /// users.
    pub(super) admin_tokens: Option<(WatchedFile, CurrentAdminTokens)>,
    /// The users, if they come from a file.
    pub(crate) users: Option<(WatchedFile, FileAccounts)>,
    /// The clients of OAuth 2.0, if there is a file of clients.
    pub(crate) oauth: Option<Arc<OAuth>>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    pub(super) workers: u32,
    /// All doors that the program has.
    pub(super) rows: Doors,
    /// The doors that are open.
    pub(crate) doors: Vec<OpenDoor>,
    pub(super) verifier: Verifier,
    pub(super) oldest_token: OldestToken,
    pub(crate) minter: Arc<Minter>,
    pub(crate) vault: Arc<ArcSwap<Vault>>,
    pub(super) tls: Tls,
    pub(super) peers: Vec<PeerKeys>,
    /// How all workers reach Redis, or the store in memory, whose content the demo shows.
    pub(crate) redis: StoreAccess,
    pub(super) proxies: TrustedProxies,
    pub(super) pages: Arc<FeedPages>,
}

impl Issuer {
    /// The clients of the file. None without a file.
    pub(crate) fn clients(&self) -> Arc<Clients> {
        self.oauth
            .as_ref()
            .map(|oauth| oauth.clients())
            .unwrap_or_default()
    }
}

pub struct IssuerWorker {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) login: LoginParts,
}
