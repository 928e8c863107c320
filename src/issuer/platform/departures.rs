//! The end of the tokens of merchants that have left: one walk over all people for all of them, however many leave at once.

use std::{
    cell::{Cell as Flag, RefCell},
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use actix_web::rt::time::sleep;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::{StreamExt, stream};
use wxmint_ids::{AppId, Person};
use wxmint_store::{
    Cell, Matter, Meter, Redis,
    limits::Rate,
    short_digest,
    walk::{Page, Place, Step},
};

use super::Desk;
use crate::{clock::now, login::LoginError, platform::Standing, telemetry::admit_line};

/// One of the replicas revokes the tokens, and another one later if it dies.
const TRIED: Rate = Rate { burst: 1, period: Duration::from_secs(120) };
/// How far this clock may be from the store's.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::seconds(60);
/// A login that was under way when the merchant left has ended after this time.
const LOGINS_END: Duration = Duration::from_secs(12);
/// How many people's tokens are revoked at the same time.
const AT_ONCE: usize = 32;
/// Between two tries where the store does not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// How often a person's tokens are tried to be revoked before the next merchants are attended to.
const TRIES: usize = 20;

/// The merchants that have left.
#[derive(Default)]
pub(super) struct Departures {
    is_busy: Flag<bool>,
    known: RefCell<BTreeMap<AppId, Departure>>,
    /// Whose tokens could not be revoked yet.
    failed: RefCell<Vec<Due>>,
}

#[derive(Clone)]
struct Departure {
    /// As the store keeps it.
    matter: Matter,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Another replica does it; this one looks again at this time.
    Elsewhere(Instant),
    /// The people are to be walked over from this time on. The second walk finds who was logging in during the first.
    Walk {
        from: Instant,
        /// Whose last login was before has no token that is still good.
        since: DateTime<Utc>,
        is_second: bool,
    },
    /// Only those who have failed are left.
    Walked,
}

/// Whose tokens are to be revoked, unless the last login was before.
type Due = (DateTime<Utc>, Person);

impl Departures {
    /// Whether nothing is being done yet.
    pub(super) fn begin(&self) -> bool {
        !self.is_busy.replace(true)
    }

    fn walks(&self) -> BTreeMap<AppId, DateTime<Utc>> {
        let known = self.known.borrow();
        let walks = known.iter().filter_map(|(app, departure)| match departure.stage {
            Stage::Walk { from, since, .. } if from <= Instant::now() => Some((app.clone(), since)),
            _ => None,
        });
        walks.collect()
    }
}

impl Desk {
    /// Does what is due.
    pub(super) async fn end_departures(&self) {
        if let Err(error) = self.take_on_departures().await {
            tracing::warn!(%error, "merchants have left: their people's tokens are not revoked yet");
        }
        let (departures, walks, began) = (&self.departures, self.departures.walks(), now() - CLOCKS_DIFFER);
        let mut failed = departures.failed.take();
        if !walks.is_empty()
            && let Some(redis) = self.issuer.redis()
        {
            self.walk(&redis, &walks, &mut failed).await;
        }
        for tried in 0..TRIES {
            if failed.is_empty() {
                break;
            }
            if tried > 0 {
                sleep(PAUSE).await;
            }
            failed = self.end_each(failed).await;
        }
        if !failed.is_empty() {
            tracing::error!(
                people = failed.len(),
                "merchants have left: some people's tokens could not be revoked yet"
            );
        }
        departures.failed.replace(failed);
        for app in walks.keys() {
            if let Some(departure) = departures.known.borrow_mut().get_mut(app) {
                departure.stage = departure.stage.walked(began);
            }
        }
        self.note_gone().await;
        departures.is_busy.set(false);
    }

    /// Takes on the merchants that have left since, unless another replica has.
    async fn take_on_departures(&self) -> Result<(), LoginError> {
        let known = self.platform.known();
        let is_left = |app: &AppId, matter: &Matter| {
            known.merchants.get(app).is_some_and(|it| it.standing == Standing::Leaving && it.matter == *matter)
        };
        let departures = &self.departures.known;
        departures.borrow_mut().retain(|app, Departure { matter, stage }| {
            is_left(app, matter) && !matches!(stage, Stage::Elsewhere(until) if *until <= Instant::now())
        });
        for (app, merchant) in known.merchants.iter().filter(|(_, merchant)| merchant.standing == Standing::Leaving) {
            if departures.borrow().contains_key(app) {
                continue;
            }
            let matter = merchant.matter.clone();
            let change = short_digest(&format!("{} {:?}", matter.at, matter.value)).to_string();
            let meter = Meter { cell: Cell::Merchant(app.clone(), change), rate: TRIED };
            let stage = match self.login.store.count(&meter).await? {
                Err(later) => Stage::Elsewhere(Instant::now() + later.retry_after),
                // An app whose AppSecret is here as well logs in by that.
                Ok(_) if self.issuer.apps.all().choose(Some(app), None).is_ok() => Stage::Walked,
                Ok(_) => {
                    // The push may be an old one of before the merchant came back.
                    self.platform.compare_soon.notify_one();
                    Stage::Walk { from: Instant::now(), since: self.oldest_token().await?, is_second: false }
                }
            };
            departures.borrow_mut().insert(app.clone(), Departure { matter, stage });
        }
        Ok(())
    }

    /// Since when a token may be that is still good.
    async fn oldest_token(&self) -> Result<DateTime<Utc>, LoginError> {
        let lives = self.login.store.ends_after("", 1).await?.map_or(Duration::MAX, |read| read.keep);
        let lives = TimeDelta::from_std(lives).unwrap_or(TimeDelta::MAX);
        Ok((now() - CLOCKS_DIFFER).checked_sub_signed(lives).unwrap_or(DateTime::<Utc>::MIN_UTC))
    }

    /// Revokes the tokens of all people of these apps, but for those who are `failed`.
    async fn walk(&self, redis: &Redis, walks: &BTreeMap<AppId, DateTime<Utc>>, failed: &mut Vec<Due>) {
        let only = walks.keys().next().filter(|_| walks.len() == 1);
        let mut place = Place::default();
        loop {
            let next = match redis.walk_people(only, &place).await {
                Ok(Step::Page(Page { found, next, .. })) => {
                    let due = found.into_iter().filter_map(|person| Some((*walks.get(&person.app)?, person)));
                    failed.extend(self.end_each(due.collect()).await);
                    next
                }
                Ok(Step::Elsewhere) => Some(Place::default()), // the Cluster has changed
                Err(error) => {
                    if let Some(not_logged) = admit_line("departures") {
                        tracing::warn!(%error, not_logged, "merchants have left: the walk over their people goes on from here");
                    }
                    sleep(PAUSE).await;
                    continue;
                }
            };
            match next {
                Some(next) => place = next,
                None => return,
            }
        }
    }

    /// Those whose tokens are still to be revoked. Who belongs to a merchant that has come back is left alone.
    async fn end_each(&self, due: Vec<Due>) -> Vec<Due> {
        let known = self.platform.known();
        let has_left = |person: &Person| {
            known.merchants.get(&person.app).is_some_and(|merchant| merchant.standing == Standing::Leaving)
        };
        let ends = due.into_iter().filter(|(_, person)| has_left(person)).map(async |(since, person)| {
            self.login.end_person_since(&person, since).await.is_err().then_some((since, person))
        });
        stream::iter(ends).buffer_unordered(AT_ONCE).filter_map(async |failed| failed).collect().await
    }

    async fn note_gone(&self) {
        let failed: BTreeSet<AppId> =
            self.departures.failed.borrow().iter().map(|(_, person)| person.app.clone()).collect();
        let known = self.departures.known.borrow().clone();
        let done = known.into_iter().filter(|(app, it)| matches!(it.stage, Stage::Walked) && !failed.contains(app));
        for (app, Departure { matter, .. }) in done {
            match self.login.note_gone(&self.platform, &app, &matter).await {
                Ok(()) => tracing::info!(app = %app, "a merchant has left: the tokens of its people are revoked"),
                Err(error) => tracing::warn!(app = %app, %error, "a merchant has left: that is not noted yet"),
            }
        }
    }
}

impl Stage {
    /// The stage after the walk that `began` then.
    fn walked(self, began: DateTime<Utc>) -> Self {
        match self {
            Self::Walk { is_second: false, .. } => {
                Self::Walk { from: Instant::now() + LOGINS_END, since: began, is_second: true }
            }
            _ => Self::Walked,
        }
    }
}
