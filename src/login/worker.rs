//! The context of one worker thread.

use std::sync::Arc;

use arc_swap::ArcSwap;
use wxmint_ids::{Person, UnionId};
use wxmint_keys::{token::Minter, vault::Vault};
use wxmint_store::{AttemptId, Store, limits::Rate};
use wxmint_telemetry::Metrics;
use wxmint_wechat::WeChat;

use super::{Binder, CodeExchanger, UserIds};
use crate::{accounts::Accounts, apps::CurrentApps};

/// The context of one worker thread, for everything that a person can do.
pub struct LoginWorker {
    pub apps: Arc<CurrentApps>,
    pub wechat: WeChat,
    pub store: Store,
    /// The vault keys in use. A reload may swap them, so each operation loads them once.
    pub vault: Arc<ArcSwap<Vault>>,
    pub accounts: Box<dyn Accounts>,
    pub policy: LoginPolicy,
    pub minter: Arc<Minter>,
    pub ids: Arc<UserIds>,
    pub metrics: Metrics,
    /// Acts for the apps that have no AppSecret.
    pub exchange: Option<Arc<dyn CodeExchanger>>,
}

/// How people are bound to users, and how often they may try.
#[derive(Debug, Clone, Copy)]
pub struct LoginPolicy {
    /// Whether an unbound person gets a new user although the account backend could ask for a
    /// password.
    pub auto_provision: bool,
    /// How many people of one app a user may have.
    pub bindings_per_user: u32,
    /// Whether a login revokes the user's earlier tokens.
    pub single_session: bool,
    /// Logins of an address.
    pub limit_ip: Rate,
    /// Logins of a person.
    pub limit_openid: Rate,
    /// Failed passwords of a person for a user name.
    pub limit_username: Rate,
    /// Requests of pages for a login by a phone that an address may have open at a time.
    pub limit_open_requests: u32,
    /// Phone numbers per day. WeChat bills each of them.
    pub phone_numbers_per_person: u32,
    pub phone_numbers_per_app: u32,
}

impl LoginWorker {
    pub(super) fn binder<'a>(
        &'a self,
        person: &'a Person,
        unionid: Option<&'a UnionId>,
        attempt: &'a AttemptId,
    ) -> Binder<'a> {
        Binder {
            store: &self.store,
            person,
            unionid,
            attempt,
            per_user: self.policy.bindings_per_user,
        }
    }
}
