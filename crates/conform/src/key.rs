//! A signing key of the issuer, which signs anything.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use wxmint_verify::PublicKey;

pub(crate) struct TestKey {
    pair: EcdsaKeyPair,
    public: PublicKey,
}

impl TestKey {
    pub(crate) fn generate() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("random bytes");
        let point = &pair.public_key().as_ref()[1..];
        let public = PublicKey::p256(&point[..32], &point[32..]).expect("a point of the curve");
        Self { pair, public }
    }

    pub(crate) fn kid(&self) -> &str {
        self.public.kid()
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The header of a JWT of this type.
    pub(crate) fn header(&self, typ: &str) -> Value {
        json!({"alg": "ES256", "typ": typ, "kid": self.kid()})
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let message = format!("{header}.{claims}");
        let random = SystemRandom::new();
        let signature = self
            .pair
            .sign(&random, message.as_bytes())
            .expect("random bytes");
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
