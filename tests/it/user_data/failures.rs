//! The eighth failure within ten minutes drops the session key: counted for a person, over all replicas, and exactly.

use futures_util::future::join_all;
use serde_json::Value;

use super::{NUMBER, Replicas, Session, data_of, expect_undecryptable, sealing::sealed_phone};
use crate::support::{PATIENCE, until};

pub(super) const FOREIGN_KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";

impl Replicas {
    async fn fail(&self, replica: usize, session: &Session) {
        expect_undecryptable(self.decrypt(replica, session, &sealed_phone(FOREIGN_KEY, NUMBER)).await);
    }

    async fn opens_now(&self, session: &Session) -> bool {
        let answer = self.decrypt(0, session, &sealed_phone(&session.key, NUMBER)).await;
        match answer.status {
            200 => data_of(&answer)["phoneNumber"] == NUMBER,
            _ => expect_undecryptable(answer).status == 200,
        }
    }

    /// How often a service has said that it dropped a session key.
    fn drops(&self) -> usize {
        let events = self.0.services.iter().flat_map(|service| service.events());
        let dropped = |event: &Value| {
            event["message"].as_str().is_some_and(|message| message.starts_with("a session key was dropped"))
        };
        events.filter(dropped).count()
    }
}

#[tokio::test]
async fn the_eighth_failure_at_whatever_replica_drops_the_session_key_and_a_login_brings_another() {
    let replicas = Replicas::start().await;
    let (before, mei) = (replicas.log_in("lin").await, replicas.log_in("mei").await);
    let lin = replicas.log_in("lin").await;
    for number in 0..7 {
        replicas.fail(number % 2, &lin).await;
        assert!(replicas.opens_now(&lin).await, "what opens is not counted, and takes nothing back");
    }
    assert_eq!(replicas.kept(&lin).len(), 2);
    replicas.fail(1, &lin).await;
    assert!(replicas.kept(&lin).is_empty(), "both keys are gone");
    assert!(!replicas.opens_now(&lin).await && !replicas.opens_now(&before).await);
    until("it is told", PATIENCE, async || replicas.drops() == 1).await;
    assert!(replicas.opens_now(&mei).await, "nobody else is affected");

    let again = replicas.log_in("lin").await;
    assert_eq!(again.user, lin.user);
    assert!(replicas.opens_now(&again).await);
    for number in 0..7 {
        replicas.fail(number % 2, &again).await;
    }
    assert!(replicas.opens_now(&again).await, "counted from the start");
}

/// Redis tells how many have failed: its scripts add to a number for each, and for nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_at_once_at_two_replicas_exactly_eight_are_tried() {
    let replicas = Replicas::start().await;
    for round in 0..3 {
        let lin = replicas.log_in(&format!("lin-{round}")).await;
        replicas.0.redis.command::<()>(&["CONFIG", "RESETSTAT"]);
        let sealed: Vec<_> = (0..50).map(|_| sealed_phone(FOREIGN_KEY, NUMBER)).collect();
        let tries = sealed.iter().enumerate().map(|(number, sealed)| replicas.decrypt(number % 2, &lin, sealed));
        let (busy, refused): (Vec<_>, Vec<_>) = join_all(tries).await.into_iter().partition(|it| it.status == 429);
        for answer in busy {
            answer.expect_problem(429, "rate_limited");
        }
        let let_through = refused.into_iter().map(expect_undecryptable).count() as u64;
        assert_eq!(replicas.0.redis.calls()["hincrby"], 8, "of {let_through} that were let through");
        assert!(replicas.kept(&lin).is_empty() && !replicas.opens_now(&lin).await);
        assert!(replicas.opens_now(&replicas.log_in(&format!("lin-{round}")).await).await);
    }
    until("each drop is told once", PATIENCE, async || replicas.drops() == 3).await;
}
