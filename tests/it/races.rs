//! Races between real processes: two replicas on one Redis, and one that is killed again and again.

use std::collections::{BTreeMap, HashMap};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{
    APPID, Answer, IDLE, OTHER_APPID, PATIENCE, RedisServer, Service, Signal, TestBed, UsersFile, eventually,
    password_of,
};

/// The full number in `make nightly`.
const ROUNDS: usize = if IDLE { 100 } else { 40 };
const KILLS: usize = if IDLE { 50 } else { 25 };
/// People whose first logins are under way when the service is killed.
const PEOPLE_AT_ONCE: usize = 6;

async fn two_replicas(users: &UsersFile, bindings_per_user: &str) -> TestBed {
    let bed = TestBed::builder().services(2).env("WXMINT_ACCOUNTS", &users.setting());
    bed.env("WXMINT_BINDINGS_PER_USER", bindings_per_user).start().await
}

fn request(bed: &TestBed, service: &Service, body: &Value) -> RequestBuilder {
    bed.http.0.post(service.url("/login")).json(body)
}

/// Both at once, each at a replica of its own.
async fn both(bed: &TestBed, bodies: [Value; 2]) -> [Answer; 2] {
    let [first, second] = [0, 1].map(|at| bed.http.send(request(bed, &bed.services[at], &bodies[at])));
    tokio::join!(first, second).into()
}

async fn with_password(bed: &TestBed, person: &str, name: &str) -> Value {
    let mut body = password_of(name);
    body["code"] = bed.wechat.mint_code_in(APPID, person).await.into();
    body
}

/// The one that succeeded, where the other is told that it came too late.
fn winner_of(answers: [Answer; 2]) -> Answer {
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 1), "{won:?} {lost:?}");
    lost.into_iter().for_each(|lost| drop(lost.expect_problem(409, "already_bound")));
    won.into_iter().map(Answer::expect_login).next().expect("one")
}

type Fields = HashMap<String, String>;

/// All hashes of a pattern, each key without what it begins and ends with.
fn hashes(redis: &RedisServer, begin: &str, end: &str) -> BTreeMap<String, Fields> {
    let name = |key: &str| key.strip_prefix(begin).and_then(|key| key.strip_suffix(end)).map(str::to_owned);
    let all = redis.hashes(&format!("{begin}*{end}")).into_iter();
    all.map(|(key, hash)| (name(&key).expect("as asked for"), hash)).collect()
}

/// How many people are on their way to a user, or from one.
fn half_done(redis: &RedisServer) -> usize {
    let on_the_way = |hash: &&Fields| ["intent_user", "leaving_user"].iter().any(|field| hash.contains_key(*field));
    hashes(redis, "wxmint:{", "}:binding").values().filter(on_the_way).count()
}

/// Each binding is on its user's list, and nobody else is; nothing is half done. How many there are.
fn assert_lists_are_bindings(redis: &RedisServer) -> usize {
    assert_eq!(half_done(redis), 0);
    let bindings = hashes(redis, "wxmint:{", "}:binding");
    let mut bound: Vec<(&str, &str)> =
        bindings.iter().filter_map(|(person, hash)| Some((hash.get("user_id")?.as_str(), person.as_str()))).collect();
    let lists = hashes(redis, "wxmint:user:{", "}");
    let admitted = |(_, sign): &(&String, &String)| sign.ends_with('+');
    let mut listed: Vec<(&str, &str)> = lists
        .iter()
        .flat_map(|(user, list)| list.iter().filter(admitted).map(|(person, _)| (user.as_str(), person.as_str())))
        .collect();
    bound.sort_unstable();
    listed.sort_unstable();
    assert_eq!(bound, listed);
    bound.len()
}

#[tokio::test]
async fn two_users_who_bind_one_openid_at_once_are_one_user_and_one_refusal() {
    let users = UsersFile::of(&["alice", "bob"]);
    let bed = two_replicas(&users, "1000").await;
    for round in 0..ROUNDS {
        let person = format!("lin-{round}");
        let bodies = [with_password(&bed, &person, "alice").await, with_password(&bed, &person, "bob").await];
        let user = winner_of(both(&bed, bodies).await).member("user_id");
        for service in &bed.services {
            let silent = service.login(&bed.mint_code(&person).await).await.expect_login();
            assert_eq!(silent.member("user_id"), user, "{person}");
        }
    }
    assert_eq!(assert_lists_are_bindings(&bed.redis), ROUNDS);
}

