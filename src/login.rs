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
//!
//! It has three steps: the exchange finds out who the person is, the identity finds out which user
//! the person is, and the issuance dates and signs a token.

mod account_check;
mod admission;
mod app_calls;
mod attempt;
mod bind;
mod bind_tickets;
mod binder;
mod client_tokens;
mod credentials;
mod deserted_users;
mod error;
mod exchange;
mod exchanged_login;
mod exchanger;
mod identity;
mod issuance;
mod limits;
mod login_record;
mod operator;
mod other_platforms;
mod parts;
mod phone_numbers;
mod policy;
mod request;
mod service_api;
mod session_key_actions;
mod session_keys;
mod shared_access_token;
#[cfg(test)]
mod tests;
mod token_actions;
mod user_data;
mod user_ids;

use wxmint_telemetry::Step;

pub use self::account_check::{AccountCheck, AccountCheckError};
pub use self::admission::Admission;
pub use self::app_calls::{AppCalls, check_is_mini_program_of_wechat};
pub use self::attempt::{Attempt, AuditContext};
pub use self::binder::{BindError, Binder, FreePlace, SettledState, UnionIdLink};
pub use self::client_tokens::{client_tag, is_of_client};
pub use self::credentials::Credentials;
pub use self::deserted_users::DesertedUsers;
pub use self::error::{
    AppCallError, AppRefusal, CountError, LimitReached, LoginError, NotListed, OperatorError,
    PlatformRefusal, RequestError, ServiceError, TokenActionError, Unavailable, WeChatRefusal,
};
pub use self::exchange::release_code;
use self::exchanged_login::ExchangedLogin;
pub use self::exchanger::{CodeExchanger, CodeExchangers, ComponentTokens};
pub use self::issuance::Issuance;
pub(crate) use self::limits::IP;
pub use self::limits::{DEVICE, LoginLimits, OPENID, USERNAME};
pub use self::operator::{Erased, FoundUser, Operator, ShownBinding, ShownPerson, ShownUser};
pub use self::other_platforms::OtherPlatforms;
pub use self::parts::LoginParts;
pub use self::phone_numbers::{PhoneNumberError, PhoneNumbers};
pub use self::policy::LoginPolicy;
pub use self::request::{LoggedIn, LoginProof, LoginRequest};
pub use self::service_api::{PaymentMode, ServiceApi, SignedPayment, UserSignature};
pub use self::session_key_actions::SessionKeyActions;
pub use self::shared_access_token::{AccessTokens, HeldToken, Refused, Usable, fingerprint};
pub use self::token_actions::{TokenActions, TokenHolder, issued};
pub use self::user_data::UserDataActions;
pub use self::user_ids::UserIds;

/// The result of a step of a login.
type Result<T, E = LoginError> = std::result::Result<T, E>;

/// Logs people in.
#[derive(Clone, Copy)]
pub struct LogIn<'a> {
    parts: &'a LoginParts,
}

impl<'a> LogIn<'a> {
    /// The login with the parts of a worker thread.
    pub fn of(parts: &'a LoginParts) -> Self {
        Self { parts }
    }

    /// Turns a login code into a token: one claim, one call to WeChat, one record, one signature.
    pub async fn log_in(
        &self,
        request: LoginRequest,
        attempt: &mut Attempt<'_>,
    ) -> Result<LoggedIn> {
        let admission = self.admit(request, attempt).await?;
        self.issue(admission, attempt).await
    }

    /// Finds the person who sent the code and the person's user, and checks whether the user may
    /// log in.
    pub(crate) async fn admit(
        &self,
        request: LoginRequest,
        attempt: &mut Attempt<'_>,
    ) -> Result<Admission> {
        self.parts
            .credential_check()
            .check_accepted(&request.credentials)?;
        let exchanged = self.exchange(&request, attempt).await?;
        self.parts
            .identification()
            .identify(exchanged, request.credentials, attempt)
            .await
    }

    /// The exchange: asks WeChat who sent the code, or redeems the ticket that replaces a code.
    async fn exchange(
        &self,
        request: &LoginRequest,
        attempt: &mut Attempt<'_>,
    ) -> Result<ExchangedLogin> {
        let exchanged = match &request.proof {
            LoginProof::Code(code) => {
                let apps = self.parts.apps.all();
                let app = self.parts.app_calls().choose(
                    &apps,
                    request.app.as_ref(),
                    request.app_hint.as_ref(),
                )?;
                attempt.audit_context.app = Some(app.id.clone());
                request.check_fits(app)?;
                let exchanged = self
                    .parts
                    .code_exchange()
                    .exchange(app, code, attempt)
                    .await?;
                self.parts
                    .login_recorder()
                    .record(app, exchanged, attempt)
                    .await?
            }
            LoginProof::Ticket(ticket) => {
                self.parts
                    .bind_tickets()
                    .redeem(ticket, request.app.as_ref(), attempt)
                    .await?
            }
        };
        if let Some(bound) = exchanged.bound() {
            attempt.audit_context.user = Some(bound.user.clone());
        }
        // Without credentials, a ticket would only buy the next ticket.
        if matches!(
            (&request.proof, &request.credentials),
            (LoginProof::Ticket(_), Credentials::Nothing)
        ) {
            return Err(LoginError::TicketInvalid);
        }
        Ok(exchanged)
    }

    /// The issuance: dates a token for the app, and signs it.
    async fn issue(&self, admission: Admission, attempt: &Attempt<'_>) -> Result<LoggedIn> {
        let Admission {
            exchanged,
            bound,
            extra,
        } = admission;
        let new_user = bound.new_for == Some(attempt.id.mark());
        let issuance = self.parts.issuance();
        let issued = issuance.date_for_app(&exchanged, bound, attempt).await?;
        self.parts
            .app_calls()
            .check_still_served(&exchanged.person.app)?;
        let _signing = Step::work("sign the token");
        let token = self.parts.minter.mint(&issued, &extra, attempt.now)?;
        Ok(LoggedIn {
            token,
            expires_in: issuance.expires_in(&issued, attempt.now),
            user: issued.user,
            app: issued.app,
            new_user,
        })
    }
}
