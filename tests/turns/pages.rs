//! The use cases of scan to log in, and of receivers of events.

use serde_json::{Value, json};

use crate::answer::Answer;
use crate::case::{UseCase, Whose};
use crate::house::{House, RECEIVER, Setup};
use crate::laws::{After, hold};
use crate::people::{is_answered, known};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// A page of the client that waits for a phone.
#[derive(Debug, Clone)]
pub(crate) struct Waiting {
    pub(crate) user_code: String,
    pub(crate) device_code: String,
    pub(crate) number: Value,
}

impl Waiting {
    pub(crate) fn of(asked: &Answer) -> Self {
        let (user_code, device_code) = (asked.member("user_code"), asked.member("device_code"));
        Self {
            user_code,
            device_code,
            number: asked.json()["match"].take(),
        }
    }
}

/// Somebody who has logged in, and a page that waits.
pub(crate) type Scene = (Whose, Waiting);

pub(crate) async fn ask(house: &House) -> Answer {
    house
        .form("/device_authorization", &[("client_id", "shop-web")])
        .await
}

pub(crate) async fn waiting(house: &House) -> Scene {
    (known(house).await, Waiting::of(&ask(house).await))
}

pub(crate) async fn approve(house: &House, waiting: &Waiting, token: Option<&str>) -> Answer {
    let body = json!({"code": house.code("lin").await, "match": waiting.number});
    let path = format!("/device/{}/approve", waiting.user_code);
    match token {
        Some(token) => house.by(token, "POST", &path, body).await,
        None => house.json("POST", &path, body).await,
    }
}

pub(crate) async fn approved(house: &House) -> Scene {
    let scene = waiting(house).await;
    approve(house, &scene.1, Some(&scene.0.token)).await.done();
    scene
}

pub(crate) async fn fetch(house: &House, waiting: &Waiting) -> Answer {
    house
        .form(
            "/token",
            &[
                ("grant_type", GRANT),
                ("client_id", "shop-web"),
                ("device_code", &waiting.device_code),
            ],
        )
        .await
}

pub(crate) fn use_cases() -> Vec<UseCase> {
    [pages(), phones(), receivers()]
        .into_iter()
        .flatten()
        .collect()
}

fn pages() -> Vec<UseCase> {
    let opens = async |house: &House, _: &Whose, _| ask(house).await;
    let waits = async |after: &After, _: &Whose, answer: &Answer| {
        let polled = fetch(&after.house, &Waiting::of(answer)).await;
        hold(polled.code() == "authorization_pending", || {
            format!("{polled:?}")
        })
    };
    let picture = async |house: &House, (_, waiting): &Scene, _| {
        house
            .json(
                "GET",
                &format!("/device/{}/code.jpg", waiting.user_code),
                Value::Null,
            )
            .await
    };
    let fetches = async |house: &House, (_, waiting): &Scene, _| fetch(house, waiting).await;
    let logged_in = async |after: &After, _: &Scene, answer: &Answer| after.accepts_answer(answer);
    let stolen = async |house: &House| {
        let (whose, waiting) = approved(house).await;
        let page = fetch(house, &waiting).await.done().member("access_token");
        (whose, (waiting, page))
    };
    let steals = async |house: &House, (_, (waiting, _)): &(Whose, (Waiting, String)), _| {
        fetch(house, waiting).await
    };
    let nobodys =
        async |after: &After, (whose, (_, page)): &(Whose, (Waiting, String)), _: &Answer| {
            after.refuses(page)?;
            after.accepts(&whose.token)
        };
    let name = ("a device code used twice", "POST /token");
    let of_page = async |house: &House| {
        let (whose, waiting) = approved(house).await;
        let page = fetch(house, &waiting).await.done().member("access_token");
        (whose, page)
    };
    let leaves = async |house: &House, (_, page): &(Whose, String), _| {
        house.by(page, "POST", "/logout", Value::Null).await
    };
    let left = async |after: &After, (whose, page): &(Whose, String), _: &Answer| {
        after.refuses(page)?;
        after.accepts(&whose.token)
    };
    let mut cases = vec![
        UseCase::new(
            ("a page asks", "POST /device_authorization"),
            Setup::Plain,
            known,
            opens,
            waits,
        ),
        UseCase::new(
            ("a picture", "GET /device/{user_code}/code.jpg"),
            Setup::Plain,
            waiting,
            picture,
            is_answered,
        )
        .asks_wechat(),
        UseCase::new(name, Setup::Plain, stolen, steals, nobodys)
            .done_by(|answer| answer.code() == "invalid_grant"),
    ];
    for setup in [Setup::Plain, Setup::OneLogin, Setup::OfOpenid] {
        let name = ("a page fetches its token", "POST /token");
        cases.push(UseCase::new(name, setup, approved, fetches, logged_in));
        cases.push(UseCase::new(
            ("a page's logout", "POST /logout"),
            setup,
            of_page,
            leaves,
            left,
        ));
    }
    cases
}

