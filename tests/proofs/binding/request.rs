//! The steps of one request: the binding's part of `Login::login` and `Login::unbind`, by the crate's own `Binder`.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use wxmint_ids::{Person, UnionId, UserId};
use wxmint_keys::vault::Sealed;
use wxmint_store::limits::Rate;
use wxmint_store::{AttemptId, BindingState, Bindings, Bound, ExchangeOrder, LoginRecord, Newcomer, StoreError};

use wxmint::accounts::Named;
use wxmint::login::{Binder, FreePlace, Link, LoginError};

use crate::stepping::{About, Call, Stepwise, Stores};

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
        Self { kind, made: Rc::default() }
    }

    pub(crate) fn has_made(&self, user: &UserId) -> bool {
        self.made.borrow().values().any(|made| made == user)
    }

    fn new_user(&self, key: &str) -> Named {
        let mut users = self.made.borrow_mut();
        let fresh: UserId = format!("new-{}", users.len()).parse().expect("a user id");
        let key = match self.kind {
            Kind::Auto => fresh.to_string(),
            Kind::Service | Kind::File => key.to_owned(),
        };
        let user = users.entry(key).or_insert(fresh.clone()).clone();
        Named { made: user == fresh, user }
    }
}

/// One request, from its first step on the binding to its last.
pub(crate) struct Request {
    store: Stepwise,
    backend: Backend,
    visit: Visit,
}

impl Request {
    /// It waits before its first step.
    pub(crate) fn begin(stores: &Stores, backend: &Backend, visit: Visit) -> Call<Outcome> {
        let (stores, backend) = (stores.clone(), backend.clone());
        Call::new(|steps| Self { store: Stepwise { stores, steps }, backend, visit }.serve())
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
            Err(LoginError::AlreadyBound) => Outcome::AlreadyBound,
            Err(LoginError::Blocked) => Outcome::Blocked,
            Err(LoginError::StoreUnavailable(cause)) => Outcome::Failed(cause),
            Err(other) => Outcome::Failed(StoreError { reason: format!("not to be expected: {other}") }),
        }
    }

    fn binder<'a>(&'a self, person: &'a Person, attempt: &'a AttemptId) -> Binder<'a> {
        let Visit { unionid, per_user, .. } = &self.visit;
        Binder { store: &self.store, person, unionid: unionid.as_ref(), attempt, per_user: *per_user }
    }

    /// `Login::record` and `Login::bind`.
    async fn log_in(&self, candidate: Option<&Named>, attempt: &AttemptId) -> Result<Outcome, LoginError> {
        let binder = self.binder(&self.visit.person, attempt);
        let newcomer = if self.backend.kind == Kind::Auto { Newcomer::Told } else { Newcomer::Counted };
        let state = match self.store.record(self.record(newcomer, attempt)).await? {
            Some(state) => state,
            None => {
                let Named { user, .. } = self.ask("at once".into()).await?;
                let intent = binder.intent_for(user, self.visit.unionid.as_ref(), None).await?;
                let recorded = self.store.record(self.record(Newcomer::Intended(intent), attempt)).await?;
                recorded.expect("recorded with an intent")
            }
        };
        let settled = binder.settle(state).await?;
        let bound = match candidate {
            Some(candidate) => Some(binder.bind(candidate, settled).await?),
            None => binder.bind_unasked(settled, async |place: FreePlace<'_>| self.make(&place).await).await?,
        };
        let Some(bound) = bound else { return Ok(Outcome::Asked) };
        let linked = binder.link(&bound, async |user: &UserId| self.store.is_blocked(user).await).await?;
        if let Link::Blocked(_) = linked {
            return Ok(Outcome::Blocked);
        }
        let new_for = bound.new_for.filter(|made| *made == attempt.mark());
        Ok(Outcome::Bound(Bound { new_for, ..bound }))
    }

    fn record(&self, newcomer: Newcomer, attempt: &AttemptId) -> LoginRecord {
        LoginRecord {
            person: self.visit.person.clone(),
            session_key: if self.visit.has_key { Sealed::from_stored(b"sealed".to_vec()) } else { Sealed::nothing() },
            order: ExchangeOrder::new(self.visit.number, attempt),
            rate: Rate { burst: 1_000_000, period: Duration::from_secs(1) },
            newcomer,
        }
    }

    /// `Login::make_user`.
    async fn make(&self, place: &FreePlace<'_>) -> Result<Option<UserId>, LoginError> {
        match self.backend.kind {
            Kind::File => Ok(None),
            Kind::Service if place.dissolved => Ok(None),
            _ => Ok(Some(self.ask(self.key(place)).await?.user)),
        }
    }

    /// `login::new_user_key`.
    fn key(&self, place: &FreePlace<'_>) -> String {
        match place.unionid {
            Some(unionid) => format!("{} after {:?}", unionid.as_str(), place.deserted),
            None => format!("{} {}", self.visit.person.openid.as_str(), place.generation),
        }
    }

    /// A question to the account backend: like a step in all else.
    async fn ask(&self, key: String) -> Result<Named, StoreError> {
        let (backend, what) = (self.backend.clone(), ("ask", About::Other, key.clone()));
        self.store.steps.take(what, async move || Ok(backend.new_user(&key))).await
    }

    /// `Login::unbind`, by a token of the binding that is there now.
    async fn unbind(&self, user: &UserId, attempt: &AttemptId) -> Result<Outcome, LoginError> {
        let people = self.store.people_of(user).await?.unwrap_or_default();
        for person in people.iter().filter(|person| person.app == self.visit.person.app) {
            let (BindingState::Bound(Bound { generation, .. }) | BindingState::Leaving { generation, .. }) =
                self.store.binding_state(person).await?
            else {
                continue;
            };
            self.binder(person, attempt).dissolve(user, generation, async || Ok(())).await?;
        }
        Ok(Outcome::Unbound)
    }
}
