//! Encrypted data has no MAC, so that whoever can tell one failure from another can read and forge. All
//! failures have one answer, byte for byte, and the eighth within ten minutes drops the session key: counted for a
//! person, over all replicas, and exactly.

use super::sealing::{BLOCK, body, encrypt, seal, sealed_phone, sign, watermark};
use super::{NUMBER, OTHER_APPID, Replicas, Session, data_of, expect_undecryptable, key_of};
use crate::support::prelude::*;

const FOREIGN_KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";

/// Data that has to be refused in one way, by the name of what is wrong: some for each step at which it is found. The
/// tests of `wechat::user_data` have each damage.
fn damages(session: &Session, another: &Session) -> Vec<(&'static str, Value)> {
    let key = &session.key;
    let marked = |watermark: Value| {
        seal(
            key,
            json!({"nickName": "林", "watermark": watermark}).to_string(),
        )
    };
    let of_another =
        json!({"nickName": "林", "openId": another.openid, "watermark": watermark(APPID, 0)});
    let forged = json!({"phoneNumber": NUMBER, "gender": 0, "watermark": watermark(APPID, 0)});
    vec![
        ("a padding of 0", encrypt(key, &[0; 2 * BLOCK])),
        ("deep", seal(key, format!("{{\"a\":{}", "[".repeat(5000)))),
        ("not UTF-8", seal(key, b"\xff")),
        ("no watermark", marked(json!(null))),
        ("another app's", marked(watermark(OTHER_APPID, 0))),
        ("old", marked(watermark(APPID, 86_400))),
        ("another's openid", seal(key, of_another.to_string())),
        ("joined by the phone", seal(key, forged.to_string())),
        ("a foreign key", sealed_phone(FOREIGN_KEY, NUMBER)),
        ("90 KiB of zeros", body(&vec![0; 90 * 1024], &[0; BLOCK])),
        ("signed with another key", sign(&another.key, "{}")),
    ]
}

type Calls = BTreeMap<String, u64>;

/// The answer to data that does not open, and the commands of Redis that it costs. Costs no try.
async fn refused(
    replicas: &Replicas,
    session: &Session,
    replica: usize,
    data: &Value,
) -> (Answer, Calls) {
    let before = replicas.0.redis.calls();
    let answer = expect_undecryptable(replicas.decrypt(replica, session, data).await);
    let cost = replicas.0.redis.calls_since(&before);
    // As if the window of failures had passed.
    replicas
        .0
        .redis
        .command::<i64>(&["DEL", &key_of(APPID, session, "limit:tries")]);
    (answer, cost)
}

