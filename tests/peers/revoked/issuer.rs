//! An issuer of the test's own: it signs tokens, publishes its keys, and serves a feed of ends that can misbehave.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wxmint::clock::now;

use super::forge::{ForgeKey, merged};
use crate::support::{Answering, Call, PATIENCE, Step, answer, locked, until};

/// So that five revocations are more than one page.
const PAGE: usize = 2;
const LONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
/// For so many seconds after it was made a revocation is needed.
const NEEDED: i64 = 90_000;
pub(super) const PERSON_APP: &str = "wx0000000000000001";
pub(super) const OTHER_APP: &str = "wx0000000000000002";

pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: Answering,
}

struct Shared {
    url: String,
    /// The third is not in the JWKS before the first was retired.
    keys: [ForgeKey; 3],
    /// Not in the JWKS.
    foreign: ForgeKey,
    feed: Mutex<Feed>,
}

struct Feed {
    revocations: Vec<Value>,
    /// Another after cursors were lost.
    epoch: u32,
    /// Whether the first key is gone, and the third signs.
    retired: bool,
    /// Whether the JWKS is there.
    publishes: bool,
    manner: Manner,
    /// How often it was asked for anything before it got its manner.
    asked_before: usize,
}

/// The header and the claims of a good page, which also revokes the tokens of a user.
type Spoil = dyn Fn(&Signers, Value, Value) -> Vec<u8> + Send + Sync;

/// The signers of a spoiled page.
pub(super) struct Signers<'a> {
    pub(super) key: &'a ForgeKey,
    /// In the JWKS, and revoked once [`Issuer::revoke_second_key`] was called.
    pub(super) second: &'a ForgeKey,
    pub(super) foreign: &'a ForgeKey,
}

#[derive(Clone)]
pub(super) enum Manner {
    Good,
    /// The connection ends without an answer.
    Gone,
    /// A whole answer.
    Says(Arc<Spoil>),
    /// A byte of the body now and then, for ever.
    Drips,
    /// The beginning of a body, and no more.
    Stalls,
    /// A byte of the head now and then, for ever.
    DripsHead,
}

/// The key of the issuer's that signs.
#[derive(Clone, Copy)]
pub(super) enum By {
    First,
    Second,
    Third,
}

impl Manner {
    pub(super) fn says(
        spoil: impl Fn(&Signers<'_>, Value, Value) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::Says(Arc::new(spoil))
    }

    /// A page with these claims in place of its own.
    pub(super) fn page_with(members: Value) -> Self {
        Self::says(move |signers, header, claims| {
            signers.key.page(&header, &merged(&claims, members.clone()))
        })
    }

    /// A page that revokes the key by which it is signed.
    pub(super) fn of_its_own_revocation() -> Self {
        Self::says(|signers, header, mut claims| {
            claims["revoked"].as_array_mut().expect("ends").push(json!([
                "kid",
                signers.key.kid,
                needed_until()
            ]));
            signers.key.page(&header, &claims)
        })
    }

    /// A body that is no page.
    pub(super) fn body(status: &'static str, body: &[u8]) -> Self {
        let body = body.to_vec();
        Self::says(move |_, _, _| answer(status, "", &body))
    }
}

impl Issuer {
    pub(super) async fn start() -> Self {
        let server = Answering::start();
        let feed = Feed {
            revocations: Vec::new(),
            epoch: 0,
            retired: false,
            publishes: true,
            manner: Manner::Gone,
            asked_before: 0,
        };
        let shared = Arc::new(Shared {
            url: server.url(""),
            keys: [(); 3].map(|()| ForgeKey::generate()),
            foreign: ForgeKey::generate(),
            feed: Mutex::new(feed),
        });
        let answers = Arc::clone(&shared);
        server.otherwise(crate::support::Manner::of(move |call| {
            answers.answer(&call.path)
        }));
        Self {
            address: server.address,
            shared,
            server,
        }
    }

