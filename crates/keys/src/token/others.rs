//! Signs objects that are not access tokens: security events, id tokens, logout tokens, pages of
//! the revocation feed, and tokens for our requests to another service. By the last, the service
//! knows the sender, and that nobody has changed the request. The `typ` of each object keeps it
//! apart from access tokens.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, SHA512, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use wxmint_ids::TokenId;
use wxmint_verify::revocations::{PAGE_TYP, RevocationsPage};
use wxmint_verify::{Algorithm, KeyError};

use super::minter::{RANDOM_LEN, sign};
use super::{Minter, SignedToken};
use crate::{KeySet, SigningKey, random, signing::encode, signing::is_gone};

/// The `typ` of a request's token. No verifier of access tokens accepts it (RFC 8725 section 3.11).
const TYP: &str = "wxmint-request+jwt";
/// The life of a request's token, from `iat` to `exp`. It is longer than a request takes, and
/// longer than the difference between correctly set clocks.
const LIFE: Duration = Duration::from_mins(1);

impl Minter {
    /// Signs a security event token (RFC 8417). Its `typ` keeps it apart from access tokens.
    pub fn sign_event(
        &self,
        claims: &impl Serialize,
        now: DateTime<Utc>,
    ) -> Result<String, KeyError> {
        sign(&self.keys, "secevent+jwt", claims, now)
    }

    /// Signs an id token of OpenID Connect that is issued together with this access token
    /// (`at_hash`: OpenID Connect Core section 3.1.3.6). It has neither the `jti` nor the
    /// `client_id` of an access token, so that no verifier takes it for one.
    pub fn sign_id(
        &self,
        mut claims: Value,
        access: &SignedToken,
        at: DateTime<Utc>,
    ) -> Result<SignedToken, KeyError> {
        let hash = match self.keys.set().signing(at)?.life.algorithm {
            Algorithm::Es256 | Algorithm::Rs256 => digest(&SHA256, access.expose().as_bytes()),
            Algorithm::EdDsa | Algorithm::Ed25519 => digest(&SHA512, access.expose().as_bytes()),
        };
        let half = &hash.as_ref()[..hash.as_ref().len() / 2];
        (claims["iss"], claims["at_hash"]) =
            (json!(self.issuer), json!(URL_SAFE_NO_PAD.encode(half)));
        sign(&self.keys, "JWT", &claims, at).map(SignedToken)
    }

    /// Signs a logout token (OpenID Connect Back-Channel Logout 1.0 section 2.4), which its `typ`
    /// keeps apart from access tokens and id tokens.
    pub fn sign_logout(&self, mut claims: Value, now: DateTime<Utc>) -> Result<String, KeyError> {
        claims["iss"] = json!(self.issuer);
        sign(&self.keys, "logout+jwt", &claims, now)
    }

    /// Signs a page of the revocation feed. If the signing key is revoked, for example because this
    /// process still has the old key file, a key that is not revoked signs, so that verifiers that
    /// reach only this process accept the page.
    pub fn sign_page(
        &self,
        page: &RevocationsPage,
        now: DateTime<Utc>,
    ) -> Result<String, KeyError> {
        Ok(encode(key_of_pages(&self.keys.set(), now)?, PAGE_TYP, page))
    }

    /// The `kid` of the key that signs pages now.
    pub fn kid_of_pages(&self, now: DateTime<Utc>) -> Result<String, KeyError> {
        Ok(key_of_pages(&self.keys.set(), now)?.life.kid.clone())
    }

    /// Signs the token for one request to the service of this base URL, for `Authorization:
    /// Bearer`. The method is in capital letters, and the URL has no query and no fragment. If the
    /// request is sent again, it needs another `id`.
    pub fn sign_request(
        &self,
        base: &str,
        (method, url): (&str, &str),
        body: &[u8],
        id: &TokenId,
        now: DateTime<Utc>,
    ) -> Result<SignedToken, KeyError> {
        let iat = now.timestamp();
        // `htm` and `htu` are those of DPoP (RFC 9449 section 4.2).
        let claims = json!({
            "iss": self.issuer, "aud": base, "iat": iat, "exp": iat + LIFE.as_secs() as i64, "jti": id,
            "htm": method, "htu": url, "body_sha256": URL_SAFE_NO_PAD.encode(digest(&SHA256, body)),
        });
        sign(&self.keys, TYP, &claims, now).map(SignedToken)
    }
}

fn key_of_pages(set: &KeySet, now: DateTime<Utc>) -> Result<&SigningKey, KeyError> {
    let mut visible = set.iter().filter(|key| !is_gone(&key.life, now));
    let signing = set.signing(now)?;
    let other = set
        .is_revoked(&signing.life.kid)
        .then(|| visible.find(|key| !set.is_revoked(&key.life.kid)));
    Ok(other.flatten().unwrap_or(signing))
}

