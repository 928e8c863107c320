//! Logins at merchants' apps by the platform's token, and the tokens of the platform and of its
//! merchants.

use std::{cell::Cell, time::Duration};

use async_trait::async_trait;
use futures_util::future::join;
use wxmint_ids::{AppId, LoginCode};
use wxmint_keys::vault::Sealed;
use wxmint_store::limits::{LimitError, Rate};
use wxmint_store::{AttemptId, Claim, Codes, RateLimitKey, StoreError};
use wxmint_wechat::{App, ByToken, CallError, FetchedAccessToken, RefreshToken, Session, Verdict};
use zeroize::Zeroizing;

use super::ThirdPartyPlatform;
use super::known::{
    COUNTED, Merchant, MerchantState, REFUSAL, Refusal, entry_of, refused_of, trouble_of,
};
use super::store::{Expected, PlatformEntry, note_entry};
use crate::clock::now;
use crate::login::{
    AccessTokens, AppCallError, AppRefusal, Attempt, CodeExchanger, ComponentTokens, HeldToken, IP,
    LoginLimits, Refused, Unavailable, WeChatRefusal, fingerprint, release_code,
};

/// How often a token that WeChat has refused is replaced. The limits keep the wait for the next
/// replacement short.
const REPLACED: [Rate; 2] = [
    Rate {
        burst: 3,
        period: Duration::from_secs(30),
    },
    Rate {
        burst: 6,
        period: Duration::from_mins(10),
    },
];
/// How often a report of the same token counts.
const REPORTED: Rate = Rate {
    burst: 1,
    period: Duration::from_secs(10),
};
/// How often WeChat is asked again for a token after it has refused one for the same ticket.
const ASKED_AGAIN: Rate = Rate {
    burst: 1,
    period: Duration::from_secs(30),
};
/// The limit of an address at all merchants together, as a multiple of its limit at one merchant.
const AT_ALL_MERCHANTS: u32 = 10;

#[async_trait(?Send)]
impl CodeExchanger for ThirdPartyPlatform {
    fn apps_are_unread(&self) -> Option<AppCallError> {
        if self.known().is_compared {
            return None;
        }
        let why = self.refusal().unwrap_or_else(|| {
            not_yet("WeChat was not asked yet for the merchants of the platform")
        });
        Some(AppCallError::from(why).of(&self.component.id))
    }

    /// Counts the address at this merchant and over all merchants, and claims the code. The count
    /// at one merchant keeps a burst at one merchant from affecting the others.
    async fn claim(
        &self,
        codes: &Codes,
        limits: &LoginLimits<'_>,
        app: &App,
        code: &LoginCode,
        by: &Attempt<'_>,
    ) -> Result<Claim, StoreError> {
        let rate = limits.policy.limit_ip;
        let meter = RateLimitKey::new(IP, format!("{} {}", by.address, app.id), rate);
        let rate = Rate {
            burst: rate.burst.saturating_mul(AT_ALL_MERCHANTS),
            ..rate
        };
        let all = RateLimitKey::new(IP, format!("{} *", by.address), rate);
        let claiming = codes.claim(&app.id, code, &by.id, &meter);
        let (counted, claimed) = join(limits.rates.count(&all), claiming).await;
        let claim = claimed?;
        if !matches!(claim, Claim::Granted(_)) {
            if let Ok(counted) = counted {
                // A login that the limit of one merchant refuses does not count against the limit
                // of all merchants.
                limits.rates.uncount(&all, counted).await?;
            }
            return Ok(claim);
        }
        let Err(error) = counted else {
            return Ok(claim);
        };
        codes.release(&app.id, code, &by.id).await?;
        match error {
            LimitError::TooMany(refused) => Ok(Claim::Limited(refused)),
            LimitError::Store(error) => Err(error),
        }
    }

