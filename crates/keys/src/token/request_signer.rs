//! Signs our requests to another service, so that the service knows the sender and that nobody has changed the request.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde_json::json;
use wxmint_verify::ids::TokenId;

use super::{MintError, SignedToken, minter::sign};
use crate::KeyRing;

/// The header's `typ`, which no verifier of access tokens accepts (RFC 8725 section 3.11).
const TYP: &str = "wxmint-request+jwt";
/// The life of a request's token, from `iat` to `exp`: longer than a request takes, or honest clocks differ.
const LIFE: Duration = Duration::from_secs(60);

/// Signs the requests of one issuer to one service with the current signing key.
pub struct RequestSigner {
    issuer: String,
    audience: String,
    keys: Arc<KeyRing>,
}

impl RequestSigner {
    /// `audience` is the service's base URL.
    pub fn new(issuer: String, audience: String, keys: Arc<KeyRing>) -> Self {
        Self { issuer, audience, keys }
    }

    /// Signs the token for one request, for `Authorization: Bearer`. The method is in capital letters, and the URL has
    /// no query and no fragment. If the request is sent again, it needs another `id`.
    pub fn sign(
        &self,
        method: &str,
        url: &str,
        body: &[u8],
        id: &TokenId,
        now: DateTime<Utc>,
    ) -> Result<SignedToken, MintError> {
        let iat = now.timestamp();
        // `htm` and `htu` are those of DPoP (RFC 9449 section 4.2).
        let claims = json!({
            "iss": self.issuer,
            "aud": self.audience,
            "iat": iat,
            "exp": iat + LIFE.as_secs() as i64,
            "jti": id,
            "htm": method,
            "htu": url,
            "body_sha256": URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, body)),
        });
        sign(&self.keys, TYP, &claims, now).map(SignedToken)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::Value;

    use super::*;
    use crate::{KeySet, PrivateJwk, StoredKeys};
    use wxmint_verify::Algorithm;

    const BASE: &str = "https://accounts.example.com/wxmint";
    const URL: &str = "https://accounts.example.com/wxmint/users";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a date")
    }

    fn signed(algorithm: Algorithm) -> (KeySet, String) {
        let keys = StoredKeys::of([PrivateJwk::generate(algorithm, now()).expect("a key")]).check().expect("a set");
        let ring = KeyRing::new(keys.clone(), TimeDelta::minutes(30), now()).expect("a ring");
        let signer = RequestSigner::new("https://login.example.com".into(), BASE.into(), Arc::new(ring));
        let id = "jti-1".parse().expect("an id");
        let token = signer.sign("POST", URL, b"abc", &id, now()).expect("a token");
        (keys, token.expose().to_owned())
    }

    fn part(token: &str, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(token.split('.').nth(index).expect("three parts")).expect("base64url")
    }

    #[test]
    fn a_request_token_names_sender_receiver_request_time_and_body() {
        let (keys, token) = signed(Algorithm::Es256);
        let [header, claims] = [0, 1].map(|index| serde_json::from_slice::<Value>(&part(&token, index)).expect("JSON"));
        let kid = keys.iter().next().expect("a key").public().kid();
        assert_eq!(header, json!({"alg": "ES256", "typ": "wxmint-request+jwt", "kid": kid}));
        // The body's digest is FIPS 180-2's example B.1.
        let expected = json!({
            "iss": "https://login.example.com", "aud": BASE, "iat": 1_700_000_000, "exp": 1_700_000_060, "jti": "jti-1",
            "htm": "POST", "htu": URL, "body_sha256": "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0",
        });
        assert_eq!(claims, expected);
    }

    #[test]
    fn the_published_key_verifies_a_request_token_of_each_algorithm() {
        for algorithm in crate::SIGNED_WITH {
            let (keys, token) = signed(algorithm);
            let message = token.rsplit_once('.').expect("a signature").0;
            let key = keys.iter().next().expect("a key").public();
            assert!(key.verifies(message.as_bytes(), &part(&token, 2)), "{algorithm}");
        }
    }
}
