//! The end of the tokens of merchants that have left: one walk over all people for all that leave at that time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use std::{cell::RefCell, rc::Rc, sync::Arc};

use actix_web::rt::{spawn, time::sleep};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use tokio::sync::Semaphore;
use wxmint_ids::{AppId, Person};
use wxmint_store::walk::{Page, Place};
use wxmint_store::{LimitKey, Meter, Redis, TICKET_TTL, limits::Rate};
use wxmint_telemetry::bounded;

use super::known::{COUNTED, MerchantState, Platform, digest_of};
use super::{merchants::Merchants, store::PlatformEntry};
use crate::login::{LoginError, LoginWorker, Operator};
use crate::{clock::now, issuer::Issuer};

/// One of the replicas revokes the tokens, and the others too if it takes longer, or dies.
const TRIED: Rate = Rate { burst: 1, period: Duration::from_secs(20) };
/// How far this clock may be from the store's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(60);
/// A login that was under way when the merchant left has ended after this time.
const LOGINS_END: Duration = Duration::from_secs(12);
/// How many people's tokens are revoked at the same time.
const AT_ONCE: usize = 32;
/// A merchant that leaves while others' people are walked over does not wait for that.
const MOST_WALKS: usize = 3;
/// A walk goes no further before fewer than these have failed.
const MOST_FAILED: usize = 1000;
/// Between two tries where the store does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// The merchants that have left, and all that it takes to end their people's tokens.
pub(super) struct LeavingMerchants {
    login: Rc<LoginWorker>,
    platform: Arc<Platform>,
    issuer: Arc<Issuer>,
    known: RefCell<BTreeMap<AppId, LeavingMerchant>>,
    /// The people whose tokens could not be revoked yet.
    failed: RefCell<Vec<Due>>,
    /// A permit for who looks at the merchants, and for each walk.
    looks: Semaphore,
    walks: Semaphore,
}

#[derive(Clone)]
struct LeavingMerchant {
    /// As the store keeps it.
    entry: PlatformEntry,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Another replica does it; this one looks again at this time.
    Elsewhere(Instant),
    /// The people are to be walked over from this time on. The second walk finds who was logging in during the first.
    Walk {
        from: Instant,
        /// A person whose last login was before has no token that is still good.
        since: DateTime<Utc>,
        is_second: bool,
    },
    Walking,
    /// Only those who have failed are left.
    Walked,
}

/// A walk over the people of one merchant.
struct Walk {
    of: PlatformEntry,
    since: DateTime<Utc>,
    is_second: bool,
}

/// A person whose tokens are to be revoked, unless the last login was before.
type Due = (DateTime<Utc>, Person);

impl LeavingMerchants {
    pub(super) fn new(login: Rc<LoginWorker>, platform: Arc<Platform>, issuer: Arc<Issuer>) -> Rc<Self> {
        let ((known, failed), [looks, walks]) = (Default::default(), [1, MOST_WALKS].map(Semaphore::new));
        Rc::new(Self { login, platform, issuer, known, failed, looks, walks })
    }

    /// Does what is to be done now about merchants that have left.
    pub(super) fn end(self: &Rc<Self>) {
        let is_leaving = self.platform.known().merchants.values().any(|it| it.state == MerchantState::Leaving);
        if !is_leaving && self.known.borrow().is_empty() {
            return;
        }
        let leaving = Rc::clone(self);
        spawn(async move {
            let Ok(_one) = leaving.looks.try_acquire() else { return };
            if let Err(error) = leaving.take_on().await {
                bounded!(warn, "leaving", %error, "merchants have left: their people's tokens are not revoked yet");
            }
            leaving.note_gone().await;
        });
        let leaving = Rc::clone(self);
        spawn(async move {
            let Ok(_one) = leaving.walks.try_acquire() else { return };
            let (due, began) = (leaving.take_due(), now() - CLOCKS_DIFFER);
            if !due.is_empty()
                && let Some(redis) = leaving.issuer.redis()
            {
                leaving.walk(&redis, &due).await;
                leaving.walked(&due, began);
            }
        });
    }

    /// The stages whose time has come, which are being walked from now on.
    fn take_due(&self) -> BTreeMap<AppId, Walk> {
        let mut due = BTreeMap::new();
        for (app, merchant_leaving) in self.known.borrow_mut().iter_mut() {
            if let Stage::Walk { from, since, is_second } = merchant_leaving.stage
                && from <= Instant::now()
            {
                merchant_leaving.stage = Stage::Walking;
                due.insert(app.clone(), Walk { of: merchant_leaving.entry.clone(), since, is_second });
            }
        }
        due
    }

