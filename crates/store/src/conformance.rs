//! The conformance suite: every store must pass these cases. `cargo test` runs them in memory and
//! on Redis, for which it needs `redis-server` on the PATH.
#![cfg(test)]

mod access_token;
mod client_tokens;
mod computed;
mod servers;
mod texts;

use std::{
    cell,
    collections::{BTreeSet, HashMap, HashSet},
    num::NonZeroU64,
    rc::Rc,
    time::Duration,
};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use wxmint_ids::{AppId, LoginCode, Person, Platform, UnionId, UserId};
use wxmint_keys::token::Issued;
use wxmint_keys::vault::{Sealed, Vault};

use self::servers::{Cluster, DAY, RedisServer};
use super::*;
use crate::limits::{LimitError, Rate, Reservation, TooMany};
use crate::redis::revocations::lives::LIFE_NOTED_EVERY;
use wxmint_redis_link::{Call, scan::Place, scan::Slots};
use wxmint_verify::LONGEST_LIFE;

fn attempt_id(byte: u8) -> AttemptId {
    AttemptId::new([byte; 16])
}

fn app() -> AppId {
    "wx0123456789abcdef".parse().expect("an app")
}

fn code(text: &str) -> LoginCode {
    text.parse().expect("a code")
}

fn person(openid: &str) -> Person {
    Person {
        platform: Platform::WeChat,
        app: app(),
        openid: openid.parse().expect("an openid"),
    }
}

/// The present second.
fn second() -> i64 {
    servers::now().timestamp()
}

fn user(name: &str) -> UserId {
    name.parse().expect("a user id")
}

fn sealed(text: &str) -> Sealed {
    Sealed::from_stored(text.as_bytes().to_vec())
}

fn vault() -> Vault {
    Vault::parse(b"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").expect("a vault")
}

fn record(openid: &str, order: &ExchangeTimestamp, key: &str, candidate: &str) -> LoginRecord {
    LoginRecord {
        person: person(openid),
        session_key: sealed(key),
        order: order.clone(),
        rate: OFTEN,
        if_unbound: UnboundPolicy::Intended(intent(candidate)),
    }
}

const OFTEN: Rate = Rate {
    burst: 100_000,
    period: Duration::from_mins(5),
};

/// A kind of a person's counters.
const NAMES: &str = "names";

fn visit(address: &str, rate: Rate) -> RateLimitKey {
    RateLimitKey::new("ip", address, rate)
}

fn often() -> RateLimitKey {
    visit("192.0.2.1", OFTEN)
}

/// The refusal of an event that is one too many.
fn too_many(counted: Result<Reservation, LimitError>) -> TooMany {
    let Err(LimitError::TooMany(refused)) = counted else {
        panic!("one too many: {counted:?}")
    };
    refused
}

fn intent(name: &str) -> Intent {
    Intent {
        user: user(name),
        made: true,
        by_unionid: false,
    }
}

fn wish(user: &UserId, by_unionid: bool) -> Intent {
    Intent {
        user: user.clone(),
        made: true,
        by_unionid,
    }
}

/// Records a login and returns the state of the person's binding.
async fn recorded(store: &Store, login: &LoginRecord) -> BindingState {
    match log_in(store, login).await {
        Recorded::Counted { state, at, .. } => {
            assert_eq!(at, login.order.began_at());
            state
        }
        other => panic!("{other:?}"),
    }
}

/// Records a login as `login::login_record` does: the intent is sent only if the store answers that
/// the person is unbound.
async fn log_in(store: &Store, login: &LoginRecord) -> Recorded {
    let if_unbound = match login.if_unbound {
        UnboundPolicy::Intended(_) => UnboundPolicy::ReportOnly,
        _ => UnboundPolicy::Counted,
    };
    let asked = LoginRecord {
        if_unbound,
        ..login.clone()
    };
    match store.logins.record(&asked).await.expect("recorded") {
        Recorded::Unbound => store.logins.record(login).await.expect("recorded"),
        recorded => recorded,
    }
}

fn granted(attempt: Claim) -> ExchangeTimestamp {
    let Claim::Granted(order) = attempt else {
        panic!("granted")
    };
    order
}

/// The timestamps of exchanges that begin now, each `micros` microseconds later.
async fn orders(store: &Store, micros: [u64; 3]) -> [ExchangeTimestamp; 3] {
    let now = granted(
        store
            .codes
            .claim(&app(), &code("for the clock"), &attempt_id(0), &often())
            .await
            .expect("claimed"),
    )
    .micros;
    let mut attempt = 0;
    micros.map(|offset| {
        attempt += 1;
        ExchangeTimestamp::new(now + offset, &attempt_id(attempt))
    })
}

/// Everything that a walk from `place` finds, and the number of pages.
async fn walked<T>(
    mut place: walk::Place,
    read: impl AsyncFn(&walk::Place) -> Result<walk::Page<T>>,
) -> (Vec<T>, usize) {
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let Ok(page) = read(&place).await else {
            panic!("a page")
        };
        found.extend(page.found);
        pages += 1;
        let Some(next) = page.next else {
            return (found, pages);
        };
        place = next;
    }
}

async fn a_code_is_claimed_once(store: Rc<Store>) {
    let claim = |byte| {
        let store = Rc::clone(&store);
        async move {
            store
                .codes
                .claim(&app(), &code("a code"), &attempt_id(byte), &often())
                .await
                .expect("an answer")
        }
    };
    granted(claim(1).await);
    assert_eq!(claim(2).await, Claim::Taken);
    granted(claim(1).await);
    let other_app = "wxother".parse().expect("an app");
    granted(
        store
            .codes
            .claim(&other_app, &code("a code"), &attempt_id(2), &often())
            .await
            .expect("another app's code"),
    );
}

async fn a_later_claim_has_a_later_place(store: Rc<Store>) {
    let mut last = None;
    for byte in 0..50 {
        let text = format!("code {byte}");
        let order = granted(
            store
                .codes
                .claim(&app(), &code(&text), &attempt_id(200 - byte), &often())
                .await
                .expect("claimed"),
        );
        assert!(
            last.as_ref().is_none_or(|last| *last < order),
            "{last:?} before {order:?}"
        );
        last = Some(order);
    }
}

async fn only_its_claimant_gives_a_code_back(store: Rc<Store>) {
    granted(
        store
            .codes
            .claim(&app(), &code("returned"), &attempt_id(1), &often())
            .await
            .expect("claimed"),
    );
    store
        .codes
        .release(&app(), &code("returned"), &attempt_id(2))
        .await
        .expect("ignored");
    assert_eq!(
        store
            .codes
            .claim(&app(), &code("returned"), &attempt_id(2), &often())
            .await,
        Ok(Claim::Taken)
    );
    store
        .codes
        .release(&app(), &code("returned"), &attempt_id(1))
        .await
        .expect("released");
    granted(
        store
            .codes
            .claim(&app(), &code("returned"), &attempt_id(2), &often())
            .await
            .expect("claimed"),
    );
}

async fn a_login_writes_its_intent_down_once(store: Rc<Store>) {
    let [first, second, _] = orders(&store, [0, 1, 2]).await;
    let login = record("o1", &first, "k1", "user-1");
    let intended = BindingState::Intended {
        generation: FIRST,
        intent: intent("user-1"),
    };
    assert_eq!(recorded(&store, &login).await, intended);
    assert_eq!(
        recorded(&store, &login).await,
        intended,
        "a repetition answers the same"
    );
    assert_eq!(
        recorded(&store, &record("o1", &second, "k2", "user-2")).await,
        intended,
        "no other intent"
    );
    let told = LoginRecord {
        if_unbound: UnboundPolicy::ReportOnly,
        ..record("o2", &first, "k2", "nobody")
    };
    assert_eq!(store.logins.record(&told).await, Ok(Recorded::Unbound));
    let silent = LoginRecord {
        if_unbound: UnboundPolicy::Counted,
        ..record("o2", &second, "k2", "nobody")
    };
    assert_eq!(recorded(&store, &silent).await, FREE);
    assert_eq!(
        store.sessions.keys(&silent.person).await,
        Ok(vec![]),
        "of who is not bound"
    );
}

const FREE: BindingState = BindingState::Free {
    generation: None,
    dissolved: false,
};

const FIRST: Generation = Generation::from_number(1);
const SECOND: Generation = Generation::from_number(2);
const THIRD: Generation = Generation::from_number(3);

fn bound(generation: Generation, name: &str, new: bool) -> BindingState {
    BindingState::Bound(Bound {
        new_for: new.then(|| attempt_id(7).mark()),
        ..bound_to(generation, name)
    })
}

/// A binding with its required fields alone.
fn bound_to(generation: Generation, name: &str) -> Bound {
    Bound {
        generation,
        ..Bound::computed(user(name))
    }
}

impl Store {
    async fn last_login(&self, person: &Person) -> Result<Option<DateTime<Utc>>> {
        Ok(self
            .bindings
            .find(person)
            .await?
            .and_then(|bound| bound.last_login))
    }
}

/// The same state, without the time of the binding.
fn undated(state: BindingState) -> BindingState {
    let BindingState::Bound(bound) = state else {
        return state;
    };
    BindingState::Bound(Bound {
        bound_at: DateTime::default(),
        ..bound
    })
}

/// Binds a person through all steps.
async fn bind(
    store: &Store,
    openid: &str,
    name: &str,
    generation: Generation,
) -> (Decision, BindingState) {
    let person = person(openid);
    let last = NonZeroU64::new(generation.number() - 1).map(Generation::Numbered);
    store
        .bindings
        .intend(&person, last, &intent(name))
        .await
        .expect("intended");
    let decision = store
        .bindings
        .admit(&person, generation, &wish(&user(name), false), 1)
        .await
        .expect("decided");
    let settled = if let Decision::Admitted { first } = decision {
        store
            .bindings
            .settle(
                &person,
                generation,
                &user(name),
                first.then(|| attempt_id(7).mark()),
                None,
            )
            .await
    } else {
        store
            .bindings
            .drop_intent(&person, generation, &user(name))
            .await
    };
    (decision, settled.expect("settled"))
}

async fn a_binding_is_made_in_steps_that_may_be_repeated(store: Rc<Store>) {
    for _ in 0..2 {
        let (decision, state) = bind(&store, "o1", "user-1", FIRST).await;
        assert_eq!(
            (decision, undated(state)),
            (
                Decision::Admitted { first: true },
                bound(FIRST, "user-1", true)
            )
        );
    }
    let others = store
        .bindings
        .state(&person("o1"))
        .await
        .expect("an answer");
    assert_eq!(undated(others), bound(FIRST, "user-1", true));
    let rival = store
        .bindings
        .intend(&person("o1"), Some(FIRST), &intent("user-2"))
        .await
        .expect("an answer");
    assert_eq!(
        undated(rival),
        bound(FIRST, "user-1", true),
        "no intent over a binding"
    );
    assert_eq!(
        store.bindings.people_of(&user("user-1")).await,
        Ok(Some(vec![person("o1")]))
    );
    assert_eq!(store.bindings.people_of(&user("nobody")).await, Ok(None));
}

async fn a_login_that_is_recorded_again_undoes_no_dissolution(store: Rc<Store>) {
    let [order, ..] = orders(&store, [0, 1, 2]).await;
    let login = record("o1", &order, "k1", "user-1");
    recorded(&store, &login).await;
    let (_, state) = bind(&store, "o1", "user-1", FIRST).await;
    let BindingState::Bound(made) = state else {
        panic!("bound")
    };
    store
        .unbindings
        .leave(&person("o1"), &made)
        .await
        .expect("left");
    store
        .bindings
        .set_free(&person("o1"), FIRST, &user("user-1"))
        .await
        .expect("free");
    assert_eq!(
        recorded(&store, &login).await,
        BindingState::Free {
            generation: Some(FIRST),
            dissolved: true
        }
    );
}

async fn an_intent_of_an_older_generation_is_not_written_down(store: Rc<Store>) {
    let stale = store
        .bindings
        .intend(&person("o1"), Some(THIRD), &intent("user-1"))
        .await;
    assert_eq!(stale, Ok(FREE));
}

async fn a_user_takes_as_many_people_of_an_app_as_may_be(store: Rc<Store>) {
    bind(&store, "o1", "user-1", FIRST).await;
    let (decision, state) = bind(&store, "o2", "user-1", FIRST).await;
    assert_eq!(decision, Decision::Full);
    assert_eq!(
        state,
        BindingState::Free {
            generation: Some(FIRST),
            dissolved: false
        }
    );
    let other_app = Person {
        app: "wxother".parse().expect("an app"),
        ..person("o2")
    };
    let elsewhere = store
        .bindings
        .admit(&other_app, FIRST, &wish(&user("user-1"), false), 1)
        .await;
    assert_eq!(elsewhere, Ok(Decision::Admitted { first: false }));
    assert_eq!(
        store
            .bindings
            .admit(&person("o3"), FIRST, &wish(&user("user-1"), false), 2)
            .await,
        Ok(Decision::Admitted { first: false })
    );
}

async fn a_decision_is_made_once_for_a_generation(store: Rc<Store>) {
    bind(&store, "o1", "user-1", FIRST).await;
    let admit = |generation| {
        let store = Rc::clone(&store);
        async move {
            store
                .bindings
                .admit(&person("o2"), generation, &wish(&user("user-1"), false), 1)
                .await
                .expect("decided")
        }
    };
    assert_eq!(admit(FIRST).await, Decision::Full);
    store
        .unbindings
        .unlist_and_revoke(&user("user-1"), &person("o1"), FIRST, second())
        .await
        .expect("unlisted");
    assert_eq!(
        admit(FIRST).await,
        Decision::Full,
        "although there is room now"
    );
    assert_eq!(admit(SECOND).await, Decision::Admitted { first: false });
    assert_eq!(
        admit(FIRST).await,
        Decision::Dismissed,
        "a helper that comes too late"
    );
    store
        .unbindings
        .unlist_and_revoke(&user("user-1"), &person("o2"), FIRST, second())
        .await
        .expect("a removal that comes too late");
    assert_eq!(admit(SECOND).await, Decision::Admitted { first: false });
}

async fn a_dissolved_binding_leaves_the_person_free_and_its_list_without(store: Rc<Store>) {
    let (_, state) = bind(&store, "o1", "user-1", FIRST).await;
    let BindingState::Bound(made) = state else {
        panic!("bound")
    };
    let person = person("o1");
    let wrong = Bound {
        user: user("user-2"),
        ..made.clone()
    };
    assert_eq!(
        store.unbindings.leave(&person, &wrong).await.map(undated),
        Ok(bound(FIRST, "user-1", true))
    );
    let leaving = store.unbindings.leave(&person, &made).await.expect("left");
    let BindingState::Leaving {
        generation: FIRST,
        user: left,
        since,
    } = leaving.clone()
    else {
        panic!("{leaving:?}")
    };
    assert_eq!(left, user("user-1"));
    for _ in 0..2 {
        assert_eq!(
            store.unbindings.leave(&person, &made).await,
            Ok(leaving.clone())
        );
        store
            .unbindings
            .unlist_and_revoke(&user("user-1"), &person, FIRST, since)
            .await
            .expect("unlisted");
    }
    let free = BindingState::Free {
        generation: Some(FIRST),
        dissolved: true,
    };
    assert_eq!(
        store
            .bindings
            .set_free(&person, FIRST, &user("user-2"))
            .await,
        Ok(leaving),
        "whoever left another user"
    );
    for _ in 0..2 {
        assert_eq!(
            store
                .bindings
                .set_free(&person, FIRST, &user("user-1"))
                .await,
            Ok(free.clone())
        );
    }
    assert_eq!(
        store.bindings.people_of(&user("user-1")).await,
        Ok(Some(vec![]))
    );
    assert_eq!(
        store
            .bindings
            .admit(&person, FIRST, &wish(&user("user-1"), false), 1)
            .await,
        Ok(Decision::Dismissed)
    );
    let late = store.unbindings.leave(&person, &made).await;
    assert_eq!(late, Ok(free), "a leaving that comes too late");
    let (again, state) = bind(&store, "o1", "user-1", SECOND).await;
    assert_eq!(
        (again, undated(state)),
        (
            Decision::Admitted { first: false },
            bound(SECOND, "user-1", false)
        )
    );
    assert_eq!(
        store.unbindings.leave(&person, &made).await.map(undated),
        Ok(bound(SECOND, "user-1", false)),
        "of the binding before"
    );
}

async fn a_dropped_intent_leaves_a_dissolved_person_dissolved(store: Rc<Store>) {
    let (_, state) = bind(&store, "o1", "user-1", FIRST).await;
    let BindingState::Bound(made) = state else {
        panic!("bound")
    };
    let person = person("o1");
    store.unbindings.leave(&person, &made).await.expect("left");
    store
        .bindings
        .set_free(&person, FIRST, &user("user-1"))
        .await
        .expect("free");
    store
        .bindings
        .intend(&person, Some(FIRST), &intent("user-2"))
        .await
        .expect("intended");
    let dropped = store
        .bindings
        .drop_intent(&person, SECOND, &user("user-2"))
        .await;
    assert_eq!(
        dropped,
        Ok(BindingState::Free {
            generation: Some(SECOND),
            dissolved: true
        })
    );
}

async fn for_a_unionids_sake_nobody_joins_who_has_left_all(store: Rc<Store>) {
    let admit = |openid: &'static str, generation| {
        let store = Rc::clone(&store);
        async move {
            store
                .bindings
                .admit(&person(openid), generation, &wish(&user("user-1"), true), 9)
                .await
                .expect("decided")
        }
    };
    assert_eq!(
        admit("o1", FIRST).await,
        Decision::Admitted { first: true },
        "nobody yet"
    );
    assert_eq!(
        admit("o2", FIRST).await,
        Decision::Admitted { first: false }
    );
    store
        .unbindings
        .unlist_and_revoke(&user("user-1"), &person("o1"), FIRST, second())
        .await
        .expect("unlisted");
    assert_eq!(
        admit("o3", FIRST).await,
        Decision::Admitted { first: false },
        "one is left"
    );
    for openid in ["o2", "o3"] {
        store
            .unbindings
            .unlist_and_revoke(&user("user-1"), &person(openid), FIRST, second())
            .await
            .expect("unlisted");
    }
    assert_eq!(admit("o4", FIRST).await, Decision::Deserted);
    assert_eq!(admit("o4", FIRST).await, Decision::Deserted, "decided once");
}

async fn a_unionid_stands_for_one_user(store: Rc<Store>) {
    let unionid: UnionId = "u1".parse().expect("a unionid");
    let claim = |name: Option<&'static str>| {
        let (store, unionid) = (Rc::clone(&store), unionid.clone());
        async move {
            store
                .union_ids
                .claim(&unionid, name.map(user).as_ref())
                .await
                .expect("an answer")
        }
    };
    assert_eq!(claim(None).await, None);
    assert_eq!(claim(Some("user-1")).await, Some(user("user-1")));
    assert_eq!(claim(Some("user-2")).await, Some(user("user-1")));
    assert_eq!(
        store
            .union_ids
            .relink(&unionid, &user("user-3"), &user("user-2"))
            .await,
        Ok(user("user-1"))
    );
    for _ in 0..2 {
        assert_eq!(
            store
                .union_ids
                .relink(&unionid, &user("user-1"), &user("user-2"))
                .await,
            Ok(user("user-2"))
        );
    }
    assert_eq!(claim(None).await, Some(user("user-2")));
}

async fn a_link_is_of_the_binding_and_a_conflict_is_news_once(store: Rc<Store>) {
    bind(&store, "o1", "user-1", FIRST).await;
    let link = |name: &'static str, conflict: Option<&'static str>| {
        let store = Rc::clone(&store);
        let unionid: UnionId = "u1".parse().expect("a unionid");
        async move {
            let conflict = conflict.map(user);
            store
                .bindings
                .link_unionid(&person("o1"), &user(name), &unionid, conflict.as_ref())
                .await
                .expect("an answer")
        }
    };
    assert_eq!(
        link("user-2", Some("user-3")).await,
        None,
        "bound to another"
    );
    assert_eq!(link("user-1", None).await, Some(false));
    let Ok(BindingState::Bound(bound)) = store.bindings.state(&person("o1")).await else {
        panic!("bound")
    };
    assert_eq!(bound.unionid.expect("linked").as_str(), "u1");
    assert_eq!(link("user-1", Some("user-3")).await, Some(true));
    assert_eq!(link("user-1", Some("user-3")).await, Some(false), "no news");
    let Ok(BindingState::Bound(bound)) = store.bindings.state(&person("o1")).await else {
        panic!("bound")
    };
    assert_eq!(bound.conflict, Some(user("user-3")));
}

