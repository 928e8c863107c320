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

mod account_check;
mod admission;
mod app_calls;
mod attempt;
mod bind;
mod binder;
mod client_tokens;
mod credentials;
mod error;
mod exchange;
mod exchanged_login;
mod issuance;
mod limits;
mod login_record;
mod operator;
mod phone_numbers;
mod request;
mod service_api;
mod shared_access_token;
#[cfg(test)]
mod tests;
mod token_actions;
mod user_data;
mod user_ids;
mod worker;

use wxmint_ids::{LoginCode, Person, is_code_of_wechat};
use wxmint_keys::vault::Sealed;
use wxmint_store::{AttemptId, Bound, Claim, ExchangeTimestamp, Generation, LoginRecord, Recorded};
use wxmint_telemetry::Step;
use wxmint_wechat::{App, CallError, Session, SessionKey};

pub use self::admission::Admission;
pub use self::attempt::{Attempt, AuditContext};
use self::binder::is_settled;
pub use self::binder::{Binder, FreePlace, SettledState, UnionIdLink};
pub use self::client_tokens::{client_tag, is_of_client};
pub use self::credentials::Credentials;
pub use self::error::{LoginError, Result};
pub use self::exchange::CodeExchanger;
use self::exchanged_login::ExchangedLogin;
use self::issuance::binding_tag;
pub(crate) use self::limits::IP;
pub use self::limits::{DEVICE, OPENID, USERNAME};
pub use self::operator::{Erased, FoundUser, Operator, ShownBinding, ShownPerson, ShownUser};
pub use self::request::{LoggedIn, LoginProof, LoginRequest};
pub use self::service_api::UserSignature;
pub use self::shared_access_token::{AccessTokens, HeldToken, Refused, Usable, fingerprint};
pub use self::token_actions::{TokenHolder, issued};
pub use self::user_ids::UserIds;
pub use self::worker::{LoginPolicy, LoginWorker};
use crate::accounts::Accepts;

impl LoginWorker {
    /// Turns a login code into a token: one claim, one call to WeChat, one record, one signature.
    pub async fn log_in(
        &self,
        request: LoginRequest,
        attempt: &mut Attempt<'_>,
    ) -> Result<LoggedIn> {
        let Admission {
            exchanged,
            bound,
            extra,
        } = self.admit(request, attempt).await?;
        let id = self.minter.token_id(
            &binding_tag(&exchanged.person, bound.generation),
            attempt.now,
        )?;
        let new_user = bound.new_for == Some(attempt.id.mark());
        // A user with a computed id may have existed before, so a revocation may cover this token.
        let was_made = new_user && bound.generation != Generation::Computed;
        let issued = self
            .date(
                &exchanged,
                (bound.user, bound.generation),
                id,
                was_made,
                attempt.now,
            )
            .await?;
        if self.exchange.is_some() {
            // If the merchant left during this login, the sweep that revokes its tokens missed this
            // one: check again.
            self.choose(&self.apps.all(), Some(&exchanged.person.app), None)?;
        }
        let _signing = Step::work("sign the token");
        let token = self.minter.mint(&issued, &extra, attempt.now)?;
        // The token's dates come from the clock of Redis, which may be behind.
        let left = u64::try_from(issued.expires_at - attempt.now.timestamp().max(issued.issued_at))
            .unwrap_or_default();
        let expires_in = left.min(self.minter.ttl().as_secs());
        Ok(LoggedIn {
            token,
            expires_in,
            user: issued.user,
            app: issued.app,
            new_user,
        })
    }

