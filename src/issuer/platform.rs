//! The pushes of WeChat to a third-party platform, and what follows from them: merchants come and go while the service runs. The
//! path is there only where `WXMINT_PLATFORM_FILE` is set.

mod receiver;

use std::{cell::RefCell, collections::HashSet, rc::Rc, sync::Arc, time::Duration};

use utoipa::OpenApi;
use wxmint_ids::AppId;
use wxmint_store::{Cell, Meter, limits::Rate, short_digest};

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
    platform::{Known, Merchant, Platform, Standing},
};

/// How often the store is asked whether something has changed.
const FOLLOWED_EVERY: Duration = Duration::from_millis(250);
/// How often WeChat is asked for the list of merchants.
const COMPARED_EVERY: Duration = Duration::from_secs(3600);
/// After this time without a ticket somebody should look. WeChat sends one every ten minutes, and it is good for twelve hours.
const TICKET_IS_LATE: i64 = 30 * 60;
/// One of the replicas does what is to be done about a merchant, and another one later if it fails.
const TRIED: Rate = Rate { burst: 1, period: Duration::from_secs(10) };
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
                if let Some(state) = news {
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

    fn warn(&self) {
        let ticket = self.platform.known().ticket.as_ref().map(|ticket| now().timestamp() - ticket.at);
        self.issuer.metrics.ticket_is(ticket);
        let warning = match ticket {
            None => Some("no ticket of the platform has come: merchants cannot log in"),
            Some(age) if age > TICKET_IS_LATE => Some("the platform's last ticket is more than 30 minutes old"),
            Some(_) => None,
        };
        if self.issuer.readiness.warns("platform", warning) {
            match warning {
                Some(warning) => tracing::warn!("{warning}; run: wxmint platform start-push"),
                None => tracing::info!("the platform's ticket comes"),
            }
        }
    }

    /// Lets in who has authorised the platform, and revokes the tokens of whom has left, one task for each change.
    fn work(self: &Rc<Self>) {
        for (app, merchant) in &self.platform.known().merchants {
            let is_due = matches!(merchant.standing, Standing::Asked(_) | Standing::Leaving);
            let change =
                || short_digest(&format!("{app} {} {:?}", merchant.matter.at, merchant.matter.value)).to_string();
            if let Some(change) = is_due.then(change)
                && self.at_work.borrow_mut().insert(change.clone())
            {
                let (desk, app, merchant) = (Rc::clone(self), app.clone(), merchant.clone());
                actix_web::rt::spawn(async move {
                    if let Err(error) = desk.attend_to(&app, &merchant, &change).await {
                        tracing::warn!(app = %app, %error, "what a merchant has changed is not done yet");
                    }
                    desk.at_work.borrow_mut().remove(&change);
                });
            }
        }
    }

    async fn attend_to(&self, app: &AppId, merchant: &Merchant, change: &str) -> Result<(), LoginError> {
        let meter = Meter { cell: Cell::Merchant(app.clone(), change.to_owned()), rate: TRIED };
        if let Err(later) = self.login.store.count(&meter).await? {
            actix_web::rt::time::sleep(later.retry_after).await;
            return Ok(());
        }
        match merchant.standing {
            Standing::Leaving => self.end_people(app, merchant).await,
            _ => self.login.let_merchant_in(&self.platform, app, merchant).await,
        }
    }

    /// Twice, because a login that was under way has dated its token after the first time.
    async fn end_people(&self, app: &AppId, merchant: &Merchant) -> Result<(), LoginError> {
        let Some(redis) = self.issuer.redis() else { return Ok(()) };
        let people = self.login.end_people_of(&redis, app).await?;
        actix_web::rt::time::sleep(LOGINS_END).await;
        if self.platform.known().merchants.get(app).is_some_and(|now| now.matter != merchant.matter) {
            return Ok(()); // it has come back
        }
        self.login.end_people_of(&redis, app).await?;
        self.login.note_gone(&self.platform, app, merchant).await?;
        tracing::info!(app = %app, people, "a merchant has left: the tokens of its people are revoked");
        Ok(())
    }

    async fn compare_now_and_then(self: Rc<Self>) {
        let mut interval = actix_web::rt::time::interval(COMPARED_EVERY);
        loop {
            interval.tick().await;
            while self.platform.known().ticket.is_none() {
                actix_web::rt::time::sleep(FOLLOWED_EVERY).await;
            }
            if let Err(error) = self.login.compare_merchants(&self.platform, now().timestamp()).await {
                tracing::warn!(%error, "WeChat's list of merchants could not be compared");
            }
        }
    }
}