async fn users_of_one_unionid_are_noted_and_each_of_their_people_knows_until_bound_anew(
    store: Rc<Store>,
) {
    let (unionid, users): (UnionId, _) = (
        "u1".parse().expect("a unionid"),
        ["user-1", "user-2"].map(user),
    );
    let shared = async || {
        let users = store
            .union_ids
            .share(&unionid, &[])
            .await
            .expect("an answer");
        users.into_iter().collect::<BTreeSet<_>>()
    };
    let knows = async || match store.bindings.state(&person("o1")).await {
        Ok(BindingState::Bound(bound)) => Some(bound.shared),
        _ => None,
    };
    assert_eq!(shared().await, BTreeSet::new());
    for _ in 0..2 {
        store
            .union_ids
            .share(&unionid, &[&users[0], &users[1]])
            .await
            .expect("noted");
        assert_eq!(shared().await, BTreeSet::from(users.clone()));
    }
    assert_eq!(
        store.union_ids.erase(&unionid, &users[1]).await,
        Ok(false),
        "it was linked to nobody"
    );
    assert_eq!(shared().await, BTreeSet::from([users[0].clone()]));

    store
        .bindings
        .note_shared(&person("o1"), &users[0])
        .await
        .expect("ignored");
    let (_, BindingState::Bound(made)) = bind(&store, "o1", "user-1", FIRST).await else {
        panic!("bound")
    };
    store
        .bindings
        .note_shared(&person("o1"), &users[1])
        .await
        .expect("ignored");
    assert_eq!((made.shared, knows().await), (false, Some(false)));
    store
        .bindings
        .note_shared(&person("o1"), &users[0])
        .await
        .expect("noted");
    assert_eq!(knows().await, Some(true));
    unbind(&store, "o1", "user-1", FIRST).await;
    bind(&store, "o1", "user-1", SECOND).await;
    assert_eq!(knows().await, Some(false), "of another binding");
}

async fn a_binding_is_read_whole_and_what_is_half_done_is_none(store: Rc<Store>) {
    assert_eq!(store.bindings.find(&person("o1")).await, Ok(None));
    store
        .bindings
        .intend(&person("o1"), None, &intent("user-1"))
        .await
        .expect("intended");
    assert_eq!(store.bindings.find(&person("o1")).await, Ok(None));
    let before = servers::now().trunc_subsecs(0);
    let (_, BindingState::Bound(made)) = bind(&store, "o1", "user-1", FIRST).await else {
        panic!("bound")
    };
    let binding = store
        .bindings
        .find(&person("o1"))
        .await
        .expect("an answer")
        .expect("a binding");
    assert!(
        before <= binding.bound_at && binding.bound_at <= servers::now(),
        "{binding:?}"
    );
    assert_eq!(
        binding,
        Bound {
            bound_at: binding.bound_at,
            ..made.clone()
        }
    );

    let unionid: UnionId = "u1".parse().expect("a unionid");
    store
        .bindings
        .link_unionid(
            &person("o1"),
            &user("user-1"),
            &unionid,
            Some(&user("user-2")),
        )
        .await
        .expect("linked");
    let linked = Bound {
        unionid: Some(unionid),
        conflict: Some(user("user-2")),
        ..binding
    };
    assert_eq!(store.bindings.find(&person("o1")).await, Ok(Some(linked)));
    store
        .unbindings
        .leave(&person("o1"), &made)
        .await
        .expect("left");
    assert_eq!(store.bindings.find(&person("o1")).await, Ok(None));
}

async fn a_ticket_is_spent_once(store: Rc<Store>) {
    let ticket = Ticket::random();
    let key = (
        ExchangeTimestamp::new(7, &attempt_id(9)),
        Sealed::from_stored(vec![0, 255, 10]),
    );
    let unionid = Some("u1".parse().expect("a unionid"));
    let holder = TicketHolder {
        person: person("o1"),
        unionid,
        key,
    };
    assert_eq!(
        store.tickets.redeem(&ticket, &attempt_id(1)).await,
        Ok(None)
    );
    store.tickets.keep(&ticket, &holder).await.expect("kept");
    for _ in 0..2 {
        let taken = store
            .tickets
            .redeem(&ticket, &attempt_id(1))
            .await
            .expect("an answer");
        let (taken, at) = taken.expect("repeated by its claim");
        assert_eq!(taken, holder);
        assert!(
            (servers::now() - at).num_seconds().abs() <= 5,
            "dated by the store's clock"
        );
    }
    assert_eq!(
        store.tickets.redeem(&ticket, &attempt_id(2)).await,
        Ok(None)
    );
    let plain = TicketHolder {
        unionid: None,
        ..holder
    };
    let other = Ticket::random();
    store.tickets.keep(&other, &plain).await.expect("kept");
    assert_eq!(
        store
            .tickets
            .redeem(&other, &attempt_id(2))
            .await
            .map(|taken| taken.map(|(holder, _)| holder)),
        Ok(Some(plain))
    );
}

async fn an_address_over_its_limit_claims_nothing(store: Rc<Store>) {
    let few = Rate {
        burst: 2,
        period: Duration::from_hours(1),
    };
    let claim = |text: &'static str, address: &'static str, attempt: u8| {
        let store = Rc::clone(&store);
        async move {
            store
                .codes
                .claim(
                    &app(),
                    &code(text),
                    &attempt_id(attempt),
                    &visit(address, few),
                )
                .await
                .expect("an answer")
        }
    };
    granted(claim("one", "192.0.2.7", 1).await);
    granted(claim("two", "192.0.2.7", 2).await);
    let Claim::Limited(refused) = claim("three", "192.0.2.7", 3).await else {
        panic!("limited")
    };
    assert!(
        (3599..4050).contains(&refused.retry_after.as_secs()),
        "a period, and what is left of its eighth: {refused:?}"
    );
    // The one who repeats the login, at another attempt.
    granted(claim("three", "192.0.2.8", 4).await);
}

async fn attempts_are_counted_and_given_back(store: Rc<Store>) {
    let rate = Rate {
        burst: 2,
        period: Duration::from_hours(1),
    };
    let meter = |name: &str| RateLimitKey::of_person(&person("o1"), NAMES, name, rate);
    let counted = async |name| {
        store
            .limits
            .count(&meter(name))
            .await
            .expect("within the limit")
    };
    for _ in 0..5 {
        store
            .limits
            .uncount(&meter("a"), counted("a").await)
            .await
            .expect("given back");
    }
    counted("a").await;
    let last = counted("a").await;
    for _ in 0..5 {
        let refused = too_many(store.limits.count(&meter("a")).await);
        assert!(
            (3599..4050).contains(&refused.retry_after.as_secs()),
            "{refused:?}"
        );
    }
    counted("b").await;
    store
        .limits
        .uncount(&meter("a"), last)
        .await
        .expect("given back");
    counted("a").await;
}

async fn a_person_over_the_limit_has_the_session_key_kept_beside_a_binding(store: Rc<Store>) {
    let [first, second, third] = orders(&store, [0, 1, 2]).await;
    let few = Rate {
        burst: 1,
        period: Duration::from_hours(1),
    };
    let login = |openid, order: &ExchangeTimestamp, key: &str| LoginRecord {
        rate: few,
        ..record(openid, order, key, "user-1")
    };
    recorded(&store, &login("o1", &first, "k1")).await;
    bind(&store, "o1", "user-1", FIRST).await;
    let refused = log_in(&store, &login("o1", &second, "k2")).await;
    let is_told = |refused: &TooMany| (3599..4050).contains(&refused.retry_after.as_secs());
    assert!(
        matches!(&refused, Recorded::Limited(refused) if is_told(refused)),
        "{refused:?}"
    );
    assert_eq!(
        store.sessions.keys(&person("o1")).await.expect("kept")[0],
        sealed("k2")
    );
    store
        .sessions
        .delete_keys(&person("o1"), None)
        .await
        .expect("forgotten");
    let refused = log_in(&store, &login("o1", &third, "k3")).await;
    assert!(
        matches!(refused, Recorded::Limited(_)),
        "who logs out may not log in more often: {refused:?}"
    );
    let (_, BindingState::Bound(made)) = bind(&store, "o1", "user-1", FIRST).await else {
        panic!("bound")
    };
    store
        .unbindings
        .leave(&person("o1"), &made)
        .await
        .expect("left");
    let refused = log_in(&store, &login("o1", &third, "k3")).await;
    assert!(
        matches!(refused, Recorded::Limited(_)),
        "nor who dissolves the binding: {refused:?}"
    );

    let unbound = |order, key| LoginRecord {
        if_unbound: UnboundPolicy::Counted,
        ..login("o2", order, key)
    };
    recorded(&store, &unbound(&second, "k3")).await;
    let refused = log_in(&store, &unbound(&third, "k4")).await;
    assert!(matches!(refused, Recorded::Limited(_)), "{refused:?}");
    assert_eq!(store.sessions.keys(&person("o2")).await, Ok(vec![]));
}

async fn logins_without_session_keys_are_counted_and_dated_like_others(store: Rc<Store>) {
    let orders = orders(&store, [0, 1, 2]).await;
    let few = Rate {
        burst: 2,
        period: Duration::from_hours(1),
    };
    let login = |order: &ExchangeTimestamp| LoginRecord {
        rate: few,
        session_key: Sealed::nothing(),
        ..record("o1", order, "", "user-1")
    };
    recorded(&store, &login(&orders[0])).await;
    bind(&store, "o1", "user-1", FIRST).await;
    recorded(&store, &login(&orders[1])).await;
    let refused = log_in(&store, &login(&orders[2])).await;
    assert!(matches!(refused, Recorded::Limited(_)), "{refused:?}");
    assert_eq!(store.sessions.keys(&person("o1")).await, Ok(vec![]));
    let Opening::Keys(keys, _) = opened(&store, &person("o1")).await else {
        panic!("bound")
    };
    assert_eq!(keys, []);
    assert!(
        store
            .last_login(&person("o1"))
            .await
            .expect("an answer")
            .is_some()
    );
}

#[expect(
    clippy::cognitive_complexity,
    clippy::too_many_lines,
    reason = "a case reads from top to bottom"
)]
async fn a_session_key_is_kept_beside_the_binding_that_it_is_for_and_no_other(store: Rc<Store>) {
    let store = &store;
    let [first, second, third] = orders(store, [0, 1, 2]).await;
    let (owner, keys) = (person("o1"), async || {
        store.sessions.keys(&person("o1")).await.expect("an answer")
    });
    let keep = async |generation, order: &ExchangeTimestamp, key| {
        store
            .sessions
            .keep(
                &owner,
                generation,
                &(order.clone(), sealed(key)),
                Some(DateTime::UNIX_EPOCH),
            )
            .await
            .expect("an answer");
    };
    let unasked = |order, key| LoginRecord {
        if_unbound: UnboundPolicy::Counted,
        ..record("o1", order, key, "nobody")
    };
    recorded(store, &unasked(&first, "k1")).await;
    keep(Generation::Computed, &first, "k1").await;
    assert_eq!(keys().await, [], "of who is not bound");
    store
        .bindings
        .intend(&owner, None, &intent("user-1"))
        .await
        .expect("intended");
    recorded(store, &unasked(&first, "k1")).await;
    recorded(store, &record("o1", &first, "k1", "user-2")).await;
    keep(FIRST, &first, "k1").await;
    assert_eq!(
        keys().await,
        [],
        "another login's intent may come to nothing"
    );
    store
        .bindings
        .settle(
            &owner,
            FIRST,
            &user("user-1"),
            Some(attempt_id(1).mark()),
            None,
        )
        .await
        .expect("bound");
    keep(Generation::Computed, &second, "k2").await;
    keep(SECOND, &second, "k2").await;
    assert_eq!(keys().await, [], "of another binding");
    keep(FIRST, &second, "k2").await;
    keep(FIRST, &first, "k1").await;
    assert_eq!(
        keys().await,
        [sealed("k2"), sealed("k1")],
        "by the order of their exchanges"
    );
    let last_login = store.last_login(&owner).await.expect("an answer");
    store
        .bindings
        .note_block(&owner, &user("user-1"), 1, true)
        .await
        .expect("blocked");
    assert_eq!(keys().await, [], "a block deletes them");
    assert_eq!(
        store.last_login(&owner).await,
        Ok(last_login),
        "which stays known"
    );
    store
        .sessions
        .delete_keys(&owner, None)
        .await
        .expect("forgotten");
    recorded(store, &unasked(&third, "k3")).await;
    assert_eq!(keys().await, [], "of who is blocked");
    keep(FIRST, &third, "k3").await;
    assert_eq!(
        keys().await,
        [],
        "of who was blocked while the person was bound, or the key reset"
    );
    store
        .bindings
        .note_block(&owner, &user("user-1"), 2, false)
        .await
        .expect("let in again");
    store
        .sessions
        .keep(&owner, FIRST, &(third.clone(), sealed("k3")), None)
        .await
        .expect("an answer");
    assert_eq!(
        keys().await,
        [],
        "of who has logged out while the key was reset"
    );

    let [first, ..] = orders(store, [3, 4, 5]).await;
    recorded(store, &record("o2", &first, "k1", "user-2")).await;
    assert!(
        !store
            .sessions
            .keys(&person("o2"))
            .await
            .expect("an answer")
            .is_empty(),
        "of who is being bound"
    );
    store
        .bindings
        .drop_intent(&person("o2"), FIRST, &user("user-2"))
        .await
        .expect("dropped");
    assert_eq!(
        store.sessions.keys(&person("o2")).await,
        Ok(vec![]),
        "a binding that came to nothing"
    );
}

/// Binds a person with a session key to user-1.
async fn with_session(store: &Store, openid: &str) -> Person {
    let [order, ..] = orders(store, [0, 1, 2]).await;
    recorded(store, &record(openid, &order, "k1", "user-1")).await;
    bind(store, openid, "user-1", FIRST).await;
    person(openid)
}

async fn opened(store: &Store, person: &Person) -> Opening {
    opened_by(store, person, 3).await
}

async fn opened_by(store: &Store, person: &Person, attempt: u8) -> Opening {
    store
        .sessions
        .open(person, &user("user-1"), &attempt_id(attempt))
        .await
        .expect("an answer")
}

/// Ends the try that [`opened`] began.
async fn closed(store: &Store, person: &Person, failed: bool) -> bool {
    store
        .sessions
        .close(person, &attempt_id(3), failed)
        .await
        .expect("closed")
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
async fn keys_open_for_the_user_who_is_bound(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let second = store
        .last_login(&owner)
        .await
        .expect("an answer")
        .expect("a login")
        .timestamp();
    store
        .sessions
        .delete_keys(&owner, Some(second - 1))
        .await
        .expect("an answer");
    let Opening::Keys(keys, order) = opened(&store, &owner).await else {
        panic!("keys")
    };
    assert_eq!(keys, [sealed("k1")], "an earlier login has been logged out");
    closed(&store, &owner, false).await;
    assert_eq!(
        store
            .sessions
            .open(&owner, &user("user-2"), &attempt_id(3))
            .await,
        Ok(Opening::NotBound)
    );
    assert_eq!(opened(&store, &person("stranger")).await, Opening::NotBound);
    store
        .sessions
        .keep(&owner, FIRST, &(order, sealed("k2")), None)
        .await
        .expect("kept");
    let Opening::Keys(keys, _) = opened(&store, &owner).await else {
        panic!("keys")
    };
    assert_eq!(keys, [sealed("k2"), sealed("k1")], "newest first");
    store
        .sessions
        .delete_keys(&owner, Some(second - 1))
        .await
        .expect("forgotten, because the key was reset by the token");
    closed(&store, &owner, false).await;
    assert!(matches!(opened(&store, &owner).await, Opening::Keys(keys, _) if keys.is_empty()));
    for (offset, token) in [(2, second + 60), (3_600_000_000, second)] {
        recorded(
            &store,
            &record(
                "o1",
                &orders(&store, [0, 1, offset]).await[2],
                "k3",
                "user-1",
            ),
        )
        .await;
        store
            .sessions
            .delete_keys(&owner, Some(token))
            .await
            .expect("forgotten");
        assert_eq!(
            store.sessions.keys(&owner).await,
            Ok(vec![]),
            "{offset}: the clock may have stepped back since"
        );
    }
}

async fn the_eighth_failure_drops_the_session_key(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    for failure in 1..=8 {
        assert!(
            matches!(opened(&store, &owner).await, Opening::Keys(keys, _) if keys == [sealed("k1")])
        );
        let dropped = closed(&store, &owner, true).await;
        assert_eq!(dropped, failure == 8, "failure {failure}");
    }
    assert_eq!(store.sessions.keys(&owner).await, Ok(vec![]));
    assert!(matches!(opened(&store, &owner).await, Opening::Keys(keys, _) if keys.is_empty()));
}

/// Failures still count after a login, a reset, a logout, and after a key was resealed.
async fn failures_are_counted_whatever_becomes_of_the_keys(store: Rc<Store>) {
    let store = &store;
    let owner = with_session(store, "o1").await;
    let [first, second, third] = orders(store, [10, 20, 30]).await;
    let failed = async || {
        assert!(matches!(opened(store, &owner).await, Opening::Keys(..)));
        closed(store, &owner, true).await
    };
    for round in 0..7 {
        assert!(!failed().await, "after {round} failures");
        match round {
            0 => drop(log_in(store, &record("o1", &first, "k2", "user-1")).await),
            1 => store
                .sessions
                .keep(
                    &owner,
                    FIRST,
                    &(second.clone(), sealed("k3")),
                    Some(DateTime::UNIX_EPOCH),
                )
                .await
                .expect("kept"),
            2 => store
                .sessions
                .reseal(&owner, &sealed("k3"), &sealed("k3 anew"))
                .await
                .expect("resealed"),
            3 => store
                .sessions
                .delete_keys(&owner, None)
                .await
                .expect("forgotten"),
            _ => store
                .sessions
                .keep(
                    &owner,
                    FIRST,
                    &(third.clone(), sealed("k4")),
                    Some(DateTime::UNIX_EPOCH),
                )
                .await
                .expect("kept"),
        }
    }
    assert!(
        matches!(opened_by(store, &owner, 4).await, Opening::Keys(keys, _) if keys == [sealed("k4")])
    );
    assert_eq!(
        store.sessions.close(&owner, &attempt_id(4), true).await,
        Ok(true),
        "the eighth"
    );
    assert_eq!(store.sessions.keys(&owner).await, Ok(vec![]));
    for _ in 0..7 {
        assert!(!failed().await, "counted from the drop on");
    }
    assert!(failed().await);
}

async fn no_more_tries_are_under_way_than_may_fail(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    opened(&store, &owner).await;
    closed(&store, &owner, true).await;
    for attempt in 0..7 {
        assert!(matches!(
            opened_by(&store, &owner, attempt).await,
            Opening::Keys(..)
        ));
    }
    assert_eq!(opened_by(&store, &owner, 7).await, Opening::Busy);
    closed(&store, &owner, false).await;
    assert!(
        matches!(opened_by(&store, &owner, 7).await, Opening::Keys(..)),
        "what went well is not counted"
    );
}

async fn a_try_that_is_opened_or_closed_again_is_one(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    for attempt in 0..7 {
        for _ in 0..3 {
            assert!(matches!(
                opened_by(&store, &owner, attempt).await,
                Opening::Keys(..)
            ));
        }
        for _ in 0..3 {
            let dropped = store
                .sessions
                .close(&owner, &attempt_id(attempt), true)
                .await;
            assert_eq!(dropped, Ok(false), "seven have failed and not more");
        }
    }
    for _ in 0..3 {
        assert!(
            matches!(opened_by(&store, &owner, 7).await, Opening::Keys(keys, _) if keys.len() == 1)
        );
        assert_eq!(opened_by(&store, &owner, 8).await, Opening::Busy);
    }
    assert_eq!(
        store.sessions.close(&owner, &attempt_id(7), true).await,
        Ok(true)
    );
    assert_eq!(
        store.sessions.close(&owner, &attempt_id(7), true).await,
        Ok(false)
    );
}

async fn a_session_key_is_resealed_only_if_it_is_still_the_one(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    store
        .sessions
        .reseal(&owner, &sealed("other"), &sealed("new"))
        .await
        .expect("ignored");
    assert_eq!(
        store.sessions.keys(&owner).await.expect("kept")[0],
        sealed("k1")
    );
    store
        .sessions
        .reseal(&owner, &sealed("k1"), &sealed("k1 anew"))
        .await
        .expect("resealed");
    assert_eq!(
        store.sessions.keys(&owner).await.expect("kept")[0],
        sealed("k1 anew")
    );
    store
        .sessions
        .reseal(&person("stranger"), &sealed("k1"), &sealed("new"))
        .await
        .expect("ignored");
    assert_eq!(store.sessions.keys(&person("stranger")).await, Ok(vec![]));
}

fn token(id: &str, issued_at: i64) -> Issued {
    let (user, id) = (user("user-1"), id.parse().expect("a token id"));
    Issued {
        user,
        app: app(),
        id,
        issued_at,
        expires_at: issued_at + 3600,
    }
}

/// The state of a token that is not revoked and belongs to the owner's first binding.
#[expect(
    clippy::unnecessary_wraps,
    reason = "it is compared with answers that may be errors"
)]
fn of(owner: &Person) -> Result<TokenState, StoreError> {
    Ok(TokenState::People(vec![(owner.clone(), FIRST)]))
}

