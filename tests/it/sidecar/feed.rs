//! A stand-in of an issuer: its JWKS, and its feed of ends, which says what a test tells it to.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_lc_rs::digest;
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{Response, Uri},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use super::{Signer, forge::merged, signer::now};
use crate::support::{ISSUER, SidecarSettings};

/// `H(value)`, by the words of the design.
pub(super) fn hash(value: &str) -> String {
    let digest = digest::digest(&digest::SHA256, format!("{ISSUER}\0{value}").as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..12])
}

pub(super) struct FeedServer {
    address: SocketAddr,
    shared: Arc<Mutex<Feed>>,
    server: JoinHandle<()>,
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
    /// Pages that were signed already, by the cursor that they follow.
    signed: HashMap<String, String>,
    /// The cursors that were asked with.
    pub(super) asked: Vec<String>,
}

impl FeedServer {
    /// Of an issuer with this key; nothing has ended.
    pub(super) async fn of(signer: &Signer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let feed = Feed {
            signer: signer.twin(),
            jwks: signer.set(),
            ended: Vec::new(),
            page: 10_000,
            claims: json!({}),
            instead: None,
            signed: HashMap::new(),
            asked: Vec::new(),
        };
        let shared = Arc::new(Mutex::new(feed));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self { address, shared, server }
    }

    /// A sidecar that follows it.
    pub(super) fn settings(&self) -> SidecarSettings {
        SidecarSettings::new(&format!("http://{}/jwks", self.address)).without("WXMINT_REVOCATIONS_URL")
    }

    pub(super) fn feed(&self) -> MutexGuard<'_, Feed> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for FeedServer {
    fn drop(&mut self) {
        self.server.abort();
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

    /// Signs all pages now, so that what a test measures is the sidecar.
    pub(super) fn sign_ahead(&mut self) {
        let cursors = (0..self.ended.len()).step_by(self.page);
        let cursors = cursors.map(|begin| if begin == 0 { String::new() } else { begin.to_string() });
        self.signed = cursors.map(|cursor| (cursor.clone(), self.page(&cursor))).collect();
    }

    /// The next answer to this cursor comes from a cache, and is a second older than it could be.
    pub(super) fn cache(&mut self, after: &str) {
        let right = std::mem::replace(&mut self.claims, json!({"iat": now() - 1}));
        self.signed.insert(after.to_owned(), self.page(after));
        self.claims = right;
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
}

async fn answer(State(shared): State<Arc<Mutex<Feed>>>, uri: Uri) -> Response<Body> {
    let mut feed = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let after = uri.query().and_then(|query| query.strip_prefix("after=")).unwrap_or_default();
    let (status, body) = match (uri.path(), feed.instead.clone()) {
        ("/jwks", _) => (200, feed.jwks.to_string().into_bytes()),
        ("/revocations", Some(instead)) => instead,
        ("/revocations", None) => (200, feed.signed.remove(after).unwrap_or_else(|| feed.page(after)).into_bytes()),
        _ => (404, Vec::new()),
    };
    if uri.path() == "/revocations" {
        feed.asked.push(after.to_owned());
    }
    Response::builder().status(status).body(Body::from(body)).expect("an answer")
}