/// Bodies that no key could open. crates/wechat has a row for each member.
fn malformed(good: &Value) -> Vec<Value> {
    let [data, iv] =
        ["encryptedData", "iv"].map(|name| good[name].as_str().expect("text").to_owned());
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
async fn whatever_is_wrong_with_data_has_one_answer_byte_for_byte_after_the_same_commands_of_redis()
{
    // The first event in each eighth of a period costs more commands.
    let builder = TestBed::builder()
        .env("WXMINT_LIMIT_OPENID", "1000000/1h")
        .services(2);
    let replicas = Replicas(builder.start().await);
    let (lin, mei) = (replicas.log_in("lin").await, replicas.log_in("mei").await);
    let mut told: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut costs = Vec::new();
    // The first one loads the scripts.
    for _ in 0..4 {
        costs.push(
            refused(&replicas, &lin, 0, &sealed_phone(FOREIGN_KEY, NUMBER))
                .await
                .1,
        );
    }
    let usual = costs
        .into_iter()
        .min_by_key(|cost| cost.values().sum::<u64>())
        .expect("four");
    for (number, (what, damaged)) in damages(&lin, &mei).into_iter().enumerate() {
        // On a busy machine a command is repeated now and then; a defect shows each time.
        let answer = eventually(&format!("{what}: {usual:?}"), PATIENCE, async || {
            let (answer, cost) = refused(&replicas, &lin, number % 2, &damaged).await;
            (cost == usual).then_some(answer)
        })
        .await;
        told.entry(answer.told()).or_default().push(what);
    }

    // With a `+` in it.
    let good = loop {
        let sealed = sealed_phone(&lin.key, NUMBER);
        if sealed["encryptedData"]
            .as_str()
            .expect("text")
            .contains('+')
        {
            break sealed;
        }
    };
    let incomplete = json!({"encryptedData": good["encryptedData"]});
    let incomplete = replicas
        .decrypt(0, &lin, &incomplete)
        .await
        .expect_problem(400, "invalid_request");
    assert!(
        incomplete.member("detail").contains("`iv`"),
        "{incomplete:?}"
    );
    let mut refuses = async |what, data: &Value| {
        let answer = replicas.decrypt(0, &lin, data).await;
        assert_eq!(answer.status, 422, "{what}: {answer:?}");
        told.entry(answer.told()).or_default().push(what);
    };
    for malformed in [malformed(&good), malformed(&good)].concat() {
        refuses("nothing that a key could open", &malformed).await;
    }
    let tries = key_of(APPID, &lin, "limit:tries");
    assert_eq!(
        replicas
            .0
            .redis
            .command::<Option<u64>>(&["HGET", &tries, "failed"]),
        None,
        "which costs no try"
    );
    assert_eq!(
        replicas.decrypt(1, &lin, &good).await.status,
        200,
        "the key was there all the time"
    );

    let session = key_of(APPID, &lin, "session");
    replicas
        .0
        .redis
        .command::<usize>(&["SETRANGE", &session, "13", "not sealed by anybody"]);
    refuses("an entry that is not ours", &good).await;
    replicas.0.redis.command::<i64>(&["DEL", &session]);
    refuses("no key", &good).await;
    assert!(
        told.len() == 1 && told.keys().all(|told| told.contains("`+`")),
        "{told:#?}"
    );
    for service in &replicas.0.services {
        service.expect_no_faults().await;
    }
}

/// crates/store/src/conformance.rs holds what counts as a failure.
#[tokio::test]
async fn the_eighth_failure_at_whatever_replica_drops_the_session_key_like_any_other_and_a_login_brings_another()
 {
    let replicas = Replicas::start().await;
    let opens = async |session: &Session| {
        let answer = replicas
            .decrypt(0, session, &sealed_phone(&session.key, NUMBER))
            .await;
        assert_eq!(data_of(&answer)["phoneNumber"], NUMBER);
    };
    let (before, mei) = (replicas.log_in("lin").await, replicas.log_in("mei").await);
    let lin = replicas.log_in("lin").await;
    let mut told = BTreeSet::new();
    for number in 0..8 {
        opens(&lin).await;
        assert_eq!(
            replicas.kept(&lin).len(),
            2,
            "what opens is not counted, and takes nothing back"
        );
        let answer = replicas
            .decrypt(number % 2, &lin, &sealed_phone(FOREIGN_KEY, NUMBER))
            .await;
        told.insert(expect_undecryptable(answer).told());
    }
    assert!(replicas.kept(&lin).is_empty(), "both keys are gone");
    for key in [
        FOREIGN_KEY,
        &lin.key,
        &before.key,
        &lin.key,
        FOREIGN_KEY,
        &lin.key,
        FOREIGN_KEY,
    ] {
        let answer = replicas.decrypt(0, &lin, &sealed_phone(key, NUMBER)).await;
        told.insert(expect_undecryptable(answer).told());
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    replicas.0.services[1]
        .says("a session key was dropped")
        .await;
    opens(&mei).await;

    let again = replicas.log_in("lin").await;
    assert_eq!(again.user, lin.user);
    let failed = replicas
        .decrypt(0, &again, &sealed_phone(FOREIGN_KEY, NUMBER))
        .await;
    expect_undecryptable(failed);
    // Data that came while there was no key to guess does not count as a failure.
    opens(&again).await;
}