async fn a_token_that_was_revoked_stays_revoked_and_no_other_is(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let now = servers::now().timestamp();
    assert_eq!(
        store.revocations.token_state(&token("a", now)).await,
        of(&owner)
    );
    let elsewhere = Issued {
        app: "wxother".parse().expect("an app"),
        ..token("a", now)
    };
    assert_eq!(
        store.revocations.token_state(&elsewhere).await,
        Ok(TokenState::People(vec![]))
    );
    for _ in 0..2 {
        store
            .revocations
            .revoke_token(&token("a", now))
            .await
            .expect("ended");
        assert_eq!(
            store.revocations.token_state(&token("a", now)).await,
            Ok(TokenState::Revoked { published: true })
        );
        assert_eq!(
            store.revocations.token_state(&token("b", now)).await,
            of(&owner)
        );
    }
}

/// Even if the revocations of the blocked user's tokens are lost.
async fn no_token_of_a_blocked_user_is_good(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let now = servers::now().timestamp();
    store
        .revocations
        .set_blocked(&user("user-1"), true)
        .await
        .expect("blocked");
    let revoked = TokenState::RevokedWithUser { published: false };
    assert_eq!(
        store.revocations.token_state(&token("a", now)).await,
        Ok(revoked),
        "verifiers are yet to be told"
    );
    let latest = now + 60;
    assert_eq!(
        store
            .revocations
            .date_token(&owner, &token("b", now), latest)
            .await,
        Ok(None),
        "a login that the block overtook"
    );
    assert_eq!(
        store
            .revocations
            .revoke_earlier(&token("b", now), latest)
            .await,
        Ok(None)
    );
    store
        .revocations
        .set_blocked(&user("user-1"), false)
        .await
        .expect("lifted");
    let state = store.revocations.token_state(&token("a", now)).await;
    assert_eq!(
        state,
        Ok(TokenState::RevokedWithUser { published: false }),
        "a block whose other steps were never taken"
    );
    store
        .revocations
        .revoke_user(&user("user-1"), Some(now))
        .await
        .expect("the block's end is published");
    let published = read_after(&store, "").await.0;
    assert!(
        matches!(published[..], [Revocation::User { before, .. }] if before >= now),
        "{published:?}"
    );
    assert_eq!(
        store
            .revocations
            .token_state(&token("b", second() + 9))
            .await,
        of(&owner)
    );
}

/// The clock has stepped back since a person's login.
async fn a_revocation_reaches_to_the_last_login_of_the_users_people(store: Rc<Store>) {
    let store = &store;
    let now = servers::now().timestamp();
    let ahead = |seconds: i64, byte| {
        ExchangeTimestamp::new(((now + seconds) * 1_000_000) as u64, &attempt_id(byte))
    };
    for (number, revocation) in ["of a user", "of an app", "of a person"]
        .into_iter()
        .enumerate()
    {
        let (openid, name) = (format!("o{number}"), format!("u{number}"));
        recorded(store, &record(&openid, &ahead(40, 9), "k9", &name)).await;
        let (_, state) = bind(store, &openid, &name, FIRST).await;
        let BindingState::Bound(bound) = state else {
            panic!("{state:?}")
        };
        match revocation {
            "of a user" => store
                .revocations
                .revoke_user(&bound.user, None)
                .await
                .expect("ended"),
            "of an app" => store
                .revocations
                .revoke_in_app(&bound.user, &app())
                .await
                .expect("ended"),
            _ => {
                let left = store
                    .unbindings
                    .leave(&person(&openid), &bound)
                    .await
                    .expect("left");
                assert!(
                    matches!(left, BindingState::Leaving { since, .. } if since == now + 40),
                    "{left:?}"
                );
                continue;
            }
        }
        let state = async |at| {
            store
                .revocations
                .token_state(&Issued {
                    user: user(&name),
                    ..token("a", now + at)
                })
                .await
        };
        assert!(
            !matches!(state(40).await, Ok(TokenState::People(_))),
            "{revocation}"
        );
        assert!(
            matches!(state(41).await, Ok(TokenState::People(_))),
            "{revocation}"
        );
    }
}

/// A bind ticket is redeemed later than its exchange began.
async fn a_revocation_reaches_to_a_login_by_a_ticket(store: Rc<Store>) {
    let store = &store;
    let owner = person("o1");
    let (_, state) = bind(store, "o1", "user-1", FIRST).await;
    let BindingState::Bound(Bound { generation, .. }) = state else {
        panic!("{state:?}")
    };
    let now = servers::now();
    let key = (ExchangeTimestamp::new(9, &attempt_id(9)), sealed("k9"));
    let at = now + TimeDelta::seconds(100);
    store
        .sessions
        .keep(&owner, generation, &key, Some(at))
        .await
        .expect("kept");
    let noted = store
        .last_login(&owner)
        .await
        .expect("an answer")
        .map(|login| login.timestamp());
    assert_eq!(noted, Some(at.timestamp()));
    store
        .sessions
        .delete_keys(&owner, None)
        .await
        .expect("forgotten");
    store
        .revocations
        .revoke_user(&user("user-1"), None)
        .await
        .expect("ended");
    let revoked = store
        .revocations
        .token_state(&token("a", at.timestamp()))
        .await;
    assert_eq!(revoked, Ok(TokenState::RevokedWithUser { published: true }));
}

async fn revocations_that_are_needed_are_not_purged(store: Rc<Store>) {
    let store = &store;
    with_session(store, "o1").await;
    let now = servers::now().timestamp();
    store
        .revocations
        .revoke_token(&token("a", now))
        .await
        .expect("ended");
    store.revocations.revoke_key("a-kid").await.expect("ended");
    assert_eq!(
        store.revocation_stream.purge(None, 100).await,
        Ok(Purged {
            revocations: 0,
            next: None
        })
    );
    assert_eq!(
        store.revocations.token_state(&token("a", now)).await,
        Ok(TokenState::Revoked { published: true })
    );
    assert_eq!(read_after(store, "").await.0.len(), 2);
}

async fn all_tokens_of_a_user_are_revoked_and_a_repetition_revokes_no_newer_ones(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let now = servers::now().timestamp();
    let (asking, newer) = (token("a", now - 100), token("b", now + 60));
    store
        .revocations
        .revoke_user(&asking.user, Some(asking.issued_at))
        .await
        .expect("ended");
    for old in [&asking, &token("c", now - 1)] {
        assert_eq!(
            store.revocations.token_state(old).await,
            Ok(TokenState::RevokedWithUser { published: true })
        );
    }
    assert_eq!(
        store.revocations.token_state(&newer).await,
        of(&owner),
        "issued since"
    );
    store
        .revocations
        .revoke_user(&asking.user, Some(asking.issued_at))
        .await
        .expect("repeated");
    assert_eq!(
        store.revocations.token_state(&newer).await,
        of(&owner),
        "issued since"
    );
    store
        .revocations
        .revoke_user(&newer.user, Some(newer.issued_at))
        .await
        .expect("ended");
    assert_eq!(
        store.revocations.token_state(&newer).await,
        Ok(TokenState::RevokedWithUser { published: true }),
        "even if the clock of the store is behind"
    );
}

async fn an_unbinding_revokes_the_tokens_of_its_app_for_ever(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let now = servers::now().timestamp();
    let (old, newer) = (token("a", now - 1), token("b", now + 60));
    for _ in 0..2 {
        store
            .unbindings
            .unlist_and_revoke(&user("user-1"), &owner, FIRST, second())
            .await
            .expect("unlisted");
    }
    assert_eq!(
        store.revocations.token_state(&old).await,
        Ok(TokenState::Revoked { published: false })
    );
    store
        .bindings
        .admit(&person("o2"), FIRST, &wish(&user("user-1"), false), 1)
        .await
        .expect("admitted");
    let full = store
        .bindings
        .admit(&person("o3"), FIRST, &wish(&user("user-1"), false), 1)
        .await;
    assert_eq!(full, Ok(Decision::Full));
    let unlisted = async |app| store.bindings.unbound_people(&user("user-1"), &app).await;
    assert_eq!(
        unlisted(app()).await,
        Ok(vec![(owner, FIRST)]),
        "nobody but who was there"
    );
    assert_eq!(
        unlisted("wxother".parse().expect("an app")).await,
        Ok(vec![])
    );
    assert_eq!(
        store.revocations.token_state(&old).await,
        Ok(TokenState::Revoked { published: false }),
        "whoever is bound now"
    );
    assert_eq!(
        store.revocations.token_state(&newer).await,
        of(&person("o2"))
    );
    let elsewhere = Issued {
        app: "wxother".parse().expect("an app"),
        ..old
    };
    assert_eq!(
        store.revocations.token_state(&elsewhere).await,
        Ok(TokenState::People(vec![])),
        "another app"
    );
}

/// The revocations in the stream after `cursor`, and the next cursor.
async fn read_after(store: &Store, cursor: &str) -> (Vec<Revocation>, String) {
    let read = store
        .revocation_stream
        .after(cursor, 100)
        .await
        .expect("read")
        .expect("a cursor of the stream");
    assert!(!read.more && (servers::now() - read.at).num_seconds().abs() <= 5);
    (read.revocations, read.cursor)
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom, and each assertion counts as a branch"
)]
async fn each_revocation_is_in_the_stream_once_and_in_order(store: Rc<Store>) {
    let store = &store;
    let owner = with_session(store, "o1").await;
    let now = servers::now().timestamp();
    assert_eq!(read_after(store, "").await, (vec![], String::new()));
    let (one, user) = (token("a", now), user("user-1"));
    for _ in 0..2 {
        store.revocations.revoke_token(&one).await.expect("ended");
    }
    let (revocations, cursor) = read_after(store, "").await;
    assert_eq!(
        revocations,
        [Revocation::Token {
            id: one.id.clone(),
            user: user.clone(),
            expires_at: one.expires_at
        }]
    );
    assert_eq!(
        read_after(store, &cursor).await,
        (vec![], cursor.clone()),
        "nothing new"
    );

    for _ in 0..2 {
        store
            .revocations
            .revoke_user(&user, Some(now + 10))
            .await
            .expect("ended");
        store
            .unbindings
            .unlist_and_revoke(&user, &owner, FIRST, second())
            .await
            .expect("unlisted");
    }
    assert_eq!(logged_in(store, "newest", now + 20).await, now + 20);
    for is_new in [true, false] {
        assert_eq!(
            store.revocations.revoke_key("a-kid").await.expect("ended"),
            is_new
        );
    }
    let kids = ["a-kid", "another"].map(str::to_owned);
    assert_eq!(
        store.revocations.revoked_keys(&kids).await.expect("read"),
        kids[..1]
    );
    assert_eq!(
        store.revocations.revoked_keys(&[]).await.expect("read"),
        [""; 0]
    );
    let (revocations, last) = read_after(store, &cursor).await;
    let [
        Revocation::User { before, .. },
        Revocation::UserInApp {
            before: unbound, ..
        },
        Revocation::UserInApp {
            before: earlier, ..
        },
        key,
    ] = &revocations[..]
    else {
        panic!("{revocations:?}")
    };
    assert_eq!((*before, *earlier), (now + 10, now + 19));
    assert!(
        matches!(key, Revocation::Key { kid, until } if kid == "a-kid" && *until > now + 30 * 86_400),
        "{key:?}"
    );
    assert!(
        (now..now + 5).contains(unbound),
        "the second of the unbinding"
    );
    assert_eq!(read_after(store, &last).await, (vec![], last.clone()));
    for unknown in [
        "0",
        "1-1",
        "1-1.AAAAAAAA",
        "nonsense",
        "99999999999999-0.AAAAAAAA",
        &format!("{last}x"),
    ] {
        assert_eq!(
            store.revocation_stream.after(unknown, 100).await,
            Ok(None),
            "{unknown}"
        );
    }
}

async fn an_unbinding_that_is_finished_later_revokes_no_token_of_the_next_binding(
    store: Rc<Store>,
) {
    let store = &store;
    let (owner, user, now) = (
        with_session(store, "o1").await,
        user("user-1"),
        servers::now().timestamp(),
    );
    store
        .unbindings
        .unlist_and_revoke(&user, &owner, FIRST, now - 20)
        .await
        .expect("unlisted");
    let (_, state) = bind(store, "o1", "user-1", FIRST).await;
    assert!(matches!(state, BindingState::Bound(_)), "{state:?}");
    let revoked = [Revocation::UserInApp {
        user,
        app: app(),
        before: now - 20,
        until: of_any_life(now - 20),
    }];
    assert_eq!(read_after(store, "").await.0, revoked);
    assert_eq!(
        store.revocations.token_state(&token("a", now - 20)).await,
        Ok(TokenState::Revoked { published: false })
    );
    assert_ne!(
        store.revocations.token_state(&token("b", now - 19)).await,
        Ok(TokenState::Revoked { published: false })
    );
}

async fn an_unbinding_has_the_users_other_people_of_the_app_look_at_the_revocations(
    store: Rc<Store>,
) {
    let store = &store;
    let (owner, user) = (person("o2"), user("user-1"));
    with_session(store, "o1").await;
    store
        .bindings
        .intend(&owner, None, &intent("user-1"))
        .await
        .expect("intended");
    store
        .bindings
        .admit(&owner, FIRST, &intent("user-1"), 2)
        .await
        .expect("admitted");
    store
        .bindings
        .settle(&owner, FIRST, &user, None, None)
        .await
        .expect("bound");
    let orders = orders(store, [0, 1, 2]).await;
    let may_be_revoked = async |order: &ExchangeTimestamp| match log_in(
        store,
        &record("o1", order, "key", "user-1"),
    )
    .await
    {
        Recorded::Counted { may_be_revoked, .. } => may_be_revoked,
        other => panic!("{other:?}"),
    };
    may_be_revoked(&orders[0]).await;
    assert!(!may_be_revoked(&orders[1]).await, "the short way");
    store
        .sessions
        .delete_keys_of(&user, Some(&owner.app), Some(&owner))
        .await
        .expect("forgotten");
    store
        .unbindings
        .unlist_and_revoke(&user, &owner, FIRST, second())
        .await
        .expect("unlisted");
    assert!(may_be_revoked(&orders[2]).await);
}

/// With `WXMINT_SINGLE_SESSION`, the date of the login's token, which may be a minute ahead.
async fn logged_in(store: &Store, id: &str, at: i64) -> i64 {
    dated(
        store
            .revocations
            .revoke_earlier(&token(id, at), at + 60)
            .await,
    )
}

fn dated(date: Result<Option<i64>>) -> i64 {
    date.expect("an answer").expect("nobody is blocked")
}

async fn a_login_can_revoke_the_earlier_tokens_of_its_app_alone(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let now = servers::now().timestamp();
    assert_eq!(logged_in(&store, "b", now).await, now);
    assert_eq!(
        store.revocations.token_state(&token("a", now - 1)).await,
        Ok(TokenState::Revoked { published: false })
    );
    assert_eq!(
        store.revocations.token_state(&token("b", now)).await,
        of(&owner),
        "the login itself"
    );
    let elsewhere = Issued {
        app: "wxother".parse().expect("an app"),
        ..token("c", now - 1)
    };
    assert_eq!(
        store.revocations.token_state(&elsewhere).await,
        Ok(TokenState::People(vec![]))
    );
}

