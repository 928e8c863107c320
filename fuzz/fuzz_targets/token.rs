//! An access token: as an attacker writes it, and with any header and claims (one line each) and a valid signature, so
//! that the code after the signature check is reached too.

#![no_main]

use std::sync::LazyLock;

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use wxmint_verify::{Claims, PublishedKeys, UnverifiedIssuer, Verified, Verifier, VerifierPolicy};

const ISSUER: &str = "https://login.example.com";
const API: &str = "https://api.example.com";
/// The `iat` of the seeds.
const NOW: i64 = 1_800_000_000;
const MONTH: i64 = 30 * 86_400;

/// The public example of a private key in RFC 8037 appendix A.
const SEED: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const PUBLIC: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const KID: &str = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
const NEVER: [&str; 9] = [
    "crit", "jwk", "jku", "x5u", "x5c", "zip", "enc", "b64", "cty",
];

static PAIR: LazyLock<Ed25519KeyPair> = LazyLock::new(|| {
    let [seed, public] =
        [SEED, PUBLIC].map(|text| URL_SAFE_NO_PAD.decode(text).expect("base64url"));
    Ed25519KeyPair::from_seed_and_public_key(&seed, &public).expect("a pair")
});

static KEYS: LazyLock<PublishedKeys> = LazyLock::new(|| {
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": PUBLIC, "kid": KID });
    PublishedKeys::read(json!({ "keys": [key] }).to_string().as_bytes()).expect("a set")
});

static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::new(VerifierPolicy::new(ISSUER, [API])).expect("a policy"));

fuzz_target!(|input: &[u8]| {
    if let Ok(text) = str::from_utf8(input) {
        assert!(verify(text).is_none(), "nobody signed this");
    }
    let line = input
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(input.len());
    let (header, claims) = (&input[..line], input.get(line + 1..).unwrap_or_default());
    let token = signed(header, claims);
    if let Some(verified) = verify(&token) {
        assert!(token.len() <= 8192);
        check_header(&read(header));
        assert_eq!(
            UnverifiedIssuer::of(&token).expect("an issuer").as_str(),
            ISSUER
        );
        check_claims(&read(claims), &verified);
    }
});

fn verify(token: &str) -> Option<Verified<Claims>> {
    VERIFIER
        .verify(
            token,
            &*KEYS,
            DateTime::from_timestamp(NOW, 0).expect("a date"),
        )
        .ok()
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = PAIR.sign(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Parses with another JSON parser.
fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("what was believed is JSON")
}

fn check_header(header: &Value) {
    assert!(
        ["EdDSA", "Ed25519"].contains(&header["alg"].as_str().expect("a string")),
        "{header}"
    );
    assert_eq!(header["kid"], KID);
    let typ = header["typ"]
        .as_str()
        .expect("a string")
        .to_ascii_lowercase();
    assert!(
        ["at+jwt", "application/at+jwt"].contains(&typ.as_str()),
        "{typ}"
    );
    assert!(
        NEVER.iter().all(|name| header.get(name).is_none()),
        "{header}"
    );
}

fn check_claims(claims: &Value, verified: &Claims) {
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["sub"], verified.user.as_str());
    assert_eq!(claims["client_id"], verified.app.as_str());
    assert_eq!(claims["jti"], verified.id.as_str());
    assert!(
        claims["aud"] == API
            || claims["aud"]
                .as_array()
                .is_some_and(|names| names.contains(&API.into()))
    );
    let [iat, exp] = ["iat", "exp"].map(|name| claims[name].as_i64().expect("an integer"));
    assert!(
        iat <= NOW + 60 && NOW < exp + 60 && (1..=MONTH).contains(&(exp - iat)),
        "{claims}"
    );
    assert!(
        claims
            .get("nbf")
            .is_none_or(|nbf| nbf.as_i64().is_some_and(|nbf| nbf <= NOW + 60)),
        "{claims}"
    );
}
