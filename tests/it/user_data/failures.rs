//! The eighth failure within ten minutes drops the session key: counted for a person, over all replicas, and exactly.

use super::{NUMBER, Replicas, Session, data_of, expect_undecryptable, sealing::sealed_phone};

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
    replicas.0.services[1].says("a session key was dropped").await;
    assert!(replicas.opens_now(&mei).await, "nobody else is affected");

    let again = replicas.log_in("lin").await;
    assert_eq!(again.user, lin.user);
    assert!(replicas.opens_now(&again).await);
}
