//! Each test takes a valid token and spoils one thing.

mod before_cryptography;
mod ed25519;
mod header;
mod identity;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::*;
use crate::{Algorithm, PublicKey, PublicKeySet, PublishedKeys};

pub(crate) const ISSUER: &str = "https://login.example.com";
const API: &str = "https://api.example.com";
pub(crate) const NOW: i64 = 1_800_000_000;
const DAY: i64 = 86_400;

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("a date")
}

pub(crate) fn now() -> DateTime<Utc> {
    at(NOW)
}

pub(crate) fn policy() -> VerifierPolicy {
    VerifierPolicy::new(ISSUER, [API])
}

enum PrivateKey {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl PrivateKey {
    fn generate(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => {
                Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
            }
            Algorithm::EdDsa | Algorithm::Ed25519 => {
                Self::Ed25519(Ed25519KeyPair::generate().expect("a key"))
            }
            Algorithm::Rs256 => Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
        }
    }

    fn public(&self) -> PublicKey {
        let public = match self {
            Self::P256(key) => {
                let [_, point @ ..] = key.public_key().as_ref() else {
                    panic!("a point")
                };
                PublicKey::p256(&point[..32], &point[32..])
            }
            Self::Ed25519(key) => PublicKey::ed25519(key.public_key().as_ref()),
            Self::Rsa(key) => {
                // RFC 8017 appendix A.1.1: after 9 bytes of DER the modulus of 2048 bits; the
                // exponent is 65537.
                PublicKey::rsa(&key.public_key().as_ref()[9..265], &[1, 0, 1])
            }
        };
        public.expect("a key")
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(key) => key
                .sign(&random, message)
                .expect("signed")
                .as_ref()
                .to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .expect("signed");
                signature
            }
        }
    }
}

