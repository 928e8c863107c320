//! The vault key file is rotated while people log in and open data at two replicas: nobody notices, what is used is
//! sealed anew, and a vault key that is lost costs session keys alone.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    NUMBER, Replicas, SESSION, Session, data_of, expect_undecryptable, sealing::sealed_phone,
};
use crate::support::prelude::*;

/// A replica tells this when it has read the file anew, and when another key of it begins to seal.
const TOLD: &str = "the vault keys were read again";
/// Longer than a replica takes to read the file, so that all know a key before one of them seals with it.
const LEAD: &str = "7s";

pub(crate) fn new_vault_key() -> String {
    STANDARD.encode([(); 32].map(|()| fastrand::u8(..)))
}

/// Puts these lines into the vault key file and waits until all replicas have read them.
pub(crate) async fn use_vault_keys(bed: &TestBed, lines: &[&str]) {
    let told = times_told(bed);
    replace(
        bed.configuration.value("WXMINT_VAULT_KEY_FILE").as_ref(),
        &format!("{}\n", lines.join("\n")),
    );
    until_told_again(bed, &told, 1).await;
}

/// How often each replica has told that its vault keys have changed.
fn times_told(bed: &TestBed) -> Vec<usize> {
    bed.services
        .iter()
        .map(|service| service.log().matches(TOLD).count())
        .collect()
}

async fn until_told_again(bed: &TestBed, before: &[usize], times: usize) {
    let all_have = || {
        times_told(bed)
            .iter()
            .zip(before)
            .all(|(told, before)| *told >= before + times)
    };
    until("the replicas tell", 2 * PATIENCE, async || all_have()).await;
}

impl Replicas {
    /// The line of the vault key that stands first.
    fn first_vault_key(&self) -> String {
        let file = fs::read_to_string(self.0.configuration.value("WXMINT_VAULT_KEY_FILE"))
            .expect("a file");
        file.lines().next().expect("a key").to_owned()
    }

    /// By which vault keys the kept session keys are sealed: the current one and, if there is one, the one before.
    fn sealed_by(&self, session: &Session) -> Vec<[u8; 2]> {
        self.kept(session)
            .iter()
            .map(|sealed| sealed[1..3].try_into().expect("a header"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_key_is_rotated_under_load_and_nobody_notices() {
    let replicas = Replicas::start().await;
    let (idle, active) = (
        replicas.log_in("idle").await,
        replicas.log_in("active").await,
    );
    let active = Session {
        token: replicas.log_in("active").await.token,
        ..active
    };
    let load = Load::start(&replicas.0).await;
    let by_old = replicas.sealed_by(&idle);

    let told = times_told(&replicas.0);
    let mut rotate = replicas
        .0
        .configuration
        .command_of(&["vault", "rotate", "--lead", LEAD]);
    Ended::of(&mut rotate, "").expect_success();
    until_told_again(&replicas.0, &told, 1).await;
    let new = replicas.first_vault_key();
    assert_eq!(
        replicas.sealed_by(&replicas.log_in("in between").await),
        by_old,
        "until then it opens alone"
    );
    until_told_again(&replicas.0, &told, 2).await;
    let by_new = replicas.sealed_by(&replicas.log_in("afterwards").await);
    assert_ne!(by_new, by_old);

    // The key of before, which is the previous one, and then the current one too.
    assert_eq!(replicas.sealed_by(&active), [by_old[0], by_old[0]]);
    data_of(
        &replicas
            .decrypt(0, &active, &sealed_phone(&active.key, NUMBER))
            .await,
    );
    assert_eq!(
        replicas.sealed_by(&active),
        [by_new[0], by_new[0]],
        "what was used is sealed anew"
    );
    assert_eq!(
        replicas.sealed_by(&idle),
        by_old,
        "what was not is left alone"
    );
    data_of(
        &replicas
            .decrypt(1, &idle, &sealed_phone(&idle.key, NUMBER))
            .await,
    );
    assert_eq!(replicas.sealed_by(&idle), by_new);

    use_vault_keys(&replicas.0, &[&new]).await;
    for session in [&idle, &active] {
        data_of(
            &replicas
                .decrypt(1, session, &sealed_phone(&session.key, NUMBER))
                .await,
        );
    }
    let logins = load.stop().await;
    let failed: Vec<_> = logins
        .iter()
        .filter(|login| login.answer.status != 200)
        .collect();
    assert!(
        failed.is_empty() && logins.len() > 100,
        "of {}: {failed:?}",
        logins.len()
    );
}

#[tokio::test]
async fn a_lost_vault_key_costs_session_keys_alone_and_the_error_says_to_log_in_again() {
    let replicas = Replicas::start().await;
    let lin = replicas.log_in("lin").await;
    let sealed = sealed_phone(&lin.key, NUMBER);
    data_of(&replicas.decrypt(0, &lin, &sealed).await);
    // The vault key of the current session key is lost, and not that of the previous one.
    let (old, lost) = (replicas.first_vault_key(), new_vault_key());
    use_vault_keys(&replicas.0, &[&lost, &old]).await;
    let current = replicas.log_in("lin").await.key;
    use_vault_keys(&replicas.0, &[&old]).await;
    expect_undecryptable(
        replicas
            .decrypt(0, &lin, &sealed_phone(&current, NUMBER))
            .await,
    );
    data_of(&replicas.decrypt(0, &lin, &sealed).await);
    use_vault_keys(&replicas.0, &[&new_vault_key()]).await;
    for replica in 0..2 {
        let answer = expect_undecryptable(replicas.decrypt(replica, &lin, &sealed).await);
        assert!(answer.member("detail").contains("log in"), "{answer:?}");
        let check = replicas
            .ask(replica, "GET", SESSION, &lin.token, &Value::Null)
            .await;
        assert_eq!((check.status, check.json()), (200, json!({"valid": false})));
    }
    let again = replicas.0.log_in("lin").await.expect_login();
    assert_eq!(
        (again.member("user_id"), &again.json()["new_user"]),
        (lin.user.clone(), &json!(false))
    );
    let again = replicas.log_in("lin").await;
    data_of(
        &replicas
            .decrypt(0, &again, &sealed_phone(&again.key, NUMBER))
            .await,
    );
    data_of(
        &replicas
            .decrypt(1, &lin, &sealed_phone(&again.key, NUMBER))
            .await,
    );
    let check = replicas
        .ask(0, "GET", SESSION, &again.token, &Value::Null)
        .await;
    assert_eq!(
        (check.status, check.json()),
        (200, json!({"valid": true})),
        "the access token is fetched anew, too"
    );
}