/// The `jti` of a new token: 128 random bits, and no mark.
pub fn new_token_id() -> TokenId {
    URL_SAFE_NO_PAD
        .encode(*random::<RANDOM_LEN>())
        .parse()
        .expect("22 characters of base64url")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use wxmint_verify::TokenTyp;

    use super::*;
    use crate::{KeyRing, PrivateJwk, StoredKeys};

    const BASE: &str = "https://accounts.example.com/wxmint";
    const URL: &str = "https://accounts.example.com/wxmint/users";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a date")
    }

    fn signed(algorithm: Algorithm) -> (KeySet, String) {
        let keys = StoredKeys::of([PrivateJwk::generate(algorithm, now()).expect("a key")])
            .check()
            .expect("a set");
        let ring = KeyRing::new(keys.clone(), now()).expect("a ring");
        let (issuer, typ) = ("https://login.example.com".into(), TokenTyp::AccessToken);
        let minter = Minter::new(issuer, vec!["a".into()], typ, LIFE, Arc::new(ring));
        let id = "jti-1".parse().expect("an id");
        let token = minter
            .sign_request(BASE, ("POST", URL), b"abc", &id, now())
            .expect("a token");
        (keys, token.expose().to_owned())
    }

    fn part(token: &str, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD
            .decode(token.split('.').nth(index).expect("three parts"))
            .expect("base64url")
    }

    #[test]
    fn a_request_token_names_sender_receiver_request_time_and_body() {
        let (keys, token) = signed(Algorithm::Es256);
        let [header, claims] = [0, 1]
            .map(|index| serde_json::from_slice::<Value>(&part(&token, index)).expect("JSON"));
        let kid = keys.iter().next().expect("a key").public().kid();
        assert_eq!(
            header,
            json!({"alg": "ES256", "typ": "wxmint-request+jwt", "kid": kid})
        );
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
            assert!(
                key.verifies(message.as_bytes(), &part(&token, 2)),
                "{algorithm}"
            );
        }
    }

    #[test]
    fn a_page_of_the_feed_is_signed_by_a_key_that_is_not_ended_if_there_is_one() {
        let [old, new] = [0, 1000].map(|later| {
            PrivateJwk::generate(Algorithm::Es256, now() + TimeDelta::seconds(later))
                .expect("a key")
        });
        let set = KeySet::parse(&StoredKeys::of(&[old, new]).content()).expect("a set");
        let ring = Arc::new(KeyRing::new(set, now()).expect("a ring"));
        let minter = Minter::new(
            "i".into(),
            vec!["a".into()],
            TokenTyp::AccessToken,
            LIFE,
            Arc::clone(&ring),
        );
        let kids: Vec<_> = ring
            .set()
            .lives
            .iter()
            .map(|life| life.kid.clone())
            .collect();
        let text =
            r#"{"iss":"i","iat":1,"exp":301,"after":"","cursor":"5-0","more":false,"revoked":[]}"#;
        let page: RevocationsPage = serde_json::from_str(text).expect("a page");
        for (revoked, signs) in [
            (&kids[..0], &kids[0]),
            (&kids[..1], &kids[1]),
            (&kids[..], &kids[0]),
        ] {
            ring.note_revoked(revoked);
            let header = part(&minter.sign_page(&page, now()).expect("signed"), 0);
            assert_eq!(
                serde_json::from_slice::<Value>(&header).expect("JSON")["kid"],
                **signs,
                "{revoked:?}"
            );
            // Verifiers would refuse a token or an event that a revoked key signs.
            let is_signed = revoked.is_empty();
            assert_eq!(minter.check(now()).is_ok(), is_signed, "{revoked:?}");
            assert_eq!(
                minter.sign_event(&json!({}), now()).is_ok(),
                is_signed,
                "{revoked:?}"
            );
        }
    }

    /// This process still has the old file, in which the signing key is not revoked.
    #[test]
    fn no_page_of_the_feed_is_signed_by_a_key_that_has_left_the_jwks() {
        let [gone, old, new] = [-1000, 0, 1000].map(|later| {
            PrivateJwk::generate(Algorithm::Es256, now() + TimeDelta::seconds(later))
                .expect("a key")
        });
        for (has_new, signs) in [(true, &new), (false, &old)] {
            let keys = [&gone, &old, &new].map(Clone::clone);
            let keys = &keys[..if has_new { 3 } else { 2 }];
            let mut file: Value =
                serde_json::from_slice(&StoredKeys::of(keys).content()).expect("JSON");
            file["keys"][0]["exp"] = now().timestamp().into();
            let set = KeySet::parse(file.to_string().as_bytes()).expect("a set");
            let ring = Arc::new(KeyRing::new(set, now()).expect("a ring"));
            let (audience, typ) = (vec!["a".into()], TokenTyp::AccessToken);
            let minter = Minter::new("i".into(), audience, typ, LIFE, Arc::clone(&ring));
            ring.note_revoked(&[old.kid().to_owned()]);
            assert_eq!(
                minter.kid_of_pages(now()).expect("a key"),
                signs.kid(),
                "with a key that is published only: {has_new}"
            );
        }
    }

    #[test]
    fn token_ids_are_128_bits_and_differ() {
        let [one, other] = [new_token_id(), new_token_id()];
        assert_ne!(one, other);
        assert_eq!(
            URL_SAFE_NO_PAD
                .decode(one.as_str())
                .expect("base64url")
                .len(),
            16
        );
    }
}