/// Signs any header and any claims with a trusted key.
pub(crate) struct Forge {
    key: PrivateKey,
    /// The set of this one key, as a verifier has fetched it.
    pub(crate) keys: PublishedKeys,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Forge {
    pub(crate) fn of(algorithm: Algorithm) -> Self {
        let key = PrivateKey::generate(algorithm);
        let public = key.public();
        let public = if public.algorithm() == algorithm {
            public
        } else {
            public.fully_specified()
        };
        let jwks = serde_json::to_vec(&PublicKeySet::from_iter([&public])).expect("JSON");
        let header = json!({ "alg": algorithm.name(), "typ": "at+jwt", "kid": public.kid() });
        let claims = json!({
            "iss": ISSUER, "sub": "user-1", "aud": API, "client_id": "wx0123456789abcdef",
            "iat": NOW, "exp": NOW + DAY, "jti": "jti-1",
        });
        Self {
            key,
            keys: PublishedKeys::read(&jwks).expect("a set"),
            header,
            claims,
        }
    }

    fn token(&self) -> String {
        self.sign(&self.header.to_string(), &self.claims.to_string())
    }

    pub(crate) fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    fn with_claim(&self, name: &str, value: impl Into<Value>) -> String {
        self.sign(
            &self.header.to_string(),
            &with(&self.claims, name, value).to_string(),
        )
    }

    fn with_header(&self, name: &str, value: impl Into<Value>) -> String {
        self.sign(
            &with(&self.header, name, value).to_string(),
            &self.claims.to_string(),
        )
    }

    fn verify(&self, policy: VerifierPolicy, token: &str) -> Result<Verified<Claims>, Refused> {
        Verifier::new(policy)
            .expect("a policy")
            .verify(token, &self.keys, now())
    }

    /// Why the token is refused. Also checks that faults other than those of key and signature are
    /// found before a key is looked up.
    fn refused(&self, token: &str) -> Option<Refused> {
        let refused = self.verify(policy(), token).err()?;
        if !matches!(
            refused,
            Refused::UnknownKey | Refused::Algorithm | Refused::Signature
        ) {
            assert_eq!(before_cryptography::unasked(token), refused);
        }
        Some(refused)
    }
}

pub(crate) fn with(object: &Value, name: &str, value: impl Into<Value>) -> Value {
    let mut object = object.clone();
    object[name] = value.into();
    object
}

pub(crate) fn without(object: &Value, name: &str) -> String {
    let mut object = object.clone();
    object.as_object_mut().expect("an object").remove(name);
    object.to_string()
}

#[test]
fn a_valid_token_is_verified_by_the_key_that_it_names() {
    for forge in Algorithm::ALL.map(Forge::of) {
        assert_eq!(forge.refused(&forge.token()), None);
        let empty = PublishedKeys::read(br#"{"keys":[]}"#).expect("a set");
        let verifier = Verifier::new(policy()).expect("a policy");
        assert_eq!(
            verifier.verify(&forge.token(), &empty, now()).err(),
            Some(Refused::UnknownKey)
        );
    }
}

#[test]
fn a_key_verifies_only_its_own_algorithm_and_its_own_signatures() {
    let forges = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256].map(Forge::of);
    for (forge, others) in [
        (&forges[0], [1, 2]),
        (&forges[1], [0, 2]),
        (&forges[2], [0, 1]),
    ] {
        for other in others.map(|index| &forges[index]) {
            assert_eq!(forge.refused(&other.token()), Some(Refused::UnknownKey));
            let kid = forge.header["kid"].clone();
            assert_eq!(
                forge.refused(&other.with_header("kid", kid)),
                Some(Refused::Algorithm)
            );
            let token = other.sign(&forge.header.to_string(), &forge.claims.to_string());
            assert_eq!(forge.refused(&token), Some(Refused::Signature));
        }
    }
    let (forge, stranger) = (Forge::of(Algorithm::Es256), Forge::of(Algorithm::Es256));
    let token = stranger.sign(&forge.header.to_string(), &forge.claims.to_string());
    assert_eq!(
        forge.refused(&token),
        Some(Refused::Signature),
        "the same algorithm, another key"
    );
}

#[test]
fn each_thing_wrong_with_the_claims_is_refused_by_its_name() {
    let forge = Forge::of(Algorithm::EdDsa);
    let (long, longest) = ("a".repeat(129), "a".repeat(128));
    for (name, value, refused) in [
        ("iss", json!([ISSUER]), Some(Refused::Malformed("iss"))),
        (
            "iss",
            json!("https://login.example.com/"),
            Some(Refused::Issuer),
        ),
        (
            "iss",
            json!("https://LOGIN.example.com"),
            Some(Refused::Issuer),
        ),
        ("iss", json!(""), Some(Refused::Issuer)),
        ("aud", json!(["https://other.example", API]), None),
        (
            "aud",
            json!("https://other.example"),
            Some(Refused::Audience),
        ),
        (
            "aud",
            json!("https://api.example.com/"),
            Some(Refused::Audience),
        ),
        ("aud", json!([]), Some(Refused::Audience)),
        ("aud", json!([API, 1]), Some(Refused::Malformed("aud"))),
        (
            "aud",
            json!({ "aud": API }),
            Some(Refused::Malformed("aud")),
        ),
        ("aud", json!(null), Some(Refused::Malformed("aud"))),
        ("sub", json!(longest), None),
        ("sub", json!(long), Some(Refused::Malformed("sub"))),
        ("sub", json!(""), Some(Refused::Malformed("sub"))),
        ("sub", json!("user 1"), Some(Refused::Malformed("sub"))),
        ("sub", json!("user\n1"), Some(Refused::Malformed("sub"))),
        ("sub", json!("用户"), Some(Refused::Malformed("sub"))),
        ("sub", json!(1), Some(Refused::Malformed("sub"))),
        (
            "client_id",
            json!("wx:1"),
            Some(Refused::Malformed("client_id")),
        ),
        (
            "client_id",
            json!(["wx1"]),
            Some(Refused::Malformed("client_id")),
        ),
        ("jti", json!(""), Some(Refused::Malformed("jti"))),
        ("jti", json!(1), Some(Refused::Malformed("jti"))),
        ("scope", json!({ "anything": [1, 2.5, null] }), None),
    ] {
        assert_eq!(
            forge.refused(&forge.with_claim(name, value.clone())),
            refused,
            "{name}: {value}"
        );
    }
    for name in ["iss", "sub", "aud", "client_id", "iat", "exp", "jti"] {
        let token = forge.sign(&forge.header.to_string(), &without(&forge.claims, name));
        assert_eq!(forge.refused(&token), Some(Refused::Missing(name)));
    }
}

#[test]
fn times_are_checked_to_the_second_with_the_leeway() {
    let forge = Forge::of(Algorithm::EdDsa);
    let longest = LONGEST_LIFE.as_secs() as i64;
    let claims = |iat: i64, nbf: i64, exp: i64| {
        let claims = with(
            &with(&with(&forge.claims, "iat", NOW + iat), "nbf", NOW + nbf),
            "exp",
            NOW + exp,
        );
        forge.refused(&forge.sign(&forge.header.to_string(), &claims.to_string()))
    };
    for (iat, nbf, exp, refused) in [
        (-DAY, -DAY, 1, None),
        (-DAY, -DAY, -59, None),
        (-DAY, -DAY, -60, Some(Refused::Expired)),
        (60, 0, DAY, None),
        (61, 0, DAY, Some(Refused::IssuedInFuture)),
        (0, 60, DAY, None),
        (0, 61, DAY, Some(Refused::NotYetValid)),
        (0, 0, longest, None),
        (0, 0, longest + 1, Some(Refused::Life)),
        (0, 0, 0, Some(Refused::Life)),
        (0, 0, -1, Some(Refused::Life)),
    ] {
        assert_eq!(
            claims(iat, nbf, exp),
            refused,
            "iat {iat:+}, nbf {nbf:+}, exp {exp:+}"
        );
    }
}

#[test]
fn a_time_that_is_not_a_whole_number_within_range_is_refused() {
    let forge = Forge::of(Algorithm::EdDsa);
    for name in ["iat", "exp", "nbf"] {
        for value in [
            "18446744073709551615",
            "9223372036854775807",
            "-9223372036854775808",
            "1e10",
            "-0",
        ] {
            let claims =
                without(&forge.claims, name).replacen('{', &format!("{{\"{name}\":{value},"), 1);
            let token = forge.sign(&forge.header.to_string(), &claims);
            assert_eq!(
                forge.refused(&token),
                Some(Refused::Malformed(name)),
                "{value}"
            );
        }
        for value in [
            json!(NOW as f64 + 0.5),
            json!(NOW.to_string()),
            json!(null),
            json!(true),
            json!([NOW]),
        ] {
            let token = forge.with_claim(name, value.clone());
            assert_eq!(
                forge.refused(&token),
                Some(Refused::Malformed(name)),
                "{value}"
            );
        }
    }
    let far = DateTime::<Utc>::MAX_UTC.timestamp();
    assert_eq!(
        forge.refused(&forge.with_claim("exp", far)),
        Some(Refused::Life)
    );
    assert_eq!(
        forge.refused(&forge.with_claim("iat", far)),
        Some(Refused::IssuedInFuture)
    );
    assert_eq!(
        forge.refused(&forge.with_claim("iat", DateTime::<Utc>::MIN_UTC.timestamp())),
        Some(Refused::Life)
    );
}

#[test]
fn a_repeated_member_is_refused_even_if_it_was_signed() {
    let forge = Forge::of(Algorithm::EdDsa);
    let (header, claims) = (forge.header.to_string(), forge.claims.to_string());
    let twice = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);
    for member in [
        r#""typ":"at+jwt""#,
        r#""\u0074yp":"JWT""#,
        r#""a":1,"a":1"#,
        r#""a":[{"b":1,"b":2}]"#,
    ] {
        let token = forge.sign(&twice(&header, member), &claims);
        assert_eq!(
            forge.refused(&token),
            Some(Refused::MemberTwice(Part::Header)),
            "{member}"
        );
    }
    for member in [
        r#""sub":"user-1""#,
        r#""s\u0075b":"root""#,
        r#""a":1,"a":1"#,
        r#""a":{"b":1,"b":2}"#,
    ] {
        let token = forge.sign(&header, &twice(&claims, member));
        assert_eq!(
            forge.refused(&token),
            Some(Refused::MemberTwice(Part::Claims)),
            "{member}"
        );
    }
}

