//! Published test vectors, checked by the library as a peer in Rust uses it: public keys from a JWK
//! Set, without the service. Those of the RFCs are beside the code, in `crates/keys/src/vectors.rs`
//! of the service and `src/verifier/tests.rs`.

mod keys;
mod signatures;

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wxmint_verify::{PublicKey, PublishedKeys};

/// A public key by the members that its thumbprint covers (RFC 7638 section 3.2).
type Members = BTreeMap<&'static str, String>;

fn p256(x: &[u8], y: &[u8]) -> Members {
    [
        ("kty", "EC".into()),
        ("crv", "P-256".into()),
        ("x", encode(x)),
        ("y", encode(y)),
    ]
    .into()
}

fn ed25519(x: &[u8]) -> Members {
    [
        ("kty", "OKP".into()),
        ("crv", "Ed25519".into()),
        ("x", encode(x)),
    ]
    .into()
}

fn rsa(n: &[u8], e: &[u8]) -> Members {
    [("kty", "RSA".into()), ("n", encode(n)), ("e", encode(e))].into()
}

/// Reads a set of this one key: returns the key, or why it is refused.
fn read(members: &Members) -> Result<PublicKey, String> {
    let alg = match members["kty"].as_str() {
        "EC" => "ES256",
        "OKP" => "EdDSA",
        _ => "RS256",
    };
    let thumbprint = encode(digest(&SHA256, &serde_json::to_vec(members).expect("JSON")).as_ref());
    let mut jwk: Value = json!({ "use": "sig", "alg": alg, "kid": thumbprint });
    jwk.as_object_mut().expect("an object").extend(
        members
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value))),
    );
    let set = json!({ "keys": [jwk] }).to_string();
    let PublishedKeys { mut keys, refused } = PublishedKeys::read(set.as_bytes()).expect("a set");
    assert_eq!(keys.len() + refused.len(), 1);
    keys.pop().ok_or_else(|| refused[0].to_string())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
