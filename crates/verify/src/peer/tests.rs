//! Tests a peer with an issuer on the loopback address, whose keys and pages the test chooses.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Mutex, MutexGuard};
use std::thread;

use chrono::TimeDelta;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::schedule::STRANGER_INTERVAL;
use super::*;
use crate::revocations::{PAGE_TYP, RevocationHash};
use crate::verifier::tests::{Forge, ISSUER, policy, with};
use crate::{Algorithm, PublicKeySet};

const MAX_AGE: Duration = Duration::from_mins(10);
/// The limit for work that takes milliseconds.
const PATIENCE: Duration = Duration::from_mins(1);

struct Issuer {
    forge: Forge,
    jwks_url: Url,
    published: Arc<Mutex<Published>>,
}

#[derive(Default)]
struct Published {
    jwks: String,
    page: Option<String>,
    /// How often keys and pages were requested.
    asked: [usize; 2],
}

impl Issuer {
    /// Starts an issuer with a feed of one page that has these revocations, or without a feed.
    fn start(revoked: Option<Value>) -> Self {
        let forge = Forge::of(Algorithm::Es256);
        let published = Published {
            jwks: jwks(&[&forge]),
            page: revoked.map(|revoked| page(&forge, revoked)),
            asked: [0; 2],
        };
        let published = Arc::new(Mutex::new(published));
        let says = Arc::clone(&published);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let jwks_url = format!(
            "http://{}/jwks",
            listener.local_addr().expect("its address")
        );
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let head = BufReader::new(&client)
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty());
                let is_for_keys = head
                    .collect::<Vec<_>>()
                    .first()
                    .is_some_and(|line| line.starts_with("GET /jwks"));
                let mut says = says.lock().expect("no panic");
                says.asked[usize::from(!is_for_keys)] += 1;
                let (status, body) = match &says.page {
                    _ if is_for_keys => (200, &*says.jwks),
                    Some(page) => (200, &**page),
                    None => (404, ""),
                };
                let head = format!(
                    "HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                // This fails if the peer is gone.
                let _ = client.write_all((head + body).as_bytes());
            }
        });
        Self {
            forge,
            jwks_url: jwks_url.parse().expect("a URL"),
            published,
        }
    }

    fn token(&self) -> String {
        token(&self.forge)
    }

    fn published(&self) -> MutexGuard<'_, Published> {
        self.published.lock().expect("no panic")
    }

    /// A peer that polls the feed all the time.
    async fn eager_peer(&self) -> Peer {
        self.eager_peer_with(()).await
    }

    async fn eager_peer_with(&self, watcher: impl Watcher + 'static) -> Peer {
        let every = Duration::from_millis(50);
        let eager = Revocations {
            every,
            ..Revocations::beside(&self.jwks_url)
        };
        self.watched(|trusted| trusted.revocations = Some(eager), watcher)
            .await
    }

    async fn peer(&self, change: impl FnOnce(&mut TrustedIssuer)) -> Peer {
        self.watched(change, ()).await
    }

    async fn watched(
        &self,
        change: impl FnOnce(&mut TrustedIssuer),
        watcher: impl Watcher + 'static,
    ) -> Peer {
        let mut trusted = TrustedIssuer::at(self.jwks_url.clone(), policy());
        change(&mut trusted);
        let peer = Peer::watched(vec![trusted], Arc::new(watcher)).expect("a peer");
        timeout(PATIENCE, peer.has_keys()).await.expect("keys");
        peer
    }

    /// Waits until keys and pages were requested so often.
    async fn until_asked(&self, keys: usize, pages: usize) {
        let asked = async {
            loop {
                let asked = self.published().asked;
                if asked[0] >= keys && asked[1] >= pages {
                    return;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, asked).await.expect("asked");
    }
}

fn jwks(signers: &[&Forge]) -> String {
    serde_json::to_string(
        &signers
            .iter()
            .flat_map(|signer| &signer.keys.keys)
            .collect::<PublicKeySet>(),
    )
    .expect("JSON")
}

fn page(signer: &Forge, revoked: Value) -> String {
    let iat = now().timestamp();
    let page = json!({
        "iss": ISSUER, "iat": iat, "exp": iat + 300, "after": "", "cursor": "", "more": false,
        "revoked": revoked,
    });
    signer.sign(
        &with(&signer.header, "typ", PAGE_TYP).to_string(),
        &page.to_string(),
    )
}

fn token(signer: &Forge) -> String {
    let iat = now().timestamp();
    let claims = with(&with(&signer.claims, "iat", iat), "exp", iat + 86_400);
    signer.sign(&signer.header.to_string(), &claims.to_string())
}

#[tokio::test]
async fn keys_are_believed_as_long_as_the_setting_says_after_they_were_confirmed() {
    let issuer = Issuer::start(None);
    let (token, before) = (issuer.token(), now());
    let peer = issuer
        .peer(|trusted| (trusted.keys_max_age, trusted.revocations) = (MAX_AGE, None))
        .await;
    let (_, proof) = peer.prove(&token, before + MAX_AGE).await.expect("valid");
    let too_late = now() + MAX_AGE + TimeDelta::milliseconds(1);
    assert_eq!(
        peer.verify(&token, too_late).await.err(),
        Some(NotVerified::StaleKeys)
    );
    assert_eq!(
        (
            peer.holds(&proof, before + MAX_AGE),
            peer.holds(&proof, too_late)
        ),
        (true, false)
    );
    let long_before = before - MAX_AGE - TimeDelta::seconds(1);
    assert!(
        !peer.holds(&proof, long_before),
        "the clock was ahead when they were confirmed"
    );
}

#[tokio::test]
async fn a_proof_holds_for_one_edition_of_the_keys() {
    let issuer = Issuer::start(None);
    let peer = issuer.peer(|trusted| trusted.revocations = None).await;
    let (_, proof) = peer.prove(&issuer.token(), now()).await.expect("valid");
    assert!(
        peer.holds(&proof, now())
            && !peer.holds(
                &Proof {
                    edition: proof.edition + 1,
                    ..proof
                },
                now()
            )
    );
}

#[tokio::test]
async fn while_the_ends_are_unknown_or_too_old_a_closed_peer_accepts_nothing_and_an_open_one_what_has_no_end()
 {
    let user_is_revoked = json!([[
        "sub",
        RevocationHash::of(ISSUER, "user-1"),
        now().timestamp() + 60,
        now().timestamp() + 3600
    ]]);
    let (stale, revoked) = (
        Some(NotVerified::StaleRevocations),
        Some(NotVerified::Refused(Refused::Revoked)),
    );
    for (feed, closed_now, closed_later, open) in [
        (None, stale, stale, None),
        (Some(json!([])), None, stale, None),
        (Some(user_is_revoked), revoked, revoked, revoked),
    ] {
        let issuer = Issuer::start(feed.clone());
        for (when_stale, at_once, later) in [
            (WhenStale::Closed, closed_now, closed_later),
            (WhenStale::Open, open, open),
        ] {
            // A peer that is `WhenStale::Open` waits no longer than this for a feed.
            let max_age = if feed.is_some() {
                MAX_AGE
            } else {
                Duration::from_secs(1)
            };
            let revocations = Revocations {
                max_age,
                when_stale,
                ..Revocations::beside(&issuer.jwks_url)
            };
            let peer = issuer
                .peer(|trusted| trusted.revocations = Some(revocations))
                .await;
            if feed.is_some() {
                timeout(PATIENCE, peer.is_ready()).await.expect("ready");
            }
            let token = issuer.token();
            let waits = async || {
                peer.verify(&token, now()).await.err() == Some(NotVerified::StaleRevocations)
            };
            let asked = async {
                while when_stale == WhenStale::Open && waits().await {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, asked).await.expect("waited for");
            for (at, refused) in [
                (now(), at_once),
                (now() + MAX_AGE + TimeDelta::seconds(1), later),
            ] {
                assert_eq!(
                    peer.verify(&token, at).await.err(),
                    refused,
                    "{feed:?} {when_stale:?} {at}"
                );
            }
        }
    }
}

/// The keys have just been fetched, so that a token with an unknown key causes no fetch for 10 s.
#[tokio::test]
async fn a_page_of_a_key_that_was_not_published_before_is_believed_though_a_stranger_had_keys_fetched_just_now()
 {
    let (issuer, next) = (Issuer::start(Some(json!([]))), Forge::of(Algorithm::Es256));
    let peer = issuer.eager_peer().await;
    timeout(PATIENCE, peer.is_ready()).await.expect("ready");
    let valid = issuer.token();
    assert_eq!(peer.verify(&valid, now()).await.err(), None);
    let unknown = Some(NotVerified::Refused(Refused::UnknownKey));
    assert_eq!(peer.verify(&token(&next), now()).await.err(), unknown);
    let revocation = page(
        &next,
        json!([["kid", issuer.forge.header["kid"], now().timestamp() + 3600]]),
    );
    let both = jwks(&[&issuer.forge, &next]);
    *issuer.published() = Published {
        jwks: both,
        page: Some(revocation),
        asked: [0; 2],
    };
    let revoked = async {
        while peer.verify(&valid, now()).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(STRANGER_INTERVAL / 2, revoked)
        .await
        .expect("revoked soon");
    assert_eq!(
        peer.verify(&valid, now()).await.err(),
        Some(NotVerified::Refused(Refused::Revoked))
    );
    assert_eq!(issuer.published().asked[0], 1, "one fetch of the keys");
}

#[tokio::test]
async fn pages_of_a_key_that_stays_unknown_cost_one_fetch_of_keys_each() {
    let (issuer, foreign) = (Issuer::start(Some(json!([]))), Forge::of(Algorithm::Es256));
    let _peer = issuer.eager_peer().await;
    issuer.published().page = Some(page(&foreign, json!([])));
    let several = async {
        while issuer.published().asked[0] < 5 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(STRANGER_INTERVAL / 2, several)
        .await
        .expect("fetched again and again");
    let [keys, pages] = issuer.published().asked;
    assert!(
        keys <= pages + 1,
        "{keys} fetches of keys, the first among them, for {pages} pages"
    );
}

/// Keeps the reasons of the pages that were refused.
#[derive(Clone, Default)]
struct Refusals(Arc<Mutex<Vec<&'static str>>>);

impl Watcher for Refusals {
    fn fetched(&self, _: &str, _: FetchOutcome) {}

    fn page_refused(&self, _: &str, reason: &'static str) {
        self.0.lock().expect("no panic").push(reason);
    }
}

/// An alert on the rate of refused pages lasts as long as the outage.
#[tokio::test]
async fn each_refused_page_of_an_outage_is_counted_and_not_the_first_alone() {
    let (issuer, refusals) = (Issuer::start(None), Refusals::default());
    let _peer = issuer.eager_peer_with(refusals.clone()).await;
    // The fourth request comes after three answers were judged.
    issuer.until_asked(0, 4).await;
    let counted = refusals.0.lock().expect("no panic").clone();
    assert!(counted.len() >= 3, "{counted:?}");
}

/// A sidecar does not check the signature of a token again while the token's proof holds.
#[tokio::test]
async fn a_proof_ends_when_the_issuer_withdraws_its_key_and_publishes_no_other() {
    let (issuer, withdrawn) = (Issuer::start(Some(json!([]))), Forge::of(Algorithm::Es256));
    issuer.published().jwks = jwks(&[&issuer.forge, &withdrawn]);
    let peer = issuer.eager_peer().await;
    timeout(PATIENCE, peer.is_ready()).await.expect("ready");
    let (_, proof) = peer.prove(&token(&withdrawn), now()).await.expect("valid");
    assert!(peer.holds(&proof, now()));
    // The keys are fetched again because of a page that an unknown key has signed.
    let of_unknown_key = page(&Forge::of(Algorithm::Es256), json!([]));
    let left = jwks(&[&issuer.forge]);
    *issuer.published() = Published {
        jwks: left,
        page: Some(of_unknown_key),
        asked: [0; 2],
    };
    // Before the second request, the answer to the first is in use.
    issuer.until_asked(2, 0).await;
    assert!(!peer.holds(&proof, now()));
    assert_eq!(peer.verify(&issuer.token(), now()).await.err(), None);
}