#[test]
fn a_token_of_more_than_eight_kibibytes_is_refused() {
    let forge = Forge::of(Algorithm::EdDsa);
    let of = |padding: usize| forge.with_claim("padding", "a".repeat(padding));
    let refused = |padding: usize| (of(padding).len(), forge.refused(&of(padding)));
    let longest = (1..)
        .take_while(|&padding| of(padding).len() <= MAX_TOKEN)
        .last()
        .expect("one that fits");
    assert_eq!(refused(longest), (MAX_TOKEN, None));
    assert_eq!(refused(longest + 1).1, Some(Refused::TooLong));
}

#[test]
fn each_example_token_of_the_rfcs_is_refused_for_its_own_reason() {
    let joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let forge = Forge::of(Algorithm::Es256);
    for (source, token, refused) in [
        (
            "RFC 7515 A.1: HS256",
            format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{joe}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            Refused::Algorithm,
        ),
        (
            "RFC 7515 A.3: ES256",
            format!(
                "eyJhbGciOiJFUzI1NiJ9.{joe}.\
                 DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
            ),
            Refused::Missing("kid"),
        ),
        ("RFC 7515 A.5, RFC 7519 6.1: none", format!("eyJhbGciOiJub25lIn0.{joe}."), Refused::Algorithm),
        (
            "RFC 7515 E: an extension that must be understood",
            "eyJhbGciOiJub25lIiwNCiAiY3JpdCI6WyJodHRwOi8vZXhhbXBsZS5jb20vVU5ERUZJTkVEIl0sDQogImh0dHA6Ly9leGFtcGxlLmNv\
             bS9VTkRFRklORUQiOnRydWUNCn0.RkFJTA."
                .into(),
            Refused::HeaderParameter("crit"),
        ),
        (
            "RFC 7797 4.2: unencoded and detached",
            "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19..A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"
                .into(),
            Refused::HeaderParameter("crit"),
        ),
    ] {
        assert_eq!(forge.refused(&token), Some(refused), "{source}");
    }
}