/// This also holds for logins that are dated too early, by a slow replica or by a clock that has
/// stepped back.
#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
async fn of_logins_in_one_second_the_last_ones_token_is_left(store: Rc<Store>) {
    let store = &store;
    let (owner, now) = (with_session(store, "o1").await, servers::now().timestamp());
    let is_left =
        async |id, date| store.revocations.token_state(&token(id, date)).await == of(&owner);
    for id in ["a", "b", "c", "b", "a"] {
        assert_eq!(logged_in(store, id, now).await, now);
    }
    let left = [
        is_left("a", now).await,
        is_left("b", now).await,
        is_left("c", now).await,
    ];
    assert_eq!(
        left,
        [false, false, true],
        "the last, though calls for earlier ones were repeated"
    );
    for (id, behind, before) in [("late", 1, "c"), ("far", 20, "late")] {
        assert_eq!(logged_in(store, id, now - behind).await, now);
        assert!(
            !is_left(before, now).await && is_left(id, now).await,
            "{id}"
        );
    }
    assert_eq!(logged_in(store, "later", now + 1).await, now + 1);
    assert!(!is_left("far", now).await && is_left("later", now + 1).await);
    let refused = store
        .revocations
        .revoke_earlier(&token("too-late", now - 100), now - 40)
        .await;
    assert_eq!(refused, Ok(Some(now + 1)), "verifiers would not accept it");
    assert!(is_left("later", now + 1).await);
    assert_eq!(logged_in(store, "last", now + 1).await, now + 1);
    let revoked = read_after(store, "").await.0;
    let tokens: BTreeSet<_> = revoked
        .iter()
        .filter_map(|revocation| {
            if let Revocation::Token { id, .. } = revocation {
                Some(id.as_str())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(
        tokens,
        BTreeSet::from(["a", "b", "c", "late", "later"]),
        "and none that was refused"
    );
    let before = |revocation: &Revocation| {
        if let Revocation::UserInApp { before, .. } = revocation {
            Some(before - now)
        } else {
            None
        }
    };
    assert_eq!(
        revoked.iter().filter_map(before).collect::<Vec<_>>(),
        [-1, -1, -1, -1, -1, -1, -1, 0, 0],
        "{revoked:?}"
    );
}

/// The clock of the store has stepped back since the revocations were made.
#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom, and each assertion counts as a branch"
)]
async fn a_token_is_dated_with_the_first_second_that_no_revocation_names_and_later_ones_name_it(
    store: Rc<Store>,
) {
    let store = &store;
    let (owner, user, now) = (
        with_session(store, "o1").await,
        user("user-1"),
        servers::now().timestamp(),
    );
    let date = async |latest| {
        dated(
            store
                .revocations
                .date_token(&owner, &token("a", now), now + latest)
                .await,
        ) - now
    };
    let is_left =
        async |date| store.revocations.token_state(&token("a", now + date)).await == of(&owner);
    assert_eq!(date(60).await, 0, "nothing was revoked");
    logged_in(store, "b", now + 10).await;
    assert_eq!(
        date(60).await,
        10,
        "the first second that a login elsewhere has left"
    );
    store
        .revocations
        .revoke_user(&user, Some(now + 20))
        .await
        .expect("ended");
    assert_eq!(date(20).await, 21, "later than verifiers accept");
    store
        .revocations
        .revoke_in_app(&user, &owner.app)
        .await
        .expect("ended");
    assert!(
        is_left(21).await,
        "a token that was not issued is not revoked"
    );
    assert_eq!(date(60).await, 21);
    assert!(!is_left(20).await && is_left(21).await);
    store
        .revocations
        .revoke_in_app(&user, &owner.app)
        .await
        .expect("ended");
    assert_eq!((is_left(21).await, date(60).await), (false, 22));
    store
        .revocations
        .revoke_user(&user, None)
        .await
        .expect("ended");
    assert_eq!((is_left(22).await, date(60).await), (false, 23));
    let of_page = Issued {
        app: "shop-web".parse().expect("a client"),
        ..token("page", now + 23)
    };
    store
        .client_tokens
        .note(&of_page, &owner.app)
        .await
        .expect("noted");
    store
        .unbindings
        .unlist_and_revoke(&user, &owner, FIRST, now)
        .await
        .expect("unlisted");
    for token in [token("a", now + 23), of_page] {
        assert_eq!(
            store.revocations.token_state(&token).await,
            Ok(TokenState::Revoked { published: false }),
            "{token:?}"
        );
    }
    assert_eq!(date(60).await, 24);
    let named: Vec<_> = read_after(store, "")
        .await
        .0
        .iter()
        .map(|revocation| match revocation {
            Revocation::User { before, .. } | Revocation::UserInApp { before, .. } => before - now,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(named[1..2], [20]);
    assert_eq!(
        named[3..],
        [21, 22, 23, 23],
        "verifiers learn the same, also of the page"
    );
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
#[expect(clippy::too_many_lines, reason = "a case reads from top to bottom")]
async fn a_blocked_user_takes_nobody_and_each_login_of_the_users_people_finds_the_block(
    store: Rc<Store>,
) {
    let store = &store;
    let (owner, user) = (with_session(store, "o1").await, user("user-1"));
    let is_blocked = async || match store.bindings.state(&owner).await.expect("a state") {
        BindingState::Bound(bound) => bound.blocked,
        other => panic!("{other:?}"),
    };
    assert!(!is_blocked().await);
    let number = store
        .revocations
        .set_blocked(&user, true)
        .await
        .expect("blocked");
    let number = number.max(
        store
            .revocations
            .set_blocked(&user, true)
            .await
            .expect("a repetition"),
    );
    assert_eq!(
        store
            .bindings
            .admit(&person("o2"), FIRST, &wish(&user, false), 5)
            .await,
        Ok(Decision::Blocked)
    );
    store
        .bindings
        .note_block(&owner, &user, number, true)
        .await
        .expect("noted");
    assert!(is_blocked().await);
    let login = record(
        "o1",
        &ExchangeTimestamp::new(9_000_000, &attempt_id(9)),
        "k9",
        "user-9",
    );
    assert!(matches!(recorded(store, &login).await, BindingState::Bound(bound) if bound.blocked));

    let later = store
        .revocations
        .set_blocked(&user, false)
        .await
        .expect("lifted");
    store
        .bindings
        .note_block(&owner, &user, later, false)
        .await
        .expect("noted");
    store
        .bindings
        .note_block(&owner, &user, number, true)
        .await
        .expect("late, and ignored");
    store
        .bindings
        .note_block(
            &owner,
            &super::conformance::user("another"),
            later + 1,
            true,
        )
        .await
        .expect("of another user");
    assert!(!is_blocked().await);
    assert_eq!(
        store
            .bindings
            .admit(&person("o2"), FIRST, &wish(&user, false), 5)
            .await,
        Ok(Decision::Blocked),
        "decided once"
    );
    assert_eq!(
        store
            .bindings
            .admit(&person("o2"), SECOND, &wish(&user, false), 5)
            .await,
        Ok(Decision::Admitted { first: false })
    );
    assert_eq!(
        store
            .bindings
            .people_of(&user)
            .await
            .expect("people")
            .map(|people| people.len()),
        Some(2)
    );
    let first = store
        .revocations
        .set_blocked(&super::conformance::user("nobody"), true)
        .await
        .expect("blocked");
    assert!(
        first as i64 >= second() - 5,
        "after all numbers of a list that was lost: {first}"
    );
    assert_eq!(
        store
            .bindings
            .people_of(&super::conformance::user("nobody"))
            .await,
        Ok(None),
        "never had anybody"
    );
}

#[expect(
    clippy::cognitive_complexity,
    reason = "a case reads from top to bottom"
)]
async fn a_users_state_and_last_login_are_known_as_long_as_something_tells_them(store: Rc<Store>) {
    let store = &store;
    let user = user("user-1");
    let nothing = UserState {
        blocked: false,
        revoked_before: None,
        published: true,
    };
    assert_eq!(store.revocations.user_state(&user).await, Ok(nothing));
    let owner = person("o1");
    let order = ExchangeTimestamp::new(1_700_000_000_999_999, &attempt_id(1));
    recorded(store, &record("o1", &order, "k1", "user-1")).await;
    assert_eq!(store.last_login(&owner).await, Ok(None), "not bound yet");
    let (_, BindingState::Bound(made)) = bind(store, "o1", "user-1", FIRST).await else {
        panic!("bound")
    };
    let at = DateTime::from_timestamp(1_700_000_000, 0);
    for _ in 0..3 {
        assert_eq!(store.last_login(&owner).await, Ok(at));
        store
            .sessions
            .delete_keys(&owner, None)
            .await
            .expect("forgotten");
    }
    let later = ExchangeTimestamp::new(1_700_000_009_000_000, &attempt_id(2));
    recorded(store, &record("o1", &later, "k2", "user-1")).await;
    assert_eq!(
        store.last_login(&owner).await,
        Ok(DateTime::from_timestamp(1_700_000_009, 0))
    );

    store
        .revocations
        .set_blocked(&user, true)
        .await
        .expect("blocked");
    assert!(
        !store
            .revocations
            .user_state(&user)
            .await
            .expect("a state")
            .published
    );
    store
        .revocations
        .revoke_user(&user, Some(7_000_000_000))
        .await
        .expect("ended");
    let state = UserState {
        blocked: true,
        revoked_before: Some(7_000_000_000),
        published: true,
    };
    assert_eq!(store.revocations.user_state(&user).await, Ok(state));
    store
        .revocations
        .set_blocked(&user, false)
        .await
        .expect("lifted");
    assert_eq!(
        store.revocations.user_state(&user).await,
        Ok(UserState {
            blocked: false,
            ..state
        })
    );
    store.unbindings.leave(&owner, &made).await.expect("left");
    assert_eq!(
        store.last_login(&owner).await,
        Ok(None),
        "the user's no more"
    );
}

#[expect(
    clippy::cognitive_complexity,
    clippy::too_many_lines,
    reason = "a case reads from top to bottom"
)]
async fn what_is_erased_of_a_person_leaves_a_number_and_no_late_command_brings_it_back(
    store: Rc<Store>,
) {
    let store = &store;
    let (owner, user, attempt) = (
        with_session(store, "o1").await,
        user("user-1"),
        attempt_id(1),
    );
    let unionid: UnionId = "n1".parse().expect("a unionid");
    store
        .union_ids
        .claim(&unionid, Some(&user))
        .await
        .expect("linked");
    let rate = Rate {
        burst: 10,
        period: Duration::from_mins(5),
    };
    store
        .limits
        .count(&RateLimitKey::of_person(&owner, NAMES, "name", rate))
        .await
        .expect("the first");
    assert_eq!(
        store.erasures.erase(&owner, &[], &[NAMES]).await,
        Ok(None),
        "who is bound"
    );
    store
        .bindings
        .remove_from_list(&user, &owner)
        .await
        .expect("ignored, because the person is admitted");
    assert_eq!(store.bindings.ever_of(&user).await, Ok(vec![owner.clone()]));

    store
        .unbindings
        .leave(
            &owner,
            &Bound {
                user: user.clone(),
                ..bound_to(FIRST, "user-1")
            },
        )
        .await
        .expect("left");
    assert_eq!(
        store.erasures.erase(&owner, &[], &[NAMES]).await,
        Ok(None),
        "who is leaving"
    );
    store
        .unbindings
        .unlist_and_revoke(&user, &owner, FIRST, second())
        .await
        .expect("unlisted");
    store
        .bindings
        .set_free(&owner, FIRST, &user)
        .await
        .expect("free");
    store
        .sessions
        .keep(
            &owner,
            FIRST,
            &(ExchangeTimestamp::new(9, &attempt), sealed("k9")),
            Some(DateTime::UNIX_EPOCH),
        )
        .await
        .expect("late");
    let found = store
        .erasures
        .erase(&owner, &[], &[NAMES])
        .await
        .expect("an answer")
        .expect("who is free");
    assert_eq!(
        (found.bindings, found.session_keys, found.counters),
        (1, 0, 2),
        "logins and failed passwords"
    );
    assert_eq!(
        store.erasures.erase(&owner, &[], &[NAMES]).await,
        Ok(Some(ErasedPerson::default())),
        "a repetition"
    );
    assert_eq!(store.sessions.keys(&owner).await, Ok(vec![]));
    assert_eq!(
        store.erasures.named_elsewhere(&user).await,
        Ok((HashSet::new(), HashSet::from([unionid.clone()])))
    );
    assert_eq!(
        store
            .union_ids
            .erase(&unionid, &super::conformance::user("another"))
            .await,
        Ok(false)
    );
    for erased in [true, false] {
        assert_eq!(store.union_ids.erase(&unionid, &user).await, Ok(erased));
    }
    for _ in 0..2 {
        store
            .bindings
            .remove_from_list(&user, &owner)
            .await
            .expect("struck");
        assert_eq!(
            (
                store.bindings.ever_of(&user).await,
                store.bindings.people_of(&user).await
            ),
            (Ok(vec![]), Ok(None))
        );
    }

    let free = BindingState::Free {
        generation: Some(FIRST),
        dissolved: false,
    };
    assert_eq!(store.bindings.state(&owner).await, Ok(free.clone()));
    assert_eq!(
        store
            .bindings
            .settle(&owner, FIRST, &user, Some(attempt_id(1).mark()), None)
            .await,
        Ok(free),
        "late"
    );
    assert_eq!(
        store
            .bindings
            .admit(&owner, FIRST, &wish(&user, false), 9)
            .await,
        Ok(Decision::Dismissed),
        "late"
    );
    store
        .unbindings
        .unlist_and_revoke(&user, &owner, FIRST, second())
        .await
        .expect("late");
    assert_eq!(store.bindings.ever_of(&user).await, Ok(vec![]));
    assert_eq!(
        store
            .bindings
            .admit(&person("o2"), SECOND, &wish(&user, true), 9)
            .await,
        Ok(Decision::Deserted),
        "for the unionid's sake"
    );
    let (again, state) = bind(store, "o1", "user-1", SECOND).await;
    assert_eq!(
        (again, undated(state)),
        (
            Decision::Admitted { first: false },
            bound(SECOND, "user-1", false)
        )
    );
    assert_eq!(store.bindings.people_of(&user).await, Ok(Some(vec![owner])));
}

/// Counters of logins, failed passwords, and data that could not be decrypted.
async fn once_a_person_is_erased_nothing_that_was_counted_names_them(store: Rc<Store>) {
    let store = &store;
    let (owner, user) = (with_session(store, "openid-of-lin").await, user("user-1"));
    store
        .limits
        .count(&RateLimitKey::of_person(&owner, NAMES, "name", OFTEN))
        .await
        .expect("the first");
    assert!(matches!(opened(store, &owner).await, Opening::Keys(..)));
    closed(store, &owner, true).await;
    unbind(store, "openid-of-lin", "user-1", FIRST).await;
    let erased = store
        .erasures
        .erase(&owner, &[&user], &[NAMES])
        .await
        .expect("an answer")
        .expect("who is free");
    assert_eq!(erased.counters, 3);
    let (mut found, mut place) = (Vec::new(), Some(Place::default()));
    while let Some(from) = place {
        let page = store
            .link
            .keys_like("wxmint:*", &from, Slots::AtRest)
            .await
            .expect("keys");
        found.extend(
            page.found
                .into_iter()
                .filter(|key| key.contains("openid-of-lin")),
        );
        place = page.next;
    }
    assert_eq!(
        found,
        [format!("wxmint:{{{}:openid-of-lin}}:binding", app())],
        "the number of the last binding"
    );
}

/// The users that `openid` has left, with their unionids.
async fn left_by(store: &Store, openid: &str) -> Vec<(String, Vec<String>)> {
    let left = store
        .bindings
        .left_by(&person(openid))
        .await
        .expect("an answer");
    let mut left: Vec<_> = left
        .into_iter()
        .map(|(user, unionids)| {
            let mut unionids: Vec<_> = unionids
                .iter()
                .map(|unionid| unionid.as_str().to_owned())
                .collect();
            unionids.sort();
            (user.to_string(), unionids)
        })
        .collect();
    left.sort();
    left
}

/// Unbinds the person, whose binding has this generation.
async fn unbind(store: &Store, openid: &str, name: &str, generation: Generation) {
    let (owner, user) = (person(openid), user(name));
    store
        .unbindings
        .leave(&owner, &bound_to(generation, name))
        .await
        .expect("left");
    store
        .unbindings
        .unlist_and_revoke(&user, &owner, generation, second())
        .await
        .expect("unlisted");
    store
        .bindings
        .set_free(&owner, generation, &user)
        .await
        .expect("free");
}

#[expect(
    clippy::cognitive_complexity,
    clippy::too_many_lines,
    reason = "a case reads from top to bottom"
)]
async fn whom_a_person_has_left_is_known_until_the_person_is_struck_off(store: Rc<Store>) {
    let store = &store;
    let (owner, full, mine) = (person("o1"), user("user-1"), user("user-2"));
    let unionid = |text: &str| text.parse::<UnionId>().expect("a unionid");
    bind(store, "o2", "user-1", FIRST).await;
    store
        .bindings
        .intend(&owner, None, &intent("user-1"))
        .await
        .expect("intended");
    assert_eq!(
        store
            .bindings
            .admit(&owner, FIRST, &wish(&full, false), 1)
            .await,
        Ok(Decision::Full)
    );
    let untouched = store
        .bindings
        .settle(&owner, FIRST, &mine, None, None)
        .await;
    assert!(
        matches!(untouched, Ok(BindingState::Intended { .. })),
        "another request's intent: {untouched:?}"
    );
    store
        .bindings
        .drop_intent(&owner, FIRST, &full)
        .await
        .expect("dropped");
    assert_eq!(left_by(store, "o1").await, [("user-1".to_owned(), vec![])]);

    store
        .bindings
        .intend(&owner, Some(FIRST), &intent("user-2"))
        .await
        .expect("intended");
    bind(store, "o3", "user-2", FIRST).await;
    assert_eq!(
        store
            .bindings
            .admit(&owner, SECOND, &wish(&mine, false), 9)
            .await,
        Ok(Decision::Admitted { first: false })
    );
    let settled = store
        .bindings
        .settle(&owner, SECOND, &mine, None, Some(&unionid("n1")))
        .await
        .expect("bound");
    let BindingState::Bound(made) = settled else {
        panic!("bound: {settled:?}")
    };
    assert_eq!(
        (made.unionid, made.others),
        (None, BTreeSet::from([unionid("n1")])),
        "about to be linked"
    );
    assert_eq!(
        store
            .bindings
            .note_unionid(&owner, &full, &unionid("n0"))
            .await,
        Ok(false),
        "of another user"
    );
    store
        .bindings
        .link_unionid(&owner, &mine, &unionid("n1"), None)
        .await
        .expect("linked");
    store
        .bindings
        .link_unionid(&owner, &mine, &unionid("n2"), None)
        .await
        .expect("changed");
    assert_eq!(
        store
            .bindings
            .note_unionid(&owner, &mine, &unionid("n3"))
            .await,
        Ok(true),
        "about to be linked"
    );
    let others = store
        .bindings
        .find(&owner)
        .await
        .expect("an answer")
        .expect("bound")
        .others;
    assert_eq!(others, BTreeSet::from([unionid("n1"), unionid("n3")]));
    store
        .bindings
        .remove_from_list(&mine, &owner)
        .await
        .expect("ignored");
    assert_eq!(
        store
            .bindings
            .people_of(&mine)
            .await
            .map(|people| people.map(|people| people.len())),
        Ok(Some(2)),
        "admitted"
    );
    unbind(store, "o1", "user-2", SECOND).await;
    let both = [
        ("user-1".to_owned(), vec![]),
        (
            "user-2".to_owned(),
            ["n1", "n2", "n3"].map(str::to_owned).to_vec(),
        ),
    ];
    assert_eq!(left_by(store, "o1").await, both);

    for _ in 0..2 {
        store
            .bindings
            .remove_from_list(&full, &owner)
            .await
            .expect("struck");
        store
            .bindings
            .remove_from_list(&mine, &owner)
            .await
            .expect("struck");
    }
    for (user, other) in [(&full, "o2"), (&mine, "o3")] {
        assert_eq!(
            store.bindings.ever_of(user).await,
            Ok(vec![person(other)]),
            "the others stay"
        );
        assert_eq!(
            store.bindings.people_of(user).await,
            Ok(Some(vec![person(other)]))
        );
    }
    assert_eq!(
        store
            .bindings
            .admit(&owner, SECOND, &wish(&mine, false), 9)
            .await,
        Ok(Decision::Dismissed),
        "late"
    );
    store
        .unbindings
        .unlist_and_revoke(&mine, &owner, SECOND, second())
        .await
        .expect("late");
    assert_eq!(store.bindings.ever_of(&mine).await, Ok(vec![person("o3")]));
    store
        .erasures
        .erase(&owner, &[&full], &[NAMES])
        .await
        .expect("an answer")
        .expect("who is free");
    assert_eq!(
        left_by(store, "o1").await,
        both[1..],
        "one was not struck yet"
    );
    store
        .erasures
        .erase(&owner, &[&mine], &[NAMES])
        .await
        .expect("an answer")
        .expect("who is free");
    assert_eq!(left_by(store, "o1").await, []);
    assert_eq!(
        store
            .bindings
            .admit(&owner, THIRD, &wish(&mine, false), 9)
            .await,
        Ok(Decision::Admitted { first: false })
    );
}

/// After the last person is erased from it, a list admits no person by a unionid alone.
async fn a_list_from_which_the_last_one_is_struck_off_is_deserted_for_a_while(store: Rc<Store>) {
    let store = &store;
    for openid in ["o1", "o2"] {
        bind(store, openid, "user-1", FIRST).await;
        unbind(store, openid, "user-1", FIRST).await;
    }
    let user = user("user-1");
    store
        .bindings
        .remove_from_list(&user, &person("o1"))
        .await
        .expect("struck");
    assert_eq!(store.bindings.ever_of(&user).await, Ok(vec![person("o2")]));
    store
        .bindings
        .remove_from_list(&user, &person("o2"))
        .await
        .expect("struck");
    assert_eq!(
        (
            store.bindings.ever_of(&user).await,
            store.bindings.people_of(&user).await
        ),
        (Ok(vec![]), Ok(None))
    );
    assert_eq!(
        store
            .bindings
            .admit(&person("o3"), SECOND, &wish(&user, true), 9)
            .await,
        Ok(Decision::Deserted)
    );
}

async fn the_tokens_of_an_app_are_revoked_those_of_this_second_too(store: Rc<Store>) {
    let owner = with_session(&store, "o1").await;
    let now = servers::now().timestamp();
    let other: AppId = "wxfedcba9876543210".parse().expect("an app");
    for _ in 0..2 {
        store
            .revocations
            .revoke_in_app(&user("user-1"), &owner.app)
            .await
            .expect("ended");
        let revoked = store.revocations.token_state(&token("t1", now)).await;
        assert!(
            matches!(revoked, Ok(TokenState::Revoked { .. })),
            "{revoked:?}"
        );
    }
    assert_eq!(
        store.revocations.token_state(&token("t2", now + 5)).await,
        of(&owner)
    );
    let elsewhere = Issued {
        app: other,
        ..token("t1", now)
    };
    assert_eq!(
        store.revocations.token_state(&elsewhere).await,
        Ok(TokenState::People(vec![]))
    );
    let (revocations, _) = read_after(&store, "").await;
    let is_app = |revocation: &Revocation| matches!(revocation, Revocation::UserInApp { before, .. } if (now..now + 5).contains(before));
    assert!(
        !revocations.is_empty() && revocations.iter().all(is_app),
        "{revocations:?}"
    );
}

async fn a_block_outlives_the_erasure_of_a_users_list(store: Rc<Store>) {
    let store = &store;
    let user = user("user-1");
    store
        .revocations
        .set_blocked(&user, true)
        .await
        .expect("blocked");
    assert_eq!(
        store
            .bindings
            .admit(&person("o1"), FIRST, &wish(&user, false), 9)
            .await,
        Ok(Decision::Blocked)
    );
    store
        .bindings
        .remove_from_list(&user, &person("o1"))
        .await
        .expect("struck");
    assert_eq!(store.bindings.ever_of(&user).await, Ok(vec![]));
    assert!(
        store
            .revocations
            .user_state(&user)
            .await
            .expect("a state")
            .blocked
    );
    assert_eq!(
        store
            .bindings
            .admit(&person("o1"), SECOND, &wish(&user, false), 9)
            .await,
        Ok(Decision::Blocked)
    );
}

