//! Logging out: the token is refused here from then on, at every replica and every endpoint, the session key is gone.

use super::{
    LOGOUT, NUMBER, Replicas, SESSION, Session, data_of, endpoints, sealing::sealed_phone,
};
use crate::support::prelude::*;

impl Replicas {
    async fn log_out(&self, replica: usize, session: &Session, body: &Value) {
        let answer = self
            .ask(replica, "POST", LOGOUT, &session.token, body)
            .await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (204, ""),
            "{answer:?}"
        );
    }

    /// Every endpoint of every replica refuses the token, but for a logout, which may be repeated.
    async fn expect_refused(&self, session: &Session) {
        for replica in 0..2 {
            for (method, path, body) in endpoints()
                .into_iter()
                .filter(|(_, path, _)| *path != LOGOUT)
            {
                let answer = self.ask(replica, method, path, &session.token, &body).await;
                let refused = answer.expect_problem(401, "invalid_token");
                assert!(
                    refused.header("www-authenticate").contains("invalid_token"),
                    "{path}: {refused:?}"
                );
            }
        }
    }

    async fn expect_accepted(&self, session: &Session) {
        for replica in 0..2 {
            let answer = self
                .ask(replica, "GET", SESSION, &session.token, &Value::Null)
                .await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }
}

/// Somebody logs out on an old phone after having logged in on a new one.
#[tokio::test]
async fn a_logout_with_an_older_token_leaves_the_session_key_of_a_later_login() {
    let replicas = Replicas::start().await;
    let older = replicas.log_in("lin").await;
    replicas.0.next_second().await;
    let later = replicas.log_in("lin").await;
    replicas.log_out(0, &older, &Value::Null).await;
    replicas.expect_refused(&older).await;
    let answer = replicas
        .decrypt(1, &later, &sealed_phone(&later.key, NUMBER))
        .await;
    data_of(&answer);
    replicas.log_out(1, &later, &Value::Null).await;
    assert!(replicas.kept(&later).is_empty());
}

#[tokio::test]
async fn a_token_that_was_logged_out_is_refused_everywhere_and_the_session_key_is_gone() {
    let replicas = Replicas(TestBed::builder().services(2).two_apps().start().await);
    let log_in = async |person: &str| replicas.log_in_in(APPID, person).await;
    for (replica, body) in [
        (0, Value::Null),
        (1, json!({})),
        (0, json!({"everywhere": false})),
    ] {
        // The later one is logged out: a logout leaves the key of a login of a later second.
        let (also_lin, lin, mei) = (
            log_in("lin").await,
            log_in("lin").await,
            log_in("mei").await,
        );
        replicas.log_out(replica, &lin, &body).await;
        replicas.expect_refused(&lin).await;
        assert!(replicas.kept(&lin).is_empty(), "both keys are forgotten");
        replicas.expect_accepted(&also_lin).await;
        replicas.expect_accepted(&mei).await;
        data_of(
            &replicas
                .decrypt(0, &mei, &sealed_phone(&mei.key, NUMBER))
                .await,
        );

        let again = log_in("lin").await;
        assert_eq!(again.user, lin.user, "the binding stays");
        replicas.expect_accepted(&again).await;
        data_of(
            &replicas
                .decrypt(1, &again, &sealed_phone(&again.key, NUMBER))
                .await,
        );
        replicas.expect_refused(&lin).await;
    }
    let (here, there) = (
        log_in("lin").await,
        replicas.log_in_in(OTHER_APPID, "lin").await,
    );
    replicas
        .log_out(0, &here, &json!({"everywhere": true}))
        .await;
    replicas.expect_refused(&there).await;
    let left: Vec<String> = replicas.0.redis.command(&["KEYS", "wxmint:*:session"]);
    let [mei] = &left[..] else {
        panic!("lin's session keys of all mini programs are forgotten: {left:?}")
    };
    assert!(
        !mei.contains(&here.openid) && !mei.contains(&there.openid),
        "{mei}"
    );
}
