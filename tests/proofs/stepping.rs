//! The store under a scheduler: each step of a call waits until the scheduler takes it. It can be taken twice, late, or
//! never, and its answer can be lost.

use std::{cell::RefCell, fmt::Debug, rc::Rc};

use async_trait::async_trait;
use futures_util::{FutureExt, future::LocalBoxFuture};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wxmint_ids::{Person, UnionId, UserId};
use wxmint_store::{
    BindingState, Bindings, Bound, Decision, Intent, IntentOutcome, LoginRecord, Recorded, Store, StoreError,
};

pub(crate) type Answer<T> = Result<T, StoreError>;

/// The reason of a call that was told that the store does not answer.
pub(crate) const LOST: &str = "lost, as the scheduler wants it";

fn lost<T>() -> Answer<T> {
    Err(StoreError { reason: LOST.into() })
}

/// A step by name, what it is about, and the rest in words.
pub(crate) type What = (&'static str, About, String);

#[derive(Debug, Clone)]
pub(crate) enum About {
    Person(Person),
    List(UserId),
    /// The user for whom a unionid stands; another than `not_any_more` if that is said.
    Holder {
        unionid: UnionId,
        not_any_more: Option<UserId>,
    },
    /// No binding.
    Other,
}

/// The step that a call has begun and waits for.
#[derive(Clone)]
pub(crate) struct Step {
    what: What,
    pending: Rc<dyn Take>,
}

trait Take {
    fn take(self: Rc<Self>, is_heard: bool) -> LocalBoxFuture<'static, String>;
    fn fail(&self);
    fn is_awaited(&self) -> bool;
}

struct Pending<T, F> {
    run: F,
    answers: UnboundedSender<Answer<T>>,
}

impl<T, F> Take for Pending<T, F>
where
    T: Debug + 'static,
    F: AsyncFn() -> Answer<T> + 'static,
{
    fn take(self: Rc<Self>, is_heard: bool) -> LocalBoxFuture<'static, String> {
        async move {
            let said = (self.run)().await;
            let text = format!("{said:?}");
            if is_heard {
                // Nobody waits for a step that is late.
                let _ = self.answers.send(said);
            }
            text
        }
        .boxed_local()
    }

    fn fail(&self) {
        let _ = self.answers.send(lost());
    }

    fn is_awaited(&self) -> bool {
        !self.answers.is_closed()
    }
}

impl Step {
    pub(crate) fn about(&self) -> &About {
        &self.what.1
    }

    /// Answers in words what the call is told when it goes on, if it hears the answer. Otherwise it waits still.
    pub(crate) async fn take(&self, is_heard: bool) -> String {
        Rc::clone(&self.pending).take(is_heard).await
    }

    /// Lets the call go on without an answer.
    pub(crate) fn fail(&self) {
        self.pending.fail();
    }

    pub(crate) fn text(&self) -> String {
        let (name, about, details) = &self.what;
        let about = match about {
            About::Person(person) => person.openid.as_str(),
            About::List(user) => user.as_str(),
            About::Holder { unionid, .. } => unionid.as_str(),
            About::Other => "",
        };
        format!("{name} {about} {details}")
    }
}

/// A request, or a call of the store: it does nothing until the scheduler lets it go on, and stops before its next.
pub(crate) struct Call<T> {
    serving: LocalBoxFuture<'static, T>,
    steps: UnboundedReceiver<Step>,
    next: Option<Step>,
}

impl<T> Call<T> {
    /// Makes a call of a future that takes its steps by these [`Steps`].
    pub(crate) fn new<F: Future<Output = T> + 'static>(serve: impl FnOnce(Steps) -> F) -> Self {
        let (wanted, steps) = unbounded_channel();
        Self { serving: serve(Steps(wanted)).boxed_local(), steps, next: None }
    }

    /// The step that it waits for, the first of two that it has sent together.
    pub(crate) fn step(&self) -> Step {
        self.next.clone().expect("it waits for a step")
    }

    /// Its result, if it does not stop before another step.
    pub(crate) async fn go_on(&mut self) -> Option<T> {
        loop {
            tokio::select! {
                biased;
                done = &mut self.serving => return Some(done),
                Some(step) = self.steps.recv() => {
                    if step.pending.is_awaited() {
                        self.next = Some(step);
                        return None;
                    }
                }
            }
        }
    }
}

/// Where the steps of a call are announced.
#[derive(Clone)]
pub(crate) struct Steps(UnboundedSender<Step>);