    /// A good token of this person, but for the members that are replaced.
    pub(super) fn token(&self, by: By, members: Value) -> String {
        let key = &self.shared.keys[by as usize];
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": key.kid});
        key.token(&header.to_string(), &self.claims(members).to_string())
    }

    /// A page of the feed with the claims of a good token besides its own.
    pub(super) fn page_like_a_token(&self, members: Value) -> String {
        let key = &self.shared.keys[0];
        let (header, page) = self.shared.page("");
        key.token(
            &header.to_string(),
            &merged(&page, self.claims(members)).to_string(),
        )
    }

    fn claims(&self, members: Value) -> Value {
        let (url, now) = (&self.shared.url, now().timestamp());
        let jti = URL_SAFE_NO_PAD.encode(rand_bytes());
        let claims = json!({
            "iss": url, "aud": url, "client_id": PERSON_APP, "iat": now, "exp": now + 3600, "jti": jti,
        });
        merged(&claims, members)
    }

    pub(super) fn revoke_user(&self, user: &str, before: i64) {
        self.revoke(json!([
            "sub",
            self.shared.hash(user),
            before,
            needed_until()
        ]));
    }

    pub(super) fn revoke_in_app(&self, user: &str, app: &str, before: i64) {
        self.revoke(json!([
            "app",
            self.shared.hash(&format!("{user}\0{app}")),
            before,
            needed_until()
        ]));
    }

    pub(super) fn revoke_token(&self, jti: &str, expiry: i64) {
        self.revoke(json!(["jti", self.shared.hash(jti), expiry]));
    }

    /// As `wxmint keys retire --now` does it: the key that signs then was not published before.
    pub(super) fn retires_first_key(&self) {
        self.revoke(json!(["kid", self.shared.keys[0].kid, needed_until()]));
        self.shared.feed().retired = true;
    }

    /// Confirms its keys, or does so no more.
    pub(super) fn publishes(&self, publishes: bool) {
        self.shared.feed().publishes = publishes;
    }

    pub(super) fn revoke_second_key(&self) {
        self.revoke(json!(["kid", self.shared.keys[1].kid, needed_until()]));
    }

    pub(super) fn revoke(&self, revocation: Value) {
        self.shared.feed().revocations.push(revocation);
    }

    pub(super) fn hash(&self, value: &str) -> String {
        self.shared.hash(value)
    }

    /// Cursors that were given out mean nothing any more.
    pub(super) fn loses_cursors(&self) {
        self.shared.feed().epoch += 1;
    }

    /// Returns when the example has asked since, and has dealt with that answer: it asks again only then.
    pub(super) async fn answers(&self, manner: Manner) {
        self.says(manner);
        until("the example asks for pages", PATIENCE, async || {
            self.requests().len() >= 3
        })
        .await;
    }

    pub(super) fn says(&self, manner: Manner) {
        let mut feed = self.shared.feed();
        (feed.manner, feed.asked_before) = (manner, self.server.calls().len());
    }

    /// Bytes of the longest answer since the manner was set.
    pub(super) fn sent(&self) -> usize {
        self.requests()
            .iter()
            .map(Call::sent)
            .max()
            .unwrap_or_default()
    }

    /// The requests for a page since the manner was set, answered or not.
    pub(super) fn requests(&self) -> Vec<Call> {
        self.requests_for("/revocations")
    }

    pub(super) fn requests_for(&self, path: &str) -> Vec<Call> {
        let mut requests = self
            .server
            .calls()
            .split_off(self.shared.feed().asked_before);
        requests.retain(|request| request.path.starts_with(path));
        requests
    }
}

impl Shared {
    fn feed(&self) -> MutexGuard<'_, Feed> {
        locked(&self.feed)
    }

    fn hash(&self, value: &str) -> String {
        let digest = digest::digest(&digest::SHA256, format!("{}\0{value}", self.url).as_bytes());
        URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
    }

