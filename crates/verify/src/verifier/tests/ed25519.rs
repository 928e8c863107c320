//! `Ed25519` (RFC 9864 section 2.2) beside `EdDSA`, which section 4.1.2 deprecates: two names of
//! one algorithm.

use super::*;

/// Tokens that jose 5.10 (npm) has signed with the key of RFC 8037 appendix A.1: header and
/// signature of each name.
const SIGNED_BY_JOSE: [(&str, &str); 2] = [
    (
        "eyJhbGciOiJFZDI1NTE5IiwidHlwIjoiYXQrand0Iiwia2lkIjoia1ByS19xbXhWV2FZVkE5d3dCRjZJdW8zdlZ6ejdUeEhDVHdYQnlnclM0ayJ9",
        "vDCNVc5k6qVWb0FZknXEsmZeP18SanGaGqr50YQZ81WcbntpAJk7uZlSXxgI7acCPc06yAwjrS3JA5o1sjWhBw",
    ),
    (
        "eyJhbGciOiJFZERTQSIsInR5cCI6ImF0K2p3dCIsImtpZCI6ImtQcktfcW14VldhWVZBOXd3QkY2SXVvM3ZWeno3VHhIQ1R3WEJ5Z3JTNGsifQ",
        "QCvcx0dJ-xl5NMr6iOzE04T7s-xNfDNK-6MvcbZDP2VVTvjrke6gYYNanh2EmHzfS6RioOXRFn3R17_KStmkBg",
    ),
];
const CLAIMS: &str = "eyJpc3MiOiJodHRwczovL2xvZ2luLmV4YW1wbGUuY29tIiwic3ViIjoidXNlci0xIiwiYXVkIjoiaHR0cHM6Ly9hcGkuZXhhbXBsZS5jb20iLCJjbGllbnRfaWQiOiJ3eDAxMjM0NTY3ODlhYmNkZWYiLCJpYXQiOjE4MDAwMDAwMDAsImV4cCI6MTgwMDA4NjQwMCwianRpIjoianRpLTEifQ";

fn keys(crv: &str, alg: &str) -> PublishedKeys {
    let jwk = json!({
        "kty": "OKP", "crv": crv, "alg": alg, "use": "sig", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
    });
    PublishedKeys::read(json!({ "keys": [jwk] }).to_string().as_bytes()).expect("a set")
}

#[test]
fn what_jose_signs_under_either_name_is_accepted_by_a_key_published_under_either() {
    let verifier = Verifier::new(policy()).expect("a policy");
    for alg in ["EdDSA", "Ed25519"] {
        for (header, signature) in SIGNED_BY_JOSE {
            let keys = keys("Ed25519", alg);
            let verified = verifier
                .verify(&format!("{header}.{CLAIMS}.{signature}"), &keys, now())
                .expect("a token");
            assert_eq!(verified.user.as_str(), "user-1");
            assert_eq!(
                serde_json::to_value(&keys.keys[0]).expect("JSON")["alg"],
                alg,
                "published again as it was read"
            );
        }
    }
}

#[test]
fn each_other_name_and_curve_is_refused() {
    for (crv, alg) in [
        ("Ed448", "Ed448"),
        ("Ed448", "EdDSA"),
        ("Ed448", "Ed25519"),
        ("Ed25519", "Ed448"),
    ] {
        assert_eq!(
            keys(crv, alg).refused.len(),
            1,
            "a key of {crv} with alg {alg}"
        );
    }
    for forge in [Algorithm::EdDsa, Algorithm::Ed25519].map(Forge::of) {
        for alg in ["Ed448", "ed25519", "EDDSA", "ES256", "none"] {
            assert_eq!(
                forge.refused(&forge.with_header("alg", alg)),
                Some(Refused::Algorithm),
                "{alg}"
            );
        }
    }
    let p256 = Forge::of(Algorithm::Es256);
    assert_eq!(
        p256.refused(&p256.with_header("alg", "Ed25519")),
        Some(Refused::Algorithm)
    );
}
