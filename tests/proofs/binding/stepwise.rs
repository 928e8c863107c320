//! The store as one request sees it: each step waits until the scheduler lets it be taken.

use std::{cell::RefCell, fmt::Debug, future::poll_fn, rc::Rc, task::Poll};

use async_trait::async_trait;
use futures_util::{FutureExt, future::LocalBoxFuture};
use wxmint::{
    ids::{Person, UnionId, UserId},
    store::{BindingState, Bindings, Bound, Decision, Intent, IntentOutcome, LoginRecord, Recorded, Store, StoreError},
};

/// Where a step is taken: in the first, and the others must answer the same.
pub(crate) type Stores = Rc<[Box<dyn Store>]>;

type Answer<T> = Result<T, StoreError>;

/// Of a request that was told that the store does not answer.
pub(crate) const GONE: &str = "gone, as the scheduler wants it";

/// What a request has begun and is yet to be taken: once, or twice if its answer is lost, or when nobody waits for it any
/// more.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: About,
    details: String,
    take: Rc<dyn Fn() -> LocalBoxFuture<'static, String>>,
    fail: Rc<dyn Fn()>,
}

#[derive(Debug, Clone)]
pub(crate) enum About {
    Person(Person),
    List(UserId),
    /// Whom a unionid stands for; another than `not_any_more` if that is said.
    Holder {
        unionid: UnionId,
        not_any_more: Option<UserId>,
    },
    /// Nothing of the store's.
    Backend,
}

impl Step {
    /// Answers in words what the request will be told when it goes on.
    pub(crate) async fn take(&self) -> String {
        (self.take)().await
    }

    /// Lets the request go on without an answer.
    pub(crate) fn fail(&self) {
        (self.fail)();
    }

    pub(crate) fn text(&self) -> String {
        let about = match &self.about {
            About::Person(person) => person.openid.as_str(),
            About::List(user) => user.as_str(),
            About::Holder { unionid, .. } => unionid.as_str(),
            About::Backend => "",
        };
        format!("{} {about} {}", self.name, self.details)
    }
}

#[derive(Clone)]
pub(crate) struct Stepwise {
    stores: Stores,
    wanted: Rc<RefCell<Vec<Step>>>,
}

/// A step is wanted until its request goes on.
struct Waiting {
    all: Rc<RefCell<Vec<Step>>>,
    take: Rc<dyn Fn() -> LocalBoxFuture<'static, String>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.all.borrow_mut().retain(|step| !Rc::ptr_eq(&step.take, &self.take));
    }
}

impl Stepwise {
    pub(crate) fn new(stores: &Stores) -> Self {
        Self { stores: Rc::clone(stores), wanted: Rc::default() }
    }

    /// The step for which the request waits, the first of two that it has sent together.
    pub(crate) fn wanted(&self) -> Option<Step> {
        self.wanted.borrow().first().cloned()
    }

    /// The second round trip of a login.
    /// `None` for a newcomer, if that is to be told.
    pub(crate) async fn record(&self, record: LoginRecord) -> Answer<Option<BindingState>> {
        let (about, details) = (About::Person(record.person.clone()), format!("{:?}", record.newcomer));
        let recorded = async move |store: &dyn Store| match store.record_login(&record).await? {
            Recorded::Counted { state, .. } => Ok(Some(timeless(state))),
            Recorded::Newcomer => Ok(None),
            Recorded::Limited(_) => Err(StoreError { reason: "limited, where nothing is".into() }),
        };
        self.step(("record_login", about, details), recorded).await
    }