    /// Finds the person who sent the code and the person's user, and checks whether the user may
    /// log in.
    pub(crate) async fn admit(
        &self,
        request: LoginRequest,
        attempt: &mut Attempt<'_>,
    ) -> Result<Admission> {
        self.check_accepted(&request.credentials)?;
        let exchanged = match &request.proof {
            LoginProof::Code(code) => {
                let apps = self.apps.all();
                let app = self.choose(&apps, request.app.as_ref(), request.app_hint.as_ref())?;
                attempt.audit_context.app = Some(app.id.clone());
                if !is_code_of_wechat(code.as_str()) {
                    return Err(LoginError::CodeInvalid);
                }
                if matches!(request.credentials, Credentials::Phone(_))
                    && !app.kind.has_session_keys()
                {
                    return Err(LoginError::NoSessionKeys);
                }
                let place = self.wechat.place_for(attempt.address)?;
                let order = self.claim(app, code, attempt).await?;
                let session = self.exchange(app, code, &attempt.id).await?;
                drop(place);
                self.record(app, session, order, attempt).await?
            }
            LoginProof::Ticket(ticket) => {
                self.redeem(ticket, request.app.as_ref(), attempt).await?
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
        let known = exchanged.bound().and_then(|bound| bound.unionid.as_ref());
        if exchanged.unionid.as_ref().or(known).is_none()
            && self
                .ids
                .need_unionid(&exchanged.person.app, &self.apps.all())
        {
            return Err(LoginError::UnionIdMissing);
        }
        let (candidate, extra) = self
            .identify(&exchanged, request.credentials, attempt)
            .await?
            .unzip();
        // A settled binding needs no further call. The future of the calls is boxed, so that this
        // one stays small.
        let is_settled =
            |bound: &&Bound| candidate.is_none() && is_settled(bound, exchanged.unionid.as_ref());
        let bound = match exchanged.bound().filter(is_settled) {
            Some(bound) => bound.clone(),
            None => Box::pin(self.bind(&exchanged, candidate, attempt)).await?,
        };
        let extra = self.allow(&bound, extra).await?;
        if exchanged.kept_for != Some(bound.generation) {
            self.store
                .keep_session_key(
                    &exchanged.person,
                    bound.generation,
                    &exchanged.key,
                    Some(exchanged.at),
                )
                .await?;
        }
        Ok(Admission {
            exchanged,
            bound,
            extra,
        })
    }

    /// The first round trip counts the address and claims the code, so that no other request can
    /// use it.
    async fn claim(
        &self,
        app: &App,
        code: &LoginCode,
        attempt: &Attempt<'_>,
    ) -> Result<ExchangeTimestamp> {
        self.ids.agreement.ask_first(&self.store).await?;
        self.ids.agreement.check_agreed()?;
        self.minter.check(attempt.now)?;
        self.note_life().await?;
        let claim = match self.exchange_of(app) {
            None => {
                self.store
                    .claim_code(&app.id, code, &attempt.id, &self.meter_of(attempt.address))
                    .await?
            }
            Some(other) => other.claim(self, app, code, attempt).await?,
        };
        match claim {
            Claim::Granted(order) => Ok(order),
            Claim::Taken => Err(LoginError::CodeUsed),
            Claim::Limited(refused) => Err(LoginError::TooMany { limit: IP, refused }),
        }
    }

    /// Exchanges the code at WeChat. If the code was provably not sent, it is released, so that the
    /// client can send it again.
    async fn exchange(&self, app: &App, code: &LoginCode, attempt: &AttemptId) -> Result<Session> {
        let session = match self.exchange_of(app) {
            None => self
                .wechat
                .exchange(app, code)
                .await
                .map_err(|error| LoginError::from(error).of(&app.id)),
            Some(other) => other.exchange(self, app, code, attempt).await,
        };
        if let Err(LoginError::WeChatUnavailable(CallError::NotSent { .. })) = session {
            self.give_back(app, code, attempt).await;
        }
        session
    }

    pub(crate) async fn give_back(&self, app: &App, code: &LoginCode, attempt: &AttemptId) {
        if let Err(error) = self.store.release_code(&app.id, code, attempt).await {
            tracing::warn!(%error, "a login code that was not sent could not be given back");
        }
    }

    /// The second round trip counts the person, finds the binding, and stores the session key
    /// beside it.
    async fn record(
        &self,
        app: &App,
        session: Session,
        order: ExchangeTimestamp,
        attempt: &mut Attempt<'_>,
    ) -> Result<ExchangedLogin> {
        let person = Person {
            app: app.id.clone(),
            openid: session.openid,
        };
        attempt.audit_context.person = Some(person.clone());
        let has_credentials = self.accounts.accepts() != Accepts::Nothing;
        let seal = |key: &SessionKey| self.vault.load_full().seal(key.expose(), &person);
        let mut record = LoginRecord {
            session_key: session
                .session_key
                .as_ref()
                .map_or_else(Sealed::nothing, seal),
            if_unbound: self
                .ids
                .if_unbound(&person, session.unionid.as_ref(), has_credentials)?,
            person,
            order,
            rate: self.policy.limit_openid,
        };
        let recorded = self
            .record_login(&mut record, session.unionid.as_ref(), attempt)
            .await?;
        let (state, at, may_be_ended, kept_for) = match recorded {
            Recorded::Counted {
                state,
                at,
                may_be_ended,
                kept_for,
            } => (state, at, may_be_ended, kept_for),
            Recorded::Limited(refused) => {
                return Err(LoginError::TooMany {
                    limit: OPENID,
                    refused,
                });
            }
            Recorded::Unbound => return Err(LoginError::Contended),
            Recorded::OtherUser => return Err(self.other_user(&record.person, attempt).await?),
        };
        // A later revocation of a person who is on no list cannot know that Redis' clock was ahead.
        // Use the earlier clock.
        let began = if self.ids.need_no_list() {
            attempt.now.min(at)
        } else {
            at
        };
        let LoginRecord {
            person,
            order,
            session_key,
            ..
        } = record;
        Ok(ExchangedLogin {
            person,
            unionid: session.unionid,
            state,
            key: (order, session_key),
            kept_for,
            at: began,
            may_be_ended: may_be_ended || began.timestamp() < at.timestamp(),
        })
    }
}
