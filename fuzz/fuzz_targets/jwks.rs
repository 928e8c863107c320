//! A JWKS as a peer fetches it, from an issuer or from an attacker: unchanged, and with the `kid` of each key replaced
//! by its thumbprint, so that the checks after the `kid` are reached too.

#![no_main]

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use wxmint_verify::{PublicKeySet, PublishedKeys};

/// Members that only private and symmetric keys have.
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fuzz_target!(|input: &[u8]| {
    read(input);
    let Ok(mut set) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    for jwk in set
        .get_mut("keys")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let kid = thumbprint(jwk);
        jwk.insert("kid".into(), kid.into());
    }
    read(set.to_string().as_bytes());
});

fn read(input: &[u8]) {
    let Ok(read) = PublishedKeys::read(input) else {
        return;
    };
    // A member may be nested deeper than a `Value` can be.
    let Ok(set) = serde_json::from_slice::<Value>(input) else {
        return;
    };
    let listed = set["keys"].as_array().expect("a list");
    assert_eq!(read.keys.len() + read.refused.len(), listed.len());
    for (index, key) in read.keys.iter().enumerate() {
        assert!(
            read.keys[..index]
                .iter()
                .all(|other| other.kid() != key.kid()),
            "two of one name"
        );
        let is_it = |jwk: &Value| {
            jwk["kid"] == key.kid()
                && jwk["alg"] == key.algorithm().name()
                && PRIVATE.iter().all(|member| jwk.get(member).is_none())
                && jwk.get("use").is_none_or(|usage| usage == "sig")
                && jwk.get("key_ops").is_none_or(|operations| {
                    operations
                        .as_array()
                        .is_some_and(|operations| includes_verify(operations))
                })
        };
        assert!(listed.iter().any(is_it), "{key:?} in {set}");
    }
    // The keys survive being published and read again.
    let again = serde_json::to_vec(&read.keys.iter().collect::<PublicKeySet<'_>>()).expect("JSON");
    let again = PublishedKeys::read(&again).expect("a set");
    assert_eq!((again.keys, again.refused), (read.keys, Vec::new()));
}

fn includes_verify(operations: &[Value]) -> bool {
    operations.iter().any(|operation| operation == "verify")
}

/// The thumbprint of RFC 7638 section 3. The map is ordered by member names, as required.
fn thumbprint(jwk: &Map<String, Value>) -> String {
    let covered = |name: &&String| ["crv", "e", "kty", "n", "x", "y"].contains(&name.as_str());
    let members: Map<String, Value> = jwk
        .keys()
        .filter(covered)
        .map(|name| (name.clone(), jwk[name].clone()))
        .collect();
    URL_SAFE_NO_PAD.encode(digest(
        &SHA256,
        &serde_json::to_vec(&members).expect("JSON"),
    ))
}