    /// A question to the account backend: like a step in all else.
    pub(crate) async fn ask<T>(&self, question: String, answer: impl Fn() -> T + 'static) -> Answer<T>
    where
        T: Clone + Debug + 'static,
    {
        let take = move || std::future::ready(Ok(answer())).boxed_local();
        self.wait_for(("ask", About::Backend, question), take).await
    }

    async fn step<T, F>(&self, what: (&'static str, About, String), run: F) -> Answer<T>
    where
        T: Clone + Debug + PartialEq + 'static,
        F: AsyncFn(&dyn Store) -> Answer<T> + 'static,
    {
        let (stores, run) = (Rc::clone(&self.stores), Rc::new(run));
        let take = move || {
            let (stores, run) = (Rc::clone(&stores), Rc::clone(&run));
            async move {
                let said = run(&*stores[0]).await;
                for other in &stores[1..] {
                    assert_eq!(run(&**other).await, said, "the stores differ");
                }
                said
            }
            .boxed_local()
        };
        self.wait_for(what, take).await
    }

    async fn wait_for<T>(
        &self,
        (name, about, details): (&'static str, About, String),
        run: impl Fn() -> LocalBoxFuture<'static, Answer<T>> + 'static,
    ) -> Answer<T>
    where
        T: Clone + Debug + 'static,
    {
        let answer = Rc::new(RefCell::new(None));
        let (taken, failed) = (Rc::clone(&answer), Rc::clone(&answer));
        let take = move || {
            let (taken, said) = (Rc::clone(&taken), run());
            async move {
                let said = said.await;
                taken.replace(Some(said.clone()));
                format!("{said:?}")
            }
            .boxed_local()
        };
        let fail = move || drop(failed.replace(Some(Err(StoreError { reason: GONE.into() }))));
        let step = Step { name, about, details, take: Rc::new(take), fail: Rc::new(fail) };
        let _waiting = Waiting { all: Rc::clone(&self.wanted), take: Rc::clone(&step.take) };
        self.wanted.borrow_mut().push(step);
        poll_fn(|_| answer.take().map_or(Poll::Pending, Poll::Ready)).await
    }
}

fn of_person(name: &'static str, person: &Person, details: String) -> (&'static str, About, String) {
    (name, About::Person(person.clone()), details)
}

fn of_user(name: &'static str, user: &UserId, details: String) -> (&'static str, About, String) {
    (name, About::List(user.clone()), details)
}

#[async_trait(?Send)]
impl Bindings for Stepwise {
    async fn binding_state(&self, person: &Person) -> Answer<BindingState> {
        let what = of_person("binding_state", person, String::new());
        let person = person.clone();
        self.step(what, async move |store: &dyn Store| store.binding_state(&person).await.map(timeless)).await
    }

    async fn intend(&self, person: &Person, generation: u64, intent: &Intent) -> Answer<BindingState> {
        let what = of_person("intend", person, format!("{generation} {intent:?}"));
        let (person, intent) = (person.clone(), intent.clone());
        let run = async move |store: &dyn Store| store.intend(&person, generation, &intent).await.map(timeless);
        self.step(what, run).await
    }

    async fn admit(&self, person: &Person, generation: u64, intent: &Intent, per_app: u32) -> Answer<Decision> {
        let Intent { user, by_unionid, .. } = intent;
        let what = of_user("admit", user, format!("{} {generation} {by_unionid}", person.openid.as_str()));
        let (person, intent) = (person.clone(), intent.clone());
        self.step(what, async move |store: &dyn Store| store.admit(&person, generation, &intent, per_app).await).await
    }

    async fn settle(&self, person: &Person, generation: u64, outcome: IntentOutcome) -> Answer<BindingState> {
        let what = of_person("settle", person, format!("{generation} {outcome:?}"));
        let person = person.clone();
        let run = async move |store: &dyn Store| store.settle(&person, generation, outcome.clone()).await.map(timeless);
        self.step(what, run).await
    }

    async fn leave(&self, person: &Person, bound: &Bound) -> Answer<BindingState> {
        let what = of_person("leave", person, format!("{} {}", bound.generation, bound.user));
        let (person, bound) = (person.clone(), bound.clone());
        self.step(what, async move |store: &dyn Store| store.leave(&person, &bound).await.map(timeless)).await
    }

    async fn dismiss(&self, user: &UserId, person: &Person, generation: u64, since: i64) -> Answer<()> {
        let what = of_user("dismiss", user, format!("{} {generation}", person.openid.as_str()));
        let (user, person) = (user.clone(), person.clone());
        self.step(what, async move |store: &dyn Store| store.dismiss(&user, &person, generation, since).await).await
    }

    async fn set_free(&self, person: &Person, generation: u64) -> Answer<BindingState> {
        let what = of_person("set_free", person, generation.to_string());
        let person = person.clone();
        self.step(what, async move |store: &dyn Store| store.set_free(&person, generation).await.map(timeless)).await
    }

    async fn people_of(&self, user: &UserId) -> Answer<Option<Vec<Person>>> {
        let what = of_user("people_of", user, String::new());
        let user = user.clone();
        self.step(what, async move |store: &dyn Store| people_in_order(store, &user).await).await
    }

    async fn claim_unionid(&self, unionid: &UnionId, candidate: Option<&UserId>) -> Answer<Option<UserId>> {
        let about = About::Holder { unionid: unionid.clone(), not_any_more: None };
        let what = ("claim_unionid", about, format!("{candidate:?}"));
        let (unionid, candidate) = (unionid.clone(), candidate.cloned());
        let run = async move |store: &dyn Store| store.claim_unionid(&unionid, candidate.as_ref()).await;
        self.step(what, run).await
    }

    async fn move_unionid(&self, unionid: &UnionId, from: &UserId, to: &UserId) -> Answer<UserId> {
        // From a user to the same one, it is a claim for good.
        let not_any_more = (from != to).then(|| from.clone());
        let about = About::Holder { unionid: unionid.clone(), not_any_more };
        let what = ("move_unionid", about, format!("{from} {to}"));
        let (unionid, from, to) = (unionid.clone(), from.clone(), to.clone());
        self.step(what, async move |store: &dyn Store| store.move_unionid(&unionid, &from, &to).await).await
    }

    async fn note_unionid(&self, person: &Person, user: &UserId, unionid: &UnionId) -> Answer<bool> {
        let what = of_person("note_unionid", person, format!("{user} {}", unionid.as_str()));
        let (person, user, unionid) = (person.clone(), user.clone(), unionid.clone());
        self.step(what, async move |store: &dyn Store| store.note_unionid(&person, &user, &unionid).await).await
    }

    async fn link_unionid(
        &self,
        person: &Person,
        user: &UserId,
        unionid: &UnionId,
        conflict: Option<&UserId>,
    ) -> Answer<Option<bool>> {
        let what = of_person("link_unionid", person, format!("{user} {} {conflict:?}", unionid.as_str()));
        let (person, user, unionid) = (person.clone(), user.clone(), unionid.clone());
        let conflict = conflict.cloned();
        let run = async move |store: &dyn Store| store.link_unionid(&person, &user, &unionid, conflict.as_ref()).await;
        self.step(what, run).await
    }
}

/// Each store has an order of its own.
pub(crate) async fn people_in_order(store: &dyn Store, user: &UserId) -> Answer<Option<Vec<Person>>> {
    let mut people = store.people_of(user).await?;
    if let Some(people) = &mut people {
        people.sort_by_key(|person| person.openid.as_str().to_owned());
    }
    Ok(people)
}

/// The stores have clocks of their own.
fn timeless(state: BindingState) -> BindingState {
    match state {
        BindingState::Leaving { generation, user, .. } => BindingState::Leaving { generation, user, since: 0 },
        other => other,
    }
}