fn phones() -> Vec<UseCase> {
    let looks = async |house: &House, (whose, waiting): &Scene, _| {
        house
            .by(
                &whose.token,
                "GET",
                &format!("/device/{}", waiting.user_code),
                Value::Null,
            )
            .await
    };
    let denies = async |house: &House, (whose, waiting): &Scene, _| {
        house
            .by(
                &whose.token,
                "POST",
                &format!("/device/{}/deny", waiting.user_code),
                Value::Null,
            )
            .await
    };
    let approves = async |house: &House, (whose, waiting): &Scene, _| {
        approve(house, waiting, Some(&whose.token)).await
    };
    let without_token =
        async |house: &House, (_, waiting): &Scene, _| approve(house, waiting, None).await;
    let denied = async |after: &After, (_, waiting): &Scene, _: &Answer| {
        let polled = fetch(&after.house, waiting).await;
        hold(polled.code() == "access_denied", || format!("{polled:?}"))
    };
    let lets_in = async |after: &After, (_, waiting): &Scene, _: &Answer| {
        let polled = fetch(&after.house, waiting).await;
        hold(polled.is_done(), || {
            format!("the page is not let in: {polled:?}")
        })
    };
    let mut cases = vec![
        UseCase::new(
            ("a phone looks", "GET /device/{user_code}"),
            Setup::Plain,
            waiting,
            looks,
            is_answered,
        ),
        UseCase::new(
            ("a denial", "POST /device/{user_code}/deny"),
            Setup::Plain,
            waiting,
            denies,
            denied,
        ),
    ];
    for setup in [Setup::Plain, Setup::OneLogin, Setup::OfOpenid] {
        let name = ("an approval", "POST /device/{user_code}/approve");
        cases.push(UseCase::new(name, setup, waiting, approves, lets_in));
        let name = (
            "an approval without a token",
            "POST /device/{user_code}/approve",
        );
        cases.push(UseCase::new(name, setup, waiting, without_token, lets_in));
    }
    cases
}

fn receivers() -> Vec<UseCase> {
    let revoked = async |house: &House| {
        let whose = known(house).await;
        house
            .by(&whose.token, "POST", "/logout", Value::Null)
            .await
            .done();
        whose
    };
    let poll =
        async |house: &House, body: Value| house.by(RECEIVER, "POST", "/ssf/poll", body).await;
    let polls = async move |house: &House, _: &Whose, _| {
        poll(house, json!({"returnImmediately": true})).await
    };
    let told = async |_: &After, _: &Whose, answer: &Answer| {
        let sets = answer.json()["sets"].take();
        hold(
            sets.as_object().is_some_and(|sets| !sets.is_empty()),
            || format!("an event is missing: {answer:?}"),
        )
    };
    let received = async move |house: &House| {
        let whose = revoked(house).await;
        let sets = poll(house, json!({"returnImmediately": true})).await.json()["sets"].take();
        let ids: Vec<String> = sets.as_object().expect("events").keys().cloned().collect();
        (whose, ids)
    };
    let acknowledges = async move |house: &House, (_, ids): &(Whose, Vec<String>), _| {
        poll(
            house,
            json!({"returnImmediately": true, "maxEvents": 0, "ack": ids}),
        )
        .await
    };
    let taken = async move |after: &After, _: &(Whose, Vec<String>), _: &Answer| {
        let sets = poll(&after.house, json!({"returnImmediately": true}))
            .await
            .json()["sets"]
            .take();
        hold(
            sets.as_object().is_some_and(serde_json::Map::is_empty),
            || format!("acknowledged events come again: {sets}"),
        )
    };
    let stream = async |house: &House, _: &Whose, _| {
        house.by(RECEIVER, "GET", "/ssf/stream", Value::Null).await
    };
    vec![
        UseCase::new(
            ("a poll", "POST /ssf/poll"),
            Setup::Plain,
            revoked,
            polls,
            told,
        ),
        UseCase::new(
            ("an acknowledgement", "POST /ssf/poll"),
            Setup::Plain,
            received,
            acknowledges,
            taken,
        ),
        UseCase::new(
            ("a receiver's stream", "GET /ssf/stream"),
            Setup::Plain,
            known,
            stream,
            is_answered,
        ),
    ]
}