impl Steps {
    /// Waits until `run` was taken as a step.
    pub(crate) async fn take<T, F>(&self, what: What, run: F) -> Answer<T>
    where
        T: Debug + 'static,
        F: AsyncFn() -> Answer<T> + 'static,
    {
        let (answers, mut answer) = unbounded_channel();
        // Nobody listens any more once the world of a case is dropped.
        let _ = self.0.send(Step { what, pending: Rc::new(Pending { run, answers }) });
        answer.recv().await.unwrap_or_else(lost)
    }
}

/// Where a step is taken: in the first, and the others must answer the same. They may be lost, and others take their
/// place.
#[derive(Clone)]
pub(crate) struct Stores(Rc<RefCell<Vec<Rc<dyn Store>>>>);

impl Stores {
    pub(crate) fn of(stores: Vec<Rc<dyn Store>>) -> Self {
        Self(Rc::new(RefCell::new(stores)))
    }

    pub(crate) fn all(&self) -> Vec<Rc<dyn Store>> {
        self.0.borrow().clone()
    }

    pub(crate) fn are_replaced(&self, by: Vec<Rc<dyn Store>>) {
        self.0.replace(by);
    }
}

/// The store as one request sees it.
pub(crate) struct Stepwise {
    pub(crate) stores: Stores,
    pub(crate) steps: Steps,
}

impl Stepwise {
    pub(crate) async fn step<T, F>(&self, what: What, run: F) -> Answer<T>
    where
        T: Debug + PartialEq + 'static,
        F: AsyncFn(&dyn Store) -> Answer<T> + 'static,
    {
        let stores = self.stores.clone();
        let everywhere = async move || {
            let stores = stores.all();
            let said = run(&*stores[0]).await;
            for other in &stores[1..] {
                assert_eq!(run(&**other).await, said, "the stores differ");
            }
            said
        };
        self.steps.take(what, everywhere).await
    }

    /// The second round trip of a login.
    /// `None` for a newcomer, if that is to be told.
    pub(crate) async fn record(&self, record: LoginRecord) -> Answer<Option<BindingState>> {
        let what = of_person("record_login", &record.person, format!("{:?}", record.newcomer));
        let recorded = async move |store: &dyn Store| match store.record_login(&record).await? {
            Recorded::Counted { state, .. } => Ok(Some(timeless(state))),
            Recorded::Newcomer => Ok(None),
            Recorded::Limited(_) => Err(StoreError { reason: "limited, where nothing is".into() }),
        };
        self.step(what, recorded).await
    }

    pub(crate) async fn is_blocked(&self, user: &UserId) -> Answer<bool> {
        let (what, user) = (("user_state", About::Other, user.to_string()), user.clone());
        self.step(what, async move |store: &dyn Store| store.user_state(&user).await.map(|state| state.blocked)).await
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

    async fn settle(
        &self,
        person: &Person,
        generation: u64,
        user: &UserId,
        outcome: IntentOutcome,
    ) -> Answer<BindingState> {
        let what = of_person("settle", person, format!("{generation} {user} {outcome:?}"));
        let (person, user) = (person.clone(), user.clone());
        let run = async move |store: &dyn Store| {
            store.settle(&person, generation, &user, outcome.clone()).await.map(timeless)
        };
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

    async fn set_free(&self, person: &Person, generation: u64, user: &UserId) -> Answer<BindingState> {
        let what = of_person("set_free", person, format!("{generation} {user}"));
        let (person, user) = (person.clone(), user.clone());
        self.step(what, async move |at: &dyn Store| at.set_free(&person, generation, &user).await.map(timeless)).await
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

    async fn share_unionid(&self, unionid: &UnionId, users: &[&UserId]) -> Answer<Vec<UserId>> {
        let what = ("share_unionid", About::Other, format!("{} {users:?}", unionid.as_str()));
        let (unionid, users) = (unionid.clone(), users.iter().copied().cloned().collect::<Vec<_>>());
        let run = async move |store: &dyn Store| {
            let mut shared = store.share_unionid(&unionid, &users.iter().collect::<Vec<_>>()).await?;
            shared.sort();
            Ok(shared)
        };
        self.step(what, run).await
    }

    async fn note_shared(&self, person: &Person, user: &UserId) -> Answer<()> {
        let what = of_person("note_shared", person, user.to_string());
        let (person, user) = (person.clone(), user.clone());
        self.step(what, async move |store: &dyn Store| store.note_shared(&person, &user).await).await
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
