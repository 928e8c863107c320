//! Logins that race each other: the key whose exchange began last is the current one, whatever the order of arrival.

use std::time::Duration;

use super::{NUMBER, Replicas, Session, data_of, expect_undecryptable, sealing::sealed_phone};
use crate::support::{APPID, Breakable, PATIENCE, Service, TestBed, eventually};

const MINUTES_10: Duration = Duration::from_secs(600);

impl Replicas {
    /// Whether data under `key` opens, the same at both replicas.
    async fn opens(&self, session: &Session, key: &str) -> bool {
        let sealed = sealed_phone(key, NUMBER);
        let mut opened = Vec::new();
        for replica in 0..2 {
            let answer = self.decrypt(replica, session, &sealed).await;
            opened.push(answer.status == 200);
            match answer.status {
                200 => assert_eq!(data_of(&answer)["phoneNumber"], NUMBER),
                _ => drop(expect_undecryptable(answer)),
            }
        }
        assert_eq!(opened[0], opened[1], "two replicas, one truth");
        opened[0]
    }
}

/// The answer to the first login is held back until the second, at another replica, is done.
#[tokio::test]
async fn of_two_logins_whose_answers_arrive_in_the_wrong_order_the_later_key_is_the_current_one() {
    let bed = TestBed::start().await;
    let link = Breakable::before(bed.wechat.address).await;
    let mut replicas = Replicas(bed);
    replicas.0.configuration.set("WXMINT_WECHAT_URL", &link.url());
    let delayed = Service::start(&replicas.0.configuration, replicas.0.http.clone()).await;
    replicas.0.services.push(delayed);

    link.withhold_answers().await;
    let code = replicas.0.mint_code("lin").await;
    let (first, (earlier_key, later)) = tokio::join!(replicas.0.services[1].login(&code), async {
        let exchanged = async || Some(replicas.0.wechat.account("lin").await["session_key"].as_str()?.to_owned());
        let earlier_key = eventually("the first exchange", PATIENCE, exchanged).await;
        let later = replicas.log_in_at(0, "lin").await;
        link.restore().await;
        (earlier_key, later)
    });
    let first = replicas.session(APPID, "lin", &first).await;
    assert_eq!((&first.key, &first.user), (&later.key, &later.user), "WeChat gave no key since");
    assert_ne!(earlier_key, later.key);

    assert!(replicas.opens(&first, &earlier_key).await && replicas.opens(&first, &later.key).await);
    replicas.age(&first, MINUTES_10);
    assert!(!replicas.opens(&first, &earlier_key).await, "the earlier key was the previous one");
    assert!(replicas.opens(&first, &later.key).await);
}
