//! THE login: code to token, in the order of WeChat's own diagram.
//!
//! ```text
//! mini program          wxmint              store             WeChat
//!      │   wx.login ─────────────────────────────────────────────▶│
//!      │◀───────────────────────────────────────────────── code ──│
//!      │── code ──────────▶│                  │                   │
//!      │                   │── claim code ───▶│                   │
//!      │                   │── code2Session ─────────────────────▶│
//!      │                   │◀──────────────── openid, session_key │
//!      │                   │── keep sealed ──▶│                   │
//!      │                   │◀── user id ──────│                   │
//!      │◀──────── token ───│                  │                   │
//! ```

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;
use chrono::{DateTime, Utc};

use crate::{
    accounts::{Accounts, NewUserKey, Password, Username},
    ids::{AppId, BindTicket, LoginCode, PhoneCode, UserId},
    store::{Claim, ClaimId, LoginRecord, Person, Store, StoreError, Vault, VaultError},
    token::{AccessToken, MintError, Minter, TokenId},
    wechat::{App, CurrentApps, ExchangeError, UnknownApp, Verdict, WeChat},
};

/// After how long a client may ask again when the store did not answer.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// After how long a client may ask again when WeChat was asked and gave no answer.
const WECHAT_PAUSE: Duration = Duration::from_secs(2);
/// "Retry next minute", says WeChat of errcode 45011.
const WECHAT_MINUTE: Duration = Duration::from_secs(60);

/// What a mini program asks for.
#[derive(Debug)]
pub struct LoginRequest {
    /// Which app; may be left out where there is only one.
    pub app: Option<AppId>,
    /// The app that the Referer names, which anybody can forge: a hint for choosing among those that there are.
    pub app_hint: Option<AppId>,
    /// What shows which WeChat identity is asking.
    pub proof: Proof,
    /// What shows which business user is asking.
    pub identity: Identity,
}

/// What shows which WeChat identity is asking.
#[derive(Debug)]
pub enum Proof {
    /// The code of `wx.login`.
    Code(LoginCode),
    /// What an earlier login gave in place of its code.
    Ticket(BindTicket),
}

/// What shows which business user is asking.
#[derive(Debug)]
pub enum Identity {
    /// Nothing: the WeChat identity is to be known already.
    Nothing,
    /// Name and password.
    Password(Username, Password),
    /// The code of the button `getPhoneNumber`.
    Phone(PhoneCode),
}

/// What it gets.
#[derive(Debug)]
pub struct LoggedIn {
    /// Proves to every peer who is asking.
    pub token: AccessToken,
    /// How long the token lives.
    pub expires_in: Duration,
    /// The token's `sub`.
    pub user: UserId,
    /// The mini program that was logged in to.
    pub app: AppId,
    /// Whether this login made the user. True once.
    pub new_user: bool,
}