#[test]
fn a_token_with_any_byte_changed_added_or_removed_is_refused() {
    for algorithm in Algorithm::ALL {
        let forge = Forge::of(algorithm);
        let token = forge.token();
        let verifier = Verifier::new(policy()).expect("a policy");
        let believed = |token: &str| verifier.verify(token, &forge.keys, now()).is_ok();
        assert!(believed(&token));
        for (index, byte) in token.bytes().enumerate() {
            let (before, after) = (&token[..index], &token[index + 1..]);
            // Flips each of the seven ASCII bits, so that the result is still text.
            for other in (0..7).map(|bit| char::from(byte ^ 1 << bit)) {
                assert!(
                    !believed(&format!("{before}{other}{after}")),
                    "{algorithm}: {other:?} at {index}"
                );
            }
            assert!(
                !believed(&format!("{before}{after}")),
                "{algorithm}: left out at {index}"
            );
            assert!(
                !believed(&format!("{before}A{}{after}", byte as char)),
                "{algorithm}: added at {index}"
            );
        }
        assert!(
            !believed(&format!("{token}A")),
            "{algorithm}: added at the end"
        );
    }
}

#[test]
fn a_policy_without_issuer_or_audience_or_with_too_long_a_leeway_is_refused() {
    let error = |policy| Verifier::new(policy).err();
    assert_eq!(error(policy()), None);
    assert_eq!(
        error(VerifierPolicy::new("", [API])),
        Some(PolicyError::NoIssuer)
    );
    assert_eq!(
        error(VerifierPolicy::new(ISSUER, [""; 0])),
        Some(PolicyError::NoAudience)
    );
    let leeway = |seconds| {
        error(VerifierPolicy {
            leeway: Duration::from_secs(seconds),
            ..policy()
        })
    };
    assert_eq!(
        [0, 60, 61].map(leeway),
        [None, None, Some(PolicyError::Leeway)]
    );
}

#[test]
fn an_unverified_issuer_is_read_whatever_else_is_wrong_and_only_if_it_is_one_text() {
    let forge = Forge::of(Algorithm::EdDsa);
    let issuer = UnverifiedIssuer::of(&forge.with_claim("exp", "spoiled")).expect("an issuer");
    assert_eq!(issuer.as_str(), ISSUER);
    let several = UnverifiedIssuer::of(&forge.with_claim("iss", json!([ISSUER])));
    assert_eq!(several.err(), Some(Refused::Malformed("iss")));
}

#[test]
fn a_refusal_repeats_nothing_of_the_token() {
    let forge = Forge::of(Algorithm::EdDsa);
    for token in [
        "hunter2.hunter2.hunter2".to_owned(),
        forge.with_header("kid", "hunter2"),
        forge.with_header("alg", "hunter2"),
        forge.with_header("typ", "hunter2"),
        forge.with_claim("iss", "hunter2"),
        forge.with_claim("sub", "hunter2 "),
        forge.with_claim("exp", "hunter2"),
    ] {
        let refused = forge.refused(&token).expect("refused");
        assert!(
            !format!("{refused} {refused:?}").contains("hunter2"),
            "{refused}"
        );
    }
}
