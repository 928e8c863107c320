//! Encrypted data has no MAC, so that whoever can tell one failure from another can read and forge. All
//! failures have one answer, byte for byte.

use super::failures::FOREIGN_KEY;
use super::sealing::{BLOCK, body, encrypt, padded, parts, phone, phone_with, seal, sealed_phone, sign, watermark};
use super::{NUMBER, OTHER_APPID, Replicas, Session, USER_DATA, expect_undecryptable, key_of};
use crate::support::prelude::*;

/// Data that has to be refused in one way, by the name of what is wrong. The tests of
/// `wechat::user_data` have each damage.
fn damages(session: &Session, another: &Session) -> Vec<(&'static str, Value)> {
    let (key, text) = (&session.key, phone(NUMBER).to_string());
    let good = padded(text.as_bytes());
    let ending_in = |ending: &[u8]| encrypt(key, &[&good[..good.len() - ending.len()], ending].concat());
    let (ciphertext, iv) = parts(&sealed_phone(key, NUMBER));
    let marked = |watermark: Value| seal(key, &phone_with(NUMBER, watermark).to_string());
    let of = |openid: Value| seal(key, &json!({"openId": openid, "watermark": watermark(APPID, 0)}).to_string());
    vec![
        ("a padding of 0", ending_in(&[0])),
        ("no text", seal(key, "")),
        ("no JSON", seal(key, &NUMBER.repeat(10))),
        ("deep", seal(key, &format!("{{\"a\":{}", "[".repeat(5000)))),
        ("not UTF-8", ending_in(b"\xff\x01")),
        ("no watermark", marked(json!(null))),
        ("another app's", marked(watermark(OTHER_APPID, 0))),
        ("old", marked(watermark(APPID, 86_400))),
        ("another's openid", of(json!(another.openid))),
        ("a foreign key", sealed_phone(FOREIGN_KEY, NUMBER)),
        ("another person's key", sealed_phone(&another.key, NUMBER)),
        ("cut at a block", body(&ciphertext[..BLOCK], &iv)),
        ("a foreign iv", body(&ciphertext, &[0; BLOCK])),
        ("90 KiB of zeros", body(&vec![0; 90 * 1024], &[0; BLOCK])),
        ("no signature of WeChat's", json!({"rawData": "{}", "signature": "0".repeat(40)})),
        ("signed with another key", sign(&another.key, "{}")),
    ]
}

type Calls = BTreeMap<String, u64>;

/// The answer to data that does not open, and the commands of Redis that it costs. Costs no try.
async fn refused(replicas: &Replicas, session: &Session, replica: usize, data: &Value) -> (Answer, Calls) {
    let before = replicas.0.redis.calls();
    let answer = expect_undecryptable(replicas.decrypt(replica, session, data).await);
    let cost = replicas.0.redis.calls_since(&before);
    replicas.forget_failures(session);
    (answer, cost)
}

#[tokio::test]
async fn whatever_is_wrong_with_data_has_one_answer_byte_for_byte_after_the_same_commands_of_redis() {
    let replicas = Replicas::start().await;
    let (lin, mei) = (replicas.log_in("lin").await, replicas.log_in("mei").await);
    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut costs = Vec::new();
    // The first one loads the scripts.
    for _ in 0..4 {
        costs.push(refused(&replicas, &lin, 0, &sealed_phone(FOREIGN_KEY, NUMBER)).await.1);
    }
    let usual = costs.into_iter().min_by_key(|cost| cost.values().sum::<u64>()).expect("four");
    let damages = damages(&lin, &mei);
    let count = damages.len();
    for (number, (what, damaged)) in damages.into_iter().enumerate() {
        // On a busy machine a command is repeated now and then; a defect shows each time.
        let answer = eventually(&format!("{what}: {usual:?}"), PATIENCE, async || {
            let (answer, cost) = refused(&replicas, &lin, number % 2, &damaged).await;
            (cost == usual).then_some(answer)
        })
        .await;
        told.entry(answer.told()).or_default().push(what.to_owned());
    }
    let good = sealed_phone(&lin.key, NUMBER);
    assert_eq!(replicas.decrypt(0, &lin, &good).await.status, 200, "the key was there all the time");

    let session = key_of(APPID, &lin, "session");
    let mut keyless = async |what: &str| {
        let answer = expect_undecryptable(replicas.decrypt(0, &lin, &good).await);
        told.entry(answer.told()).or_default().push(what.to_owned());
    };
    replicas.0.redis.command::<usize>(&["SETRANGE", &session, "13", "not sealed by anybody"]);
    keyless("an entry that is not ours").await;
    replicas.0.redis.command::<i64>(&["DEL", &session]);
    keyless("no key").await;
    let again = replicas.log_in("lin").await;
    for _ in 0..7 {
        replicas.decrypt(1, &again, &sealed_phone(FOREIGN_KEY, NUMBER)).await;
    }
    keyless("the eighth failure").await;
    assert!(replicas.kept(&again).is_empty());
    keyless("after the drop").await;

    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told.into_values().next().expect("one").len(), count + 4);
    replicas.expect_no_faults().await;
}

/// Bodies that are no data of WeChat's, whatever the key. crates/wechat has a row for each member.
fn malformed(good: &Value) -> Vec<Value> {
    let [data, iv] = ["encryptedData", "iv"].map(|name| good[name].as_str().expect("text").to_owned());
    let with = |name: &str, value: &str| {
        let mut body = good.clone();
        body[name] = value.into();
        body
    };
    vec![
        with("encryptedData", ""),
        with("encryptedData", &data.replace('+', " ")),
        with("iv", &iv.repeat(2)),
        json!({"rawData": "{}", "signature": "0".repeat(39)}),
    ]
}

#[tokio::test]
async fn what_no_key_could_open_is_answered_like_all_damage_and_costs_no_try() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    // With a `+` in it.
    let good = loop {
        let sealed = seal(&lin.key, &phone(NUMBER).to_string());
        if sealed["encryptedData"].as_str().expect("text").contains('+') {
            break sealed;
        }
    };
    for _ in 0..2 {
        let incomplete = json!({"encryptedData": good["encryptedData"]});
        let answer = replicas.ask(0, "POST", USER_DATA, &lin.token, &incomplete).await;
        assert!(answer.expect_problem(400, "invalid_request").member("detail").contains("`iv`"));
        let mut details = BTreeSet::new();
        for body in malformed(&good) {
            let answer = replicas.ask(0, "POST", USER_DATA, &lin.token, &body).await;
            details.insert(answer.expect_problem(422, "data_undecryptable").member("detail"));
        }
        assert!(details.len() == 1 && details.iter().all(|detail| detail.contains("`+`")), "{details:?}");
    }
    assert_eq!(replicas.decrypt(1, &lin, &good).await.status, 200);
    let tries = key_of(APPID, &lin, "limit:tries");
    assert_eq!(replicas.0.redis.command::<Option<u64>>(&["HGET", &tries, "failed"]), None);
}