    fn page(&self, cursor: &str) -> (Value, Value) {
        let feed = self.feed();
        let known = cursor
            .strip_prefix(&format!("{}-", feed.epoch))
            .and_then(|index| index.parse().ok());
        let first: usize = known.unwrap_or(0);
        let last = feed.revocations.len().min(first + PAGE);
        let now = now().timestamp();
        let page = json!({
            "iss": self.url,
            "iat": now,
            "exp": now + 300,
            "after": if known.is_some() { cursor } else { "" },
            "cursor": format!("{}-{last}", feed.epoch),
            "more": last < feed.revocations.len(),
            "revoked": feed.revocations[first..last],
            "of_a_newer_issuer": {"what": ["ever"]},
        });
        let kid = &self.keys[if feed.retired { 2 } else { 0 }].kid;
        (
            json!({"alg": "ES256", "typ": "revocations+jwt", "kid": kid}),
            page,
        )
    }

    fn signs(&self) -> &ForgeKey {
        &self.keys[if self.feed().retired { 2 } else { 0 }]
    }

    /// Whoever believes a page with it revokes the tokens of somebody who has done nothing.
    fn revocation_of_mei(&self) -> Value {
        json!([[
            "sub",
            self.hash("mei"),
            now().timestamp() + 1000,
            needed_until()
        ]])
    }

    fn answer(&self, target: &str) -> Vec<Step> {
        let sends = |answer: Vec<u8>| vec![Step::Send(answer)];
        if target == "/.well-known/jwks.json" && !self.feed().publishes {
            return sends(answer("503 Service Unavailable", "", b""));
        }
        if target == "/.well-known/jwks.json" {
            let first = usize::from(self.feed().retired);
            let keys = json!({"keys": [self.keys[first].jwk, self.keys[first + 1].jwk]});
            return sends(answer(
                "200 OK",
                "Content-Type: application/jwk-set+json\r\n",
                keys.to_string().as_bytes(),
            ));
        }
        if target == "/elsewhere" {
            let (header, mut claims) = self.page("");
            claims["revoked"] = self.revocation_of_mei();
            return sends(self.keys[0].page(&header, &claims));
        }
        let Some(query) = target.strip_prefix("/revocations") else {
            return sends(answer("404 Not Found", "", b""));
        };
        let (header, mut claims) = self.page(query.strip_prefix("?after=").unwrap_or(""));
        let manner = self.feed().manner.clone();
        match manner {
            Manner::Good => sends(self.signs().page(&header, &claims)),
            Manner::Gone => Vec::new(),
            Manner::Says(spoil) => {
                claims["revoked"] = self.revocation_of_mei();
                let signers = Signers {
                    key: &self.keys[0],
                    second: &self.keys[1],
                    foreign: &self.foreign,
                };
                sends(spoil(&signers, header, claims))
            }
            Manner::Drips => drips(LONG),
            Manner::Stalls => vec![Step::Send([LONG, b"eyJ"].concat()), Step::Stall],
            Manner::DripsHead => drips(b"HTTP/1.1 200 OK\r\nX-Head: "),
        }
    }
}

fn needed_until() -> i64 {
    now().timestamp() + NEEDED
}

impl ForgeKey {
    /// An answer with a page of this header and these claims.
    pub(super) fn page(&self, header: &Value, claims: &Value) -> Vec<u8> {
        page(&self.token(&header.to_string(), &claims.to_string()))
    }
}

/// An answer with this page.
pub(super) fn page(token: &str) -> Vec<u8> {
    answer(
        "200 OK",
        "Content-Type: application/revocations+jwt\r\n",
        token.as_bytes(),
    )
}

/// A byte now and then after this, for ever.
fn drips(begins: &[u8]) -> Vec<Step> {
    vec![
        Step::Send(begins.to_vec()),
        Step::Repeat(b"e".to_vec(), Duration::from_millis(20)),
    ]
}

fn rand_bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("random bytes");
    bytes
}
