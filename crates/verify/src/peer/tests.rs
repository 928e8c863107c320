//! A peer, and an issuer on loopback that publishes what the test says.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

use chrono::TimeDelta;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::*;
use crate::ends::{EndHash, PAGE_TYP};
use crate::verifier::tests::{Forge, ISSUER, policy, with};
use crate::{Algorithm, PublicKeySet};

const MAX_AGE: Duration = Duration::from_secs(600);
/// For what takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

struct Issuer {
    forge: Forge,
    jwks_url: Url,
}

impl Issuer {
    /// With a feed of one page that has these ends, or without a feed.
    fn start(ended: Option<Value>) -> Self {
        let forge = Forge::of(Algorithm::Es256);
        let jwks = serde_json::to_string(&PublicKeySet::from_iter(forge.keys.keys.iter())).expect("JSON");
        let iat = now().timestamp();
        let page = ended.map(|ended| {
            let page = json!({
                "iss": ISSUER, "iat": iat, "exp": iat + 300, "after": "", "cursor": "", "more": false, "keep": 86_460,
                "ended": ended,
            });
            forge.sign(&with(&forge.header, "typ", PAGE_TYP).to_string(), &page.to_string())
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let jwks_url = format!("http://{}/jwks", listener.local_addr().expect("its address"));
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let head = BufReader::new(&client).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let is_for_keys = head.collect::<Vec<_>>().first().is_some_and(|line| line.starts_with("GET /jwks"));
                let (status, body) = match &page {
                    _ if is_for_keys => (200, &*jwks),
                    Some(page) => (200, &**page),
                    None => (404, ""),
                };
                let head =
                    format!("HTTP/1.1 {status} -\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                // Fails if the peer is gone.
                let _ = client.write_all((head + body).as_bytes());
            }
        });
        Self { forge, jwks_url: jwks_url.parse().expect("a URL") }
    }

    fn token(&self) -> String {
        let iat = now().timestamp();
        let claims = with(&with(&self.forge.claims, "iat", iat), "exp", iat + 86_400);
        self.forge.sign(&self.forge.header.to_string(), &claims.to_string())
    }

    async fn peer(&self, change: impl FnOnce(&mut TrustedIssuer)) -> Peer {
        let mut trusted = TrustedIssuer::at(self.jwks_url.clone(), policy());
        change(&mut trusted);
        let peer = Peer::start(vec![trusted]).expect("a peer");
        timeout(PATIENCE, peer.has_keys()).await.expect("keys");
        peer
    }
}

#[tokio::test]
async fn keys_are_believed_as_long_as_the_setting_says_after_they_were_confirmed() {
    let issuer = Issuer::start(None);
    let (token, before) = (issuer.token(), now());
    let peer = issuer.peer(|trusted| (trusted.keys_max_age, trusted.revocations) = (MAX_AGE, None)).await;
    let (_, proof) = peer.prove(&token, before + MAX_AGE).await.expect("valid");
    let too_late = now() + MAX_AGE + TimeDelta::milliseconds(1);
    assert_eq!(peer.verify(&token, too_late).await.err(), Some(NotVerified::StaleKeys));
    assert_eq!((peer.holds(&proof, before + MAX_AGE), peer.holds(&proof, too_late)), (true, false));
}

#[tokio::test]
async fn a_proof_holds_for_one_edition_of_the_keys() {
    let issuer = Issuer::start(None);
    let peer = issuer.peer(|trusted| trusted.revocations = None).await;
    let (_, proof) = peer.prove(&issuer.token(), now()).await.expect("valid");
    assert!(peer.holds(&proof, now()) && !peer.holds(&Proof { edition: proof.edition + 1, ..proof }, now()));
}

#[tokio::test]
async fn while_the_ends_are_unknown_or_too_old_a_closed_peer_accepts_nothing_and_an_open_one_what_has_no_end() {
    let user_is_ended = json!([["sub", EndHash::of(ISSUER, "user-1"), now().timestamp() + 60]]);
    let (stale, ended) = (Some(NotVerified::StaleEnds), Some(NotVerified::Refused(Refused::Ended)));
    for (feed, closed_now, closed_later, open) in
        [(None, stale, stale, None), (Some(json!([])), None, stale, None), (Some(user_is_ended), ended, ended, ended)]
    {
        let issuer = Issuer::start(feed.clone());
        for (when_stale, at_once, later) in
            [(WhenStale::Closed, closed_now, closed_later), (WhenStale::Open, open, open)]
        {
            let revocations = Revocations { max_age: MAX_AGE, when_stale, ..Revocations::beside(&issuer.jwks_url) };
            let peer = issuer.peer(|trusted| trusted.revocations = Some(revocations)).await;
            if feed.is_some() {
                timeout(PATIENCE, peer.is_ready()).await.expect("ready");
            }
            let token = issuer.token();
            let unasked = async || peer.verify(&token, now()).await.err() == Some(NotVerified::StaleEnds);
            let asked = async {
                while when_stale == WhenStale::Open && unasked().await {
                    tokio::task::yield_now().await;
                }
            };
            timeout(PATIENCE, asked).await.expect("asked for once");
            for (at, refused) in [(now(), at_once), (now() + MAX_AGE + TimeDelta::seconds(1), later)] {
                assert_eq!(peer.verify(&token, at).await.err(), refused, "{feed:?} {when_stale:?} {at}");
            }
        }
    }
}