    async fn exchange(
        &self,
        tokens: &AccessTokens<'_>,
        code: &LoginCode,
        attempt: &AttemptId,
    ) -> Result<Session, AppCallError> {
        let sent = Cell::new(false);
        let ask = async |by: ByToken<'_>| {
            sent.set(true);
            by.exchange_for(tokens.app, code).await
        };
        let exchanged = tokens.by_component(self, ask).await;
        if let Err(AppCallError::App(AppRefusal::Unknown(_))) = exchanged {
            self.compare_soon.notify_one(); // WeChat's push of the withdrawal may have been lost
        }
        if !sent.get() {
            release_code(&tokens.store.codes, &tokens.app.id, code, attempt).await;
        }
        exchanged.map_err(|error| error.of(&self.component.id))
    }

    fn tokens(&self) -> Option<&dyn ComponentTokens> {
        Some(self)
    }
}

#[async_trait(?Send)]
impl ComponentTokens for ThirdPartyPlatform {
    fn own_app(&self) -> &App {
        &self.component
    }

    fn held(&self) -> &HeldToken {
        &self.token
    }

    fn refusal(&self) -> Option<CallError> {
        self.known().refusal.as_ref().map(Refusal::error)
    }

    /// Fetches a token of the component or of a merchant. Each fetch gives a new token, so
    /// replacements of refused tokens are limited.
    async fn fetch(
        &self,
        tokens: &AccessTokens<'_>,
        refused: Option<&Refused>,
    ) -> Result<FetchedAccessToken, AppCallError> {
        let counted = match refused {
            Some(Refused {
                by_force: false, ..
            }) => tokens.may_force("", REPLACED).await?,
            _ => Vec::new(),
        };
        let is_own = tokens.app.id == self.component.id;
        let fetched = if is_own {
            tokens.component_token(self).await
        } else {
            tokens.merchant_token(self).await
        };
        if fetched.is_err() {
            // A fetch without a token does not count.
            tokens.uncount(counted).await?;
        }
        fetched
    }

