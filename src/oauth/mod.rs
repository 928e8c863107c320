//! OAuth 2.0 for the clients of `WXMINT_CLIENTS_FILE`: who they are, how they authenticate, and
//! what the grants of all doors have in common. The doors `scan` and `oidc` stand on it, and know
//! nothing of each other.

pub(crate) mod authentication;
pub(crate) mod clients;
pub(crate) mod error;
#[allow(dead_code, reason = "there may be no door with a grant")]
pub(crate) mod grant;
#[allow(dead_code, reason = "there may be no door that keeps records")]
pub(crate) mod records;

use std::{mem, sync::Arc};

use parking_lot::Mutex;
use wxmint_ids::ClientId;

use self::clients::Clients;
use crate::findings::Catalog;
use crate::identities::Issuers;
use crate::secret_files::WatchedFile;

/// The variable that names the file of clients.
pub(crate) const CLIENTS_FILE: &str = "WXMINT_CLIENTS_FILE";
/// The command that makes the file. The file's path follows it.
pub(crate) const MAKE_CLIENTS: &str =
    "wxmint clients add CLIENT_ID --name NAME --appid APPID --file";
const CATALOG: Catalog = &include!("texts.json");

/// The clients in use. All workers share them.
pub(crate) struct OAuth {
    /// Replaced when the file changes. Also locked while an outcome of a client is counted.
    clients: Mutex<Arc<Clients>>,
    /// `None` in the demo.
    pub(crate) file: Option<WatchedFile>,
    /// The URL of wxmint itself, which is the `aud` of assertions that clients sign.
    issuer: String,
    /// The issuers of the tokens that clients send in place of a secret.
    issuers: Issuers,
}

impl OAuth {
    pub(crate) fn new(clients: Clients, file: Option<WatchedFile>, issuer: &str) -> Self {
        Self {
            clients: Mutex::new(Arc::new(clients)),
            file,
            issuer: issuer.to_owned(),
            issuers: Issuers::new(issuer.to_owned()),
        }
    }

    pub(crate) fn clients(&self) -> Arc<Clients> {
        Arc::clone(&self.clients.lock())
    }

    /// Begins to fetch the keys of clients that send tokens in place of a secret.
    pub(crate) fn hold_keys(&self) {
        self.issuers.hold(self.clients().identities());
    }

    /// Replaces the clients by those of the changed file. Calls `client_is_gone` if a client has
    /// been removed, before anything more of a client is counted.
    pub(crate) fn replace(&self, clients: Clients, client_is_gone: impl FnOnce()) {
        self.issuers.hold(clients.identities());
        let mut held = self.clients.lock();
        let before = mem::replace(&mut *held, Arc::new(clients));
        if before.iter().any(|client| held.get(&client.id).is_none()) {
            client_is_gone();
        }
    }

    /// Counts an outcome of a client that is in the file. So strangers cannot add labels to a
    /// metric, and a client is not counted after it has been removed.
    #[allow(dead_code, reason = "there may be no door for scans")]
    pub(crate) fn count(&self, client: &ClientId, count: impl FnOnce()) {
        // The lock is held to the end.
        let clients = self.clients.lock();
        if clients.get(client).is_some() {
            count();
        }
    }
}