#[tokio::test]
async fn one_user_who_binds_from_two_phones_at_once_binds_one() {
    let users = UsersFile::of(&["alice"]);
    let bed = two_replicas(&users, "1").await;
    for round in 0..ROUNDS {
        let phones = [format!("old-phone-{round}"), format!("new-phone-{round}")];
        let bodies = [with_password(&bed, &phones[0], "alice").await, with_password(&bed, &phones[1], "alice").await];
        let token = winner_of(both(&bed, bodies).await).member("access_token");
        assert_eq!(assert_lists_are_bindings(&bed.redis), 1);
        // The other replica lets the next round begin.
        assert_eq!(bed.services[round % 2].unbind(&token).await.status, 204);
        assert_eq!(assert_lists_are_bindings(&bed.redis), 0);
    }
}

#[tokio::test]
async fn one_person_who_logs_in_to_two_apps_at_once_becomes_one_user() {
    let bed = TestBed::builder().services(2).two_apps().start().await;
    for round in 0..ROUNDS {
        let person = format!("lin-{round}");
        let body = async |appid| json!({"code": bed.wechat.mint_code_in(appid, &person).await, "appid": appid});
        let bodies = [body(APPID).await, body(OTHER_APPID).await];
        let answers = both(&bed, bodies).await.map(Answer::expect_login);
        assert_eq!(answers[0].member("user_id"), answers[1].member("user_id"), "{person}");
        let new = answers.iter().filter(|answer| answer.json()["new_user"] == true).count();
        assert_eq!(new, 1, "{person}");
    }
    assert_eq!(assert_lists_are_bindings(&bed.redis), 2 * ROUNDS);
}

/// What people were told, over many lives of the service.
#[derive(Default)]
struct Told {
    users: HashMap<String, String>,
    new: HashMap<String, u32>,
}

impl Told {
    /// One person is one user, whatever happens. A busy machine may be too slow for a login; whether it was answered.
    fn note(&mut self, person: &str, answer: Answer) -> Option<()> {
        if answer.status != 200 {
            answer.expect_problem(503, "store_unavailable");
            return None;
        }
        let user = answer.member("user_id");
        if answer.json()["new_user"] == true {
            *self.new.entry(user.clone()).or_default() += 1;
        }
        assert_eq!(*self.users.entry(person.to_owned()).or_insert(user.clone()), user, "{person}");
        Some(())
    }
}

/// The first logins of these people in both apps, of which `answered` are answered before the service is killed.
async fn log_in_and_kill(bed: &mut TestBed, people: &[String], answered: usize, told: &mut Told) {
    let mut logins = JoinSet::new();
    for person in people {
        for appid in [APPID, OTHER_APPID] {
            let body = json!({"code": bed.wechat.mint_code_in(appid, person).await, "appid": appid});
            let (request, http, person) = (request(bed, bed.service(), &body), bed.http.clone(), person.clone());
            logins.spawn(async move { (person, http.try_send(request).await) });
        }
    }
    let mut note = |joined: Result<_, _>| {
        let (person, answer): (String, Result<Answer, _>) = joined.expect("no panic");
        answer.ok().and_then(|answer| told.note(&person, answer));
    };
    for _ in 0..answered {
        note(logins.join_next().await.expect("more logins than that"));
    }
    bed.service().signal(Signal::KILL);
    bed.services[0].end(PATIENCE).await;
    while let Some(joined) = logins.join_next().await {
        note(joined);
    }
    bed.services[0] = Service::start(&bed.configuration, bed.http.clone()).await;
    bed.service().ready().await;
}

#[tokio::test]
async fn a_service_killed_in_first_logins_leaves_nothing_that_the_next_login_does_not_mend() {
    let mut bed = TestBed::builder().two_apps().start().await;
    let mut told = Told::default();
    let (mut people, mut round) = (Vec::new(), 0);
    while round < KILLS || half_done(&bed.redis) == 0 {
        assert!(round < 10 * KILLS, "no kill came at a moment that matters");
        let those: Vec<_> = (0..PEOPLE_AT_ONCE).map(|number| format!("lin-{round}-{number}")).collect();
        log_in_and_kill(&mut bed, &those, round % (2 * PEOPLE_AT_ONCE), &mut told).await;
        people.extend(those);
        round += 1;
    }
    for person in &people {
        for appid in [APPID, OTHER_APPID, APPID] {
            eventually("a login", PATIENCE, async || {
                let body = json!({"code": bed.wechat.mint_code_in(appid, person).await, "appid": appid});
                told.note(person, bed.http.send(request(&bed, bed.service(), &body)).await)
            })
            .await;
        }
    }
    assert!(told.new.values().all(|times| *times == 1), "new more than once: {:?}", told.new);
    assert_eq!(assert_lists_are_bindings(&bed.redis), 2 * people.len());
}
