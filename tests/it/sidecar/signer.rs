//! A key of the test's own, or an issuer's, and tokens by it: good by default.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::forge::{ForgeKey, merged};
use crate::support::prelude::*;

static TOKENS: AtomicU64 = AtomicU64::new(0);

#[derive(Clone)]
pub(super) struct Signer {
    pub(super) key: Arc<ForgeKey>,
    issuer: String,
}

impl Signer {
    pub(super) fn new() -> Self {
        Self::of(ISSUER)
    }

    pub(super) fn of(issuer: &str) -> Self {
        Self {
            key: Arc::new(ForgeKey::generate()),
            issuer: issuer.to_owned(),
        }
    }

    pub(super) fn of_file(path: &Path) -> Self {
        let set = serde_json::from_slice(&fs::read(path).expect("the key file")).expect("JSON");
        Self {
            key: Arc::new(ForgeKey::of_file(&set)),
            issuer: ISSUER.to_owned(),
        }
    }

    pub(super) fn set(&self) -> Value {
        json!({"keys": [self.key.jwk]})
    }

    pub(super) fn header(&self) -> Value {
        json!({"alg": "ES256", "typ": "at+jwt", "kid": self.key.kid})
    }

    /// The claims are those of a token of its own each time.
    pub(super) fn claims(&self) -> Value {
        let (now, number) = (
            wxmint::clock::now().timestamp(),
            TOKENS.fetch_add(1, Ordering::Relaxed),
        );
        json!({
            "iss": self.issuer, "sub": "lin", "aud": ISSUER, "client_id": APPID, "iat": now, "exp": now + 3600,
            "jti": format!("token-{number}"),
        })
    }

    pub(super) fn token(&self) -> String {
        self.token_with(json!({}))
    }

    /// The same with other claims; `null` removes one.
    pub(super) fn token_with(&self, claims: Value) -> String {
        self.key.token(
            &self.header().to_string(),
            &merged(&self.claims(), claims).to_string(),
        )
    }

    pub(super) fn token_under(&self, header: Value) -> String {
        self.key.token(
            &merged(&self.header(), header).to_string(),
            &self.claims().to_string(),
        )
    }
}
