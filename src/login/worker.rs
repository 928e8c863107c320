//! The request and the answer of a login, the context of one worker thread, and the names of the
//! limits.

use std::sync::Arc;

use arc_swap::ArcSwap;
use wxmint_ids::{AppId, LoginCode, Person, PhoneCode, UnionId, UserId};
use wxmint_keys::{token::Minter, token::SignedToken, vault::Vault};
use wxmint_store::{AttemptId, Store, Ticket, limits::Rate};
use wxmint_telemetry::Metrics;
use wxmint_wechat::{App, ByToken, CallError, WeChat};

use super::{
    AccessTokens, Binder, CodeExchanger, LoginError, Result, UserIds, phone_numbers::NUMBERS,
};
use crate::{accounts::Accounts, accounts::Password, accounts::Username, apps::CurrentApps};

/// A login, as the client asked for it.
#[derive(Debug)]
pub struct LoginRequest {
    /// May be left out if there is only one app.
    pub app: Option<AppId>,
    /// The app that the Referer names. Anybody can forge it, so it only helps to choose among the
    /// configured apps.
    pub app_hint: Option<AppId>,
    pub proof: LoginProof,
    pub identity: Identity,
}

/// Proves the WeChat identity of the client.
#[derive(Debug)]
pub enum LoginProof {
    Code(LoginCode),
    /// The ticket of an earlier login, which replaces the code.
    Ticket(Ticket),
}

/// Proves the business user.
#[derive(Debug)]
pub enum Identity {
    /// No credentials: only a WeChat identity that is bound gets a token.
    Nothing,
    Password(Username, Password),
    /// The code of the button `getPhoneNumber`.
    Phone(PhoneCode),
}

/// The answer to a login.
#[derive(Debug)]
pub struct LoggedIn {
    /// The signed JWT.
    pub token: SignedToken,
    /// Seconds until the token expires.
    pub expires_in: u64,
    /// The token's `sub`.
    pub user: UserId,
    pub app: AppId,
    /// Whether this login made the user. True once per user.
    pub new_user: bool,
}

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

/// The limits. Each has one name: that of its variable (`WXMINT_LIMIT_IP`), its field of
/// `LoginPolicy`, and its label in the log and the audit events. No variable sets the limit of
/// unbindings.
pub(crate) const IP: &str = "ip";
pub const OPENID: &str = "openid";
pub const USERNAME: &str = "username";
pub(super) const UNBINDINGS: &str = "unbindings";

/// The kinds of requests that are counted for each person, besides logins. An erasure deletes these
/// counts.
pub(super) const COUNTED_OF_A_PERSON: [&str; 10] = [
    NAMES,
    PHONE,
    NUMBERS,
    CHECK,
    RESET,
    USER_DATA,
    ENCRYPT_KEYS,
    LOGOUTS,
    UNBINDINGS,
    DEVICE,
];
/// Failed passwords, by the digest of the user name.
pub(super) const NAMES: &str = "names";
/// Requests after the login. Each kind is counted for itself, with the rate of `limit_openid`.
pub(super) const PHONE: &str = "phone";
pub(super) const CHECK: &str = "check";
pub(super) const RESET: &str = "reset";
pub(super) const USER_DATA: &str = "userdata";
pub(super) const ENCRYPT_KEYS: &str = "encrypt-keys";
pub(super) const LOGOUTS: &str = "logouts";
/// Requests at the doors. The name is that of the first kind, device authorization.
pub const DEVICE: &str = "device";

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

    /// Makes a call of WeChat's API with the access token of a mini program.
    pub(crate) async fn by_access_token<T>(
        &self,
        app: &AppId,
        call: impl AsyncFn(ByToken<'_>) -> Result<T, CallError>,
    ) -> Result<T> {
        let apps = self.apps.all();
        let app = self.choose(&apps, Some(app), None)?;
        if !app.kind.has_session_keys() {
            return Err(LoginError::NoSessionKeys);
        }
        self.access_tokens(app)
            .with(call)
            .await
            .map_err(|error| error.of(&app.id))
    }

    /// Refuses an app whose people have no session keys. An app that has left the configuration is
    /// not refused.
    pub fn check_has_session_keys(&self, app: &AppId) -> Result<()> {
        match self.apps.all().choose(Some(app), None) {
            Ok(app) if !app.kind.has_session_keys() => Err(LoginError::NoSessionKeys),
            _ => Ok(()),
        }
    }

    pub(crate) fn access_tokens<'a>(&'a self, app: &'a App) -> AccessTokens<'a> {
        let (wechat, store, vault) = (&self.wechat, &self.store, self.vault.load_full());
        let (exchange, attempt) = (self.exchange.as_deref(), AttemptId::random());
        AccessTokens {
            wechat,
            store,
            vault,
            exchange,
            app,
            attempt,
            may_replace: true,
        }
    }
}
