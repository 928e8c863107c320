//! Revocations as security event tokens that a receiver polls for (RFC 8936), from outside.

mod bounds;

use std::cell::Cell;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use wxmint_verify::PublishedKeys;

use crate::revocations::{FAR, fill};
use crate::support::audit::is_audit;
use crate::support::prelude::*;

const SECRET: &str = "events-0123456789abcdef0123456789abcdef";
const OTHER: &str = "others-0123456789abcdef0123456789abcdef";
const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

fn receivers() -> Builder {
    TestBed::builder().operators(&format!(
        "sso {SECRET} events\nother {OTHER} events\nboss {OPERATOR} read,operate,wechat\n"
    ))
}

async fn poll_at(bed: &TestBed, service: usize, secret: &str, body: Value) -> Answer {
    bed.services[service]
        .ask("POST", "/ssf/poll", secret, &body)
        .await
}

/// The claims of the events of an answer, by `jti`; each must be signed with a published key.
async fn events(bed: &TestBed, secret: &str, body: Value) -> (BTreeMap<String, Value>, bool) {
    let mut asked = json!({"returnImmediately": true});
    asked
        .as_object_mut()
        .expect("an object")
        .extend(body.as_object().expect("an object").clone());
    read_events(bed, &poll_at(bed, 0, secret, asked).await).await
}

async fn read_events(bed: &TestBed, answer: &Answer) -> (BTreeMap<String, Value>, bool) {
    assert_eq!(
        (answer.status, answer.header("cache-control")),
        (200, "no-store"),
        "{answer:?}"
    );
    let jwks = bed
        .http
        .get(&bed.service().url("/.well-known/jwks.json"))
        .await;
    let keys = PublishedKeys::read(jwks.body.as_bytes())
        .expect("keys")
        .keys;
    let read = |(jti, set): (&String, &Value)| {
        let set = set.as_str().expect("a JWT");
        let (header, claims) = decoded(set);
        assert_eq!(
            (&header["typ"], &claims["jti"]),
            (&json!("secevent+jwt"), &json!(jti))
        );
        let (message, signature) = set.rsplit_once('.').expect("a signature");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let key = keys
            .iter()
            .find(|key| header["kid"] == key.kid())
            .expect("a published key");
        assert!(key.verifies(message.as_bytes(), &signature), "{claims}");
        (jti.clone(), claims)
    };
    let told = answer.json();
    let more = told["moreAvailable"].as_bool().expect("a bool");
    (
        told["sets"]
            .as_object()
            .expect("an object")
            .iter()
            .map(read)
            .collect(),
        more,
    )
}

fn users(numbers: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    numbers.map(|number| format!("sub {number} {FAR} user-{number}"))
}

fn ids(events: &BTreeMap<String, Value>) -> Vec<&String> {
    events.keys().collect()
}

