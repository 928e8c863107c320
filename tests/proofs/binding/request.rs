//! The steps of one request: the binding's part of `Login::login` and `Login::unbind`, by the crate's own `Binder`.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use redis::Value;
use wxmint::clock::now;
use wxmint_ids::{Person, UnionId, UserId};
use wxmint_keys::vault::Sealed;
use wxmint_redis_link::{Confirm, StandIn};
use wxmint_store::limits::Rate;
use wxmint_store::{
    AttemptId, BindingState, Bound, ExchangeTimestamp, Generation, LoginRecord, Recorded, Store,
    StoreError, UnboundPolicy,
};

use wxmint::accounts::Named;
use wxmint::login::{BindError, Binder, FreePlace, Unavailable, UnionIdLink};

use super::world::parse;
use crate::stepping::{Answer, Answers, Call, LOST, Step, Steps, answers};

#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) number: u64,
    pub(crate) person: Person,
    /// As WeChat tells it to this login.
    pub(crate) unionid: Option<UnionId>,
    pub(crate) wish: Wish,
    /// Whether WeChat gives session keys to the app.
    pub(crate) has_key: bool,
    /// People of one app that a user may have.
    pub(crate) per_user: u32,
}

#[derive(Debug, Clone)]
pub(crate) enum Wish {
    /// WeChat's code alone.
    LogIn,
    /// With a password, or a phone number.
    LogInAs(Named),
    /// By a token of this user.
    Unbind(UserId),
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Bound(Bound),
    /// Nobody is bound, and the person is asked.
    Asked,
    AlreadyBound,
    /// The user is blocked, or the user of the person's unionid.
    Blocked,
    Unbound,
    Failed(StoreError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `auto`: a new user each time that it is asked.
    Auto,
    /// A service with `WXMINT_AUTO_PROVISION`: the same user for the same key.
    Service,
    /// Passwords, and nobody gets in without.
    File,
}

#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) kind: Kind,
    made: Rc<RefCell<BTreeMap<String, UserId>>>,
}

impl Backend {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            made: Rc::default(),
        }
    }

    pub(crate) fn has_made(&self, user: &UserId) -> bool {
        self.made.borrow().values().any(|made| made == user)
    }

    fn new_user(&self, key: &str) -> UserId {
        let mut users = self.made.borrow_mut();
        let fresh: UserId = format!("new-{}", users.len()).parse().expect("a user id");
        let key = match self.kind {
            Kind::Auto => fresh.to_string(),
            Kind::Service | Kind::File => key.to_owned(),
        };
        users.entry(key).or_insert(fresh).clone()
    }

    /// The answers to a step: this backend's, or those of the first store, as each other store must answer.
    pub(crate) async fn answers(&self, step: &Step, stores: &[Store]) -> Answers {
        if let Some(key) = step.text().strip_prefix(ASK) {
            return Some(vec![Value::BulkString(self.new_user(key).as_str().into())]);
        }
        let said = answers(&stores[0], &step.commands).await;
        for other in &stores[1..] {
            let others = answers(other, &step.commands).await;
            let is_same = step.text() == "TIME" || timeless(&others) == timeless(&said);
            assert!(is_same, "{said:?} is said elsewhere as {others:?}");
        }
        said
    }
}

/// Stands for a question to the account backend, which is like a step in all else.
const ASK: &str = "ASK";

/// The words of each answer: the stores have clocks of their own, and each has an order of its own.
fn timeless(answers: &Answers) -> Option<Vec<Vec<String>>> {
    let is_second = |word: &&str| word.len() == 10 && word.parse::<u64>().is_ok();
    let words = |answer: &Value| {
        let text = format!("{answer:?}");
        let words = text
            .split(|letter: char| !letter.is_alphanumeric())
            .filter(|word| !is_second(word));
        let mut words: Vec<_> = words.map(str::to_owned).collect();
        words.sort();
        words
    };
    answers
        .as_ref()
        .map(|answers| answers.iter().map(words).collect())
}

/// One request, from its first step on the binding to its last.
pub(crate) struct Request {
    store: Store,
    steps: Steps,
    backend: Backend,
    visit: Visit,
}

impl Request {
    /// It waits before its first step.
    pub(crate) fn begin(backend: &Backend, visit: Visit) -> Call<Outcome> {
        let (backend, confirm) = (backend.clone(), Confirm::Replicas(0));
        Call::new(|steps| {
            Self {
                store: steps.store(now, confirm),
                steps,
                backend,
                visit,
            }
            .serve()
        })
    }

    async fn serve(self) -> Outcome {
        let attempt = AttemptId::new(u128::from(self.visit.number).to_be_bytes());
        let served = match &self.visit.wish {
            Wish::LogIn => self.log_in(None, &attempt).await,
            Wish::LogInAs(candidate) => self.log_in(Some(candidate), &attempt).await,
            Wish::Unbind(user) => self.unbind(user, &attempt).await,
        };
        match served {
            Ok(outcome) => outcome,
            Err(BindError::AlreadyBound) => Outcome::AlreadyBound,
            Err(BindError::Blocked) => Outcome::Blocked,
            Err(BindError::Unavailable(Unavailable::Store(cause))) => Outcome::Failed(cause),
            Err(other) => {
                Outcome::Failed(StoreError::Refused(format!("not to be expected: {other}")))
            }
        }
    }

