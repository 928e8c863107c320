//! Verifies minted tokens with the verifier that peers use.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use wxmint_verify::{
    Algorithm, Claims, KeySource, LONGEST_LIFE, Refused, TokenTyp, Verifier, VerifierPolicy,
};

use super::{ExtraClaims, Issued, Minter, new_token_id};
use crate::{KeyRing, KeySet, PrivateJwk, StoredKeys};

const ISSUER: &str = "https://login.example.com";
const API: &str = "https://api.example.com";
const NOW: i64 = 1_800_000_000;
const DAY: Duration = Duration::from_hours(24);

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a date")
}

fn ring(key: &PrivateJwk) -> Arc<KeyRing> {
    let set = KeySet::parse(&StoredKeys::of(std::slice::from_ref(key)).content()).expect("a set");
    Arc::new(KeyRing::new(set, at(NOW)).expect("a ring"))
}

fn verify(token: &str, typ: TokenTyp, keys: &impl KeySource, now: i64) -> Result<Claims, Refused> {
    let policy = VerifierPolicy {
        typ,
        ..VerifierPolicy::new(ISSUER, [API])
    };
    Verifier::new(policy)
        .expect("a policy")
        .verify(token, keys, at(now))
        .map(|claims| Claims::clone(&claims))
}

#[test]
fn a_minted_token_is_verified_and_its_claims_are_read() {
    for algorithm in crate::SIGNED_WITH {
        for typ in [TokenTyp::AccessToken, TokenTyp::Jwt] {
            let ring = ring(&PrivateJwk::generate(algorithm, at(0)).expect("a key"));
            let audience = vec!["https://other.example".into(), API.into()];
            let minter = Minter::new(
                ISSUER.into(),
                audience.clone(),
                typ,
                LONGEST_LIFE,
                Arc::clone(&ring),
            );
            let (user, app) = (
                "user-1".parse().expect("a user"),
                "wx0123456789abcdef".parse().expect("an app"),
            );
            let id = new_token_id();
            let issued = minter.issued(user, app, id, at(NOW));
            let token = minter
                .mint(&issued, &ExtraClaims::default(), at(NOW))
                .expect("a token");
            let claims = verify(token.expose(), typ, &*ring.set(), NOW);
            let (issued_at, expires_at) = (at(NOW), at(NOW) + LONGEST_LIFE);
            let Issued { user, app, id, .. } = issued;
            let expected = Claims {
                user,
                app,
                id,
                audience,
                issued_at,
                expires_at,
                not_before: None,
                others: Map::new(),
            };
            assert_eq!(claims, Ok(expected), "{algorithm}");
        }
    }
}

#[test]
fn a_key_verifies_from_when_it_is_published_until_it_leaves() {
    let keys = [0, NOW].map(|nbf| PrivateJwk::generate(Algorithm::EdDsa, at(nbf)).expect("a key"));
    let [old, new] = keys.each_ref().map(|key| {
        let minter = Minter::new(
            ISSUER.into(),
            vec![API.into()],
            TokenTyp::AccessToken,
            DAY,
            ring(key),
        );
        let (user, app) = (
            "user-1".parse().expect("a user"),
            "wx0123456789abcdef".parse().expect("an app"),
        );
        let id = new_token_id();
        let issued = minter.issued(user, app, id, at(NOW - 1000));
        minter
            .mint(&issued, &ExtraClaims::default(), at(NOW))
            .expect("a token")
    });
    let mut file: Value = serde_json::from_slice(&StoredKeys::of(&keys).content()).expect("JSON");
    file["keys"][0]["exp"] = (NOW + 200).into();
    let set = KeySet::parse(file.to_string().as_bytes()).expect("a set");
    let refused =
        |token: &str, seconds| verify(token, TokenTyp::AccessToken, &set, NOW + seconds).err();
    let of_old = [-1000, 0, 199, 200].map(|seconds| refused(old.expose(), seconds));
    assert_eq!(of_old, [None, None, None, Some(Refused::UnknownKey)]);
    // A replica whose clock is ahead may sign with the new key before this verifier's clock reaches
    // its `nbf`.
    assert_eq!(
        [-1000, 0, 200].map(|seconds| refused(new.expose(), seconds)),
        [None; 3]
    );
}