    /// Counts a peer's report of a refused token. A peer that reports every token does not keep
    /// others from fetching one.
    async fn count_report(
        &self,
        tokens: &AccessTokens<'_>,
        refused: &str,
    ) -> Result<(), AppCallError> {
        if fingerprint(&tokens.obtain(None).await?.token) == refused {
            // Several reports of the same token count once.
            let report = RateLimitKey::of_app(&tokens.app.id, COUNTED, refused, REPORTED);
            let counted = tokens.may_force("peer:", REPLACED).await?;
            match tokens.store.limits.count(&report).await {
                Ok(_) => {}
                Err(LimitError::TooMany(_)) => tokens.uncount(counted).await?,
                Err(LimitError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Stores that WeChat refuses calls for a merchant until something changes there, for `wxmint
    /// platform apps` and the doctor. If the refresh token is stale, has WeChat's list compared,
    /// which has the valid one.
    async fn note_error(&self, tokens: &AccessTokens<'_>, error: &AppCallError) {
        let (AppCallError::WeChat(WeChatRefusal::NotPermitted(told))
        | AppCallError::Unavailable(Unavailable::WeChat(told))) = error
        else {
            return;
        };
        let CallError::Refused {
            errcode,
            verdict: Verdict::NotPermitted | Verdict::StaleRefreshToken,
            ..
        } = told
        else {
            return;
        };
        let known = self.known();
        let app = tokens.app;
        let merchant = known
            .merchants
            .get(&app.id)
            .filter(|merchant| merchant.trouble != Some(*errcode));
        let Some(merchant) = merchant else { return };
        let (name, trouble) = trouble_of(&app.id, &merchant.entry, *errcode);
        tokens.note(self, &name, &trouble, Expected::NotLater).await;
        tracing::warn!(app = %app.id, %error, "WeChat refuses calls for a merchant");
        if matches!(error, AppCallError::Unavailable(_)) {
            self.compare_soon.notify_one();
        }
    }
}

impl AccessTokens<'_> {
    async fn component_token(
        &self,
        platform: &ThirdPartyPlatform,
    ) -> Result<FetchedAccessToken, AppCallError> {
        let component = &platform.component;
        let known = platform.known();
        let ticket = known
            .ticket
            .as_ref()
            .ok_or_else(|| not_yet("no ticket of the platform has come"))?;
        let at = ticket.at;
        let sealed = Sealed::from_stored(ticket.value.clone());
        if let Some(refusal) = known
            .refusal
            .as_ref()
            .filter(|refusal| refusal.of_ticket == at)
        {
            let meter = RateLimitKey::of_app(&component.id, COUNTED, REFUSAL, ASKED_AGAIN);
            match self.store.limits.count(&meter).await {
                Ok(_) => {}
                Err(LimitError::TooMany(_)) => return Err(refusal.error().into()),
                Err(LimitError::Store(error)) => return Err(error.into()),
            }
        }
        let ticket = self.opened(&sealed, &component.id, "the platform's ticket")?;
        let fetched = self.wechat.component_token(component, &ticket).await;
        let refusal = fetched
            .as_ref()
            .err()
            .and_then(|error| Refusal::of(error, at));
        if (refusal.is_some() || fetched.is_ok()) && refusal != known.refusal {
            let new = refusal.map_or(
                PlatformEntry {
                    at,
                    value: Vec::new(),
                },
                |refusal| refusal.entry(),
            );
            self.note(platform, REFUSAL, &new, Expected::NotLater).await;
        }
        Ok(fetched?)
    }

    /// Makes a call about this merchant with the platform's token. If WeChat has refused even a new
    /// token for this merchant, no token is replaced for it for some time, because the other
    /// merchants share WeChat's limit.
    async fn by_component<T>(
        &self,
        platform: &ThirdPartyPlatform,
        call: impl AsyncFn(ByToken<'_>) -> Result<T, CallError>,
    ) -> Result<T, AppCallError> {
        let may_replace = !platform.known().refuses_new_tokens(&self.app.id, now());
        let called = AccessTokens {
            app: &platform.component,
            may_replace,
            ..self.clone()
        }
        .with(call)
        .await;
        if may_replace
            && let Err(
                AppCallError::Unavailable(Unavailable::WeChat(error))
                | AppCallError::WeChat(WeChatRefusal::Misconfigured { error, .. }),
            ) = &called
            && error.verdict() == Some(Verdict::BadAccessToken)
        {
            tracing::warn!(app = %self.app.id, %error, "WeChat refuses a new token of the platform for a merchant");
            let (name, refused) = refused_of(&self.app.id, now());
            self.note(platform, &name, &refused, Expected::NotLater)
                .await;
        }
        called
    }

    async fn merchant_token(
        &self,
        platform: &ThirdPartyPlatform,
    ) -> Result<FetchedAccessToken, AppCallError> {
        let known = platform.known();
        let app = self.app;
        let Some(Merchant {
            state: MerchantState::In(kind, sealed),
            entry,
            ..
        }) = known.merchants.get(&app.id)
        else {
            return Err(not_yet("the merchant has left").into());
        };
        let opened = self.opened(sealed, &app.id, "a merchant's refresh token");
        let refresh: RefreshToken = opened.inspect_err(|_| platform.compare_soon.notify_one())?;
        let ask = async |by: ByToken<'_>| by.authorizer_token(app, &refresh).await;
        if refresh.expose().is_empty() {
            return Err(not_yet("the merchant has given the platform no refresh token").into());
        }
        let access = Box::pin(self.by_component(platform, ask)).await?;
        if let Some(renewed) = access
            .refresh_token
            .as_ref()
            .filter(|new| new.expose() != refresh.expose())
        {
            let sealed = self.vault.seal(renewed.expose(), &app.id);
            let state = MerchantState::In(*kind, sealed);
            let new = state.entry(entry.at);
            match self
                .note(
                    platform,
                    &entry_of(&app.id),
                    &new,
                    Expected::This(Some(entry)),
                )
                .await
            {
                true => platform.learn_merchant(&app.id, entry, &state, &new),
                false => platform.compare_soon.notify_one(),
            }
        }
        Ok(access)
    }

    /// Writes an entry of the platform. Returns whether the store has answered.
    async fn note(
        &self,
        platform: &ThirdPartyPlatform,
        entry: &str,
        new: &PlatformEntry,
        expected: Expected<'_>,
    ) -> bool {
        let noted = note_entry(
            self.store,
            &platform.component.id,
            entry,
            new,
            expected,
            None,
        )
        .await;
        noted
            .inspect_err(
                |error| tracing::warn!(entry, %error, "news of the platform could not be noted"),
            )
            .is_ok()
    }

    pub(super) fn opened<T: From<Zeroizing<String>>>(
        &self,
        sealed: &Sealed,
        of: &AppId,
        what: &str,
    ) -> Result<T, AppCallError> {
        let opened = self.vault.open(sealed, of).map(T::from);
        opened.map_err(|error| not_yet(&format!("{what} does not open: {error}")).into())
    }
}

/// The error of a call that was not sent, because something is missing that WeChat's next push
/// brings.
fn not_yet(reason: &str) -> CallError {
    CallError::NotSent {
        reason: reason.to_owned(),
        retry_after: Duration::from_secs(2),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use wxmint_wechat::{AppExchanger, AppKind};

    use super::*;
    use crate::apps::{AppsSource, CurrentApps};
    use crate::doors::platform::known::COMPARED;
    use crate::doors::platform::test_fixture::{Bed, app};
    use crate::login::{
        AuditContext, Credentials, LoginError, LoginPolicy, LoginProof, LoginRequest, RequestError,
    };

    #[actix_web::test]
    async fn before_the_list_is_compared_a_login_hears_why_the_platform_has_no_token() {
        let bed = Bed::start().await;
        let unread = || bed.platform.apps_are_unread();
        let is_unasked = |error| {
            matches!(
                error,
                Some(AppCallError::Unavailable(Unavailable::WeChat(
                    CallError::NotSent { .. }
                )))
            )
        };
        assert!(is_unasked(unread()));
        let stranger = app(9);
        let apps = |ids: &[usize]| {
            let known = ids.iter().map(|id| App {
                id: app(*id),
                kind: AppKind::MiniProgram,
                exchanger: AppExchanger::Component(bed.platform.component.id.clone()),
            });
            CurrentApps::read(AppsSource::Given(known.collect()))
                .expect("apps")
                .all()
        };
        for (known, hint, is_unread) in [
            (&[][..], None, true),
            (&[1, 2], None, false),
            (&[1, 2], Some(&stranger), true),
        ] {
            let refused = bed
                .login
                .app_calls()
                .choose(&apps(known), None, hint)
                .expect_err("none is named");
            assert_eq!(
                matches!(refused, AppCallError::Unavailable(Unavailable::WeChat(_))),
                is_unread,
                "{known:?} {hint:?}"
            );
        }
        let at = now().timestamp();
        bed.note(
            REFUSAL,
            at,
            b"61004 access clientip is not registered requestIP: 203.0.113.7",
        )
        .await;
        let Some(AppCallError::WeChat(WeChatRefusal::Misconfigured { error, app })) = unread()
        else {
            panic!("{:?}", unread())
        };
        assert!(
            error.to_string().contains("61004") && app == Some(bed.platform.component.id.clone()),
            "{error}"
        );
        bed.note(REFUSAL, at, b"").await;
        assert!(is_unasked(unread()));
        bed.note(COMPARED, 0, b"1").await;
        assert!(unread().is_none());
    }

    /// WeChat refuses each token for the app with this number, and refuses the tokens in `dead` for
    /// all apps.
    fn refuses(bed: &Bed, number: usize, dead: &'static [&'static str]) {
        bed.wechat.says(move |request| {
            let is_exchange = request.contains("/sns/component/jscode2session");
            let is_of_app = request.contains(app(number).as_str());
            let is_dead = dead.iter().any(|token| request.contains(token));
            let refusal: Value = json!({"errcode": 40001, "errmsg": "invalid credential"});
            (is_exchange && (is_of_app || is_dead)).then_some(refusal)
        });
    }

    /// Nothing would revoke such a token: the walks over the merchant's persons have not found this
    /// login.
    #[actix_web::test]
    async fn a_login_that_is_under_way_while_its_merchant_leaves_gets_no_token() {
        let bed = Bed::start().await;
        bed.note(COMPARED, 0, b"1").await;
        let merchant = App {
            id: app(1),
            kind: AppKind::MiniProgram,
            exchanger: AppExchanger::Component(bed.platform.component.id.clone()),
        };
        bed.issuer.apps.from_elsewhere_are([merchant]);
        let log_in = async |code: &str| {
            let mut audit_context = AuditContext::default();
            let mut attempt = Attempt {
                id: AttemptId::random(),
                address: "192.0.2.1",
                audit_context: &mut audit_context,
                now: now(),
            };
            let request = LoginRequest {
                app: Some(app(1)),
                app_hint: None,
                proof: LoginProof::Code(code.parse().expect("a code")),
                credentials: Credentials::Nothing,
            };
            bed.login.log_in().log_in(request, &mut attempt).await
        };
        log_in("0123456789abcdef0123456789abcde0")
            .await
            .expect("a token");
        let apps = Arc::clone(&bed.issuer.apps);
        bed.wechat.says(move |request| {
            if request.contains("/sns/component/jscode2session") {
                apps.from_elsewhere_are([]);
            }
            None
        });
        let refused = log_in("0123456789abcdef0123456789abcde1").await;
        assert!(
            matches!(
                refused,
                Err(LoginError::Request(RequestError::App(AppRefusal::Unknown(
                    _
                ))))
            ),
            "{refused:?}"
        );
    }

    /// The mini program repeats it after `Retry-After`.
    #[actix_web::test]
    async fn a_code_that_the_limit_over_all_merchants_refuses_stays_unused() {
        let bed = Bed::start().await;
        let policy = LoginPolicy {
            limit_ip: Rate {
                burst: 1,
                period: Duration::from_mins(10),
            },
            ..bed.login.policy
        };
        let limits = LoginLimits {
            policy: &policy,
            ..bed.login.limits()
        };
        let claim = async |number: u32, address| {
            let mut audit_context = AuditContext::default();
            let attempt = Attempt {
                id: AttemptId::random(),
                address,
                audit_context: &mut audit_context,
                now: now(),
            };
            let merchant = App {
                id: app(number as usize),
                kind: AppKind::MiniProgram,
                exchanger: AppExchanger::Component(bed.platform.component.id.clone()),
            };
            let code = format!("0123456789abcdef0123456789ab{number:04}");
            let code = code.parse().expect("a code");
            let codes = &bed.login.store.codes;
            let claim = bed
                .platform
                .claim(codes, &limits, &merchant, &code, &attempt);
            claim.await.expect("an answer")
        };
        for number in 0..AT_ALL_MERCHANTS {
            assert!(matches!(
                claim(number, "192.0.2.1").await,
                Claim::Granted(_)
            ));
        }
        for address in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            let claimed = claim(AT_ALL_MERCHANTS, address).await;
            let is_right = match address {
                "192.0.2.1" => matches!(claimed, Claim::Limited(_)),
                _ => matches!(claimed, Claim::Granted(_)),
            };
            assert!(is_right, "{address}: {claimed:?}");
        }
    }

    #[actix_web::test]
    async fn one_merchants_refusals_leave_the_others_what_replaces_a_token_that_dies() {
        let bed = Bed::start().await;
        let code: LoginCode = "0123456789abcdef0123456789abcdef".parse().expect("a code");
        let log_in = async |number: usize| {
            let merchant = App {
                id: app(number),
                kind: AppKind::MiniProgram,
                exchanger: AppExchanger::Component(bed.platform.component.id.clone()),
            };
            let attempt = AttemptId::random();
            let tokens = bed.login.app_calls();
            let tokens = tokens.access_tokens(&merchant);
            let session = bed.platform.exchange(&tokens, &code, &attempt).await;
            bed.follow().await;
            session
        };
        let fetched = || bed.wechat.asked("api_component_token");
        log_in(1).await.expect("a session");
        refuses(&bed, 2, &[]);
        for _ in 0..10 {
            log_in(2).await.expect_err("refused");
            log_in(1).await.expect("a session");
        }
        assert_eq!(fetched(), 2, "one token more, which was refused too");
        refuses(&bed, 2, &["component-token-2-"]);
        log_in(2).await.expect_err("refused");
        log_in(1).await.expect("a session, by the third token");
        assert_eq!(fetched(), 3);
    }
}