    fn binder<'a>(&'a self, person: &'a Person, attempt: &'a AttemptId) -> Binder<'a> {
        let Visit {
            unionid, per_user, ..
        } = &self.visit;
        Binder {
            store: &self.store,
            person,
            unionid: unionid.as_ref(),
            attempt,
            per_user: *per_user,
        }
    }

    /// `Login::record` and `Login::bind`.
    async fn log_in(
        &self,
        candidate: Option<&Named>,
        attempt: &AttemptId,
    ) -> Result<Outcome, BindError> {
        let binder = self.binder(&self.visit.person, attempt);
        let if_unbound = if self.backend.kind == Kind::Auto {
            UnboundPolicy::ReportOnly
        } else {
            UnboundPolicy::Counted
        };
        let state = match self.record(if_unbound, attempt).await? {
            Some(state) => state,
            None => {
                let user = self.ask("at once").await?;
                let intent = binder
                    .intent_for(user, self.visit.unionid.as_ref(), None)
                    .await?;
                self.record(UnboundPolicy::Intended(intent), attempt)
                    .await?
                    .expect("recorded with an intent")
            }
        };
        let settled = binder.settle(state).await?;
        let bound = match candidate {
            Some(candidate) => Some(binder.bind(candidate, settled).await?),
            None => {
                binder
                    .bind_unasked(settled, async |place: FreePlace<'_>| {
                        self.make(&place).await
                    })
                    .await?
            }
        };
        let Some(bound) = bound else {
            return Ok(Outcome::Asked);
        };
        let is_blocked = async |user: &UserId| {
            self.store
                .revocations
                .user_state(user)
                .await
                .map(|state| state.blocked)
        };
        let linked = binder.link(&bound, is_blocked).await?;
        if let UnionIdLink::Blocked(_) = linked {
            return Ok(Outcome::Blocked);
        }
        let new_for = bound.new_for.filter(|made| *made == attempt.mark());
        Ok(Outcome::Bound(Bound { new_for, ..bound }))
    }

    /// The second round trip of a login. `None` for a newcomer, if that is to be told.
    async fn record(
        &self,
        if_unbound: UnboundPolicy,
        attempt: &AttemptId,
    ) -> Answer<Option<BindingState>> {
        let record = LoginRecord {
            person: self.visit.person.clone(),
            session_key: if self.visit.has_key {
                Sealed::from_stored(b"sealed".to_vec())
            } else {
                Sealed::nothing()
            },
            order: ExchangeTimestamp::new(self.visit.number, attempt),
            rate: Rate {
                burst: 1_000_000,
                period: Duration::from_secs(1),
            },
            if_unbound,
        };
        match self.store.logins.record(&record).await? {
            Recorded::Counted { state, .. } => Ok(Some(state)),
            Recorded::Unbound | Recorded::OtherUser => Ok(None),
            Recorded::Limited(_) => Err(StoreError::Refused("limited, where nothing is".into())),
        }
    }

    /// `Login::make_user`.
    async fn make(&self, place: &FreePlace<'_>) -> Result<Option<UserId>, Unavailable> {
        match self.backend.kind {
            Kind::File => Ok(None),
            Kind::Service if place.dissolved => Ok(None),
            _ => Ok(Some(self.ask(&self.key(place)).await?)),
        }
    }

    /// `login::new_user_key`.
    fn key(&self, place: &FreePlace<'_>) -> String {
        match place.unionid {
            Some(unionid) => format!("{} after {:?}", unionid.as_str(), place.deserted),
            None => format!(
                "{} {}",
                self.visit.person.openid.as_str(),
                Generation::number_of_last(place.generation)
            ),
        }
    }

    /// Has the account backend make a user.
    async fn ask(&self, key: &str) -> Answer<UserId> {
        let answers = self.steps.answer(redis::pipe().cmd(ASK).arg(key)).await;
        let user = answers
            .map(|answers| redis::from_redis_value_ref::<String>(&answers[0]).expect("a text"));
        user.map(parse)
            .ok_or_else(|| StoreError::Unreachable(LOST.into()))
    }

    /// `Login::unbind`, by a token of the binding that is there now.
    async fn unbind(&self, user: &UserId, attempt: &AttemptId) -> Result<Outcome, BindError> {
        let people = self
            .store
            .bindings
            .people_of(user)
            .await?
            .unwrap_or_default();
        for person in people
            .iter()
            .filter(|person| person.app == self.visit.person.app)
        {
            let (BindingState::Bound(Bound { generation, .. })
            | BindingState::Leaving { generation, .. }) = self.store.bindings.state(person).await?
            else {
                continue;
            };
            self.binder(person, attempt)
                .unbind(user, generation)
                .await?;
        }
        Ok(Outcome::Unbound)
    }
}