#[tokio::test]
async fn a_receiver_gets_each_revocation_until_it_acknowledges_it() {
    let bed = receivers().start().await;
    assert!(events(&bed, SECRET, json!({})).await.0.is_empty());
    let [one, other] = [bed.log_in("lin").await, bed.log_in("lin").await];
    bed.log_out(&one, false).await;
    bed.log_out(&other, true).await;
    let mei = bed.log_in("mei").await;
    bed.dissolve(&mei).await;

    let (first, more) = events(&bed, SECRET, json!({})).await;
    assert_eq!((first.len(), more), (3, false));
    let (iss, user) = (
        bed.configuration.value("WXMINT_ISSUER"),
        one.claims()["sub"].clone(),
    );
    let subjects: Vec<_> = first.values().map(|claims| &claims["sub_id"]).collect();
    let of = |user: &Value| json!({"format": "iss_sub", "iss": iss, "sub": user});
    let in_app = json!({"format": "complex", "user": of(&mei.member("user_id").into()),
        "application": {"format": "opaque", "id": APPID}});
    for subject in [
        json!({"format": "jwt_id", "iss": iss, "jti": one.claims()["jti"]}),
        of(&user),
        in_app,
    ] {
        assert!(subjects.contains(&&subject), "{subject} in {subjects:?}");
    }
    for claims in first.values() {
        assert_eq!(
            (&claims["iss"], &claims["aud"]),
            (&json!(iss), &json!("sso"))
        );
        assert!(
            claims["events"][REVOKED].is_object()
                && claims.get("sub").is_none()
                && claims.get("exp").is_none()
        );
    }
    let ended = first
        .values()
        .find(|claims| claims["sub_id"]["format"] == "iss_sub")
        .expect("the user");
    let before = ended["events"][REVOKED]["event_timestamp"]
        .as_i64()
        .expect("seconds");
    assert!(before >= one.claims()["iat"].as_i64().expect("seconds"));

    // Not acknowledged: the same events with the same ids. An error is an answer too.
    assert_eq!(ids(&events(&bed, SECRET, json!({})).await.0), ids(&first));
    let [a, b, c] = ids(&first)[..] else {
        panic!("three: {first:?}")
    };
    let errs = json!({"ack": [a, b, "unknown"], "setErrs": {(c.as_str()): {"err": "invalid_key", "description": "no".repeat(160)}}});
    assert!(events(&bed, SECRET, errs).await.0.is_empty());
    bed.service().says("a receiver has refused an event").await;
    let reasons = bed.service().reasons("WARN");
    assert!(
        reasons
            .iter()
            .any(|reason| reason.starts_with("invalid_key: no") && reason.len() == 300),
        "{reasons:?}"
    );
    assert!(
        events(&bed, SECRET, json!({})).await.0.is_empty(),
        "they stay acknowledged"
    );
    let (others, _) = events(&bed, OTHER, json!({})).await;
    assert_eq!(others.len(), 3, "another receiver has a place of its own");
    assert!(
        ids(&others).iter().all(|id| !first.contains_key(*id)),
        "and events of its own"
    );
}

/// Nothing is lost that was sent after what is missing.
#[tokio::test]
async fn what_is_acknowledged_out_of_order_is_sent_again_and_nothing_is_lost() {
    let bed = receivers().services(2).start().await;
    fill(&bed, users(1..1501));
    let (first, more) = events(&bed, SECRET, json!({"maxEvents": 3})).await;
    assert_eq!((first.len(), more), (3, true));
    let last = first
        .iter()
        .max_by_key(|(_, claims)| claims["events"][REVOKED]["event_timestamp"].as_i64());
    let (last, _) = last.expect("three");
    let (again, more) = events(&bed, SECRET, json!({"maxEvents": 3, "ack": [last]})).await;
    assert!(!again.contains_key(last) && more, "{again:?}");
    assert_eq!(
        first.keys().filter(|id| again.contains_key(*id)).count(),
        2,
        "the two before it"
    );
    let none = poll_at(&bed, 1, SECRET, json!({"maxEvents": 0, "ack": ids(&first)})).await;
    assert_eq!(
        none.json(),
        json!({"sets": {}, "moreAvailable": true}),
        "an acknowledgement alone, at another replica"
    );

    let (mut seen, mut ack) = (first.len(), Vec::new());
    loop {
        let (page, more) = events(&bed, SECRET, json!({"maxEvents": 5000, "ack": ack})).await;
        assert!(page.len() <= 250);
        seen += page.len();
        ack = page.into_keys().collect();
        if !more {
            break;
        }
    }
    assert_eq!(seen, 1500, "each once");
}

/// A receiver that is told of no more comes back at its next scheduled poll.
#[tokio::test]
async fn a_receiver_that_asks_for_few_events_or_none_is_told_that_more_wait_until_none_does() {
    let bed = receivers().start().await;
    fill(&bed, users(1..9));
    let asks = async |most: usize, ack: &[&String]| {
        let (page, more) = events(&bed, SECRET, json!({"maxEvents": most, "ack": ack})).await;
        assert!(page.len() <= most, "{most}: {page:?}");
        (page, more)
    };
    let (first, more) = asks(5, &[]).await;
    assert_eq!((first.len(), more), (5, true));
    // Its answer was lost the first time.
    for _ in 0..2 {
        assert!(asks(0, &ids(&first)).await.1, "three wait");
    }
    let (one, more) = asks(1, &ids(&first)).await;
    assert_eq!((one.len(), more), (1, true), "two wait behind it");
    let (two, more) = asks(2, &[]).await;
    assert_eq!((two.len(), more), (2, true), "one waits behind them");
    assert!(asks(0, &ids(&two)).await.1, "one waits");
    let (last, more) = asks(1, &[]).await;
    assert_eq!((last.len(), more), (1, false));
    assert!(!asks(0, &ids(&last)).await.1, "none waits");
}

