//! Tokens that no issuer would give: signed by its real key, by another one, or not at all.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A token, or what stands in its place, as `Authorization` lines.
#[derive(Debug, Clone)]
pub(crate) struct Credentials(pub(crate) Vec<String>);

impl Credentials {
    pub(crate) fn bearer(token: &str) -> Self {
        Self(vec![format!("Authorization: Bearer {token}")])
    }
}

/// Credentials that must be refused, for one thing.
#[derive(Debug, Clone)]
pub(crate) struct BadToken {
    pub(crate) name: &'static str,
    pub(crate) credentials: Credentials,
}

/// The header and claims of a real token, to be spoiled, and the keys to sign them with.
pub(crate) struct Forge<'a> {
    /// The header of a real login's token.
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) issuer: Arc<ForgeKey>,
    pub(crate) other: &'a ForgeKey,
    pub(crate) now: i64,
}

/// A P-256 key that signs anything.
pub(crate) struct ForgeKey {
    pair: EcdsaKeyPair,
    /// RFC 7638.
    pub(crate) kid: String,
    pub(crate) jwk: Value,
}

impl ForgeKey {
    pub(crate) fn of_file(set: &Value) -> Self {
        let member = |name: &str| {
            let member = set["keys"][0][name]
                .as_str()
                .expect("a member of a P-256 key");
            URL_SAFE_NO_PAD.decode(member).expect("base64url")
        };
        let point = [vec![4], member("x"), member("y")].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &member("d"),
            &point,
        );
        Self::of(pair.expect("a P-256 key"))
    }

    pub(crate) fn generate() -> Self {
        Self::of_pkcs8(
            &rcgen::KeyPair::generate()
                .expect("a P-256 key")
                .serialize_der(),
        )
    }

    pub(crate) fn of_pkcs8(der: &[u8]) -> Self {
        Self::of(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).expect("a P-256 key"),
        )
    }

    fn of(pair: EcdsaKeyPair) -> Self {
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let thumbprint = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        let kid = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, thumbprint.as_bytes()));
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256", "use": "sig"});
        Self { pair, kid, jwk }
    }

    /// A token of this header and these claims, whatever they are.
    pub(crate) fn token(&self, header: &str, claims: &str) -> String {
        let signed = joined(header, claims);
        with_signature(&signed, &self.signature(&signed))
    }

    pub(crate) fn signature(&self, signed: &str) -> Vec<u8> {
        self.pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("a signature")
            .as_ref()
            .to_vec()
    }

    /// `SubjectPublicKeyInfo` (RFC 5480), as a file of it is.
    pub(crate) fn pem(&self) -> String {
        const PREFIX: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        let base64 = STANDARD.encode([&PREFIX, self.pair.public_key().as_ref()].concat());
        let (first, second) = base64.split_at(64);
        format!("-----BEGIN PUBLIC KEY-----\n{first}\n{second}\n-----END PUBLIC KEY-----\n")
    }
}