/// Why there is no token: what the caller can do something about, and what went wrong here.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// It is not known which app is meant.
    #[error("no such app: {0}")]
    UnknownApp(#[from] UnknownApp),
    /// A field that the account backend has no use for; ignoring a password would be a surprise.
    #[error("the account backend takes no `{0}`")]
    NotAccepted(&'static str),
    /// WeChat does not accept the code.
    #[error("WeChat does not accept the code")]
    CodeInvalid,
    /// The code was claimed before, here or at WeChat.
    #[error("the code has been used")]
    CodeUsed,
    /// WeChat refuses this person.
    #[error("WeChat refuses this person: {0}")]
    UserBlocked(ExchangeError),
    /// WeChat's limit for this person.
    #[error("WeChat wants this person to slow down")]
    SlowDown {
        /// When the limit is over.
        retry_after: Duration,
    },
    /// The operator has something to mend.
    #[error("WeChat refuses this app: {0}")]
    Misconfigured(ExchangeError),
    /// WeChat is slow or gone.
    #[error("{cause}")]
    WeChatUnavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log.
        cause: ExchangeError,
    },
    /// The store is slow or gone.
    #[error("{cause}")]
    StoreUnavailable {
        /// When to try again.
        retry_after: Duration,
        /// For the log.
        cause: StoreError,
    },
    /// The session key could not be sealed.
    #[error("the session key could not be sealed: {0}")]
    Vault(#[from] VaultError),
    /// No token could be signed.
    #[error("no token could be signed: {0}")]
    Mint(#[from] MintError),
    /// The system gave no random bits.
    #[error("the system gave no random bits")]
    NoRandomness,
    /// Nobody is bound to this person, and the account backend makes no users by itself.
    #[error("this person is bound to nobody")]
    Unbound,
}

/// All that a login needs, for one worker thread.
pub struct Login {
    /// The mini programs that this service speaks for.
    pub apps: Arc<CurrentApps>,
    /// Exchanges codes.
    pub wechat: WeChat,
    /// Keeps claims, session keys and bindings.
    pub store: Box<dyn Store>,
    /// Seals session keys.
    pub vault: Arc<Vault>,
    /// Names new users.
    pub accounts: Box<dyn Accounts>,
    /// Signs tokens.
    pub minter: Arc<Minter>,
}

impl Login {
    /// Turns a login code into a token: one claim, one question to WeChat, one record, one signature.
    pub async fn login(&self, request: LoginRequest, now: DateTime<Utc>) -> Result<LoggedIn, LoginError> {
        let code = self.code_alone(&request)?;
        let apps = self.apps.all();
        let app = apps.choose(request.app.as_ref(), request.app_hint.as_ref())?;

        let claim = new_claim()?;
        let Claim::Granted(order) = self.store.claim_code(&app.id, code, &claim).await? else {
            return Err(LoginError::CodeUsed);
        };

        let session = match self.wechat.code2session(app, code).await {
            Ok(session) => session,
            Err(error) => return Err(self.not_exchanged(app, code, &claim, error).await),
        };

        let candidate =
            self.accounts.new_user(&NewUserKey(String::new()), now).await.map_err(|_| LoginError::Unbound)?.user;
        let person = Person { app: app.id.clone(), openid: session.openid };
        let binding = self
            .store
            .record_login(&LoginRecord {
                session_key: self.vault.seal(&session.session_key, &person)?,
                person,
                unionid: session.unionid,
                order,
                user_if_unbound: Some(candidate),
            })
            .await?
            .ok_or(LoginError::Unbound)?;

        let id = TokenId::random().map_err(MintError::Key)?;
        let token = self.minter.mint(&binding.user, &app.id, &id, now)?;
        let app = app.id.clone();
        Ok(LoggedIn { token, expires_in: self.minter.ttl(), user: binding.user, app, new_user: binding.new })
    }

    fn code_alone<'a>(&self, request: &'a LoginRequest) -> Result<&'a LoginCode, LoginError> {
        match (&request.proof, &request.identity) {
            (Proof::Code(code), Identity::Nothing) => Ok(code),
            (Proof::Ticket(_), _) => Err(LoginError::NotAccepted("bind_ticket")),
            (_, Identity::Password(..)) => Err(LoginError::NotAccepted("password")),
            (_, Identity::Phone(_)) => Err(LoginError::NotAccepted("phone_code")),
        }
    }

    /// What it means that the code was not exchanged. A code that provably was not sent is given back, so that the same
    /// request can be made again when WeChat is there.
    async fn not_exchanged(&self, app: &App, code: &LoginCode, claim: &ClaimId, error: ExchangeError) -> LoginError {
        if matches!(error, ExchangeError::NotSent { .. })
            && let Err(error) = self.store.release_code(&app.id, code, claim).await
        {
            tracing::warn!(%error, "a login code that was not sent could not be given back");
        }
        error.into()
    }
}

fn new_claim() -> Result<ClaimId, LoginError> {
    let mut bits = [0; 16];
    rand::fill(&mut bits).map_err(|_| LoginError::NoRandomness)?;
    Ok(ClaimId::new(bits))
}

impl From<StoreError> for LoginError {
    fn from(cause: StoreError) -> Self {
        Self::StoreUnavailable { retry_after: STORE_PAUSE, cause }
    }
}

impl From<ExchangeError> for LoginError {
    fn from(error: ExchangeError) -> Self {
        match &error {
            ExchangeError::Refused { verdict, .. } => match verdict {
                Verdict::CodeInvalid => Self::CodeInvalid,
                Verdict::CodeUsed => Self::CodeUsed,
                Verdict::PersonRefused => Self::UserBlocked(error),
                Verdict::SlowDown => Self::SlowDown { retry_after: WECHAT_MINUTE },
                Verdict::Misconfigured | Verdict::OurBug => Self::Misconfigured(error),
                Verdict::Busy | Verdict::Unknown => Self::WeChatUnavailable { retry_after: WECHAT_PAUSE, cause: error },
            },
            ExchangeError::NotSent { retry_after, .. } => {
                Self::WeChatUnavailable { retry_after: *retry_after, cause: error }
            }
            ExchangeError::Unanswered { .. } => Self::WeChatUnavailable { retry_after: WECHAT_PAUSE, cause: error },
        }
    }
}