#[tokio::test]
async fn events_are_for_receivers_alone_and_are_no_access_tokens() {
    let bed = receivers().start().await;
    let login = bed.log_in("lin").await;
    let strangers = [
        poll_at(&bed, 0, OPERATOR, json!({})).await,
        poll_at(&bed, 0, "guess", json!({})).await,
    ];
    let told = strangers
        .map(|answer| answer.expect_problem(401, "invalid_token").json()["detail"].clone());
    assert_eq!(
        told[0], told[1],
        "nobody learns which secrets operators have"
    );
    let known = eventually("an audit event of the known secret", BUSY, async || {
        let told = bed.service().events().into_iter().filter(is_audit);
        told.into_iter().find(|event| {
            event["metadata"]["event_code"] == "poll" && event.to_string().contains("\"boss\"")
        })
    });
    assert_eq!(known.await["status_detail"], "invalid_token");
    poll_at(&bed, 0, &login.member("access_token"), json!({}))
        .await
        .expect_problem(401, "invalid_token");
    let nobody = bed
        .http
        .send(
            bed.http
                .0
                .post(bed.service().url("/ssf/poll"))
                .json(&json!({})),
        )
        .await;
    nobody.expect_problem(401, "invalid_token");
    let acks = [
        json!({"ack": "x"}),
        json!({"ack": [1]}),
        json!({"setErrs": {"x": 1}}),
    ];
    for wrong in acks
        .into_iter()
        .chain([json!([]), json!({"maxEvents": -1})])
    {
        poll_at(&bed, 0, SECRET, wrong)
            .await
            .expect_problem(400, "invalid_request");
    }
    let long = json!({"ack": ["x".repeat(128 << 10)]});
    poll_at(&bed, 0, SECRET, long)
        .await
        .expect_problem(413, "invalid_request");
    let absent =
        json!({"ack": null, "setErrs": null, "maxEvents": null, "returnImmediately": true});
    assert_eq!(
        poll_at(&bed, 0, SECRET, absent).await.json(),
        json!({"sets": {}, "moreAvailable": false})
    );
    bed.service()
        .operate("GET", "/users/lin", SECRET, &Value::Null)
        .await
        .expect_problem(403, "forbidden");

    bed.log_out(&login, true).await;
    let answer = poll_at(&bed, 0, SECRET, json!({})).await.json();
    let set = answer["sets"]
        .as_object()
        .expect("sets")
        .values()
        .next()
        .expect("an event")
        .as_str()
        .expect("a JWT");
    bed.service()
        .ask("GET", "/wechat/session", set, &Value::Null)
        .await
        .expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_poll_waits_for_an_event_and_few_of_a_receiver_do_at_once_and_are_answered_before_the_service_stops()
 {
    let mut bed = receivers().start().await;
    let login = bed.log_in("lin").await;
    let waiting = poll_at(&bed, 0, SECRET, json!({}));
    let ((), answer) = tokio::join!(async { bed.log_out(&login, true).await }, waiting);
    assert_eq!(
        answer.json()["sets"].as_object().expect("sets").len(),
        1,
        "{answer:?}"
    );
    let ack: Vec<_> = answer.json()["sets"]
        .as_object()
        .expect("sets")
        .keys()
        .cloned()
        .collect();
    let refused = Cell::new(0);
    let polls = (0..6).map(async |_| {
        let answer = poll_at(&bed, 0, SECRET, json!({"ack": ack})).await;
        refused.set(refused.get() + usize::from(answer.status == 429));
        answer
    });
    let stop = async {
        until("four of six may wait", BUSY, async || refused.get() == 2).await;
        bed.service().signal(Signal::TERM);
    };
    let (answers, ()) = tokio::join!(join_all(polls), stop);
    let waited: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status != 429)
        .map(Answer::json)
        .collect();
    assert_eq!(waited, vec![json!({"sets": {}, "moreAvailable": false}); 4]);
    assert_eq!(bed.services[0].end(PATIENCE).await.code(), Some(0));
}