/// The date of a revocation of a user's tokens if no life of tokens is known.
fn of_any_life(before: i64) -> i64 {
    before + LONGEST_LIFE.as_secs() as i64
}

async fn a_revocation_is_dated_by_the_longest_life_of_tokens_that_may_be_left(store: Rc<Store>) {
    // The longest is neither the last in the order of their texts, nor the last that is noted.
    let [half, hour, day] = [1800, 3600, 100_000].map(Duration::from_secs);
    let life = async |number: usize| {
        let user = user(&format!("user-{number}"));
        store
            .revocations
            .revoke_user(&user, None)
            .await
            .expect("ended");
        let revocations = read_after(&store, "").await.0;
        match revocations.last().expect("a revocation") {
            Revocation::User { before, until, .. } => Duration::from_secs((until - before) as u64),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(life(0).await, LONGEST_LIFE, "nothing was noted");
    let each_and_longest = [(hour, hour), (day, day), (hour, day), (half, day)];
    for (number, (noted, longest)) in each_and_longest.into_iter().enumerate() {
        store.token_lives.note(noted).await.expect("noted");
        assert_eq!(
            life(number + 1).await,
            longest,
            "tokens of the longer life may be left"
        );
    }
    store
        .token_lives
        .note_renewals(20 * day)
        .await
        .expect("noted");
    assert_eq!(
        life(9).await,
        day,
        "verifiers meet none of what renews tokens"
    );
    assert_eq!(store.token_lives.longest_login().await, Ok(20 * day));
}

async fn a_revocation_that_is_restored_keeps_its_date(store: Rc<Store>) {
    let now = second();
    store
        .token_lives
        .note(Duration::from_hours(24))
        .await
        .expect("noted");
    let revoked = [
        Revocation::User {
            user: user("user-1"),
            before: now,
            until: now + 9,
        },
        Revocation::UserInApp {
            user: user("user-1"),
            app: app(),
            before: now,
            until: now + 8,
        },
        Revocation::Key {
            kid: "a-kid".into(),
            until: now + 7,
        },
    ];
    for revocation in &revoked {
        store.revocations.restore(revocation).await.expect("made");
    }
    assert_eq!(read_after(&store, "").await.0, revoked);
}

fn kids(revocations: &[Revocation]) -> Vec<&str> {
    revocations.iter().map(kid).collect()
}

fn kid(revocation: &Revocation) -> &str {
    match revocation {
        Revocation::Key { kid, .. } => kid,
        other => panic!("{other:?}"),
    }
}

async fn the_stream_is_read_in_parts(store: Rc<Store>) {
    let store = &store;
    for number in 0..4 {
        store
            .revocations
            .revoke_key(&format!("kid-{number}"))
            .await
            .expect("ended");
    }
    let read = store
        .revocation_stream
        .after("", 3)
        .await
        .expect("read")
        .expect("the oldest");
    assert_eq!((read.revocations.len(), read.more), (3, true));
    let (rest, _) = read_after(store, &read.cursor).await;
    assert_eq!(kids(&rest), ["kid-3"]);
    for (cursor, most) in [("", 4), (&*read.cursor, 1)] {
        let read = store
            .revocation_stream
            .after(cursor, most)
            .await
            .expect("read")
            .expect("a cursor of the stream");
        assert_eq!(
            (read.revocations.len(), read.more),
            (most, false),
            "just full"
        );
    }
}

/// Two logins came before the step. By the clock, later logins begin before them, but their keys
/// are still the newest.
async fn a_login_after_the_clock_has_stepped_back_has_the_current_key(store: Rc<Store>) {
    let store = &store;
    let [now, ..] = orders(store, [0, 0, 0]).await;
    let at = |ahead: u64, byte| {
        ExchangeTimestamp::new(now.micros + ahead * 1_000_000, &attempt_id(byte))
    };
    let keys = async || store.sessions.keys(&person("o1")).await.expect("an answer");
    recorded(store, &record("o1", &at(200, 1), "k1", "user-1")).await;
    recorded(store, &record("o1", &at(300, 2), "k2", "user-1")).await;
    bind(store, "o1", "user-1", FIRST).await;
    for (byte, key, before) in [(3, "k3", "k2"), (4, "k4", "k3")] {
        for _ in 0..2 {
            recorded(store, &record("o1", &at(0, byte), key, "user-1")).await;
            assert_eq!(
                keys().await,
                [sealed(key), sealed(before)],
                "also if it is repeated"
            );
        }
    }
    for _ in 0..2 {
        let reset = (at(0, 5), sealed("k5"));
        store
            .sessions
            .keep(&person("o1"), FIRST, &reset, None)
            .await
            .expect("kept");
        assert_eq!(keys().await, [sealed("k5"), sealed("k4")]);
    }
}

/// Three exchanges leave the same two keys in every order of arrival, also if they began in the
/// same microsecond.
async fn a_later_exchange_never_loses(store: Rc<Store>) {
    let arrivals = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for (round, micros) in [[0, 1, 2], [5, 5, 5]].into_iter().enumerate() {
        let orders = orders(&store, micros).await;
        for arrival in arrivals {
            let openid = format!("o-{round}-{}{}{}", arrival[0], arrival[1], arrival[2]);
            for exchange in arrival {
                let login = record(
                    &openid,
                    &orders[exchange],
                    &format!("key {exchange}"),
                    "user",
                );
                recorded(&store, &login).await;
                recorded(&store, &login).await;
            }
            let kept = store
                .sessions
                .keys(&person(&openid))
                .await
                .expect("an answer");
            assert_eq!(
                kept,
                [sealed("key 2"), sealed("key 1")],
                "arrival {arrival:?}"
            );
        }
    }
}

async fn a_replaced_key_is_kept_ten_minutes(store: Rc<Store>) {
    let [now, _, _] = orders(&store, [0, 0, 0]).await;
    let ago =
        |seconds: u64| ExchangeTimestamp::new(now.micros - seconds * 1_000_000, &attempt_id(9));
    for (openid, replaced, kept) in [("recent", 595, true), ("long-ago", 605, false)] {
        recorded(&store, &record(openid, &ago(900), "old", "user")).await;
        recorded(&store, &record(openid, &ago(replaced), "new", "user")).await;
        let keys = store
            .sessions
            .keys(&person(openid))
            .await
            .expect("an answer");
        assert_eq!(
            (&keys[0], keys.len() == 2),
            (&sealed("new"), kept),
            "{openid}"
        );
    }
}

/// After K1, K2, K2, K2, the previous key is K1 until ten minutes have passed since a login, in
/// whatever way a key comes.
async fn a_key_that_wechat_gives_again_pushes_no_other_out(store: Rc<Store>) {
    let (store, vault) = (&store, vault());
    let [now, ..] = orders(store, [0, 0, 0]).await;
    let exchanged = async |openid: &str, key: &str, ago: u64, by_login: bool, rate| {
        let order =
            ExchangeTimestamp::new(now.micros - ago * 1_000_000, &attempt_id((ago % 251) as u8));
        let session_key = vault.seal(key, &person(openid));
        if by_login {
            return log_in(
                store,
                &LoginRecord {
                    session_key,
                    rate,
                    ..record(openid, &order, "", "user-1")
                },
            )
            .await;
        }
        store
            .sessions
            .keep(
                &person(openid),
                FIRST,
                &(order, session_key),
                Some(DateTime::UNIX_EPOCH),
            )
            .await
            .expect("kept");
        Recorded::Unbound
    };
    // Logins that count take the slow path; a login after keys that came without logins takes the
    // fast path.
    for (way, by_login) in [[false; 4], [true; 4], [false, false, true, true]]
        .into_iter()
        .enumerate()
    {
        for (ago, has_both) in [([900, 500, 20, 10], true), ([1500, 1000, 300, 10], false)] {
            let openid = format!("o-{way}-{has_both}");
            bind(store, &openid, &format!("user-{openid}"), FIRST).await;
            for ((key, ago), by_login) in
                ["K1", "K2", "K2", "K2"].into_iter().zip(ago).zip(by_login)
            {
                exchanged(&openid, key, ago, by_login, OFTEN).await;
            }
            let kept = store
                .sessions
                .keys(&person(&openid))
                .await
                .expect("an answer");
            let expected = ["K2", "K1"].map(|key| vault.seal(key, &person(&openid)));
            assert_eq!(kept, expected[..if has_both { 2 } else { 1 }], "{openid}");
            let last = store
                .last_login(&person(&openid))
                .await
                .expect("an answer")
                .map(|at| at.timestamp());
            assert_eq!(
                last,
                Some((now.micros / 1_000_000) as i64 - 10),
                "the last exchange, whatever its key"
            );
        }
    }
    let rate = Rate {
        burst: 3,
        period: Duration::from_hours(1),
    };
    bind(store, "o1", "user-1", FIRST).await;
    for (ago, is_admitted) in [(40, true), (30, true), (20, true), (10, false)] {
        let recorded = exchanged("o1", "K", ago, true, rate).await;
        assert_eq!(
            matches!(recorded, Recorded::Counted { .. }),
            is_admitted,
            "{ago}: {recorded:?}"
        );
    }
}

async fn a_stranger_has_no_session_key(store: Rc<Store>) {
    assert_eq!(store.sessions.keys(&person("stranger")).await, Ok(vec![]));
}

crate::conformance! {
    a_code_is_claimed_once
    a_later_claim_has_a_later_place
    only_its_claimant_gives_a_code_back
    a_login_writes_its_intent_down_once
    a_binding_is_made_in_steps_that_may_be_repeated
    a_login_that_is_recorded_again_undoes_no_dissolution
    an_intent_of_an_older_generation_is_not_written_down
    a_user_takes_as_many_people_of_an_app_as_may_be
    a_decision_is_made_once_for_a_generation
    a_dissolved_binding_leaves_the_person_free_and_its_list_without
    a_dropped_intent_leaves_a_dissolved_person_dissolved
    for_a_unionids_sake_nobody_joins_who_has_left_all
    a_unionid_stands_for_one_user
    a_link_is_of_the_binding_and_a_conflict_is_news_once
    users_of_one_unionid_are_noted_and_each_of_their_people_knows_until_bound_anew
    a_binding_is_read_whole_and_what_is_half_done_is_none
    a_ticket_is_spent_once
    an_address_over_its_limit_claims_nothing
    attempts_are_counted_and_given_back
    a_person_over_the_limit_has_the_session_key_kept_beside_a_binding
    logins_without_session_keys_are_counted_and_dated_like_others
    a_session_key_is_kept_beside_the_binding_that_it_is_for_and_no_other
    a_later_exchange_never_loses
    a_login_after_the_clock_has_stepped_back_has_the_current_key
    keys_open_for_the_user_who_is_bound
    the_eighth_failure_drops_the_session_key
    failures_are_counted_whatever_becomes_of_the_keys
    no_more_tries_are_under_way_than_may_fail
    a_try_that_is_opened_or_closed_again_is_one
    a_session_key_is_resealed_only_if_it_is_still_the_one
    a_token_that_was_revoked_stays_revoked_and_no_other_is
    no_token_of_a_blocked_user_is_good
    a_revocation_reaches_to_the_last_login_of_the_users_people
    a_revocation_reaches_to_a_login_by_a_ticket
    revocations_that_are_needed_are_not_purged
    all_tokens_of_a_user_are_revoked_and_a_repetition_revokes_no_newer_ones
    an_unbinding_revokes_the_tokens_of_its_app_for_ever
    each_revocation_is_in_the_stream_once_and_in_order
    an_unbinding_that_is_finished_later_revokes_no_token_of_the_next_binding
    an_unbinding_has_the_users_other_people_of_the_app_look_at_the_revocations
    a_login_can_revoke_the_earlier_tokens_of_its_app_alone
    of_logins_in_one_second_the_last_ones_token_is_left
    a_token_is_dated_with_the_first_second_that_no_revocation_names_and_later_ones_name_it
    a_revocation_is_dated_by_the_longest_life_of_tokens_that_may_be_left
    a_revocation_that_is_restored_keeps_its_date
    the_stream_is_read_in_parts
    a_blocked_user_takes_nobody_and_each_login_of_the_users_people_finds_the_block
    a_users_state_and_last_login_are_known_as_long_as_something_tells_them
    what_is_erased_of_a_person_leaves_a_number_and_no_late_command_brings_it_back
    once_a_person_is_erased_nothing_that_was_counted_names_them
    whom_a_person_has_left_is_known_until_the_person_is_struck_off
    a_list_from_which_the_last_one_is_struck_off_is_deserted_for_a_while
    the_tokens_of_an_app_are_revoked_those_of_this_second_too
    a_block_outlives_the_erasure_of_a_users_list
    a_replaced_key_is_kept_ten_minutes
    a_key_that_wechat_gives_again_pushes_no_other_out
    a_stranger_has_no_session_key
}

mod redis_only {
    use super::*;

    #[tokio::test(flavor = "local")]
    async fn a_person_may_have_left_more_users_than_lua_unpacks() {
        let server = RedisServer::start().await;
        let left: Vec<UserId> = (0..8_100)
            .map(|number| user(&format!("user-{number}")))
            .collect();
        let erased = server
            .store()
            .erasures
            .erase(&person("o1"), &Vec::from_iter(&left), &[NAMES])
            .await;
        assert_eq!(erased, Ok(Some(ErasedPerson::default())));
    }

    #[tokio::test(flavor = "local")]
    async fn a_session_that_is_sealed_again_expires_when_it_would_have() {
        let server = RedisServer::start().await;
        let store = server.store();
        let owner = with_session(&store, "o1").await;
        let key = format!("wxmint:{{{}:o1}}:session", app());
        server.cli(&["EXPIRE", &key, "1000"]);
        store
            .sessions
            .reseal(&owner, &sealed("k1"), &sealed("k1 anew"))
            .await
            .expect("resealed");
        let kept = store.sessions.keys(&owner).await;
        assert_eq!(kept, Ok(vec![sealed("k1 anew")]));
        let left: i64 = server.cli(&["TTL", &key]).parse().expect("seconds");
        assert!((1..=1000).contains(&left), "{left}");
    }

    #[tokio::test(flavor = "local")]
    async fn a_revocation_of_a_later_version_keeps_verifiers_from_no_other() {
        let server = RedisServer::start().await;
        let store = server.store();
        store.revocations.revoke_key("one").await.expect("ended");
        server.cli(&["XADD", "wxmint:revoked", "*", "end", "device 1 abc"]);
        store.revocations.revoke_key("other").await.expect("ended");
        let (revocations, _) = read_after(&store, "").await;
        assert_eq!(kids(&revocations), ["one", "other"]);
    }

    #[tokio::test(flavor = "local")]
    async fn a_session_with_another_computed_user_logs_nobody_in() {
        let server = RedisServer::start().await;
        let store = server.store();
        let [first, second, third] = orders(&store, [0, 1, 2]).await;
        let login = |order, of: &str| {
            let if_unbound = UnboundPolicy::Computed {
                user: user(of),
                listed: true,
            };
            LoginRecord {
                if_unbound,
                ..record("o1", order, "k1", "nobody")
            }
        };
        let [right, wrong] = [
            "6c207736-427e-88dc-acfd-5b0f649038f3",
            "6c207736-427e-88dc-acfd-5b0f649038f4",
        ];
        store
            .logins
            .record(&login(&first, right))
            .await
            .expect("recorded");
        assert_eq!(
            store.logins.record(&login(&second, wrong)).await,
            Ok(Recorded::OtherUser)
        );
        store
            .sessions
            .delete_keys(&person("o1"), None)
            .await
            .expect("forgotten");
        assert_eq!(
            store.logins.record(&login(&third, wrong)).await,
            Ok(Recorded::OtherUser)
        );
        let told = LoginRecord {
            if_unbound: UnboundPolicy::ReportOnly,
            ..record("o1", &third, "k1", "nobody")
        };
        assert_eq!(
            store.logins.record(&told).await,
            Ok(Recorded::OtherUser),
            "nobody draws a user id for who has one"
        );
        let found = store
            .bindings
            .find(&person("o1"))
            .await
            .expect("an answer")
            .map(|found| found.user);
        assert_eq!(found, Some(user(right)));
        // A person with a computed user does not begin to bind.
        let intent = Intent {
            user: user("user-1"),
            made: false,
            by_unionid: false,
        };
        store
            .bindings
            .intend(&person("o1"), None, &intent)
            .await
            .expect("an answer");
        assert_eq!(
            store
                .bindings
                .find(&person("o1"))
                .await
                .expect("an answer")
                .map(|found| found.user),
            Some(user(right))
        );
    }

    /// The operator's connection has seen a later time of Redis.
    #[tokio::test(flavor = "local")]
    async fn a_login_learns_by_a_computed_users_list_alone_that_tokens_were_revoked() {
        let server = RedisServer::start().await;
        let (store, operator) = (server.store(), server.store());
        let later = servers::now().timestamp() + 60;
        operator.clock.had_told(later as u64);
        let restored: [fn(UserId, i64) -> Revocation; 2] = [
            |user, before| Revocation::User {
                user,
                before,
                until: before,
            },
            |user, before| Revocation::UserInApp {
                user,
                app: app(),
                before,
                until: before,
            },
        ];
        for number in 0..4 {
            let (user, openid) = (user(&format!("user-{number}")), format!("o{number}"));
            let asks = async |key: &str| {
                let ([order, ..], if_unbound) = (
                    orders(&store, [0, 1, 2]).await,
                    UnboundPolicy::Computed {
                        user: user.clone(),
                        listed: false,
                    },
                );
                let login = LoginRecord {
                    if_unbound,
                    ..record(&openid, &order, key, "nobody")
                };
                matches!(
                    store.logins.record(&login).await,
                    Ok(Recorded::Counted {
                        may_be_revoked: true,
                        ..
                    })
                )
            };
            assert!(!asks("k1").await && !asks("k2").await);
            match number {
                0 => operator.revocations.revoke_user(&user, None).await,
                1 => operator.revocations.revoke_in_app(&user, &app()).await,
                other => {
                    operator
                        .revocations
                        .restore(&restored[other - 2](user.clone(), later))
                        .await
                }
            }
            .expect("ended");
            assert!(asks("k3").await, "{number}");
        }
        let reads = server.cli(&["INFO", "commandstats"]);
        assert!(
            reads.contains("cmdstat_hmget:calls=13,"),
            "one for each login, and for the script's text: {reads}"
        );
    }

    /// Repeated logins need no lookups of revocations.
    #[tokio::test(flavor = "local")]
    async fn a_login_asks_for_revocations_until_one_has_found_none_after_the_session_keys_were_dropped()
     {
        let server = RedisServer::start().await;
        let store = server.store();
        let asks = async |key: &str| {
            let [order, ..] = orders(&store, [0, 1, 2]).await;
            match log_in(&store, &record("o1", &order, key, "user-1")).await {
                Recorded::Counted { may_be_revoked, .. } => may_be_revoked,
                other => panic!("{other:?}"),
            }
        };
        let now = servers::now().timestamp();
        let date = async |second| {
            dated(
                store
                    .revocations
                    .date_token(&person("o1"), &token("a", second), i64::MAX)
                    .await,
            )
        };
        assert!(asks("k1").await, "the user may have been there before");
        bind(&store, "o1", "user-1", FIRST).await;
        assert!(!asks("k2").await, "wxmint has made the user");
        store
            .sessions
            .delete_keys(&person("o1"), None)
            .await
            .expect("forgotten");
        assert_eq!(
            (date(now + 1).await, asks("k3").await),
            (now + 1, true),
            "it may be ended with its keys"
        );
        store
            .revocations
            .revoke_user(&user("user-1"), Some(now + 60))
            .await
            .expect("ended");
        for (second, dated, asked) in [
            (now, now + 61, true),
            (now + 50, now + 61, true),
            (now + 61, now + 61, false),
        ] {
            assert_eq!(
                (date(second).await, asks("k4").await),
                (dated, asked),
                "{second}"
            );
        }
        unbind(&store, "o1", "user-1", FIRST).await;
        recorded(
            &store,
            &record("o1", &orders(&store, [0, 1, 2]).await[0], "k5", "user-1"),
        )
        .await;
        bind(&store, "o1", "user-1", SECOND).await;
        assert!(
            asks("k6").await && asks("k7").await,
            "the user was there before"
        );
        let binding = format!("wxmint:{{{}:o1}}:binding", app());
        server.cli(&["HDEL", &binding, "d"]);
        assert!(!asks("k8").await);
        store.clock.had_told(servers::now().timestamp() as u64 + 60);
        assert!(asks("k9").await, "so have ends that were made before");
        let last = store
            .last_login(&person("o1"))
            .await
            .expect("an answer")
            .expect("a login");
        for (seconds, later) in [(-60, 0), (60, 60)] {
            let noted = (last.timestamp() + seconds).to_string();
            server.cli(&["HSET", &binding, "l", &noted]);
            assert_eq!(
                store.last_login(&person("o1")).await,
                Ok(Some(last + TimeDelta::seconds(later)))
            );
        }
        let BindingState::Bound(bound) =
            store.bindings.state(&person("o1")).await.expect("a state")
        else {
            panic!()
        };
        store
            .unbindings
            .leave(&person("o1"), &bound)
            .await
            .expect("left");
        let fields: BTreeSet<_> = server
            .cli(&["HKEYS", &binding])
            .lines()
            .map(str::to_owned)
            .collect();
        assert_eq!(fields, BTreeSet::from(["g", "q", "t"].map(str::to_owned)));
    }

    /// When the earlier login counts no more, the later one still does.
    #[tokio::test(flavor = "local")]
    async fn whoever_has_no_session_key_any_more_has_each_login_counted_for_its_own_time() {
        thread_local!(static AHEAD: cell::Cell<TimeDelta> = const { cell::Cell::new(TimeDelta::zero()) });
        fn clock() -> DateTime<Utc> {
            servers::now() + AHEAD.get()
        }
        let store = Store::new(&StoreAccess::in_memory(clock), DAY, clock, ());
        let rate = Rate {
            burst: 2,
            period: Duration::from_hours(8),
        };
        let log_in = async |openid: &str, attempt| {
            let micros = clock().timestamp_micros() as u64;
            let order = ExchangeTimestamp::new(micros, &attempt_id(attempt));
            let login = LoginRecord {
                rate,
                ..record(openid, &order, "k", openid)
            };
            log_in(&store, &login).await
        };
        let is_counted = |recorded: &Recorded| matches!(recorded, Recorded::Counted { .. });
        let people = ["logged-out", "unbound", "blocked"];
        for openid in people {
            let first = log_in(openid, 1).await;
            assert!(is_counted(&first), "{openid}: {first:?}");
            bind(&store, openid, openid, FIRST).await;
        }
        AHEAD.set(TimeDelta::hours(4));
        for openid in people {
            let (second, person) = (log_in(openid, 2).await, person(openid));
            assert!(is_counted(&second), "{openid}: {second:?}");
            match openid {
                "logged-out" => store
                    .sessions
                    .delete_keys(&person, None)
                    .await
                    .expect("forgotten"),
                "unbound" => {
                    let left = store
                        .unbindings
                        .leave(&person, &bound_to(FIRST, openid))
                        .await;
                    left.expect("left");
                }
                _ => {
                    let blocked = store
                        .bindings
                        .note_block(&person, &user(openid), 1, true)
                        .await;
                    blocked.expect("blocked");
                }
            }
        }
        AHEAD.set(TimeDelta::hours(10));
        for openid in people {
            let third = log_in(openid, 3).await;
            assert!(is_counted(&third), "{openid}, the first is over: {third:?}");
            let fourth = log_in(openid, 4).await;
            assert!(
                matches!(fourth, Recorded::Limited(_)),
                "{openid}, the second counts: {fourth:?}"
            );
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_login_after_the_clock_has_stepped_back_counts_once() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), servers::now().timestamp_micros() as u64);
        for (number, micros) in [(1, now + 300_000_000), (2, now)] {
            let order = ExchangeTimestamp::new(micros, &attempt_id(number));
            recorded(&store, &record("o1", &order, &number.to_string(), "user-1")).await;
            let length = usize::from(number) * (2 + 7 + 4 + 1);
            let session = format!("wxmint:{{{}:o1}}:session", app());
            assert_eq!(
                server.cli(&["STRLEN", &session]),
                length.to_string(),
                "{number} lines, and no other logins"
            );
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_record_that_is_sent_again_brings_no_key_back() {
        let server = RedisServer::start().await;
        let store = server.store();
        let [first, second, _] = orders(&store, [0, 1, 2]).await;
        recorded(&store, &record("o1", &first, "k1", "user-1")).await;
        bind(&store, "o1", "user-1", FIRST).await;
        recorded(&store, &record("o1", &second, "k2", "user-1")).await;
        store
            .sessions
            .reseal(&person("o1"), &sealed("k2"), &sealed("k2 anew"))
            .await
            .expect("sealed anew");
        recorded(&store, &record("o1", &second, "k2", "user-1")).await;
        assert_eq!(
            store.sessions.keys(&person("o1")).await,
            Ok(vec![sealed("k2 anew"), sealed("k1")])
        );

        let intent = intent("user-2");
        let login = LoginRecord {
            if_unbound: UnboundPolicy::Intended(intent.clone()),
            ..record("o2", &first, "k1", "user-2")
        };
        recorded(&store, &login).await;
        store
            .bindings
            .admit(&person("o2"), FIRST, &intent, 9)
            .await
            .expect("admitted");
        store
            .bindings
            .note_block(&person("o2"), &user("user-2"), 1, true)
            .await
            .expect("blocked");
        store.logins.record(&login).await.expect("recorded");
        assert_eq!(
            store.sessions.keys(&person("o2")).await,
            Ok(vec![]),
            "of who was blocked before being bound"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn a_refused_login_that_is_sent_again_and_admitted_counts() {
        let server = RedisServer::start().await;
        let store = server.store();
        let rate = Rate {
            burst: 1,
            period: Duration::from_secs(1),
        };
        let [first, second, third] = orders(&store, [0, 1, 2]).await;
        let login = |order, key| LoginRecord {
            rate,
            ..record("o1", order, key, "user-1")
        };
        recorded(&store, &login(&first, "k1")).await;
        bind(&store, "o1", "user-1", FIRST).await;
        while matches!(
            log_in(&store, &login(&second, "k2")).await,
            Recorded::Limited(_)
        ) {}
        let next = log_in(&store, &login(&third, "k3")).await;
        assert!(matches!(next, Recorded::Limited(_)), "{next:?}");
    }

    #[tokio::test(flavor = "local")]
    async fn the_life_of_a_session_begins_anew_at_each_login() {
        let server = RedisServer::start().await;
        let store = server.store();
        let session = format!("wxmint:{{{}:o1}}:session", app());
        for (order, key) in orders(&store, [0, 1, 2])
            .await
            .iter()
            .zip(["k1", "k2", "k3"])
        {
            recorded(&store, &record("o1", order, key, "user-1")).await;
            assert_eq!(server.cli(&["TTL", &session]), DAY.as_secs().to_string());
            server.cli(&["EXPIRE", &session, "100"]);
        }
    }

    #[tokio::test(flavor = "local")]
    async fn a_session_stays_short_however_often_a_person_logs_in() {
        let server = RedisServer::start().await;
        let (store, session) = (server.store(), format!("wxmint:{{{}:o1}}:session", app()));
        let rate = Rate {
            burst: 40,
            period: Duration::from_hours(1),
        };
        let (mut admitted, mut before) = (0, None);
        let is_short = || {
            server
                .cli(&["STRLEN", &session])
                .parse::<usize>()
                .expect("a length")
                <= 100
        };
        for number in 0..60 {
            let [order, ..] = orders(&store, [0, 1, 2]).await;
            let key = format!("k{number}");
            let recorded = log_in(
                &store,
                &LoginRecord {
                    rate,
                    ..record("o1", &order, &key, "o1")
                },
            )
            .await;
            admitted += u32::from(matches!(recorded, Recorded::Counted { .. }));
            if number == 0 {
                bind(&store, "o1", "o1", FIRST).await;
            }
            let mut kept = store
                .sessions
                .keys(&person("o1"))
                .await
                .expect("an answer")
                .into_iter();
            assert_eq!((kept.next(), kept.next()), (Some(sealed(&key)), before));
            before = Some(sealed(&key));
            assert!(is_short(), "after {number} logins");
        }
        assert_eq!(admitted, rate.burst);
        for number in 0..40 {
            let [order, ..] = orders(&store, [0, 1, 2]).await;
            let key = (order, sealed(&format!("reset {number}")));
            store
                .sessions
                .keep(&person("o1"), FIRST, &key, None)
                .await
                .expect("kept");
        }
        assert_eq!(
            store.sessions.keys(&person("o1")).await,
            Ok(vec![sealed("reset 39"), sealed("reset 38")])
        );
        assert!(is_short(), "after 40 resets");
    }

    #[tokio::test(flavor = "local")]
    async fn a_revocation_that_did_not_reach_the_stream_is_unpublished_until_a_repetition_puts_it_there()
     {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), servers::now().timestamp());
        let [own, with_app, with_user] = ["a", "b", "c"].map(|id| token(id, now - 1));
        server.cli(&[
            "SET",
            "wxmint:user:{user-1}:ended:a",
            "untold",
            "EX",
            "3600",
        ]);
        assert_eq!(
            store.revocations.token_state(&own).await,
            Ok(TokenState::Revoked { published: false })
        );
        server.cli(&["XADD", "wxmint:revoked", "*", "end", "kid k"]);
        for _ in 0..2 {
            store.revocations.revoke_token(&own).await.expect("ended");
            assert_eq!(
                store.revocations.token_state(&own).await,
                Ok(TokenState::Revoked { published: true })
            );
            assert_eq!(server.cli(&["XLEN", "wxmint:revoked"]), "2", "once");
        }
        assert_eq!(
            server.cli(&["TTL", "wxmint:user:{user-1}:ended:a"]),
            "-1",
            "Redis does not forget it by itself"
        );

        let revocations = "wxmint:user:{user-1}:ends";
        let app = app();
        for (revocation, revoked) in [
            (
                format!("app:{app}"),
                TokenState::Revoked { published: false },
            ),
            (
                "before".into(),
                TokenState::RevokedWithUser { published: false },
            ),
        ] {
            let second = now.to_string();
            server.cli(&[
                "HSET",
                revocations,
                &revocation,
                &second,
                &format!("untold:{revocation}"),
                &second,
            ]);
            assert_eq!(
                store.revocations.token_state(&with_app).await,
                Ok(revoked),
                "{revocation}"
            );
        }
        store
            .revocations
            .revoke_user(&with_user.user, Some(now - 1))
            .await
            .expect("a repetition");
        assert_eq!(
            store.revocations.token_state(&with_user).await,
            Ok(TokenState::RevokedWithUser { published: true })
        );
    }

    /// This holds even if no person is listed, and none has logged in since.
    #[tokio::test(flavor = "local")]
    async fn a_process_that_follows_the_revocations_or_makes_one_knows_that_the_clock_has_stepped_back()
     {
        thread_local!(static BEHIND: cell::Cell<TimeDelta> = const { cell::Cell::new(TimeDelta::zero()) });
        let access = StoreAccess::in_memory(|| servers::now() - BEHIND.get());
        for follows in [true, false] {
            let [store, other] = [(); 2].map(|()| Store::new(&access, DAY, servers::now, ()));
            let (before, revoked) = (second(), user(&format!("{follows}")));
            BEHIND.set(TimeDelta::zero());
            store.revocation_stream.after("", 1).await.expect("a page");
            BEHIND.set(TimeDelta::minutes(5));
            if follows {
                store.revocation_stream.after("", 1).await.expect("a page");
            }
            // Another worker of the process has not seen the time before the step.
            let maker = if follows { &other } else { &store };
            maker
                .revocations
                .revoke_user(&revoked, None)
                .await
                .expect("ended");
            let is_whole = |revocation: &Revocation| matches!(revocation, Revocation::User { user, before: last, .. } if *user == revoked && *last >= before);
            assert!(
                read_after(&store, "").await.0.iter().any(is_whole),
                "{follows}"
            );
        }
    }

    /// Redis undoes nothing if a script fails. Here, the stream's key has another type for a while.
    #[tokio::test(flavor = "local")]
    async fn what_failed_midway_is_done_by_a_repetition() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), second());
        let (one, kid, restored) = (
            token("a", now),
            || "kid".to_owned(),
            Revocation::Key {
                kid: "restored".into(),
                until: now + 9,
            },
        );
        server.cli(&["SET", "wxmint:revoked", "no stream"]);
        for _ in 0..2 {
            store
                .revocations
                .revoke_token(&one)
                .await
                .expect_err("not told");
            store
                .revocations
                .revoke_key(&kid())
                .await
                .expect_err("not told");
            store
                .revocations
                .restore(&restored)
                .await
                .expect_err("not told");
        }
        server.cli(&["DEL", "wxmint:revoked"]);
        for is_new in [true, false] {
            store.revocations.revoke_token(&one).await.expect("told");
            assert_eq!(store.revocations.revoke_key(&kid()).await, Ok(is_new));
            assert_eq!(store.revocations.revoke_key("restored").await, Ok(is_new));
        }
        assert_eq!(
            store.revocations.restore(&restored).await,
            Ok(()),
            "told again, though it was not lost"
        );
        let token = Revocation::Token {
            id: one.id,
            user: one.user,
            expires_at: one.expires_at,
        };
        let told = read_after(&store, "").await.0;
        assert_eq!(
            (&told[0], kids(&told[1..])),
            (&token, vec!["kid", "restored", "restored"])
        );
        assert_eq!(told[3], restored, "with the date that it had");
    }

    /// The key of a user's revocations, or a command, is refused for a while.
    #[tokio::test(flavor = "local")]
    async fn a_list_that_failed_midway_is_changed_by_a_repetition() {
        let server = RedisServer::start().await;
        let (store, user, revocations) =
            (server.store(), user("user-1"), "wxmint:user:{user-1}:ends");
        let may = |right: &str| _ = server.cli(&["ACL", "SETUSER", "default", right]);
        let owner = with_session(&store, "o1").await;
        let left = store
            .unbindings
            .leave(&owner, &bound_to(FIRST, "user-1"))
            .await
            .expect("left");
        let BindingState::Leaving { since, .. } = left else {
            panic!("{left:?}")
        };
        server.cli(&["SET", revocations, "no ends"]);
        store
            .unbindings
            .unlist_and_revoke(&user, &owner, FIRST, since)
            .await
            .expect_err("no ends");
        server.cli(&["DEL", revocations]);
        store
            .unbindings
            .unlist_and_revoke(&user, &owner, FIRST, since)
            .await
            .expect("unlisted");
        let until = of_any_life(since);
        let revoked = Revocation::UserInApp {
            user: user.clone(),
            app: app(),
            before: since,
            until,
        };
        assert_eq!(read_after(&store, "").await.0, [revoked]);
        may("-hset");
        store
            .bindings
            .set_free(&owner, FIRST, &user)
            .await
            .expect_err("no right");
        may("+hset");
        let free = BindingState::Free {
            generation: Some(FIRST),
            dissolved: true,
        };
        assert_eq!(
            store.bindings.set_free(&owner, FIRST, &user).await,
            Ok(free)
        );

        store
            .revocations
            .set_blocked(&user, true)
            .await
            .expect("blocked");
        may("-hset");
        store
            .bindings
            .remove_from_list(&user, &owner)
            .await
            .expect_err("no right");
        may("+hset");
        store
            .bindings
            .remove_from_list(&user, &owner)
            .await
            .expect("struck");
        assert_eq!(server.cli(&["HGET", "wxmint:user:{user-1}", "floor"]), "1");
        assert!(
            store
                .revocations
                .user_state(&user)
                .await
                .expect("an answer")
                .blocked
        );
        store
            .revocations
            .set_blocked(&user, false)
            .await
            .expect("lifted");
        server.cli(&["EXPIRE", "wxmint:user:{user-1}", "600"]);
        may("-persist");
        let admitted = async || {
            store
                .bindings
                .admit(&owner, SECOND, &wish(&user, false), 9)
                .await
        };
        admitted().await.expect_err("no right");
        may("+persist");
        assert_eq!(admitted().await, Ok(Decision::Admitted { first: true }));
        assert_eq!(server.cli(&["TTL", "wxmint:user:{user-1}"]), "-1");
    }

    #[tokio::test(flavor = "local")]
    async fn a_computed_user_who_left_halfway_has_no_session_key() {
        let server = RedisServer::start().await;
        let (store, owner) = (server.store(), person("o1"));
        let [order, _, _] = orders(&store, [0, 1, 2]).await;
        let if_unbound = UnboundPolicy::Computed {
            user: user("user-1"),
            listed: true,
        };
        store
            .logins
            .record(&LoginRecord {
                if_unbound,
                ..record("o1", &order, "k1", "nobody")
            })
            .await
            .expect("recorded");
        let listed = async || {
            store.bindings.people_of(&user("user-1")).await == Ok(Some(vec![owner.clone()]))
        };
        while !listed().await {
            tokio::task::yield_now().await;
        }
        assert_eq!(store.sessions.keys(&owner).await, Ok(vec![sealed("k1")]));
        server.cli(&["ACL", "SETUSER", "default", "-hdel"]);
        store
            .unbindings
            .leave(&owner, &Bound::computed(user("user-1")))
            .await
            .expect_err("no right");
        assert!(listed().await, "still on the list");
        assert_eq!(store.sessions.keys(&owner).await, Ok(vec![]));
    }

    #[tokio::test(flavor = "local")]
    async fn what_a_token_check_reads_does_not_grow_with_revoked_tokens_and_people_who_left() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), servers::now().timestamp());
        bind(&store, "owner", "user-1", FIRST).await;
        for number in 0..20 {
            store
                .revocations
                .revoke_token(&token(&format!("t{number}"), now))
                .await
                .expect("ended");
            let other = person(&format!("o{number}"));
            let sign = store
                .bindings
                .admit(&other, FIRST, &wish(&user("user-1"), false), 1 + number % 2)
                .await
                .expect("decided");
            if sign != Decision::Full {
                store
                    .unbindings
                    .unlist_and_revoke(&user("user-1"), &other, FIRST, now - 20)
                    .await
                    .expect("unlisted");
            }
        }
        let lengths = ["wxmint:user:{user-1}", "wxmint:user:{user-1}:ends"]
            .map(|key| server.cli(&["HLEN", key]));
        let why = "the owner and the last second that is revoked; the end of the app, and until when it is kept";
        assert_eq!(lengths, ["2", "2"], "{why}");
        assert_eq!(
            store
                .bindings
                .ever_of(&user("user-1"))
                .await
                .map(|people| people.len()),
            Ok(21)
        );
        assert_eq!(
            store.bindings.people_of(&user("user-1")).await,
            Ok(Some(vec![person("owner")]))
        );
    }

    #[tokio::test(flavor = "local")]
    async fn a_life_that_was_shortened_counts_until_its_tokens_have_expired() {
        let server = RedisServer::start().await;
        // One of two replicas still has the old setting.
        let (old, new) = (server.store(), server.store());
        old.token_lives
            .note(Duration::from_hours(24))
            .await
            .expect("noted");
        new.token_lives
            .note(Duration::from_mins(10))
            .await
            .expect("noted");
        let until: i64 = server
            .cli(&["HGET", "wxmint:{wxmint:revoked}:lives", "86400"])
            .parse()
            .expect("a second");
        let since = until - servers::now().timestamp() - 86_400;
        assert!(
            (3590..=3600).contains(&since),
            "an hour without being noted again: {since}"
        );
        let revocations = async |number: usize| {
            new.revocations
                .revoke_user(&user(&format!("user-{number}")), None)
                .await
                .expect("ended");
            match read_after(&new, "").await.0.pop() {
                Some(Revocation::User { before, until, .. }) => (until, until - before),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(revocations(1).await.1, 86_400);
        // No such token was issued for an hour and three quarters of a day.
        let last = second() + 6 * 3600;
        server.cli(&[
            "HSET",
            "wxmint:{wxmint:revoked}:lives",
            "86400",
            &last.to_string(),
        ]);
        assert_eq!(
            revocations(2).await.0,
            last,
            "no longer than the last of the old tokens lives"
        );
        // The last of the old tokens has expired.
        server.cli(&["HSET", "wxmint:{wxmint:revoked}:lives", "86400", "1"]);
        assert_eq!(revocations(3).await.1, 600);
        server
            .store()
            .token_lives
            .note(Duration::from_mins(1))
            .await
            .expect("noted");
        assert_eq!(
            server.cli(&["HEXISTS", "wxmint:{wxmint:revoked}:lives", "86400"]),
            "0"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn requests_at_the_same_time_put_a_revocation_into_the_stream_once() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), second());
        let one = token("a", now);
        let (by_token, by_user) = tokio::join!(
            futures_util::future::join_all((0..20).map(|_| store.revocations.revoke_token(&one))),
            futures_util::future::join_all(
                (0..20).map(|_| store.revocations.revoke_in_app(&one.user, &one.app))
            ),
        );
        assert!(
            by_token
                .into_iter()
                .chain(by_user)
                .all(|revoked| revoked.is_ok())
        );
        let mut revocations = read_after(&store, "").await.0;
        assert!(
            (2..=3).contains(&revocations.len()),
            "a second may have passed: {revocations:?}"
        );
        revocations.dedup();
        assert!(revocations.len() > 1);
    }

    /// Later revocations cover a renewed token, even if the clock steps back. If the user has no
    /// revocations, nothing is left behind.
    #[tokio::test(flavor = "local")]
    async fn the_date_of_a_renewal_is_purged_unless_the_user_has_revocations() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), second());
        let life = async |expected: &dyn Fn(i64) -> bool| {
            store
                .revocations
                .date_renewal(&token("a", now), Duration::from_mins(5))
                .await
                .expect("dated");
            let life: i64 = server
                .cli(&["TTL", "wxmint:user:{user-1}:ends"])
                .parse()
                .expect("seconds");
            assert!(expected(life), "{life}");
        };
        life(&|life| (3600..=3600 + 600).contains(&life)).await;
        store
            .revocations
            .restore(&Revocation::User {
                user: user("user-1"),
                before: now,
                until: now,
            })
            .await
            .expect("made");
        life(&|life| life == -1).await;
    }

    /// Neither the expiry of keys nor a policy that evicts keys with an expiry can make revoked
    /// tokens valid again.
    #[tokio::test(flavor = "local")]
    async fn nothing_that_revokes_tokens_expires_by_the_clock_of_redis() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), second());
        let owner = with_session(&store, "o1").await;
        store
            .token_lives
            .note(Duration::from_mins(10))
            .await
            .expect("noted");
        store
            .client_tokens
            .note(
                &Issued {
                    app: "shop-web".parse().expect("a client"),
                    ..token("page", now)
                },
                &app(),
            )
            .await
            .expect("noted");
        store
            .revocations
            .revoke_token(&token("a", now))
            .await
            .expect("ended");
        logged_in(&store, "b", now).await;
        store
            .revocations
            .revoke_user(&user("user-1"), None)
            .await
            .expect("ended");
        store
            .unbindings
            .unlist_and_revoke(&user("user-1"), &owner, FIRST, now)
            .await
            .expect("unlisted");
        store.revocations.revoke_key("kid").await.expect("ended");
        let keys = server.cli(&["KEYS", "wxmint:*"]);
        let of_ends = keys.lines().filter(|key| {
            ["ended", "ends", "revoked", "client"]
                .iter()
                .any(|it| key.contains(it))
        });
        // The note that a revocation was just added to the stream lives for a minute, and a doubt
        // has its own life.
        let of_ends = of_ends.filter(|key| !key.contains(":put:") && !key.ends_with(":doubt"));
        let lives: Vec<_> = of_ends
            .map(|key| (key, server.cli(&["TTL", key])))
            .collect();
        assert!(
            lives.len() >= 7 && lives.iter().all(|(_, ttl)| ttl == "-1"),
            "{lives:?}"
        );
    }

    /// The ids of the entries are made as old as they would be after some hours.
    #[tokio::test(flavor = "local")]
    #[expect(clippy::too_many_lines, reason = "a case reads from top to bottom")]
    async fn each_revocation_is_purged_by_its_own_date_wherever_it_stands() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), second());
        // A revocation is needed for 120 s after its date: for the leeway of verifiers, and the
        // difference between clocks.
        let [old, over, needed, later] = [now - 9_000, now - 125, now - 115, now + 9_000];
        store
            .token_lives
            .note(Duration::from_hours(1))
            .await
            .expect("noted");
        let [first, second, third] =
            [1, 2, 3].map(|number| format!("wxmint:user:{{user-{number}}}:ends"));
        let list = "wxmint:user:{user-1}";
        let recently = now - 100;
        for (key, name, second) in [
            (&*first, "before", old),
            (&first, "app:wx2", old),
            (&first, "kept", over),
            (list, "ended", old),
            (&second, "before", old),
            (&second, "kept", later),
            (&third, "before", old),
            (&third, "untold:before", old),
            (&third, "dated", recently),
        ] {
            server.cli(&["HSET", key, name, &second.to_string()]);
        }
        for token in ["a", "b"] {
            server.cli(&[
                "SET",
                &format!("wxmint:user:{{user-1}}:ended:{token}"),
                "told",
            ]);
        }
        server.cli(&["SET", "wxmint:{wxmint:revoked}:old-kid", ""]);
        for (number, revocation) in [
            format!("kid {later} kid"),
            format!("sub {old} {over} user-1"),
            format!("jti {over} a user-1"),
            format!("jti {needed} b user-1"),
            format!("sub {old} {over} user-2"),
            format!("sub {old} {over} user-3"),
            format!("kid {over} old-kid"),
            format!("app {old} {needed} wx2 user-4"),
        ]
        .iter()
        .enumerate()
        {
            server.cli(&[
                "XADD",
                "wxmint:revoked",
                &format!("{}-{number}", old * 1000),
                "end",
                revocation,
            ]);
        }
        server.cli(&[
            "XADD",
            "wxmint:revoked",
            &format!("{}-1", old * 1000 + 1),
            "end",
            "device of a later version",
        ]);
        for far in [
            server.store_at(|| servers::now() + TimeDelta::minutes(2)),
            server.store_at(|| servers::now() - TimeDelta::minutes(2)),
        ] {
            assert_eq!(
                far.revocation_stream.purge(None, 100).await,
                Ok(Purged {
                    revocations: 0,
                    next: None
                }),
                "by one clock alone"
            );
            assert!((119..=121).contains(&far.clock.ahead().await.expect("an answer").abs()));
        }
        let forgotten = store
            .revocation_stream
            .purge(None, 4)
            .await
            .expect("forgotten");
        assert_eq!(forgotten.revocations, 2);
        let rest = store
            .revocation_stream
            .purge(forgotten.next.as_deref(), 100)
            .await
            .expect("forgotten");
        assert_eq!(
            rest,
            Purged {
                revocations: 3,
                next: None
            },
            "from where the first call has come"
        );
        let left = server.cli(&["XRANGE", "wxmint:revoked", "-", "+"]);
        let left: Vec<_> = left
            .lines()
            .filter(|line| line.contains(' '))
            .map(str::to_owned)
            .collect();
        let expected = [
            format!("kid {later} kid"),
            format!("jti {needed} b user-1"),
            format!("app {old} {needed} wx2 user-4"),
            "device of a later version".into(),
        ];
        assert_eq!(left, expected);
        for (key, is_left) in [
            (&*first, "0"),
            (list, "0"),
            ("wxmint:user:{user-1}:ended:a", "0"),
            ("wxmint:user:{user-1}:ended:b", "1"),
            (&second, "1"),
            (&third, "1"),
            ("wxmint:{wxmint:revoked}:old-kid", "1"),
        ] {
            assert_eq!(server.cli(&["EXISTS", key]), is_left, "{key}");
        }
        assert_eq!(
            server.cli(&["ZSCORE", "wxmint:{wxmint:revoked}:kept", "user-2"]),
            later.to_string()
        );
        let untold = old + REVOCATIONS_KEPT.as_secs() as i64;
        assert_eq!(
            server.cli(&["ZSCORE", "wxmint:{wxmint:revoked}:kept", "user-3"]),
            untold.to_string()
        );

        // A record that is needed for longer than its entry is purged when its own time has come.
        assert_eq!(store.revocation_stream.purge_kept_records(100).await, Ok(0));
        for (key, field) in [(&second, "kept"), (&third, "untold:before")] {
            server.cli(&["HSET", key, field, "1"]);
        }
        server.cli(&[
            "ZADD",
            "wxmint:{wxmint:revoked}:kept",
            "1",
            "user-2",
            "1",
            "user-3",
        ]);
        assert_eq!(store.revocation_stream.purge_kept_records(100).await, Ok(2));
        assert_eq!(
            (
                server.cli(&["EXISTS", &second]),
                server.cli(&["HKEYS", &third])
            ),
            ("0".into(), "dated".into())
        );
        let note: i64 = server.cli(&["TTL", &third]).parse().expect("seconds");
        assert!(
            (3600..=3 * 3600).contains(&note),
            "the note of a renewal expires: {note}"
        );
        assert_eq!(server.cli(&["EXISTS", "wxmint:{wxmint:revoked}:kept"]), "0");
        let kids = store.revocations.revoked_keys(&["old-kid".into()]).await;
        assert_eq!(
            kids,
            Ok(vec!["old-kid".into()]),
            "an old key file may come back"
        );
        assert!((-1..=1).contains(&store.clock.ahead().await.expect("an answer")));
    }

    /// The entry that a reader has read last is purged by its date. The reader continues without
    /// reading old revocations again.
    #[tokio::test(flavor = "local")]
    async fn a_cursor_outlives_its_entry_if_that_was_deleted_by_its_date_and_not_if_it_was_lost() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), second());
        let add = |ago: i64, revocation: &str| {
            server.cli(&[
                "XADD",
                "wxmint:revoked",
                &format!("{}-*", (now - ago) * 1000),
                "end",
                revocation,
            ])
        };
        add(3000, &format!("kid {} of-long-ago", now + 9_000));
        add(200, &format!("kid {} of-a-while-ago", now + 9_000));
        add(150, &format!("jti {} a user-1", now - 130));
        let (revocations, cursor) = read_after(&store, "").await;
        assert_eq!(
            kids(&revocations),
            ["of-long-ago", "of-a-while-ago"],
            "nobody needs the third"
        );
        assert_eq!(read_after(&store, &cursor).await, (vec![], cursor.clone()));
        assert_eq!(
            store
                .revocation_stream
                .purge(None, 100)
                .await
                .expect("purged")
                .revocations,
            1
        );
        assert_eq!(
            kids(&read_after(&store, &cursor).await.0),
            ["of-a-while-ago"]
        );
        add(0, &format!("kid {} new", now + 9_000));
        assert_eq!(
            kids(&read_after(&store, &cursor).await.0),
            ["of-a-while-ago", "new"]
        );

        let (_, last) = read_after(&store, "").await;
        let (id_of_last, _) = last.split_once('.').expect("an id");
        server.cli(&["XDEL", "wxmint:revoked", id_of_last]);
        assert_eq!(
            store.revocation_stream.after(&last, 100).await,
            Ok(None),
            "lost before its date"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn no_revocation_is_made_by_a_clock_that_is_far_ahead() {
        let server = RedisServer::start().await;
        let (store, owner) = (server.store(), with_session(&server.store(), "o1").await);
        let BindingState::Bound(bound) = store.bindings.state(&owner).await.expect("a state")
        else {
            panic!("bound")
        };
        let far = server.store_at(|| servers::now() - TimeDelta::hours(8));
        assert!(
            far.revocations
                .revoke_user(&bound.user, None)
                .await
                .is_err()
        );
        assert!(
            far.revocations
                .revoke_in_app(&bound.user, &app())
                .await
                .is_err()
        );
        assert!(
            far.revocations
                .revoke_token(&token("a", second()))
                .await
                .is_err()
        );
        assert!(far.revocations.revoke_key("kid").await.is_err());
        let refused = far
            .unbindings
            .leave(&owner, &bound)
            .await
            .expect_err("no time");
        assert!(
            matches!(refused, StoreError::ClockAhead { .. }),
            "{refused}"
        );
        assert_eq!(server.cli(&["HLEN", "wxmint:user:{user-1}:ends"]), "0");
        assert_eq!(server.cli(&["XLEN", "wxmint:revoked"]), "0");
        assert!(
            far.codes
                .claim(&app(), &code("c"), &attempt_id(1), &often())
                .await
                .is_err(),
            "it would be dated ahead"
        );
        granted(
            store
                .codes
                .claim(&app(), &code("c"), &attempt_id(2), &often())
                .await
                .expect("given back"),
        );
    }

    thread_local! {
        static AHEAD: cell::Cell<TimeDelta> = const { cell::Cell::new(TimeDelta::zero()) };
    }

    /// Only this service refuses a refresh token, which lives longer than any access token, so no
    /// entry of the stream names it.
    #[tokio::test(flavor = "local")]
    #[expect(clippy::too_many_lines, reason = "a case reads from top to bottom")]
    async fn the_record_of_a_revocation_is_kept_as_long_as_a_login_of_a_site_can_be_renewed() {
        let [minutes, days, weeks] = [5 * 60, 3 * 86_400, 20 * 86_400].map(Duration::from_secs);
        for how in ["of a user", "of an app", "of a client", "by another login"] {
            AHEAD.set(TimeDelta::zero());
            let access = StoreAccess::in_memory(|| servers::now() + AHEAD.get());
            let store = Store::new(&access, DAY, || servers::now() + AHEAD.get(), ());
            let (now, client): (_, AppId) = (second(), "grafana".parse().expect("a client"));
            let login = |at: i64, life: Duration| Issued {
                app: client.clone(),
                issued_at: at,
                expires_at: at + life.as_secs() as i64,
                ..token("first", at)
            };
            let (first, until) = (login(now - 9, minutes), now + weeks.as_secs() as i64);
            // The refresh tokens of another site of the user expire earlier.
            let of_wiki = Issued {
                app: "wiki".parse().expect("a client"),
                ..login(now - 9, days)
            };
            store.token_lives.note(minutes).await.expect("noted");
            for noted in [&login(now - 9, weeks), &of_wiki] {
                store
                    .client_tokens
                    .note(noted, &app())
                    .await
                    .expect("noted");
            }
            match how {
                "of a user" => store
                    .revocations
                    .revoke_user(&first.user, None)
                    .await
                    .expect("ended"),
                "of an app" => store
                    .revocations
                    .revoke_in_app(&first.user, &app())
                    .await
                    .expect("ended"),
                "of a client" => store
                    .revocations
                    .revoke_in_app(&first.user, &client)
                    .await
                    .expect("ended"),
                _ => {
                    _ = store
                        .revocations
                        .revoke_earlier(&login(now, minutes), now)
                        .await
                        .expect("ended");
                }
            }
            AHEAD.set(TimeDelta::minutes(8));
            assert!(
                store
                    .revocation_stream
                    .purge(None, 100)
                    .await
                    .expect("purged")
                    .revocations
                    > 0
            );
            let told = store
                .revocation_stream
                .after("", 100)
                .await
                .expect("read")
                .expect("the oldest")
                .revocations;
            assert!(told.is_empty(), "{how}: no verifier needs it: {told:?}");
            let is_ended = async || {
                !matches!(
                    store.revocations.token_state(&first).await,
                    Ok(TokenState::People(_))
                )
            };
            assert!(is_ended().await, "{how}: nothing of it can be renewed");
            assert_eq!(
                store.revocation_stream.purge_kept_records(100).await,
                Ok(0),
                "{how}"
            );
            AHEAD.set(TimeDelta::seconds(of_wiki.expires_at - now + 300));
            store
                .revocation_stream
                .purge_kept_records(100)
                .await
                .expect("looked at");
            assert!(is_ended().await, "{how}: only the other site's is over");
            AHEAD.set(TimeDelta::seconds(until - now + 300));
            assert_eq!(
                store.revocation_stream.purge_kept_records(100).await,
                Ok(1),
                "{how}"
            );
            assert!(
                !is_ended().await,
                "{how}: nothing is left that could be renewed"
            );
            let keys = store
                .link
                .keys_like("wxmint:*", &Place::default(), Slots::AtRest)
                .await
                .expect("keys")
                .found;
            let left = keys.iter().filter(|key| !key.contains("wxmint:revoked"));
            assert_eq!(left.collect::<Vec<_>>(), [""; 0], "{how}");
        }
    }

    #[tokio::test(flavor = "local")]
    async fn the_life_of_tokens_is_noted_again_before_it_is_forgotten() {
        let server = RedisServer::start().await;
        let store = server.store_at(|| servers::now() + AHEAD.get());
        let lives = "wxmint:{wxmint:revoked}:lives";
        for (seconds, is_noted) in [
            (0, "1"),
            (LIFE_NOTED_EVERY.as_secs() - 60, "0"),
            (LIFE_NOTED_EVERY.as_secs(), "1"),
        ] {
            server.cli(&["DEL", lives]);
            AHEAD.set(TimeDelta::seconds(seconds as i64));
            store
                .token_lives
                .note(Duration::from_mins(10))
                .await
                .expect("noted");
            assert_eq!(server.cli(&["EXISTS", lives]), is_noted, "{seconds}");
        }
    }

    /// The clock has stepped back since the revocations were made.
    #[tokio::test(flavor = "local")]
    async fn a_revocation_is_not_moved_back() {
        let server = RedisServer::start().await;
        let (store, user, later) = (
            server.store(),
            user("user-1"),
            servers::now().timestamp() + 100,
        );
        let [first, untold] = ["app", "untold:app"].map(|field| format!("{field}:{}", app()));
        let [until, next] = [later, later + 1].map(|second| second.to_string());
        let held = [
            "HSET",
            "wxmint:user:{user-1}:ends",
            "before",
            &until,
            &first,
            &next,
            &untold,
            &until,
        ];
        server.cli(&held);
        store
            .revocations
            .revoke_user(&user, None)
            .await
            .expect("ended");
        store
            .revocations
            .revoke_in_app(&user, &app())
            .await
            .expect("ended");
        let found = server.cli(&["HMGET", "wxmint:user:{user-1}:ends", "before", &first]);
        assert_eq!(found.lines().collect::<Vec<_>>(), [until, next]);
        let revocations = read_after(&store, "").await.0;
        let until = of_any_life(later);
        let in_app = Revocation::UserInApp {
            user: user.clone(),
            app: app(),
            before: later,
            until,
        };
        assert_eq!(
            revocations,
            [
                Revocation::User {
                    user,
                    before: later,
                    until
                },
                in_app
            ],
            "verifiers learn the same"
        );
    }

    /// With `WXMINT_SINGLE_SESSION`, a login revokes tokens of its second without waiting for
    /// replicas. A logout waits for replicas.
    #[tokio::test(flavor = "local")]
    async fn a_logout_makes_certain_what_a_login_has_revoked() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), servers::now().timestamp());
        for id in ["a", "b"] {
            logged_in(&store, id, now).await;
        }
        let key = server.cli(&["KEYS", "wxmint:*a"]);
        let state = || server.cli(&["GET", &key]);
        assert_eq!(state(), "added", "{key}");
        store
            .revocations
            .revoke_token(&token("a", now))
            .await
            .expect("ended");
        assert_eq!(state(), "told");
        let is_of_token = |revocation: &Revocation| matches!(revocation, Revocation::Token { .. });
        assert_eq!(
            read_after(&store, "")
                .await
                .0
                .into_iter()
                .filter(is_of_token)
                .count(),
            1,
            "and now confirmed"
        );
    }

    /// A token is dated ahead of the clock only if replicas have that date, so that later
    /// revocations cover it.
    #[tokio::test(flavor = "local")]
    async fn a_date_that_a_failover_has_taken_back_is_refused() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), servers::now().timestamp());
        let confirmed = async |date| {
            store
                .revocations
                .confirm_date(&token("a", now), date, now + 60)
                .await
                .is_ok()
        };
        assert!(
            confirmed(now).await && confirmed(now + 61).await,
            "neither is ahead and used"
        );
        assert!(!confirmed(now + 20).await);
        for (noted, expected) in [(19, false), (20, true), (21, true)] {
            server.cli(&[
                "HSET",
                "wxmint:user:{user-1}:ends",
                "dated",
                &(now + noted).to_string(),
            ]);
            assert_eq!(confirmed(now + 20).await, expected, "{noted}");
        }
    }

    #[tokio::test(flavor = "local")]
    async fn an_emptied_list_expires_unless_somebody_comes_or_its_user_is_blocked() {
        let server = RedisServer::start().await;
        let (store, user) = (server.store(), user("user-1"));
        let ttl = || {
            ["wxmint:user:{user-1}", "wxmint:user:{user-1}:gone"]
                .map(|key| server.cli(&["TTL", key]))
        };
        bind(&store, "o1", "user-1", FIRST).await;
        store.bindings.expire_list(&user).await.expect("ignored");
        assert_eq!(ttl(), ["-1", "-2"], "somebody is admitted");
        store
            .unbindings
            .unlist_and_revoke(&user, &person("o1"), FIRST, second())
            .await
            .expect("unlisted");
        store.bindings.expire_list(&user).await.expect("expires");
        assert_eq!(ttl(), ["2592000", "2592000"]);
        assert_eq!(
            store
                .bindings
                .admit(&person("o2"), FIRST, &wish(&user, false), 9)
                .await,
            Ok(Decision::Admitted { first: false })
        );
        assert_eq!(ttl(), ["-1", "-1"], "somebody came");
        store
            .unbindings
            .unlist_and_revoke(&user, &person("o2"), FIRST, second())
            .await
            .expect("unlisted");
        store
            .revocations
            .set_blocked(&user, true)
            .await
            .expect("blocked");
        store.bindings.expire_list(&user).await.expect("ignored");
        assert_eq!(ttl(), ["-1", "-1"], "the user is blocked");
        store
            .revocations
            .set_blocked(&user, false)
            .await
            .expect("lifted");
        store.bindings.expire_list(&user).await.expect("expires");
        store
            .revocations
            .set_blocked(&user, true)
            .await
            .expect("blocked");
        assert_eq!(
            ttl(),
            ["-1", "2592000"],
            "the user is blocked, and stays so"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn keys_have_the_names_and_lives_of_the_design() {
        let server = RedisServer::start().await;
        let store = server.store();
        let [order, ..] = orders(&store, [0, 1, 2]).await;
        recorded(&store, &record("o1", &order, "k1", "user-1")).await;
        bind(&store, "o1", "user-1", FIRST).await;
        let session = "wxmint:{wx0123456789abcdef:o1}:session";
        let binding = "wxmint:{wx0123456789abcdef:o1}:binding";
        assert_eq!(server.cli(&["TTL", session]), "86400");
        assert_eq!(server.cli(&["TTL", binding]), "-1");
        assert_eq!(server.cli(&["HGET", binding, "u"]), "user-1");
        let code = server.cli(&["KEYS", "wxmint:code:*"]);
        assert!((590..=600).contains(&server.cli(&["TTL", &code]).parse().expect("seconds")));
        assert!(!code.contains("clock"), "the code itself is not stored");
        let key = (ExchangeTimestamp::new(7, &attempt_id(9)), sealed("k"));
        let holder = TicketHolder {
            person: person("o1"),
            unionid: None,
            key,
        };
        store
            .tickets
            .keep(&Ticket::random(), &holder)
            .await
            .expect("kept");
        let ttl: u64 = server
            .cli(&["TTL", &server.cli(&["KEYS", "wxmint:ticket:*"])])
            .parse()
            .expect("seconds");
        assert!((290..=300).contains(&ttl), "{ttl}");
    }

    /// Counts tries in progress, and then failed tries for ten minutes.
    #[tokio::test(flavor = "local")]
    async fn the_window_of_failures_begins_with_the_first() {
        let server = RedisServer::start().await;
        let store = server.store();
        let owner = with_session(&store, "o1").await;
        let tries = "wxmint:{wx0123456789abcdef:o1}:limit:tries";
        let ttl = || server.cli(&["TTL", tries]).parse::<u64>().expect("seconds");
        opened(&store, &owner).await;
        assert!((590..=600).contains(&ttl()), "{}", ttl());
        for (left, then) in [(100, 590..=600), (100, 90..=100)] {
            server.cli(&["EXPIRE", tries, &left.to_string()]);
            closed(&store, &owner, true).await;
            opened(&store, &owner).await;
            assert!(then.contains(&ttl()), "{}", ttl());
        }
    }

    /// The clock of another primary may be ahead, and any clock may have stepped back.
    #[tokio::test(flavor = "local")]
    async fn a_revocation_covers_what_any_clock_has_dated() {
        let cluster = Cluster::start().await;
        let (store, user, now) = (cluster.store(), user("user-1"), servers::now().timestamp());
        let owner = with_session(&store, "o1").await;
        let BindingState::Bound(binding) = store.bindings.state(&owner).await.expect("a state")
        else {
            panic!("bound")
        };
        store.clock.had_told(now as u64 + 50);
        store
            .revocations
            .revoke_in_app(&user, &app())
            .await
            .expect("ended");
        assert!(cluster.0.iter().all(|server| {
            server
                .cli(&["INFO", "commandstats"])
                .contains("cmdstat_time:")
        }));
        let ahead = token("a", now + 50);
        assert_eq!(
            store.revocations.token_state(&ahead).await,
            Ok(TokenState::Revoked { published: false })
        );
        let elsewhere = Issued {
            app: "wxother".parse().expect("an app"),
            ..ahead
        };
        assert_eq!(
            store.revocations.token_state(&elsewhere).await,
            Ok(TokenState::People(vec![]))
        );
        store
            .revocations
            .revoke_user(&user, None)
            .await
            .expect("ended");
        assert_eq!(
            store.revocations.token_state(&elsewhere).await,
            Ok(TokenState::RevokedWithUser { published: true })
        );
        let left = store
            .unbindings
            .leave(&owner, &binding)
            .await
            .expect("left");
        assert!(
            matches!(left, BindingState::Leaving { since, .. } if since == now + 50),
            "{left:?}"
        );
    }

    /// After Redis has lost a counter, the new one has no expiry until an event sets it.
    #[tokio::test(flavor = "local")]
    async fn a_count_that_was_lost_begins_anew_and_expires() {
        let server = RedisServer::start().await;
        let (store, key) = (server.store(), "wxmint:limit:eighths:ip:192.0.2.1");
        for _ in 0..3 {
            store
                .limits
                .count(&often())
                .await
                .expect("within the limit");
            assert!(
                server.cli(&["PTTL", key]).parse::<u64>().is_ok(),
                "it expires"
            );
            server.cli(&["DEL", key]);
        }
    }

    /// The clock has stepped back since the other events were counted. They would count again when
    /// it has caught up with them.
    #[tokio::test(flavor = "local")]
    async fn what_was_counted_far_ahead_is_deleted() {
        let server = RedisServer::start().await;
        let (store, key) = (server.store(), "wxmint:limit:eighths:ip:192.0.2.1");
        let ahead = OFTEN.part_at(servers::now().timestamp_micros() as u64) + 8;
        server.cli(&["HSET", key, &format!("300:{ahead}"), "99999"]);
        store.limits.count(&often()).await.expect("the first");
        assert_eq!(server.cli(&["HLEN", key]), "1");
    }

    /// As while replicas are restarted one after the other with another setting.
    #[tokio::test(flavor = "local")]
    async fn the_limits_of_replicas_hold_while_their_periods_differ() {
        let server = RedisServer::start().await;
        let stores = [300, 600].map(|seconds| (server.store(), Duration::from_secs(seconds)));
        for meter in [
            often(),
            RateLimitKey::of_person(&person("o1"), NAMES, "name", OFTEN),
        ] {
            let mut admitted = [0, 0];
            for _ in 0..20 {
                for ((store, period), admitted) in stores.iter().zip(&mut admitted) {
                    let mut meter = meter.clone();
                    meter.rate = Rate {
                        burst: 5,
                        period: *period,
                    };
                    match store.limits.count(&meter).await {
                        Ok(_) => *admitted += 1,
                        refused => _ = too_many(refused),
                    }
                }
            }
            assert_eq!(admitted, [5, 5], "{meter:?}");
        }
        let (store, period) = &stores[0];
        let rate = Rate {
            burst: 5,
            period: *period,
        };
        too_many(store.limits.count(&visit("192.0.2.1", rate)).await);
        let life: u64 = server
            .cli(&["TTL", "wxmint:limit:eighths:ip:192.0.2.1"])
            .parse()
            .expect("seconds");
        assert!(
            life >= 600,
            "{life} s: the counts of the longer period go on"
        );
    }

    #[tokio::test(flavor = "local")]
    async fn the_limits_of_a_persons_logins_hold_while_the_periods_of_replicas_differ() {
        let server = RedisServer::start().await;
        let (store, now) = (server.store(), servers::now().timestamp_micros() as u64);
        let rates = [(5, 300), (10, 600)].map(|(burst, seconds)| Rate {
            burst,
            period: Duration::from_secs(seconds),
        });
        let computed = UnboundPolicy::Computed {
            user: user("6c207736-427e-88dc-acfd-5b0f649038f3"),
            listed: false,
        };
        for (openid, if_unbound) in [("o1", computed), ("o2", UnboundPolicy::Counted)] {
            let mut admitted = [0, 0];
            for number in 0..60_u8 {
                let order = ExchangeTimestamp::new(now + u64::from(number), &attempt_id(number));
                let (rate, if_unbound) = (rates[usize::from(number % 2)], if_unbound.clone());
                let login = LoginRecord {
                    rate,
                    if_unbound,
                    ..record(openid, &order, &format!("k{number}"), "nobody")
                };
                let recorded = store.logins.record(&login).await.expect("recorded");
                admitted[usize::from(number % 2)] +=
                    u32::from(matches!(recorded, Recorded::Counted { .. }));
            }
            assert_eq!(
                admitted,
                [5, 5],
                "{openid}: the longer period counts all logins"
            );
        }
    }

    thread_local! {
        /// A clock that stands still: the seconds that have passed since the beginning of a part of
        /// [`HOURLY`].
        static PASSED: cell::Cell<i64> = const { cell::Cell::new(0) };
    }

    /// Its parts have 450 s.
    const HOURLY: Rate = Rate {
        burst: 2,
        period: Duration::from_hours(1),
    };

    fn standing_still() -> DateTime<Utc> {
        const BEGINNING: i64 = 3_777_778 * 450;
        DateTime::from_timestamp(BEGINNING + PASSED.get(), 0).expect("a date")
    }

    /// Otherwise, a phone that tries again too early would be kept out for longer than it was told.
    #[tokio::test(flavor = "local")]
    async fn a_login_that_is_refused_by_the_limit_puts_no_later_one_off() {
        let computed = UnboundPolicy::Computed {
            user: user("6c207736-427e-88dc-acfd-5b0f649038f3"),
            listed: false,
        };
        for (openid, if_unbound) in [
            ("without-a-binding", UnboundPolicy::Counted),
            ("with-a-computed-user", computed),
            ("with-a-binding", UnboundPolicy::Intended(intent("user-1"))),
        ] {
            let access = StoreAccess::in_memory(standing_still);
            for (passed, wait) in [
                (0, None),
                (500, None),
                (1000, Some(3050)),
                (2000, Some(2050)),
                (4049, Some(1)),
                (4050, None),
                (4051, Some(449)),
                (4500, None),
            ] {
                PASSED.set(passed);
                let store = Store::new(&access, DAY, standing_still, ());
                let micros = standing_still().timestamp_micros().unsigned_abs();
                let order = ExchangeTimestamp::new(micros, &attempt_id(1));
                let login = LoginRecord {
                    rate: HOURLY,
                    if_unbound: if_unbound.clone(),
                    ..record(openid, &order, &format!("key {passed}"), "nobody")
                };
                let told = match store.logins.record(&login).await.expect("recorded") {
                    Recorded::Counted { .. } => None,
                    Recorded::Limited(refused) => Some(refused.retry_after.as_secs()),
                    other => panic!("{openid}: {other:?}"),
                };
                assert_eq!(told, wait, "{openid}, after {passed} s");
            }
        }
    }

    /// As of two user names for which one person tries passwords by turns.
    #[tokio::test(flavor = "local")]
    async fn what_was_counted_of_one_name_counts_for_no_other_name_of_the_person() {
        let access = StoreAccess::in_memory(standing_still);
        let store = Store::new(&access, DAY, standing_still, ());
        let is_admitted = async |name: &str| {
            let meter = RateLimitKey::of_person(&person("o1"), NAMES, name, HOURLY);
            match store.limits.count(&meter).await {
                Ok(_) => true,
                Err(LimitError::TooMany(_)) => false,
                Err(LimitError::Store(error)) => panic!("an answer: {error}"),
            }
        };
        PASSED.set(0);
        assert!(is_admitted("lin").await);
        // In the next part, what was counted in the first is in a cache.
        PASSED.set(450);
        let (mut of_mei, mut of_lin) = (0, 0);
        for _ in 0..4 {
            of_mei += u32::from(is_admitted("mei").await);
            of_lin += u32::from(is_admitted("lin").await);
        }
        assert_eq!((of_mei, of_lin), (2, 1));
    }

    #[tokio::test(flavor = "local")]
    async fn what_is_left_of_a_person_who_was_struck_off_expires_and_the_list_of_the_others_does_not()
     {
        let server = RedisServer::start().await;
        let store = server.store();
        bind(&store, "o1", "user-1", FIRST).await;
        unbind(&store, "o1", "user-1", FIRST).await;
        bind(&store, "o2", "user-1", FIRST).await;
        assert_eq!(
            server.cli(&["TTL", "wxmint:{wx0123456789abcdef:o1}:left"]),
            "-1"
        );
        store
            .bindings
            .remove_from_list(&user("user-1"), &person("o1"))
            .await
            .expect("struck");
        let struck = "wxmint:user:{user-1}:struck:wx0123456789abcdef:o1";
        assert_eq!(server.cli(&["GET", struck]), "1");
        assert_eq!(server.cli(&["TTL", struck]), "600");
        assert_eq!(server.cli(&["TTL", "wxmint:user:{user-1}"]), "-1");
    }

    #[tokio::test(flavor = "local")]
    async fn a_link_to_a_user_without_people_expires_unless_it_is_confirmed() {
        let server = RedisServer::start().await;
        let (store, unionid) = (server.store(), "n1".parse().expect("a unionid"));
        store
            .union_ids
            .claim(&unionid, Some(&user("user-1")))
            .await
            .expect("claimed");
        assert_eq!(server.cli(&["TTL", "wxmint:union:{n1}"]), "3600");
        assert_eq!(
            store
                .union_ids
                .relink(&unionid, &user("user-2"), &user("user-2"))
                .await,
            Ok(user("user-1"))
        );
        assert_eq!(server.cli(&["TTL", "wxmint:union:{n1}"]), "3600");
        store
            .union_ids
            .relink(&unionid, &user("user-1"), &user("user-1"))
            .await
            .expect("confirmed");
        assert_eq!(server.cli(&["TTL", "wxmint:union:{n1}"]), "-1");
    }

    #[tokio::test(flavor = "local")]
    async fn failed_passwords_for_many_names_do_not_pile_up() {
        let server = RedisServer::start().await;
        let store = server.store();
        let meter = |name: &str| {
            let rate = Rate {
                burst: 1,
                period: Duration::from_mins(5),
            };
            RateLimitKey::of_person(&person("o1"), NAMES, name, rate)
        };
        let key = "wxmint:{wx0123456789abcdef:o1}:limit:eighths:names";
        for (field, events) in [("old:1", "9"), ("lin:300:2", "9"), ("old:600:2", "9")] {
            server.cli(&["HSET", key, field, events]);
        }
        store.limits.count(&meter("lin")).await.expect("the first");
        assert_eq!(
            server.cli(&["HLEN", key]),
            "1",
            "what counts no more is gone"
        );
        store
            .limits
            .count(&meter("mei"))
            .await
            .expect("of another name");
        too_many(store.limits.count(&meter("lin")).await);
        assert_eq!(server.cli(&["HLEN", key]), "2");
    }

    #[tokio::test(flavor = "local")]
    async fn a_walk_finds_everybody_and_tells_what_is_half_done() {
        let server = RedisServer::start().await;
        let store = server.store();
        assert_eq!(
            walked(walk::Place::default(), async |place| store
                .bindings
                .walk(place)
                .await)
            .await
            .0,
            []
        );
        for number in 0..1500 {
            let name = format!("user-{number}");
            bind(&store, &format!("o{number}"), &name, FIRST).await;
        }
        let at = DateTime::from_timestamp(1_000_000_000, 0).expect("an instant");
        bind(&store.at(at), "earlier", "user-earlier", FIRST).await;
        store
            .bindings
            .intend(&person("intended"), None, &intent("user-1"))
            .await
            .expect("intended");
        assert_eq!(store.bindings.note_unbound(&person("gone")).await, Ok(true));
        assert_eq!(
            store.bindings.note_unbound(&person("gone")).await,
            Ok(false),
            "no news"
        );
        assert_eq!(
            store.bindings.note_unbound(&person("earlier")).await,
            Ok(false),
            "is bound"
        );
        let gone = store.bindings.state(&person("gone")).await;
        assert_eq!(
            gone,
            Ok(BindingState::Free {
                generation: None,
                dissolved: true
            })
        );

        let (found, pages) = walked(walk::Place::default(), async |place| {
            store.bindings.walk(place).await
        })
        .await;
        assert!(pages > 1);
        let found: HashMap<_, _> = found.into_iter().collect();
        assert_eq!(found.len(), 1503);
        let bound = |openid| {
            if let BindingState::Bound(bound) = &found[&person(openid)] {
                Some(bound)
            } else {
                None
            }
        };
        assert_eq!(
            bound("o1499").map(|bound| &bound.user),
            Some(&user("user-1499"))
        );
        assert_eq!(bound("earlier").map(|bound| bound.bound_at), Some(at));
        assert!(matches!(
            found[&person("intended")],
            BindingState::Intended { .. }
        ));
        assert_eq!(Ok(&found[&person("gone")]), gone.as_ref());
    }

    #[tokio::test(flavor = "local")]
    async fn a_place_holds_for_one_process_of_redis() {
        let (server, other) = (RedisServer::start().await, RedisServer::start().await);
        for number in 0..3000 {
            server
                .store()
                .bindings
                .intend(&person(&format!("o{number}")), None, &intent("u"))
                .await
                .expect("intended");
        }
        let Ok(page) = server.store().bindings.walk(&walk::Place::default()).await else {
            panic!("a page")
        };
        let place = page.next.expect("more than one page");
        assert!(matches!(
            server.store().bindings.walk(&place).await,
            Ok(walk::Page {
                may_miss: false,
                ..
            })
        ));
        assert!(matches!(
            other.store().bindings.walk(&place).await,
            Ok(walk::Page {
                may_miss: true,
                next: Some(_),
                ..
            })
        ));
    }

    #[tokio::test(flavor = "local")]
    async fn scripts_survive_a_flush() {
        let server = RedisServer::start().await;
        let store = server.store();
        granted(
            store
                .codes
                .claim(&app(), &code("before"), &attempt_id(1), &often())
                .await
                .expect("claimed"),
        );
        server.cli(&["SCRIPT", "FLUSH"]);
        granted(
            store
                .codes
                .claim(&app(), &code("after"), &attempt_id(1), &often())
                .await
                .expect("claimed"),
        );
    }

    #[tokio::test(flavor = "local")]
    async fn an_address_is_counted_once_also_where_redis_knows_only_the_script_that_counts() {
        let server = RedisServer::start().await;
        let store = server.store();
        let once = Rate {
            burst: 1,
            period: Duration::from_hours(1),
        };
        store
            .limits
            .count(&visit("192.0.2.7", once))
            .await
            .expect("the first");
        let claimed = store
            .codes
            .claim(
                &app(),
                &code("first"),
                &attempt_id(1),
                &visit("192.0.2.8", once),
            )
            .await;
        granted(claimed.expect("an answer"));
    }

    #[tokio::test(flavor = "local")]
    async fn a_sealed_key_of_any_bytes_comes_back_as_it_was() {
        let server = RedisServer::start().await;
        let store = server.store();
        let vault = vault();
        let [order, ..] = orders(&store, [0, 1, 2]).await;
        let sealed = vault.seal("HyVFkGl5F5OQWJZZaNzBBg==", &person("o1"));
        let login = LoginRecord {
            session_key: sealed,
            ..record("o1", &order, "", "user")
        };
        recorded(&store, &login).await;
        let kept = store.sessions.keys(&person("o1")).await.expect("an answer");
        assert_eq!(
            vault.open(&kept[0], &person("o1")).expect("opens").as_str(),
            "HyVFkGl5F5OQWJZZaNzBBg=="
        );
    }
}