impl Forge<'_> {
    /// With members of the real claims replaced; `null` removes one.
    pub(crate) fn claims_with(&self, members: Value) -> Value {
        merged(&self.claims, members)
    }

    pub(crate) fn header_with(&self, members: Value) -> Value {
        merged(&self.header, members)
    }

    /// A token by the issuer's own key, which verifiers know: it is refused for what it says alone.
    pub(crate) fn by_issuer(&self, header: &Value, claims: &Value) -> String {
        self.issuer.token(&header.to_string(), &claims.to_string())
    }

    /// The same by a key that is not in the JWKS.
    pub(crate) fn by_other(&self, header: &Value, claims: &Value) -> String {
        self.other.token(&header.to_string(), &claims.to_string())
    }

    /// Each of these must be refused. `real` are tokens that are not.
    pub(crate) fn bad_tokens(
        &self,
        real: &str,
        real_too: &str,
        canary: (&str, &str),
    ) -> Vec<BadToken> {
        let mut bad = self.with_bad_signatures(real);
        bad.extend(self.with_bad_claims());
        bad.extend(self.with_bad_headers(canary));
        bad.push(("no token", Credentials(Vec::new())));
        bad.push(("empty token", Credentials::bearer("")));
        // Each is good: whoever takes one of them would have to say why that one.
        bad.push((
            "two tokens",
            Credentials(
                [real, real_too]
                    .map(|token| Credentials::bearer(token).0.remove(0))
                    .into(),
            ),
        ));
        bad.push(("long token", Credentials::bearer(&self.long())));
        bad.push((
            "duplicate member",
            Credentials::bearer(&self.with_a_subject_twice()),
        ));
        bad.into_iter()
            .map(|(name, credentials)| BadToken { name, credentials })
            .collect()
    }

    fn with_bad_signatures(&self, real: &str) -> Vec<(&'static str, Credentials)> {
        let other = self.by_other(&self.header, &self.claims);
        let unsigned = joined(
            &self.header_with(json!({"alg": "none"})).to_string(),
            &self.claims.to_string(),
        );
        let hs256 = joined(
            &self.header_with(json!({"alg": "HS256"})).to_string(),
            &self.claims.to_string(),
        );
        let secret = hmac::Key::new(hmac::HMAC_SHA256, self.issuer.pem().as_bytes());
        let hs256 = with_signature(&hs256, hmac::sign(&secret, hs256.as_bytes()).as_ref());
        bearers([
            ("signature", with_another_signature(real)),
            ("other key", other),
            ("none", with_signature(&unsigned, b"")),
            ("hs256 with the public key", hs256),
        ])
    }

    fn with_bad_claims(&self) -> Vec<(&'static str, Credentials)> {
        const HOUR: i64 = 3600;
        let (now, issuer) = (self.now, self.claims["iss"].as_str().expect("an issuer"));
        let spoiled = [
            // Whoever compares beginnings would take it.
            ("iss", json!({"iss": format!("{issuer}.example")})),
            ("aud string", json!({"aud": format!("{issuer}.example")})),
            (
                "aud array",
                json!({"aud": ["https://one.example", format!("{issuer}.example")]}),
            ),
            ("expired", json!({"iat": now - 2 * HOUR, "exp": now - HOUR})),
            ("not yet valid", json!({"iat": now, "nbf": now + HOUR})),
            (
                "issued in the future",
                json!({"iat": now + HOUR, "exp": now + 2 * HOUR}),
            ),
            ("no exp", json!({"exp": null})),
            (
                "exp in ten years",
                json!({"exp": now + 10 * 365 * 24 * HOUR}),
            ),
        ];
        bearers(spoiled.map(|(name, members)| {
            (
                name,
                self.by_issuer(&self.header, &self.claims_with(members)),
            )
        }))
    }

    fn with_bad_headers(
        &self,
        (jwks_url, certificate_url): (&str, &str),
    ) -> Vec<(&'static str, Credentials)> {
        let by_issuer = |members| self.by_issuer(&self.header_with(members), &self.claims);
        let by_issuer_of = |kid: Value| {
            let mut header = self.header.clone();
            header["kid"] = kid;
            self.by_issuer(&header, &self.claims)
        };
        // The key that they bring along or point to would verify them.
        let by_other = |name: &str, value: Value| {
            let mut header = self.header_with(json!({"kid": self.other.kid}));
            header[name] = value;
            self.by_other(&header, &self.claims)
        };
        bearers([
            ("typ", by_issuer(json!({"typ": "JWT"}))),
            (
                "crit",
                by_issuer(json!({"crit": ["policy"], "policy": "unheard of"})),
            ),
            ("jwk", by_other("jwk", self.other.jwk.clone())),
            ("jku", by_other("jku", jwks_url.into())),
            ("x5u", by_other("x5u", certificate_url.into())),
            // The feed ends a key by its `kid`, so a token without a textual one could not be ended.
            ("no kid", by_issuer(json!({"kid": null}))),
            (
                "another member in place of kid",
                by_issuer(json!({"kid": null, "kit": self.issuer.kid})),
            ),
            ("kid null", by_issuer_of(Value::Null)),
            ("kid a number", by_issuer_of(1.into())),
            ("kid an array", by_issuer_of(json!([self.issuer.kid]))),
            ("kid empty", by_issuer_of("".into())),
        ])
    }

    /// 1 MiB, and sound but for that.
    fn long(&self) -> String {
        self.by_issuer(
            &self.header,
            &self.claims_with(json!({"padding": "x".repeat(780 * 1024)})),
        )
    }

    /// The first is another's, the last the real one: parsers differ in which they take.
    fn with_a_subject_twice(&self) -> String {
        let claims = self
            .claims
            .to_string()
            .replacen('{', r#"{"sub":"another","#, 1);
        self.issuer.token(&self.header.to_string(), &claims)
    }
}

fn bearers<const N: usize>(
    tokens: [(&'static str, String); N],
) -> Vec<(&'static str, Credentials)> {
    tokens
        .into_iter()
        .map(|(name, token)| (name, Credentials::bearer(&token)))
        .collect()
}

/// `object` with these members in place of its own; `null` removes one.
pub(crate) fn merged(object: &Value, members: Value) -> Value {
    let mut merged = object.clone();
    let members = members.as_object().expect("an object").clone();
    for (name, value) in members {
        match value {
            Value::Null => merged.as_object_mut().expect("an object").remove(&name),
            value => merged
                .as_object_mut()
                .expect("an object")
                .insert(name, value),
        };
    }
    merged
}

pub(crate) fn joined(header: &str, claims: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

pub(crate) fn with_signature(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// One bit of the signature's middle is another.
fn with_another_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("a token");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let middle = signature.len() / 2;
    signature[middle] ^= 1;
    with_signature(signed, &signature)
}

/// Each like this key but for one thing. A verifier must not take it for a key.
pub(crate) fn bad_keys(key: &ForgeKey) -> Vec<Value> {
    let with = |kid: &str, members: Value| {
        let mut jwk = key.jwk.clone();
        jwk["kid"] = kid.into();
        for (name, value) in members.as_object().expect("an object") {
            jwk[name] = value.clone();
        }
        jwk
    };
    let small = "t".repeat(171);
    vec![
        with("off-the-curve", json!({"y": key.jwk["x"]})),
        with("another-curve", json!({"crv": "P-384"})),
        with("another-algorithm", json!({"alg": "ES384"})),
        with(
            "symmetric",
            json!({"kty": "oct", "alg": "HS256", "k": "c2VjcmV0"}),
        ),
        with(
            "small",
            json!({"kty": "RSA", "alg": "RS256", "n": small, "e": "AQAB"}),
        ),
        with("no-coordinates", json!({"x": null, "y": 1})),
        with("for-encryption", json!({"use": "enc"})),
        with("to-encrypt", json!({"key_ops": ["encrypt"]})),
        with("", json!({"kid": null})),
        merged(&with("", json!({})), json!({"kid": null})),
        json!({"kid": 1, "x": []}),
        json!("text"),
        json!(7),
        Value::Null,
    ]
}
