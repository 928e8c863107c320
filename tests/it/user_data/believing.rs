//! Whose data is opened follows from the token, and from nothing in the request. Each endpoint wants one token that is
//! valid.

use serde_json::json;

use super::{
    NUMBER, OTHER_APPID, Replicas, Session, TwoApps, USER_DATA, data_of, endpoints, expect_undecryptable, key_of,
    sealing::{phone_with, seal, sealed_phone, watermark},
};
use crate::support::{APPID, TestBed};

#[tokio::test]
async fn no_endpoint_answers_without_a_valid_token() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    let (head_and_claims, signature) = lin.token.rsplit_once('.').expect("three parts");
    let forged = format!("{head_and_claims}.{}{signature}", if signature.starts_with('A') { "B" } else { "A" });
    for (method, path, body) in endpoints() {
        for token in ["", "no.token.at-all", &forged, &lin.key, &lin.user] {
            let answer = replicas.ask(0, method, path, token, &body).await.expect_problem(401, "invalid_token");
            assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}: {answer:?}");
        }
        let (http, url) = (&replicas.0.http, replicas.0.service().url(path));
        let bare = http.send(http.0.request(method.parse().expect("a method"), &url)).await;
        assert_eq!(bare.expect_problem(401, "invalid_token").header("www-authenticate"), "Bearer", "{path}");
        let asked = http.0.request(method.parse().expect("a method"), format!("{url}?access_token={}", lin.token));
        http.send(asked.bearer_auth(&lin.token)).await.expect_problem(400, "invalid_request");
    }
    data_of(&replicas.decrypt(0, &lin, &sealed_phone(&lin.key, NUMBER)).await);
}

#[tokio::test]
async fn data_is_opened_for_the_person_of_the_token_and_nothing_in_the_body_names_another() {
    let replicas = Replicas::start().await;
    let (lin, mei) = (replicas.log_in("lin").await, replicas.log_in("mei").await);
    let names = |session: &Session| {
        json!({
            "openid": session.openid, "openId": session.openid, "user_id": session.user, "sub": session.user,
            "appid": APPID, "access_token": session.token, "session_key": session.key,
        })
    };
    for named in [&lin, &mei] {
        let mut of_mei = sealed_phone(&mei.key, NUMBER);
        of_mei.as_object_mut().expect("an object").extend(names(named).as_object().expect("an object").clone());
        expect_undecryptable(replicas.decrypt(0, &lin, &of_mei).await);
        let opened = replicas.decrypt(0, &mei, &of_mei).await;
        assert_eq!(data_of(&opened)["phoneNumber"], NUMBER);
        let query = format!("{USER_DATA}?openid={}&appid={APPID}", lin.openid);
        assert_eq!(replicas.ask(0, "POST", &query, &lin.token, &of_mei).await.status, 422);
    }
}

#[tokio::test]
async fn what_another_mini_program_was_given_is_believed_there_alone() {
    let apps = TwoApps::start().await;
    let (here, there) = (apps.log_in(APPID, "lin").await, apps.log_in(OTHER_APPID, "lin").await);
    assert_eq!(here.user, there.user, "one unionid");
    let of = |app: &str| phone_with(NUMBER, watermark(app, 0)).to_string();
    for (session, key, app, believed) in [
        (&here, &here.key, APPID, true),
        (&there, &there.key, OTHER_APPID, true),
        (&here, &here.key, OTHER_APPID, false),
        (&here, &there.key, APPID, false),
        (&here, &there.key, OTHER_APPID, false),
        (&there, &here.key, APPID, false),
        (&there, &there.key, APPID, false),
    ] {
        let answer = apps.replicas.decrypt(1, session, &seal(key, &of(app))).await;
        assert_eq!(answer.status, if believed { 200 } else { 422 }, "{app}: {answer:?}");
    }
}

/// Age in seconds, and whether it is believed: ten minutes, and a minute for clocks that differ.
const AGES: [(i64, bool); 6] = [(0, true), (590, true), (610, false), (86_400, false), (-50, true), (-70, false)];

#[tokio::test]
async fn old_data_is_not_believed_and_how_old_it_may_be_is_a_setting() {
    let replicas = Replicas::start().await;
    for (age, believed) in AGES {
        let lin = replicas.log_in("lin").await;
        let sealed = seal(&lin.key, &phone_with(NUMBER, watermark(APPID, age)).to_string());
        assert_eq!(replicas.decrypt(0, &lin, &sealed).await.status, if believed { 200 } else { 422 }, "{age} s");
    }
    let patient = Replicas(TestBed::builder().env("WXMINT_WATERMARK_MAX_AGE", "2d").start().await);
    let lin = patient.log_in("lin").await;
    let sealed = seal(&lin.key, &phone_with(NUMBER, watermark(APPID, 86_400)).to_string());
    assert_eq!(data_of(&patient.decrypt(0, &lin, &sealed).await)["phoneNumber"], NUMBER);
}

#[tokio::test]
async fn an_entry_that_was_copied_to_another_person_or_app_does_not_open() {
    let apps = TwoApps::start().await;
    let replicas = &apps.replicas;
    let (here, there) = (apps.log_in(APPID, "lin").await, apps.log_in(OTHER_APPID, "lin").await);
    let mei = apps.log_in(APPID, "mei").await;
    for (app, session) in [(APPID, &mei), (OTHER_APPID, &there)] {
        let (from, to) = (key_of(APPID, &here, "session"), key_of(app, session, "session"));
        assert_eq!(replicas.0.redis.command::<i64>(&["COPY", &from, &to, "REPLACE"]), 1);
        for key in [&here.key, &session.key] {
            let sealed = seal(key, &phone_with(NUMBER, watermark(app, 0)).to_string());
            expect_undecryptable(replicas.decrypt(0, session, &sealed).await);
        }
    }
    data_of(&replicas.decrypt(1, &here, &sealed_phone(&here.key, NUMBER)).await);
}