#[tokio::test]
async fn a_poll_that_waits_while_its_secret_is_removed_gets_no_event() {
    let bed = receivers().start().await;
    let login = bed.log_in("lin").await;
    let waiting = poll_at(&bed, 0, SECRET, json!({}));
    let removed = async {
        let file = bed.configuration.value("WXMINT_ADMIN_TOKENS_FILE");
        fs::write(file, format!("other {OTHER} events\n")).expect("written");
        until("the file is read again", BUSY, async || {
            let urgent = json!({"returnImmediately": true});
            poll_at(&bed, 0, SECRET, urgent).await.status == 401
        })
        .await;
        bed.log_out(&login, true).await;
    };
    let (answer, ()) = tokio::join!(waiting, removed);
    answer.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn a_stream_has_no_keys_nor_what_this_version_cannot_read_a_lost_place_costs_no_event_and_who_has_none_finds_none()
 {
    let bed = receivers().start().await;
    let issuer = bed.configuration.value("WXMINT_ISSUER").to_owned();
    let metadata = bed
        .http
        .get(&bed.service().url("/.well-known/ssf-configuration"))
        .await
        .json();
    assert_eq!(
        (&metadata["issuer"], &metadata["spec_version"]),
        (&json!(issuer), &json!("1_0"))
    );
    let get = async |query: &str| {
        bed.service()
            .ask("GET", &format!("/ssf/stream{query}"), SECRET, &Value::Null)
            .await
    };
    let stream = get("?stream_id=sso").await.json();
    assert_eq!(get("").await.json(), json!([stream]));
    assert_eq!(
        (&stream["aud"], &stream["events_delivered"]),
        (&json!("sso"), &json!([REVOKED]))
    );
    assert_eq!(
        stream["delivery"]["endpoint_url"],
        json!(format!("{issuer}/ssf/poll"))
    );
    get("?stream_id=other")
        .await
        .expect_problem(404, "invalid_request");
    let create = async |secret| {
        bed.service()
            .ask("POST", "/ssf/stream", secret, &json!({"delivery": {}}))
            .await
    };
    create(SECRET).await.expect_problem(409, "invalid_request");
    create("guess").await.expect_problem(401, "invalid_token");

    let texts = |texts: &[&str]| fill(&bed, texts.iter().map(ToString::to_string));
    let one = json!({"maxEvents": 1});
    let kid = |name: &str| format!("kid {FAR} {name}");
    texts(&[
        &kid("k-1"),
        "new 1 x",
        "new 2 x",
        &kid("k-2"),
        &format!("sub 1 {FAR} lin"),
        &kid("k-3"),
    ]);
    let (first, _) = events(&bed, SECRET, one.clone()).await;
    assert_eq!(
        first.values().next().expect("an event")["sub_id"]["sub"],
        "lin"
    );
    let (none, more) = events(&bed, SECRET, json!({"ack": ids(&first)})).await;
    assert!(none.is_empty() && !more, "{none:?}");
    let ttl: u64 = bed.redis.command(&["TTL", "wxmint:receiver:sso"]);
    assert!(
        ttl > 31 * 86_400,
        "{ttl} s are no longer than the stream may have what was acknowledged"
    );
    // As after a trimming, or a failover that has lost the end of the stream.
    bed.redis
        .command::<()>(&["XTRIM", redis_keys::ENDS, "MAXLEN", "0"]);
    texts(&[&format!("sub 2 {FAR} mei")]);
    let (next, _) = events(&bed, SECRET, one).await;
    assert_eq!(
        next.values().next().expect("an event")["sub_id"]["sub"],
        "mei"
    );

    let without = TestBed::start().await;
    for path in ["/.well-known/ssf-configuration", "/ssf/stream", "/ssf/poll"] {
        assert_eq!(
            without.http.get(&without.service().url(path)).await.status,
            404,
            "{path}"
        );
    }
}
