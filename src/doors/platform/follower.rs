//! The background work for a platform: it follows WeChat's pushes, WeChat's list of merchants, and
//! what other replicas have stored.

use std::{cell::RefCell, collections::HashSet, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use wxmint_ids::AppId;
use wxmint_store::limits::{LimitError, Rate};
use wxmint_store::{RateLimitKey, StoreError};
use wxmint_wechat::CallError;

use super::ThirdPartyPlatform;
use super::deauthorize::{Left, MOST_WALKS};
use super::known::{COUNTED, code_of, digest_of, done_code};
use super::store::{Expected, PlatformEntry, PlatformState, entries};
use crate::login::{AppCallError, AppRefusal, LoginParts, Unavailable, WeChatRefusal};
use crate::{clock::now, issuer::Issuer};

/// How often the store is asked whether something has changed.
const FOLLOWED_EVERY: Duration = Duration::from_millis(250);
/// The pause after the store could not be read, or lost entries could not be restored.
const UNREAD_PAUSE: Duration = Duration::from_secs(1);
/// How often WeChat is asked for the list of merchants, in seconds.
const COMPARED_EVERY: i64 = 3600;
/// How often the list is compared at most, for all replicas together, even if WeChat refuses or
/// does not answer.
const COMPARED_AT_MOST: Rate = Rate {
    burst: 1,
    period: Duration::from_secs(30),
};
/// The pause after WeChat has refused to list the merchants.
const COMPARED_AFTER_REFUSAL: Duration = Duration::from_mins(5);
/// How often WeChat is asked whether it gives the platform a token again.
const REFUSED_ASKS_AGAIN: Duration = Duration::from_secs(30);
/// After how many seconds without a ticket an operator is warned. WeChat sends a ticket every ten
/// minutes, and a ticket is valid for twelve hours.
const TICKET_IS_LATE: i64 = 30 * 60;
/// After how many seconds a code is abandoned if WeChat could not be asked about it. The list of
/// merchants replaces it.
const CODE_LIVES: i64 = 3600;
/// How often a code is worked on, for all replicas together. If one replica fails, another tries
/// later.
const TRIED: Rate = Rate {
    burst: 1,
    period: Duration::from_secs(10),
};
const TOLD_AT_ONCE: usize = 32;

/// Follows the platform's state in the store, and does the work for its merchants.
pub(super) async fn follow(platform: Arc<ThirdPartyPlatform>, issuer: Arc<Issuer>) {
    let Ok(login) = issuer.login_parts() else {
        return;
    };
    let follower = Rc::new(Follower::new(login, platform, issuer));
    actix_web::rt::spawn(Rc::clone(&follower).compare_now_and_then());
    actix_web::rt::spawn(Rc::clone(&follower).ask_again_while_refused());
    let mut interval = actix_web::rt::time::interval(FOLLOWED_EVERY);
    let mut compared_at = DateTime::<Utc>::MIN_UTC;
    loop {
        interval.tick().await;
        if let Err(error) = follower.read().await {
            bounded!(warn, "platform not followed", %error, "the merchants of the platform are not followed");
            actix_web::rt::time::sleep(UNREAD_PAUSE).await;
        }
        // The range also covers a clock that has stepped back.
        if !(0..COMPARED_EVERY).contains(&(now() - compared_at).num_seconds()) {
            compared_at = now();
            follower.platform.compare_soon.notify_one();
        }
        follower.warn();
        follower.work();
    }
}

/// The part of a process that works for a platform.
pub(super) struct Follower {
    pub(super) login: LoginParts,
    pub(super) platform: Arc<ThirdPartyPlatform>,
    issuer: Arc<Issuer>,
    /// The codes that are being worked on, each as app and digest of its entry.
    at_work: RefCell<HashSet<String>>,
    /// The merchants whose tokens are being revoked, here or at another replica.
    pub(super) leaving: RefCell<Left>,
    pub(super) walks: Semaphore,
}

impl Follower {
    pub(super) fn new(
        login: LoginParts,
        platform: Arc<ThirdPartyPlatform>,
        issuer: Arc<Issuer>,
    ) -> Self {
        Self {
            login,
            platform,
            issuer,
            at_work: RefCell::default(),
            leaving: RefCell::default(),
            walks: Semaphore::new(MOST_WALKS),
        }
    }

    /// Reads the changed entries. Entries that the store has lost, as by a failover, are still
    /// known here, and are written again.
    async fn read(&self) -> Result<(), StoreError> {
        let known = self.platform.known();
        let news = entries(
            &self.login.store,
            &self.platform.component.id,
            known.version,
        )
        .await?;
        let Some(mut state) = news.or_else(|| (!known.is_read).then(PlatformState::default)) else {
            return Ok(());
        };
        let lost = known.lost(&state);
        state.entries.extend(lost.iter().cloned());
        if !lost.is_empty() {
            state.version = known.version; // read again until nothing is lost
        }
        self.issuer
            .apps
            .from_elsewhere_are(self.platform.learn(state).apps(&self.platform.component.id));
        self.issuer.metrics.apps_are(
            self.issuer
                .apps
                .all()
                .iter()
                .map(|app| (app.id.clone(), app.kind.name())),
        );
        if !lost.is_empty() {
            let entries = lost.len();
            bounded!(
                warn,
                "entries lost",
                entries,
                "the store had lost something of the platform: it is told again"
            );
            let told = lost
                .iter()
                .map(async |(entry, new)| self.note(entry, new, Expected::NotLater).await);
            let told: Vec<_> = stream::iter(told)
                .buffer_unordered(TOLD_AT_ONCE)
                .collect()
                .await;
            for is_noted in told {
                is_noted?;
            }
        }
        Ok(())
    }

    fn warn(&self) {
        let known = self.platform.known();
        let ticket = known
            .ticket
            .as_ref()
            .map(|ticket| now().timestamp() - ticket.at);
        self.platform
            .ticket_age
            .set(ticket.map_or(f64::INFINITY, |age| age as f64));
        let opens = known.ticket_opens(&self.login.vault.load(), &self.platform.component.id);
        let warning = match ticket {
            _ if known.refusal.is_some() => {
                Some("WeChat gives the platform no token: `wxmint doctor` says why")
            }
            _ if !opens => Some(
                "no ticket of the platform has come, or no vault key opens it: run wxmint platform start-push",
            ),
            _ if !known.is_compared => {
                Some("the platform awaits WeChat's list of merchants: see `wxmint doctor`")
            }
            Some(age) if age > TICKET_IS_LATE => Some(
                "the platform's last ticket is more than 30 minutes old: run wxmint platform start-push",
            ),
            _ => None,
        };
        let refusal = known.refusal.as_ref().map(tracing::field::display);
        match (self.issuer.readiness.warns("platform", warning), warning) {
            (true, Some(warning)) => tracing::warn!(refusal, "{warning}"),
            (true, None) => tracing::info!("merchants of the platform can log in"),
            (false, _) => {}
        }
    }

    /// Handles each merchant that has authorised the platform, in a task of its own, and revokes
    /// the tokens at merchants that have left.
    fn work(self: &Rc<Self>) {
        let known = self.platform.known();
        for (app, code) in &known.codes {
            let change = format!("{app} {}", digest_of(code));
            if self.at_work.borrow_mut().insert(change.clone()) {
                let follower = Rc::clone(self);
                let app = app.clone();
                let code = code.clone();
                actix_web::rt::spawn(async move {
                    if let Err(error) = follower.let_in(&app, &code).await {
                        bounded!(warn, app.as_str(), app = %app, %error, "a merchant is not let in yet");
                    }
                    follower.at_work.borrow_mut().remove(&change);
                });
            }
        }
        self.revoke_of_leaving();
    }

    async fn let_in(&self, app: &AppId, code: &PlatformEntry) -> Result<(), AppCallError> {
        let meter = RateLimitKey::of_app(app, COUNTED, digest_of(code), TRIED);
        match self.login.store.limits.count(&meter).await {
            Ok(_) => {}
            Err(LimitError::TooMany(later)) => {
                actix_web::rt::time::sleep(later.retry_after).await;
                return Ok(());
            }
            Err(LimitError::Store(error)) => return Err(error.into()),
        }
        let asked = self.ask_about(app, code).await;
        if now().timestamp() - code.at > CODE_LIVES || asked.as_ref().is_err_and(is_spent) {
            self.note(
                &code_of(app),
                &done_code(code, None),
                Expected::This(Some(code)),
            )
            .await?;
            self.platform.compare_soon.notify_one();
        }
        asked
    }

    async fn compare_now_and_then(self: Rc<Self>) {
        loop {
            self.platform.compare_soon.notified().await;
            while self.platform.known().ticket.is_none() || self.platform.known().refusal.is_some()
            {
                actix_web::rt::time::sleep(FOLLOWED_EVERY).await;
            }
            if let Err(error) = self.compare().await {
                bounded!(warn, "merchants not compared", %error, "WeChat's list of merchants could not be compared");
                self.platform.compare_soon.notify_one();
                // A refusal waits longer, because an operator takes time to act and WeChat counts
                // the calls. But before the first comparison, logins wait for it.
                let may_pass = matches!(
                    error,
                    AppCallError::Unavailable(Unavailable::WeChat(_) | Unavailable::Store(_))
                );
                let pause = if may_pass || !self.platform.known().is_compared {
                    FOLLOWED_EVERY
                } else {
                    COMPARED_AFTER_REFUSAL
                };
                actix_web::rt::time::sleep(pause).await;
            }
        }
    }

    async fn compare(&self) -> Result<(), AppCallError> {
        let meter = RateLimitKey::of_app(
            &self.platform.component.id,
            COUNTED,
            "list",
            COMPARED_AT_MOST,
        );
        loop {
            match self.login.store.limits.count(&meter).await {
                Ok(_) => return self.compare_all().await,
                Err(LimitError::TooMany(later)) => {
                    actix_web::rt::time::sleep(later.retry_after).await;
                }
                Err(LimitError::Store(error)) => return Err(error.into()),
            }
        }
    }

    /// Asks again while WeChat refuses the platform's token, even if nobody logs in, so that
    /// readiness and the doctor report the present state.
    async fn ask_again_while_refused(self: Rc<Self>) {
        let mut interval = actix_web::rt::time::interval(REFUSED_ASKS_AGAIN);
        loop {
            interval.tick().await;
            if self.platform.known().refusal.is_some() {
                let asked = self.ask_for_component_token().await;
                tracing::debug!(
                    error = asked.err().map(tracing::field::display),
                    "WeChat was asked again for a token"
                );
            }
        }
    }
}

/// Whether WeChat no longer accepts the authorization code, or the merchant has left.
fn is_spent(error: &AppCallError) -> bool {
    matches!(
        error,
        AppCallError::App(AppRefusal::Unknown(_))
            | AppCallError::WeChat(WeChatRefusal::Misconfigured {
                error: CallError::Refused {
                    errcode: 61009 | 61010,
                    ..
                },
                ..
            })
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use serde_json::json;
    use wxmint_wechat::{AppKind, News, Push};
    use zeroize::Zeroizing;

    use super::*;
    use crate::doors::platform::known::{MerchantState, entry_of};
    use crate::doors::platform::test_fixture::{Bed, app, until};

    const LIST: &str = "api_get_authorizer_list";
    const QUERY_AUTH: &str = "api_query_auth";

    /// WeChat pushes that this merchant has authorised the platform in the second `created`, and
    /// answers whoever asks about the code.
    async fn authorises(bed: &Bed, number: usize, created: i64, code: &str) {
        bed.wechat.says(move |request| {
            request
                .contains(QUERY_AUTH)
                .then(|| json!({"authorization_info": {"authorizer_appid": app(number)}}))
        });
        let news = News::Authorized {
            app: app(number),
            code: Zeroizing::new(code.to_owned()).into(),
        };
        bed.platform
            .note_push(&bed.login, Push { created, news }, code)
            .await
            .expect("noted");
        bed.follow().await;
    }

    /// Follows the store and works until the merchant is known by its code.
    async fn until_let_in(bed: &Bed, follower: &Rc<Follower>, number: usize, code: &str) {
        until("the merchant is let in", async || {
            follower.read().await.expect("read");
            follower.work();
            bed.platform.known().merchant_of(code, now()) == Some(&app(number))
        })
        .await;
    }

    /// The second is all that WeChat says of the time of a push.
    #[actix_web::test]
    async fn a_merchant_that_authorises_in_the_second_of_its_last_change_is_let_in_and_by_no_code_from_before()
     {
        let (bed, second) = (Bed::start().await, now().timestamp());
        let follower = bed.follower();
        let sealed = bed.login.vault.load().seal("an old token", &app(2));
        let states = [
            MerchantState::Gone,
            MerchantState::Leaving,
            MerchantState::In(AppKind::MiniProgram, sealed),
        ];
        for (number, state) in states.iter().enumerate() {
            let entry = state.entry(second);
            bed.note(&entry_of(&app(number)), entry.at, &entry.value)
                .await;
            let asked = bed.wechat.asked(QUERY_AUTH);
            authorises(&bed, number, second - 1, &format!("early-{number}")).await;
            assert_eq!(bed.platform.known().codes.len(), 0, "{state:?}");
            let code = format!("code-{number}");
            authorises(&bed, number, second, &code).await;
            let waiting: Vec<_> = bed.platform.known().codes.keys().cloned().collect();
            assert_eq!(waiting, [app(number)], "{state:?}");
            until_let_in(&bed, &follower, number, &code).await;
            assert_eq!(bed.wechat.asked(QUERY_AUTH), asked + 1, "{state:?}");
        }
    }

    #[actix_web::test]
    async fn when_a_replica_dies_that_has_begun_to_ask_about_a_code_another_one_asks() {
        thread_local!(static NOW: Cell<DateTime<Utc>> = const { Cell::new(DateTime::UNIX_EPOCH) });
        let (bed, second) = (Bed::start().await, now().timestamp());
        authorises(&bed, 1, second, "code").await;
        let change = digest_of(&bed.platform.known().codes[&app(1)]);
        let meter = RateLimitKey::of_app(&app(1), COUNTED, change, TRIED);

        // An event at the beginning of a period counts for nine eighths of the period.
        let period = TRIED.period.as_secs() as i64;
        let begins = DateTime::from_timestamp((second / period - 1) * period, 0).expect("a date");
        let dead = bed.login.store.at(begins);
        dead.limits.count(&meter).await.expect("it begins");

        let counts_until = begins + TRIED.period + TRIED.period / 8;
        NOW.set(counts_until - Duration::from_millis(100));
        let other = bed.replica(|| NOW.get());
        other.work();
        until("it looks again", async || other.at_work.borrow().is_empty()).await;
        NOW.set(counts_until);
        until_let_in(&bed, &other, 1, "code").await;
    }

    #[actix_web::test]
    async fn readiness_warns_until_wechats_list_of_merchants_was_compared() {
        let bed = Bed::start().await;
        let follower = bed.follower();
        bed.wechat.says(|request| {
            request
                .contains(LIST)
                .then(|| json!({"errcode": 48001, "errmsg": "api unauthorized"}))
        });
        follower.compare().await.expect_err("refused");
        follower.read().await.expect("read");
        follower.warn();
        bed.issuer.readiness.ready();
        let warnings = || bed.issuer.readiness.check().expect("ready").join(" ");
        assert!(
            warnings().contains("WeChat's list of merchants"),
            "{}",
            warnings()
        );
        bed.wechat.says(|_| None);
        follower.compare_all().await.expect("compared");
        follower.read().await.expect("read");
        follower.warn();
        assert_eq!(warnings(), "");
    }

    #[actix_web::test]
    async fn the_list_is_asked_for_as_soon_as_wechat_gives_the_platform_a_token_again() {
        let bed = Bed::start().await;
        let follower = bed.follower();
        let told = "access clientip is not registered requestIP: 203.0.113.7";
        bed.wechat.says(move |request| {
            request
                .contains("api_component_token")
                .then(|| json!({"errcode": 61004, "errmsg": told}))
        });
        bed.platform.compare_soon.notify_one();
        actix_web::rt::spawn(Rc::clone(&follower).compare_now_and_then());
        let known = async |what: &str, is_so: &dyn Fn() -> bool| {
            until(what, async || {
                follower.read().await.expect("read");
                is_so()
            })
            .await;
        };
        known("a refusal", &|| bed.platform.known().refusal.is_some()).await;
        // The operator has put the address on the list, and half a minute has passed.
        bed.wechat.says(|_| None);
        bed.half_a_minute_passes().await;
        // A fetch that has failed is not repeated for a second.
        while bed.platform.known().refusal.is_some() {
            actix_web::rt::time::sleep(FOLLOWED_EVERY).await;
            drop(follower.ask_for_component_token().await);
            follower.read().await.expect("read");
        }
        known("the list", &|| bed.wechat.asked(LIST) == 1).await;
        known("the comparison", &|| bed.platform.known().is_compared).await;
    }
}
