//! A stand-in of an issuer: its JWKS, and its feed of ends, which says what a test tells it to.

use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Signer, forge::merged, signer::now};
use crate::support::{ISSUER, JwksServer, SidecarSettings, Step, answer, locked};

/// `H(value)`, by the words of the design.
pub(super) fn hash(value: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{ISSUER}\0{value}").as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}

pub(super) struct FeedServer {
    shared: Arc<Mutex<Feed>>,
    server: JwksServer,
}

pub(super) struct Feed {
    /// Who signs pages.
    signer: Signer,
    jwks: Value,
    /// All ends, the oldest first. A cursor is their number so far.
    ended: Vec<Value>,
    /// How many ends a page may have.
    page: usize,
    /// Claims of each page that replace the right ones.
    pub(super) claims: Value,
    /// An answer in place of a page: its status and its body.
    pub(super) instead: Option<(u16, Vec<u8>)>,
    /// The cursors that were asked with.
    pub(super) asked: Vec<String>,
}

impl FeedServer {
    /// Of an issuer with this key; nothing has ended.
    pub(super) async fn of(signer: &Signer) -> Self {
        let server = JwksServer::start().await;
        let feed = Feed {
            signer: signer.twin(),
            jwks: signer.set(),
            ended: Vec::new(),
            page: 10_000,
            claims: json!({}),
            instead: None,
            asked: Vec::new(),
        };
        let shared = Arc::new(Mutex::new(feed));
        let answers = Arc::clone(&shared);
        server.otherwise(move |target| locked(&answers).answer(target.split_once("?after=").unwrap_or((target, ""))));
        Self { shared, server }
    }

    /// A sidecar that follows it.
    pub(super) fn settings(&self) -> SidecarSettings {
        SidecarSettings::new(&self.server.url("/jwks")).without("WXMINT_REVOCATIONS_URL")
    }

    pub(super) fn feed(&self) -> MutexGuard<'_, Feed> {
        locked(&self.shared)
    }
}

impl Feed {
    pub(super) fn end(&mut self, ended: impl IntoIterator<Item = Value>) {
        self.ended.extend(ended);
    }

    /// From now on another key signs; the previous ones stay in the set.
    pub(super) fn rotate_to(&mut self, signer: &Signer) {
        let keys = self.jwks["keys"].as_array_mut().expect("keys");
        if !keys.contains(&signer.key.jwk) {
            keys.push(signer.key.jwk.clone());
        }
        self.signer = signer.twin();
    }

    pub(super) fn pages_of(&mut self, ends: usize) {
        self.page = ends;
    }

    /// A page as it is asked for.
    pub(super) fn page(&self, after: &str) -> String {
        let begin = after.parse().ok().filter(|&begin| begin <= self.ended.len());
        let (after, begin) = (begin.map_or("", |_| after), begin.unwrap_or(0));
        let end = self.ended.len().min(begin + self.page);
        let claims = json!({
            "iss": ISSUER, "iat": now(), "exp": now() + 300, "after": after, "cursor": end.to_string(),
            "more": end < self.ended.len(), "keep": 86_460, "ended": self.ended[begin..end],
        });
        let header = merged(&self.signer.header(), json!({"typ": "revocations+jwt"}));
        self.signer.key.token(&header.to_string(), &merged(&claims, self.claims.clone()).to_string())
    }

    fn answer(&mut self, (path, after): (&str, &str)) -> Vec<Step> {
        let (status, body) = match (path, self.instead.clone()) {
            ("/jwks", _) => (200, self.jwks.to_string().into_bytes()),
            ("/revocations", Some(instead)) => instead,
            ("/revocations", None) => (200, self.page(after).into_bytes()),
            _ => (404, Vec::new()),
        };
        if path == "/revocations" {
            self.asked.push(after.to_owned());
        }
        vec![Step::Send(answer(&format!("{status} As told"), "", &body))]
    }
}