    /// Takes on the merchants that have left since, unless another replica has.
    async fn take_on(&self) -> Result<(), LoginError> {
        let known = self.platform.known();
        let is_left = |app: &AppId, entry: &PlatformEntry| {
            known.merchants.get(app).is_some_and(|it| it.state == MerchantState::Leaving && it.entry == *entry)
        };
        let leaving = &self.known;
        leaving.borrow_mut().retain(|app, LeavingMerchant { entry, stage }| {
            is_left(app, entry) && !matches!(stage, Stage::Elsewhere(until) if *until <= Instant::now())
        });
        let merchants = known.merchants.iter().filter(|(_, merchant)| merchant.state == MerchantState::Leaving);
        let new: Vec<_> = merchants.filter(|(app, _)| !leaving.borrow().contains_key(*app)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let since = self.oldest_token().await?;
        for (app, merchant) in new {
            let entry = merchant.entry.clone();
            let meter = Meter { key: LimitKey::of_app(app, COUNTED, digest_of(&entry)), rate: TRIED };
            let stage = match self.login.store.count(&meter).await {
                Ok(Err(later)) => Stage::Elsewhere(Instant::now() + later.retry_after),
                // An app whose AppSecret is here as well logs in by that.
                _ if self.issuer.apps.all().choose(Some(app), None).is_ok() => Stage::Walked,
                // Also where the store has not answered: it may have counted, and to walk twice does no harm.
                _ => Stage::Walk { from: Instant::now(), since, is_second: false },
            };
            leaving.borrow_mut().insert(app.clone(), LeavingMerchant { entry, stage });
        }
        Ok(())
    }

    /// Since when a login may be whose token is still good.
    async fn oldest_token(&self) -> Result<DateTime<Utc>, LoginError> {
        let lives = self.login.store.ends_after("", 1).await?.map_or(Duration::MAX, |read| read.keep);
        let lives = TimeDelta::from_std(lives.saturating_add(TICKET_TTL)).unwrap_or(TimeDelta::MAX);
        Ok((now() - CLOCKS_DIFFER).checked_sub_signed(lives).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// Revokes the tokens of all people of these apps, but for those who fail.
    async fn walk(&self, redis: &Redis, due: &BTreeMap<AppId, Walk>) {
        let only = due.keys().next().filter(|_| due.len() == 1);
        let (mut place, mut failed) = (Place::default(), Vec::new());
        loop {
            let next = match redis.walk_people(only, &place).await {
                Ok(Some(Page { found, next, .. })) => {
                    let people = found.into_iter().filter_map(|person| Some((due.get(&person.app)?.since, person)));
                    failed.extend(self.end_each(people.collect()).await);
                    next
                }
                Ok(None) => {
                    sleep(PAUSE).await; // the Cluster is changing
                    Some(Place::default())
                }
                Err(error) => {
                    bounded!(warn, "leaving", %error, "merchants have left: the walk over their people goes on from here");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            while failed.len() > MOST_FAILED {
                let people = failed.len();
                bounded!(warn, "a walk waits", people, "merchants have left: Redis takes no revocations");
                sleep(PAUSE).await;
                failed = self.end_each(failed).await;
            }
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        self.failed.borrow_mut().extend(failed);
    }

    /// Those whose tokens are still to be revoked. Who belongs to a merchant that has come back is left alone.
    async fn end_each(&self, due: Vec<Due>) -> Vec<Due> {
        let known = self.platform.known();
        let has_left = |person: &Person| {
            known.merchants.get(&person.app).is_some_and(|merchant| merchant.state == MerchantState::Leaving)
        };
        let ends = due
            .into_iter()
            .filter(|(_, person)| has_left(person))
            .map(async |(since, person)| self.end_person(&person, since).await.is_err().then_some((since, person)));
        stream::iter(ends).buffer_unordered(AT_ONCE).filter_map(async |failed| failed).collect().await
    }

    /// Revokes a person's tokens in this app, if the person may have logged in since then. Of whom no login is known,
    /// one may have been forgotten.
    async fn end_person(&self, person: &Person, since: DateTime<Utc>) -> Result<(), LoginError> {
        match self.login.store.last_login(person).await? {
            Some(last) if last < since => Ok(()),
            _ => Operator { store: &self.login.store }.end_person(person).await.map(drop),
        }
    }

    /// Notes which merchants nothing is left to do about. Who has failed is tried once more before.
    async fn note_gone(&self) {
        let failed = self.failed.take();
        let failed = self.end_each(failed).await;
        if let Some((_, person)) = failed.first() {
            let (app, people) = (&person.app, failed.len());
            bounded!(error, "people of leaving", %app, people, "merchants have left: some people's tokens could not be revoked yet");
            sleep(PAUSE).await;
        }
        let of_failed: BTreeSet<AppId> = failed.iter().map(|(_, person)| person.app.clone()).collect();
        self.failed.borrow_mut().extend(failed);
        let (known, merchants) =
            (self.known.borrow().clone(), Merchants { login: &self.login, platform: &self.platform });
        let done = known.into_iter().filter(|(app, it)| it.stage == Stage::Walked && !of_failed.contains(app));
        for (app, LeavingMerchant { entry, .. }) in done {
            match merchants.note_state(&app, &entry, MerchantState::Gone).await {
                Ok(()) => {
                    // Until what was noted is read, the merchant still is one that leaves.
                    let read = Stage::Elsewhere(Instant::now() + TRIED.period);
                    self.known.borrow_mut().insert(app.clone(), LeavingMerchant { entry, stage: read });
                    tracing::info!(app = %app, "a merchant has left: the tokens of its people are revoked");
                }
                Err(error) => tracing::warn!(app = %app, %error, "a merchant has left: that is not noted yet"),
            }
        }
    }

    /// After a walk that `began` then. A ticket binds a person by a code of up to five minutes before.
    fn walked(&self, due: &BTreeMap<AppId, Walk>, began: DateTime<Utc>) {
        let (from, since) = (Instant::now() + LOGINS_END, began - TICKET_TTL);
        let mut known = self.known.borrow_mut();
        for (app, Walk { of, is_second, .. }) in due {
            // The merchant may have come back and left anew.
            if let Some(merchant_leaving) =
                known.get_mut(app).filter(|it| it.stage == Stage::Walking && it.entry == *of)
            {
                merchant_leaving.stage =
                    if *is_second { Stage::Walked } else { Stage::Walk { from, since, is_second: true } };
            }
        }
    }
}
