//! The person whose data is opened follows from the token, and from nothing in the request. Each endpoint wants a valid
//! one.

use super::sealing::{phone_with, seal, sealed_phone, watermark};
use super::{NUMBER, Replicas, Session, USER_DATA, data_of, expect_undecryptable};
use crate::support::prelude::*;

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
async fn how_old_data_may_be_is_a_setting() {
    let patient = Replicas(TestBed::builder().env("WXMINT_WATERMARK_MAX_AGE", "2d").start().await);
    let lin = patient.log_in("lin").await;
    let sealed = seal(&lin.key, &phone_with(NUMBER, watermark(APPID, 86_400)).to_string());
    assert_eq!(data_of(&patient.decrypt(0, &lin, &sealed).await)["phoneNumber"], NUMBER);
}
