//! The pushes of WeChat to a third-party platform, and what follows from them: merchants come and go while the service runs. The
//! path is there only where `WXMINT_PLATFORM_FILE` is set.

mod receiver;

use std::{cell::RefCell, collections::HashSet, rc::Rc, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use utoipa::OpenApi;
use wxmint_ids::AppId;
use wxmint_store::{
    Cell, Expected, Matter, Meter, Note, PlatformState, Redis, limits::Rate, short_digest, walk::Place,
};

use super::{
    Issuer,
    routes::{ANY, BODY, SECURITY},
};
use crate::{
    clock::now,
    http::{
        ProblemDocument,
        described::{DescribedRoute, POST, Routes, routes},
    },
    login::{LoginError, LoginWorker},
    platform::{Known, Platform, Standing},
};

/// How often the store is asked whether something has changed.
const FOLLOWED_EVERY: Duration = Duration::from_millis(250);
/// How often WeChat is asked for the list of merchants.
const COMPARED_EVERY: Duration = Duration::from_secs(3600);
/// However many refresh tokens and codes WeChat refuses, and however often it does not answer.
const COMPARED_AT_MOST_EVERY: Duration = Duration::from_secs(30);
/// After this time without a ticket somebody should look. WeChat sends one every ten minutes, and it is good for twelve hours.
const TICKET_IS_LATE: i64 = 30 * 60;
/// A code that WeChat could not be asked about for so long is given up for the list of merchants.
const CODE_LIVES: i64 = 3600;
/// One of the replicas does what is to be done about a merchant, and another one later if it fails.
const TRIED: Rate = Rate { burst: 1, period: Duration::from_secs(10) };
/// The same where people are revoked, which takes longer.
const TRIED_TO_END: Rate = Rate { burst: 1, period: Duration::from_secs(30) };
const ENDS_TRIED: usize = 20;
/// How far this clock may be from the store's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(60);
/// A login that was under way when the merchant left has ended after this time.
const LOGINS_END: Duration = Duration::from_secs(12);

routes! {
    #[openapi(tags((name = "platform", description = "For WeChat")))]
    POST "/wechat/platform/{component_appid}" receiver::push [ANY], BODY;
}

pub(super) fn described() -> utoipa::openapi::OpenApi {
    Described::openapi()
}

/// Follows what the store keeps of the platform, and does what is to be done about merchants.
pub(super) async fn follow(issuer: Arc<Issuer>) {
    let Some(platform) = issuer.platform.clone() else { return };
    let Ok(login) = issuer.login_worker() else { return };
    let desk = Rc::new(Desk { login, platform, issuer, at_work: RefCell::default() });
    actix_web::rt::spawn(Rc::clone(&desk).compare_now_and_then());
    let (mut interval, mut is_told) = (actix_web::rt::time::interval(FOLLOWED_EVERY), false);
    loop {
        interval.tick().await;
        let known = desk.platform.known();
        match desk.login.store.matters(&desk.platform.component.id, known.version).await {
            Ok(news) => {
                is_told = false;
                let news = if known.is_read { news } else { Some(news.unwrap_or_default()) };
                if let Some(state) = news
                    && desk.restore(&known, &state).await
                {
                    desk.learn(&desk.platform.learn(state));
                }
            }
            Err(error) if !is_told => {
                is_told = true;
                tracing::warn!(%error, "the merchants of the platform are not followed");
            }
            Err(_) => {}
        }
        desk.warn();
        desk.work();
    }
}

/// What one process does for the platform.
struct Desk {
    login: LoginWorker,
    platform: Arc<Platform>,
    issuer: Arc<Issuer>,
    /// The changes of merchants about which something is being done.
    at_work: RefCell<HashSet<String>>,
}

impl Desk {
    fn learn(&self, known: &Known) {
        self.issuer.apps.merchants_are(known.apps());
        let apps = self.issuer.apps.all();
        self.issuer.metrics.apps_are(apps.iter().map(|app| (app.id.clone(), app.kind.name())));
    }

    /// Tells the store again what it has lost, as by a failover, and answers whether that is nothing.
    async fn restore(&self, known: &Known, state: &PlatformState) -> bool {
        let mut is_whole = true;
        for (matter, new) in known.lost(state) {
            is_whole = false;
            let note = Note { matter, new, expected: Expected::NotLater, push: None };
            if let Err(error) = self.login.store.note_matter(&self.platform.component.id, &note).await {
                tracing::warn!(%error, "what the store has lost of the platform is not restored yet");
                break;
            }
        }
        if !is_whole {
            tracing::warn!("the store had lost something of the platform: it is told again");
        }
        is_whole
    }

    fn warn(&self) {
        let known = self.platform.known();
        let ticket = known.ticket.as_ref().map(|ticket| now().timestamp() - ticket.at);
        self.issuer.metrics.ticket_is(ticket);
        let warning = match ticket {
            _ if known.refusal.is_some() => Some("WeChat gives the platform no token: `wxmint doctor` says why"),
            None => Some(
                "no ticket of the platform has come, so that merchants cannot log in: run wxmint platform start-push",
            ),
            Some(age) if age > TICKET_IS_LATE => {
                Some("the platform's last ticket is more than 30 minutes old: run wxmint platform start-push")
            }
            Some(_) => None,
        };
        if self.issuer.readiness.warns("platform", warning) {
            match warning {
                Some(warning) => tracing::warn!(refusal = known.refusal, "{warning}"),
                None => tracing::info!("merchants of the platform can log in"),
            }
        }
    }

    /// Lets in who has authorised the platform, and revokes the tokens of whom has left, one task for each change.
    fn work(self: &Rc<Self>) {
        let known = self.platform.known();
        let leaving = known.merchants.iter().filter(|(_, merchant)| merchant.standing == Standing::Leaving);
        let leaving = leaving.map(|(app, merchant)| (app, &merchant.matter, true));
        for (app, matter, is_leaving) in known.codes.iter().map(|(app, code)| (app, code, false)).chain(leaving) {
            let change = short_digest(&format!("{app} {} {:?}", matter.at, matter.value)).to_string();
            if self.at_work.borrow_mut().insert(change.clone()) {
                let (desk, app, matter) = (Rc::clone(self), app.clone(), matter.clone());
                actix_web::rt::spawn(async move {
                    if let Err(error) = desk.attend_to(&app, &matter, is_leaving, &change).await {
                        tracing::warn!(app = %app, %error, "what a merchant has changed is not done yet");
                    }
                    desk.at_work.borrow_mut().remove(&change);
                });
            }
        }
    }

    async fn attend_to(&self, app: &AppId, matter: &Matter, is_leaving: bool, change: &str) -> Result<(), LoginError> {
        let rate = if is_leaving { TRIED_TO_END } else { TRIED };
        let meter = Meter { cell: Cell::Merchant(app.clone(), change.to_owned()), rate };
        if let Err(later) = self.login.store.count(&meter).await? {
            actix_web::rt::time::sleep(later.retry_after).await;
            return Ok(());
        }
        if is_leaving {
            return self.end_people(app, matter).await;
        }
        let asked = self.login.let_merchant_in(&self.platform, app, matter).await;
        if now().timestamp() - matter.at > CODE_LIVES || asked.as_ref().is_err_and(LoginError::is_spent_authorization) {
            self.login.forget_code(&self.platform, app, matter).await?;
            self.platform.compare_soon.notify_one();
        }
        asked
    }

    /// Twice, because a login that was under way has dated its token after the first time.
    async fn end_people(&self, app: &AppId, leaving: &Matter) -> Result<(), LoginError> {
        let Some(redis) = self.issuer.redis() else { return Ok(()) };
        let began = now() - CLOCKS_DIFFER;
        // An app whose AppSecret is here as well logs in by that.
        if self.issuer.apps.all().choose(Some(app), None).is_err() {
            self.end_people_since(&redis, app, None).await?;
            actix_web::rt::time::sleep(LOGINS_END).await;
            if self.platform.known().merchants.get(app).is_some_and(|now| now.matter != *leaving) {
                return Ok(()); // it has come back
            }
            self.end_people_since(&redis, app, Some(began)).await?;
            tracing::info!(app = %app, "a merchant has left: the tokens of its people are revoked");
        }
        self.login.note_gone(&self.platform, app, leaving).await
    }

    /// Goes on where an error of the store has interrupted it.
    async fn end_people_since(
        &self,
        redis: &Redis,
        app: &AppId,
        since: Option<DateTime<Utc>>,
    ) -> Result<(), LoginError> {
        let mut place = Place::default();
        for _ in 1..ENDS_TRIED {
            match self.login.end_people_of(redis, app, since, &mut place).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(app = %app, %error, "a merchant's people are revoked again from here on"),
            }
            actix_web::rt::time::sleep(FOLLOWED_EVERY).await;
        }
        self.login.end_people_of(redis, app, since, &mut place).await
    }

    async fn compare_now_and_then(self: Rc<Self>) {
        let mut interval = actix_web::rt::time::interval(COMPARED_EVERY);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = self.platform.compare_soon.notified() => {}
            }
            while self.platform.known().ticket.is_none() {
                actix_web::rt::time::sleep(FOLLOWED_EVERY).await;
            }
            if let Err(error) = self.login.compare_merchants(&self.platform).await {
                tracing::warn!(%error, "WeChat's list of merchants could not be compared");
                self.platform.compare_soon.notify_one();
            }
            actix_web::rt::time::sleep(COMPARED_AT_MOST_EVERY).await;
        }
    }
}
