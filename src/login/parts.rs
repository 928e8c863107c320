//! The parts of one worker thread, and the use cases and steps that are made of them.

use std::sync::Arc;

use arc_swap::ArcSwap;
use wxmint_keys::{token::Minter, vault::Vault};
use wxmint_store::Store;
use wxmint_telemetry::Metrics;
use wxmint_wechat::WeChat;

use super::bind::Bind;
use super::bind_tickets::BindTickets;
use super::credentials::CredentialCheck;
use super::exchange::CodeExchange;
use super::identity::Identification;
use super::login_record::LoginRecorder;
use super::session_keys::SessionKeys;
use super::{
    AccountCheck, AppCalls, CodeExchangers, DesertedUsers, Issuance, LogIn, LoginLimits,
    LoginPolicy, PhoneNumbers, ServiceApi, SessionKeyActions, TokenActions, UserDataActions,
    UserIds,
};
use crate::{accounts::Accounts, apps::CurrentApps};

/// The parts of one worker thread. Each use case borrows the parts that it needs.
pub struct LoginParts {
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
    pub exchangers: CodeExchangers,
}

/// The use cases.
impl LoginParts {
    /// Logs people in.
    pub fn log_in(&self) -> LogIn<'_> {
        LogIn::of(self)
    }

    /// Requests of whoever holds a token.
    pub fn token_actions(&self) -> TokenActions<'_> {
        TokenActions {
            revocations: &self.store.revocations,
            bindings: &self.store.bindings,
            sessions: &self.store.sessions,
            minter: &self.minter,
            ids: &self.ids,
            limits: self.limits(),
            bind: self.bind(),
            deserted_users: self.deserted_users(),
        }
    }

    /// Requests of whoever holds a token, about the session key.
    pub fn session_key_actions(&self) -> SessionKeyActions<'_> {
        SessionKeyActions {
            limits: self.limits(),
            keys: self.session_keys(),
        }
    }

    /// Requests of whoever holds a token, about data that WeChat has encrypted or signed.
    pub fn user_data(&self) -> UserDataActions<'_> {
        UserDataActions {
            bindings: &self.store.bindings,
            limits: self.limits(),
            keys: self.session_keys(),
            bind: self.bind(),
        }
    }

    /// Phone numbers that WeChat verifies.
    pub fn phone_numbers(&self) -> PhoneNumbers<'_> {
        PhoneNumbers {
            limits: self.limits(),
            calls: self.app_calls(),
            texts: &self.store.texts,
        }
    }

    /// Requests of the business's own services.
    pub fn service_api(&self) -> ServiceApi<'_> {
        ServiceApi {
            ids: &self.ids,
            bindings: &self.store.bindings,
            limits: self.limits(),
            keys: self.session_keys(),
        }
    }
}

/// The steps that use cases have in common.
impl LoginParts {
    /// The apps, and calls of WeChat's API for them.
    pub fn app_calls(&self) -> AppCalls<'_> {
        AppCalls {
            apps: &self.apps,
            wechat: &self.wechat,
            store: &self.store,
            vault: &self.vault,
            exchangers: &self.exchangers,
        }
    }

    /// Counts requests.
    pub fn limits(&self) -> LoginLimits<'_> {
        LoginLimits {
            rates: &self.store.limits,
            policy: &self.policy,
        }
    }

    /// Dates tokens.
    pub fn issuance(&self) -> Issuance<'_> {
        Issuance {
            store: &self.store,
            minter: &self.minter,
            single_session: self.policy.single_session,
        }
    }

    /// Asks the account backend whether a user may log in.
    pub fn account_check(&self) -> AccountCheck<'_> {
        AccountCheck {
            accounts: &*self.accounts,
        }
    }

    /// Cleans up after users who have no people left.
    pub fn deserted_users(&self) -> DesertedUsers<'_> {
        DesertedUsers {
            store: &self.store,
            accounts: &*self.accounts,
        }
    }

    pub(super) fn code_exchange(&self) -> CodeExchange<'_> {
        CodeExchange {
            calls: self.app_calls(),
            limits: self.limits(),
            ids: &self.ids,
            issuance: self.issuance(),
            codes: &self.store.codes,
            bindings: &self.store.bindings,
        }
    }

    pub(super) fn bind_tickets(&self) -> BindTickets<'_> {
        BindTickets {
            calls: self.app_calls(),
            limits: self.limits(),
            issuance: self.issuance(),
            tickets: &self.store.tickets,
            bindings: &self.store.bindings,
        }
    }

    pub(super) fn login_recorder(&self) -> LoginRecorder<'_> {
        LoginRecorder {
            apps: &self.apps,
            logins: &self.store.logins,
            bindings: &self.store.bindings,
            union_ids: &self.store.union_ids,
            vault: &self.vault,
            accounts: &*self.accounts,
            policy: &self.policy,
            ids: &self.ids,
            bind: self.bind(),
        }
    }

    pub(super) fn identification(&self) -> Identification<'_> {
        Identification {
            apps: &self.apps,
            sessions: &self.store.sessions,
            ids: &self.ids,
            credential_check: self.credential_check(),
            account_check: self.account_check(),
            bind: self.bind(),
        }
    }

    pub(super) fn credential_check(&self) -> CredentialCheck<'_> {
        CredentialCheck {
            accounts: &*self.accounts,
            account_check: self.account_check(),
            limits: self.limits(),
            phone_numbers: self.phone_numbers(),
        }
    }

    pub(super) fn bind(&self) -> Bind<'_> {
        Bind {
            store: &self.store,
            accounts: &*self.accounts,
            policy: &self.policy,
            ids: &self.ids,
            metrics: &self.metrics,
        }
    }

    fn session_keys(&self) -> SessionKeys<'_> {
        SessionKeys {
            calls: self.app_calls(),
            sessions: &self.store.sessions,
        }
    }
}
