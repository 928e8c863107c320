//! Everything that can be changed about sealed data is: never a 5xx or a panic, and one answer for all that does not open.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use super::{
    Replicas, Session, USER_DATA,
    sealing::{body, parts, seal, watermark},
};
use crate::support::{APPID, Connection};

/// Sent in turn by each of them, to its own replica and for a person of its own.
const SENDERS: usize = 4;
const RANDOM_TEXTS: usize = 400;
/// One less than costs the key.
const TRIES: usize = 7;

/// Each bit of iv and ciphertext; and each byte of the block before the last by each other value, because what is changed
/// there is changed in the padding.
fn changes(iv: &[u8], ciphertext: &[u8]) -> Vec<Value> {
    let whole = [iv, ciphertext].concat();
    let of_padding = whole.len() - 32..whole.len() - 16;
    let change = |place: usize, by: u8| {
        let mut changed = whole.clone();
        changed[place] ^= by;
        body(&changed[iv.len()..], &changed[..iv.len()])
    };
    (0..whole.len())
        .flat_map(|place| (1..=255_u8).map(move |by| (place, by)))
        .filter(|(place, by)| of_padding.contains(place) || by.is_power_of_two())
        .map(|(place, by)| change(place, by))
        .collect()
}

/// Cut anywhere, also within what base64 has for a block.
fn truncations(sealed: &Value) -> Vec<Value> {
    let mut cut = Vec::new();
    for name in ["encryptedData", "iv"] {
        let text = sealed[name].as_str().expect("text");
        for length in 0..text.len() {
            let mut body = sealed.clone();
            body[name] = text[..length].into();
            cut.push(body);
        }
    }
    cut
}

fn random_texts() -> Vec<Value> {
    let random = |length: usize| (0..length).map(|_| fastrand::u8(..)).collect::<Vec<_>>();
    (0..RANDOM_TEXTS).map(|_| body(&random(16 * fastrand::usize(1..20)), &random(16))).collect()
}

/// What came of it: status and body without the request's id, each with how often.
type Told = BTreeMap<(u16, String), usize>;

async fn send(replica: SocketAddr, replicas: &Replicas, session: &Session, bodies: &[Value]) -> Told {
    let mut connection = Connection::to(replica).await;
    let headers = format!("Content-Type: application/json\r\nAuthorization: Bearer {}\r\n", session.token);
    let mut told = Told::new();
    for some in bodies.chunks(TRIES) {
        for body in some {
            let (status, answer) = connection.send(&format!("POST {USER_DATA}"), &headers, &body.to_string()).await;
            let mut answer: Value = serde_json::from_str(&answer).expect("JSON");
            if let Some(id) = answer.get_mut("request_id") {
                *id = Value::Null;
            }
            *told.entry((status, answer.to_string())).or_default() += 1;
        }
        replicas.forget_failures(session);
    }
    told
}

/// What each of the senders has to send, sealed for its own person.
fn bodies(session: &Session, sender: usize) -> Vec<Value> {
    // The first block, in which a change by the iv may leave JSON, is a member of its own.
    let sealed = seal(&session.key, &format!("{{\"n\":\"12345678\",\"watermark\":{}}}", watermark(APPID, 0)));
    let (ciphertext, iv) = parts(&sealed);
    let all = [changes(&iv, &ciphertext), truncations(&sealed), random_texts()].concat();
    all.into_iter().skip(sender).step_by(SENDERS).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_changed_about_data_is_answered_200_or_the_one_422() {
    let replicas = Replicas::start().await;
    let mut sending = Vec::new();
    let mut count = 0;
    for sender in 0..SENDERS {
        let session = replicas.log_in(&format!("sender-{sender}")).await;
        let bodies = bodies(&session, sender);
        count += bodies.len();
        let replica = replicas.0.services[sender % 2].public;
        let replicas = &replicas;
        sending.push(async move { send(replica, replicas, &session, &bodies).await });
    }
    let mut told = Told::new();
    for (answer, times) in futures_util::future::join_all(sending).await.into_iter().flatten() {
        *told.entry(answer).or_default() += times;
    }
    assert_eq!(told.values().sum::<usize>(), count);
    let refused: Vec<_> = told.keys().filter(|(status, _)| *status == 422).collect();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(told[refused[0]] > count * 9 / 10, "{told:?}");
    for (status, answer) in told.keys() {
        match status {
            // The iv alone changes the first block, and what it says there may be anything.
            200 => assert!(answer.starts_with("{\"data\":{"), "{answer}"),
            other => assert_eq!(*other, 422, "{answer}"),
        }
    }
    replicas.expect_no_faults().await;
}
