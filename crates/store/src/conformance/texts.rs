//! The conformance cases for texts of doors.

use super::*;

const HOUR: Duration = Duration::from_hours(1);

async fn the_last_text_is_kept_and_of_those_who_want_to_be_the_first_one_is(store: Rc<Store>) {
    let (place, [own, other]) = (&store, ["wxmint:receiver:sso", "wxmint:receiver:other"]);
    place
        .texts
        .keep(other, "7-0.other", HOUR)
        .await
        .expect("kept");
    assert_eq!(place.texts.get(own).await, Ok(None));
    for text in ["1-0.first", "2-0.second"] {
        place.texts.keep(own, text, HOUR).await.expect("kept");
        assert_eq!(
            place.texts.get(own).await.expect("an answer").as_deref(),
            Some(text)
        );
    }
    for text in ["mine", "yours"] {
        assert_eq!(
            place
                .texts
                .keep_first("wxmint:oidc:used:code", text, HOUR)
                .await
                .as_deref(),
            Ok("mine")
        );
    }
    place.texts.delete(own).await.expect("discarded");
    assert_eq!(place.texts.get(own).await, Ok(None));
    place.texts.delete(own).await.expect("also repeated");
    assert_eq!(
        place.texts.get(other).await.expect("an answer").as_deref(),
        Some("7-0.other")
    );
    place
        .texts
        .delete("wxmint:oidc:used:code")
        .await
        .expect("discarded");
    assert_eq!(
        place
            .texts
            .keep_first("wxmint:oidc:used:code", "yours", HOUR)
            .await
            .as_deref(),
        Ok("yours")
    );
}

async fn a_text_takes_the_place_of_the_one_that_is_expected_and_of_no_other(store: Rc<Store>) {
    let key = "wxmint:oidc:rotation:sid:1";
    assert_eq!(
        store.texts.replace(key, "begun", "given").await,
        Ok(false),
        "there is none"
    );
    assert_eq!(store.texts.get(key).await, Ok(None));
    store.texts.keep(key, "begun", HOUR).await.expect("kept");
    for (before, after, is_there) in [
        ("other", "given", false),
        ("begun", "given", true),
        ("begun", "given", true),
        ("begun", "other", false),
    ] {
        assert_eq!(
            store.texts.replace(key, before, after).await,
            Ok(is_there),
            "{before} {after}"
        );
    }
    assert_eq!(
        store.texts.get(key).await.expect("an answer").as_deref(),
        Some("given")
    );
}

async fn a_text_is_kept_for_its_time(store: Rc<Store>) {
    let (key, begun) = ("wxmint:receiver:brief", store.clock.now());
    store
        .texts
        .keep(key, "one", Duration::from_secs(1))
        .await
        .expect("kept");
    while store.texts.get(key).await.expect("an answer").is_some() {
        assert!(
            store.clock.now() < begun + Duration::from_secs(10),
            "it is kept still"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        store.texts.keep_first(key, "two", HOUR).await.as_deref(),
        Ok("two")
    );
}

crate::conformance! {
    the_last_text_is_kept_and_of_those_who_want_to_be_the_first_one_is
    a_text_takes_the_place_of_the_one_that_is_expected_and_of_no_other
    a_text_is_kept_for_its_time
}

#[tokio::test(flavor = "local")]
async fn a_text_has_the_life_that_was_asked_for() {
    let server = RedisServer::start().await;
    server
        .store()
        .texts
        .keep("wxmint:receiver:sso", "1-0.first", Duration::from_mins(5))
        .await
        .expect("kept");
    let ttl = || {
        server
            .cli(&["TTL", "wxmint:receiver:sso"])
            .parse::<u64>()
            .expect("seconds")
    };
    assert!((290..=300).contains(&ttl()), "{}", ttl());
    assert_eq!(
        server
            .store()
            .texts
            .replace("wxmint:receiver:sso", "1-0.first", "2-0.second")
            .await,
        Ok(true)
    );
    assert!((290..=300).contains(&ttl()), "{}", ttl());
}
